//! What a client says about an image when it uploads the file.

use super::image::Visibility;
use super::tag::Tag;
use super::text::{Description, Title};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UploadProperties {
    pub title: Option<Title>,
    pub description: Option<Description>,
    pub tags: Vec<Tag>,
    pub visibility: Visibility,
    /// Keeps location metadata. The caller must have checked [`crate::service::Service::may_keep_location`].
    pub keep_location: bool,
    /// As the client sent it; the upload sanitizes it.
    pub file_name: Option<String>,
}
