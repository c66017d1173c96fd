//! String enums on the wire, as shared schemas of the OpenAPI document.
//!
//! Each takes its values from the model, so that it cannot miss a new one.

use std::borrow::Cow;

use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::model::account::Scope;
use crate::model::caption::CaptionStatus;
use crate::model::image::{Format, Visibility};

macro_rules! string_enums {
    ($($name:ident as $schema:literal, $description:literal, $values:expr;)*) => {
        $(
            #[doc = $description]
            #[derive(Debug)]
            pub struct $name;

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    let text = ObjectBuilder::new().schema_type(Type::String).enum_values(Some($values));
                    RefOr::T(text.description(Some($description)).into())
                }
            }

            impl ToSchema for $name {
                fn name() -> Cow<'static, str> {
                    Cow::Borrowed($schema)
                }
            }
        )*
    };
}

string_enums! {
    VisibilitySchema as "Visibility",
        "`public`: everyone can see it. `private`: only its owner can see it, and anyone who has a share link to it.",
        [Visibility::Public, Visibility::Private].map(Visibility::name);
    CaptionStatusSchema as "CaptionStatus",
        "`off`: no caption was requested. `pending`: the image is in the queue. `ready`: see `caption`. `failed`: see `caption_error`.",
        CaptionStatus::ALL.map(CaptionStatus::name);
    ImageFormatSchema as "ImageFormat", "The file format of an original.", Format::ALL.map(Format::name);
    ThumbnailFormatSchema as "ThumbnailFormat", "The file format of a thumbnail or a resized image.",
        Format::ALL.into_iter().filter(|format| *format != Format::Gif).map(Format::name);
    ContentTypeSchema as "ContentType", "The media type of an accepted file format.", Format::ALL.map(Format::content_type);
    OversizeSchema as "Oversize",
        "What happens to an image that is larger than the limits. `reject`: the upload fails. `shrink`: the image is scaled down to the limits, \
         unless it is a GIF or animated.",
        ["reject", "shrink"];
    ResizeFitSchema as "ResizeFit",
        "`contain`: the whole image, scaled down to fit within the given size and never enlarged. `cover`: the middle of the image, cropped \
         to exactly the given size and enlarged if necessary; requires `width` and `height`.",
        ["contain", "cover"];
    ApiKeyScopeSchema as "ApiKeyScope",
        "What an API key permits. No scope includes another. `read`: read everything that the account can see. `upload`: upload, import, update, \
         delete, restore and share its images. `adopt`: adopt objects that are already in the storage as its images. `admin`: perform administrative operations, if the account is an administrator. A key \
         without `read` gets 403 on reads, even of public data.",
        Scope::ALL.map(Scope::name);
    CaptionServiceSchema as "CaptionService",
        "`off`: captions are disabled. `on`: this instance creates captions. `elsewhere`: other instances create captions.",
        ["off", "on", "elsewhere"];
}
