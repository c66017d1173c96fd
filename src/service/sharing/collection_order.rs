//! The order of a collection, which its owner changes by moving images.
//!
//! Positions are integers with gaps. An image that is moved gets a position in the middle of the gap, so usually one row changes.
//! Without a gap, the items that follow are spread, and only towards the end: somebody who is paging through the collection may
//! then see an image twice, but misses none.
//!
//! Locks are taken in the order of `collection_items.rs`. Spreading changes items of images that are not locked, so it takes the
//! cleanup lock first.

use chrono::{DateTime, Utc};

use crate::model::caller::{Caller, UserId};
use crate::model::collection::{CollectionId, CollectionName};
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::service::Service;
use crate::service::error::Error;
use crate::service::identity::permissions;
use crate::service::images::presigned_urls::Links;
use crate::service::sharing::collection_items::visible;
use crate::service::sharing::collections::lock;
use crate::service::time::truncate_to_micros;
use crate::store::database::db::Run;
use crate::store::sharing::{collection_order, collections};
use crate::store::{self, Tx};

/// An image at the beginning gets a position that is lower by this: a second, so that the next ones fit between.
const STEP_TO_BEGINNING: i64 = 1 << 20;

/// How many items are spread, and the least gap that they get. More are spread only where so many images were moved to one place
/// that fewer have no space left.
///
/// This bounds the work of one request. It also bounds the average, because gaps double from one size to the next: a spread of one
/// size is needed only after many images were moved there. In a simulation, sorting 100,000 images by moving each behind the first
/// changes 25 rows per move. Images are added [`collections::STEP`] apart, which is more than the largest gap here, so there is always
/// space, unless an older version added tens of thousands while the clock was set back.
const SPREADS: [(u32, i64); 6] = [(32, 2), (128, 4), (512, 8), (2048, 16), (8192, 32), (32_768, 1)];

impl Service {
    /// Moves an image of a collection behind another one, or to the beginning.
    ///
    /// # Errors
    /// The caller is not authenticated, there is no such collection, it belongs to another user, or one of the images is not in it,
    /// as far as the caller can see.
    pub async fn move_in_collection(
        &self,
        caller: &Caller,
        name: &CollectionName,
        id: ImageId,
        after: Option<ImageId>,
    ) -> Result<(Image, Links), Error> {
        let user = permissions::writer(caller)?;
        let collection = self.own_collection(&user.id, name).await?;
        // Before anything is locked, so that invalid requests delay no other.
        find_place(&self.db, &user.id, collection.id, id, after).await?;
        let mut signer = self.signer().await?;
        let mut tx = self.db.begin().await?;
        let image = visible(store::images::lock(&mut tx, id).await?, &user.id).map_err(|_| Error::NotInCollection)?;
        let collection = lock(&mut tx, &user.id, name).await?;
        let (position, last) = find_place(&mut tx, &user.id, collection.id, id, after).await?;
        let next = collection_order::find_next(&mut tx, collection.id, id, last).await?;
        let is_there = last.is_none_or(|last| last < position) && next.is_none_or(|next| position < next);
        if !is_there {
            let now = truncate_to_micros(self.clock.now());
            let position = choose_position(&mut tx, collection.id, id, last, next, now).await?;
            collection_order::set_position(&mut tx, collection.id, id, position).await?;
            collections::touch(&mut tx, collection.id, now).await?;
        }
        tx.commit().await?;
        let links = self.links(&mut signer, &image);
        Ok((image, links))
    }
}

/// Returns the position of an image, and that of the image that it is moved behind, if there is one.
async fn find_place(
    run: impl Run,
    user: &UserId,
    collection: CollectionId,
    id: ImageId,
    after: Option<ImageId>,
) -> Result<(i64, Option<i64>), Error> {
    let [position, last] = collection_order::find_positions(run, collection, [id, after.unwrap_or(id)], user).await?;
    let position = position.ok_or(Error::NotInCollection)?;
    match after {
        None => Ok((position, None)),
        Some(after) if after == id => Err(Error::invalid("after", "must be another image than the one that is moved")),
        Some(_) => Ok((position, Some(last.ok_or_else(|| Error::invalid("after", "must be an image of the collection"))?))),
    }
}

/// Returns a free position between two neighbours, of which there may be none.
async fn choose_position(
    tx: &mut Tx,
    collection: CollectionId,
    moved: ImageId,
    last: Option<i64>,
    next: Option<i64>,
    now: DateTime<Utc>,
) -> Result<i64, Error> {
    match (last, next) {
        (Some(last), Some(next)) if next - last < 2 => make_space(tx, collection, moved, last, now).await,
        (Some(last), Some(next)) => Ok(last + (next - last) / 2),
        (None, Some(next)) => Ok(next - STEP_TO_BEGINNING),
        (_, None) => Ok(collections::next_position(tx, collection, collections::STEP, now).await?),
    }
}

/// Spreads the items after `last`. Returns a free position behind it.
async fn make_space(tx: &mut Tx, collection: CollectionId, moved: ImageId, last: i64, now: DateTime<Utc>) -> Result<i64, Error> {
    collections::lock_cleanup(tx).await?;
    for (size, least_gap) in SPREADS {
        // The one after those that are spread stays.
        let (found, mut end) = collection_order::measure(&mut *tx, collection, moved, last, size + 1).await?;
        let count = found.min(i64::from(size));
        if found == count {
            // They are all that follow, so the space behind them is free.
            end = collections::next_position(tx, collection, (count + 1) * collections::STEP, now).await?;
        }
        let gap = (end - last - 1) / (count + 1);
        if gap >= least_gap {
            collection_order::spread(tx, collection, moved, last, gap, size).await?;
            return Ok(last + gap);
        }
    }
    Err(Error::Conflict { message: "Too many images were moved to this place. Move the image to another one.".to_owned() })
}
