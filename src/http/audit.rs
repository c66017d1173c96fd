//! The audit trail.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::accounts::time;
use super::error::{ApiError, BadRequest, InternalServerError, ServiceUnavailable, ValidationError};
use super::extract::{Address, CallerOf, Query};
use super::images::{PageQuery, take_page};
use crate::model::account::Entry;

/// Something that an administrator did.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditEntry {
    #[schema(format = Uuid)]
    pub id: String,
    #[schema(format = DateTime)]
    pub at: String,
    /// The administrator's e-mail address, or `(command line)`.
    pub actor: String,
    #[schema(example = "account.changed")]
    pub action: String,
    /// The id or the name of what it was done to.
    pub subject: String,
    #[schema(example = json!({"plan": "Premium"}))]
    pub details: BTreeMap<String, String>,
}

/// A page of the audit trail, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditPage {
    pub entries: Vec<AuditEntry>,
    /// Opaque; null on the last page.
    pub next_page_token: Option<String>,
    pub has_more: bool,
}

/// Read the audit trail
///
/// What administrators did: accounts made and changed, plans, images of others deleted. Administrators only.
#[utoipa::path(get, path = "/audit", tag = "accounts", params(PageQuery),
    responses((status = 200, description = "A page of entries.", body = AuditPage), BadRequest, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn list_audit_entries(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    Address(uri): Address,
) -> Result<Json<AuditPage>, ApiError> {
    let (limit, token) = take_page(Query::of(&uri))?;
    let page = app.service.list_audit(&caller, limit, token.as_deref()).await?;
    let entries = page.items.into_iter().map(AuditEntry::new).collect();
    Ok(Json(AuditPage { entries, has_more: page.next.is_some(), next_page_token: page.next }))
}

impl AuditEntry {
    fn new(entry: Entry) -> Self {
        let Entry { id, actor, action, subject, details } = entry;
        Self { id: id.to_string(), at: time(id.created_at()), actor, action, subject, details }
    }
}
