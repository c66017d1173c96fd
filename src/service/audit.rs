//! The audit trail: what administrators did, written in the transactions that do it.

use std::collections::BTreeMap;

use super::Service;
use super::access;
use super::error::Error;
use super::images::read_token;
use super::imports::{Page, list_fingerprint};
use crate::model::account::{Account, Entry, EntryId};
use crate::model::caller::Caller;
use crate::model::clock::Clock;
use crate::model::page::PageToken;
use crate::store::{self, Tx};

impl Service {
    /// A page of the audit trail, newest first. Administrators only.
    ///
    /// # Errors
    /// The caller is none, or the page token is not one of this list.
    pub async fn list_audit(&self, caller: &Caller, limit: u32, token: Option<&str>) -> Result<Page<Entry>, Error> {
        access::admin(caller)?;
        let list = list_fingerprint("audit", "");
        let last = read_token(token, &list)?.map(|token| EntryId::from(token.last));
        let entries = store::audit::page(&self.db, last, limit + 1).await?;
        Ok(Page::new(entries, limit, |entry| PageToken { last: entry.id.uuid() }.encode(&list)))
    }

    /// Notes that an administrator did something.
    pub(super) async fn note(
        &self,
        tx: &mut Tx,
        admin: &Account,
        action: &str,
        subject: impl ToString,
        details: BTreeMap<String, String>,
    ) -> Result<(), Error> {
        note(tx, &*self.clock, admin.email.as_str(), action, subject, details).await
    }
}

/// Notes that `actor` did something.
pub(super) async fn note(
    tx: &mut Tx,
    clock: &dyn Clock,
    actor: &str,
    action: &str,
    subject: impl ToString,
    details: BTreeMap<String, String>,
) -> Result<(), Error> {
    let (id, subject) = (EntryId::new(clock), subject.to_string());
    tracing::info!(entry_id = %id, action, subject, "audit entry");
    let entry = Entry { id, actor: actor.to_owned(), action: action.to_owned(), subject, details };
    Ok(store::audit::insert(tx, &entry).await?)
}
