//! The pieces of resumable uploads that this process is receiving.
//!
//! A connection can die without being closed, for example when a phone changes its network. The service notices that much later than
//! the client, which asks on a new connection where to continue. So this question ends the requests that are still waiting, and is
//! answered when what they have received is stored.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::model::draft::UploadId;

#[derive(Debug, Clone, Default)]
pub struct ActivePieces(Arc<Mutex<HashMap<UploadId, Vec<Arc<Tokens>>>>>);

#[derive(Debug, Default)]
struct Tokens {
    /// Cancelled to end the reception.
    end: CancellationToken,
    /// Cancelled when the piece is stored or given up.
    finished: CancellationToken,
}

/// A piece that is being received, until this is dropped.
#[derive(Debug)]
pub struct ActivePiece {
    all: ActivePieces,
    id: UploadId,
    tokens: Arc<Tokens>,
}

/// How long the question for the offset waits. The last piece may be processed for longer.
const MAX_WAIT: Duration = Duration::from_secs(10);

impl ActivePieces {
    pub fn begin(&self, id: UploadId) -> ActivePiece {
        let tokens = Arc::new(Tokens::default());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default().push(Arc::clone(&tokens));
        ActivePiece { all: self.clone(), id, tokens }
    }

    /// Ends the reception of an upload's pieces.
    pub fn interrupt(&self, id: UploadId) {
        drop(self.signal(id));
    }

    fn signal(&self, id: UploadId) -> Vec<Arc<Tokens>> {
        let active = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned().unwrap_or_default();
        active.iter().for_each(|tokens| tokens.end.cancel());
        active
    }

    /// Ends the reception of an upload's pieces, and waits until what has arrived is stored.
    pub async fn end(&self, id: UploadId) {
        let active = self.signal(id);
        let finished = futures::future::join_all(active.iter().map(|tokens| tokens.finished.cancelled()));
        // Then the offset is that of what is stored so far.
        tokio::time::timeout(MAX_WAIT, finished).await.unwrap_or_default();
    }
}

impl ActivePiece {
    /// Waits until the reception must end.
    pub async fn must_end(&self) {
        self.tokens.end.cancelled().await;
    }
}

impl Drop for ActivePiece {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(active) = all.get_mut(&self.id) {
            active.retain(|tokens| !Arc::ptr_eq(tokens, &self.tokens));
            if active.is_empty() {
                all.remove(&self.id);
            }
        }
        self.tokens.finished.cancel();
    }
}
