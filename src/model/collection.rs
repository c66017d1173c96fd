//! Collections: named lists of images.

use chrono::{DateTime, Utc};

use super::caller::UserId;
pub use super::id::CollectionId;
use super::id::ImageId;
use super::image::{Image, Visibility};
pub use super::name::CollectionName;

/// A collection without its images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    pub id: CollectionId,
    pub name: CollectionName,
    pub user_id: UserId,
    pub visibility: Visibility,
    pub updated_at: DateTime<Utc>,
}

impl Collection {
    /// Returns whether `viewer` may see the collection.
    pub fn is_visible_to(&self, viewer: Option<&UserId>) -> bool {
        self.visibility == Visibility::Public || viewer == Some(&self.user_id)
    }
}

/// An image in a collection, without its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionItem {
    pub collection: CollectionId,
    pub image: ImageId,
    /// The owner of the image.
    pub owner: UserId,
    pub visibility: ItemVisibility,
}

/// Who sees an image in a collection: the same as for the image itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemVisibility {
    Public,
    Private,
    /// The image is deleted.
    Hidden,
}

impl ItemVisibility {
    pub fn of(image: &Image) -> Self {
        match (image.deleted_at, image.visibility) {
            (Some(_), _) => Self::Hidden,
            (None, Visibility::Public) => Self::Public,
            (None, Visibility::Private) => Self::Private,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Hidden => "hidden",
        }
    }

    /// Parses [`ItemVisibility::name`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Public, Self::Private, Self::Hidden].into_iter().find(|visibility| visibility.name() == name)
    }
}
