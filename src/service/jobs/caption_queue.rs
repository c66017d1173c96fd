//! Captions are made: a job is claimed, its picture read and decoded, and the model asked.
//!
//! A claim is counted before anything is done, and has a lease that is renewed while its holder lives; so a picture that
//! ends the process each time is given up. What may pass is tried again, later and later. What is no picture's fault (no
//! memory, a dependency or the endpoint that is down) costs no attempt, and the worker waits until it is over. Whose fault it
//! is cannot always be told: where picture after picture fails at an endpoint, it is the endpoint's.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::captions::Captions;
use super::queue::{Ended, INTERRUPTED, OWN_DELAY, SETTLE_AGAIN, keep_lease};
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
use crate::service::images::{cut_to_micros, is_live};
use crate::service::maintenance::sweep::after;
use crate::store;
use crate::store::jobs::caption_jobs::{Claim, ClaimedJob};

/// What bounds captions.
#[derive(Debug, Clone)]
pub struct CaptionLimits {
    /// Captions that this process makes at once.
    pub concurrency: usize,
    /// Claims of one job.
    pub attempts: u32,
    /// Before a picture is tried a second time; four times as long before each further time.
    pub retry_delay: Duration,
}

/// After this long without a renewal a holder is taken for dead.
const LEASE: TimeDelta = TimeDelta::seconds(60);
const RENEWAL: Duration = Duration::from_secs(20);

/// The quality of the JPEG files that an endpoint is sent.
const JPEG_QUALITY: u8 = 85;

/// What this process knows of its own part in the queue.
#[derive(Debug, Default)]
pub(in crate::service) struct Captioning {
    /// A caption was asked for.
    pub asked: Notify,
    /// One was made, or given up.
    pub settled: Notify,
    /// Whose turn it was last.
    last: Mutex<Option<UserId>>,
    failures: Failures,
}

/// Pictures that an endpoint made no caption of, since it last made one.
#[derive(Debug, Default)]
struct Failures(Mutex<Vec<ImageId>>);

/// So many pictures in a row are not all at fault.
const MAX_FAILURES: usize = 3;

impl Failures {
    fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Notes one more, and tells whether there are so many that it is the endpoint's fault.
    fn add(&self, id: ImageId) -> bool {
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() <= MAX_FAILURES && !failed.contains(&id) {
            failed.push(id);
        }
        failed.len() > MAX_FAILURES
    }
}

/// A job that this process works on.
#[derive(Debug)]
pub struct ClaimedCaption {
    job: ClaimedJob,
    /// Why it is not known whether the claim was committed.
    doubt: Option<Error>,
}

impl ClaimedCaption {
    pub fn image_id(&self) -> ImageId {
        self.job.claim.image_id
    }

    /// Whose turn it was.
    pub fn user_id(&self) -> &UserId {
        &self.job.user_id
    }
}

/// How making a caption ended.
enum Outcome {
    Made(String),
    /// The picture's or the model's fault; `again` if trying again may help.
    Failed {
        reason: String,
        again: bool,
    },
    /// The image is deleted: its turn comes when it is restored.
    Deleted {
        until: DateTime<Utc>,
    },
    Stopped,
    /// No fault of the picture.
    Unable(String),
}

impl Service {
    /// Returns when a caption has been asked for.
    pub async fn caption_asked(&self) {
        self.captioning.asked.notified().await;
    }

    /// Takes the next job, if there is one.
    ///
    /// # Errors
    /// The database is unavailable; nothing has happened.
    pub async fn claim_caption(&self) -> Result<Option<ClaimedCaption>, Error> {
        loop {
            let now = self.clock.now();
            // Nothing is locked or written while there is nothing to do.
            if !store::jobs::caption_jobs::is_due(&self.db, now).await? {
                return Ok(None);
            }
            let last = self.captioning.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let fence = CaptionClaimId::new(&*self.clock);
            let mut tx = self.db.begin().await?;
            // If another was quicker, there may be one more.
            if let Some(job) = store::jobs::caption_jobs::claim(&mut tx, last.as_ref(), fence, (now + LEASE, now)).await? {
                // When this fails, the job may be claimed or not: it is given back, if it is.
                let doubt = tx.commit().await.err().map(Error::from);
                *self.captioning.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(job.user_id.clone());
                return Ok(Some(ClaimedCaption { job, doubt }));
            }
        }
    }

    /// Works on a job until it is settled, or the service stops.
    pub async fn caption(&self, mut claimed: ClaimedCaption, stop: &CancellationToken) -> Ended {
        let started = Instant::now();
        let outcome = match claimed.doubt.take() {
            Some(error) => Outcome::Unable(chain(&error)),
            None if claimed.job.was_held && claimed.job.attempts > self.limits.captions.attempts => {
                Outcome::Failed { reason: INTERRUPTED.to_owned(), again: false }
            }
            None => {
                // A model that works for nobody any more is to stop.
                let making = stop.child_token();
                let _stops = making.clone().drop_guard();
                tokio::select! {
                    outcome = self.make_caption(claimed.job.claim, &making) => outcome,
                    () = self.keep_caption_lease(claimed.job.claim) => {
                        tracing::warn!(image_id = %claimed.image_id(), "another has taken a caption over");
                        return Ended::Settled;
                    }
                }
            }
        };
        if let Outcome::Made(_) = outcome {
            self.metrics.observe_caption(started.elapsed());
        }
        // Until the database has taken it: an outage must not cost an attempt.
        while let Err(error) = self.settle_caption(&claimed.job, &outcome).await {
            tracing::warn!(image_id = %claimed.job.claim.image_id, "a caption could not be settled yet: {}", chain(&error));
            if stop.is_cancelled() {
                // Its lease ends, and it is taken up again.
                return Ended::Unable;
            }
            tokio::time::sleep(SETTLE_AGAIN).await;
        }
        self.captioning.settled.notify_waiters();
        if matches!(outcome, Outcome::Unable(_)) { Ended::Unable } else { Ended::Settled }
    }

    /// Returns when the claim no longer holds.
    async fn keep_caption_lease(&self, claim: Claim) {
        let renew = || async move {
            let mut tx = self.db.begin().await?;
            let holds = store::jobs::caption_jobs::renew(&mut tx, claim, self.clock.now() + LEASE).await?;
            tx.commit().await.map(|()| holds)
        };
        keep_lease(RENEWAL, renew, |error| {
            self.repeated.warn(format!("a caption's lease was not renewed: {}", chain(error)));
        })
        .await;
    }

    async fn make_caption(&self, claim: Claim, stop: &CancellationToken) -> Outcome {
        let Captions::On(captioner) = &self.captions else { return Outcome::Unable("no captions are made here".to_owned()) };
        let image = match store::images::find(&self.db, claim.image_id).await {
            Ok(Some(image)) => image,
            // It is purged, and its job with it.
            Ok(None) => return Outcome::Failed { reason: "the image is gone".to_owned(), again: false },
            Err(error) => return Outcome::Unable(chain(&error)),
        };
        if let Some(deleted_at) = image.deleted_at {
            // It is purged before that.
            return Outcome::Deleted { until: after(deleted_at, self.limits.retention) + TimeDelta::days(365) };
        }
        let picture = match self.picture_for(captioner, &image).await {
            Ok(picture) => picture,
            Err(error @ (Error::Unavailable { .. } | Error::Overloaded { .. })) => return Outcome::Unable(chain(&error)),
            Err(error) => return Outcome::Failed { reason: error_for_users(&error), again: true },
        };
        let activity = self.admission.activity();
        let priority_work: caption::PriorityWork = Arc::new(move || activity.is_on());
        let said = captioner.caption(picture, stop, &priority_work).await;
        let said = said.and_then(|said| clean(&said).ok_or_else(|| caption::Error::Refused("the model said nothing".into())));
        match said {
            Ok(text) => {
                self.captioning.failures.end();
                Outcome::Made(text)
            }
            Err(caption::Error::Stopped) => Outcome::Stopped,
            Err(error @ caption::Error::Unavailable(_)) => Outcome::Unable(error.to_string()),
            Err(error) => {
                let (reason, again) = (error_of_model(&error), !matches!(error, caption::Error::Refused(_)));
                if captioner.is_remote() && self.captioning.failures.add(image.id) {
                    return Outcome::Unable(format!("one picture after the other fails at the endpoint: {reason}"));
                }
                Outcome::Failed { reason, again }
            }
        }
    }

    /// The picture as the model takes it.
    async fn picture_for(&self, captioner: &Captioner, image: &Image) -> Result<Input, Error> {
        let turn = Turn::new(TurnKey::User(image.user_id.clone()), Class::Caption);
        let _admitted = self.admission.file(&turn, image.file_size).await?;
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
                let rendering = rendering.ok_or_else(|| Error::internal("there is no such rendering"))?;
                let header = imaging::inspect_stored(&bytes, &limits, &rendering).map_err(Error::internal)?;
                let weight_bytes = header.weight_bytes;
                let render = move || imaging::render(&bytes, &header, &limits, &rendering);
                Ok(Input::Jpeg(self.admission.decode_stored(&turn, weight_bytes, render).await?))
            }
        }
    }

    async fn settle_caption(&self, job: &ClaimedJob, outcome: &Outcome) -> Result<(), Error> {
        let (claim, id) = (job.claim, job.claim.image_id);
        let now = cut_to_micros(self.clock.now());
        let limits = &self.limits.captions;
        let mut tx = self.db.begin().await?;
        // The image first, as everywhere. Without it there is no job either.
        let Some(image) = store::images::lock(&mut tx, id).await? else { return Ok(()) };
        let (holds, counted) = match outcome {
            Outcome::Made(text) => {
                let model = match &self.captions {
                    Captions::On(captioner) => Some(captioner.model().to_owned()),
                    Captions::Off | Captions::Elsewhere => None,
                };
                let caption = Caption { status: CaptionStatus::Ready, text: Some(text.clone()), model, error: None };
                store::images::set_caption(&mut tx, id, &caption, now).await?;
                (store::jobs::caption_jobs::finish(&mut tx, claim).await?, Some("ready"))
            }
            Outcome::Failed { again: true, .. } if job.attempts < limits.attempts => {
                let delay = self.delay_after(limits.retry_delay, job.attempts);
                (store::jobs::caption_jobs::retry_at(&mut tx, claim, after(now, delay)).await?, Some("retried"))
            }
            Outcome::Failed { reason, .. } => {
                let caption = Caption { status: CaptionStatus::Failed, error: Some(reason.clone()), ..image.caption.clone() };
                store::images::set_caption(&mut tx, id, &caption, now).await?;
                (store::jobs::caption_jobs::finish(&mut tx, claim).await?, Some("failed"))
            }
            // What was restored meanwhile goes on at once.
            Outcome::Deleted { until } => {
                let due_at = if is_live(&image) { now } else { *until };
                (store::jobs::caption_jobs::release(&mut tx, claim, due_at).await?, None)
            }
            Outcome::Stopped => (store::jobs::caption_jobs::release(&mut tx, claim, now).await?, None),
            Outcome::Unable(_) => {
                let due_at = after(now, self.spread(OWN_DELAY));
                (store::jobs::caption_jobs::release(&mut tx, claim, due_at).await?, Some("unable"))
            }
        };
        if !holds {
            tracing::warn!(image_id = %id, "another has taken a caption over");
            return Ok(());
        }
        tx.commit().await?;
        if let Some(counted) = counted {
            self.metrics.count_caption(counted);
        }
        match outcome {
            Outcome::Unable(cause) => tracing::warn!(image_id = %id, "the service could not make a caption: {cause}"),
            Outcome::Failed { reason, .. } => tracing::warn!(image_id = %id, reason, attempts = job.attempts, "no caption"),
            _ => {}
        }
        Ok(())
    }
}

/// What went wrong in the service is in its log, and is nothing to users.
fn error_for_users(error: &Error) -> String {
    tracing::error!("a picture could not be read for its caption: {}", chain(error));
    "the picture could not be read".to_owned()
}

fn error_of_model(error: &caption::Error) -> String {
    match error {
        caption::Error::Internal(cause) => {
            tracing::error!("a caption failed inside the service: {cause}");
            "captioning failed inside the service".to_owned()
        }
        error => error.to_string(),
    }
}
