//! JSON bodies: parsing an object without duplicate fields, and writing a response.

use std::collections::BTreeMap;
use std::fmt;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, Serialize};
use serde_json::{Map, Value};

use super::body::require_unencoded;
use crate::http::error::ApiError;
use crate::model::header_parameters::HeaderParameters;
use crate::service::error::{Error, Fields};

/// Maximum size of a request body with a few short fields.
pub const SMALL_BODY_BYTES: usize = 64 * 1024;

/// Reads a request body of at most `max_bytes`, which must be a JSON object.
///
/// # Errors
/// The body has another media type, is too large or too slow, is not a JSON object, or has a duplicate field.
pub async fn read_object(headers: &HeaderMap, body: Body, max_bytes: usize) -> Result<Map<String, Value>, ApiError> {
    Ok(parse_object(&read_body(headers, body, max_bytes).await?, ListItems::Scalars)?)
}

/// Like [`read_object`], for objects that contain lists of flat objects.
///
/// # Errors
/// As for [`read_object`].
pub async fn read_object_of_lists(headers: &HeaderMap, body: Body, max_bytes: usize) -> Result<Map<String, Value>, ApiError> {
    Ok(parse_object(&read_body(headers, body, max_bytes).await?, ListItems::Objects)?)
}

async fn read_body(headers: &HeaderMap, body: Body, max_bytes: usize) -> Result<Bytes, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if HeaderParameters::parse(content_type).kind != "application/json" {
        return Err(ApiError::wrong_media_type("application/json"));
    }
    require_unencoded(headers)?;
    let too_large = |_| Error::TooLarge { limit_bytes: max_bytes as u64 };
    Ok(super::body::with_timeout(axum::body::to_bytes(body, max_bytes)).await?.map_err(too_large)?)
}

/// Returns the memory that [`read_object`] needs for a body, in bytes: the announced length, at most `max_bytes`.
pub fn announced_length(headers: &HeaderMap, max_bytes: usize) -> usize {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    announced.unwrap_or(max_bytes).min(max_bytes)
}

/// .NET and PowerShell prepend it to text; a parser may ignore it (RFC 8259, 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Which list items are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListItems {
    Scalars,
    /// Scalars, and flat objects of scalars.
    Objects,
}

fn parse_object(bytes: &[u8], list_items: ListItems) -> Result<Map<String, Value>, Error> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let not_json =
        |error| Error::Malformed { message: format!("The request body is not valid JSON: {error}."), details: Fields::new() };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let object = ObjectVisitor { list_items }.deserialize(&mut deserializer);
    match object.and_then(|object| deserializer.end().map(|()| object)) {
        Ok(Object { fields, repeated }) if repeated.is_empty() => Ok(fields),
        Ok(Object { repeated, .. }) => Err(duplicate_fields(repeated)),
        // The body is another JSON value, or starts like one: parsing the rest decides.
        Err(error) if error.is_data() => {
            serde_json::from_slice::<IgnoredAny>(bytes).map_err(not_json)?;
            Err(Error::invalid("body", "must be a JSON object"))
        }
        Err(error) => Err(not_json(error)),
    }
}

fn duplicate_fields(repeated: Fields) -> Error {
    let names: Vec<&str> = repeated.keys().map(String::as_str).collect();
    Error::Malformed { message: format!("The request body has duplicate fields: {}.", names.join(", ")), details: repeated }
}

/// An object and its duplicate names. serde_json's own map silently keeps the last value, where another parser of the same body,
/// such as a gateway, may have kept the first.
struct Object {
    fields: Map<String, Value>,
    repeated: Fields,
}

#[derive(Clone, Copy)]
struct ObjectVisitor {
    list_items: ListItems,
}

impl<'de> DeserializeSeed<'de> for ObjectVisitor {
    type Value = Object;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Object, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Object, A::Error> {
        let mut object = Object { fields: Map::new(), repeated: BTreeMap::new() };
        while let Some(name) = entries.next_key::<String>()? {
            // No valid request has this many fields: the previous ones already cause an error.
            if object.fields.len() >= MAX_ENTRIES {
                entries.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = entries.next_value_seed(ShallowVisitor {
                keeps_lists: true,
                keeps_objects: false,
                list_items: self.list_items,
            })?;
            if object.fields.contains_key(&name) {
                object.repeated.insert(name.clone(), "must be given once".to_owned());
            }
            object.fields.insert(name, value);
        }
        Ok(object)
    }
}

/// Maximum number of fields and of list items that are kept: more than any valid request has.
const MAX_ENTRIES: usize = 200;

/// Maximum number of fields that are kept of an object in a list.
const MAX_LISTED_FIELDS: usize = 10;

/// Parses a value with limited depth: a scalar, or a list of scalars, or of flat objects if [`ListItems::Objects`] allows them.
/// Other objects and nested lists are emptied, because their type is rejected anyway; parsed completely, they could take fifty
/// times the size of the body.
#[derive(Clone, Copy)]
struct ShallowVisitor {
    keeps_lists: bool,
    keeps_objects: bool,
    list_items: ListItems,
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
        let mut kept = Map::new();
        let inner = Self { keeps_lists: false, keeps_objects: false, ..self };
        while self.keeps_objects && kept.len() < MAX_LISTED_FIELDS {
            let Some(name) = entries.next_key::<String>()? else { return Ok(Value::Object(kept)) };
            let mut value = entries.next_value_seed(inner)?;
            if kept.contains_key(&name) {
                // No field accepts an object, so the duplicate is rejected.
                value = Value::Object(Map::new());
            }
            kept.insert(name, value);
        }
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Object(kept))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut kept = Vec::new();
        let inner = Self { keeps_lists: false, keeps_objects: self.list_items == ListItems::Objects, ..self };
        while self.keeps_lists && kept.len() < MAX_ENTRIES {
            let Some(value) = entries.next_element_seed(inner)? else { return Ok(Value::Array(kept)) };
            kept.push(value);
        }
        while entries.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(kept))
    }
}

/// Returns a 200 response with `value` as its body. `size_bytes` is its approximate size: without it, a long body would be
/// reallocated repeatedly.
///
/// # Errors
/// The value cannot be serialised.
pub fn response(value: &impl Serialize, size_bytes: usize) -> Result<Response, ApiError> {
    let mut body = Vec::with_capacity(size_bytes);
    serde_json::to_writer(&mut body, value).map_err(Error::internal)?;
    let content_type = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(bytes: &[u8]) -> Result<Map<String, Value>, Error> {
        parse_object(bytes, ListItems::Scalars)
    }

    #[test]
    fn objects_in_lists_are_kept_if_requested() {
        let read = |text: &str| Value::Object(parse_object(text.as_bytes(), ListItems::Objects).unwrap());
        let plain = r#"{"a":[{"b":1,"c":"x"},"d",{}],"e":true}"#;
        assert_eq!(read(plain), serde_json::from_str::<Value>(plain).unwrap());
        let nested = r#"{"a":[{"b":[1],"c":{"d":1}},[{"e":1}]],"f":{"g":1}}"#;
        assert_eq!(read(nested), serde_json::json!({"a": [{"b": [], "c": {}}, []], "f": {}}));
        assert_eq!(
            read(r#"{"a":[{"b":1,"b":2}]}"#),
            serde_json::json!({"a": [{"b": {}}]}),
            "a duplicate field has no valid value"
        );
        let fields: Vec<String> = (0..50).map(|number| format!("\"{number}\":0")).collect();
        let many = read(&format!("{{\"a\":[{{{}}}]}}", fields.join(",")));
        assert_eq!(many["a"][0].as_object().unwrap().len(), MAX_LISTED_FIELDS);
        assert!(parse_object(br#"{"a":[{"b":1}]} x"#, ListItems::Objects).is_err());
    }

    #[test]
    fn duplicate_fields_are_rejected() {
        assert_eq!(texts(br#"{"a": 1, "b": {"a": 2}}"#).unwrap().len(), 2);
        let Err(Error::Malformed { message, details }) = texts(br#"{"a": 1, "b": 2, "\u0061": 1, "c": 0, "c": 0}"#) else {
            panic!("the body was accepted")
        };
        assert_eq!(message, "The request body has duplicate fields: a, c.");
        assert_eq!(details.keys().collect::<Vec<_>>(), ["a", "c"]);
    }

    #[test]
    fn nested_and_excess_values_are_not_kept() {
        let read = |text: &str| Value::Object(texts(text.as_bytes()).unwrap());
        let plain = r#"{"a":["x",1,-1,1.5,true,null],"b":null,"c":"\u00fc"}"#;
        assert_eq!(read(plain), serde_json::from_str::<Value>(plain).unwrap());
        assert_eq!(read(r#"{"a":{"b":[1]},"c":[["d"],{"e":1}]}"#), serde_json::json!({"a": {}, "c": [[], {}]}));
        let long = format!(r#"{{"a":[{}0]}}"#, "0,".repeat(100_000));
        assert_eq!(read(&long)["a"].as_array().unwrap().len(), MAX_ENTRIES);
        let fields: Vec<String> = (0..5000).map(|number| format!("\"{number}\":0")).collect();
        assert_eq!(read(&format!("{{{}}}", fields.join(","))).as_object().unwrap().len(), MAX_ENTRIES);
        assert!(texts(format!(r#"{{"a":[{}]}}"#, "0,".repeat(300)).as_bytes()).is_err());
    }

    #[test]
    fn a_byte_order_mark_is_ignored() {
        assert_eq!(texts("\u{feff}{\"title\":\"x\"}".as_bytes()).unwrap()["title"], "x");
    }

    #[test]
    fn other_json_values_and_invalid_json_are_different_errors() {
        for other in ["[]", "1", "null", "\"a\"", " [{}, 1] "] {
            assert!(matches!(texts(other.as_bytes()), Err(Error::Invalid(_))), "{other}");
        }
        for broken in ["", "{", "[1", "{\"a\"}", "{} x", "[] x", "nul", "{\"a\": 1e999}", "\u{feff}\u{feff}{}"] {
            assert!(matches!(texts(broken.as_bytes()), Err(Error::Malformed { .. })), "{broken}");
        }
    }
}
