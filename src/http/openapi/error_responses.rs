//! The error responses of the OpenAPI document. Each is a component; operations only refer to it.
//!
//! Each type is one response, and an operation lists those that it can return. If the reason differs between operations, so does
//! the response: the documentation of `GET /images` should not mention files.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::IntoResponses;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Response};

use crate::http::error::ErrorType;

macro_rules! error_responses {
    ($($name:ident $status:literal [$($error:ident)+] $description:literal, $message:literal $details:tt $(, $header:ident)?;)*) => {
        $(
            #[doc = $description]
            #[derive(Debug)]
            pub struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    BTreeMap::from([($status.to_owned(), RefOr::Ref(Ref::from_response_name(stringify!($name))))])
                }
            }
        )*

        /// Returns all responses by name, for the document's components.
        pub fn components() -> Vec<(&'static str, Response)> {
            vec![$({
                let errors = [$(ErrorType::$error),+];
                let response = error_response($description, &errors, $message, json!($details));
                $(let response = response.header($header.0, header($header));)?
                (stringify!($name), response.build())
            }),*, ("NotReady", not_ready())]
        }
    };
}

const WWW_AUTHENTICATE: (&str, Type, &str) = ("WWW-Authenticate", Type::String, "The authentication challenge.");
const RETRY_AFTER: (&str, Type, &str) = ("Retry-After", Type::Integer, "Seconds to wait before the next attempt.");
const CONTENT_RANGE: (&str, Type, &str) = ("Content-Range", Type::String, "The size of the file, as `bytes */<size>`.");

error_responses! {
    BadRequest "400" [BadRequest] "The request body is malformed, for example not valid JSON.",
        "The request body is not valid JSON: EOF while parsing an object at line 1 column 9." {};
    InvalidPageToken "400" [BadRequest] "The page token is malformed, or belongs to another list or to other filters.",
        "page_token is not valid for this list: pass next_page_token unchanged, with the same filters."
        {"page_token": "is not valid for this list: pass next_page_token unchanged, with the same filters"};
    InvalidUpload "400" [BadRequest InvalidFile]
        "`BadRequest`: the multipart body is malformed. `InvalidFile`: the file is damaged, too small, or its dimensions are not accepted.",
        "The image has 40×40 pixels, but each side must have at least 50 pixels; the operator can lower MIN_IMAGE_SIDE."
        {"file": "the image has 40×40 pixels, but each side must have at least 50 pixels; the operator can lower MIN_IMAGE_SIDE"};
    UnknownThumbnailSize "400" [BadRequest] "The service has no thumbnail of this size.",
        "size must be one of small, medium." {"size": "must be one of small, medium"};
    Unauthorized "401" [Unauthorized] "Credentials are missing or invalid.",
        "The credentials are invalid: the access token has expired." {}, WWW_AUTHENTICATE;
    Forbidden "403" [Forbidden] "The caller's identity, plan or API key scopes do not permit this operation.",
        "Only the owner of image 019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17 can do this." {};
    ResizeForbidden "403" [Forbidden]
        "The service does not allow this size without a signature, the signature is wrong or has expired, or the plan of the image's owner \
         does not include resized images.",
        "Without a signature only these sizes are allowed (width x height): 320x, 640x. For other sizes, the owner of the image creates a URL with POST /images/{image_id}/urls." {};
    QuotaOrForbidden "403" [Forbidden QuotaExceeded]
        "`Forbidden`: the caller's identity, plan or API key scopes do not permit this operation. `QuotaExceeded`: the request would \
         exceed the quota; `details` says what is used and what is left.",
        "This would exceed the quota of the plan. See details for what is used and what is left." {"images": "100 of 100 used, 0 left, 1 required"};
    LinkExpired "403" [Forbidden] "The share link has expired: its lifetime is over, or it has reached `max_views`.",
        "Sorry, the link is expired." {};
    NotFound "404" [NotFound] "The resource does not exist, was deleted, or is not visible to the caller.",
        "There is no such image." {};
    NoSuchObject "404" [NotFound] "The object to adopt does not exist, or the service may not read it.",
        "There is no such object, or the service may not read it." {};
    RequestTimeout "408" [RequestTimeout] "The request body did not arrive in time.",
        "The request body did not arrive in time." {};
    Conflict "409" [Conflict] "The current state of the resource does not allow this operation; `message` says why.",
        "Image 019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17 is not deleted." {};
    AlreadyExists "409" [Conflict] "The name or e-mail address is already in use, or the maximum number of these resources exists.",
        "There is already a collection named \"summer-2026\"." {};
    IdempotencyConflict "409" [Conflict] "The first request with the same `Idempotency-Key` has not finished yet. Retry after the time in `Retry-After`.",
        "The first request with this Idempotency-Key is still running. Try again in 12 seconds." {}, RETRY_AFTER;
    UploadConflict "409" [Conflict] "The file has not arrived, or another request is completing the upload. Retry later.",
        "The file has not arrived. Send it to the storage first." {}, RETRY_AFTER;
    LimitReached "409" [Conflict] "The maximum number of these resources exists. Delete one first.",
        "The account already has 100 keys. Delete one first." {};
    Gone "410" [Gone] "The image is already deleted.",
        "Image 019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17 is already deleted." {};
    PayloadTooLarge "413" [PayloadTooLarge] "The request body is larger than the service accepts.",
        "The request body is larger than the limit of 10551296 bytes." {};
    UnsupportedMediaType "415" [UnsupportedMediaType] "The request body has a media type or an encoding that this operation does not accept.",
        "The request body must be application/json." {};
    UnsupportedImage "415" [UnsupportedMediaType] "The file is not a JPEG, PNG, GIF or WebP image, or the request body is neither `multipart/form-data` nor JSON.",
        "The file is not a JPEG, PNG, GIF or WebP image, whatever its name or declared type." {};
    RangeNotSatisfiable "416" [RangeNotSatisfiable] "The requested range lies outside the file.",
        "The requested Range is outside the file, which has 829440 bytes." {}, CONTENT_RANGE;
    ValidationError "422" [ValidationError] "One or more fields or parameters are invalid or unknown; `details` lists each with the rule it breaks.",
        "limit must be a whole number from 1 to 100."
        {"limit": "must be a whole number from 1 to 100", "colour": "is not a parameter of this request"};
    TooManyRequests "429" [TooManyRequests] "A rate limit was exceeded, or the caller has too many requests of this kind in progress.",
        "Too many requests. Try again in 7 seconds." {}, RETRY_AFTER;
    ImportLimitReached "429" [TooManyRequests]
        "A rate limit was exceeded, or the user has too many URLs waiting to be imported: see `max_pending_imports` of `GET /limits`.",
        "The user has 1000 URLs waiting to be imported. With this request there would be more than 1000, the limit that IMPORT_MAX_PENDING sets. Try again when some of them are finished."
        {}, RETRY_AFTER;
    OpenUploadLimitReached "429" [TooManyRequests]
        "A rate limit was exceeded, or the user has too many open uploads.",
        "The user has too many open uploads: there would be more than 20 uploads, the limit that MAX_OPEN_UPLOADS sets. Complete some of them, or wait until they expire."
        {}, RETRY_AFTER;
    InternalServerError "500" [InternalServerError] "An internal error occurred. `details.request_id` identifies the request in the service's log.",
        "An internal error occurred. details.request_id identifies it in the service's log."
        {"request_id": "0193504b-6e1f-7c55-8d3a-51f0c1b7e9aa"};
    FileMissing "500" [InternalServerError FileMissing]
        "`FileMissing`: the storage has lost the file of this image; a retry does not help. `InternalServerError`: an internal error \
         occurred. `details.request_id` identifies the request in the service's log.",
        "The file of this image is missing from the storage. Only the operator can restore it."
        {"request_id": "0193504b-6e1f-7c55-8d3a-51f0c1b7e9aa"};
    ServiceUnavailable "503" [ServiceUnavailable] "The service is overloaded, or its database or storage is unavailable. Retry later.",
        "The service cannot reach its database right now. Try again in a moment."
        {"request_id": "0193504b-6e1f-7c55-8d3a-51f0c1b7e9aa"}, RETRY_AFTER;
}

/// The response of `GET /ready` while the service is not ready.
#[derive(Debug)]
pub struct NotReady;

impl IntoResponses for NotReady {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        BTreeMap::from([("503".to_owned(), RefOr::Ref(Ref::from_response_name("NotReady")))])
    }
}

fn not_ready() -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ReadinessError"))).build();
    let response = ResponseBuilder::new().description("The service is not ready: its database or its storage is unavailable.");
    response.content("application/json", content).header(RETRY_AFTER.0, header(RETRY_AFTER)).build()
}

/// Lists the possible error types in the description. The schema is the same for all responses, so that clients get a single
/// error class.
fn error_response(description: &str, errors: &[ErrorType], message: &str, details: Value) -> ResponseBuilder {
    let example = json!({"error": errors.last(), "message": message, "details": details});
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ApiError"))).example(Some(example)).build();
    let description = match errors {
        [only] => format!("{description} `error` is `{only:?}`."),
        _ => description.to_owned(),
    };
    ResponseBuilder::new().description(description).content("application/json", content)
}

fn header((_, kind, description): (&str, Type, &str)) -> utoipa::openapi::Header {
    HeaderBuilder::new().schema(Some(ObjectBuilder::new().schema_type(kind))).description(Some(description)).build()
}
