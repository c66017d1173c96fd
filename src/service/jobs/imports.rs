//! Imports: jobs that fetch images from URLs. This file has the client operations; `import_queue.rs` works on the items.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;

use crate::fetch::Target;
use crate::model::caller::{Caller, UserId};
use crate::model::id::ImageId;
use crate::model::image::Visibility;
use crate::model::job::{Item, Job, JobId};
use crate::model::page::PageToken;
use crate::model::tag::Tag;
use crate::service::Service;
use crate::service::error::Error;
use crate::service::fingerprint::fingerprint_of;
use crate::service::identity::permissions;
use crate::service::images::idempotency_key::IdempotencyKey;
use crate::service::paging::{Page, list_fingerprint, parse_page_token};
use crate::store::jobs::imports::{Common, NewItem};
use crate::store::{self, Tx};

/// The URLs to import, and the properties of the resulting images.
#[derive(Debug, Clone)]
pub struct ImportRequest {
    pub user_id: UserId,
    pub tags: Vec<Tag>,
    pub visibility: Visibility,
    /// As for an upload.
    pub keep_location: bool,
    pub urls: Vec<ImportUrl>,
    pub idempotency_key: Option<IdempotencyKey>,
}

impl ImportRequest {
    /// The maximum number of URLs of a job.
    pub const MAX_URLS: usize = 100;
}

/// A validated URL.
#[derive(Debug, Clone)]
pub struct ImportUrl {
    /// As the client wrote it.
    url: String,
    target: Target,
}

/// By then some of the pending items will have been fetched.
const PENDING_RETRY: Duration = Duration::from_secs(60);

pub(in crate::service) const NO_IMPORTS: &str = "The plan of this user does not include imports.";

/// The reason that items of a cancelled job have.
pub(in crate::service) const CANCELLED: &str = "the import was cancelled";

impl Service {
    /// Checks a URL, without connecting to its host.
    ///
    /// # Errors
    /// The rule that it breaks, worded for the client.
    pub fn parse_import_url(&self, url: String) -> Result<ImportUrl, String> {
        let target = self.fetcher.check(&url)?;
        Ok(ImportUrl { url: url.trim().to_owned(), target })
    }

    /// Creates an import job. Duplicate URLs are imported once.
    ///
    /// # Errors
    /// The caller is another user, the user has too many pending URLs, or the key was used for a different request.
    pub async fn create_import(&self, caller: &Caller, request: &ImportRequest) -> Result<JobId, Error> {
        self.require_uploader_for(caller, &request.user_id)?;
        if self.features_of(&request.user_id).await?.is_some_and(|features| !features.imports) {
            return Err(Error::forbidden(NO_IMPORTS));
        }
        let id = JobId::new(&*self.clock);
        let mut tx = self.db.begin().await?;
        store::jobs::import_queue::lock(&mut tx).await?;
        if let Some(key) = &request.idempotency_key {
            let answer = (id.uuid(), json!({"job_id": id.to_string()}));
            let known = self.claim_completed_key(&mut tx, &request.user_id, key, &fingerprint(request), answer).await?;
            if let Some(answer) = known {
                let known = answer["job_id"].as_str().and_then(JobId::parse);
                return known.ok_or_else(|| Error::internal("the response of an import's idempotency key has no job id"));
            }
        }
        let items = items(&request.urls);
        self.check_pending(&mut tx, &request.user_id, items.len()).await?;
        let common = Common { tags: request.tags.clone(), visibility: request.visibility, keep_location: request.keep_location };
        store::jobs::imports::insert(&mut tx, id, &request.user_id, &common, &items).await?;
        tx.commit().await?;
        self.import_created.notify_one();
        Ok(id)
    }

    /// Checks that a user may have so many more pending items. The queue must be locked, so that no concurrent request is missed.
    async fn check_pending(&self, tx: &mut Tx, user: &UserId, more: usize) -> Result<(), Error> {
        let pending = store::jobs::imports::count_pending(tx, user).await?;
        let limit = u64::from(self.limits.imports.max_pending);
        if pending.saturating_add(more as u64) <= limit {
            return Ok(());
        }
        Err(Error::TooManyPending { pending, limit, retry_after: PENDING_RETRY })
    }

    /// Finds a job and its items, in the order in which their URLs were given.
    ///
    /// # Errors
    /// There is no such job, or it belongs to another user.
    pub async fn find_import(&self, caller: &Caller, id: JobId) -> Result<(Job, Vec<Item>), Error> {
        let viewer = permissions::viewer(caller)?;
        if *caller == Caller::Anonymous {
            return Err(Error::Unauthenticated);
        }
        let (job, items) = self.read_import(viewer, id).await?;
        // Behind a gateway anonymous callers may see a job whose id they know, unless it is private or its user has an account.
        let is_own = job.visibility == Visibility::Private
            || store::identity::accounts::find_by_user(&self.db, &job.user_id).await?.is_some();
        if viewer.is_none() && is_own { Err(no_such_import()) } else { Ok((job, items)) }
    }

    async fn read_import(&self, viewer: Option<&UserId>, id: JobId) -> Result<(Job, Vec<Item>), Error> {
        let mut reader = self.db.reader().await?;
        let job = store::jobs::imports::find(&mut reader, id)
            .await?
            .filter(|job| is_visible_to(viewer, job))
            .ok_or_else(no_such_import)?;
        // Read after the job, so that the items of a complete job are final.
        let items = store::jobs::imports::items(&mut reader, id).await?;
        Ok((job, items))
    }

    /// Lists a page of the caller's jobs.
    ///
    /// # Errors
    /// The caller is not authenticated, or the page token is not of this list.
    pub async fn list_imports(&self, caller: &Caller, limit: u32, token: Option<&str>) -> Result<Page<Job>, Error> {
        let user = permissions::authenticated_viewer(caller)?;
        let list = list_fingerprint("imports", user.as_str());
        let last = parse_page_token(token, &list)?.map(|token| JobId::from(token.last));
        let jobs = store::jobs::imports::page(&self.db, user, last, limit + 1).await?;
        Ok(Page::new(jobs, limit, |job| PageToken { last: job.id.uuid() }.encode(&list)))
    }

    /// Cancels the items of a job that have not started. Running items continue, and completed ones stay.
    ///
    /// # Errors
    /// The caller is not authenticated, there is no such job, or it belongs to another user.
    pub async fn cancel_import(&self, caller: &Caller, id: JobId) -> Result<(Job, Vec<Item>), Error> {
        let user = permissions::writer(caller)?;
        store::jobs::imports::find(&self.db, id)
            .await?
            .filter(|job| is_visible_to(Some(&user.id), job))
            .ok_or_else(no_such_import)?;
        let mut tx = self.db.begin().await?;
        let cancelled = store::jobs::imports::cancel(&mut tx, id, CANCELLED, self.clock.now()).await?;
        tx.commit().await?;
        self.metrics.count_import_items("cancelled", cancelled);
        self.read_import(Some(&user.id), id).await
    }

    /// Lists a page of all live, public, imported images whose owners' plans include originals.
    ///
    /// # Errors
    /// The page token is not of this list.
    pub async fn list_links(&self, caller: &Caller, limit: u32, token: Option<&str>) -> Result<Page<ImageId>, Error> {
        permissions::viewer(caller)?;
        let list = list_fingerprint("links", "");
        let last = parse_page_token(token, &list)?.map(|token| ImageId::from(token.last));
        let images = store::images::lists::page_of_imported(&self.db, last, limit + 1).await?;
        let page = Page::new(images, limit, |(id, _)| PageToken { last: id.uuid() }.encode(&list));
        // Pages may be shorter than the limit; they are not filled up.
        let items = page.items.into_iter().filter(|(_, is_given)| *is_given).map(|(id, _)| id).collect();
        Ok(Page { items, next: page.next })
    }
}

/// Removes duplicates.
fn items(urls: &[ImportUrl]) -> Vec<NewItem> {
    let mut known = HashSet::new();
    let once = urls.iter().filter(|url| known.insert(url.target.as_str()));
    once.map(|url| NewItem { url: url.url.clone(), host: host_of(&url.target) }).collect()
}

/// Returns the key of the limit per host: a name as the resolver gets it, or an address.
fn host_of(target: &Target) -> String {
    target.host().trim_end_matches('.').to_owned()
}

/// For anonymous callers the id is the credential, because it cannot be guessed.
fn is_visible_to(viewer: Option<&UserId>, job: &Job) -> bool {
    viewer.is_none_or(|user| *user == job.user_id)
}

fn no_such_import() -> Error {
    Error::NotFound { what: "such import".to_owned() }
}

fn fingerprint(request: &ImportRequest) -> Vec<u8> {
    let mut parts = vec![b"import".as_slice()];
    if request.visibility == Visibility::Private {
        parts.push(b"private");
    }
    if request.keep_location {
        parts.push(b"keep_location");
    }
    parts.extend(request.urls.iter().map(|url| url.url.as_bytes()));
    parts.push(b"tags");
    parts.extend(request.tags.iter().map(|tag| tag.as_str().as_bytes()));
    fingerprint_of(&parts)
}
