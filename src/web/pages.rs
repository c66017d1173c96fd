//! The pages at `/app/`. The server sends a frame; the scripts of the page fill it, and change the URL without loading another
//! page.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};

use super::assets::ASSETS;
use super::first_page::{self, FirstPage};
use super::sessions::PASS_COOKIE;
use super::tiles::TilePageView;
use crate::http::error::ApiError;
use crate::http::identity::gateway::AuthMode;
use crate::http::request::cookies;
use crate::http::request::extractors::{CallerOf, TurnKeyOf};
use crate::http::request::parameters::{PathParam, PathParams};
use crate::http::{AppState, HttpConfig};
use crate::model::account::Account;
use crate::model::caller::{Caller, User, UserId};
use crate::model::collection::CollectionName;
use crate::model::filter::ImageFilter;
use crate::model::id::ImageId;
use crate::service::error::Error;

/// The page runs only its own scripts, shows only images of its own origin, and cannot be framed.
const PAGE_HEADERS: [(HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; \
             manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
];

/// The frame of all pages.
#[derive(Template)]
#[template(path = "app.html", config = "src/web/askama.toml")]
struct AppPage<'a> {
    /// The relative URL of the scripts and styles.
    assets: String,
    first: FirstPage,
    /// How the page learns who uses it.
    identity: Identity,
    /// The user that a gateway or a pass names, or empty.
    user: &'a str,
    /// The account that a pass names.
    account: Option<&'a Account>,
}

/// How a page learns who uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    /// A gateway names the user in each request.
    Gateway,
    /// The service believes the page, which asks for a user name.
    Name,
    /// Users log in to their accounts.
    Account,
}

impl Identity {
    fn of(caller: &Caller, config: &HttpConfig) -> Self {
        match caller {
            Caller::User(_) => Self::Gateway,
            Caller::Gateway if config.gateway.mode == AuthMode::Trusted => Self::Name,
            Caller::Gateway | Caller::Anonymous => Self::Account,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Name => "name",
            Self::Account => "account",
        }
    }
}

/// The page has the first pictures of a user whom a gateway names, or who has logged in before. The scripts request the pictures that
/// filters in the URL select.
pub async fn show_gallery(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    TurnKeyOf(key): TurnKeyOf,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let identity = Identity::of(&caller, &app.config);
    let pass = cookies::find(&headers, PASS_COOKIE).filter(|_| identity == Identity::Account);
    let caller = match pass {
        Some(pass) => app.service.user_of_page_pass(pass).await?.map_or(caller, |user| Caller::User(Box::new(user))),
        None => caller,
    };
    let first = match caller.user().filter(|_| uri.query().is_none()) {
        None => FirstPage::default(),
        Some(user) => {
            let filter = ImageFilter { user_id: Some(user.clone()), ..ImageFilter::default() };
            let page = app.service.list_tiles(&caller, &key, filter, None, first_page::TILES, None).await?;
            let user: String = form_urlencoded::byte_serialize(user.as_str().as_bytes()).collect();
            FirstPage::new(&format!("app/tiles?user_id={user}"), "../", &TilePageView::new(&page))?
        }
    };
    let mut response = page(identity, &caller, "", first)?;
    if identity == Identity::Account && caller.user().is_some() {
        // After the user has logged out, Back must not show the pictures again.
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    }
    Ok(response)
}

/// Another page directly below `/app/`.
pub async fn show_page(State(app): State<AppState>, CallerOf(caller): CallerOf) -> Result<Response, ApiError> {
    frame(&app, &caller, "")
}

/// The page contains no data: its scripts ask the API, which answers only administrators.
pub async fn show_administration(State(app): State<AppState>, CallerOf(caller): CallerOf) -> Result<Response, ApiError> {
    frame(&app, &caller, "../")
}

/// The page is the same for every image id. Its scripts request the image from the API.
pub async fn show_image(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    PathParam(_id): PathParam<ImageId>,
) -> Result<Response, ApiError> {
    frame(&app, &caller, "../")
}

/// As [`show_image`], for collections.
pub async fn show_collection(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    PathParam(_name): PathParam<CollectionName>,
) -> Result<Response, ApiError> {
    frame(&app, &caller, "../")
}

pub async fn show_collection_image(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    PathParams(_name, _id): PathParams<CollectionName, ImageId>,
) -> Result<Response, ApiError> {
    frame(&app, &caller, "../../../")
}

/// Returns a page without pictures. `up` leads from the directory of the page's URL to `/app/`.
fn frame(app: &AppState, caller: &Caller, up: &str) -> Result<Response, ApiError> {
    page(Identity::of(caller, &app.config), caller, up, FirstPage::default())
}

fn page(identity: Identity, caller: &Caller, up: &str, first: FirstPage) -> Result<Response, ApiError> {
    let page = AppPage {
        assets: assets(up),
        first,
        identity,
        user: caller.user().map(UserId::as_str).unwrap_or_default(),
        account: caller.authenticated_user().filter(|_| identity == Identity::Account).and_then(User::own_account),
    };
    Ok(respond(StatusCode::OK, true, &page)?)
}

/// Returns the relative URL of the scripts and styles. `up` leads from the directory of the page's URL to `/app/` or `/s/`.
pub fn assets(up: &str) -> String {
    format!("{up}assets/{}", ASSETS.digest)
}

/// Responds with a page. `noindex`: search engines must not list it.
pub fn respond(status: StatusCode, noindex: bool, page: &impl Template) -> Result<Response, Error> {
    let html = page.render().map_err(Error::internal)?;
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))];
    let mut response = (status, PAGE_HEADERS, content_type, html).into_response();
    if noindex {
        response.headers_mut().insert("x-robots-tag", HeaderValue::from_static("noindex"));
    }
    Ok(response)
}
