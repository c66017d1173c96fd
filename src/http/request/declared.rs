//! Declares requests once: a struct is both the OpenAPI schema of its fields and the rules that parse them.

use crate::service::error::Error;

/// What fields are taken from.
pub trait Source {
    /// Rejects what has not been taken.
    ///
    /// # Errors
    /// A field is invalid or unknown.
    fn finish(self) -> Result<(), Error>;
}

/// A struct that the macro `request_fields` declares.
pub trait RequestFields: Sized {
    type Source: Source;

    /// Takes the fields and notes all invalid ones. Returns `None` if a required field is missing or invalid.
    fn take(from: &mut Self::Source) -> Option<Self>;

    /// Takes the fields and rejects all others.
    ///
    /// # Errors
    /// Fields are invalid, missing or unknown; all of them are reported together.
    fn read(mut from: Self::Source) -> Result<Self, Error> {
        let fields = Self::take(&mut from);
        from.finish()?;
        fields.ok_or_else(|| Error::internal("a required field is missing, but no error was reported"))
    }
}

/// Declares a struct whose fields come from a request: the documentation and OpenAPI attributes of each field, its type, and the
/// rule that parses it.
///
/// `require(rule)` takes a required field, and the field has the type that the rule returns. `take(rule)` takes an optional field,
/// and the field is an `Option`. `take(rule) or default` takes an optional field with a default.
macro_rules! request_fields {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident from $source:ty {
            $($(#[$field_meta:meta])* $field:ident: $type:ty = $method:ident($rule:expr) $(or $default:expr)?,)*
        }
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $($(#[$field_meta])* $field: $type,)*
        }

        impl crate::http::request::declared::RequestFields for $name {
            type Source = $source;

            fn take(from: &mut $source) -> Option<Self> {
                $(let $field = from.$method(stringify!($field), $rule);)*
                Some(Self { $($field: crate::http::request::declared::request_fields!(@value $method $field $(or $default)?),)* })
            }
        }
    };
    (@value require $field:ident) => { $field? };
    (@value $method:ident $field:ident) => { $field };
    (@value $method:ident $field:ident or $default:expr) => { $field.unwrap_or($default) };
}

pub(in crate::http) use request_fields;
