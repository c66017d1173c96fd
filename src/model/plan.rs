//! Plans: what accounts may use.

pub use super::name::PlanName;
use super::thumbnail::ThumbnailSize;

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub name: PlanName,
    pub features: Features,
    /// Whether the plan is built in; such a plan can be changed, but not deleted.
    pub built_in: bool,
}

/// What a plan allows. The plan of an image's owner applies, regardless of who requests the image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Features {
    /// The configured thumbnails that are included.
    pub thumbnails: Vec<ThumbnailSize>,
    /// Whether originals can be downloaded and linked to.
    pub original: bool,
    /// Whether expiring links, which lead to originals, can be created.
    pub expiring_links: bool,
    /// Whether resized images of any permitted size can be requested.
    pub custom_sizes: bool,
    /// Whether images can be imported from URLs.
    pub imports: bool,
    /// Maximum bytes of all originals that are not deleted and of their resized images, which are removed when an original needs
    /// the space.
    pub max_bytes: Option<u64>,
    /// Maximum number of images that are not deleted.
    pub max_images: Option<u64>,
}

/// How much of a quota is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub images: u64,
    /// Bytes of originals.
    pub bytes: u64,
    /// Bytes of resized images.
    pub variant_bytes: u64,
}
