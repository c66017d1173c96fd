//! Import jobs: lists of URLs whose images the service imports.

use chrono::{DateTime, Utc};

use super::caller::UserId;
use super::id::ImageId;
pub use super::id::JobId;
use super::image::Visibility;

/// An import job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    pub user_id: UserId,
    /// Visibility of the job's images.
    pub visibility: Visibility,
    /// Number of URLs, each of which is an item.
    pub total: u32,
    pub complete: u32,
    pub failed: u32,
    /// When the first item was claimed.
    pub started_at: Option<DateTime<Utc>>,
    /// When the last item was settled.
    pub finished_at: Option<DateTime<Utc>>,
}

/// The progress of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    /// No item has been claimed.
    Pending,
    InProgress,
    /// All items are settled; some may have failed.
    Complete,
}

impl Job {
    pub fn status(&self) -> JobStatus {
        match (self.started_at, self.finished_at) {
            (_, Some(_)) => JobStatus::Complete,
            (Some(_), None) => JobStatus::InProgress,
            (None, None) => JobStatus::Pending,
        }
    }
}

/// One URL of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// As the client wrote it.
    pub url: String,
    pub state: ItemState,
}

/// The state of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemState {
    /// Waiting to be fetched or retried, or being fetched.
    Pending,
    Complete(ImageId),
    /// The reason, in words for people.
    Failed(String),
}
