//! Resumable uploads: the client sends a file to the service in pieces, and continues after an interruption.
//!
//! A piece is stored as an object before the upload's offset moves. The offset moves only if it is still where the piece begins, in
//! a single statement. So nothing is locked while a piece arrives: a connection that is dead holds up nobody, any instance can continue what another
//! has started, and of two pieces for the same offset one wins. The last piece is not stored: with the others it becomes the image,
//! and until that is stored the offset stays where it is.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::drafts::NewDraft;
use super::upload_request::{Upload, Uploaded};
use crate::model::caller::Caller;
use crate::model::draft::{Draft, DraftMethod, DraftState, UploadId};
use crate::objects::{self, layout};
use crate::service::Service;
use crate::service::admission::body_buffer::{ArrivingFile, Receiver};
use crate::service::error::{Error, chain};
use crate::service::time::after;
use crate::store;
use crate::store::images::uploads::Part;

/// How far a resumable upload is.
#[derive(Debug)]
pub enum Progress {
    /// So many bytes are stored.
    Received(u64),
    Complete(Box<Uploaded>),
}

/// A last part and a piece that are both smaller are merged. Otherwise a client could create an object for each byte.
pub const MIN_PART_BYTES: u64 = 256 << 10;

/// Returns the memory that the last piece needs: for itself, and for the file that it is copied into.
pub fn memory_for_last(draft: &Draft, offset: u64, length: u64) -> u64 {
    if offset == 0 { length } else { draft.length + length }
}

/// Returns the memory that a form of `length` bytes needs: for itself, and for its last piece or the file in it.
pub fn memory_for_form(length: u64) -> u64 {
    2 * length
}

const MEDIA_TYPE: &str = "application/octet-stream";

impl Service {
    /// Opens a resumable upload.
    ///
    /// # Errors
    /// The caller is another user, the user has too many open uploads, or the quota is exceeded.
    pub async fn create_resumable_upload(&self, caller: &Caller, method: DraftMethod, new: NewDraft) -> Result<Draft, Error> {
        self.require_uploader_for(caller, &new.user_id)?;
        let expires_at = after(self.clock.now(), self.limits.drafts.resumable_lifetime);
        self.open_draft(method, new, &[], expires_at).await
    }

    /// Finds a resumable upload for a client that asks how far it is.
    ///
    /// # Errors
    /// The caller is not authenticated, or has no such upload, or it was refused or has expired.
    pub async fn find_resumable_upload(&self, caller: &Caller, method: DraftMethod, id: UploadId) -> Result<Draft, Error> {
        let draft = self.find_draft_to_change(caller, id).await?;
        let is_usable = draft.method == method && !matches!(draft.state, DraftState::Failed(_));
        if is_usable { Ok(draft) } else { Err(Error::no_such_upload()) }
    }

    /// Appends a piece that begins at `offset`, or completes the upload with it.
    ///
    /// # Errors
    /// The upload continues elsewhere, or has expired; or the file is refused as any upload.
    pub async fn append(
        self: &Arc<Self>,
        draft: &Draft,
        offset: u64,
        receiver: Receiver,
        file: ArrivingFile,
    ) -> Result<Progress, Error> {
        let length = file.length();
        if length == 0 || offset + length < draft.length {
            return self.append_piece(draft, offset, receiver, file).await.map(Progress::Received);
        }
        self.begin_completion(draft).await?;
        // The last piece, and the file that it is copied into.
        let (last, admitted) = receiver.admit_with(memory_for_last(draft, offset, length), file).await?;
        let bytes = self.assemble(draft, offset, last).await?;
        let uploaded = self.store_draft(admitted, draft, bytes).await?;
        Ok(Progress::Complete(Box::new(uploaded)))
    }

    /// Appends a piece that begins at `offset` and does not complete the upload. Returns the new offset.
    ///
    /// # Errors
    /// The upload continues elsewhere, or has expired.
    pub async fn append_piece(&self, draft: &Draft, offset: u64, receiver: Receiver, file: ArrivingFile) -> Result<u64, Error> {
        if file.length() == 0 {
            return Ok(offset);
        }
        let (piece, _admitted) = receiver.admit(None, file).await?;
        self.store_piece(draft, offset, piece).await
    }

    /// Records the length that a client announces with a piece. Returns `false` if it contradicts what is known.
    ///
    /// # Errors
    /// The upload continues elsewhere, or has ended.
    pub async fn announce_length(&self, draft: &mut Draft, length: u64) -> Result<bool, Error> {
        if draft.is_length_known {
            return Ok(draft.length == length);
        }
        if length < draft.received {
            return Ok(false);
        }
        let mut tx = self.db.begin().await?;
        let is_recorded = store::images::uploads::set_length(&mut tx, draft.id, draft.received, length).await?;
        tx.commit().await?;
        if !is_recorded {
            let now = store::images::uploads::find(&self.db, draft.id).await?;
            return match now.filter(|now| now.state == DraftState::Open && now.is_length_known) {
                // Another request has announced it in the meantime.
                Some(now) if now.length != length => Ok(false),
                Some(now) if now.received == draft.received => {
                    (draft.length, draft.is_length_known) = (length, true);
                    Ok(true)
                }
                _ => Err(self.wrong_offset(draft.id).await?),
            };
        }
        (draft.length, draft.is_length_known) = (length, true);
        Ok(true)
    }

    /// Returns the whole form that was sent in pieces, of which `last` begins at `offset`, and a receiver for the file in it, which
    /// has memory already.
    ///
    /// # Errors
    /// The upload continues elsewhere, has expired, or is being completed; or no memory is free in time.
    pub async fn assemble_form(
        &self,
        draft: &Draft,
        offset: u64,
        receiver: Receiver,
        last: ArrivingFile,
    ) -> Result<(Bytes, Receiver), Error> {
        self.begin_completion(draft).await?;
        let (last, receiver) = receiver.admit_container(memory_for_form(offset + last.length()), last).await?;
        let form = self.assemble(draft, offset, last).await?;
        Ok((form, receiver))
    }

    /// Stores the image of a form that was sent in pieces.
    ///
    /// # Errors
    /// The file is refused as any upload.
    pub async fn complete_form(
        self: &Arc<Self>,
        draft: &Draft,
        upload: Upload,
        receiver: Receiver,
        file: ArrivingFile,
    ) -> Result<Uploaded, Error> {
        let (bytes, admitted) = receiver.admit(None, file).await?;
        self.store_draft_as(admitted, draft, Upload { bytes, ..upload }).await
    }

    async fn store_piece(&self, draft: &Draft, offset: u64, piece: Bytes) -> Result<u64, Error> {
        let last = store::images::uploads::parts(&self.db, draft.id).await?.pop();
        let is_small = (piece.len() as u64) < MIN_PART_BYTES;
        let last = last.filter(|last| is_small && last.length < MIN_PART_BYTES && last.position + last.length == offset);
        let bytes = match &last {
            Some(last) => {
                let mut merged = BytesMut::new();
                self.read_part(draft, last, &mut merged).await?;
                merged.extend_from_slice(&piece);
                merged.freeze()
            }
            None => piece,
        };
        let position = last.as_ref().map_or(offset, |last| last.position);
        let name = format!("{position}-{}", hex::encode(self.clock.random()));
        let part = Part { name, position, length: bytes.len() as u64 };
        let mut tx = self.db.begin().await?;
        store::images::uploads::add_object(&mut tx, draft.id, &part.name).await?;
        tx.commit().await?;
        self.objects.put(&layout::incoming(draft.id, &part.name), bytes, MEDIA_TYPE).await?;
        let replaced = last.as_ref().map(|last| last.name.as_str());
        let mut tx = self.db.begin().await?;
        let appended = store::images::uploads::append(&mut tx, draft.id, offset, &part, replaced, self.clock.now()).await?;
        if !appended {
            drop(tx);
            self.remove_part(draft, &part.name).await;
            return Err(match self.wrong_offset(draft.id).await? {
                // Another request has announced a length in the meantime.
                Error::WrongOffset { offset: now } if now == offset => Error::TooLarge { limit_bytes: draft.length - offset },
                error => error,
            });
        }
        tx.commit().await?;
        self.metrics.upload_pieces.inc();
        if let Some(replaced) = replaced {
            self.remove_part(draft, replaced).await;
        }
        Ok(part.position + part.length)
    }

    /// Returns the error for a piece that does not begin where the upload continues now.
    pub(in crate::service) async fn wrong_offset(&self, id: UploadId) -> Result<Error, Error> {
        let now = store::images::uploads::find(&self.db, id).await?.ok_or_else(Error::no_such_upload)?;
        Ok(match now.state {
            _ if now.expires_at <= self.clock.now() => Error::no_such_upload(),
            DraftState::Open | DraftState::Complete(_) => Error::WrongOffset { offset: now.offset() },
            DraftState::Failed(_) | DraftState::Cancelled | DraftState::Expired => Error::no_such_upload(),
        })
    }

    /// Removes an object that is not part of the file and that nobody writes any more. If this fails, it is removed with the upload.
    async fn remove_part(&self, draft: &Draft, name: &str) {
        let removed = async {
            self.objects.delete(&layout::incoming(draft.id, name)).await?;
            let mut tx = self.db.begin().await?;
            store::images::uploads::forget_object(&mut tx, draft.id, name).await?;
            tx.commit().await.map_err(Error::from)
        };
        if let Err(error) = removed.await {
            tracing::debug!(upload_id = %draft.id, "the sweeper will remove a piece of an upload: {}", chain(&error));
        }
    }

    /// Returns the file: the parts up to `offset`, and the last piece.
    async fn assemble(&self, draft: &Draft, offset: u64, last: Bytes) -> Result<Bytes, Error> {
        let parts = store::images::uploads::parts(&self.db, draft.id).await?;
        if parts.last().map_or(0, |part| part.position + part.length) != offset {
            return Err(self.wrong_offset(draft.id).await?);
        }
        if parts.is_empty() {
            return Ok(last);
        }
        let length = offset + last.len() as u64;
        let mut bytes = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
        for part in parts {
            self.read_part(draft, &part, &mut bytes).await?;
        }
        bytes.extend_from_slice(&last);
        Ok(bytes.freeze())
    }

    /// Appends a part to a buffer.
    async fn read_part(&self, draft: &Draft, part: &Part, bytes: &mut BytesMut) -> Result<(), Error> {
        let source = match self.objects.open_source(self.bucket(), &layout::incoming(draft.id, &part.name)).await {
            Ok(source) => source,
            // Another piece has replaced it in the meantime, or the upload has ended.
            Err(objects::Error::NotFound { .. }) => return Err(self.wrong_offset(draft.id).await?),
            Err(error) => return Err(error.into()),
        };
        let end = bytes.len() as u64 + part.length;
        if source.read_into(bytes, part.length).await? && bytes.len() as u64 == end {
            return Ok(());
        }
        Err(Error::internal("a part of an upload has another length than was stored"))
    }
}
