//! `doctor`: compares database and bucket, and changes nothing unless told to.
//!
//! It is the only one that lists the bucket, and what it finds there decides nothing by itself: an object is only ever
//! removed by way of an intent, after the database has said once more that it knows no such image. Objects younger than
//! a day are left alone, as an upload may be about to claim them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

use super::Service;
use super::error::Error;
use super::images::day_end;
use super::places;
use crate::model::counter::{Counter, CounterKind};
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::objects::{Listed, layout};
use crate::store;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub images: u64,
    pub objects: u64,
    /// Keys of objects that images should have and the bucket has not.
    pub missing: Vec<String>,
    /// Keys of originals whose size is not what the database says.
    pub wrong_size: Vec<String>,
    /// Keys of variants that should be there and are not; they are made anew when they are asked for.
    pub lost_variants: Vec<String>,
    /// Keys of objects of no image or variant, older than a day and announced by no intent, where there is no original among them.
    pub orphans: Vec<String>,
    /// Keys of the objects of no image that the database knows, where the original is among them: nobody else may have it.
    pub unclaimed: Vec<String>,
    /// The originals among them that were stored after the newest image in the database.
    pub newer_originals: u64,
    /// Keys that are not of this service's layout; they are never touched.
    pub foreign: Vec<String>,
    /// Counters that differ from what they count, and by how much.
    pub counters: Vec<(Counter, i64)>,
    /// Images whose places in collections are shown, or hidden, as if they were something else.
    pub places: Vec<ImageId>,
    /// What was to be mended.
    pub fixed: Fix,
}

/// What is mended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fix {
    /// Counters and places are set right, and orphans announced for removal.
    pub rest: bool,
    /// Unclaimed objects older than a day are announced for removal.
    pub originals: bool,
}

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
        let mut report = Report { fixed: fix, ..Report::default() };
        let seen = self.walk_bucket(&mut report, fix).await?;
        let (days, newest) = self.walk_images(&mut report, &seen, fix.rest).await?;
        let is_newer = |key: &&String| {
            let found = layout::parse(key).filter(|(_, name)| *name == layout::ORIGINAL);
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
        let mut group = BTreeMap::<ImageId, Vec<Listed>>::new();
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
                    None => report.foreign.push(object.key),
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
        group: BTreeMap<ImageId, Vec<Listed>>,
        fix: Fix,
    ) -> Result<(), Error> {
        for (id, objects) in group {
            match store::images::find(&self.db, id).await? {
                Some(image) => {
                    self.check_variants(report, id, &objects, fix.rest).await?;
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

    async fn check_orphans(&self, report: &mut Report, id: ImageId, objects: &[Listed], fix: Fix) -> Result<(), Error> {
        let cutoff = self.clock.now() - UNTOUCHED;
        let has_original = |objects: &[Listed]| objects.iter().any(|object| object.key == layout::key(id, layout::ORIGINAL));
        let is_young = objects.iter().any(|object| object.modified_at > cutoff);
        if is_young && !has_original(objects) || store::intents::exists(&self.db, id).await? {
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
            if store::images::find(&mut tx, id).await?.is_none() && !store::intents::exists(&mut tx, id).await? {
                let names: Vec<_> = objects.iter().filter_map(|object| Some(layout::parse(&object.key)?.1.into())).collect();
                store::intents::announce_removal(&mut tx, id, &names, self.clock.now()).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }

    /// Holds the objects of an image's variants against their rows, when the image has either.
    ///
    /// A variant may be made or removed at any moment, so what does not fit is looked at once more: a row is there before
    /// its object and after it.
    async fn check_variants(&self, report: &mut Report, id: ImageId, objects: &[Listed], fix: bool) -> Result<(), Error> {
        let rows = self.variants_of(id).await?;
        if fits(&rows, objects) {
            return Ok(());
        }
        let before = self.variants_of(id).await?;
        let objects = self.objects_of(id).await?;
        let after = self.variants_of(id).await?;
        let (is_there, cutoff) = (|key: &String| objects.iter().any(|object| object.key == *key), self.clock.now() - UNTOUCHED);
        let lost = before.iter().filter(|(key, ready)| **ready && after.get(*key) == Some(&true) && !is_there(key));
        let lost: Vec<&String> = lost.map(|(key, _)| key).collect();
        let unknown = objects.iter().filter(|object| is_variant(&object.key) && object.modified_at <= cutoff);
        let unknown = unknown.filter(|object| !before.contains_key(&object.key) && !after.contains_key(&object.key));
        let unknown: Vec<&String> = unknown.map(|object| &object.key).collect();
        if fix {
            let now = self.clock.now();
            let mut tx = self.db.begin().await?;
            if let Some(image) = store::images::lock(&mut tx, id).await? {
                store::accounts::lock_by_user(&mut tx, &image.user_id).await?;
            }
            for name in lost.iter().chain(&unknown).filter_map(|key| Some(layout::parse(key)?.1)) {
                store::variants::remove(&mut tx, id, name, now).await?;
                store::variants::announce_removal(&mut tx, id, name, now).await?;
            }
            tx.commit().await?;
        }
        report.lost_variants.extend(lost.into_iter().cloned());
        report.orphans.extend(unknown.into_iter().cloned());
        Ok(())
    }

    /// Keys of the objects of an image's variants, and whether each is ready.
    async fn variants_of(&self, id: ImageId) -> Result<BTreeMap<String, bool>, Error> {
        let rows = store::variants::objects_of(&self.db, id).await?;
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
        let found = store::places::images_with_strays(&self.db, first, last).await?;
        for id in found.iter().filter(|_| fix) {
            let mut tx = self.db.begin().await?;
            if let Some(image) = store::images::lock(&mut tx, *id).await? {
                places::follow(&mut tx, &image).await?;
            }
            tx.commit().await?;
        }
        report.places.extend(found);
        Ok(())
    }

    /// Looks once more at an image that is in the database, for others may have been storing or purging it since the
    /// bucket was listed. One that is still there after its own objects were listed must have had all of them.
    async fn check_anew(&self, report: &mut Report, id: ImageId) -> Result<(), Error> {
        let objects = self.objects_of(id).await?;
        if let Some(image) = store::images::find(&self.db, id).await? {
            check_image(report, &image, &objects);
        }
        Ok(())
    }

    /// What the bucket has of one image right now.
    async fn objects_of(&self, id: ImageId) -> Result<Vec<Listed>, Error> {
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
        for kind in CounterKind::OF_LIVE {
            let differences = store::counters::differences(&self.db, kind).await?;
            report.counters.extend(differences.into_iter().map(|(key, difference)| (Counter { kind, key }, difference)));
        }
        days.extend(store::counters::days(&self.db).await?.iter().filter_map(|day| day.parse::<NaiveDate>().ok()));
        for day in days {
            let start: DateTime<Utc> = day.and_time(NaiveTime::MIN).and_utc();
            let (first, last) = (ImageId::first_at(start), ImageId::last_at(day_end(start)));
            let counter = Counter::day(start);
            let difference = store::counters::day_difference(&self.db, &counter, first, last).await?;
            if difference != 0 {
                report.counters.push((counter, difference));
            }
        }
        if fix && !report.counters.is_empty() {
            let mut tx = self.db.begin().await?;
            // Any slot will do: what is kept is the sum.
            store::counters::add(&mut tx, ImageId::first_at(DateTime::UNIX_EPOCH), report.counters.clone()).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

fn is_variant(key: &str) -> bool {
    layout::parse(key).is_some_and(|(_, name)| layout::is_variant(name))
}

/// Whether each variant that is ready has its object, and each variant's object its row.
fn fits(rows: &BTreeMap<String, bool>, objects: &[Listed]) -> bool {
    let mut variants = objects.iter().map(|object| &object.key).filter(|key| is_variant(key));
    variants.all(|key| rows.contains_key(key))
        && rows.iter().all(|(key, ready)| !ready || objects.iter().any(|object| object.key == *key))
}

/// Holds an image's objects against what the database says.
fn check_image(report: &mut Report, image: &Image, objects: &[Listed]) {
    for key in layout::names_at_upload(image).iter().map(|name| layout::key(image.id, name)) {
        match objects.iter().find(|object| object.key == key) {
            None => report.missing.push(key),
            Some(object) if key.ends_with(layout::ORIGINAL) && object.size_bytes != image.file_size => {
                report.wrong_size.push(key)
            }
            Some(_) => {}
        }
    }
}

impl Report {
    /// Whether anything is wrong that was not mended.
    pub fn is_healthy(&self) -> bool {
        let mendable =
            self.orphans.is_empty() && self.lost_variants.is_empty() && self.counters.is_empty() && self.places.is_empty();
        let unclaimed = !self.unclaimed.is_empty() && !self.fixed.originals;
        self.missing.is_empty() && self.wrong_size.is_empty() && !unclaimed && (mendable || self.fixed.rest)
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} images, {} objects", self.images, self.objects)?;
        let removed = |fixed| if fixed { ", announced for removal" } else { "" };
        for (what, keys) in [
            ("missing object".to_owned(), &self.missing),
            ("original of the wrong size".to_owned(), &self.wrong_size),
            (format!("missing variant{}", if self.fixed.rest { ", forgotten" } else { "" }), &self.lost_variants),
            (format!("object of no image{}", removed(self.fixed.rest)), &self.orphans),
            (format!("object of an image that the database does not know{}", removed(self.fixed.originals)), &self.unclaimed),
            ("object that is not this service's".to_owned(), &self.foreign),
        ] {
            for key in keys {
                writeln!(f, "{what}: {key}")?;
            }
        }
        if self.newer_originals > 0 {
            writeln!(
                f,
                "{} originals are newer than the newest image in the database: it may be older than the bucket; restore a newer backup of it",
                self.newer_originals
            )?;
        }
        let mended = if self.fixed.rest { ", set right" } else { "" };
        for id in &self.places {
            writeln!(f, "collections do not follow image {id}{mended}")?;
        }
        for (counter, difference) in &self.counters {
            writeln!(f, "counter {} {:?} is off by {difference}{mended}", counter.kind.name(), counter.key)?;
        }
        Ok(())
    }
}
