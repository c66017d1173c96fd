//! The OpenAPI document: what does not belong to a single operation.

use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr, Schema, Server};
use utoipa::{IntoResponses, OpenApi as _};

use super::error::{Forbidden, TooManyRequests, Unauthorized};
use super::identify::UNGUARDED;

use crate::model::tag::Tag;

/// The document before the routes are added.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Image Service",
        description = "Takes uploads, proves that they are pictures, makes thumbnails, and hands them out again by presigned links.\n\n\
            Every error has one shape: `{\"error\", \"message\", \"details\"}`, and every response an `X-Request-Id`. \
            Unknown query parameters and unknown fields are refused (422).\n\n\
            What is public anybody may read. Callers come in by an access token, by e-mail address and password or an API key \
            (basic authentication), or, behind a gateway, by `X-User-Id`; credentials that are sent but wrong are a 401 wherever they are looked at.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    // The router knows no part of a segment: the handler of `/i/{image_id}` hands these requests on.
    paths(super::linked_images::get_public_image),
    // Responses that only name it do not bring it along.
    components(schemas(super::error::ErrorBody, super::error::ErrorType, super::words::ResizeFitWord, super::words::ThumbnailFormatWord)),
    tags(
        (name = "images", description = "Pictures and what is known of them"),
        (name = "links", description = "Originals to anybody, by public links and by links that expire"),
        (name = "collections", description = "Images under a name"),
        (name = "imports", description = "Pictures from URLs, as jobs"),
        (name = "accounts", description = "Tokens, accounts, API keys, plans"),
        (name = "service", description = "Health and numbers"),
    )
)]
struct Base;

pub fn base() -> OpenApi {
    Base::openapi()
}

/// The whole document, as `openapi.yaml` has it.
pub fn document() -> OpenApi {
    super::limits::describe(finished(super::routes().into_openapi()), &super::limits::Limits::default())
}

/// Where callers must come in by an account.
const OF_ACCOUNTS: [&str; 4] = ["/accounts", "/api-keys", "/audit", "/plans"];

/// Where callers must be known, by whatever way.
const OF_THE_KNOWN: [&str; 1] = ["/images/{image_id}/links"];

fn is_any(path: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| path.starts_with(prefix))
}

/// Adds what holds for every operation: how callers show who they are, and the errors of that.
pub fn finished(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_default();
    let user_id =
        ApiKeyValue::with_description("X-User-Id", "The user who asks: set by a gateway, where `AUTH_MODE` is `trusted`.");
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
    let bearer = bearer.description(Some("`access` of `POST /token`."));
    let basic = HttpBuilder::new().scheme(HttpAuthScheme::Basic);
    let basic = basic.description(Some("E-mail address and password, or any user name and an API key as the password."));
    components.add_security_scheme("token", SecurityScheme::Http(bearer.build()));
    components.add_security_scheme("password_or_key", SecurityScheme::Http(basic.build()));
    components.add_security_scheme("user_id", SecurityScheme::ApiKey(ApiKey::Header(user_id)));
    let [token, password_or_key, user_id] =
        ["token", "password_or_key", "user_id"].map(|name| SecurityRequirement::new(name, [] as [String; 0]));
    let accounts = vec![token.clone(), password_or_key.clone()];
    let known = vec![token, password_or_key, user_id];
    document.security = Some(std::iter::once(SecurityRequirement::default()).chain(known.clone()).collect());
    for (path, item) in &mut document.paths.paths {
        let writes = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete].map(|operation| (false, operation));
        let operations = std::iter::once((true, &mut item.get)).chain(writes);
        for (is_get, operation) in operations {
            let Some(operation) = operation else { continue };
            if UNGUARDED.contains(&path.as_str()) {
                operation.security = Some(Vec::new());
                continue;
            }
            if path.starts_with("/token") {
                operation.security = Some(Vec::new());
            } else if is_any(path, &OF_ACCOUNTS) {
                operation.security = Some(accounts.clone());
            } else if is_any(path, &OF_THE_KNOWN) || !is_get && path.starts_with("/images/") {
                operation.security = Some(known.clone());
            }
            let errors = [Unauthorized::responses(), Forbidden::responses(), TooManyRequests::responses()];
            for (status, response) in errors.into_iter().flatten() {
                operation.responses.responses.entry(status).or_insert(response);
            }
        }
    }
    document
}

/// The document as a server serves it: first at the address that the page came from, so that its buttons work there.
pub fn for_server(mut document: OpenApi, public_url: Option<&str>) -> OpenApi {
    document.servers = Some(std::iter::once("/").chain(public_url).map(Server::new).collect());
    document
}

/// A date or a date-time.
pub fn date_schema() -> RefOr<Schema> {
    let of = |format| ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(format)));
    RefOr::T(Schema::OneOf(OneOfBuilder::new().item(of(KnownFormat::Date)).item(of(KnownFormat::DateTime)).build()))
}

/// One tag, as `Tag::parse` reads it (but for combining marks, which it takes too).
pub fn tag_schema() -> RefOr<Schema> {
    text_of(r"^[\p{L}\p{N}_-]([\p{L}\p{N} _-]{0,48}[\p{L}\p{N}_-])?$")
}

/// At least one tag, and commas between them.
pub fn tags_filter_schema() -> RefOr<Schema> {
    text_of(r"^[\p{L}\p{N}_-][\p{L}\p{N} _-]{0,49}(,[\p{L}\p{N} _-]{0,50}){0,9}$")
}

/// Tags with commas between them, or none.
pub fn tags_form_schema() -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(TAG_LIST));
    // Swagger UI fills the field with it; without one it would make up a text from the pattern.
    RefOr::T(text.examples([serde_json::json!("nature,sunset,mountains")]).into())
}

/// Thumbnails in a plan.
pub fn thumbnails_schema() -> RefOr<Schema> {
    let size = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(r"^(small|medium|1[6-9]|[2-9][0-9]|[1-9][0-9]{2}|1[0-9]{3}|2000)$"));
    RefOr::T(ArrayBuilder::new().items(size).max_items(Some(10)).into())
}

/// URLs in a JSON body.
pub fn urls_schema() -> RefOr<Schema> {
    let url = ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::Custom("uri".to_owned())));
    let url = url.max_length(Some(2048));
    RefOr::T(ArrayBuilder::new().items(url).min_items(Some(1)).max_items(Some(100)).into())
}

const TAG_LIST: &str = r"^[\p{L}\p{N} _-]{0,50}(,[\p{L}\p{N} _-]{0,50}){0,9}$";

fn text_of(pattern: &str) -> RefOr<Schema> {
    RefOr::T(ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).into())
}

/// Tags in a JSON body: a list, or a text with commas, or null.
pub fn tags_schema() -> RefOr<Schema> {
    let text = |pattern| ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
    let list = ArrayBuilder::new().items(text(r"^[\p{L}\p{N} _-]{0,50}$")).max_items(Some(Tag::MAX_PER_IMAGE));
    let null = ObjectBuilder::new().schema_type(Type::Null).format(None::<SchemaFormat>);
    RefOr::T(Schema::OneOf(OneOfBuilder::new().item(list).item(text(TAG_LIST)).item(null).build()))
}
