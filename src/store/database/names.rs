//! Reads names of the model, such as formats, in JSON columns.

use std::fmt;
use std::marker::PhantomData;

use crate::model::color::Color;
use crate::model::image::{Format, ThumbnailSize};

/// Deserializes a name of the model without allocating a string.
pub(in crate::store) fn deserialize_name<'de, D: serde::Deserializer<'de>, T: Named>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_str(NameVisitor(PhantomData))
}

/// A type of the model that is stored by name.
pub(in crate::store) trait Named: Sized {
    const EXPECTED: &'static str;
    fn from_name(text: &str) -> Option<Self>;
}

struct NameVisitor<T>(PhantomData<T>);

impl<T: Named> serde::de::Visitor<'_> for NameVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        T::from_name(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

macro_rules! named {
    ($($type:ty = $expected:literal;)*) => {
        $(impl Named for $type {
            const EXPECTED: &'static str = $expected;
            fn from_name(text: &str) -> Option<Self> {
                Self::parse(text)
            }
        })*
    };
}
named! {
    Format = "a format";
    ThumbnailSize = "a thumbnail's size";
    Color = "a colour";
}
