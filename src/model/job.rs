//! Jobs: lists of URLs whose pictures the service imports.

use chrono::{DateTime, Utc};

use super::caller::UserId;
use super::id::ImageId;
pub use super::id::JobId;
use super::image::Visibility;

/// A job as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    pub user_id: UserId,
    /// Of its images.
    pub visibility: Visibility,
    /// URLs, each of which is an item.
    pub total: u32,
    pub complete: u32,
    pub failed: u32,
    /// When the first item was begun.
    pub started_at: Option<DateTime<Utc>>,
    /// When nothing was left to do.
    pub finished_at: Option<DateTime<Utc>>,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    /// No item has been begun.
    Pending,
    InProgress,
    /// Nothing is left to do, though items may have failed.
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

/// What has become of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemState {
    /// It is to be fetched, is being fetched, or waits to be tried again.
    Pending,
    Complete(ImageId),
    /// With the reason, for a person.
    Failed(String),
}
