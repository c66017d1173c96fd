//! Captions: requesting one, and waiting for it. `caption_queue.rs` generates them.

use std::sync::Arc;
use std::time::Duration;

use crate::model::caller::Caller;
use crate::model::caption::{Caption, CaptionStatus};
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::service::Service;
use crate::service::error::Error;
use crate::service::identity::permissions;
use crate::service::images::live::is_live;
use crate::service::images::presigned_urls::Links;
use crate::service::time::truncate_to_micros;
use crate::store::{self, Tx};

/// How this instance generates captions.
#[derive(Debug, Clone)]
pub enum Captions {
    /// No model is configured, and captions cannot be requested.
    Off,
    /// Captions can be requested here, and other instances generate them.
    Elsewhere,
    On(crate::caption::Captioner),
}

/// How often to check whether another instance has finished a caption.
const POLL: Duration = Duration::from_millis(500);

impl Captions {
    pub fn are_on(&self) -> bool {
        !matches!(self, Self::Off)
    }
}

impl Service {
    /// Finds an image like [`Service::find_image`], and waits up to `wait` for a pending caption.
    ///
    /// # Errors
    /// The same as [`Service::find_image`].
    pub async fn find_captioned_image(&self, caller: &Caller, id: ImageId, wait: Duration) -> Result<Arc<Image>, Error> {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            // Registered before reading, so that no notification is missed.
            let settled = self.caption_state.settled.notified();
            let image = self.find_image(caller, id).await?;
            let is_over = tokio::time::Instant::now() >= deadline || self.stopping.is_cancelled();
            // While captions are off, pending ones stay pending until captions are on again.
            if image.caption.status != CaptionStatus::Pending || is_over || !self.captions.are_on() {
                return Ok(image);
            }
            tokio::select! {
                () = settled => {}
                () = self.stopping.cancelled() => {}
                () = tokio::time::sleep_until(deadline.min(tokio::time::Instant::now() + POLL)) => {}
            }
        }
    }

    /// Requests a new caption. The existing one stays until then.
    ///
    /// # Errors
    /// The caller is not authenticated, there is no such image, the caller is not its owner, or captions are off.
    pub async fn request_caption(&self, caller: &Caller, id: ImageId) -> Result<(Image, Links), Error> {
        let user = permissions::writer(caller)?;
        let mut signer = self.signer().await?;
        let mut tx = self.db.begin().await?;
        let mut image = store::images::lock(&mut tx, id).await?.filter(is_live).ok_or_else(Error::no_such_image)?;
        permissions::require_owner(&user.id, &image)?;
        if !self.captions.are_on() {
            return Err(Error::Conflict { message: "Captions are not available: no model is configured.".to_owned() });
        }
        let now = truncate_to_micros(self.clock.now());
        store::jobs::caption_jobs::enqueue(&mut tx, &image, now).await?;
        if image.caption.status != CaptionStatus::Pending {
            image.caption = Caption { status: CaptionStatus::Pending, error: None, ..image.caption };
            image.updated_at = now;
            store::images::set_caption(&mut tx, id, &image.caption, now).await?;
        }
        tx.commit().await?;
        self.caption_state.requested.notify_one();
        let links = self.links(&mut signer, &image);
        Ok((image, links))
    }

    /// Returns the caption state of an image that is being uploaded.
    pub(in crate::service) fn initial_caption(&self) -> Caption {
        let status = if self.captions.are_on() { CaptionStatus::Pending } else { CaptionStatus::Off };
        Caption { status, ..Caption::default() }
    }

    /// Enqueues the first caption, in the transaction that stores the image.
    pub(in crate::service) async fn enqueue_first_caption(&self, tx: &mut Tx, image: &Image) -> Result<(), Error> {
        if image.caption.status == CaptionStatus::Pending {
            store::jobs::caption_jobs::enqueue(tx, image, self.clock.now()).await?;
        }
        Ok(())
    }
}
