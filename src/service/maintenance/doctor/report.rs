//! The report of the doctor.

use crate::model::counter::Counter;
use crate::model::id::ImageId;
use crate::model::plural::counted;
use crate::objects::OldVersions;

/// The findings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub images: u64,
    pub objects: u64,
    /// Keys of objects that images should have and that are missing from the bucket.
    pub missing: Vec<String>,
    /// Keys of originals whose size differs from the database.
    pub wrong_size: Vec<String>,
    /// Images whose objects have a different prefix than in the database.
    pub moved: Vec<ImageId>,
    /// Keys of variants that are missing from the bucket. They are rendered again on the next request.
    pub lost_variants: Vec<String>,
    /// Keys of objects without an image or variant, older than a day and without an intent. There is no original among them.
    pub orphans: Vec<String>,
    /// Keys of objects without an image in the database, with an original among them, which may be the only copy.
    pub unclaimed: Vec<String>,
    /// As `unclaimed`, but less than a day old, so that they are left alone.
    pub unclaimed_recent: Vec<String>,
    /// The number of these originals that are newer than the newest image in the database.
    pub newer_originals: u64,
    /// Objects that do not belong to this service; they are never touched.
    pub foreign: Foreign,
    /// What happens to old versions of purged objects.
    pub old_versions: OldVersions,
    /// Wrong counters, and their differences.
    pub counters: Vec<(Counter, i64)>,
    /// Images whose items in collections have the wrong visibility.
    pub collection_items: Vec<ImageId>,
    /// What was to be repaired.
    pub fixed: Fix,
}

/// Objects of other applications in the bucket; there may be any number of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Foreign {
    pub count: u64,
    /// The first keys.
    pub examples: Vec<String>,
}

impl Foreign {
    const MAX_EXAMPLES: usize = 5;

    pub(super) fn add(&mut self, key: String) {
        self.count += 1;
        if self.examples.len() < Self::MAX_EXAMPLES {
            self.examples.push(key);
        }
    }
}

/// What to repair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fix {
    /// Repair counters and collection items, and announce the removal of orphans.
    pub rest: bool,
    /// Announce the removal of unclaimed objects older than a day.
    pub originals: bool,
}

impl Report {
    /// Returns whether nothing is wrong that was not repaired.
    pub fn is_healthy(&self) -> bool {
        let mendable = self.orphans.is_empty() && self.lost_variants.is_empty() && self.counters.is_empty();
        let mendable = mendable && self.collection_items.is_empty() && self.moved.is_empty();
        let unclaimed = !self.unclaimed_recent.is_empty() || !self.unclaimed.is_empty() && !self.fixed.originals;
        self.missing.is_empty() && self.wrong_size.is_empty() && !unclaimed && (mendable || self.fixed.rest)
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}, {}", counted(self.images, "image"), counted(self.objects, "object"))?;
        let removed = |fixed| if fixed { ", announced for removal" } else { "" };
        for (what, keys) in [
            ("missing object".to_owned(), &self.missing),
            ("original of the wrong size".to_owned(), &self.wrong_size),
            (format!("missing variant{}", if self.fixed.rest { ", row removed" } else { "" }), &self.lost_variants),
            (format!("object without an image{}", removed(self.fixed.rest)), &self.orphans),
            (format!("object of an image that is missing from the database{}", removed(self.fixed.originals)), &self.unclaimed),
            (
                "object of an image that is missing from the database, left alone because it is less than a day old".to_owned(),
                &self.unclaimed_recent,
            ),
        ] {
            for key in keys {
                writeln!(f, "{what}: {key}")?;
            }
        }
        let examples = self.foreign.examples.join(", ");
        match self.foreign.count {
            0 => {}
            1 => writeln!(f, "1 object does not belong to this service: {examples}")?,
            count => writeln!(f, "{count} objects do not belong to this service, for example {examples}")?,
        }
        match self.old_versions {
            OldVersions::None => {}
            OldVersions::Deleted => writeln!(f, "the bucket is versioned: a purge deletes all versions of an object")?,
            OldVersions::Kept => writeln!(
                f,
                "the bucket is versioned, and purged images stay in it as old versions: allow s3:ListBucketVersions and \
                 s3:DeleteObjectVersion, or set a lifecycle rule with NoncurrentVersionExpiration"
            )?,
            OldVersions::Unknown => writeln!(f, "unknown whether the bucket is versioned: allow s3:GetBucketVersioning")?,
        }
        if self.newer_originals > 0 {
            writeln!(
                f,
                "originals newer than the newest image in the database: {}. The database may come from an old backup: restore a newer \
                 one, and do not use --remove-originals",
                self.newer_originals
            )?;
        }
        let mended = if self.fixed.rest { ", repaired" } else { "" };
        for id in &self.moved {
            writeln!(f, "image {id} was moved after the database backup{mended}")?;
        }
        for id in &self.collection_items {
            writeln!(f, "the collection items of image {id} have the wrong visibility{mended}")?;
        }
        for (counter, difference) in &self.counters {
            writeln!(f, "counter {} {:?} is off by {difference}{mended}", counter.kind.name(), counter.key)?;
        }
        if (Self { fixed: Fix::default(), ..self.clone() }).is_healthy() {
            writeln!(f, "no problems found")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_objects_are_counted_and_listed_up_to_a_limit() {
        let mut report = Report::default();
        report.foreign.add("logs/0".to_owned());
        assert_eq!(
            report.to_string(),
            "0 images, 0 objects\n1 object does not belong to this service: logs/0\nno problems found\n"
        );
        (1..1105).for_each(|number| report.foreign.add(format!("logs/{number}")));
        let told = "1105 objects do not belong to this service, for example logs/0, logs/1, logs/2, logs/3, logs/4\n";
        assert_eq!(report.to_string(), format!("0 images, 0 objects\n{told}no problems found\n"));
        assert!(report.is_healthy());
    }
}
