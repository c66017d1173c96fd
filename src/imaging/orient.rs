//! EXIF orientation: turns a small picture upright. Applied to the thumbnail, never to the original.

use super::picture::Picture;

/// Whether the picture lies on its side, so that width and height as displayed are swapped.
pub(super) fn swaps_sides(orientation: u8) -> bool {
    (5..=8).contains(&orientation)
}

/// A stored size as displayed, and the other way round.
pub(super) fn displayed((width, height): (u32, u32), orientation: u8) -> (u32, u32) {
    if swaps_sides(orientation) { (height, width) } else { (width, height) }
}

/// Maps the stored picture to the one displayed; EXIF 2.32, tag 0x0112. Unknown values leave it as it is.
pub(super) fn upright(picture: Picture, orientation: u8) -> Picture {
    if !(2..=8).contains(&orientation) {
        return picture;
    }
    let channels = picture.channels();
    let (stored_width, stored_height) = (picture.width as usize, picture.height as usize);
    let (width, height) = if swaps_sides(orientation) { (stored_height, stored_width) } else { (stored_width, stored_height) };
    let mut pixels = Vec::with_capacity(picture.pixels.len());
    for y in 0..height {
        for x in 0..width {
            let (from_x, from_y) = match orientation {
                2 => (stored_width - 1 - x, y),
                3 => (stored_width - 1 - x, stored_height - 1 - y),
                4 => (x, stored_height - 1 - y),
                5 => (y, x),
                6 => (y, stored_height - 1 - x),
                7 => (stored_width - 1 - y, stored_height - 1 - x),
                _ => (stored_width - 1 - y, x),
            };
            let at = (from_y * stored_width + from_x) * channels;
            pixels.extend_from_slice(&picture.pixels[at..at + channels]);
        }
    }
    Picture::whole(width as u32, height as u32, picture.alpha, pixels)
}
