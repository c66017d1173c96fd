//! The error of an invalid setting.

/// An invalid setting.
#[derive(Debug, thiserror::Error)]
#[error("{variable} cannot be used: {reason}")]
pub struct ConfigError {
    /// Name of the environment variable.
    pub variable: &'static str,
    pub reason: String,
}

/// Returns an error for `variable` unless `is_valid`.
pub(super) fn require(is_valid: bool, variable: &'static str, reason: &str) -> Result<(), ConfigError> {
    if is_valid { Ok(()) } else { Err(ConfigError { variable, reason: reason.to_owned() }) }
}
