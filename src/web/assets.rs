//! The scripts and styles of the pages. They are part of the binary. Their URLs contain a digest of all of them, so caches can
//! keep them forever, and a page never mixes the files of two versions.
//!
//! A debug build reads the files from the source tree when it starts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{LazyLock, OnceLock};

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, header};
use rust_embed::Embed;
use sha2::{Digest, Sha256};

use super::bundle::{self, Sources};
use crate::http::ApiError;
use crate::http::request::negotiation::names;

#[derive(Embed)]
#[folder = "src/web/assets"]
struct Files;

/// All files, read once.
pub static ASSETS: LazyLock<Assets> = LazyLock::new(Assets::read);

pub struct Assets {
    /// Changes whenever a file does.
    pub digest: String,
    files: BTreeMap<String, Asset>,
}

struct Asset {
    content_type: &'static str,
    bytes: Bytes,
    /// Compressed on the first request.
    gzip: OnceLock<Bytes>,
}

/// The names of the joined files.
pub const SCRIPT: &str = "app.js";
pub const STYLES: &str = "app.css";

/// The folder of third-party files. Those that are not part of [`SCRIPT`] are served from there.
const VENDOR: &str = "vendor/";

/// A third-party module that the pages load later. It is not minified.
const PLACEHOLDERS: &str = "vendor/thumbhash/thumbhash.js";

/// The media types of the files that are served, by extension.
const CONTENT_TYPES: [(&str, &str); 3] =
    [(".js", "text/javascript; charset=utf-8"), (".css", "text/css; charset=utf-8"), (".svg", "image/svg+xml")];

const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

impl Assets {
    fn read() -> Self {
        let sources: BTreeMap<String, String> = Files::iter().filter_map(source).collect();
        let vendored = Files::iter().filter(|name| name.starts_with(VENDOR) || name.ends_with(".svg"));
        let mut files: BTreeMap<String, Asset> =
            vendored.filter_map(|name| Some((name.to_string(), Asset::of_file(&name)?))).collect();
        let texts: Sources = sources.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let styles = texts.iter().filter(|(name, _)| name.ends_with(".css")).map(|(_, text)| *text);
        let joined = [
            (SCRIPT, bundle::script(&texts, "main.js")),
            (STYLES, bundle::styles(styles)),
            (PLACEHOLDERS, texts.get(PLACEHOLDERS).copied().map(bundle::strip).unwrap_or_default()),
        ];
        files.extend(joined.map(|(name, text)| (name.to_owned(), Asset::new(name, text.into()))));
        let mut hash = Sha256::new();
        for (name, asset) in &files {
            hash.update(format!("{name}\0{}\0", asset.bytes.len()));
            hash.update(&asset.bytes);
        }
        Self { digest: hex::encode(&hash.finalize()[..8]), files }
    }
}

fn source(name: Cow<'static, str>) -> Option<(String, String)> {
    let text = String::from_utf8(Files::get(&name)?.data.into_owned()).ok()?;
    Some((name.into_owned(), text))
}

impl Asset {
    /// Returns a file as it is; `None` if it is not for browsers, such as a licence.
    fn of_file(name: &str) -> Option<Self> {
        let is_served = CONTENT_TYPES.iter().any(|(extension, _)| name.ends_with(extension));
        let bytes = match Files::get(name).filter(|_| is_served)?.data {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes),
        };
        Some(Self::new(name, bytes))
    }

    fn new(name: &str, bytes: Bytes) -> Self {
        let known = CONTENT_TYPES.iter().find(|(extension, _)| name.ends_with(extension));
        let content_type = known.map_or("application/octet-stream", |(_, content_type)| content_type);
        Self { content_type, bytes, gzip: OnceLock::new() }
    }
}

pub async fn get_asset(Path((digest, file)): Path<(String, String)>, headers: HeaderMap) -> Result<Response, ApiError> {
    let asset = ASSETS.files.get(&file).filter(|_| digest == ASSETS.digest).ok_or_else(ApiError::no_such_route)?;
    let common = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type)),
        (header::CACHE_CONTROL, IMMUTABLE),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
    ];
    if !names(&headers, &header::ACCEPT_ENCODING, "gzip") {
        return Ok((common, asset.bytes.clone()).into_response());
    }
    let encoding = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
    Ok((common, encoding, asset.gzip.get_or_init(|| gzip(&asset.bytes)).clone()).into_response())
}

#[expect(clippy::expect_used, reason = "writing to memory does not fail")]
fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).map(Bytes::from).expect("memory accepts all bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_exports_what_others_import() {
        let sources: BTreeMap<String, String> = Files::iter().filter_map(source).collect();
        let texts: Sources = sources.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let modules: Vec<&str> =
            texts.keys().copied().filter(|name| name.ends_with(".js") && !name.starts_with(VENDOR)).collect();
        assert!(modules.len() > 30, "{modules:?}");
        for module in modules {
            assert_eq!(bundle::missing_imports(&texts, module), Vec::<String>::new(), "{module}");
        }
    }
}
