//! SQL statements as the store modules write them: `&'static str` text and bound values, so that input cannot become SQL.
//! Independent of the database in use.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A statement: its text and the values bound to `$1`, `$2`, …
#[derive(Debug, Clone)]
pub struct Sql {
    pub(in crate::store) text: Cow<'static, str>,
    pub(in crate::store) values: Vec<Value>,
}

impl Sql {
    pub fn new(text: &'static str) -> Self {
        Self { text: Cow::Borrowed(text), values: Vec::new() }
    }

    /// Binds the next `$n` in the text.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Appends text.
    pub fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.to_mut().push_str(text);
        self
    }

    /// Appends the next `$n`, bound to `value`.
    pub fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        let number = self.values.len();
        let text = self.text.to_mut();
        text.push('$');
        text.push_str(&number.to_string());
        self
    }

    /// Appends `limit`, as text: with a bound limit, both databases would plan the statement again on every run. PostgreSQL assumes
    /// that an unknown limit reaches a tenth of the rows, and SQLite's plans may depend on bound values. A list has at most as many
    /// texts as page sizes.
    pub fn push_limit(&mut self, rows: u32) -> &mut Self {
        let text = self.text.to_mut();
        text.push_str(" limit ");
        text.push_str(&rows.to_string());
        self
    }
}

/// A value that can be bound: the types that mean the same on both databases.
#[derive(Debug, Clone)]
pub enum Value {
    Bool(bool),
    Integer(Option<i64>),
    Text(Option<String>),
    Bytes(Vec<u8>),
    Uuid(Option<Uuid>),
    /// Truncated to microseconds, PostgreSQL's resolution.
    Time(Option<DateTime<Utc>>),
    /// An array or an object. A bare number is not supported: SQLite's text affinity would change its type.
    Json(serde_json::Value),
}

macro_rules! value_from {
    ($($from:ty => $value:ident => $variant:expr;)*) => {
        $(impl From<$from> for Value { fn from($value: $from) -> Self { $variant } })*
    };
}
value_from! {
    bool => value => Self::Bool(value);
    Option<i64> => value => Self::Integer(value);
    i64 => value => Self::Integer(Some(value));
    u32 => value => Self::Integer(Some(i64::from(value)));
    u8 => value => Self::Integer(Some(i64::from(value)));
    &str => value => Self::Text(Some(value.to_owned()));
    String => value => Self::Text(Some(value));
    Option<String> => value => Self::Text(value);
    Vec<u8> => value => Self::Bytes(value);
    Uuid => value => Self::Uuid(Some(value));
    Option<Uuid> => value => Self::Uuid(value);
    DateTime<Utc> => value => Self::Time(Some(value));
    Option<DateTime<Utc>> => value => Self::Time(value);
    serde_json::Value => value => Self::Json(value);
}
