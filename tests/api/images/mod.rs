//! Tests of images: upload, lists, thumbnails, resized images and the trash.

mod content_credentials;
mod idempotency;
mod lifecycle;
mod limits;
mod listing;
mod location;
mod presigned_urls;
mod reference_model;
mod resize_urls;
mod thumbnails;
mod trash;
mod uploads;
mod url_revocation;
mod variant_lifecycle;
mod variant_quota;
mod variants;
mod visibility;
