//! `doctor`: compares the database and the bucket, and changes nothing unless requested.
//!
//! Only the doctor lists the bucket. Its findings alone never cause a removal: an object is removed by an intent only, after the
//! database has confirmed again that there is no such image. Objects younger than a day are left alone, because an upload may be
//! about to claim them.

mod incoming;
mod report;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

use crate::model::counter::{Counter, CounterKind};
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::objects::{ListedObject, layout};
use crate::service::Service;
use crate::service::error::Error;
use crate::service::sharing::collection_items;
use crate::service::time::day_end;
use crate::store;
pub use report::{Fix, Foreign, Report};

/// No running upload is this old.
const MIN_AGE: TimeDelta = TimeDelta::days(1);

/// Images read per query.
const BATCH: u32 = 500;

impl Service {
    /// Compares the bucket and the database. Takes 16 bytes of memory per image.
    ///
    /// # Errors
    /// The database or the storage is unavailable; what was fixed before stays fixed.
    pub async fn examine(&self, fix: Fix) -> Result<Report, Error> {
        let old_versions = self.objects.check_versioning().await?;
        let mut report = Report { fixed: fix, old_versions, ..Report::default() };
        let seen = self.walk_bucket(&mut report, fix).await?;
        let (days, newest) = self.walk_images(&mut report, &seen, fix.rest).await?;
        let is_newer = |key: &&String| {
            let found = layout::parse(key).filter(|(_, name)| layout::is_original(name));
            found.is_some_and(|(id, _)| newest.is_none_or(|newest| id.created_at() > newest.created_at()))
        };
        report.newer_originals = report.unclaimed.iter().chain(&report.unclaimed_recent).filter(is_newer).count() as u64;
        self.check_counters(&mut report, days, fix.rest).await?;
        Ok(report)
    }

    /// Lists the bucket in the order of its keys, in which the objects of an image are neighbours. Returns the images with
    /// objects, which have been checked.
    async fn walk_bucket(&self, report: &mut Report, fix: Fix) -> Result<HashSet<ImageId>, Error> {
        let mut seen = HashSet::new();
        let mut group = BTreeMap::<ImageId, Vec<ListedObject>>::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.objects.list(after.as_deref()).await?;
            let last_page = page.is_empty();
            after = page.last().map(|object| object.key.clone());
            report.objects += page.len() as u64;
            let mut last_id = None;
            let mut incoming = Vec::new();
            for object in page {
                if let Some((id, _)) = layout::parse(&object.key) {
                    last_id = Some(id);
                    group.entry(id).or_default().push(object);
                } else if layout::parse_incoming(&object.key).is_some() {
                    incoming.push(object);
                } else {
                    report.foreign.add(object.key);
                }
            }
            self.check_incoming(report, incoming, fix).await?;
            // The objects of the last image may continue on the next page.
            let unfinished = last_id.filter(|_| !last_page).and_then(|id| group.remove_entry(&id));
            self.check_group(report, &mut seen, std::mem::take(&mut group), fix).await?;
            group.extend(unfinished);
            if last_page {
                return Ok(seen);
            }
        }
    }

    async fn check_group(
        &self,
        report: &mut Report,
        seen: &mut HashSet<ImageId>,
        group: BTreeMap<ImageId, Vec<ListedObject>>,
        fix: Fix,
    ) -> Result<(), Error> {
        for (id, objects) in group {
            match store::images::find(&self.db, id).await? {
                Some(image) => {
                    self.check_other_objects(report, &image, &objects, fix).await?;
                    seen.insert(id);
                    let mut found = Report::default();
                    check_image(&mut found, &image, &objects);
                    if found != Report::default() {
                        self.recheck_image(report, id).await?;
                    }
                }
                None => self.check_orphans(report, id, &objects, fix).await?,
            }
        }
        Ok(())
    }

    async fn check_orphans(&self, report: &mut Report, id: ImageId, objects: &[ListedObject], fix: Fix) -> Result<(), Error> {
        let cutoff = self.clock.now() - MIN_AGE;
        let is_original = |object: &ListedObject| layout::parse(&object.key).is_some_and(|(_, name)| layout::is_original(name));
        let has_original = |objects: &[ListedObject]| objects.iter().any(is_original);
        let is_young = objects.iter().any(|object| object.modified_at > cutoff);
        if is_young && !has_original(objects) || store::images::intents::exists(&self.db, id).await? {
            return Ok(());
        }
        // An upload may have completed between the two queries.
        if store::images::find(&self.db, id).await?.is_some() {
            return Ok(());
        }
        // The sweeper may have removed the objects and then their intent since the bucket was listed. The removal of a variant
        // may outlive its image.
        let known: HashSet<String> = self.variants_of(id).await?.into_keys().collect();
        let mut objects = self.objects_of(id).await?;
        objects.retain(|object| !known.contains(&object.key));
        if objects.is_empty() {
            return Ok(());
        }
        let keys = objects.iter().map(|object| object.key.clone());
        let fix = if has_original(&objects) && is_young {
            report.unclaimed_recent.extend(keys);
            false
        } else if has_original(&objects) {
            report.unclaimed.extend(keys);
            fix.originals
        } else {
            report.orphans.extend(keys);
            fix.rest
        };
        if fix {
            let mut tx = self.db.begin().await?;
            // The image or its intent may have appeared since the query above.
            if store::images::find(&mut tx, id).await?.is_none() && !store::images::intents::exists(&mut tx, id).await? {
                let names: Vec<&str> = objects.iter().filter_map(|object| Some(layout::parse(&object.key)?.1)).collect();
                store::images::intents::announce_removal(&mut tx, id, &names, self.clock.now()).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }

    /// Checks the other objects of an image, variants and moved objects, against their rows.
    ///
    /// Variants may appear or disappear at any time, so mismatches are checked again: a row exists before its object and after
    /// it.
    async fn check_other_objects(
        &self,
        report: &mut Report,
        image: &Image,
        objects: &[ListedObject],
        fix: Fix,
    ) -> Result<(), Error> {
        let id = image.id;
        let rows = self.variants_of(id).await?;
        if rows_match_objects(&rows, &uploaded_keys(image), objects)
            || store::images::object_moves::find(&self.db, id).await?.is_some()
        {
            return Ok(());
        }
        let before = self.variants_of(id).await?;
        let objects = self.objects_of(id).await?;
        let after = self.variants_of(id).await?;
        let (is_there, cutoff) = (|key: &String| objects.iter().any(|object| object.key == *key), self.clock.now() - MIN_AGE);
        let lost = before.iter().filter(|(key, ready)| **ready && after.get(*key) == Some(&true) && !is_there(key));
        let lost: Vec<&String> = lost.map(|(key, _)| key).collect();
        // It may have moved in the meantime.
        let Some(image) = store::images::find(&self.db, id).await? else { return Ok(()) };
        let uploaded = uploaded_keys(&image);
        let unknown = objects.iter().filter(|object| !uploaded.contains(&object.key) && object.modified_at <= cutoff);
        let unknown = unknown.filter(|object| !before.contains_key(&object.key) && !after.contains_key(&object.key));
        let unknown: Vec<&String> = unknown.map(|object| &object.key).collect();
        if let Some(prefix) = moved_to(&image, &objects) {
            // This is the only copy, so nothing of this image is removed.
            report.moved.push(id);
            return if fix.rest { self.follow_move(&image, prefix).await } else { Ok(()) };
        }
        if fix.rest {
            let now = self.clock.now();
            let mut tx = self.db.begin().await?;
            if let Some(image) = store::images::lock(&mut tx, id).await? {
                store::identity::accounts::lock_by_user(&mut tx, &image.user_id).await?;
            }
            for name in lost.iter().chain(&unknown).filter_map(|key| Some(layout::parse(key)?.1)) {
                store::images::variants::remove(&mut tx, id, name, now).await?;
                store::images::variants::announce_removal(&mut tx, id, name, now).await?;
            }
            tx.commit().await?;
        }
        report.lost_variants.extend(lost.into_iter().cloned());
        report.orphans.extend(unknown.into_iter().cloned());
        Ok(())
    }

    /// Makes an image use the objects with another prefix, unless it has changed in the meantime.
    async fn follow_move(&self, image: &Image, prefix: &str) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        let is_as_before =
            store::images::lock(&mut tx, image.id).await?.is_some_and(|now| now.object_prefix == image.object_prefix);
        if is_as_before && store::images::object_moves::find(&mut tx, image.id).await?.is_none() {
            store::images::set_object_prefix(&mut tx, image.id, prefix).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Returns the keys of an image's variants, and whether each is ready.
    async fn variants_of(&self, id: ImageId) -> Result<BTreeMap<String, bool>, Error> {
        let rows = store::images::variants::objects_of(&self.db, id).await?;
        Ok(rows.into_iter().map(|(name, ready)| (layout::key(id, &name), ready)).collect())
    }

    /// Finds images without objects, and images with outdated collection items. Returns the days on which images were created,
    /// and the newest image.
    async fn walk_images(
        &self,
        report: &mut Report,
        seen: &HashSet<ImageId>,
        fix: bool,
    ) -> Result<(BTreeSet<NaiveDate>, Option<ImageId>), Error> {
        let mut days = BTreeSet::new();
        let mut last = None;
        loop {
            let images = store::images::walk(&self.db, last, BATCH).await?;
            let (Some(oldest), Some(newest)) = (images.first(), images.last()) else { return Ok((days, last)) };
            last = Some(newest.id);
            self.check_collection_items(report, oldest.id, newest.id, fix).await?;
            for image in images {
                report.images += 1;
                days.insert(image.id.created_at().date_naive());
                // It has no object, or it was stored after the bucket was listed.
                if !seen.contains(&image.id) {
                    self.recheck_image(report, image.id).await?;
                }
            }
        }
    }

    async fn check_collection_items(&self, report: &mut Report, first: ImageId, last: ImageId, fix: bool) -> Result<(), Error> {
        let found = store::sharing::collection_items::images_with_outdated_items(&self.db, first, last).await?;
        for id in found.iter().filter(|_| fix) {
            let mut tx = self.db.begin().await?;
            if let Some(image) = store::images::lock(&mut tx, *id).await? {
                collection_items::sync_image(&mut tx, &image).await?;
            }
            tx.commit().await?;
        }
        report.collection_items.extend(found);
        Ok(())
    }

    /// Checks an image again, because it may have been stored, moved or purged since the bucket was listed. If it still exists
    /// with the same prefix after its objects were listed, it must have all of them.
    async fn recheck_image(&self, report: &mut Report, id: ImageId) -> Result<(), Error> {
        loop {
            let before = store::images::find(&self.db, id).await?;
            let objects = self.objects_of(id).await?;
            let Some(image) = store::images::find(&self.db, id).await? else { return Ok(()) };
            if before.is_some_and(|before| before.object_prefix == image.object_prefix) {
                check_image(report, &image, &objects);
                return Ok(());
            }
        }
    }

    /// Lists the current objects of one image.
    async fn objects_of(&self, id: ImageId) -> Result<Vec<ListedObject>, Error> {
        let prefix = layout::key(id, "");
        let mut objects = Vec::new();
        let mut after = prefix.clone();
        loop {
            let page = self.objects.list(Some(&after)).await?;
            let Some(last) = page.last() else { return Ok(objects) };
            let goes_on = last.key.starts_with(&prefix);
            after.clone_from(&last.key);
            objects.extend(page.into_iter().filter(|object| object.key.starts_with(&prefix)));
            if !goes_on {
                return Ok(objects);
            }
        }
    }

    async fn check_counters(&self, report: &mut Report, mut days: BTreeSet<NaiveDate>, fix: bool) -> Result<(), Error> {
        for kind in CounterKind::CURRENT {
            let differences = store::images::counters::differences(&self.db, kind).await?;
            report.counters.extend(differences.into_iter().map(|(key, difference)| (Counter { kind, key }, difference)));
        }
        days.extend(store::images::counters::days(&self.db).await?.iter().filter_map(|day| day.parse::<NaiveDate>().ok()));
        for day in days {
            let start: DateTime<Utc> = day.and_time(NaiveTime::MIN).and_utc();
            let (first, last) = (ImageId::first_at(start), ImageId::last_at(day_end(start)));
            let counter = Counter::day(start);
            let difference = store::images::counters::day_difference(&self.db, &counter, first, last).await?;
            if difference != 0 {
                report.counters.push((counter, difference));
            }
        }
        if fix && !report.counters.is_empty() {
            let mut tx = self.db.begin().await?;
            // Any slot is correct, because the sum counts.
            store::images::counters::add(&mut tx, ImageId::first_at(DateTime::UNIX_EPOCH), report.counters.clone());
            tx.commit().await?;
        }
        Ok(())
    }
}

/// Returns the keys of the objects that the image's upload created.
fn uploaded_keys(image: &Image) -> HashSet<String> {
    layout::stored_names(image).iter().map(|name| layout::key(image.id, name)).collect()
}

/// Returns the prefix of an image's original if it differs from the database: the image was deleted and restored after the
/// database backup was made. Returns `None` if the original is where it should be, or missing.
fn moved_to<'a>(image: &Image, objects: &'a [ListedObject]) -> Option<&'a str> {
    let key = layout::stored_key(image, layout::ORIGINAL);
    if objects.iter().any(|object| object.key == key) {
        return None;
    }
    let prefix = |object: &'a ListedObject| {
        let (_, name) = layout::parse(&object.key).filter(|(_, name)| layout::is_original(name))?;
        Some(name.strip_suffix(layout::ORIGINAL)?.trim_end_matches('/'))
    };
    objects.iter().filter(|object| object.size_bytes == image.file_size).find_map(prefix)
}

/// Returns whether each ready variant has its object, and each other object has its row.
fn rows_match_objects(rows: &BTreeMap<String, bool>, uploaded: &HashSet<String>, objects: &[ListedObject]) -> bool {
    let mut others = objects.iter().map(|object| &object.key).filter(|key| !uploaded.contains(*key));
    others.all(|key| rows.contains_key(key))
        && rows.iter().all(|(key, ready)| !ready || objects.iter().any(|object| object.key == *key))
}

/// Checks an image's objects against the database.
fn check_image(report: &mut Report, image: &Image, objects: &[ListedObject]) {
    for key in layout::stored_names(image).iter().map(|name| layout::key(image.id, name)) {
        match objects.iter().find(|object| object.key == key) {
            None => report.missing.push(key),
            Some(object) if key.ends_with(layout::ORIGINAL) && object.size_bytes != image.file_size => {
                report.wrong_size.push(key)
            }
            Some(_) => {}
        }
    }
}
