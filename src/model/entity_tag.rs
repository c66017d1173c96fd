//! Entity tags of conditional requests (RFC 9110, 8.8.3).

/// Returns whether the list of an `If-Match` or `If-None-Match` field contains `etag`, which is given without quotes, or is `*`.
/// Uses weak comparison. The service's own tags contain neither commas nor quotes, so the list can be split at commas.
pub fn is_listed(field: &str, etag: &str) -> bool {
    field.split(',').map(str::trim).any(|listed| {
        let opaque = listed.strip_prefix("W/").unwrap_or(listed);
        listed == "*" || opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) == Some(etag)
    })
}
