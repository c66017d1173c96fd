//! The audit trail.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::accounts::time;
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::request::extractors::CallerOf;
use crate::http::request::paging::{PageQuery, PageRequest};
use crate::model::account::Entry;

/// An action of an administrator, or one that concerns an account's credentials.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditEntry {
    /// The entry's id, a UUIDv7.
    #[schema(format = Uuid)]
    pub id: String,
    /// When it happened.
    #[schema(format = DateTime)]
    pub at: String,
    /// The e-mail address of the account that performed the action, `(command line)`, or `(unknown)` for failed attempts.
    pub actor: String,
    /// The action, as `<kind of resource>.<verb>`.
    #[schema(example = "account.changed")]
    pub action: String,
    /// The id or the name of the resource.
    pub subject: String,
    /// The changed fields with their new values.
    #[schema(example = json!({"plan": "Premium"}))]
    pub details: BTreeMap<String, String>,
}

/// A page of the audit trail, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditPage {
    /// The entries on this page.
    pub entries: Vec<AuditEntry>,
    /// The `page_token` of the next page; null on the last page.
    pub next_page_token: Option<String>,
    /// Whether there is another page.
    pub has_more: bool,
}

/// List audit entries
///
/// Actions of administrators: accounts and plans that they created or changed, and other users' images that they deleted or
/// restored. The trail also records changes to credentials: API keys created, changed or deleted, passwords set, sessions ended,
/// refresh tokens reused, and failed logins once they are delayed. Administrators only.
#[utoipa::path(get, path = "/audit", tag = "accounts", params(PageQuery),
    responses((status = 200, description = "A page of entries.", body = AuditPage)))]
pub async fn list_audit_entries(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    request: PageRequest,
) -> Result<Response, ApiError> {
    let page = app.service.list_audit(&caller, request.limit, request.token.as_deref()).await?;
    request.respond(&app, page, |entries, next_page_token, has_more| {
        let entries = entries.into_iter().map(AuditEntry::new).collect();
        AuditPage { entries, next_page_token, has_more }
    })
}

impl AuditEntry {
    fn new(entry: Entry) -> Self {
        let Entry { id, actor, action, subject, details } = entry;
        Self { id: id.to_string(), at: time(id.created_at()), actor, action, subject, details }
    }
}
