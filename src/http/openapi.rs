//! The OpenAPI document: what does not belong to a single operation.

use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat, Type};
use utoipa::openapi::{OpenApi, RefOr, Schema, Server};
use utoipa::{IntoParams, OpenApi as _};

use crate::model::tag::Tag;

/// The document before the routes are added.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Image Service",
        description = "Takes uploads, proves that they are pictures, makes thumbnails, and hands them out again by presigned links.\n\n\
            Every error has one shape: `{\"error\", \"message\", \"details\"}`, and every response an `X-Request-Id`. \
            Unknown query parameters and unknown fields are refused (422).",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    // Responses that only name it do not bring it along.
    components(schemas(super::error::ErrorBody, super::error::ErrorType)),
    tags(
        (name = "images", description = "Pictures and what is known of them"),
        (name = "links", description = "Originals to anybody, by links that do not expire"),
        (name = "imports", description = "Pictures from URLs, as jobs"),
        (name = "service", description = "Health and numbers"),
    )
)]
struct Base;

pub fn base() -> OpenApi {
    Base::openapi()
}

/// The whole document, as `openapi.yaml` has it.
pub fn document() -> OpenApi {
    super::routes().into_openapi()
}

/// The document as a server serves it: first at the address that the page came from, so that its buttons work there.
pub fn for_server(mut document: OpenApi, public_url: Option<&str>) -> OpenApi {
    document.servers = Some(std::iter::once("/").chain(public_url).map(Server::new).collect());
    document
}

/// Who asks.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what `CallerOf` reads")]
pub struct UserHeader {
    /// The user who asks. Set by the gateway in front of the service.
    #[param(rename = "X-User-Id", min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._@:-]+$")]
    user_id: Option<String>,
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
