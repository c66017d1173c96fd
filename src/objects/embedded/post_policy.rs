//! The policy of a `PostObject` form: when it expires, which values its fields may have, and how long the file may be.
//!
//! Format: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html>. The document says little about
//! errors; statuses and codes are those that S3 returns.

use std::fmt;
use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use s3s::{S3Error, S3Result, s3_error};
use serde::Deserialize;
use serde_json::Value;

use super::post_form::Fields;

/// A decoded policy.
#[derive(Debug)]
pub(super) struct PostPolicy {
    expiration: DateTime<Utc>,
    conditions: Vec<Condition>,
    /// The intersection of all ranges.
    length: RangeInclusive<u64>,
}

/// A condition for the value of a field.
#[derive(Debug)]
struct Condition {
    matching: Matching,
    /// In lower case.
    field: String,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Matching {
    Exact,
    Prefix,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    expiration: String,
    conditions: Vec<Value>,
}

impl PostPolicy {
    /// Decodes a policy from base64 and JSON.
    ///
    /// # Errors
    /// `InvalidPolicyDocument`.
    pub(super) fn decode(base64: &str) -> S3Result<Self> {
        let json = STANDARD.decode(base64).map_err(|_| invalid("it is not base64"))?;
        let document: Document = serde_json::from_slice(&json)
            .map_err(|_| invalid("it is not JSON, or does not consist of an expiration and conditions"))?;
        let expiration = DateTime::parse_from_rfc3339(&document.expiration)
            .map_err(|_| invalid("its expiration is not a time like 2026-11-30T12:00:00.000Z"))?;
        let mut policy = Self { expiration: expiration.to_utc(), conditions: Vec::new(), length: 0..=u64::MAX };
        for condition in &document.conditions {
            policy.add(condition)?;
        }
        Ok(policy)
    }

    fn add(&mut self, condition: &Value) -> S3Result<()> {
        match condition {
            Value::Object(fields) => match fields.iter().next() {
                Some((field, Value::String(value))) if fields.len() == 1 => self.add_match(Matching::Exact, field, value),
                _ => return Err(invalid("an object among its conditions must have exactly one field with a string")),
            },
            Value::Array(items) => match items.as_slice() {
                [Value::String(operation), Value::String(field), Value::String(value)]
                    if let (Some(matching), Some(field)) = (Matching::parse(operation), field.strip_prefix('$')) =>
                {
                    self.add_match(matching, field, value);
                }
                [Value::String(operation), min, max]
                    if operation.eq_ignore_ascii_case("content-length-range")
                        && let (Some(min), Some(max)) = (bytes(min), bytes(max))
                        && min <= max =>
                {
                    self.length = min.max(*self.length.start())..=max.min(*self.length.end());
                }
                _ => return Err(invalid("a list among its conditions must be eq, starts-with or content-length-range")),
            },
            _ => return Err(invalid("its conditions must be objects or lists")),
        }
        Ok(())
    }

    fn add_match(&mut self, matching: Matching, field: &str, value: &str) {
        self.conditions.push(Condition { matching, field: field.to_ascii_lowercase(), value: value.to_owned() });
    }

    /// Checks everything but the length of the file. The bucket counts as a field.
    ///
    /// # Errors
    /// `AccessDenied` if the policy has expired, a condition does not hold, or no condition names a field of the form.
    pub(super) fn check(&self, fields: &Fields, bucket: &str, now: DateTime<Utc>) -> S3Result<()> {
        if now >= self.expiration {
            return Err(denied("Policy expired."));
        }
        // S3 has no field for the bucket, but clients may send one.
        if fields.get("bucket").is_some_and(|field| field != bucket) {
            return Err(denied("The bucket differs from the one in the URL."));
        }
        for condition in &self.conditions {
            let value = if condition.field == "bucket" { Some(bucket) } else { fields.get(&condition.field) };
            if !value.is_some_and(|value| condition.holds(value)) {
                return Err(denied(&format!("Policy Condition failed: {condition}")));
            }
        }
        let names = fields.iter().map(|(name, _)| name).chain(["bucket"]);
        let extra = names.into_iter().find(|name| !is_exempt(name) && !self.names(name));
        extra.map_or(Ok(()), |name| Err(denied(&format!("Extra input fields: {}", name.escape_debug()))))
    }

    /// Returns the lengths in bytes that the file may have. The range is empty if the conditions contradict each other.
    pub(super) fn length(&self) -> &RangeInclusive<u64> {
        &self.length
    }

    fn names(&self, field: &str) -> bool {
        self.conditions.iter().any(|condition| condition.field == field)
    }
}

/// Whether a field needs no condition.
fn is_exempt(name: &str) -> bool {
    matches!(name, "policy" | "x-amz-signature") || name.starts_with("x-ignore-")
}

impl Condition {
    fn holds(&self, value: &str) -> bool {
        match self.matching {
            Matching::Exact => value == self.value,
            // Only this field is a list.
            Matching::Prefix if self.field == "content-type" => {
                value.split(',').all(|value| value.trim_start().starts_with(&self.value))
            }
            Matching::Prefix => value.starts_with(&self.value),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = match self.matching {
            Matching::Exact => "eq",
            Matching::Prefix => "starts-with",
        };
        write!(f, "[\"{operation}\", \"${}\", {}]", self.field.escape_debug(), Value::from(self.value.as_str()))
    }
}

impl Matching {
    fn parse(operation: &str) -> Option<Self> {
        match operation.to_ascii_lowercase().as_str() {
            "eq" => Some(Self::Exact),
            "starts-with" => Some(Self::Prefix),
            _ => None,
        }
    }
}

/// Parses a bound of a range. S3 accepts numbers in strings as well.
fn bytes(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn invalid(reason: &str) -> S3Error {
    s3_error!(InvalidPolicyDocument, "Invalid Policy: {reason}.")
}

fn denied(reason: &str) -> S3Error {
    s3_error!(AccessDenied, "Invalid according to Policy: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(json: &str) -> S3Result<PostPolicy> {
        PostPolicy::decode(&STANDARD.encode(json))
    }

    fn policy(conditions: &str) -> PostPolicy {
        decode(&format!(r#"{{"expiration": "2026-11-30T12:00:00.000Z", "conditions": [{{"bucket": "b"}}, {conditions}]}}"#))
            .unwrap()
    }

    /// Checks a form an hour before the policy expires; returns the reason why it is denied.
    fn check<const N: usize>(conditions: &str, fields: [(&str, &str); N]) -> Result<(), String> {
        let now = DateTime::parse_from_rfc3339("2026-11-30T11:00:00Z").unwrap().to_utc();
        let checked = policy(conditions).check(&Fields::from(fields), "b", now);
        checked.map_err(|error| format!("{} {}", error.code().as_str(), error.message().unwrap()))
    }

    #[test]
    fn a_malformed_policy_is_invalid() {
        assert_eq!(PostPolicy::decode("%").unwrap_err().code().as_str(), "InvalidPolicyDocument");
        let with_conditions =
            |conditions: &str| format!(r#"{{"expiration": "2026-11-30T12:00:00Z", "conditions": {conditions}}}"#);
        assert!(decode(&with_conditions("[]")).is_ok());
        let bad = [
            "{}",
            "[",
            "null",
            r#"{"conditions": []}"#,
            r#"{"expiration": "2026-11-30T12:00:00Z"}"#,
            r#"{"EXPIRATION": "2026-11-30T12:00:00Z", "conditions": []}"#,
            r#"{"expiration": "2026-11-30", "conditions": []}"#,
            r#"{"expiration": "1795000000", "conditions": []}"#,
            r#"{"expiration": 1795000000, "conditions": []}"#,
            r#"{"expiration": "2026-11-30T12:00:00Z", "conditions": [], "version": 1}"#,
        ];
        let bad_conditions = [
            "{}",
            r#"["eq"]"#,
            "[[]]",
            "[{}]",
            "[1]",
            r#"[{"key": "a", "acl": "private"}]"#,
            r#"[{"success_action_status": 201}]"#,
            r#"[["eq", "key", "a"]]"#,
            r#"[["ends-with", "$key", "a"]]"#,
            r#"[["eq", "$key", "a", "b"]]"#,
            r#"[["content-length-range", 0]]"#,
            r#"[["content-length-range", -1, 0]]"#,
            r#"[["content-length-range", 0, 1.5]]"#,
            r#"[["content-length-range", 2, 1]]"#,
            r#"[["content-length-range", "x", "y"]]"#,
        ];
        let nested = "[".repeat(100_000);
        let bad_conditions = bad_conditions.into_iter().chain([nested.as_str()]).map(with_conditions);
        for json in bad.map(str::to_owned).into_iter().chain(bad_conditions) {
            let error = decode(&json).err().unwrap_or_else(|| panic!("{json:.100} is accepted"));
            assert_eq!(error.code().as_str(), "InvalidPolicyDocument", "{json:.100}");
        }
    }

    #[test]
    fn a_policy_expires() {
        let policy = policy(r#"{"key": "a"}"#);
        let check = |time: &str| {
            let now = DateTime::parse_from_rfc3339(time).unwrap().to_utc();
            policy.check(&Fields::from([("key", "a")]), "b", now).map_err(|error| error.message().unwrap().to_owned())
        };
        assert_eq!(check("2026-11-30T11:59:59.999Z"), Ok(()));
        assert_eq!(check("2026-11-30T12:00:00Z"), Err("Invalid according to Policy: Policy expired.".to_owned()));
    }

    #[test]
    fn every_condition_must_hold() {
        let failed =
            |condition: &str| Err(format!("AccessDenied Invalid according to Policy: Policy Condition failed: {condition}"));
        let exact = r#"{"Key": "a"}"#;
        assert_eq!(check(exact, [("key", "a")]), Ok(()));
        assert_eq!(check(exact, [("key", "A")]), failed(r#"["eq", "$key", "a"]"#));
        assert_eq!(check(r#"["EQ", "$KEY", "a\"b"]"#, [("key", "b")]), failed(r#"["eq", "$key", "a\"b"]"#));
        let prefix = r#"["starts-with", "$key", "a/"]"#;
        assert_eq!(check(prefix, [("key", "a/b")]), Ok(()));
        assert_eq!(check(prefix, [("key", "b/a/")]), failed(prefix));
        // Two conditions for one field.
        assert_eq!(check(&format!(r#"{prefix}, {{"key": "a/b"}}"#), [("key", "a/c")]), failed(r#"["eq", "$key", "a/b"]"#));
        // A field that is missing is not empty.
        let any = r#"{"key": "a"}, ["starts-with", "$x-amz-meta-a", ""]"#;
        assert_eq!(check(any, [("key", "a"), ("x-amz-meta-a", "")]), Ok(()));
        assert_eq!(check(any, [("key", "a")]), failed(r#"["starts-with", "$x-amz-meta-a", ""]"#));
        assert_eq!(check(r#"{"bucket": "c"}"#, []), failed(r#"["eq", "$bucket", "c"]"#));
    }

    #[test]
    fn each_content_type_of_a_list_must_match() {
        let images = r#"["starts-with", "$Content-Type", "image/"]"#;
        assert_eq!(check(images, [("content-type", "image/jpg, image/png,image/gif")]), Ok(()));
        assert!(check(images, [("content-type", "image/jpg,text/plain")]).is_err());
        assert_eq!(check(r#"["starts-with", "$x", "a"]"#, [("x", "a,b")]), Ok(()));
    }

    #[test]
    fn every_field_must_have_a_condition() {
        let extra = |name: &str| Err(format!("AccessDenied Invalid according to Policy: Extra input fields: {name}"));
        let key = r#"{"key": "a"}"#;
        for name in ["policy", "x-amz-signature", "x-ignore-a"] {
            assert_eq!(check(key, [("key", "a"), (name, "x")]), Ok(()), "{name}");
        }
        for name in ["content-type", "x-amz-meta-a", "success_action_status", "x-amz-date", "acl", "submit", "x-ignore"] {
            assert_eq!(check(key, [("key", "a"), (name, "x")]), extra(name));
        }
        let policy = decode(r#"{"expiration": "2026-11-30T12:00:00Z", "conditions": [{"key": "a"}]}"#).unwrap();
        let denied = policy.check(&Fields::from([("key", "a")]), "b", DateTime::UNIX_EPOCH).unwrap_err();
        assert_eq!(denied.message(), Some("Invalid according to Policy: Extra input fields: bucket"));
        assert_eq!(check(key, [("key", "a"), ("bucket", "b")]), Ok(()));
        assert!(check(key, [("key", "a"), ("bucket", "c")]).is_err());
    }

    #[test]
    fn all_length_ranges_apply() {
        assert_eq!(*policy(r#"{"key": "a"}"#).length(), 0..=u64::MAX);
        assert_eq!(*policy(r#"["content-length-range", 5, "10"], ["Content-Length-Range", "7", 20]"#).length(), 7..=10);
        assert!(policy(r#"["content-length-range", 5, 10], ["content-length-range", 11, 20]"#).length().is_empty());
    }
}
