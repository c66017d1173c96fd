//! Entity tags of conditional requests (RFC 9110, 8.8.3).

/// Returns whether an `If-Match` or `If-None-Match` field is `*` or lists `etag`, which is given without quotes. Uses weak
/// comparison. The service's own tags contain neither commas nor quotes, so the list can be split at commas.
pub fn is_listed(field: &str, etag: &str) -> bool {
    field.trim() == "*" || field.split(',').any(|listed| opaque_tag(listed.trim()) == Some(etag))
}

fn opaque_tag(listed: &str) -> Option<&str> {
    listed.strip_prefix("W/").unwrap_or(listed).strip_prefix('"')?.strip_suffix('"')
}
