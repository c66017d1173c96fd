//! The error of an invalid setting.

/// An invalid setting.
#[derive(Debug, thiserror::Error)]
#[error("invalid {variable}: {reason}")]
pub struct ConfigError {
    /// Name of the environment variable.
    pub variable: &'static str,
    /// The rule that the value breaks, as a phrase such as "must be at least 1".
    pub reason: String,
}

/// Returns an error for `variable` unless `is_valid`.
pub(super) fn require(is_valid: bool, variable: &'static str, reason: &str) -> Result<(), ConfigError> {
    if is_valid { Ok(()) } else { Err(ConfigError { variable, reason: reason.to_owned() }) }
}
