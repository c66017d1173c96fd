//! Link previews: what chats and other sites show for a link. Their programs run no scripts, so the page says it itself with Open
//! Graph (<https://ogp.me>) and Twitter tags, and oEmbed (<https://oembed.com>) repeats it as JSON. All URLs are absolute.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::Uri;
use serde_json::json;

use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::images::views::SizeView;
use crate::http::request::extractors::{CallerOf, RequestUri};
use crate::http::request::fields::{Query, integer};
use crate::http::sharing::shared_images::SharedSizes;
use crate::model::caller::Caller;
use crate::model::collection::CollectionName;
use crate::model::image::Image;
use crate::model::plural::counted;
use crate::model::share::{Share, ShareTarget};
use crate::model::text::{Description, Title};
use crate::service::error::Error;
use crate::service::images::resize_urls::ResizeUrl;
use crate::service::images::tiles::TilePage;
use crate::service::sharing::shared_images::SharedImages;

/// The name of the site in previews.
const SITE_NAME: &str = "Pictures";

/// What a preview shows.
#[derive(Debug)]
pub struct Preview {
    pub title: String,
    pub description: String,
    /// The URL of the page.
    pub url: String,
    /// The picture, in the size that most sites show.
    pub image: Option<PreviewImage>,
    /// All sizes of the picture, smallest first.
    sizes: Vec<PreviewImage>,
    pub oembed_url: String,
    /// Whether the page shows this picture only.
    is_photo: bool,
}

#[derive(Debug, Clone)]
pub struct PreviewImage {
    pub url: String,
    pub width: u32,
    pub height: u32,
    pub alt: String,
}

/// Sites show a preview in at most this size, in pixels, and ignore files that are much larger.
const PREVIEW_SIDE: u32 = 1280;

impl Preview {
    pub fn of_share(app: &AppState, share: &Share, images: &SharedImages) -> Self {
        let url = app.config.share_link(&share.token);
        let first = images.images.first();
        let sizes = first.map_or_else(Vec::new, |image| {
            let SharedSizes { stored, large } = SharedSizes::of(&app.service, image);
            let size = |(size, path): (SizeView, String)| PreviewImage {
                url: format!("{url}/{path}"),
                width: size.width,
                height: size.height,
                alt: name_of(image),
            };
            stored.into_iter().chain(large).map(size).collect()
        });
        match (&share.target, first) {
            (ShareTarget::Image(_), Some(image)) => Self::new(app, url, (name_of(image), about(image)), sizes, true),
            (ShareTarget::Image(_), None) => Self::new(app, url, (SITE_NAME.to_owned(), String::new()), sizes, false),
            (ShareTarget::Collection(_, name), _) => {
                Self::new(app, url, (name.to_string(), counted(images.total, "picture")), sizes, false)
            }
        }
    }

    pub fn of_collection(app: &AppState, name: &CollectionName, page: &TilePage) -> Self {
        let base = &app.config.link_base;
        let sizes = page.tiles.first().map_or_else(Vec::new, |tile| {
            let size = |url: &ResizeUrl| PreviewImage {
                url: format!("{base}/images/{}/thumbnail?{}", tile.image.id, url.query),
                width: url.width,
                height: url.height,
                alt: name_of(&tile.image),
            };
            tile.thumbnails.iter().chain(&tile.large).map(size).collect()
        });
        Self::new(app, format!("{base}/c/{name}"), (name.to_string(), counted(page.total, "picture")), sizes, false)
    }

    fn new(
        app: &AppState,
        url: String,
        (title, description): (String, String),
        sizes: Vec<PreviewImage>,
        is_photo: bool,
    ) -> Self {
        let query: String = form_urlencoded::byte_serialize(url.as_bytes()).collect();
        let oembed_url = format!("{}/s/oembed?url={query}", app.config.link_base);
        let mut preview = Self { title, description, url, image: None, sizes, oembed_url, is_photo };
        preview.image = preview.image_within(PREVIEW_SIDE, PREVIEW_SIDE).cloned();
        preview
    }

    /// Returns the largest size of the picture within these sides.
    fn image_within(&self, max_width: u32, max_height: u32) -> Option<&PreviewImage> {
        self.sizes.iter().rev().find(|size| size.width <= max_width && size.height <= max_height)
    }

    /// Returns the response of oEmbed 1.0: a photo, or a link with a thumbnail.
    fn oembed(&self, max_width: u32, max_height: u32, provider_url: &str) -> serde_json::Value {
        let mut response = match self.image_within(max_width, max_height) {
            Some(image) if self.is_photo => {
                json!({"type": "photo", "url": image.url, "width": image.width, "height": image.height})
            }
            Some(image) => json!({
                "type": "link",
                "thumbnail_url": image.url, "thumbnail_width": image.width, "thumbnail_height": image.height,
            }),
            None => json!({"type": "link"}),
        };
        response["version"] = json!("1.0");
        response["title"] = json!(self.title);
        response["provider_name"] = json!(SITE_NAME);
        response["provider_url"] = json!(provider_url);
        response
    }
}

fn name_of(image: &Image) -> String {
    image.title.as_ref().map_or(image.file_name.as_str(), Title::as_str).to_owned()
}

fn about(image: &Image) -> String {
    let text = image.description.as_ref().map(Description::as_str).or(image.caption.text.as_deref());
    text.map_or_else(|| counted(1, "picture"), str::to_owned)
}

/// Describes the page of a share or of a public collection, as oEmbed 1.0.
pub async fn get_oembed(
    State(app): State<AppState>,
    CallerOf(_): CallerOf,
    RequestUri(uri): RequestUri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let text = |text: &str| Ok(text.to_owned());
    let url = query.take("url", text);
    // The specification has status 501 for other formats, which would look like a failure of the service.
    query.take("format", |text| if text.eq_ignore_ascii_case("json") { Ok(()) } else { Err("must be json".to_owned()) });
    let [max_width, max_height] =
        ["maxwidth", "maxheight"].map(|name| query.take(name, integer(1..=u32::MAX)).unwrap_or(PREVIEW_SIDE));
    query.finish_shared()?;
    let url = url.ok_or_else(|| Error::invalid("url", "is required"))?;
    let preview = find(&app, &url).await?;
    Ok(Json(preview.oembed(max_width, max_height, &format!("{}/", app.config.link_base))).into_response())
}

/// Finds the page at a URL, whatever its host and the path below which a proxy serves it. Without a cookie, so shares with a
/// password have no preview.
async fn find(app: &AppState, url: &str) -> Result<Preview, Error> {
    let path = url.parse::<Uri>().ok().map(|uri| uri.path().trim_end_matches('/').to_owned()).unwrap_or_default();
    let mut segments = path.rsplit('/');
    match (segments.next(), segments.next()) {
        (Some(token), Some("s")) => {
            let share = app.service.open_share(token, None).await?;
            let first = app.service.list_shared_images(&share, 1, None).await?;
            Ok(Preview::of_share(app, &share.share, &first))
        }
        (Some(name), Some("c")) => {
            let name = CollectionName::parse(name).map_err(|_| Error::no_such_collection())?;
            let first = app.service.show_collection_tiles(&Caller::Anonymous, &name, 1, None).await?;
            Ok(Preview::of_collection(app, &name, &first))
        }
        _ => Err(Error::NotFound { what: "such page".to_owned() }),
    }
}
