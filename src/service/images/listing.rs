//! Lists of images.

use std::sync::Arc;

use super::presigned_urls::LinkSigner;
use super::total_count::{counter_of_set, covering_counter};
use crate::model::caller::Caller;
use crate::model::collection::CollectionName;
use crate::model::counter::Counter;
use crate::model::filter::{ImageFilter, Part, Search};
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::model::page::PageToken;
use crate::service::Service;
use crate::service::admission::fair_queue::TurnKey;
use crate::service::error::Error;
use crate::service::identity::permissions;
use crate::service::paging::parse_page_token;
use crate::store::{self, Reader};

/// A page of a list of images, newest first.
pub struct ImagePage<'a> {
    pub images: Vec<Arc<Image>>,
    /// Creates the links of the images.
    pub signer: LinkSigner<'a>,
    /// The exact number of images that match the filter.
    pub total: u64,
    /// The token of the next page; `None` on the last page.
    pub next: Option<String>,
}

impl Service {
    /// Lists a page of the live images that match `filter`, are in `collection`, and are visible to the caller. Rows that no
    /// counter covers are counted when it is the turn of `key`.
    ///
    /// # Errors
    /// The API key lacks the read scope, the page token is not of this list and filter, or the turn does not come in time.
    pub async fn list_images(
        &self,
        caller: &Caller,
        key: &TurnKey,
        mut filter: ImageFilter,
        collection: Option<&CollectionName>,
        limit: u32,
        token: Option<&str>,
    ) -> Result<ImagePage<'_>, Error> {
        let viewer = permissions::viewer(caller)?;
        let parts = filter.parts(viewer);
        if let Some(name) = collection {
            filter.collection = Some(self.visible_collection(viewer, name).await?.id);
        }
        let fingerprint = filter.fingerprint();
        let last = parse_page_token(token, &fingerprint)?.map(|token| ImageId::from(token.last));
        let (images, next_after, total) = self.page_and_total(key, &filter, &parts, last, limit).await?;
        let next = next_after.map(|last| PageToken { last: last.uuid() }.encode(&fingerprint));
        Ok(ImagePage { images, signer: self.link_signer().await?, total, next })
    }

    /// Returns up to `limit` images, the last one if there are more, and how many match in total: with one statement if counters
    /// cover the filter.
    async fn page_and_total(
        &self,
        key: &TurnKey,
        filter: &ImageFilter,
        parts: &[Part],
        last: Option<ImageId>,
        limit: u32,
    ) -> Result<(Vec<Arc<Image>>, Option<ImageId>, u64), Error> {
        let covering: Option<Vec<Counter>> = parts.iter().map(|part| covering_counter(filter, part)).collect();
        if let Some(counters) = covering {
            // Only filters with at most one set have a counter, so there is no order of sets to choose.
            let searches: Vec<Search> = parts.iter().map(|part| Search { part: part.clone(), sets: filter.sets() }).collect();
            let page = self.image_cache.page(&self.db, filter, &searches, (last, limit), &counters).await?;
            let total = match page.sum {
                Some(sum) => sum,
                None => store::images::counters::read_sum(&self.db, &counters).await?,
            };
            return Ok((page.images, page.next_after, total));
        }
        let mut reader = self.db.reader().await?;
        let mut searches = Vec::with_capacity(parts.len());
        for part in parts {
            searches.push(smallest_set_first(&mut reader, filter, part).await?);
        }
        let mut images = store::images::lists::page(&mut reader, filter, &searches, last, limit + 1).await?;
        let has_more = images.len() > limit as usize;
        images.truncate(limit as usize);
        let next_after = images.last().filter(|_| has_more).map(|image| image.id);
        let total = self.count_images(key, reader, filter, parts).await?;
        Ok((images.into_iter().map(Arc::new).collect(), next_after, total))
    }
}

/// Orders the sets by size: the search scans the first set's images, so the smallest must come first.
async fn smallest_set_first(reader: &mut Reader, filter: &ImageFilter, part: &Part) -> Result<Search, Error> {
    let mut sets = filter.sets();
    if sets.len() > 1 {
        let mut counted = Vec::with_capacity(sets.len());
        for set in sets {
            counted.push((store::images::counters::read(&mut *reader, &counter_of_set(filter, part, &set)).await?, set));
        }
        counted.sort();
        sets = counted.into_iter().map(|(_, set)| set).collect();
    }
    Ok(Search { part: part.clone(), sets })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::model::caller::UserId;
    use crate::model::collection::CollectionId;
    use crate::model::counter::Counter;
    use crate::model::filter::Set;
    use crate::model::tag::Tag;
    use crate::store::database::db::{Db, DbConfig, Location};

    #[tokio::test]
    async fn a_search_begins_with_the_set_that_has_the_fewest_images() {
        let folder = tempfile::tempdir().unwrap();
        let (location, timeout) = (Location::Sqlite(folder.path().join("sets.sqlite")), Duration::from_secs(30));
        let db = Db::open(&DbConfig { location, max_connections: 1, timeout, statement_timeout: timeout }).await.unwrap();
        store::database::migrate::run(&db).await.unwrap();
        let (sea, sun) = (Tag::parse("sea").unwrap(), Tag::parse("sun").unwrap());
        let (collection, alice) = (CollectionId::from(Uuid::from_u128(7)), UserId::parse("alice").unwrap());
        let counters = vec![
            (Counter::tag(&sea), 400_000),
            (Counter::tag(&sun), 5),
            (Counter::collection(collection), 10),
            (Counter::private_user_tag(&alice, &sea), 3),
            (Counter::private_user_tag(&alice, &sun), 9),
            (Counter::private_collection(collection, &alice), 2),
        ];
        let mut tx = db.begin().await.unwrap();
        store::images::counters::add_in_slot(&mut tx, 0, counters);
        tx.commit().await.unwrap();
        let mut reader = db.reader().await.unwrap();
        let filter = ImageFilter { tags: vec![sea.clone(), sun.clone()], collection: Some(collection), ..ImageFilter::default() };
        let (few, [sea, sun]) = (Set::Collection(collection), [sea, sun].map(Set::Tag));
        for (part, order) in [(Part::Public, [&sun, &few, &sea]), (Part::PrivateOf(alice), [&few, &sea, &sun])] {
            let search = smallest_set_first(&mut reader, &filter, &part).await.unwrap();
            assert_eq!(search.sets.iter().collect::<Vec<_>>(), order);
        }
        drop(reader);
        db.close().await;
    }
}
