//! Encodes bitmaps as JPEG, PNG or WebP, without metadata.

use super::bitmap::Bitmap;
use super::error::Error;
use super::jpeg::encode::{self as jpeg, Chroma};
use crate::model::image::Format;

/// libwebp's method (effort), 0 to 6. Method 1 takes a third of the time of the default 4, for files a sixth larger.
const WEBP_METHOD: i32 = 1;

/// Encodes a bitmap. `quality` is 1 to 100 and ignored for PNG; `chroma` applies only to JPEG. JPEG has no alpha channel, so
/// transparent pixels are blended with white.
pub(super) fn encode(bitmap: &Bitmap, format: Format, quality: u8, chroma: Chroma) -> Result<Vec<u8>, Error> {
    let transparent = bitmap.is_transparent();
    match format {
        Format::Jpeg if transparent => jpeg::encode(&bitmap.on_white(), f32::from(quality), chroma),
        _ if bitmap.alpha && !transparent => encode(&bitmap.clone().without_alpha(), format, quality, chroma),
        Format::Jpeg => jpeg::encode(bitmap, f32::from(quality), chroma),
        Format::Png => png(bitmap).map_err(|error| Error::internal(format!("encoding a PNG: {error}"))),
        Format::Webp => {
            let size = (bitmap.width, bitmap.height);
            super::libwebp::encode(&bitmap.pixels, size, bitmap.alpha, f32::from(quality), WEBP_METHOD)
        }
        Format::Gif => Err(Error::internal("GIF encoding is not supported")),
    }
}

/// Encodes a PNG with the fastest compression: the others take ten times as long for files a tenth smaller.
fn png(bitmap: &Bitmap) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, bitmap.width, bitmap.height);
    encoder.set_color(if bitmap.alpha { png::ColorType::Rgba } else { png::ColorType::Rgb });
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&bitmap.pixels)?;
    writer.finish()?;
    Ok(file)
}
