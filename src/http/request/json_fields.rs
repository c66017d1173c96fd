//! The fields of a JSON body, each by its rule, and all broken ones at once.

use axum::body::Body;
use http::HeaderMap;
use serde_json::{Map, Value};

use super::fields::FieldErrors;
use super::json;
use crate::http::error::ApiError;
use crate::service::error::Error;

/// Take the fields that the operation knows, then [`JsonFields::finish`].
#[derive(Debug)]
pub struct JsonFields {
    fields: Map<String, Value>,
    pub errors: FieldErrors,
}

impl JsonFields {
    /// Reads a body of a few short texts.
    ///
    /// # Errors
    /// The body is no JSON object, too long, or too slow.
    pub async fn read(headers: &HeaderMap, body: Body) -> Result<Self, ApiError> {
        let fields = json::read_object(headers, body, json::SMALL_BODY_BYTES).await?;
        Ok(Self { fields, errors: FieldErrors::default() })
    }

    /// As [`JsonFields::read`], for a body that has lists of objects.
    ///
    /// # Errors
    /// As [`JsonFields::read`].
    pub async fn read_with_lists(headers: &HeaderMap, body: Body) -> Result<Self, ApiError> {
        let fields = json::read_object_of_lists(headers, body, json::SMALL_BODY_BYTES).await?;
        Ok(Self { fields, errors: FieldErrors::default() })
    }

    /// The fields of an object in a list.
    pub fn from_object(fields: Map<String, Value>) -> Self {
        Self { fields, errors: FieldErrors::default() }
    }

    /// A field that may be absent.
    pub fn take<T>(&mut self, name: &str, parse: impl FnOnce(Value) -> Result<T, String>) -> Option<T> {
        let value = self.fields.remove(name)?;
        self.errors.check(name, parse(value))
    }

    /// A field that must be there.
    pub fn require<T>(&mut self, name: &str, parse: impl FnOnce(Value) -> Result<T, String>) -> Option<T> {
        if !self.fields.contains_key(name) {
            self.errors.add(name, "is required");
        }
        self.take(name, parse)
    }

    /// # Errors
    /// Any rule was broken, or a field is not known.
    pub fn finish(mut self) -> Result<(), Error> {
        for name in self.fields.keys() {
            self.errors.add_unknown(name, "a field");
        }
        self.errors.finish()
    }
}

/// What was asked for with [`JsonFields::require`], once [`JsonFields::finish`] has found nothing broken.
///
/// # Errors
/// It is not there after all: a fault of the service.
pub fn required<T>(value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| Error::internal("a required field is missing, and no rule said so"))
}

/// # Errors
/// The rule, in words for the client.
pub fn text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err("must be a text".to_owned()),
    }
}

/// # Errors
/// The rule, in words for the client.
pub fn boolean(value: Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "must be true or false".to_owned())
}

/// A whole number from `least` to `most`.
pub fn integer(least: u64, most: u64) -> impl FnOnce(Value) -> Result<u64, String> {
    move |value| {
        let number = value.as_u64().or_else(|| whole(value.as_f64()?)).filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| format!("must be a whole number from {least} to {most}"))
    }
}

/// JSON Schema takes 5.0 for an integer.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole, positive and small enough")]
fn whole(number: f64) -> Option<u64> {
    (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64)
}

/// `None` for null.
pub fn or_null<T>(parse: impl FnOnce(Value) -> Result<T, String>) -> impl FnOnce(Value) -> Result<Option<T>, String> {
    move |value| if value.is_null() { Ok(None) } else { parse(value).map(Some) }
}
