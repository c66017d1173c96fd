//! Thumbnails and variants: resized with Lanczos3, turned upright, encoded without any metadata.

use super::encode::encode;
use super::error::Error;
use super::picture::Picture;
use super::profile::ToSrgb;
use super::resample::{Part, Source, resample};
use super::{Format, Header, MadeThumbnail, Thumbnail, orient};
use crate::model::image::ThumbnailSize;
use crate::model::rendering::{Rendering, contain};
use fast_image_resize::FilterType;

/// A picture as its file has it: at least as large as what is made of it, not yet upright, in colours of its own.
pub(super) struct Original {
    picture: Picture,
    orientation: u8,
    to_srgb: Option<ToSrgb>,
}

impl Original {
    /// `header` is that of the file which the picture was decoded from.
    pub fn new(decoded: Picture, file: &[u8], header: &Header) -> Self {
        let picture = if decoded.is_transparent() { decoded } else { decoded.without_alpha() };
        let to_srgb = ToSrgb::of(file, header.profile.as_ref(), &picture);
        Original { picture, orientation: header.orientation, to_srgb }
    }

    /// The picture as displayed, at `size`; of a picture that is to be cut, the middle that has this shape.
    fn upright(&self, size: (u32, u32), crop: bool) -> Result<Picture, Error> {
        let stored = orient::displayed(size, self.orientation);
        let part = if crop { middle(self.picture.covered, stored) } else { whole(&self.picture) };
        let resized = resize_part(&self.picture, part, stored)?;
        // Few pixels are left by now. Their values are of a curve much like sRGB's, so nothing is lost by resizing first.
        let resized = match &self.to_srgb {
            Some(to_srgb) => to_srgb.picture(resized)?,
            None => resized,
        };
        Ok(orient::upright(resized, self.orientation))
    }
}

/// The thumbnails, those that are shown first, and the pixels of `small` for what is computed from them.
///
/// They are made from the largest to the smallest, each from the smallest at hand that loses nothing: cascading costs
/// nothing that can be measured, but from one that is hardly larger a picture would be filtered twice.
pub(super) fn make(original: Original, header: &Header, heights: &[u32]) -> Result<(Vec<MadeThumbnail>, Picture), Error> {
    let sizes = ThumbnailSize::all_of((header.width, header.height), heights);
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(longer(sizes[index].1)));
    let mut made: Vec<(usize, Picture)> = Vec::with_capacity(sizes.len());
    for index in order {
        let pixels = sizes[index].1;
        let picture = match made.iter().rev().find(|(_, larger)| serves((larger.width, larger.height), pixels)) {
            Some((_, larger)) => resize(larger, pixels)?,
            None => original.upright(pixels, false)?,
        };
        made.push((index, picture));
    }
    drop(original);
    made.sort_by_key(|(index, _)| *index);
    let encoded = made.iter().map(|(index, picture)| encode_thumbnail(sizes[*index].0, picture)).collect::<Result<_, _>>()?;
    let small = made.into_iter().next().ok_or_else(|| Error::internal("no thumbnail was made"))?.1;
    Ok((encoded, small))
}

/// One picture, of any size.
pub(super) fn render(original: Original, rendering: &Rendering) -> Result<Vec<u8>, Error> {
    let picture = original.upright((rendering.width, rendering.height), rendering.crop)?;
    drop(original);
    encode(&picture, rendering.format, rendering.quality)
}

fn encode_thumbnail(size: ThumbnailSize, picture: &Picture) -> Result<MadeThumbnail, Error> {
    let format = if picture.is_transparent() { Format::Webp } else { Format::Jpeg };
    let bytes = encode(picture, format, Rendering::DEFAULT_QUALITY)?;
    Ok(MadeThumbnail { info: Thumbnail { size, width: picture.width, height: picture.height, format }, bytes })
}

fn longer((width, height): (u32, u32)) -> u32 {
    width.max(height)
}

/// Whether a picture can be made from one that is itself resized: it is the same, or half as large again.
fn serves(larger: (u32, u32), wanted: (u32, u32)) -> bool {
    larger == wanted || u64::from(longer(larger)) * 2 >= u64::from(longer(wanted)) * 3
}

/// The largest size within `side × side` that keeps the aspect and does not enlarge; at least one pixel.
pub(super) fn fit(width: u32, height: u32, side: u32) -> (u32, u32) {
    contain((width, height), Some(side), Some(side))
}

/// Lanczos3; transparent pixels lend no colour to their neighbours.
pub(super) fn resize(picture: &Picture, size: (u32, u32)) -> Result<Picture, Error> {
    resize_part(picture, whole(picture), size)
}

fn whole(picture: &Picture) -> Part {
    [0.0, 0.0, picture.covered.0, picture.covered.1]
}

/// The largest part in the middle that has the shape of `width × height`.
fn middle((covered_width, covered_height): (f64, f64), (width, height): (u32, u32)) -> Part {
    let (width, height) = (f64::from(width), f64::from(height));
    let scale = (covered_width / width).min(covered_height / height);
    let (part_width, part_height) = ((width * scale).min(covered_width), (height * scale).min(covered_height));
    [(covered_width - part_width) / 2.0, (covered_height - part_height) / 2.0, part_width, part_height]
}

fn resize_part(picture: &Picture, part: Part, size: (u32, u32)) -> Result<Picture, Error> {
    if part == [0.0, 0.0, f64::from(size.0), f64::from(size.1)] && size == (picture.width, picture.height) {
        return Ok(picture.clone());
    }
    let channels = picture.channels();
    let source = Source { width: picture.width, height: picture.height, channels, samples: &picture.pixels };
    let pixels = resample(source, part, size, FilterType::Lanczos3)?;
    Ok(Picture::whole(size.0, size.1, picture.alpha, pixels))
}
