//! Captions: who may ask for one, and waiting for it. They are made in `caption_queue.rs`.

use std::time::Duration;

use crate::model::caller::Caller;
use crate::model::caption::{Caption, CaptionStatus};
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::service::Service;
use crate::service::error::Error;
use crate::service::identity::permissions;
use crate::service::images::presigned_urls::Links;
use crate::service::images::{cut_to_micros, is_live};
use crate::store::{self, Tx};

/// What makes captions here.
#[derive(Debug, Clone)]
pub enum Captions {
    /// No model is set up, and no captions are asked for.
    Off,
    /// They are asked for here and made by other instances.
    Elsewhere,
    On(crate::caption::Captioner),
}

/// How often it is looked whether another instance has made a caption that is waited for.
const POLL: Duration = Duration::from_millis(500);

impl Captions {
    pub fn are_on(&self) -> bool {
        !matches!(self, Self::Off)
    }
}

impl Service {
    /// As [`Service::find_image`], and a caption that is to be made is waited for, for up to `wait`.
    ///
    /// # Errors
    /// As [`Service::find_image`].
    pub async fn find_captioned_image(
        &self,
        caller: &Caller,
        id: ImageId,
        with_links: bool,
        wait: Duration,
    ) -> Result<(Image, Option<Links>), Error> {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            // Before looking, so that what is settled meanwhile is not missed.
            let settled = self.captioning.settled.notified();
            let (image, links) = self.find_image(caller, id, with_links).await?;
            let is_over = tokio::time::Instant::now() >= deadline || self.stopping.is_cancelled();
            // Where captions have been turned off, what was asked for before waits until they are turned on.
            if image.caption.status != CaptionStatus::Pending || is_over || !self.captions.are_on() {
                return Ok((image, links));
            }
            tokio::select! {
                () = settled => {}
                () = self.stopping.cancelled() => {}
                () = tokio::time::sleep_until(deadline.min(tokio::time::Instant::now() + POLL)) => {}
            }
        }
    }

    /// Asks for a new caption. The one that there is stays until then.
    ///
    /// # Errors
    /// No caller, no such image, the caller is not its owner, or no captions are made.
    pub async fn ask_for_caption(&self, caller: &Caller, id: ImageId) -> Result<(Image, Links), Error> {
        let user = permissions::writer(caller)?;
        let mut signer = self.signer().await?;
        let mut tx = self.db.begin().await?;
        let mut image = store::images::lock(&mut tx, id).await?.filter(is_live).ok_or_else(Error::no_such_image)?;
        permissions::require_owner(&user.id, &image)?;
        if !self.captions.are_on() {
            return Err(Error::Conflict { message: "No captions are made: the service has no model for them.".to_owned() });
        }
        let now = cut_to_micros(self.clock.now());
        store::jobs::caption_jobs::enqueue(&mut tx, &image, now).await?;
        if image.caption.status != CaptionStatus::Pending {
            image.caption = Caption { status: CaptionStatus::Pending, error: None, ..image.caption };
            image.updated_at = now;
            store::images::set_caption(&mut tx, id, &image.caption, now).await?;
        }
        tx.commit().await?;
        self.captioning.asked.notify_one();
        let links = self.links(&mut signer, &image);
        Ok((image, links))
    }

    /// That of an image which is being uploaded.
    pub(in crate::service) fn first_caption(&self) -> Caption {
        let status = if self.captions.are_on() { CaptionStatus::Pending } else { CaptionStatus::Off };
        Caption { status, ..Caption::default() }
    }

    /// Asks for the caption of an image, in the transaction that stores it.
    pub(in crate::service) async fn ask_for_first_caption(&self, tx: &mut Tx, image: &Image) -> Result<(), Error> {
        if image.caption.status == CaptionStatus::Pending {
            store::jobs::caption_jobs::enqueue(tx, image, self.clock.now()).await?;
        }
        Ok(())
    }
}
