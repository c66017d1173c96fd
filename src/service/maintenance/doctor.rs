//! `doctor`: compares database and bucket, and changes nothing unless told to.
//!
//! It is the only one that lists the bucket, and what it finds there decides nothing by itself: an object is only ever
//! removed by way of an intent, after the database has said once more that it knows no such image. Objects younger than
//! a day are left alone, as an upload may be about to claim them.

mod report;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

use crate::model::counter::{Counter, CounterKind};
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::objects::{ListedObject, layout};
use crate::service::Service;
use crate::service::error::Error;
use crate::service::images::day_end;
use crate::service::sharing::collection_items;
use crate::store;
pub use report::{Fix, Foreign, Report};

/// No upload is this old and still running.
const UNTOUCHED: TimeDelta = TimeDelta::days(1);

/// Images read at once.
const BATCH: u32 = 500;

impl Service {
    /// Walks over bucket and database. Keeps 16 bytes an image in memory.
    ///
    /// # Errors
    /// Database or storage are unavailable; what was fixed until then is fixed.
    pub async fn examine(&self, fix: Fix) -> Result<Report, Error> {
        let old_versions = self.objects.check_versioning().await?;
        let mut report = Report { fixed: fix, old_versions, ..Report::default() };
        let seen = self.walk_bucket(&mut report, fix).await?;
        let (days, newest) = self.walk_images(&mut report, &seen, fix.rest).await?;
        let is_newer = |key: &&String| {
            let found = layout::parse(key).filter(|(_, name)| layout::is_original(name));
            found.is_some_and(|(id, _)| newest.is_none_or(|newest| id.created_at() > newest.created_at()))
        };
        report.newer_originals = report.unclaimed.iter().filter(is_newer).count() as u64;
        self.check_counters(&mut report, days, fix.rest).await?;
        Ok(report)
    }

    /// Goes through the bucket in the order of its keys, in which an image's objects are neighbours. Returns the images
    /// that have an object, and so were looked at.
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
            for object in page {
                match layout::parse(&object.key) {
                    Some((id, _)) => {
                        last_id = Some(id);
                        group.entry(id).or_default().push(object);
                    }
                    None => report.foreign.add(object.key),
                }
            }
            // The last image's objects may go on on the next page.
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
                    self.check_rest(report, &image, &objects, fix).await?;
                    seen.insert(id);
                    let mut found = Report::default();
                    check_image(&mut found, &image, &objects);
                    if found != Report::default() {
                        self.check_anew(report, id).await?;
                    }
                }
                None => self.check_orphans(report, id, &objects, fix).await?,
            }
        }
        Ok(())
    }

    async fn check_orphans(&self, report: &mut Report, id: ImageId, objects: &[ListedObject], fix: Fix) -> Result<(), Error> {
        let cutoff = self.clock.now() - UNTOUCHED;
        let is_original = |object: &ListedObject| layout::parse(&object.key).is_some_and(|(_, name)| layout::is_original(name));
        let has_original = |objects: &[ListedObject]| objects.iter().any(is_original);
        let is_young = objects.iter().any(|object| object.modified_at > cutoff);
        if is_young && !has_original(objects) || store::images::intents::exists(&self.db, id).await? {
            return Ok(());
        }
        // An upload may have ended between the two looks.
        if store::images::find(&self.db, id).await?.is_some() {
            return Ok(());
        }
        // The sweeper may have removed them, and then their intent, since the bucket was listed. The removal of a variant
        // may outlive its image.
        let known: HashSet<String> = self.variants_of(id).await?.into_keys().collect();
        let mut objects = self.objects_of(id).await?;
        objects.retain(|object| !known.contains(&object.key));
        if objects.is_empty() {
            return Ok(());
        }
        let keys = objects.iter().map(|object| object.key.clone());
        let fix = if has_original(&objects) {
            report.unclaimed.extend(keys);
            fix.originals && !is_young
        } else {
            report.orphans.extend(keys);
            fix.rest
        };
        if fix {
            let mut tx = self.db.begin().await?;
            // The image may have come, or its intent, since the look above.
            if store::images::find(&mut tx, id).await?.is_none() && !store::images::intents::exists(&mut tx, id).await? {
                let names: Vec<&str> = objects.iter().filter_map(|object| Some(layout::parse(&object.key)?.1)).collect();
                store::images::intents::announce_removal(&mut tx, id, &names, self.clock.now()).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }

    /// Holds the objects that an image has beside its uploaded ones, variants and what was moved, against their rows.
    ///
    /// A variant may be made or removed at any moment, so what does not fit is looked at once more: a row is there before
    /// its object and after it.
    async fn check_rest(&self, report: &mut Report, image: &Image, objects: &[ListedObject], fix: Fix) -> Result<(), Error> {
        let id = image.id;
        let rows = self.variants_of(id).await?;
        if fits(&rows, &uploaded_keys(image), objects) || store::images::object_moves::find(&self.db, id).await?.is_some() {
            return Ok(());
        }
        let before = self.variants_of(id).await?;
        let objects = self.objects_of(id).await?;
        let after = self.variants_of(id).await?;
        let (is_there, cutoff) = (|key: &String| objects.iter().any(|object| object.key == *key), self.clock.now() - UNTOUCHED);
        let lost = before.iter().filter(|(key, ready)| **ready && after.get(*key) == Some(&true) && !is_there(key));
        let lost: Vec<&String> = lost.map(|(key, _)| key).collect();
        // It may have moved meanwhile.
        let Some(image) = store::images::find(&self.db, id).await? else { return Ok(()) };
        let uploaded = uploaded_keys(&image);
        let unknown = objects.iter().filter(|object| !uploaded.contains(&object.key) && object.modified_at <= cutoff);
        let unknown = unknown.filter(|object| !before.contains_key(&object.key) && !after.contains_key(&object.key));
        let unknown: Vec<&String> = unknown.map(|object| &object.key).collect();
        if let Some(prefix) = moved_to(&image, &objects) {
            // The only copy of it, so nothing of this image is removed.
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

    /// Has an image use the objects below another prefix, unless it has changed meanwhile.
    async fn follow_move(&self, image: &Image, prefix: &str) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        let is_as_before =
            store::images::lock(&mut tx, image.id).await?.is_some_and(|now| now.object_prefix == image.object_prefix);
        if is_as_before && store::images::object_moves::find(&mut tx, image.id).await?.is_none() {
            store::images::set_object_prefix(&mut tx, image.id, prefix).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Keys of the objects of an image's variants, and whether each is ready.
    async fn variants_of(&self, id: ImageId) -> Result<BTreeMap<String, bool>, Error> {
        let rows = store::images::variants::objects_of(&self.db, id).await?;
        Ok(rows.into_iter().map(|(name, ready)| (layout::key(id, &name), ready)).collect())
    }

    /// Finds the images that the bucket knows nothing of, and those whose places do not follow them. Returns the days on which images
    /// were made, and the newest.
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
            self.check_places(report, oldest.id, newest.id, fix).await?;
            for image in images {
                report.images += 1;
                days.insert(image.id.created_at().date_naive());
                // It has no object, or it was stored since the bucket was walked.
                if !seen.contains(&image.id) {
                    self.check_anew(report, image.id).await?;
                }
            }
        }
    }

    async fn check_places(&self, report: &mut Report, first: ImageId, last: ImageId, fix: bool) -> Result<(), Error> {
        let found = store::sharing::collection_items::images_with_outdated_items(&self.db, first, last).await?;
        for id in found.iter().filter(|_| fix) {
            let mut tx = self.db.begin().await?;
            if let Some(image) = store::images::lock(&mut tx, *id).await? {
                collection_items::follow(&mut tx, &image).await?;
            }
            tx.commit().await?;
        }
        report.places.extend(found);
        Ok(())
    }

    /// Looks once more at an image that is in the database, for others may have been storing, moving or purging it since the
    /// bucket was listed. One that is still there, and where it was, after its own objects were listed must have had all of them.
    async fn check_anew(&self, report: &mut Report, id: ImageId) -> Result<(), Error> {
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

    /// What the bucket has of one image right now.
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
            // Any slot will do: what is kept is the sum.
            store::images::counters::add(&mut tx, ImageId::first_at(DateTime::UNIX_EPOCH), report.counters.clone());
            tx.commit().await?;
        }
        Ok(())
    }
}

/// Keys of the objects that an image's upload made.
fn uploaded_keys(image: &Image) -> HashSet<String> {
    layout::stored_names(image).iter().map(|name| layout::key(image.id, name)).collect()
}

/// The prefix below which an image's original is, where the database says another: the image was deleted and restored after the
/// backup of the database was made. `None` if the original is where it should be, or nowhere.
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

/// Whether each variant that is ready has its object, and each object that is not an uploaded one its row.
fn fits(rows: &BTreeMap<String, bool>, uploaded: &HashSet<String>, objects: &[ListedObject]) -> bool {
    let mut others = objects.iter().map(|object| &object.key).filter(|key| !uploaded.contains(*key));
    others.all(|key| rows.contains_key(key))
        && rows.iter().all(|(key, ready)| !ready || objects.iter().any(|object| object.key == *key))
}

/// Holds an image's objects against what the database says.
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
