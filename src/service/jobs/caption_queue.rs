//! The caption queue: a job is claimed, its image is read and decoded, and the model generates a caption.
//!
//! A claim counts as an attempt before anything is done. Its lease is renewed while its worker lives. So an image that crashes
//! the process every time is not retried without end. Transient errors are retried with increasing delays. Failures that the
//! image did not cause (no memory, an unavailable dependency or endpoint) cost no attempt, and the worker waits until they are
//! over. The cause is not always clear: if one image after another fails at an endpoint, the endpoint is considered unavailable.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::captions::Captions;
use super::queue::{INTERRUPTED, SETTLE_RETRY_DELAY, UNAVAILABLE_DELAY, WorkOutcome, keep_lease};
use crate::caption::{self, Captioner, Input, InputFormat, Pixels};
use crate::imaging;
use crate::model::caller::UserId;
use crate::model::caption::{Caption, CaptionStatus, clean};
use crate::model::id::{CaptionClaimId, ImageId};
use crate::model::image::{Format, Image};
use crate::model::rendering::{Fit, Rendering};
use crate::objects::layout;
use crate::service::Service;
use crate::service::admission::fair_queue::{Class, Turn, TurnKey};
use crate::service::error::{Error, chain};
use crate::service::images::live::is_live;
use crate::service::time::after;
use crate::service::time::truncate_to_micros;
use crate::store;
use crate::store::jobs::caption_jobs::{Claim, ClaimedJob};

/// Limits of captions.
#[derive(Debug, Clone)]
pub struct CaptionLimits {
    /// Captions that this process generates concurrently.
    pub concurrency: usize,
    /// Attempts per job.
    pub attempts: u32,
    /// The delay before the first retry; four times as long before each further one.
    pub retry_delay: Duration,
}

/// A worker is considered dead after this time without a renewal.
const LEASE: TimeDelta = TimeDelta::seconds(60);
const RENEWAL: Duration = Duration::from_secs(20);

/// The quality of the JPEG files sent to an endpoint.
const JPEG_QUALITY: u8 = 85;

/// The state of the caption queue in this process.
#[derive(Debug, Default)]
pub(in crate::service) struct CaptionQueueState {
    /// Notified when a caption was requested.
    pub requested: Notify,
    /// Notified when a job was settled.
    pub settled: Notify,
    /// The user whose turn was last.
    last: Mutex<Option<UserId>>,
    failures: EndpointFailures,
}

/// Images that have failed at an endpoint since its last success.
#[derive(Debug, Default)]
struct EndpointFailures(Mutex<Vec<ImageId>>);

/// More different images in a row than this are not all at fault.
const MAX_CONSECUTIVE_FAILURES: usize = 3;

impl EndpointFailures {
    fn reset(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Records a failure, and returns whether there are so many that the endpoint is at fault.
    fn add(&self, id: ImageId) -> bool {
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() <= MAX_CONSECUTIVE_FAILURES && !failed.contains(&id) {
            failed.push(id);
        }
        failed.len() > MAX_CONSECUTIVE_FAILURES
    }
}

/// A job that this process has claimed.
#[derive(Debug)]
pub struct ClaimedCaption {
    job: ClaimedJob,
    /// Set if the commit failed, so that it is unknown whether the claim holds.
    commit_error: Option<Error>,
}

impl ClaimedCaption {
    pub fn image_id(&self) -> ImageId {
        self.job.claim.image_id
    }

    /// Returns the user whose turn it was.
    pub fn user_id(&self) -> &UserId {
        &self.job.user_id
    }
}

/// The outcome of generating a caption.
enum CaptionOutcome {
    Ready(String),
    /// The image or the model is at fault; `retryable` if the error is transient.
    Failed {
        reason: String,
        retryable: bool,
    },
    /// The image is deleted. The job waits until it is restored.
    Deleted {
        until: DateTime<Utc>,
    },
    Stopped,
    /// The image is not at fault.
    Unavailable(String),
}

impl Service {
    /// Waits until a caption is requested.
    pub async fn caption_requested(&self) {
        self.caption_state.requested.notified().await;
    }

    /// Claims the next job, if there is one.
    ///
    /// # Errors
    /// The database is unavailable; nothing has changed.
    pub async fn claim_caption(&self) -> Result<Option<ClaimedCaption>, Error> {
        loop {
            let now = self.clock.now();
            // While there is nothing to do, nothing is locked or written.
            if !store::jobs::caption_jobs::is_due(&self.db, now).await? {
                return Ok(None);
            }
            let last = self.caption_state.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let fence = CaptionClaimId::new(&*self.clock);
            let mut tx = self.db.begin().await?;
            // If another worker was faster, there may be a further job.
            if let Some(job) = store::jobs::caption_jobs::claim(&mut tx, last.as_ref(), fence, (now + LEASE, now)).await? {
                // If the commit fails, the job may or may not be claimed. If it is, it is released.
                let commit_error = tx.commit().await.err().map(Error::from);
                *self.caption_state.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(job.user_id.clone());
                return Ok(Some(ClaimedCaption { job, commit_error }));
            }
        }
    }

    /// Works on a job until it is settled, its claim is lost, or the service stops.
    pub async fn caption(&self, mut claimed: ClaimedCaption, stop: &CancellationToken) -> WorkOutcome {
        let started = Instant::now();
        let outcome = match claimed.commit_error.take() {
            Some(error) => CaptionOutcome::Unavailable(chain(&error)),
            None if claimed.job.was_held && claimed.job.attempts > self.limits.captions.attempts => {
                CaptionOutcome::Failed { reason: INTERRUPTED.to_owned(), retryable: false }
            }
            None => {
                // Stops the model when its result is no longer needed.
                let making = stop.child_token();
                let _stops = making.clone().drop_guard();
                tokio::select! {
                    outcome = self.generate_caption(claimed.job.claim, &making) => outcome,
                    () = self.keep_caption_lease(claimed.job.claim) => {
                        tracing::warn!(image_id = %claimed.image_id(), "another worker has taken over a caption");
                        return WorkOutcome::Settled;
                    }
                }
            }
        };
        if let CaptionOutcome::Ready(_) = outcome {
            self.metrics.observe_caption(started.elapsed());
        }
        // Retries until the outcome is recorded, because an outage must not cost an attempt.
        while let Err(error) = self.settle_caption(&claimed.job, &outcome).await {
            tracing::warn!(
                image_id = %claimed.job.claim.image_id,
                "failed to record the outcome of a caption, retrying: {}",
                chain(&error)
            );
            if stop.is_cancelled() {
                // The lease expires, and the job is claimed again.
                return WorkOutcome::Unavailable;
            }
            tokio::time::sleep(SETTLE_RETRY_DELAY).await;
        }
        self.caption_state.settled.notify_waiters();
        if matches!(outcome, CaptionOutcome::Unavailable(_)) { WorkOutcome::Unavailable } else { WorkOutcome::Settled }
    }

    /// Returns when the claim is lost.
    async fn keep_caption_lease(&self, claim: Claim) {
        let renew = || async move {
            let mut tx = self.db.begin().await?;
            let holds = store::jobs::caption_jobs::renew(&mut tx, claim, self.clock.now() + LEASE).await?;
            tx.commit().await.map(|()| holds)
        };
        keep_lease(RENEWAL, renew, |error| {
            self.repeated_failures.warn(format!("failed to renew the lease of a caption: {}", chain(error)));
        })
        .await;
    }

    async fn generate_caption(&self, claim: Claim, stop: &CancellationToken) -> CaptionOutcome {
        let Captions::On(captioner) = &self.captions else {
            return CaptionOutcome::Unavailable("this instance has no caption model".to_owned());
        };
        let image = match store::images::find(&self.db, claim.image_id).await {
            Ok(Some(image)) => image,
            // The image is purged, and its job with it.
            Ok(None) => return CaptionOutcome::Failed { reason: "the image no longer exists".to_owned(), retryable: false },
            Err(error) => return CaptionOutcome::Unavailable(chain(&error)),
        };
        if let Some(deleted_at) = image.deleted_at {
            // The image is purged before that time.
            return CaptionOutcome::Deleted { until: after(deleted_at, self.limits.retention) + TimeDelta::days(365) };
        }
        let picture = match self.model_input(captioner, &image).await {
            Ok(picture) => picture,
            Err(error @ (Error::Unavailable { .. } | Error::Overloaded { .. })) => {
                return CaptionOutcome::Unavailable(chain(&error));
            }
            Err(error) => return CaptionOutcome::Failed { reason: error_for_users(&error), retryable: true },
        };
        let activity = self.admission.activity();
        let priority_work: caption::PriorityWork = Arc::new(move || activity.is_busy());
        let answer = captioner.caption(picture, stop, &priority_work).await;
        let answer = answer.and_then(|answer| {
            clean(&answer).ok_or_else(|| caption::Error::Refused("the model returned an empty caption".into()))
        });
        match answer {
            Ok(text) => {
                self.caption_state.failures.reset();
                CaptionOutcome::Ready(text)
            }
            Err(caption::Error::Stopped) => CaptionOutcome::Stopped,
            Err(error @ caption::Error::Unavailable(_)) => CaptionOutcome::Unavailable(error.to_string()),
            Err(error) => {
                let (reason, retryable) = (error_of_model(&error), !matches!(error, caption::Error::Refused(_)));
                if captioner.is_remote() && self.caption_state.failures.add(image.id) {
                    return CaptionOutcome::Unavailable(format!("several images in a row failed at the endpoint: {reason}"));
                }
                CaptionOutcome::Failed { reason, retryable }
            }
        }
    }

    /// Returns the image in the form that the model takes.
    async fn model_input(&self, captioner: &Captioner, image: &Image) -> Result<Input, Error> {
        let turn = Turn::new(TurnKey::User(image.user_id.clone()), Class::Caption);
        let _admitted = self.admission.reserve_file(&turn, image.file_size).await?;
        let bytes = self.objects.get_bytes(&layout::stored_key(image, layout::ORIGINAL)).await?;
        let limits = self.limits.imaging.clone();
        match captioner.input_format() {
            InputFormat::Pixels { side } => {
                let header = imaging::inspect_for_pixels(&bytes, &limits, side).map_err(Error::internal)?;
                let weight_bytes = header.weight_bytes;
                let decode = move || imaging::pixels(&bytes, &header, &limits);
                let imaging::Rgb { width, height, pixels } = self.admission.decode_stored(&turn, weight_bytes, decode).await?;
                Ok(Input::Pixels(Pixels { width, height, rgb: pixels }))
            }
            InputFormat::Jpeg { side } => {
                let (size, within) = ((image.width, image.height), (Some(side), Some(side)));
                let rendering = Rendering::new(size, within, Fit::Contain, Format::Jpeg, JPEG_QUALITY);
                let rendering = rendering.ok_or_else(|| Error::internal("the image has no JPEG rendering of this size"))?;
                let header = imaging::inspect_stored(&bytes, &limits, &rendering).map_err(Error::internal)?;
                let weight_bytes = header.weight_bytes;
                let render = move || imaging::render(&bytes, &header, &limits, &rendering);
                Ok(Input::Jpeg(self.admission.decode_stored(&turn, weight_bytes, render).await?))
            }
        }
    }

    async fn settle_caption(&self, job: &ClaimedJob, outcome: &CaptionOutcome) -> Result<(), Error> {
        let (claim, id) = (job.claim, job.claim.image_id);
        let now = truncate_to_micros(self.clock.now());
        let limits = &self.limits.captions;
        let mut tx = self.db.begin().await?;
        // The image is locked first, as everywhere. If it is purged, so is the job.
        let Some(image) = store::images::lock(&mut tx, id).await? else { return Ok(()) };
        let (holds, counted) = match outcome {
            CaptionOutcome::Ready(text) => {
                let model = match &self.captions {
                    Captions::On(captioner) => Some(captioner.model().to_owned()),
                    Captions::Off | Captions::Elsewhere => None,
                };
                let caption = Caption { status: CaptionStatus::Ready, text: Some(text.clone()), model, error: None };
                store::images::set_caption(&mut tx, id, &caption, now).await?;
                (store::jobs::caption_jobs::finish(&mut tx, claim).await?, Some("ready"))
            }
            CaptionOutcome::Failed { retryable: true, .. } if job.attempts < limits.attempts => {
                let delay = self.retry_delay_after(limits.retry_delay, job.attempts);
                (store::jobs::caption_jobs::retry_at(&mut tx, claim, after(now, delay)).await?, Some("retried"))
            }
            CaptionOutcome::Failed { reason, .. } => {
                let caption = Caption { status: CaptionStatus::Failed, error: Some(reason.clone()), ..image.caption.clone() };
                store::images::set_caption(&mut tx, id, &caption, now).await?;
                (store::jobs::caption_jobs::finish(&mut tx, claim).await?, Some("failed"))
            }
            // The job of an image that was restored meanwhile continues immediately.
            CaptionOutcome::Deleted { until } => {
                let due_at = if is_live(&image) { now } else { *until };
                (store::jobs::caption_jobs::release(&mut tx, claim, due_at).await?, None)
            }
            CaptionOutcome::Stopped => (store::jobs::caption_jobs::release(&mut tx, claim, now).await?, None),
            CaptionOutcome::Unavailable(_) => {
                let due_at = after(now, self.with_jitter(UNAVAILABLE_DELAY));
                (store::jobs::caption_jobs::release(&mut tx, claim, due_at).await?, Some("unable"))
            }
        };
        if !holds {
            tracing::warn!(image_id = %id, "another worker has taken over a caption");
            return Ok(());
        }
        tx.commit().await?;
        if let Some(counted) = counted {
            self.metrics.count_caption(counted);
        }
        match outcome {
            CaptionOutcome::Unavailable(cause) => {
                tracing::warn!(image_id = %id, "the service failed to generate a caption: {cause}")
            }
            CaptionOutcome::Failed { reason, .. } => {
                tracing::warn!(image_id = %id, reason, attempts = job.attempts, "failed to generate a caption")
            }
            _ => {}
        }
        Ok(())
    }
}

/// Users get no details of internal failures; these are logged.
fn error_for_users(error: &Error) -> String {
    tracing::error!("failed to read an image for its caption: {}", chain(error));
    "the image could not be read".to_owned()
}

fn error_of_model(error: &caption::Error) -> String {
    match error {
        caption::Error::Internal(cause) => {
            tracing::error!("failed to generate a caption: {cause}");
            "captioning failed because of an internal error".to_owned()
        }
        error => error.to_string(),
    }
}
