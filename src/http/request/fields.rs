//! Parsing of query parameters and headers. All invalid fields are reported together.
//!
//! serde's derive stops at the first error, so requests are parsed field by field into [`FieldErrors`]. Unknown names are
//! rejected: a typo in a filter must not silently return everything.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use http::{HeaderMap, Uri};

use super::declared::Source;
use crate::service::error::{Error, Fields, MORE_FIELDS};
use crate::service::time::day_end;

/// The invalid fields found so far, each with the rule that it breaks.
#[derive(Debug, Default)]
pub struct FieldErrors {
    fields: Fields,
    found: usize,
}

/// Maximum number of errors that are reported. A request can have a hundred thousand, and the response would be as large.
const MAX_ERRORS: usize = 20;

/// Maximum number of characters of an unknown name that are reported.
const MAX_NAME_CHARS: usize = 64;

impl FieldErrors {
    pub fn add(&mut self, field: &str, rule: impl Into<String>) {
        self.found += 1;
        if self.found > MAX_ERRORS {
            self.fields.entry(MORE_FIELDS.to_owned()).or_insert_with(|| format!("only the first {MAX_ERRORS} errors are listed"));
            return;
        }
        // The first error of a field is the most specific.
        self.fields.entry(field.to_owned()).or_insert_with(|| rule.into());
    }

    /// Adds an unknown name. `kind` is, for example, "a parameter".
    pub fn add_unknown(&mut self, name: &str, kind: &str) {
        let printable: String = name.chars().filter(|letter| !letter.is_control()).take(MAX_NAME_CHARS).collect();
        self.add(if printable.is_empty() { "(unnamed)" } else { &printable }, format!("is not {kind}{OF_THIS_REQUEST}"));
    }

    /// Returns whether the rule comes from [`FieldErrors::add_unknown`], which means that the client chose the field's name.
    pub fn is_unknown(rule: &str) -> bool {
        rule.ends_with(OF_THIS_REQUEST)
    }

    /// Returns whether further errors would not be reported, so that the caller can stop checking.
    pub fn is_full(&self) -> bool {
        self.found > MAX_ERRORS
    }

    /// Adds errors that were found elsewhere.
    pub fn add_all(&mut self, fields: Fields) {
        fields.into_iter().for_each(|(name, rule)| self.add(&name, rule));
    }

    /// Returns the value, or records the error.
    pub fn check<T>(&mut self, field: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|rule| self.add(field, rule)).ok()
    }

    /// # Errors
    /// A field is invalid.
    pub fn finish(self) -> Result<(), Error> {
        if self.fields.is_empty() { Ok(()) } else { Err(Error::Invalid(self.fields)) }
    }
}

const OF_THIS_REQUEST: &str = " of this request";

/// The query parameters of a request. Take those that the operation knows, then call [`Query::finish`].
#[derive(Debug)]
pub struct Query {
    values: BTreeMap<String, Vec<String>>,
    pub errors: FieldErrors,
}

impl Query {
    pub fn of(uri: &Uri) -> Self {
        let mut values = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            values.entry(name.into_owned()).or_default().push(value.into_owned());
        }
        Self { values, errors: FieldErrors::default() }
    }

    /// Returns whether the parameter is given and not taken yet. An empty one counts as absent, because forms send empty inputs.
    pub fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|values| values.iter().any(|value| !value.is_empty()))
    }

    /// Returns all non-empty values of these parameters, decoded, without taking them.
    pub fn values_of(&self, names: &[&str]) -> Vec<(String, String)> {
        let of = |name: &&str| self.values.get_key_value(*name);
        let pairs = names.iter().filter_map(of).flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        pairs.filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    pub fn take<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let mut values = self.values.remove(name)?;
        values.retain(|value| !value.is_empty());
        match values.as_slice() {
            [] => None,
            [value] => self.errors.check(name, parse(value)),
            _ => {
                self.errors.add(name, "must be given once");
                None
            }
        }
    }

    /// Takes a list separated by commas. It can also be given as several parameters, with or without brackets after their name.
    pub fn take_list<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let mut values = self.values.remove(name).unwrap_or_default();
        values.extend(self.values.remove(&format!("{name}[]")).unwrap_or_default());
        values.retain(|value| !value.is_empty());
        if values.is_empty() { None } else { self.errors.check(name, parse(&values.join(","))) }
    }

    /// # Errors
    /// A parameter is invalid or unknown.
    pub fn finish(mut self) -> Result<(), Error> {
        for name in self.values.keys() {
            self.errors.add_unknown(name, "a parameter");
        }
        self.errors.finish()
    }

    /// Finishes without rejecting unknown parameters. Sites and programs add parameters of their own to links that people share
    /// (`fbclid`, `utm_source`, a cache buster).
    ///
    /// # Errors
    /// A known parameter is invalid.
    pub fn finish_shared(self) -> Result<(), Error> {
        self.errors.finish()
    }

    /// Like [`Query::finish_shared`], but rejects parameters that look like misspellings of a `known` one.
    ///
    /// # Errors
    /// A parameter is invalid, or its name differs from a known one only in case or by one letter.
    pub fn finish_rejecting_misspellings(mut self, known: &[&str]) -> Result<(), Error> {
        for name in self.values.keys() {
            if known.iter().any(|known| is_misspelling(name, known)) {
                self.errors.add_unknown(name, "a parameter");
            }
        }
        self.errors.finish()
    }
}

impl Source for Query {
    fn finish(self) -> Result<(), Error> {
        Self::finish(self)
    }
}

/// Returns whether a name differs from `known` only in case, in one added, missing or wrong letter, or in two swapped letters.
fn is_misspelling(name: &str, known: &str) -> bool {
    let (name, known) = (name.to_ascii_lowercase().into_bytes(), known.as_bytes());
    // Names this short (w, h, q, v) are not misspellings.
    if name.len() < 3 || name.len().abs_diff(known.len()) > 1 {
        return false;
    }
    let start = name.iter().zip(known).take_while(|(one, other)| one == other).count();
    let (name, known) = (&name[start..], &known[start..]);
    let swapped = matches!((name, known), ([a, b, ..], [c, d, ..]) if a == d && b == c);
    let same_after =
        |skip_name: usize, skip_known: usize| name.get(skip_name..).is_some_and(|rest| known.get(skip_known..) == Some(rest));
    name == known || same_after(1, 1) || same_after(1, 0) || same_after(0, 1) || swapped && same_after(2, 2)
}

/// Parses an integer within a range.
pub fn integer<T>(range: RangeInclusive<T>) -> impl FnOnce(&str) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    move |text| {
        let number = text.parse::<T>().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
    }
}

/// Parses a boolean.
///
/// # Errors
/// The rule, worded for the client.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        // Python and C# capitalise the first letter.
        _ if text.eq_ignore_ascii_case("true") || text == "1" => Ok(true),
        _ if text.eq_ignore_ascii_case("false") || text == "0" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

/// Parses the start of a range. A date means its first moment in UTC.
///
/// # Errors
/// The rule, worded for the client.
pub fn range_start(text: &str) -> Result<DateTime<Utc>, String> {
    date(text).map(|date| date.and_time(NaiveTime::MIN).and_utc()).or_else(|| date_time(text)).ok_or_else(date_rule)
}

/// Parses the end of a range. A date means its last moment in UTC.
///
/// # Errors
/// The rule, worded for the client.
pub fn range_end(text: &str) -> Result<DateTime<Utc>, String> {
    date(text).map(|date| day_end(date.and_time(NaiveTime::MIN).and_utc())).or_else(|| date_time(text)).ok_or_else(date_rule)
}

fn date(text: &str) -> Option<NaiveDate> {
    // chrono would also accept a sign, spaces, and years with more than four digits.
    let plain = text.len() == 10
        && text.bytes().enumerate().all(|(i, byte)| if matches!(i, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
    plain.then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten()
}

/// Parses RFC 3339 and more of ISO 8601: missing seconds, which Java omits if they are zero, and offsets without minutes or
/// without a colon.
fn date_time(text: &str) -> Option<DateTime<Utc>> {
    // A "+" that was not percent-encoded arrives as a space.
    let sign_at = text.rfind(['+', '-', ' ', 'Z', 'z']).filter(|position| *position >= WITHOUT_SECONDS)?;
    let (time, offset) = (text.get(..sign_at)?, text.get(sign_at + 1..)?);
    let seconds = if time.len() == WITHOUT_SECONDS { ":00" } else { "" };
    let sign = match text.as_bytes().get(sign_at)? {
        b'Z' | b'z' => return if offset.is_empty() { read_rfc3339(&format!("{time}{seconds}Z")) } else { None },
        b'-' => '-',
        _ => '+',
    };
    let offset = match offset.len() {
        2 => format!("{offset}:00"),
        4 => format!("{}:{}", offset.get(..2)?, offset.get(2..)?),
        _ => offset.to_owned(),
    };
    read_rfc3339(&format!("{time}{seconds}{sign}{offset}"))
}

fn read_rfc3339(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
}

/// The length of `2026-01-31T12:00`.
const WITHOUT_SECONDS: usize = 16;

fn date_rule() -> String {
    "must be an ISO 8601 date (2026-01-31) or a date-time with its offset (2026-01-31T12:00:00Z)".to_owned()
}

/// Returns the value of a header that can be given only once.
pub fn header<'a>(headers: &'a HeaderMap, name: &str, errors: &mut FieldErrors) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() {
        errors.add(name, "must be given once");
    }
    Some(first.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_whole_days_and_times_have_an_offset() {
        let start = range_start("2026-01-31").unwrap();
        assert_eq!(start.to_rfc3339(), "2026-01-31T00:00:00+00:00");
        assert_eq!(range_end("2026-01-31").unwrap().to_rfc3339(), "2026-01-31T23:59:59.999999+00:00");
        for spelling in [
            "2026-01-31T02:00:00+02:00",
            "2026-01-31T02:00:00 02:00",
            "2026-01-31T00:00:00Z",
            "2026-01-31t00:00:00.000z",
            "2026-01-31T00:00Z",
            "2026-01-31T00:00z",
            "2026-01-31T01:00+01",
            "2026-01-31T01:00 01",
            "2026-01-31T01:00:00+0100",
            "2026-01-30T18:30-0530",
            "2026-01-31T00:00:00.000+00",
        ] {
            assert_eq!(range_start(spelling), Ok(start), "{spelling}");
        }
        for bad in [
            "",
            "2026",
            "2026-02-30",
            "+2026-01-01",
            "2026-1-1",
            "2026-01-31T00:00:00",
            "yesterday",
            "10000-01-01",
            "2026-01-31T25:00:00Z",
            "2026-01-31T00:00",
            "2026-01-31T00:00:Z",
            "2026-01-31T00:00+1",
            "2026-01-31T00:00+01:0",
            "2026-01-31T00:00+01:00Z",
            "2026-01-31T00:00Zé",
            "2026-01-31T00:00+é1",
            "2026-01-31T00Z",
        ] {
            assert!(range_start(bad).is_err() && range_end(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn all_invalid_parameters_are_reported_together() {
        let mut query = Query::of(&"/images?limit=0&user=x&user_id=a&user_id=b".parse().unwrap());
        assert_eq!(query.take("limit", integer(1..=100_u32)), None);
        assert_eq!(query.take("user_id", |text| Ok(text.to_owned())), None);
        let Err(Error::Invalid(fields)) = query.finish() else { panic!("the query was accepted") };
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["limit", "user", "user_id"]);
    }

    #[test]
    fn a_list_can_be_several_parameters_and_empty_parameters_are_absent() {
        let mut query = Query::of(&"/images?tags=a&tags=&tags[]=b,c&tags%5B%5D=d&limit=&limit=5&user_id=".parse().unwrap());
        assert!(!query.has("user_id") && query.has("limit"));
        assert_eq!(query.take_list("tags", |text| Ok(text.to_owned())).as_deref(), Some("a,b,c,d"));
        assert_eq!(query.take("limit", integer(1..=100_u32)), Some(5));
        assert_eq!(query.take("user_id", |text| Ok(text.to_owned())), None);
        assert!(query.finish().is_ok());
        let mut query = Query::of(&"/images?tags=&unknown=".parse().unwrap());
        assert_eq!(query.take_list("tags", |text| Ok(text.to_owned())), None);
        assert!(query.finish().is_err(), "an empty unknown parameter is still unknown");
    }

    #[test]
    fn shared_links_accept_unknown_parameters_but_not_misspelt_ones() {
        let query = |text: &str| Query::of(&format!("/i?{text}").parse().unwrap());
        assert!(query("fbclid=1&utm_source=x&1690000000000&_=1&Width=1").finish_shared().is_ok());
        let known = ["width", "height", "fit"];
        for good in ["w=1&h=2&q=3&v=4", "_=1&fbclid=2", "size=1", "depth=1", "f=1"] {
            assert!(query(good).finish_rejecting_misspellings(&known).is_ok(), "{good}");
        }
        for bad in ["Width=1", "widht=1", "with=1", "widthh=1", "heigth=1", "hight=1", "fits=1", "weight=1&heiht=2"] {
            assert!(query(bad).finish_rejecting_misspellings(&known).is_err(), "{bad}");
        }
    }

    #[test]
    fn booleans_are_accepted_as_languages_write_them() {
        for (text, value) in
            [("true", true), ("True", true), ("TRUE", true), ("1", true), ("false", false), ("False", false), ("0", false)]
        {
            assert_eq!(boolean(text), Ok(value), "{text}");
        }
        for bad in ["", "yes", "on", "2", "01", " true"] {
            assert!(boolean(bad).is_err(), "{bad}");
        }
    }
}
