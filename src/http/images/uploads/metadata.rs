//! The header `Upload-Metadata` of the tus protocol: names, and values in base64.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;

use crate::http::AppState;
use crate::http::request::extractors::Identity;
use crate::http::request::fields::{FieldErrors, boolean, header as one_header};
use crate::model::caller::UserId;
use crate::model::image::Visibility;
use crate::model::tag::Tag;
use crate::model::text::{Description, Title};
use crate::model::upload_properties::UploadProperties;

/// What the metadata says about the image.
#[derive(Debug)]
pub struct Metadata {
    pub user_id: UserId,
    pub content_type: String,
    pub properties: UploadProperties,
    /// The whole header, if it is not empty.
    pub text: Option<String>,
}

/// The names that have an effect.
const KNOWN: [&str; 10] =
    ["filename", "name", "filetype", "type", "user_id", "title", "description", "tags", "visibility", "keep_location"];

const NAME: &str = "Upload-Metadata";
/// Of the whole header, which is stored.
const MAX_BYTES: usize = 16 * 1024;
const DEFAULT_CONTENT_TYPE: &str = "application/octet-stream";
const MAX_CONTENT_TYPE_CHARS: usize = 255;

impl Metadata {
    /// Reads the header. Names that the service does not know are kept for the client, but have no effect.
    pub fn read(app: &AppState, identity: &Identity, headers: &HeaderMap, errors: &mut FieldErrors) -> Option<Self> {
        let header = one_header(headers, NAME, errors);
        let parsed = errors.check(NAME, header.map_or_else(|| Ok((String::new(), BTreeMap::new())), parse))?;
        let (text, mut values) = parsed;
        let text = Some(text).filter(|text| !text.is_empty());
        let mut texts = BTreeMap::new();
        for name in KNOWN {
            let Some(value) = values.remove(name).filter(|value| !value.is_empty()) else { continue };
            if let Some(text) = errors.check(name, String::from_utf8(value).map_err(|_| "must be UTF-8 in base64".to_owned())) {
                texts.insert(name.to_owned(), text);
            }
        }
        let mut take = |names: &[&str]| names.iter().find_map(|name| texts.remove(*name));
        // Uppy sends `name` and `type`.
        let (file_name, content_type) = (take(&["filename", "name"]), take(&["filetype", "type"]));
        let user_id = match take(&["user_id"]) {
            Some(user) => errors.check("user_id", UserId::parse(&user)),
            None => errors.check("user_id", identity.default_user_id()),
        };
        let title = take(&["title"]).and_then(|title| errors.check("title", Title::parse(&title)).flatten());
        let description = take(&["description"]);
        let description = description.and_then(|text| errors.check("description", Description::parse(&text)).flatten());
        let tags = take(&["tags"]).and_then(|tags| errors.check("tags", Tag::parse_list(&tags)));
        let visibility = take(&["visibility"]).and_then(|name| errors.check("visibility", Visibility::parse(&name)));
        let keep_location = take(&["keep_location"]);
        let keep_location = keep_location.and_then(|keep| errors.check("keep_location", boolean(&keep)));
        let keep_location = keep_location.and_then(|keep| errors.check("keep_location", app.service.may_keep_location(keep)));
        let properties = UploadProperties {
            title,
            description,
            tags: tags.unwrap_or_default(),
            visibility: visibility.unwrap_or_default(),
            keep_location: keep_location.unwrap_or_default(),
            file_name: file_name.map(|name| name.replace('\0', "")),
        };
        let is_type = |text: &String| text.len() <= MAX_CONTENT_TYPE_CHARS && text.bytes().all(|byte| byte.is_ascii_graphic());
        let content_type = content_type.filter(is_type).unwrap_or_else(|| DEFAULT_CONTENT_TYPE.to_owned());
        Some(Self { user_id: user_id?, content_type, properties, text })
    }
}

/// Returns the header as text, and its values by name.
fn parse(header: &[u8]) -> Result<(String, BTreeMap<String, Vec<u8>>), String> {
    let text = str::from_utf8(header).ok().filter(|text| text.is_ascii() && text.len() <= MAX_BYTES);
    let text = text.ok_or_else(|| format!("must be ASCII of at most {MAX_BYTES} bytes"))?;
    let mut values = BTreeMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let value = STANDARD.decode(value.trim()).map_err(|_| format!("the value of {name:?} must be in base64"))?;
        if values.insert(name.to_owned(), value).is_some() {
            return Err(format!("the name {name:?} must be given once"));
        }
    }
    Ok((text.to_owned(), values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(header: &str) -> Result<Vec<(String, String)>, String> {
        let text = |(name, value)| (name, String::from_utf8_lossy(value).into_owned());
        Ok(parse(header.as_bytes())?.1.iter().map(|(name, value)| text((name.clone(), value))).collect())
    }

    #[test]
    fn values_are_decoded() {
        let expected = [("filename", "sun set.jpg"), ("is_private", ""), ("title", "日の入り")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        assert_eq!(values("filename c3VuIHNldC5qcGc=, is_private,title 5pel44Gu5YWl44KK"), Ok(expected));
        assert_eq!(values(""), Ok(Vec::new()));
    }

    #[test]
    fn invalid_values_are_explained() {
        assert_eq!(values("a !"), Err("the value of \"a\" must be in base64".to_owned()));
        assert_eq!(values("a YQ==,a YQ=="), Err("the name \"a\" must be given once".to_owned()));
        assert_eq!(values(&"a".repeat(MAX_BYTES + 1)), Err("must be ASCII of at most 16384 bytes".to_owned()));
    }
}
