//! Names chosen by users, each kind with its own type: 1–64 letters A-Z and a-z, digits, hyphens and underscores.

use std::fmt;

const MAX_CHARS: usize = 64;

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
            pub struct $name(String);

            impl $name {
                /// # Errors
                /// The rule that `text` breaks, in words for the client.
                pub fn parse(text: &str) -> Result<Self, String> {
                    check_name(text).map(|()| Self(text.to_owned()))
                }

                pub fn as_str(&self) -> &str {
                    &self.0
                }

                pub fn from_stored(text: String) -> Self {
                    Self(text)
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(&self.0)
                }
            }
        )*
    };
}

names! {
    /// The name of a plan.
    PlanName;
    /// The name of a collection.
    CollectionName;
}

fn check_name(text: &str) -> Result<(), String> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if plain && (1..=MAX_CHARS).contains(&text.len()) {
        return Ok(());
    }
    Err(format!("must have 1 to {MAX_CHARS} letters A-Z and a-z, digits, hyphens and underscores"))
}
