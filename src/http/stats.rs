//! Statistics.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::error::{ApiError, InternalServerError, ServiceUnavailable, ValidationError};
use super::extract::{Address, CallerOf, Query};
use crate::service::stats::{Processed, Stage, Stats};

/// What was processed since the beginning, by all instances. Times are seconds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stats)]
pub struct StatsView {
    /// Images ever stored; deleted ones count.
    #[schema(example = 2)]
    pub success: u64,
    /// Files that were looked at and refused: no picture, damaged, or out of bounds. Requests that were wrong in another
    /// way do not count, nor do uploads that the service could not take at the time, nor repeated ones.
    #[schema(example = 0)]
    pub failure: u64,
    /// What decoding and thumbnails of the stored images took.
    #[schema(example = 0.086)]
    pub total_processing_time: f64,
    /// For one image; 0 before the first.
    #[schema(example = 0.043)]
    pub avg_processing_time: f64,
    /// The same by the format of the upload.
    pub formats: BTreeMap<String, FormatStatsView>,
    /// By each step of an upload.
    pub stages: BTreeMap<String, StageStatsView>,
    /// `failure` by the reason.
    #[schema(example = json!({"invalid_file": 3, "unsupported_format": 1}))]
    pub failures: BTreeMap<String, u64>,
}

/// Images of one format.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FormatStats)]
pub struct FormatStatsView {
    pub success: u64,
    pub total_processing_time: f64,
    pub avg_processing_time: f64,
}

/// One step of uploads, as often as it ran to its end.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StageStats)]
pub struct StageStatsView {
    pub count: u64,
    pub total_time: f64,
}

/// Get statistics
///
/// Since the beginning, over all instances. `success` and the times beside it are exact; `failure` and `stages` of another
/// instance may be a second late, and what a killed process had not written within its last second is lost. Images that were
/// uploaded as private ones are in `success` and the times beside it for administrators alone.
#[utoipa::path(get, path = "/stats", tag = "service",
    responses((status = 200, description = "The numbers.", body = StatsView), ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn get_stats(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    Address(uri): Address,
) -> Result<Json<StatsView>, ApiError> {
    Query::of(&uri).finish()?;
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

/// To the microsecond, as all times are kept.
fn average(processed: Processed) -> f64 {
    let micros = processed.time.as_micros().checked_div(u128::from(processed.count)).unwrap_or_default();
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)).as_secs_f64()
}
