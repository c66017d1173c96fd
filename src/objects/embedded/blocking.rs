//! What all operations share: blocking work runs off the runtime, and storage failures become `InternalError`.

use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use super::storage_error::StorageError;
use crate::objects::error_chain::error_chain;

/// Runs blocking work on the blocking thread pool. The work completes even if the client disconnects.
pub(super) async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> S3Result<T> + Send + 'static) -> S3Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panicked) => {
            tracing::error!("a task of the embedded S3 server panicked: {panicked}");
            Err(S3ErrorCode::InternalError.into())
        }
    }
}

/// Logs a storage error and returns `InternalError` without its details: clients must not see paths.
pub(super) fn internal_error(error: StorageError) -> S3Error {
    tracing::error!("the embedded object store failed: {}", error_chain(&error));
    s3_error!(InternalError, "The server failed to read or write the object.")
}
