//! Pages of lists, and the tokens that continue them.

use super::error::{Error, Fields};
use super::fingerprint::fingerprint_of;
use crate::model::page::{PageToken, TrashToken};

/// A page of a list, newest first.
#[derive(Debug, Clone)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// The token of the next page; `None` on the last page.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Builds a page from up to `limit + 1` items; the extra item shows that there is a next page.
    pub(in crate::service) fn new(mut items: Vec<T>, limit: u32, token: impl FnOnce(&T) -> String) -> Self {
        let has_more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = items.last().filter(|_| has_more).map(token);
        Self { items, next }
    }
}

/// Binds a page token to its list.
pub(in crate::service) fn list_fingerprint(list: &str, of: &str) -> [u8; 32] {
    let fingerprint = fingerprint_of(&[list.as_bytes(), of.as_bytes()]);
    fingerprint.try_into().unwrap_or_default()
}

/// Reads a page token and checks that it belongs to the list with this fingerprint.
pub(super) fn parse_page_token(token: Option<&str>, fingerprint: &[u8; 32]) -> Result<Option<PageToken>, Error> {
    token.map(|token| PageToken::decode(token, fingerprint).ok_or_else(bad_token)).transpose()
}

/// As [`parse_page_token`], for a list of deleted images.
pub(super) fn parse_trash_token(token: Option<&str>, fingerprint: &[u8; 32]) -> Result<Option<TrashToken>, Error> {
    token.map(|token| TrashToken::decode(token, fingerprint).ok_or_else(bad_token)).transpose()
}

fn bad_token() -> Error {
    let rule = "is not valid for this list: pass next_page_token unchanged, with the same filters";
    Error::Malformed {
        message: format!("page_token {rule}."),
        details: Fields::from([("page_token".to_owned(), rule.to_owned())]),
    }
}
