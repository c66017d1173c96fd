//! The fields of a JSON body. Each is checked against its rule, and all invalid fields are reported together.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use http::HeaderMap;
use serde_json::{Map, Value};

use super::declared::{RequestFields, Source};
use super::fields::FieldErrors;
use super::json;
use crate::http::error::ApiError;
use crate::service::error::Error;

/// The fields that are not parsed yet. Take the fields that the operation knows, then call [`JsonFields::finish`].
#[derive(Debug)]
pub struct JsonFields {
    fields: Map<String, Value>,
    pub errors: FieldErrors,
}

impl JsonFields {
    /// Reads a body with a few short fields.
    ///
    /// # Errors
    /// The body is not a JSON object, too large, or too slow.
    pub async fn read(headers: &HeaderMap, body: Body) -> Result<Self, ApiError> {
        let fields = json::read_object(headers, body, json::SMALL_BODY_BYTES).await?;
        Ok(Self { fields, errors: FieldErrors::default() })
    }

    /// Like [`JsonFields::read`], for a body with lists of objects.
    ///
    /// # Errors
    /// As for [`JsonFields::read`].
    pub async fn read_with_lists(headers: &HeaderMap, body: Body) -> Result<Self, ApiError> {
        let fields = json::read_object_of_lists(headers, body, json::SMALL_BODY_BYTES).await?;
        Ok(Self { fields, errors: FieldErrors::default() })
    }

    /// Reads a body of a few short texts as the fields that `T` declares.
    ///
    /// # Errors
    /// As for [`JsonFields::read`], or fields are invalid, missing or unknown.
    pub async fn parse<T: RequestFields<Source = Self>>(headers: &HeaderMap, body: Body) -> Result<T, ApiError> {
        Ok(T::read(Self::read(headers, body).await?)?)
    }

    /// Returns the fields of an object in a list.
    pub fn from_object(fields: Map<String, Value>) -> Self {
        Self { fields, errors: FieldErrors::default() }
    }

    /// Whether a field is present, valid or not.
    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Takes an optional field.
    pub fn take<T>(&mut self, name: &str, parse: impl FnOnce(Value) -> Result<T, String>) -> Option<T> {
        let value = self.fields.remove(name)?;
        self.errors.check(name, parse(value))
    }

    /// Takes a required field.
    pub fn require<T>(&mut self, name: &str, parse: impl FnOnce(Value) -> Result<T, String>) -> Option<T> {
        if !self.fields.contains_key(name) {
            self.errors.add(name, "is required");
        }
        self.take(name, parse)
    }

    /// Rejects the remaining fields as unknown.
    ///
    /// # Errors
    /// A field is invalid or unknown.
    pub fn finish(mut self) -> Result<(), Error> {
        for name in self.fields.keys() {
            self.errors.add_unknown(name, "a field");
        }
        self.errors.finish()
    }
}

impl Source for JsonFields {
    fn finish(self) -> Result<(), Error> {
        Self::finish(self)
    }
}

/// A body of a few short texts, parsed as the fields that `T` declares.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<S: Sync, T: RequestFields<Source = JsonFields>> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        Ok(Self(JsonFields::parse(&parts.headers, body).await?))
    }
}

/// Unwraps the value of [`JsonFields::require`] after [`JsonFields::finish`] found no error.
///
/// # Errors
/// The value is missing, which is a bug of the service.
pub fn required<T>(value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| Error::internal("a required field is missing, but no error was reported"))
}

/// Parses a string.
///
/// # Errors
/// The rule, worded for the client.
pub fn text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err("must be a string".to_owned()),
    }
}

/// Parses a boolean.
///
/// # Errors
/// The rule, worded for the client.
pub fn boolean(value: Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "must be true or false".to_owned())
}

/// Parses an integer from `least` to `most`.
pub fn integer(least: u64, most: u64) -> impl FnOnce(Value) -> Result<u64, String> {
    move |value| {
        let number = value.as_u64().or_else(|| whole(value.as_f64()?)).filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| format!("must be a whole number from {least} to {most}"))
    }
}

/// Parses an integer from `least` to `most` that fits into 32 bits.
pub fn small_integer(least: u32, most: u32) -> impl FnOnce(Value) -> Result<u32, String> {
    move |value| integer(least.into(), most.into())(value).map(|number| u32::try_from(number).unwrap_or(most))
}

/// JSON Schema accepts 5.0 as an integer.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole, positive and small enough")]
fn whole(number: f64) -> Option<u64> {
    (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64)
}

/// Parses null as `None`.
pub fn or_null<T>(parse: impl FnOnce(Value) -> Result<T, String>) -> impl FnOnce(Value) -> Result<Option<T>, String> {
    move |value| if value.is_null() { Ok(None) } else { parse(value).map(Some) }
}
