//! What the doctor found, and how it is told.

use crate::model::counter::Counter;
use crate::model::id::ImageId;
use crate::objects::OldVersions;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub images: u64,
    pub objects: u64,
    /// Keys of objects that images should have and the bucket has not.
    pub missing: Vec<String>,
    /// Keys of originals whose size is not what the database says.
    pub wrong_size: Vec<String>,
    /// Images whose objects are below another prefix than the database says.
    pub moved: Vec<ImageId>,
    /// Keys of variants that should be there and are not; they are made anew when they are asked for.
    pub lost_variants: Vec<String>,
    /// Keys of objects of no image or variant, older than a day and announced by no intent, where there is no original among them.
    pub orphans: Vec<String>,
    /// Keys of the objects of no image that the database knows, where the original is among them: nobody else may have it.
    pub unclaimed: Vec<String>,
    /// The originals among them that were stored after the newest image in the database.
    pub newer_originals: u64,
    /// Objects that are not of this service's layout; they are never touched.
    pub foreign: Foreign,
    /// What becomes of old versions of purged objects.
    pub old_versions: OldVersions,
    /// Counters that differ from what they count, and by how much.
    pub counters: Vec<(Counter, i64)>,
    /// Images whose places in collections are shown, or hidden, as if they were something else.
    pub places: Vec<ImageId>,
    /// What was to be mended.
    pub fixed: Fix,
}

/// Somebody else's objects in the bucket: there may be any number of them.
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

/// What is mended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fix {
    /// Counters and places are set right, and orphans announced for removal.
    pub rest: bool,
    /// Unclaimed objects older than a day are announced for removal.
    pub originals: bool,
}

impl Report {
    /// Whether anything is wrong that was not mended.
    pub fn is_healthy(&self) -> bool {
        let mendable = self.orphans.is_empty() && self.lost_variants.is_empty() && self.counters.is_empty();
        let mendable = mendable && self.places.is_empty() && self.moved.is_empty();
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
        ] {
            for key in keys {
                writeln!(f, "{what}: {key}")?;
            }
        }
        let examples = self.foreign.examples.join(", ");
        match self.foreign.count {
            0 => {}
            1 => writeln!(f, "1 object is not this service's: {examples}")?,
            count => writeln!(f, "{count} objects are not this service's, such as {examples}")?,
        }
        match self.old_versions {
            OldVersions::None => {}
            OldVersions::Deleted => writeln!(f, "the bucket is versioned: a purge deletes all versions of an object")?,
            OldVersions::Kept => writeln!(
                f,
                "the bucket is versioned, and purged images stay in it as old versions: allow s3:ListBucketVersions and \
                 s3:DeleteObjectVersion, or set a lifecycle rule with NoncurrentVersionExpiration"
            )?,
            OldVersions::Unknown => {
                writeln!(f, "the storage does not say whether the bucket is versioned: allow s3:GetBucketVersioning to know")?
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
        for id in &self.moved {
            writeln!(f, "image {id} was moved after this state of the database{mended}")?;
        }
        for id in &self.places {
            writeln!(f, "collections do not follow image {id}{mended}")?;
        }
        for (counter, difference) in &self.counters {
            writeln!(f, "counter {} {:?} is off by {difference}{mended}", counter.kind.name(), counter.key)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_objects_are_counted_and_some_are_named() {
        let mut report = Report::default();
        report.foreign.add("logs/0".to_owned());
        assert_eq!(report.to_string(), "0 images, 0 objects\n1 object is not this service's: logs/0\n");
        (1..1105).for_each(|number| report.foreign.add(format!("logs/{number}")));
        let told = "1105 objects are not this service's, such as logs/0, logs/1, logs/2, logs/3, logs/4\n";
        assert_eq!(report.to_string(), format!("0 images, 0 objects\n{told}"));
        assert!(report.is_healthy());
    }
}
