//! Processing of a claimed item: fetches its URL and uploads the response like any other file.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::import_failure::ImportFailure;
use super::import_queue::ClaimedItem;
use super::imports::NO_IMPORTS;
use crate::fetch;
use crate::model::caller::{AuthMethod, Caller, User};
use crate::model::upload_properties::UploadProperties;
use crate::service::Service;
use crate::service::admission::Admitted;
use crate::service::admission::fair_queue::{Class, Turn, TurnKey};
use crate::service::error::{Error, chain};
use crate::service::images::upload_request::{Origin, Upload, UploadMethod};
use crate::store::jobs::import_queue::Claim;

impl Service {
    pub(in crate::service) async fn fetch_and_store(
        self: &Arc<Self>,
        claimed: &ClaimedItem,
        stop: &CancellationToken,
    ) -> Result<(), ImportFailure> {
        let (upload, admitted, content_type) = tokio::select! {
            fetched = self.fetch(claimed) => fetched?,
            () = stop.cancelled() => return Err(ImportFailure::Stopping),
        };
        let caller = Caller::User(Box::new(User { id: upload.user_id.clone(), auth_method: AuthMethod::Job, account: None }));
        match self.upload(&caller, admitted, upload).await {
            Ok(_) => Ok(()),
            Err(error) => {
                self.count_refusal(UploadMethod::Import, &error);
                Err(failure_of_upload(error, content_type.as_deref()))
            }
        }
    }

    /// Fetches the file. Returns it with the memory that was reserved for it, and its `Content-Type`.
    async fn fetch(&self, claimed: &ClaimedItem) -> Result<(Upload, Admitted, Option<String>), ImportFailure> {
        let item = &claimed.item;
        let limit = self.limits.max_file_bytes;
        let failed = |error: fetch::Error| self.failure_of_fetch(claimed, error);
        // If the account is disabled or its quota is exhausted, no remote host is contacted.
        let features = self.features_of(&item.user_id).await.map_err(failure_of_owner)?;
        if features.as_ref().is_some_and(|features| !features.imports) {
            return Err(ImportFailure::Url { reason: NO_IMPORTS.to_owned(), retry_after: None });
        }
        self.check_quota(&item.user_id, features.as_ref(), self.limits.min_file_bytes, None).await.map_err(failure_of_owner)?;
        // The rules were checked when the job was created, but settings may have changed since.
        self.may_keep_location(item.keep_location)
            .map_err(|rule| ImportFailure::Url { reason: format!("keep_location {rule}"), retry_after: None })?;
        let target = self
            .fetcher
            .check(&item.url)
            .map_err(|rule| ImportFailure::Url { reason: format!("it {rule}"), retry_after: None })?;
        let answer = self.fetcher.get(target, self.clock.now()).await.map_err(failed)?;
        let memory_bytes = answer.memory_bytes(limit);
        if memory_bytes > self.limits.upload_memory_bytes {
            let reason = "it is compressed, and there is no memory to decompress a file of MAX_FILE_SIZE; \
                          the operator can raise UPLOAD_MEMORY_BUDGET";
            return Err(ImportFailure::Url { reason: reason.to_owned(), retry_after: None });
        }
        let no_memory = |error| match error {
            Error::Overloaded { .. } => ImportFailure::NoMemory,
            other => ImportFailure::Service(other),
        };
        let turn = Turn::new(TurnKey::User(item.user_id.clone()), Class::Import);
        let admitted =
            self.admission.reserve_import(&turn, memory_bytes, self.limits.imports.memory_wait).await.map_err(no_memory)?;
        let (file_name, content_type) = (answer.file_name(), answer.content_type.clone());
        let bytes = answer.read(limit).await.map_err(failed)?;
        let admitted = self.admission.reserve_imported_file(&turn, admitted, bytes.len() as u64).await.map_err(no_memory)?;
        self.metrics.observe_stage("admission", admitted.waited);
        self.metrics.count_fetch("fetched");
        let upload = Upload {
            user_id: item.user_id.clone(),
            properties: UploadProperties {
                title: None,
                description: None,
                tags: item.tags.clone(),
                visibility: item.visibility,
                keep_location: item.keep_location,
                file_name: Some(file_name),
            },
            bytes,
            origin: Origin::Import(claimed.claim),
        };
        Ok((upload, admitted, content_type))
    }

    fn failure_of_fetch(&self, claimed: &ClaimedItem, error: fetch::Error) -> ImportFailure {
        self.metrics.count_fetch(error.name());
        let Claim { job_id, position, .. } = claimed.claim;
        let (host, cause) = (&claimed.item.host, chain(&error));
        if error.is_internal() {
            tracing::warn!(%job_id, position, host, "failed to fetch an import: {cause}");
        } else {
            tracing::info!(%job_id, position, host, "failed to fetch an import: {cause}");
        }
        let asked = if let fetch::Error::Status { retry_after, .. } = &error { *retry_after } else { None };
        ImportFailure::Url { reason: error.to_string(), retry_after: error.is_transient().then(|| asked.unwrap_or_default()) }
    }
}

fn failure_of_owner(error: Error) -> ImportFailure {
    match error {
        Error::Forbidden { message } => ImportFailure::Url { reason: message, retry_after: None },
        Error::QuotaExceeded(details) => {
            let details: Vec<String> = details.iter().map(|(name, rule)| format!("{name}: {rule}")).collect();
            ImportFailure::Url { reason: format!("the quota is exhausted ({})", details.join("; ")), retry_after: None }
        }
        other => ImportFailure::Service(other),
    }
}

fn failure_of_upload(error: Error, content_type: Option<&str>) -> ImportFailure {
    match error {
        Error::UnsupportedFormat { found: Some(name) } => {
            ImportFailure::Url { reason: format!("the response is {name}, which is not accepted"), retry_after: None }
        }
        Error::UnsupportedFormat { found: None } => {
            let declared = content_type.map(|name| format!("; its Content-Type is {name}")).unwrap_or_default();
            ImportFailure::Url {
                reason: format!("the response is not a JPEG, PNG, GIF or WebP image{declared}"),
                retry_after: None,
            }
        }
        Error::InvalidFile { reason, .. } => ImportFailure::Url { reason, retry_after: None },
        // The image may be the cause, so the number of attempts is limited.
        Error::Internal(_) | Error::Conflict { .. } => {
            ImportFailure::Url { reason: "an internal error occurred".to_owned(), retry_after: Some(Duration::ZERO) }
        }
        Error::Overloaded { .. } => ImportFailure::NoMemory,
        other => failure_of_owner(other),
    }
}
