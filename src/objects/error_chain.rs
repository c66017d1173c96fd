//! Formatting of an error with its causes, for logs and for errors that keep a cause as text.

use std::error::Error;

/// Returns the error and all its causes on one line, separated by `: `.
pub(super) fn error_chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
