//! The pages of shares and of public collections, and the tiles on them. They are for visitors: everything that the page of a
//! share requests is below `/s/`.

use askama::Template;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};

use super::first_page::{self, FirstPage};
use super::messages;
use super::negotiation::{Negotiated, query_of};
use super::pages;
use super::preview::Preview;
use super::tiles::{TilePageView, TileView};
use crate::http::AppState;
use crate::http::error::{ApiError, Failure};
use crate::http::request::body::{require_unencoded, with_timeout};
use crate::http::request::extractors::{CallerOf, Identity};
use crate::http::request::paging::PageRequest;
use crate::http::request::parameters::{NoQuery, PathParam, PathParams};
use crate::http::sharing::shared_images::{open, set_pass};
use crate::model::collection::CollectionName;
use crate::model::id::ImageId;
use crate::model::image::Visibility;
use crate::model::share::ShareTarget;
use crate::service::error::Error;
use crate::service::sharing::share_access::OpenShare;
use crate::service::sharing::shared_images::SharedImages;

/// The page of a share or of a public collection.
#[derive(Template)]
#[template(path = "shared.html", config = "src/web/askama.toml")]
struct SharedPage<'a> {
    assets: String,
    noindex: bool,
    first: FirstPage,
    preview: &'a Preview,
    /// The path of the tiles and uploads of the page, relative to the base URL of the service.
    source: String,
    /// How many images visitors can still add, and who can see these; `None` if they cannot add any.
    guest_images: Option<(u32, Visibility)>,
    /// The only image, which the page opens.
    image: Option<ImageId>,
}

/// The page that asks for the password of a share.
#[derive(Template)]
#[template(path = "password.html", config = "src/web/askama.toml")]
struct PasswordPage<'a> {
    assets: String,
    /// The relative URL of [`enter_share`].
    action: &'a str,
    error: Option<String>,
}

/// Caches that others use must not keep what a share shows.
const PRIVATE: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));

/// Maximum size of the password form.
const MAX_FORM_BYTES: usize = 4096;

/// Responds with the page of a share to a request for `/s/{token}`.
pub async fn show_share(
    State(app): State<AppState>,
    _: Negotiated,
    CallerOf(_): CallerOf,
    PathParam(token): PathParam<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let page = async {
        let share = open(&app, &token, &headers).await?;
        let images = app.service.list_shared_images(&share, first_page::TILES, None).await?;
        let preview = Preview::of_share(&app, &share.share, &images);
        let source = format!("s/{token}");
        let tiles = share_tiles(&app, &share, &images);
        let page = SharedPage {
            assets: pages::assets(""),
            noindex: app.config.noindex,
            first: FirstPage::new(&format!("{source}/tiles"), "../", &tiles)?,
            preview: &preview,
            source,
            guest_images: share.share.terms.max_guest_images.map(|_| (share.share.guest_images_left(), images.visibility)),
            image: match share.share.target {
                ShareTarget::Image(id) => Some(id),
                ShareTarget::Collection(..) => None,
            },
        };
        pages::respond(StatusCode::OK, app.config.noindex, &page)
    };
    match page.await {
        Err(Error::SharePasswordRequired) => ask_for_password(&format!("{token}/enter{}", query_of(&uri)), "", None),
        Err(error) => messages::respond(error.into(), ""),
        Ok(response) => Ok(response),
    }
}

/// Checks the password that the form of [`PasswordPage`] sends. The query is that of the page.
pub async fn enter_share(
    State(app): State<AppState>,
    identity: Identity,
    PathParam(token): PathParam<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let entering = async {
        let password = read_password(&headers, body).await?;
        Ok::<_, ApiError>(app.service.enter_share(&token, &password, identity.address).await?)
    };
    let query = query_of(&uri);
    let error = match entering.await {
        Ok(pass) => {
            let location = HeaderValue::from_str(&format!("../{token}{query}")).map_err(Error::internal)?;
            let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response();
            if let Some(pass) = pass {
                response.headers_mut().insert(header::SET_COOKIE, set_pass(&app, &headers, &pass)?);
            }
            return Ok(response);
        }
        Err(error) => error,
    };
    match error.failure() {
        Failure::Service(Error::Forbidden { .. } | Error::TooManyRequests { .. }) => {
            ask_for_password(&format!("../{token}/enter{query}"), "../", Some(error))
        }
        _ => messages::respond(error, "../"),
    }
}

async fn read_password(headers: &HeaderMap, body: Body) -> Result<String, ApiError> {
    require_unencoded(headers)?;
    let too_large = |_| Error::TooLarge { limit_bytes: MAX_FORM_BYTES as u64 };
    let form = with_timeout(axum::body::to_bytes(body, MAX_FORM_BYTES)).await?.map_err(too_large)?;
    let field = form_urlencoded::parse(&form).find(|(name, _)| name == "password");
    field.map(|(_, password)| password.into_owned()).ok_or_else(|| Error::invalid("password", "is required").into())
}

/// `action` is the relative URL of [`enter_share`], and `up` leads from the directory of the page's URL to `/s/`. `error` says why a
/// password was refused.
fn ask_for_password(action: &str, up: &str, error: Option<ApiError>) -> Result<Response, ApiError> {
    let page = PasswordPage { assets: pages::assets(up), action, error: error.as_ref().map(|error| error.failure().to_string()) };
    match error {
        None => Ok(pages::respond(StatusCode::FORBIDDEN, true, &page)?),
        Some(error) => Ok(messages::with_status_of(error, &page)?),
    }
}

pub async fn list_share_tiles(
    State(app): State<AppState>,
    CallerOf(_): CallerOf,
    PathParam(token): PathParam<String>,
    page: PageRequest,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let share = open(&app, &token, &headers).await?;
    let page = app.service.list_shared_images(&share, page.limit, page.token.as_deref()).await?;
    Ok(([PRIVATE], Json(share_tiles(&app, &share, &page))).into_response())
}

fn share_tiles<'a>(app: &AppState, share: &OpenShare, images: &'a SharedImages) -> TilePageView<'a, TileView<'a>> {
    let tiles = images.images.iter().map(|image| TileView::of_share(app, &share.share, image)).collect();
    TilePageView { tiles, total: images.total, next: images.next.as_deref() }
}

pub async fn get_share_tile(
    State(app): State<AppState>,
    _: NoQuery,
    CallerOf(_): CallerOf,
    PathParams(token, id): PathParams<String, ImageId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let share = open(&app, &token, &headers).await?;
    let image = app.service.find_shared_image(&share, id).await?;
    Ok(([PRIVATE], Json(TileView::of_share(&app, &share.share, &image))).into_response())
}

/// Responds with the page of a public collection to a request for `/c/{name}`.
pub async fn show_collection(
    State(app): State<AppState>,
    _: Negotiated,
    CallerOf(caller): CallerOf,
    PathParam(name): PathParam<String>,
) -> Result<Response, ApiError> {
    let page = async {
        let name = CollectionName::parse(&name).map_err(|_| Error::no_such_collection())?;
        let tiles = app.service.show_collection_tiles(&caller, &name, first_page::TILES, None).await?;
        let preview = Preview::of_collection(&app, &name, &tiles);
        let source = format!("c/{name}");
        let page = SharedPage {
            assets: pages::assets("../s/"),
            noindex: app.config.noindex,
            first: FirstPage::new(&format!("{source}/tiles"), "../", &TilePageView::new(&tiles))?,
            preview: &preview,
            source,
            guest_images: None,
            image: None,
        };
        pages::respond(StatusCode::OK, app.config.noindex, &page)
    };
    match page.await {
        Err(error) => messages::respond(error.into(), "../s/"),
        Ok(response) => Ok(response),
    }
}

pub async fn list_collection_tiles(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    PathParam(name): PathParam<CollectionName>,
    page: PageRequest,
) -> Result<Response, ApiError> {
    let page = app.service.show_collection_tiles(&caller, &name, page.limit, page.token.as_deref()).await?;
    Ok(Json(TilePageView::new(&page)).into_response())
}

pub async fn get_collection_tile(
    State(app): State<AppState>,
    _: NoQuery,
    CallerOf(caller): CallerOf,
    PathParams(name, id): PathParams<CollectionName, ImageId>,
) -> Result<Response, ApiError> {
    let tile = app.service.find_collection_tile(&caller, &name, id).await?;
    Ok(Json(TileView::new(&tile)).into_response())
}
