//! Pictures as files: JPEG, PNG or WebP, with pixels and nothing else.

use super::bitmap::Bitmap;
use super::error::Error;
use super::jpeg::encode::{self as jpeg, Chroma};
use crate::model::image::Format;

/// libwebp's effort, 0 to 6: 1 takes a third of the time of the default 4 for files a sixth larger.
const WEBP_METHOD: i32 = 1;

/// `quality` is 1 to 100, and means nothing for PNG; `chroma` is for JPEG. JPEG has no transparency: what shows through
/// becomes white.
pub(super) fn encode(picture: &Bitmap, format: Format, quality: u8, chroma: Chroma) -> Result<Vec<u8>, Error> {
    let transparent = picture.is_transparent();
    match format {
        Format::Jpeg if transparent => jpeg::encode(&picture.on_white(), f32::from(quality), chroma),
        _ if picture.alpha && !transparent => encode(&picture.clone().without_alpha(), format, quality, chroma),
        Format::Jpeg => jpeg::encode(picture, f32::from(quality), chroma),
        Format::Png => png(picture).map_err(|error| Error::internal(format!("encoding a PNG: {error}"))),
        Format::Webp => {
            let size = (picture.width, picture.height);
            super::libwebp::encode(&picture.pixels, size, picture.alpha, f32::from(quality), WEBP_METHOD)
        }
        Format::Gif => Err(Error::internal("GIF is not written")),
    }
}

/// With the fastest compression: the others take ten times as long for a tenth less.
fn png(picture: &Bitmap) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, picture.width, picture.height);
    encoder.set_color(if picture.alpha { png::ColorType::Rgba } else { png::ColorType::Rgb });
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&picture.pixels)?;
    writer.finish()?;
    Ok(file)
}
