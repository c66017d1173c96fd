//! JSON bodies: a request's object with each of its fields once, and an answer that is written in one go.

use std::collections::BTreeMap;
use std::fmt;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::body::require_unencoded;
use super::error::ApiError;
use crate::model::header_parameters::HeaderParameters;
use crate::service::error::{Error, Fields};

/// For requests that hold a few short texts.
pub const FEW_TEXTS: usize = 64 * 1024;

/// Reads a request's body of at most `max_bytes`, which must be an object.
///
/// # Errors
/// Another media type, too many bytes, too slow, no JSON, no object, or a field that is there more than once.
pub async fn read_object(headers: &HeaderMap, body: Body, max_bytes: usize) -> Result<Map<String, Value>, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if HeaderParameters::parse(content_type).kind != "application/json" {
        return Err(ApiError::wrong_media_type("application/json"));
    }
    require_unencoded(headers)?;
    let too_large = |_| Error::TooLarge { limit_bytes: max_bytes as u64, setting: None };
    let bytes: Bytes = super::body::in_time(axum::body::to_bytes(body, max_bytes)).await?.map_err(too_large)?;
    Ok(parse_object(&bytes)?)
}

/// Bytes of memory that [`read_object`] needs for a body: as many as it announces, and at most `max_bytes`.
pub fn announced_length(headers: &HeaderMap, max_bytes: usize) -> usize {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    announced.unwrap_or(max_bytes).min(max_bytes)
}

/// What .NET and PowerShell put before their texts; it may be ignored (RFC 8259, 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, Error> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let not_json = |error| Error::Malformed { message: format!("The body is not JSON: {error}."), details: Fields::new() };
    match serde_json::from_slice::<Object>(bytes) {
        Ok(Object { fields, repeated }) if repeated.is_empty() => Ok(fields),
        Ok(Object { repeated, .. }) => Err(named_twice(repeated)),
        // It is JSON of another kind, or begins like that: the rest tells.
        Err(error) if error.is_data() => {
            serde_json::from_slice::<IgnoredAny>(bytes).map_err(not_json)?;
            Err(Error::invalid("body", "must be a JSON object"))
        }
        Err(error) => Err(not_json(error)),
    }
}

fn named_twice(repeated: Fields) -> Error {
    let names: Vec<&str> = repeated.keys().map(String::as_str).collect();
    Error::Malformed { message: format!("The body names more than once: {}.", names.join(", ")), details: repeated }
}

/// An object with the names that it has more than once. serde_json's own map keeps the last value in silence, where
/// another reader of the same body, such as a gateway, may have kept the first.
struct Object {
    fields: Map<String, Value>,
    repeated: Fields,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Object, A::Error> {
        let mut object = Object { fields: Map::new(), repeated: BTreeMap::new() };
        while let Some(name) = entries.next_key::<String>()? {
            // No request has as many fields: this one is refused for those before.
            if object.fields.len() >= MAX_ENTRIES {
                entries.next_value::<IgnoredAny>()?;
                continue;
            }
            let Shallow(value) = entries.next_value()?;
            if object.fields.contains_key(&name) {
                object.repeated.insert(name.clone(), "must be given once".to_owned());
            }
            object.fields.insert(name, value);
        }
        Ok(object)
    }
}

/// Fields, and entries of a list, that are kept: more than any request may have.
const MAX_ENTRIES: usize = 200;

/// A value as far as requests go: a text, a number, or a list of such. An object, and a list within a list, is emptied, for it
/// is refused by its kind; as values, the bytes that a body may have could take fifty times their size.
struct Shallow(Value);

impl<'de> Deserialize<'de> for Shallow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShallowVisitor { keeps_lists: true }).map(Self)
    }
}

#[derive(Clone, Copy)]
struct ShallowVisitor {
    keeps_lists: bool,
}

impl<'de> DeserializeSeed<'de> for ShallowVisitor {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ShallowVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Object(Map::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut kept = Vec::new();
        let inner = Self { keeps_lists: false };
        while self.keeps_lists && kept.len() < MAX_ENTRIES {
            let Some(value) = entries.next_element_seed(inner)? else { return Ok(Value::Array(kept)) };
            kept.push(value);
        }
        while entries.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(kept))
    }
}

/// A success with `value` as its body, of about `size_bytes`: a long body that grows is moved again and again.
///
/// # Errors
/// The value cannot be written as JSON.
pub fn answer(value: &impl Serialize, size_bytes: usize) -> Result<Response, ApiError> {
    let mut body = Vec::with_capacity(size_bytes);
    serde_json::to_writer(&mut body, value).map_err(Error::internal)?;
    let content_type = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_there_once() {
        assert_eq!(parse_object(br#"{"a": 1, "b": {"a": 2}}"#).unwrap().len(), 2);
        let Err(Error::Malformed { message, details }) = parse_object(br#"{"a": 1, "b": 2, "\u0061": 1, "c": 0, "c": 0}"#) else {
            panic!("it was read")
        };
        assert_eq!(message, "The body names more than once: a, c.");
        assert_eq!(details.keys().collect::<Vec<_>>(), ["a", "c"]);
    }

    #[test]
    fn what_no_request_holds_is_not_kept() {
        let read = |text: &str| Value::Object(parse_object(text.as_bytes()).unwrap());
        let plain = r#"{"a":["x",1,-1,1.5,true,null],"b":null,"c":"\u00fc"}"#;
        assert_eq!(read(plain), serde_json::from_str::<Value>(plain).unwrap());
        assert_eq!(read(r#"{"a":{"b":[1]},"c":[["d"],{"e":1}]}"#), serde_json::json!({"a": {}, "c": [[], {}]}));
        let long = format!(r#"{{"a":[{}0]}}"#, "0,".repeat(100_000));
        assert_eq!(read(&long)["a"].as_array().unwrap().len(), MAX_ENTRIES);
        let fields: Vec<String> = (0..5000).map(|number| format!("\"{number}\":0")).collect();
        assert_eq!(read(&format!("{{{}}}", fields.join(","))).as_object().unwrap().len(), MAX_ENTRIES);
        assert!(parse_object(format!(r#"{{"a":[{}]}}"#, "0,".repeat(300)).as_bytes()).is_err());
    }

    #[test]
    fn a_byte_order_mark_is_ignored() {
        assert_eq!(parse_object("\u{feff}{\"title\":\"x\"}".as_bytes()).unwrap()["title"], "x");
    }

    #[test]
    fn what_is_no_object_is_told_from_what_is_no_json() {
        for other in ["[]", "1", "null", "\"a\"", " [{}, 1] "] {
            assert!(matches!(parse_object(other.as_bytes()), Err(Error::Invalid(_))), "{other}");
        }
        for broken in ["", "{", "[1", "{\"a\"}", "{} x", "[] x", "nul", "{\"a\": 1e999}", "\u{feff}\u{feff}{}"] {
            assert!(matches!(parse_object(broken.as_bytes()), Err(Error::Malformed { .. })), "{broken}");
        }
    }
}
