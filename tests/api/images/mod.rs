//! Tests of images: upload, lists, thumbnails, resized images and the trash.

mod adoption;
mod adoption_races;
mod cached_files;
mod cached_metadata;
mod cached_races;
mod content_credentials;
mod counters;
mod idempotency;
mod lifecycle;
mod limits;
mod listing;
mod location;
mod paging;
mod presigned_urls;
mod reference_model;
mod resize_sizes;
mod resize_urls;
mod thumbnails;
mod trash;
mod upload_fields;
mod uploads;
mod url_revocation;
mod variant_lifecycle;
mod variant_quota;
mod variants;
mod visibility;
