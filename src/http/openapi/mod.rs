//! The OpenAPI document: everything that does not belong to a single operation.

pub mod enums;
pub mod error_responses;
pub mod examples;
pub mod rules;
pub mod yaml;

use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr, Schema, Server};
use utoipa::{IntoResponses, OpenApi as _};

use self::error_responses::{
    BadRequest, Forbidden, InternalServerError, InvalidPageToken, PayloadTooLarge, RequestTimeout, ServiceUnavailable,
    TooManyRequests, Unauthorized, UnsupportedMediaType, ValidationError,
};
use super::identity::authentication::UNRESTRICTED_PATHS;

/// The document before the routes are added.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Image Service",
        description = "Upload images or import them from URLs. The service validates them, creates thumbnails and captions, and serves \
            them through presigned URLs, public links and share links.\n\n\
            **Errors.** Every error response has the same body, `{\"error\", \"message\", \"details\"}`, and every response has an \
            `X-Request-Id` header. Unknown fields and unknown query parameters are rejected with 422, \
            except unknown query parameters of links that people share (`/i/…`, `/view/…`, `/c/…`, stored thumbnails).\n\n\
            **Authentication.** Public data needs no authentication. Otherwise send an access token, an e-mail address and password, or \
            an API key; behind a trusted gateway, `X-User-Id`. Invalid credentials return 401, even on public endpoints.\n\n\
            **Lists.** Lists are paged: leave out `page_token` for the first page, then send the `next_page_token` of the \
            previous page with the same filters, until it is null.\n\n\
            **Null.** Responses always contain all fields; a field without a value is null. Only request bodies can leave out fields.\n\n\
            **IDs.** Images are identified by `image_id`, plans and collections by `name`, and other resources by `id`. `POST /imports` \
            returns the `id` of the new job as `jobId`.\n\n\
            **Time.** Timestamps are RFC 3339 in UTC, with milliseconds: `2026-01-31T12:00:00.123Z`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    // The router cannot match part of a path segment, so the handler of `/i/{image_id}` forwards these requests.
    paths(super::sharing::public_images::get_public_image),
    // Only parameters and shared responses refer to these schemas, so no operation adds them.
    components(schemas(
        super::error::ErrorBody,
        super::error::ErrorType,
        super::maintenance::health::ReadinessError,
        self::enums::ResizeFitSchema,
        self::enums::ThumbnailFormatSchema
    )),
    tags(
        (name = "images", description = "Images, their metadata and thumbnails"),
        (name = "uploads", description = "Uploads in several requests"),
        (name = "links", description = "Public links and share links to originals"),
        (name = "collections", description = "Named collections of images"),
        (name = "shares", description = "Links that show an image or a collection to anyone, in a browser or as JSON"),
        (name = "imports", description = "Jobs that import images from URLs"),
        (name = "accounts", description = "Tokens, accounts, API keys, plans and the audit trail"),
        (name = "service", description = "Health, statistics and metrics"),
    )
)]
struct Base;

pub fn base() -> OpenApi {
    Base::openapi()
}

/// Returns the complete document, as in `openapi.yaml`.
pub fn document() -> OpenApi {
    super::maintenance::limits::describe(complete(super::routes().into_openapi()), &super::maintenance::limits::Limits::default())
}

/// Path prefixes that require an account.
const ACCOUNT_PATHS: [&str; 4] = ["/accounts", "/api-keys", "/audit", "/plans"];

/// Path prefixes that require authentication of any kind.
const AUTHENTICATED_PATHS: [&str; 2] = ["/images/{image_id}/links", "/shares"];

fn has_prefix(path: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| path.starts_with(prefix))
}

/// Adds what applies to every operation: authentication with its errors, then the rules of `openapi/rules.rs`.
pub fn complete(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_default();
    let user_id = ApiKeyValue::with_description(
        "X-User-Id",
        "The id of the calling user. Set by a trusted gateway. Ignored unless `AUTH_MODE` is `trusted`.",
    );
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
    let bearer = bearer.description(Some("The `access` token of `POST /token`, or an API key."));
    let basic = HttpBuilder::new().scheme(HttpAuthScheme::Basic);
    let basic = basic.description(Some(
        "An e-mail address and password; or an API key, either as the password with any user name or as the user name.",
    ));
    let key = ApiKeyValue::with_description("X-API-Key", "An API key.");
    components.add_security_scheme("bearerAuth", SecurityScheme::Http(bearer.build()));
    components.add_security_scheme("basicAuth", SecurityScheme::Http(basic.build()));
    components.add_security_scheme("apiKeyAuth", SecurityScheme::ApiKey(ApiKey::Header(key)));
    components.add_security_scheme("gatewayUser", SecurityScheme::ApiKey(ApiKey::Header(user_id)));
    let [token, basic, key, gateway] =
        ["bearerAuth", "basicAuth", "apiKeyAuth", "gatewayUser"].map(|name| SecurityRequirement::new(name, [] as [String; 0]));
    let accounts = vec![token, basic, key];
    let known: Vec<_> = accounts.iter().cloned().chain([gateway]).collect();
    document.security = Some(std::iter::once(SecurityRequirement::default()).chain(known.clone()).collect());
    for (path, item) in &mut document.paths.paths {
        let writes = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete].map(|operation| (false, operation));
        let operations = std::iter::once((true, &mut item.get)).chain(writes);
        for (is_get, operation) in operations {
            let Some(operation) = operation else { continue };
            if UNRESTRICTED_PATHS.contains(&path.as_str()) {
                operation.security = Some(Vec::new());
                continue;
            }
            if path.starts_with("/token") {
                operation.security = Some(Vec::new());
            } else if has_prefix(path, &ACCOUNT_PATHS) {
                operation.security = Some(accounts.clone());
            } else if has_prefix(path, &AUTHENTICATED_PATHS)
                || !is_get && path.starts_with("/images/") && !path.ends_with("/urls")
            {
                operation.security = Some(known.clone());
            }
            add_common_errors(operation);
        }
    }
    self::rules::apply(&mut document);
    // Relative, so that it is correct wherever the document is served. `for_server` adds the public URL.
    document.servers = Some(vec![Server::new("/")]);
    document
}

/// Adds the error responses that follow from what an operation takes. An operation lists only its own: another response with the
/// same status replaces the common one.
fn add_common_errors(operation: &mut Operation) {
    let mut errors = vec![
        Unauthorized::responses(),
        Forbidden::responses(),
        ValidationError::responses(),
        TooManyRequests::responses(),
        InternalServerError::responses(),
        ServiceUnavailable::responses(),
    ];
    if operation.request_body.is_some() {
        errors.extend([
            BadRequest::responses(),
            RequestTimeout::responses(),
            PayloadTooLarge::responses(),
            UnsupportedMediaType::responses(),
        ]);
    }
    if rules::is_paged(operation) {
        errors.push(InvalidPageToken::responses());
    }
    for (status, response) in errors.into_iter().flatten() {
        operation.responses.responses.entry(status).or_insert(response);
    }
}

/// Returns the document with the server's URLs. The first URL has no host, so that the documentation pages call the server that
/// they came from. It has the path of `public_url`, below which a reverse proxy serves the API.
pub fn for_server(mut document: OpenApi, public_url: Option<&str>) -> OpenApi {
    let path = public_url.and_then(|url| url.split_once("://")?.1.split_once('/')).map(|(_, path)| path.trim_end_matches('/'));
    let here = format!("/{}", path.unwrap_or_default());
    document.servers = Some(std::iter::once(here.as_str()).chain(public_url).map(Server::new).collect());
    document
}

/// Returns the schema of `urls`, a list of URLs in a JSON body.
pub fn urls_schema() -> RefOr<Schema> {
    let url = ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::Custom("uri".to_owned())));
    let url = url.max_length(Some(2048));
    let about =
        "HTTP(S) URLs without user names and passwords, each of at most 2048 characters. Equivalent URLs are imported once.";
    RefOr::T(ArrayBuilder::new().items(url).min_items(Some(1)).max_items(Some(100)).description(Some(about)).into())
}
