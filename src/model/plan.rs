//! Plans: what an account is given.

use super::image::ThumbnailSize;
pub use super::name::PlanName;

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub name: PlanName,
    pub features: Features,
    /// Whether it came with the service; such a plan can be changed, but not deleted.
    pub built_in: bool,
}

/// What a plan gives. It is the owner's plan that counts, whoever looks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Features {
    /// Which of the service's thumbnails.
    pub thumbnails: Vec<ThumbnailSize>,
    /// Whether originals can be downloaded and linked to.
    pub original: bool,
    /// Whether links that expire can be made, which lead to originals.
    pub expiring_links: bool,
    /// Whether pictures of any size can be asked for.
    pub custom_sizes: bool,
    /// Whether pictures can be imported from URLs.
    pub imports: bool,
    /// Bytes of all originals together that are not deleted, and of their resized images, which give way to originals.
    pub max_bytes: Option<u64>,
    /// Images that are not deleted.
    pub max_images: Option<u64>,
}

/// What of a quota is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub images: u64,
    /// Of originals.
    pub bytes: u64,
    /// Of resized images.
    pub variant_bytes: u64,
}
