//! Drafts: uploads in several requests. They reserve quota from the beginning, and become an image on the path of every upload.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::idempotency_key::IdempotencyKey;
use super::upload_request::{DraftOrigin, Origin, Upload, UploadMethod, Uploaded};
use crate::model::caller::{Caller, UserId};
use crate::model::draft::{Draft, DraftFailure, DraftMethod, DraftState, UploadId};
use crate::model::id::ImageId;
use crate::model::page::PageToken;
use crate::model::plural::counted;
use crate::model::upload_properties::UploadProperties;
use crate::objects::layout;
use crate::service::Service;
use crate::service::admission::Admitted;
use crate::service::error::{Error, Fields, chain};
use crate::service::identity::permissions;
use crate::service::identity::quota::reserve_quota_for_upload;
use crate::service::paging::{Page, list_fingerprint, parse_page_token};
use crate::service::time::{after, truncate_to_micros};
use crate::store;

/// The default limits.
pub const DEFAULT_MAX_OPEN: u32 = 20;
pub const DEFAULT_MAX_OPEN_BYTES: u64 = 200 << 20;

/// The limits of drafts.
#[derive(Debug, Clone)]
pub struct DraftLimits {
    /// The maximum number of open drafts of a user.
    pub max_open: u32,
    /// The maximum announced bytes of the open drafts of a user.
    pub max_open_bytes: u64,
    /// How long a direct upload can be sent.
    pub direct_lifetime: Duration,
    /// How long a resumable upload can be continued.
    pub resumable_lifetime: Duration,
}

/// What a client announces.
#[derive(Debug, Clone)]
pub struct NewDraft {
    pub user_id: UserId,
    pub length: u64,
    pub is_length_known: bool,
    pub content_type: String,
    pub sha256: Option<[u8; 32]>,
    pub properties: UploadProperties,
    pub tus_metadata: Option<String>,
}

impl Service {
    /// Opens a draft with these objects, and reserves quota for it.
    pub(in crate::service) async fn open_draft(
        &self,
        method: DraftMethod,
        new: NewDraft,
        objects: &[&str],
        expires_at: DateTime<Utc>,
    ) -> Result<Draft, Error> {
        let NewDraft { user_id, length, is_length_known, content_type, sha256, properties, tus_metadata } = new;
        let id = UploadId::new(&*self.clock);
        let expires_at = truncate_to_micros(expires_at);
        let state = DraftState::Open;
        let received = 0;
        let draft = Draft {
            id,
            user_id,
            method,
            state,
            length,
            is_length_known,
            received,
            content_type,
            sha256,
            properties,
            tus_metadata,
            expires_at,
        };
        let limits = &self.limits.drafts;
        let too_many = |limit, setting| Err(Error::TooManyOpenUploads { limit, setting });
        // Frees the trash, and refuses what would be refused below.
        let features = self.features_of(&draft.user_id).await?;
        self.check_quota(&draft.user_id, features.as_ref(), length, None).await?;
        let mut tx = self.db.begin().await?;
        let open = store::images::uploads::lock(&mut tx, &draft.user_id, self.clock.now()).await?;
        reserve_quota_for_upload(&mut tx, &draft.user_id, length).await?;
        if open.bytes.saturating_add(length) > limits.max_open_bytes {
            return too_many(counted(limits.max_open_bytes, "byte"), "MAX_OPEN_UPLOAD_BYTES");
        }
        if open.count >= limits.max_open.into() {
            return too_many(format!("{} uploads", limits.max_open), "MAX_OPEN_UPLOADS");
        }
        store::images::uploads::insert(&mut tx, &draft).await?;
        for name in objects {
            store::images::uploads::add_object(&mut tx, id, name).await?;
        }
        tx.commit().await?;
        Ok(draft)
    }

    /// Finds a draft of the caller that can be used.
    ///
    /// # Errors
    /// The caller is not authenticated, or has no such draft, or it was cancelled or has expired.
    pub async fn find_draft(&self, caller: &Caller, id: UploadId) -> Result<Draft, Error> {
        match permissions::viewer(caller)? {
            None if *caller != Caller::Gateway => Err(Error::Unauthenticated),
            // A gateway can act for any user, as it does for uploads.
            user => self.find_usable_draft(user, id).await,
        }
    }

    /// As [`Service::find_draft`], for a caller that changes the draft.
    pub(in crate::service) async fn find_draft_to_change(&self, caller: &Caller, id: UploadId) -> Result<Draft, Error> {
        self.require_uploader(caller)?;
        self.find_usable_draft(caller.authenticated_user().map(|user| &user.id), id).await
    }

    async fn find_usable_draft(&self, owner: Option<&UserId>, id: UploadId) -> Result<Draft, Error> {
        let is_usable = |draft: &Draft| {
            let is_ended = matches!(draft.state, DraftState::Cancelled | DraftState::Expired);
            owner.is_none_or(|owner| *owner == draft.user_id) && !is_ended && draft.expires_at > self.clock.now()
        };
        let draft = store::images::uploads::find(&self.db, id).await?;
        draft.filter(is_usable).ok_or_else(Error::no_such_upload)
    }

    /// Lists a page of the caller's drafts, also those that have become an image or were refused, until they expire.
    ///
    /// # Errors
    /// The caller is not authenticated, or the page token is not of this list.
    pub async fn list_drafts(&self, caller: &Caller, limit: u32, token: Option<&str>) -> Result<Page<Draft>, Error> {
        let user = permissions::authenticated_viewer(caller)?;
        let list = list_fingerprint("uploads", user.as_str());
        let last = parse_page_token(token, &list)?.map(|token| UploadId::from(token.last));
        let drafts = store::images::uploads::page(&self.db, user, last, self.clock.now(), limit + 1).await?;
        Ok(Page::new(drafts, limit, |draft| PageToken { last: draft.id.uuid() }.encode(&list)))
    }

    /// Cancels a draft, and releases what it has reserved. If it has become an image, the image stays.
    ///
    /// # Errors
    /// As for [`Service::find_draft`].
    pub async fn cancel_draft(&self, caller: &Caller, id: UploadId) -> Result<(), Error> {
        let draft = self.find_draft_to_change(caller, id).await?;
        let mut tx = self.db.begin().await?;
        store::images::uploads::cancel(&mut tx, &draft).await?;
        tx.commit().await?;
        self.active_pieces.interrupt(id);
        self.remove_draft_objects_early(&draft).await;
        Ok(())
    }

    /// Cancels a draft that its client cannot use, unless another request has continued it or is completing it. If this fails, the
    /// draft expires.
    pub async fn abandon_draft(&self, draft: &Draft) {
        let abandoning = async {
            if self.lease_of_completion(draft).await?.is_some() {
                return Ok(false);
            }
            let mut tx = self.db.begin().await?;
            let abandoned = store::images::uploads::abandon(&mut tx, draft).await?;
            tx.commit().await?;
            Ok::<_, Error>(abandoned)
        };
        match abandoning.await {
            Ok(true) => self.remove_draft_objects_early(draft).await,
            Ok(false) => {}
            Err(error) => tracing::warn!(upload_id = %draft.id, "failed to cancel an upload: {}", chain(&error)),
        }
    }

    /// Stores the file of a draft as an image, on the path of every upload. If the file is refused, the draft has failed.
    pub(in crate::service) async fn store_draft(
        self: &Arc<Self>,
        admitted: Admitted,
        draft: &Draft,
        bytes: Bytes,
    ) -> Result<Uploaded, Error> {
        let (user_id, properties) = (draft.user_id.clone(), draft.properties.clone());
        let upload = Upload { user_id, properties, bytes, origin: Origin::Form(None) };
        self.store_draft_as(admitted, draft, upload).await
    }

    /// As `store_draft`, but with the texts of `upload`.
    pub(in crate::service) async fn store_draft_as(
        self: &Arc<Self>,
        admitted: Admitted,
        draft: &Draft,
        upload: Upload,
    ) -> Result<Uploaded, Error> {
        let key = IdempotencyKey::of_upload(draft.id);
        let origin = Origin::Draft(DraftOrigin { id: draft.id, method: draft.method, received: draft.received, key });
        let uploaded = self.store_upload(admitted, Upload { origin, ..upload }).await;
        match &uploaded {
            Ok(_) => self.remove_draft_objects_early(draft).await,
            Err(error) => self.fail_draft(draft, error).await,
        }
        uploaded.map_err(|error| match error {
            Error::StillRunning { retry_after } => Error::UploadInUse { retry_after },
            error => error,
        })
    }

    /// Checks that no other request is completing a draft, and keeps it from expiring in the meantime.
    ///
    /// # Errors
    /// Another request is completing it, or it has ended.
    pub async fn begin_completion(&self, draft: &Draft) -> Result<(), Error> {
        let now = self.clock.now();
        let until = after(now, self.limits.longest_upload);
        if draft.expires_at < until {
            let mut tx = self.db.begin().await?;
            let is_open = store::images::uploads::extend(&mut tx, draft.id, now, until).await?;
            tx.commit().await?;
            if !is_open {
                return Err(Error::no_such_upload());
            }
        }
        match self.lease_of_completion(draft).await? {
            Some(retry_after) => Err(Error::UploadInUse { retry_after }),
            None => Ok(()),
        }
    }

    /// Returns how long the lease of the request lasts that is completing a draft.
    async fn lease_of_completion(&self, draft: &Draft) -> Result<Option<Duration>, Error> {
        self.key_lease(&draft.user_id, &IdempotencyKey::of_upload(draft.id)).await
    }

    /// Returns the response to a draft that has become an image.
    pub(in crate::service) async fn replay_draft(&self, draft: &Draft, image: ImageId) -> Result<Uploaded, Error> {
        let image = self.replay_key(&draft.user_id, &IdempotencyKey::of_upload(draft.id), image).await?;
        self.metrics.count_upload(UploadMethod::from(draft.method).name(), "replayed");
        let links = self.links(&mut self.signer().await?, &image);
        Ok(Uploaded { image, links })
    }

    /// Records that a file was refused. Other errors leave the draft open, so that the client can try again.
    pub(in crate::service) async fn fail_draft(&self, draft: &Draft, error: &Error) {
        let failure = match error {
            Error::InvalidFile { reason, .. } => DraftFailure::InvalidFile { reason: reason.clone() },
            Error::UnsupportedFormat { found } => DraftFailure::UnsupportedFormat { found: found.clone() },
            _ => return,
        };
        self.record_failure(draft, failure).await;
    }

    /// Records that a form that was sent in pieces was refused before its file was looked at.
    pub async fn fail_form(&self, draft: &Draft, reason: String) {
        self.record_failure(draft, DraftFailure::InvalidForm { reason }).await;
    }

    async fn record_failure(&self, draft: &Draft, failure: DraftFailure) {
        let failed = async {
            // Another request may have read another file, and be about to store it.
            if self.lease_of_completion(draft).await?.is_some() {
                return Ok(false);
            }
            let mut tx = self.db.begin().await?;
            let failed = store::images::uploads::fail(&mut tx, draft, &failure).await?;
            tx.commit().await?;
            Ok::<_, Error>(failed)
        };
        match failed.await {
            Ok(true) => self.remove_draft_objects_early(draft).await,
            // Another request may need the objects.
            Ok(false) => {}
            Err(error) => tracing::warn!(upload_id = %draft.id, "failed to record a refused file: {}", chain(&error)),
        }
    }

    /// Removes the objects of a draft that has ended. The sweeper removes them once more when nobody can write them any longer.
    async fn remove_draft_objects_early(&self, draft: &Draft) {
        if let Err(error) = self.remove_draft_objects(draft.id).await {
            tracing::debug!(upload_id = %draft.id, "the sweeper will remove the objects of an upload: {}", chain(&error));
        }
    }

    pub(in crate::service) async fn remove_draft_objects(&self, id: UploadId) -> Result<(), Error> {
        for name in store::images::uploads::objects(&self.db, id).await? {
            self.objects.delete(&layout::incoming(id, &name)).await?;
        }
        Ok(())
    }
}

impl From<DraftFailure> for Error {
    fn from(failure: DraftFailure) -> Self {
        match failure {
            DraftFailure::InvalidFile { reason } => {
                Self::InvalidFile { details: Fields::from([("file".to_owned(), reason.clone())]), reason }
            }
            DraftFailure::InvalidForm { reason } => Self::Malformed { message: reason, details: Fields::new() },
            DraftFailure::UnsupportedFormat { found } => Self::UnsupportedFormat { found },
        }
    }
}
