//! The error responses of the OpenAPI document. Each is a component; operations only refer to it.
//!
//! Every type stands for one response and is named by the operations that can give it. Where the reason differs from one
//! operation to the next, so does the response: a reader of `GET /images` should not be told about files.

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

        /// All of them by name, for the document's components.
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
        "The body is not JSON: EOF while parsing an object at line 1 column 9." {};
    InvalidPageToken "400" [BadRequest] "The page token is malformed, or belongs to another list or to other filters.",
        "page_token is not one of this list." {"page_token": "is not one of this list"};
    InvalidUpload "400" [BadRequest InvalidFile]
        "`BadRequest`: the multipart body is malformed. `InvalidFile`: the file is damaged, too small, or its dimensions are not accepted.",
        "The image must be at least 50×50 pixels." {"file": "must be at least 50×50 pixels"};
    UnknownThumbnailSize "400" [BadRequest] "The service has no thumbnail of this size.",
        "size must be one of small, medium." {"size": "must be one of small, medium"};
    Unauthorized "401" [Unauthorized] "Credentials are missing or invalid.",
        "The credentials are not valid." {}, WWW_AUTHENTICATE;
    Forbidden "403" [Forbidden] "The caller's identity, plan or API key scopes do not permit this operation.",
        "Only the owner of the image can do this." {};
    ResizeForbidden "403" [Forbidden]
        "The service does not allow this size without a signature, the signature is wrong or has expired, or the plan of the image's owner \
         does not include resized images.",
        "Without a signature only these sizes are allowed (width x height): 320x, 640x. The owner of the image gets other sizes from POST /images/{image_id}/urls." {};
    QuotaOrForbidden "403" [Forbidden QuotaExceeded]
        "`Forbidden`: the caller's identity, plan or API key scopes do not permit this operation. `QuotaExceeded`: the quota is used \
         up; `details` gives what is used and what is left.",
        "The quota of the plan is used up." {"images": "100 of 100 are used, 0 are left"};
    LinkExpired "403" [Forbidden] "The link has expired: its time is over, or its number of views is used up.",
        "Sorry, the link is expired." {};
    NotFound "404" [NotFound] "The resource does not exist, was deleted, or is not visible to the caller.",
        "There is no such image." {};
    RequestTimeout "408" [RequestTimeout] "The request body did not arrive in time.",
        "The request's body did not arrive in time." {};
    Conflict "409" [Conflict] "The current state of the resource does not allow this operation; `message` says why.",
        "Image 019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17 is not deleted." {};
    AlreadyExists "409" [Conflict] "The name or e-mail address is already in use, or the maximum number of these resources exists.",
        "There is a collection summer-2026 already." {};
    IdempotencyConflict "409" [Conflict] "The first request with the same `Idempotency-Key` has not finished yet. Retry after the time in `Retry-After`.",
        "The first request with this Idempotency-Key is still running; try again in 12 seconds." {}, RETRY_AFTER;
    LimitReached "409" [Conflict] "The maximum number of these resources exists. Delete one first.",
        "The account has 100 keys already: delete one first." {};
    Gone "410" [Gone] "The image is already deleted.",
        "Image 019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17 is deleted already." {};
    PayloadTooLarge "413" [PayloadTooLarge] "The request body is larger than the service accepts.",
        "The request is larger than the 10551296 bytes that this server reads." {};
    UnsupportedMediaType "415" [UnsupportedMediaType] "The request body has a media type or an encoding that this operation does not accept.",
        "The body must be application/json." {};
    UnsupportedImage "415" [UnsupportedMediaType] "The file is not a JPEG, PNG, GIF or WebP image, or the request body is not `multipart/form-data`.",
        "The file is no JPEG, PNG, GIF or WebP picture." {};
    RangeNotSatisfiable "416" [RangeNotSatisfiable] "The requested range lies outside the file.",
        "The file has none of these bytes." {}, CONTENT_RANGE;
    ValidationError "422" [ValidationError] "One or more fields or parameters are invalid or unknown; `details` lists each with the rule it breaks.",
        "limit must be a whole number from 1 to 100."
        {"limit": "must be a whole number from 1 to 100", "colour": "is not a parameter of this request"};
    TooManyRequests "429" [TooManyRequests] "A rate limit was exceeded, or the caller has too many requests of this kind under way.",
        "Too many requests; try again in 7 seconds." {}, RETRY_AFTER;
    ImportLimitReached "429" [TooManyRequests]
        "A rate limit was exceeded, or the user has too many URLs that wait to be imported: `max_pending_imports` of `GET /limits`.",
        "The user has 1000 URLs that wait to be imported, and with these more than the 1000 that IMPORT_MAX_PENDING allows; try again when some of them are done."
        {}, RETRY_AFTER;
    InternalServerError "500" [InternalServerError] "The service failed. `details.request_id` identifies the request in its log.",
        "Something went wrong inside the service; nothing about the request is known to be wrong."
        {"request_id": "0193504b-6e1f-7c55-8d3a-51f0c1b7e9aa"};
    FileMissing "500" [InternalServerError FileMissing]
        "`FileMissing`: the storage has lost the file of this image; trying again does not help. `InternalServerError`: the service failed. \
         `details.request_id` identifies the request in its log.",
        "The file of this image is missing from the storage; only the operator can bring it back."
        {"request_id": "0193504b-6e1f-7c55-8d3a-51f0c1b7e9aa"};
    ServiceUnavailable "503" [ServiceUnavailable] "The service is overloaded, or its database or storage is unavailable. Retry later.",
        "The service cannot reach its database right now; try again in a moment."
        {"request_id": "0193504b-6e1f-7c55-8d3a-51f0c1b7e9aa"}, RETRY_AFTER;
}

/// `GET /ready` where the service is not ready.
#[derive(Debug)]
pub struct NotReady;

impl IntoResponses for NotReady {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        BTreeMap::from([("503".to_owned(), RefOr::Ref(Ref::from_response_name("NotReady")))])
    }
}

fn not_ready() -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ReadinessError"))).build();
    let response = ResponseBuilder::new().description("The service cannot work: its database or its storage is down.");
    response.content("application/json", content).header(RETRY_AFTER.0, header(RETRY_AFTER)).build()
}

/// The error types that a response can carry are listed in its description: the schema is the same for all, so that clients get
/// one error class.
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
