//! An upload as the service receives it, and what it returns.

use bytes::Bytes;

use super::idempotency_key::IdempotencyKey;
use super::presigned_urls::Links;
use crate::model::caller::UserId;
use crate::model::image::{Image, Visibility};
use crate::model::tag::Tag;
use crate::model::text::{Description, Title};
use crate::store::jobs::import_queue;

/// A file as it was received, with the texts that describe it.
#[derive(Debug, Clone)]
pub struct Upload {
    pub user_id: UserId,
    pub title: Option<Title>,
    pub description: Option<Description>,
    pub tags: Vec<Tag>,
    pub visibility: Visibility,
    /// Keeps location metadata. The caller must have checked [`crate::service::Service::may_keep_location`].
    pub keep_location: bool,
    /// As the client sent it; the upload sanitizes it.
    pub file_name: Option<String>,
    pub bytes: Bytes,
    pub origin: Origin,
}

/// Where a file comes from, and so which row is completed in the transaction that stores the image.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A request, perhaps with an idempotency key.
    Request(Option<IdempotencyKey>),
    /// An item of an import job.
    Import(import_queue::Claim),
}

impl Upload {
    pub(in crate::service) fn idempotency_key(&self) -> Option<&IdempotencyKey> {
        match &self.origin {
            Origin::Request(key) => key.as_ref(),
            Origin::Import(_) => None,
        }
    }
}

/// The stored image, and links to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Uploaded {
    pub image: Image,
    pub links: Links,
}
