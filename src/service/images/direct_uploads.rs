//! Direct uploads: the client sends the file to the storage, with a URL or a form that the service has signed.
//!
//! The signature allows the object to be replaced until it expires, even after the upload is complete. So the bytes
//! that were read and checked are stored under another key. Not every storage enforces what the signature says, so everything is
//! checked again.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::drafts::NewDraft;
use super::upload_request::Uploaded;
use crate::model::caller::Caller;
use crate::model::draft::{Draft, DraftMethod, DraftState, UploadId};
use crate::model::plural::counted;
use crate::objects::presign::Signer;
use crate::objects::presign_post::{PostForm, PresignedPost};
use crate::objects::presign_put::PresignedPut;
use crate::objects::source_object::SourceObject;
use crate::objects::{self, layout};
use crate::service::Service;
use crate::service::admission::Admitted;
use crate::service::admission::fair_queue::{Class, Turn, TurnKey};
use crate::service::error::Error;
use crate::service::time::after;

/// The requests with which a client can send its file.
#[derive(Debug, Clone)]
pub struct DirectRequests {
    pub post: PostForm,
    pub put_url: String,
}

impl Service {
    /// Opens a direct upload.
    ///
    /// # Errors
    /// The caller is another user, the user has too many open uploads, or the quota is exceeded.
    pub async fn create_direct_upload(&self, caller: &Caller, new: NewDraft) -> Result<(Draft, DirectRequests), Error> {
        self.require_uploader_for(caller, &new.user_id)?;
        let mut signer = self.signer().await?;
        let now = self.clock.now();
        let expires_at = after(now, self.limits.drafts.direct_lifetime);
        // A signature does not outlive temporary credentials.
        let expires_at = signer.credentials_expire_at().map_or(expires_at, |end| end.min(expires_at));
        let draft = self.open_draft(DraftMethod::Direct, new, &[layout::DIRECT], expires_at).await?;
        let requests = sign(&mut signer, &draft, now);
        Ok((draft, requests))
    }

    /// Returns the requests of an open direct upload, for a client that has lost them.
    ///
    /// # Errors
    /// There are no credentials to sign with.
    pub async fn direct_requests(&self, draft: &Draft) -> Result<Option<DirectRequests>, Error> {
        if draft.method != DraftMethod::Direct || draft.state != DraftState::Open {
            return Ok(None);
        }
        Ok(Some(sign(&mut self.signer().await?, draft, self.clock.now())))
    }

    /// Makes an image of the file that was sent. Repeating this returns the same image.
    ///
    /// # Errors
    /// There is no such upload, the file has not arrived or differs from what was announced, or it is refused as any upload.
    pub async fn complete_direct_upload(
        self: &Arc<Self>,
        caller: &Caller,
        key: TurnKey,
        id: UploadId,
    ) -> Result<Uploaded, Error> {
        let draft = self.find_draft_to_change(caller, id).await?;
        if draft.method != DraftMethod::Direct {
            return Err(Error::Conflict { message: "The last piece of this upload completes it.".to_owned() });
        }
        if let Some(ended) = self.result_of(&draft).await {
            return ended;
        }
        self.begin_completion(&draft).await?;
        let turn = Turn::new(key, Class::Request);
        let (bytes, admitted) = match self.read_direct(&turn, &draft).await {
            Ok(read) => read,
            Err(error) => {
                // Another request may have completed the upload, and removed its file.
                let now = self.find_draft_to_change(caller, id).await?;
                if let Some(ended) = self.result_of(&now).await {
                    return ended;
                }
                self.fail_draft(&draft, &error).await;
                return Err(error);
            }
        };
        self.store_draft(admitted, &draft, bytes).await
    }

    /// Returns the response to an upload that has ended.
    async fn result_of(&self, draft: &Draft) -> Option<Result<Uploaded, Error>> {
        match &draft.state {
            DraftState::Complete(image) => Some(self.replay_draft(draft, *image).await),
            DraftState::Failed(failure) => Some(Err(failure.clone().into())),
            DraftState::Open | DraftState::Cancelled | DraftState::Expired => None,
        }
    }

    async fn read_direct(&self, turn: &Turn, draft: &Draft) -> Result<(bytes::Bytes, Admitted), Error> {
        let source = self.objects.open_source(self.bucket(), &layout::incoming(draft.id, layout::DIRECT)).await;
        let source = source.map_err(|error| match error {
            objects::Error::NotFound { .. } => {
                Error::Conflict { message: "The file has not arrived. Send it to the storage first.".to_owned() }
            }
            other => other.into(),
        })?;
        check_announced(draft, &source)?;
        let (bytes, admitted) = self.read_source(turn, source).await?;
        if bytes.len() as u64 != draft.length {
            return Err(differs(&format!("has {}", counted(bytes.len() as u64, "byte")), &draft.length.to_string()));
        }
        if let Some(announced) = draft.sha256 {
            let hashed = bytes.clone();
            let found = tokio::task::spawn_blocking(move || Sha256::digest(&hashed)).await.map_err(Error::internal)?;
            if found[..] != announced {
                return Err(differs(&format!("has the SHA-256 {}", hex::encode(found)), &hex::encode(announced)));
            }
        }
        Ok((bytes, admitted))
    }
}

/// Checks what the storage knows about an object, before the object is read.
fn check_announced(draft: &Draft, source: &SourceObject) -> Result<(), Error> {
    if let Some(length) = source.length().filter(|length| *length != draft.length) {
        return Err(differs(&format!("has {}", counted(length, "byte")), &draft.length.to_string()));
    }
    let found = source.content_type().unwrap_or_default();
    if found.eq_ignore_ascii_case(&draft.content_type) {
        return Ok(());
    }
    Err(differs(&format!("was sent with the type {found:?}"), &draft.content_type))
}

fn differs(found: &str, announced: &str) -> Error {
    crate::model::draft::DraftFailure::InvalidFile { reason: format!("the file {found}, but {announced} was announced") }.into()
}

fn sign(signer: &mut Signer<'_>, draft: &Draft, now: DateTime<Utc>) -> DirectRequests {
    let key = layout::incoming(draft.id, layout::DIRECT);
    let (content_type, length) = (draft.content_type.as_str(), draft.length);
    let expires_in = u32::try_from((draft.expires_at - now).num_seconds()).unwrap_or_default();
    let post = signer.post_policy(&PresignedPost {
        key: &key,
        signed_at: now,
        expires_at: draft.expires_at,
        content_type,
        length: length..=length,
    });
    let put_url = signer.put_url(&PresignedPut { key: &key, signed_at: now, expires_in, content_type, content_length: length });
    DirectRequests { post, put_url }
}
