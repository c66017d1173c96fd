//! The audit trail: actions of administrators, changes to credentials, and failed logins. An entry is written in the transaction
//! of the change that it records.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::permissions;
use crate::model::account::{Account, AccountId, Entry, EntryId};
use crate::model::caller::Caller;
use crate::model::clock::Clock;
use crate::model::page::PageToken;
use crate::service::Service;
use crate::service::error::{Error, chain};
use crate::service::paging::{Page, list_fingerprint, parse_page_token};
use crate::store::{self, Tx};

impl Service {
    /// Lists a page of the audit trail, newest first. Administrators only.
    ///
    /// # Errors
    /// The caller is not an administrator, or the page token is not of this list.
    pub async fn list_audit(&self, caller: &Caller, limit: u32, token: Option<&str>) -> Result<Page<Entry>, Error> {
        permissions::admin(caller)?;
        let list = list_fingerprint("audit", "");
        let last = parse_page_token(token, &list)?.map(|token| EntryId::from(token.last));
        let entries = store::identity::audit::page(&self.db, last, limit + 1).await?;
        Ok(Page::new(entries, limit, |entry| PageToken { last: entry.id.uuid() }.encode(&list)))
    }

    /// Records an action of an account.
    pub(in crate::service) async fn audit(
        &self,
        tx: &mut Tx,
        account: &Account,
        action: &str,
        subject: impl ToString,
        details: BTreeMap<String, String>,
    ) -> Result<(), Error> {
        record(tx, &*self.clock, account.email.as_str(), action, subject, details).await
    }
}

/// The actor of actions without an authenticated caller.
pub(in crate::service) const UNKNOWN_ACTOR: &str = "(unknown)";

impl Service {
    /// Records a failed login that exceeded the free attempts. Others are not recorded, so that an attacker cannot fill the
    /// database. The e-mail address is omitted, because users sometimes type passwords there.
    pub(in crate::service) async fn audit_failed_login(&self, account: Option<AccountId>, address: Option<IpAddr>) {
        let subject = account.map_or_else(|| "(no account)".to_owned(), |id| id.to_string());
        let mut details = BTreeMap::new();
        if let Some(address) = address.filter(|_| self.limits.keep_client_addresses) {
            details.insert("address".to_owned(), address.to_string());
        }
        let noted = async {
            let mut tx = self.db.begin().await?;
            record(&mut tx, &*self.clock, UNKNOWN_ACTOR, "login.failed", subject, details).await?;
            Ok::<_, Error>(tx.commit().await?)
        };
        if let Err(error) = noted.await {
            tracing::warn!("failed to record a failed login: {}", chain(&error));
        }
    }
}

/// Records an action of `actor`.
pub(in crate::service) async fn record(
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
    Ok(store::identity::audit::insert(tx, &entry).await?)
}
