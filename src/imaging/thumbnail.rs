//! Thumbnails: resized with Lanczos3, each from the next larger one, turned upright, encoded without any metadata.
//! JPEG, or WebP where something shows through.

use super::error::Error;
use super::orient;
use super::picture::{LARGEST_THUMBNAIL, Picture};
use super::{Format, MadeThumbnail, Thumbnail};
use crate::model::image::ThumbnailSize;
use fast_image_resize as fir;

/// Largest first, as each is made from the one before. Cascading costs nothing that can be measured.
const SIZES: [(ThumbnailSize, u32); 2] = [(ThumbnailSize::Medium, LARGEST_THUMBNAIL), (ThumbnailSize::Small, 128)];

/// What sharp, libvips and imgproxy use by default.
const QUALITY: f32 = 80.0;

/// libwebp's effort, 0 to 6: 1 takes a third of the time of the default 4 for files a sixth larger.
const WEBP_METHOD: i32 = 1;

/// The thumbnails, smallest first, and the smallest one's pixels for what is computed from them. `stored` is the size of
/// the original, from which each thumbnail's size follows.
pub(super) fn make(picture: Picture, stored: (u32, u32), orientation: u8) -> Result<(Vec<MadeThumbnail>, Picture), Error> {
    let mut current = picture;
    let mut thumbnails = Vec::with_capacity(SIZES.len());
    for (index, (size, side)) in SIZES.into_iter().enumerate() {
        let (width, height) = fit(stored.0, stored.1, side);
        if index == 0 {
            current = resize(&current, (width, height))?;
            if !current.is_transparent() {
                current = current.without_alpha();
            }
            current = orient::upright(current, orientation);
        } else if orient::swaps_sides(orientation) {
            current = resize(&current, (height, width))?;
        } else {
            current = resize(&current, (width, height))?;
        }
        thumbnails.push(encode(size, &current)?);
    }
    thumbnails.reverse();
    Ok((thumbnails, current))
}

/// The largest size within `side × side` that keeps the aspect and does not enlarge; at least one pixel.
pub(super) fn fit(width: u32, height: u32, side: u32) -> (u32, u32) {
    let longer = width.max(height);
    if longer <= side {
        return (width, height);
    }
    let scaled = |length: u32| {
        let rounded = (u64::from(length) * u64::from(side) + u64::from(longer) / 2) / u64::from(longer);
        (rounded as u32).max(1)
    };
    (scaled(width), scaled(height))
}

/// Lanczos3; transparent pixels lend no colour to their neighbours.
pub(super) fn resize(picture: &Picture, (width, height): (u32, u32)) -> Result<Picture, Error> {
    let pixel_type = if picture.alpha { fir::PixelType::U8x4 } else { fir::PixelType::U8x3 };
    let (covered_width, covered_height) = picture.covered;
    let same_size = (f64::from(width), f64::from(height)) == picture.covered;
    if same_size && (width, height) == (picture.width, picture.height) {
        return Ok(picture.clone());
    }
    let failed = |error: &dyn std::fmt::Display| Error::internal(format!("resizing: {error}"));
    let source =
        fir::images::ImageRef::new(picture.width, picture.height, &picture.pixels, pixel_type).map_err(|error| failed(&error))?;
    let mut target = fir::images::Image::new(width, height, pixel_type);
    let options = fir::ResizeOptions::new()
        .resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Lanczos3))
        .crop(0.0, 0.0, covered_width, covered_height)
        .use_alpha(picture.alpha);
    fir::Resizer::new().resize(&source, &mut target, &options).map_err(|error| failed(&error))?;
    Ok(Picture::whole(width, height, picture.alpha, target.into_vec()))
}

fn encode(size: ThumbnailSize, picture: &Picture) -> Result<MadeThumbnail, Error> {
    let (format, bytes) = if picture.is_transparent() {
        (Format::Webp, encode_webp(picture)?)
    } else if picture.alpha {
        (Format::Jpeg, super::jpeg::encode(&picture.clone().without_alpha(), QUALITY)?)
    } else {
        (Format::Jpeg, super::jpeg::encode(picture, QUALITY)?)
    };
    Ok(MadeThumbnail { info: Thumbnail { size, width: picture.width, height: picture.height, format }, bytes })
}

fn encode_webp(picture: &Picture) -> Result<Vec<u8>, Error> {
    let mut config = webp::WebPConfig::new().map_err(|()| Error::internal("the WebP encoder does not start"))?;
    config.quality = QUALITY;
    config.method = WEBP_METHOD;
    webp::Encoder::from_rgba(&picture.pixels, picture.width, picture.height)
        .encode_advanced(&config)
        .map(|memory| memory.to_vec())
        .map_err(|error| Error::internal(format!("encoding a WebP thumbnail: {error:?}")))
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn a_size_keeps_the_aspect_is_never_enlarged_and_never_empty() {
        assert_eq!(fit(4000, 3000, 512), (512, 384));
        assert_eq!(fit(3000, 4000, 128), (96, 128));
        assert_eq!(fit(100, 60, 512), (100, 60));
        assert_eq!(fit(4000, 50, 128), (128, 2));
        assert_eq!(fit(u32::MAX, 1, 128), (128, 1));
    }
}
