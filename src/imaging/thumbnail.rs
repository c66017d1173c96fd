//! Thumbnails and resized images: resized with Lanczos3, rotated upright, encoded without metadata.

use super::bitmap::Bitmap;
use super::error::Error;
use super::jpeg::encode::Chroma;
use super::pixels::Pixels;
use super::profile::ToSrgb;
use super::resample::Part;
use super::{Format, Header, MadeThumbnail, Rgb, Thumbnail, orient};
use crate::model::image::ThumbnailSize;
use crate::model::rendering::{Rendering, WEBP_MAX_SIDE};
use std::rc::Rc;

/// A decoded original: at least as large as the images created from it, in its own colour space, not yet upright.
pub(super) struct Original {
    /// Shared with a thumbnail of the same size.
    pixels: Rc<Pixels>,
    orientation: u8,
    to_srgb: Option<ToSrgb>,
}

impl Original {
    /// `header` is the header of the file from which `decoded` was read.
    pub fn new(decoded: Pixels, file: &[u8], header: &Header) -> Result<Self, Error> {
        let pixels = match decoded {
            Pixels::Rgb(bitmap) if !bitmap.is_transparent() => Pixels::Rgb(bitmap.without_alpha()),
            other => other,
        };
        let to_srgb = ToSrgb::of(file, header.profile.as_ref(), &pixels);
        // The conversion takes only RGB.
        let pixels = if to_srgb.is_some() { Pixels::Rgb(pixels.into_rgb()?) } else { pixels };
        Ok(Original { pixels: Rc::new(pixels), orientation: header.orientation, to_srgb })
    }

    /// Returns the image as displayed, at `size`. If `crop`, takes the largest centred part with the aspect ratio of `size`.
    fn upright(&self, size: (u32, u32), crop: bool) -> Result<Rc<Pixels>, Error> {
        let stored = orient::displayed(size, self.orientation);
        let part = if crop { centre_crop(self.pixels.covered(), stored) } else { full_area(&self.pixels) };
        if self.orientation <= 1 && self.to_srgb.is_none() && self.pixels.is(part, stored) {
            return Ok(Rc::clone(&self.pixels));
        }
        let resized = self.pixels.resized(part, stored)?;
        // Converting after resizing is cheaper, because few pixels are left. It loses nothing, because the transfer curve of
        // the pixels is close to sRGB's.
        let resized = match &self.to_srgb {
            Some(to_srgb) => Pixels::Rgb(to_srgb.bitmap(resized.into_rgb()?)?),
            None => resized,
        };
        Ok(Rc::new(resized.upright(self.orientation)))
    }

    /// Returns the image with colours at full resolution.
    fn in_rgb(self) -> Result<Self, Error> {
        let bitmap = Rc::unwrap_or_clone(self.pixels).into_rgb()?;
        Ok(Original { pixels: Rc::new(Pixels::Rgb(bitmap)), ..self })
    }
}

/// Creates the thumbnails. Returns them in display order, and the pixels of `small` for the colours and the placeholder.
///
/// Thumbnails are created from the largest to the smallest, each from the smallest existing one that loses no quality.
/// Cascading has no measurable cost in quality, but deriving an image from one that is hardly larger would filter it twice.
pub(super) fn make(original: Original, header: &Header, heights: &[u32]) -> Result<(Vec<MadeThumbnail>, Bitmap), Error> {
    let sizes = ThumbnailSize::all_of((header.width, header.height), heights);
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(longer(sizes[index].1)));
    let mut made: Vec<(usize, Rc<Pixels>)> = Vec::with_capacity(sizes.len());
    for index in order {
        let pixels = sizes[index].1;
        let bitmap = match made.iter().rev().find(|(_, larger)| can_derive(larger.size(), pixels)) {
            Some((_, larger)) => Rc::new(larger.resized(full_area(larger), pixels)?),
            None => original.upright(pixels, false)?,
        };
        made.push((index, bitmap));
    }
    drop(original);
    made.sort_by_key(|(index, _)| *index);
    // Drawings at their own size have thin lines of saturated colours, which need a few more KB to keep.
    let lossless = matches!(header.format, Format::Png | Format::Gif);
    let chroma = |size| if lossless && size == (header.width, header.height) { Chroma::Full } else { Chroma::Quarter };
    let encode = |(index, bitmap): &(usize, Rc<Pixels>)| encode_thumbnail(sizes[*index].0, bitmap, chroma(bitmap.size()));
    let encoded = made.iter().map(encode).collect::<Result<_, _>>()?;
    let small = made.into_iter().next().ok_or_else(|| Error::internal("no thumbnail was created"))?.1;
    Ok((encoded, Rc::unwrap_or_clone(small).into_rgb()?))
}

/// Creates one resized image.
pub(super) fn render(original: Original, rendering: &Rendering) -> Result<Vec<u8>, Error> {
    // Only PNG keeps colours at full resolution.
    let original = if rendering.format == Format::Png { original.in_rgb()? } else { original };
    let bitmap = original.upright((rendering.width, rendering.height), rendering.crop)?;
    drop(original);
    bitmap.encode(rendering.format, rendering.quality, Chroma::Quarter)
}

/// Returns the image on a white background, at the scale at which it was decoded.
pub(super) fn pixels(original: Original) -> Result<Rgb, Error> {
    let (width, height) = original.pixels.covered();
    let decoded = (width.round().max(1.0) as u32, height.round().max(1.0) as u32);
    let bitmap = original.upright(orient::displayed(decoded, original.orientation), false)?;
    drop(original);
    let Bitmap { width, height, pixels, .. } = Rc::unwrap_or_clone(bitmap).into_rgb()?.on_white();
    Ok(Rgb { width, height, pixels })
}

fn encode_thumbnail(size: ThumbnailSize, bitmap: &Pixels, chroma: Chroma) -> Result<MadeThumbnail, Error> {
    let (width, height) = bitmap.size();
    let format = match bitmap.is_transparent() {
        false => Format::Jpeg,
        true if longer((width, height)) <= WEBP_MAX_SIDE => Format::Webp,
        true => Format::Png,
    };
    let bytes = bitmap.encode(format, Rendering::DEFAULT_QUALITY, chroma)?;
    Ok(MadeThumbnail { info: Thumbnail { size, width, height, format }, bytes })
}

fn longer((width, height): (u32, u32)) -> u32 {
    width.max(height)
}

/// Returns whether an image may be created from a resized one: from the same size, or from one at least 50% larger.
fn can_derive(larger: (u32, u32), wanted: (u32, u32)) -> bool {
    larger == wanted || u64::from(longer(larger)) * 2 >= u64::from(longer(wanted)) * 3
}

fn full_area(pixels: &Pixels) -> Part {
    let (width, height) = pixels.covered();
    [0.0, 0.0, width, height]
}

/// Returns the largest centred part with the aspect ratio of `width × height`.
fn centre_crop((covered_width, covered_height): (f64, f64), (width, height): (u32, u32)) -> Part {
    let (width, height) = (f64::from(width), f64::from(height));
    let scale = (covered_width / width).min(covered_height / height);
    let (part_width, part_height) = ((width * scale).min(covered_width), (height * scale).min(covered_height));
    [(covered_width - part_width) / 2.0, (covered_height - part_height) / 2.0, part_width, part_height]
}
