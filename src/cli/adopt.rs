//! The command `adopt`: its arguments, its progress bar and its report.

use std::error::Error;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{as_clause, chain, print, start_log};
use crate::app;
use crate::config::Config;
use crate::model::caller::UserId;
use crate::model::clock::SystemClock;
use crate::model::image::Visibility;
use crate::model::plural::counted;
use crate::model::tag::Tag;
use crate::service::images::bulk_adoption::{AdoptionEvent, AdoptionResult, BulkAdoption};

#[derive(Args)]
pub(super) struct Adopt {
    /// The objects to adopt, as `s3://bucket/prefix`.
    #[arg(value_name = "URL", value_parser = Location::parse)]
    objects: Location,
    /// The owner of the images.
    #[arg(long, value_parser = UserId::parse)]
    user_id: UserId,
    /// Tags of the images, separated by commas.
    #[arg(long, value_name = "TAGS", value_parser = parse_tags, default_value = "")]
    tags: Tags,
    /// Who can see the images: `public` or `private`.
    #[arg(long, value_parser = Visibility::parse, default_value = "public")]
    visibility: Visibility,
    /// Number of objects that are adopted at the same time.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=64), default_value_t = 4)]
    parallel: u8,
    /// Read and check the objects without storing anything.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object per line: one for each object, and one with the totals.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) config: Config,
}

/// A bucket and a prefix.
#[derive(Debug, Clone)]
struct Location {
    bucket: String,
    prefix: String,
}

impl Location {
    fn parse(text: &str) -> Result<Self, String> {
        let rule = "must be like s3://bucket/prefix";
        let rest = text.strip_prefix("s3://").ok_or(rule)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if !s3s::path::check_bucket_name(bucket) {
            return Err(rule.to_owned());
        }
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

/// A newtype, because clap takes a `Vec` for a repeated argument.
#[derive(Debug, Clone)]
struct Tags(Vec<Tag>);

fn parse_tags(text: &str) -> Result<Tags, String> {
    Tag::parse_list(text).map(Tags)
}

/// Runs the command. The exit code is 1 if an object was rejected.
pub(super) async fn run(arguments: Adopt) -> Result<ExitCode, Box<dyn Error>> {
    let config = arguments.config.validate()?;
    start_log(&config)?;
    let adoption = BulkAdoption {
        bucket: arguments.objects.bucket,
        prefix: arguments.objects.prefix,
        user_id: arguments.user_id,
        tags: arguments.tags.0,
        visibility: arguments.visibility,
        concurrency: arguments.parallel.into(),
        dry_run: arguments.dry_run,
    };
    let mut report = Report::new(arguments.json, arguments.dry_run);
    let mut written = Ok(());
    let adopted = app::adopt(config, Arc::new(SystemClock), &adoption, |event| {
        written = report.add(event);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let adopted = adopted.await;
    report.bar.finish_and_clear();
    if report.has_started && written.is_ok() {
        written = print(&report.totals());
    }
    adopted.map_err(|error| match error {
        app::Error::ServiceCause(cause) => format!("{}; run the command again to continue", chain(&*cause)).into(),
        other => Box::<dyn Error>::from(other),
    })?;
    written?;
    Ok(if report.rejected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What became of the objects.
struct Report {
    json: bool,
    dry_run: bool,
    bar: ProgressBar,
    /// Whether the bucket could be listed.
    has_started: bool,
    /// Adopted, or valid in a dry run.
    adopted: u64,
    already_adopted: u64,
    rejected: usize,
    /// The first of them, and why.
    named: Vec<String>,
}

/// The number of rejected objects that the text names.
const MAX_NAMED: usize = 100;

impl Report {
    fn new(json: bool, dry_run: bool) -> Self {
        // Not drawn unless standard error is a terminal.
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} objects listed so far, {per_sec}") {
            bar.set_style(style);
        }
        Self { json, dry_run, bar, has_started: false, adopted: 0, already_adopted: 0, rejected: 0, named: Vec::new() }
    }

    fn add(&mut self, event: AdoptionEvent) -> std::io::Result<()> {
        let (key, result) = match event {
            AdoptionEvent::Listed(number) => {
                self.has_started = true;
                self.bar.inc_length(number as u64);
                return Ok(());
            }
            AdoptionEvent::Finished { key, result } => (key, result),
        };
        self.bar.inc(1);
        let line = match &result {
            AdoptionResult::Adopted(id) => json!({"key": key, "result": "adopted", "image_id": id.to_string()}),
            AdoptionResult::AlreadyAdopted(id) => json!({"key": key, "result": "already_adopted", "image_id": id.to_string()}),
            AdoptionResult::Valid => json!({"key": key, "result": "valid"}),
            AdoptionResult::Rejected(error) => json!({"key": key, "result": "rejected", "reason": chain(error)}),
        };
        match result {
            AdoptionResult::Adopted(_) | AdoptionResult::Valid => self.adopted += 1,
            AdoptionResult::AlreadyAdopted(_) => self.already_adopted += 1,
            AdoptionResult::Rejected(error) => {
                self.rejected += 1;
                if self.named.len() < MAX_NAMED {
                    let reason = as_clause(chain(&error));
                    self.named.push(format!("rejected: {}: {}\n", printable(&key), reason.trim_end_matches('.')));
                }
            }
        }
        if self.json { self.bar.suspend(|| print(&format!("{line}\n"))) } else { Ok(()) }
    }

    fn totals(&self) -> String {
        let Self { adopted, already_adopted, rejected, .. } = *self;
        if self.json {
            let name = if self.dry_run { "valid" } else { "adopted" };
            return format!("{}\n", json!({name: adopted, "already_adopted": already_adopted, "rejected": rejected}));
        }
        let done = if self.dry_run { "can be adopted" } else { "adopted" };
        let mut text = format!("{} {done}, {already_adopted} adopted before, {rejected} rejected\n", counted(adopted, "object"));
        text.extend(self.named.iter().map(String::as_str));
        if rejected > MAX_NAMED {
            text += &format!("… and {} more; --json lists all\n", rejected - MAX_NAMED);
        }
        text
    }
}

/// Escapes control characters, with which a key could change the terminal.
fn printable(key: &str) -> String {
    key.chars().map(|c| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_bucket_and_a_prefix() {
        for (text, bucket, prefix) in [
            ("s3://old-site/photos/2024-", "old-site", "photos/2024-"),
            ("s3://old-site", "old-site", ""),
            ("s3://a-b/", "a-b", ""),
        ] {
            let location = Location::parse(text).unwrap();
            assert_eq!((location.bucket.as_str(), location.prefix.as_str()), (bucket, prefix));
        }
        for text in ["", "old-site/photos", "https://old-site/photos", "s3://", "s3:///photos", "S3://old-site"] {
            assert_eq!(Location::parse(text).unwrap_err(), "must be like s3://bucket/prefix", "{text}");
        }
    }
}
