//! What is done with an item that was claimed: its URL is fetched, and what comes is uploaded as anything else.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::import_queue::ClaimedItem;
use super::imports::NO_IMPORTS;
use crate::fetch;
use crate::model::caller::{AuthMethod, Caller, User};
use crate::service::Service;
use crate::service::admission::Admitted;
use crate::service::admission::fair_queue::{Class, Turn, TurnKey};
use crate::service::error::{Error, chain};
use crate::service::images::upload::{Origin, Upload};
use crate::store::jobs::import_queue::Claim;

/// Why an item was not stored.
#[derive(Debug)]
pub(in crate::service) enum Trouble {
    /// The URL's own; `Some` when trying again may help, and how long it asks to wait at least.
    Its { reason: String, again: Option<Duration> },
    /// The service's own.
    Ours(Error),
    /// There was no memory to take it into.
    NoRoom,
    /// The service is asked to stop.
    Stopping,
}

impl Service {
    pub(in crate::service) async fn fetch_and_store(
        self: &Arc<Self>,
        claimed: &ClaimedItem,
        stop: &CancellationToken,
    ) -> Result<(), Trouble> {
        let (upload, admitted, content_type) = tokio::select! {
            fetched = self.fetch(claimed) => fetched?,
            () = stop.cancelled() => return Err(Trouble::Stopping),
        };
        let caller = Caller::User(Box::new(User { id: upload.user_id.clone(), auth_method: AuthMethod::Job, account: None }));
        match self.upload(&caller, admitted, upload).await {
            Ok(_) => Ok(()),
            Err(error) => {
                self.count_refusal(&error);
                Err(trouble_of_upload(error, content_type.as_deref()))
            }
        }
    }

    /// The file, the memory that was reserved for it before it was read, and what its host says that it is.
    async fn fetch(&self, claimed: &ClaimedItem) -> Result<(Upload, Admitted, Option<String>), Trouble> {
        let item = &claimed.item;
        let limit = self.limits.max_file_bytes;
        let failed = |error: fetch::Error| self.trouble_of_fetch(claimed, error);
        // An account that was disabled since, or has no room, does not make others be asked.
        let features = self.features_of(&item.user_id).await.map_err(trouble_of_owner)?;
        if features.as_ref().is_some_and(|features| !features.imports) {
            return Err(Trouble::Its { reason: NO_IMPORTS.to_owned(), again: None });
        }
        self.look_for_room(&item.user_id, features.as_ref(), self.limits.min_file_bytes).await.map_err(trouble_of_owner)?;
        // The rules were held at the order, by settings that may have changed since.
        self.may_keep_location(item.keep_location)
            .map_err(|rule| Trouble::Its { reason: format!("keep_location {rule}"), again: None })?;
        let target = self.fetcher.check(&item.url).map_err(|rule| Trouble::Its { reason: format!("it {rule}"), again: None })?;
        let answer = self.fetcher.get(target, self.clock.now()).await.map_err(failed)?;
        let memory_bytes = answer.memory_bytes(limit);
        if memory_bytes > self.limits.upload_memory_bytes {
            let reason = "it is compressed, and there is no memory to decompress a file of MAX_FILE_SIZE; \
                          the operator can raise UPLOAD_MEMORY_BUDGET";
            return Err(Trouble::Its { reason: reason.to_owned(), again: None });
        }
        let no_room = |error| match error {
            Error::Overloaded { .. } => Trouble::NoRoom,
            other => Trouble::Ours(other),
        };
        let turn = Turn::new(TurnKey::User(item.user_id.clone()), Class::Import);
        let admitted = self.admission.import(&turn, memory_bytes, self.limits.imports.patience).await.map_err(no_room)?;
        let (file_name, content_type) = (answer.file_name(), answer.content_type.clone());
        let bytes = answer.read(limit).await.map_err(failed)?;
        let admitted = self.admission.imported_file(&turn, admitted, bytes.len() as u64).await.map_err(no_room)?;
        self.metrics.observe_stage("admission", admitted.waited);
        self.metrics.count_fetch("fetched");
        let upload = Upload {
            user_id: item.user_id.clone(),
            title: None,
            description: None,
            tags: item.tags.clone(),
            visibility: item.visibility,
            keep_location: item.keep_location,
            file_name: Some(file_name),
            bytes,
            origin: Origin::Import(claimed.claim),
        };
        Ok((upload, admitted, content_type))
    }

    fn trouble_of_fetch(&self, claimed: &ClaimedItem, error: fetch::Error) -> Trouble {
        self.metrics.count_fetch(error.name());
        let Claim { job_id, position, .. } = claimed.claim;
        let (host, cause) = (&claimed.item.host, chain(&error));
        if error.is_internal() {
            tracing::warn!(%job_id, position, host, "an import could not be fetched: {cause}");
        } else {
            tracing::info!(%job_id, position, host, "an import could not be fetched: {cause}");
        }
        let asked = if let fetch::Error::Status { retry_after, .. } = &error { *retry_after } else { None };
        Trouble::Its { reason: error.to_string(), again: error.is_transient().then(|| asked.unwrap_or_default()) }
    }
}

fn trouble_of_owner(error: Error) -> Trouble {
    match error {
        Error::Forbidden { message } => Trouble::Its { reason: message, again: None },
        Error::QuotaExceeded(details) => {
            let details: Vec<String> = details.iter().map(|(name, rule)| format!("{name}: {rule}")).collect();
            Trouble::Its { reason: format!("the plan has no room for it ({})", details.join("; ")), again: None }
        }
        other => Trouble::Ours(other),
    }
}

fn trouble_of_upload(error: Error, content_type: Option<&str>) -> Trouble {
    match error {
        Error::UnsupportedFormat { found: Some(name) } => {
            Trouble::Its { reason: format!("what it gives is {name}, which is not accepted"), again: None }
        }
        Error::UnsupportedFormat { found: None } => {
            let says = content_type.map(|name| format!(", and says that it is {name}")).unwrap_or_default();
            Trouble::Its { reason: format!("what it gives is no JPEG, PNG, GIF or WebP picture{says}"), again: None }
        }
        Error::InvalidFile { reason, .. } => Trouble::Its { reason: format!("what it gives was refused: {reason}"), again: None },
        // A fault, which may be this picture's: it must not be tried for ever.
        Error::Internal(_) | Error::Conflict { .. } => {
            Trouble::Its { reason: "something went wrong inside the service".to_owned(), again: Some(Duration::ZERO) }
        }
        Error::Overloaded { .. } => Trouble::NoRoom,
        other => trouble_of_owner(other),
    }
}
