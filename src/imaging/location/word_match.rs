//! Splits names into words and compares words, so that rules match `TargetLat` but not `Lateral`.

/// Returns the words of `name`: `GPSLatitude`, `gps_latitude` and `gps-latitude` have the same two, in any case.
///
/// A word ends before anything that is not a letter, before a capital that follows a lower-case letter, and before the last of
/// several capitals if a lower-case letter follows it. Bytes above 127 count as letters.
pub(super) fn words(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|&byte| is_letter(byte))?;
        let word = rest.get(start..)?;
        let end = (1..word.len()).find(|&at| ends_before(word, at)).unwrap_or(word.len());
        let (word, after) = word.split_at_checked(end)?;
        rest = after;
        Some(word)
    })
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte >= 0x80
}

fn ends_before(word: &[u8], at: usize) -> bool {
    let (Some(&before), Some(&this)) = (word.get(at - 1), word.get(at)) else { return true };
    let next_is_small = word.get(at + 1).is_some_and(u8::is_ascii_lowercase);
    !is_letter(this) || this.is_ascii_uppercase() && (!before.is_ascii_uppercase() || next_is_small)
}

/// Returns whether the word is in `list`, ignoring case. The list is in lower case.
pub(super) fn is_one_of(word: &[u8], list: &[&str]) -> bool {
    list.iter().any(|wanted| word.eq_ignore_ascii_case(wanted.as_bytes()))
}

pub(super) fn starts_with_any_case(text: &[u8], start: &str) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
}

/// Returns whether the text contains `wanted`, ignoring case. `wanted` is in lower case.
pub(super) fn contains_any_case(text: &[u8], wanted: &str) -> bool {
    let Some(first) = wanted.bytes().next() else { return true };
    let mut at = 0;
    while let Some(skip) = text.get(at..).and_then(|rest| memchr::memchr2(first, first.to_ascii_uppercase(), rest)) {
        at += skip;
        if text.get(at..).is_some_and(|rest| starts_with_any_case(rest, wanted)) {
            return true;
        }
        at += 1;
    }
    false
}

/// Returns whether the word is `wanted`, ignoring case, or differs by one extra, missing, wrong or transposed letter. `wanted` is
/// in lower case.
pub(super) fn is_nearly(word: &[u8], wanted: &[u8]) -> bool {
    if word.len().abs_diff(wanted.len()) > 1 {
        return false;
    }
    let same = |(one, other): (&u8, &u8)| one.eq_ignore_ascii_case(other);
    let alike = word.iter().zip(wanted).take_while(|&pair| same(pair)).count();
    let (word, wanted) = (word.get(alike..).unwrap_or_default(), wanted.get(alike..).unwrap_or_default());
    let tail = |skip: usize, skip_wanted: usize| match (word.get(skip..), wanted.get(skip_wanted..)) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        _ => false,
    };
    let swapped = || matches!((word, wanted), ([a, b, ..], [c, d, ..]) if same((a, d)) && same((b, c))) && tail(2, 2);
    (word.is_empty() && wanted.is_empty()) || tail(1, 0) || tail(0, 1) || tail(1, 1) || swapped()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_words(name: &str, expected: &[&str]) {
        let found: Vec<&str> = words(name.as_bytes()).map(|word| std::str::from_utf8(word).expect("text")).collect();
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn names_are_split_into_words() {
        assert_words("LRFTargetLat", &["LRF", "Target", "Lat"]);
        assert_words("GPSLatitudeRef", &["GPS", "Latitude", "Ref"]);
        assert_words("EXIF_GPSArea-information.x", &["EXIF", "GPS", "Area", "information", "x"]);
        assert_words("homeLon2", &["home", "Lon"]);
        assert_words("Lateral", &["Lateral"]);
        assert_words("LatencyMs", &["Latency", "Ms"]);
        assert_words("BREITE", &["BREITE"]);
        assert_words("", &[]);
        assert_words("12:", &[]);
        assert_words("Größe", &["Größe"]);
    }

    #[test]
    fn one_misspelt_letter_is_accepted_and_two_are_not() {
        for near in ["latitude", "Latitude", "Lattitude", "latitud", "latitute", "latiutde", "atitude", "xlatitude"] {
            assert!(is_nearly(near.as_bytes(), b"latitude"), "{near}");
        }
        for far in ["lateral", "attitude", "lati", "", "latitudexx", "longitude", "latittudd"] {
            assert!(!is_nearly(far.as_bytes(), b"latitude"), "{far}");
        }
    }
}
