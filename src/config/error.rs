//! The error of an invalid setting.

/// An invalid setting.
#[derive(Debug, thiserror::Error)]
#[error("{variable} cannot be used: {reason}")]
pub struct ConfigError {
    /// Name of the environment variable.
    pub variable: &'static str,
    pub reason: String,
}

/// Returns an error for `variable` unless the rule holds.
pub(super) fn require(holds: bool, variable: &'static str, reason: &str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError { variable, reason: reason.to_owned() }) }
}
