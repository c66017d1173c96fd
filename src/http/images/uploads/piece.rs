//! Receiving a piece of a resumable upload.

use axum::body::Body;
use futures::StreamExt;
use http::{HeaderMap, header};

use super::checksum::Checksum;
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::request::body::{BodyError, BoundedBody, require_unencoded};
use crate::model::draft::Draft;
use crate::service::admission::fair_queue::TurnKey;
use crate::service::error::Error;
use crate::service::images::resumable_uploads::{Progress, memory_for_last};

/// A piece that is about to arrive.
pub struct IncomingPiece {
    pub draft: Draft,
    pub offset: u64,
    pub checksum: Option<Checksum>,
    pub headers: HeaderMap,
    pub body: Body,
}

/// Receives a piece and appends it. This continues when the client disconnects: what has arrived by then is kept.
///
/// # Errors
/// The piece is longer than the rest of the file, or differs from its checksum, or cannot be appended.
pub async fn receive(app: &AppState, key: TurnKey, piece: IncomingPiece) -> Result<Progress, ApiError> {
    let receiving = receive_to_end(app.clone(), key, piece);
    app.service.run_to_end(receiving).await?
}

async fn receive_to_end(app: AppState, key: TurnKey, piece: IncomingPiece) -> Result<Progress, ApiError> {
    let IncomingPiece { draft, offset, mut checksum, headers, body } = piece;
    require_unencoded(&headers)?;
    let limit = draft.length - offset;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|announced: u64| announced > limit) {
        return Err(Error::TooLarge { limit_bytes: limit }.into());
    }
    let mut body = BoundedBody::new(body, limit, &app.config.body);
    let delay = body.server_delay();
    let length = announced.unwrap_or(limit);
    if announced == Some(limit) && length > 0 && offset > 0 {
        // Before the client sends it in vain.
        app.service.begin_completion(&draft).await?;
    }
    let memory_bytes = if length == limit { memory_for_last(&draft, offset, length) } else { length };
    let receiver = app.service.receive_upload(key, memory_bytes).await?;
    let mut file = receiver.file();
    let active = app.service.active_pieces.begin(draft.id);
    let mut interruption: Option<ApiError> = None;
    loop {
        let chunk = tokio::select! {
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
        // Without its end, a piece cannot be compared with its checksum.
        if checksum.is_none() && file.length() > 0 {
            app.service.append(&draft, offset, receiver, file).await?;
        }
        return Err(error);
    }
    if let Some(checksum) = checksum {
        checksum.finish()?;
    }
    Ok(app.service.append(&draft, offset, receiver, file).await?)
}

fn interrupted(error: BodyError) -> ApiError {
    match error {
        BodyError::TooSlow => Error::BodyTooSlow.into(),
        error => Error::malformed("body", &error.to_string()).into(),
    }
}
