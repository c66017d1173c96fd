//! Statistics.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::request::extractors::CallerOf;
use crate::http::request::parameters::NoQuery;
use crate::service::maintenance::stats::{Processed, Stage, Stats};

/// The work of all instances so far. Times are in seconds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stats)]
pub struct StatsView {
    /// Number of images ever stored, including deleted ones.
    #[schema(example = 2)]
    pub success: u64,
    /// Number of files that were rejected: not an image, damaged, or outside the limits. Requests do not count if they were
    /// too large as a whole, invalid in another way, failed for lack of resources, or were repeated.
    #[schema(example = 0)]
    pub failure: u64,
    /// Total time for decoding and thumbnails of all stored images.
    #[schema(example = 0.086)]
    pub total_processing_time: f64,
    /// Average time per image; 0 if there are none.
    #[schema(example = 0.043)]
    pub avg_processing_time: f64,
    /// The same statistics for each file format.
    pub formats: BTreeMap<String, FormatStatsView>,
    /// The time of each step of an upload.
    pub stages: BTreeMap<String, StageStatsView>,
    /// `failure` by reason.
    #[schema(example = json!({"invalid_file": 3, "unsupported_format": 1}))]
    pub failures: BTreeMap<String, u64>,
}

/// Statistics of one file format.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FormatStats)]
pub struct FormatStatsView {
    /// Number of images ever stored.
    pub success: u64,
    /// Total time for decoding and thumbnails.
    pub total_processing_time: f64,
    /// Average time per image.
    pub avg_processing_time: f64,
}

/// Statistics of one step of uploads.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StageStats)]
pub struct StageStatsView {
    /// How many times the step finished.
    pub count: u64,
    /// Total time of the step.
    pub total_time: f64,
}

/// Get statistics
///
/// For all instances, since the first upload. `success` and its times are exact. `failure` and `stages` of other instances can be
/// a second old, and a killed process loses its last second of them. Images that were uploaded as private are included in
/// `success` and its times only for administrators.
#[utoipa::path(get, path = "/stats", tag = "service",
    responses((status = 200, description = "The statistics.", body = StatsView)))]
pub async fn get_stats(State(app): State<AppState>, _: NoQuery, CallerOf(caller): CallerOf) -> Result<Json<StatsView>, ApiError> {
    Ok(Json(StatsView::new(app.service.stats(&caller).await?)))
}

impl StatsView {
    fn new(stats: Stats) -> Self {
        let stored = stats.stored();
        Self {
            success: stored.count,
            failure: stats.failed(),
            total_processing_time: stored.time.as_secs_f64(),
            avg_processing_time: average(stored),
            formats: stats.formats.iter().map(|(name, format)| ((*name).to_owned(), FormatStatsView::new(*format))).collect(),
            stages: stats.stages.iter().map(|(name, stage)| (name.clone(), StageStatsView::new(*stage))).collect(),
            failures: stats.failures,
        }
    }
}

impl FormatStatsView {
    fn new(format: Processed) -> Self {
        Self { success: format.count, total_processing_time: format.time.as_secs_f64(), avg_processing_time: average(format) }
    }
}

impl StageStatsView {
    fn new(stage: Stage) -> Self {
        Self { count: stage.count, total_time: stage.time.as_secs_f64() }
    }
}

/// Rounded down to the microsecond, the resolution of all stored times.
fn average(processed: Processed) -> f64 {
    let micros = processed.time.as_micros().checked_div(u128::from(processed.count)).unwrap_or_default();
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)).as_secs_f64()
}
