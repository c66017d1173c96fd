//! Receiving a piece of a resumable upload.

use std::time::Duration;

use axum::body::Body;
use futures::StreamExt;
use http::{HeaderMap, header};
use tokio::time::{Instant, sleep_until};

use super::checksum::Checksum;
use super::form_completion::{Completion, complete};
use super::upload_headers::Progress104;
use crate::http::AppState;
use crate::http::error::{ApiError, Failure};
use crate::http::request::body::{BodyError, BoundedBody, require_unencoded};
use crate::http::request::extractors::Identity;
use crate::model::draft::Draft;
use crate::service::admission::fair_queue::TurnKey;
use crate::service::error::Error;
use crate::service::images::resumable_uploads::{MIN_PART_BYTES, Progress, memory_for_form, memory_for_last};
use crate::service::images::upload_request::Uploaded;

/// A piece that is about to arrive.
pub struct IncomingPiece {
    pub draft: Draft,
    pub offset: u64,
    pub end: PieceEnd,
    pub checksum: Option<Checksum>,
    pub headers: HeaderMap,
    pub body: Body,
    /// Told the offset when a part of the piece is stored.
    pub progress: Option<Progress104>,
}

/// What happens at the end of a piece.
#[derive(Debug)]
pub enum PieceEnd {
    /// If the file has its announced length, it becomes an image.
    AtLength,
    /// The client sends more.
    More,
    /// The form is complete, and its file becomes an image of this caller's.
    Form(Box<Identity>),
}

/// How far an upload is after a piece.
#[derive(Debug)]
pub enum Received {
    /// So many bytes are stored.
    Offset(u64),
    Complete(Box<Uploaded>),
    /// Everything has arrived, and was refused for good.
    Refused(ApiError),
    /// The client says that everything has arrived, but it is less than announced.
    WrongLength,
}

/// A piece that arrives slowly is stored in parts this often, so that little is lost if the service is killed, or if the client comes
/// back to another instance.
const STORE_INTERVAL: Duration = Duration::from_secs(5);

/// Receives a piece and appends it. This continues when the client disconnects: what has arrived by then is kept.
///
/// # Errors
/// The piece is longer than the rest of the file, or differs from its checksum, or cannot be appended.
pub async fn receive(app: &AppState, key: TurnKey, piece: IncomingPiece) -> Result<Received, ApiError> {
    let receiving = receive_to_end(app.clone(), key, piece);
    app.service.run_to_end(receiving).await?
}

async fn receive_to_end(app: AppState, key: TurnKey, piece: IncomingPiece) -> Result<Received, ApiError> {
    let (mut draft, is_form) = (piece.draft.clone(), !matches!(piece.end, PieceEnd::AtLength));
    let received = receive_parts(&app, key, piece, &mut draft).await;
    if is_form && matches!(&received, Err(error) if matches!(error.failure(), Failure::Service(Error::TooLarge { .. }))) {
        // The draft of the protocol requires that the upload ends.
        app.service.abandon_draft(&draft).await;
    }
    received
}

/// `draft`: that of the piece, which is kept current.
async fn receive_parts(app: &AppState, key: TurnKey, piece: IncomingPiece, draft: &mut Draft) -> Result<Received, ApiError> {
    let IncomingPiece { draft: _, mut offset, end, mut checksum, headers, body, progress } = piece;
    require_unencoded(&headers)?;
    // From here on, a question for the offset ends this request.
    let active = app.service.active_pieces.begin(draft.id);
    let limit = draft.length.checked_sub(offset).ok_or_else(|| Error::WrongOffset { offset: draft.offset() })?;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|announced: u64| announced > limit) {
        return Err(Error::TooLarge { limit_bytes: limit }.into());
    }
    let mut body = BoundedBody::new(body, limit, &app.config.body);
    let delay = body.server_delay();
    let end_offset = offset + announced.unwrap_or(limit);
    let is_last = match end {
        PieceEnd::AtLength => announced == Some(limit) && limit > 0,
        PieceEnd::More => false,
        PieceEnd::Form(_) => true,
    };
    if is_last && offset > 0 {
        // Before the client sends it in vain.
        app.service.begin_completion(draft).await?;
    }
    let memory_bytes = |draft: &Draft, offset: u64| match end {
        PieceEnd::AtLength if end_offset == draft.length => memory_for_last(draft, offset, end_offset - offset),
        PieceEnd::AtLength | PieceEnd::More => end_offset - offset,
        PieceEnd::Form(_) => memory_for_form(end_offset),
    };
    let mut receiver = tokio::select! {
        receiver = app.service.receive_upload(key.clone(), memory_bytes(draft, offset)) => receiver?,
        () = active.must_end() => return Err(ApiError::body_interrupted()),
    };
    let mut file = receiver.file();
    let mut store_at = Instant::now() + STORE_INTERVAL;
    let mut interruption: Option<ApiError> = None;
    loop {
        // Without its end, a piece cannot be compared with its checksum.
        let can_store = checksum.is_none() && file.length() >= MIN_PART_BYTES;
        let chunk = tokio::select! {
            () = sleep_until(store_at), if can_store => {
                let storing = async {
                    offset = app.service.append_piece(draft, offset, receiver, file).await?;
                    draft.received = offset;
                    let memory_bytes = memory_bytes(draft, offset);
                    tokio::select! {
                        receiver = app.service.receive_upload(key.clone(), memory_bytes) => receiver.map_err(ApiError::from),
                        () = active.must_end() => Err(ApiError::body_interrupted()),
                    }
                };
                receiver = delay.measure(storing).await?;
                file = receiver.file();
                store_at = Instant::now() + STORE_INTERVAL;
                if let Some(progress) = &progress {
                    progress.send(offset);
                }
                continue;
            }
            chunk = body.next() => chunk,
            () = active.must_end() => {
                interruption = Some(interrupted(BodyError::Broken));
                break;
            }
        };
        match chunk {
            None => break,
            Some(Ok(chunk)) => {
                if let Some(checksum) = &mut checksum {
                    checksum.update(&chunk);
                }
                if let Err(error) = delay.measure(file.push(&chunk)).await {
                    interruption = Some(error.into());
                    break;
                }
            }
            Some(Err(BodyError::TooLarge { limit_bytes })) => return Err(Error::TooLarge { limit_bytes }.into()),
            Some(Err(error)) => {
                interruption = Some(interrupted(error));
                break;
            }
        }
    }
    if let Some(error) = interruption {
        if checksum.is_none() && file.length() > 0 {
            let kept = match end {
                PieceEnd::AtLength => app.service.append(draft, offset, receiver, file).await.map(drop),
                PieceEnd::More | PieceEnd::Form(_) => app.service.append_piece(draft, offset, receiver, file).await.map(drop),
            };
            kept?;
        }
        return Err(error);
    }
    if let Some(checksum) = checksum {
        checksum.finish()?;
    }
    match end {
        PieceEnd::AtLength => Ok(match app.service.append(draft, offset, receiver, file).await? {
            Progress::Received(offset) => Received::Offset(offset),
            Progress::Complete(uploaded) => Received::Complete(uploaded),
        }),
        PieceEnd::More => Ok(Received::Offset(app.service.append_piece(draft, offset, receiver, file).await?)),
        PieceEnd::Form(identity) => Ok(match complete(app, &identity, draft, offset, receiver, file).await? {
            Completion::Stored(uploaded) => Received::Complete(uploaded),
            Completion::Refused(error) => Received::Refused(error),
            Completion::WrongLength => Received::WrongLength,
        }),
    }
}

fn interrupted(error: BodyError) -> ApiError {
    match error {
        BodyError::TooSlow => Error::BodyTooSlow.into(),
        BodyError::TooLarge { limit_bytes } => Error::TooLarge { limit_bytes }.into(),
        BodyError::Broken | BodyError::NoBoundary => ApiError::body_interrupted(),
    }
}
