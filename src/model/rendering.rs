//! The result of a resize: its size, computed before decoding, and a name that identifies equal results.

use super::format::Format;

/// How an image is fitted to a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fit {
    /// The whole image, within the size; never enlarged.
    #[default]
    Contain,
    /// The centre of the image, cropped to fill the size exactly; enlarged if necessary.
    Cover,
}

impl Fit {
    /// Returns the name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Contain => "contain",
            Self::Cover => "cover",
        }
    }

    /// Parses [`Fit::name`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Contain, Self::Cover].into_iter().find(|fit| fit.name() == name)
    }
}

/// Maximum number of pixels on each side of a WebP image (RFC 9649, 2.5).
pub const WEBP_MAX_SIDE: u32 = 16_383;

/// A fully specified resized image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rendering {
    /// In pixels, as displayed.
    pub width: u32,
    pub height: u32,
    /// Whether the image is cropped around its centre to the aspect ratio of this size; otherwise the size has the image's own
    /// ratio.
    pub crop: bool,
    /// Every format except GIF.
    pub format: Format,
    /// 1 to 100; 0 for PNG, which has no quality.
    pub quality: u8,
}

impl Rendering {
    /// The default of sharp, libvips and imgproxy.
    pub const DEFAULT_QUALITY: u8 = 80;

    /// Returns the result for an image of `size` pixels within `width`, `height` or both; `None` for [`Fit::Cover`] with only one
    /// side. A WebP result has at most [`WEBP_MAX_SIDE`] pixels on each side.
    pub fn new(
        size: (u32, u32),
        (width, height): (Option<u32>, Option<u32>),
        fit: Fit,
        format: Format,
        quality: u8,
    ) -> Option<Self> {
        let max_side = if format == Format::Webp { WEBP_MAX_SIDE } else { u32::MAX };
        let whole = contain(size, Some(width.unwrap_or(max_side).min(max_side)), Some(height.unwrap_or(max_side).min(max_side)));
        let (width, height) = match fit {
            Fit::Contain => whole,
            Fit::Cover => (width?.min(max_side), height?.min(max_side)),
        };
        let quality = if format == Format::Png { 0 } else { quality };
        // If the aspect ratio already matches, nothing is cropped, and the result shares its object with the contained one.
        Some(Self { width, height, crop: (width, height) != whole, format, quality })
    }

    /// Returns the number of pixels on the longer side of the whole image at the scale of this rendering.
    pub fn scale(&self, (width, height): (u32, u32)) -> u32 {
        let longer = |width: u64, height: u64| u32::try_from(width.max(height)).unwrap_or(u32::MAX);
        let (to_width, to_height) = (u64::from(self.width), u64::from(self.height));
        let (width, height) = (u64::from(width), u64::from(height));
        if !self.crop {
            longer(to_width, to_height)
        } else if to_width * height >= to_height * width {
            longer(to_width, (height * to_width).div_ceil(width.max(1)))
        } else {
            longer((width * to_height).div_ceil(height.max(1)), to_height)
        }
    }

    /// Returns a name that identifies the rendering, of characters from `[0-9a-z.-]`.
    pub fn name(&self) -> String {
        let crop = if self.crop { "c" } else { "" };
        let quality = if self.quality == 0 { String::new() } else { format!("-q{}", self.quality) };
        format!("{}x{}{crop}{quality}.{}", self.width, self.height, self.format)
    }
}

/// Returns the largest size within `width` and `height` that keeps the aspect ratio and does not enlarge; at least one pixel.
pub fn contain((width, height): (u32, u32), to_width: Option<u32>, to_height: Option<u32>) -> (u32, u32) {
    let scaled = |length: u32, to: u32, of: u32| {
        let rounded = (u64::from(length) * u64::from(to) + u64::from(of) / 2) / u64::from(of.max(1));
        u32::try_from(rounded).unwrap_or(u32::MAX).max(1)
    };
    let (to_width, to_height) = (to_width.unwrap_or(width).min(width), to_height.unwrap_or(height).min(height));
    if u64::from(to_width) * u64::from(height) <= u64::from(to_height) * u64::from(width) {
        (to_width, if to_width == width { height } else { scaled(height, to_width, width) })
    } else {
        (scaled(width, to_height, height), to_height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_keeps_the_aspect_is_never_enlarged_and_never_empty() {
        for (size, to, expected) in [
            ((4000, 3000), (Some(512), Some(512)), (512, 384)),
            ((3000, 4000), (Some(128), Some(128)), (96, 128)),
            ((100, 60), (Some(512), Some(512)), (100, 60)),
            ((4000, 50), (Some(128), Some(128)), (128, 2)),
            ((u32::MAX, 1), (Some(128), Some(128)), (128, 1)),
            ((4000, 500), (None, Some(400)), (3200, 400)),
            ((4000, 500), (None, Some(501)), (4000, 500)),
            ((500, 4000), (Some(16), None), (16, 128)),
            ((640, 480), (Some(2000), Some(100)), (133, 100)),
            ((640, 480), (None, None), (640, 480)),
        ] {
            assert_eq!(contain(size, to.0, to.1), expected, "{size:?} within {to:?}");
        }
    }

    fn rendering(size: (u32, u32), to: (Option<u32>, Option<u32>), fit: Fit) -> Rendering {
        Rendering::new(size, to, fit, Format::Jpeg, 80).unwrap()
    }

    #[test]
    fn equal_results_have_one_name() {
        let name = |to, fit| rendering((640, 480), to, fit).name();
        assert_eq!(name((Some(320), None), Fit::Contain), "320x240-q80.jpeg");
        for (to, fit) in
            [((None, Some(240)), Fit::Contain), ((Some(320), Some(2000)), Fit::Contain), ((Some(320), Some(240)), Fit::Cover)]
        {
            assert_eq!(name(to, fit), "320x240-q80.jpeg");
        }
        assert_eq!(name((Some(900), None), Fit::Contain), name((Some(2000), Some(2000)), Fit::Contain));
        assert_eq!(name((Some(320), Some(320)), Fit::Cover), "320x320c-q80.jpeg");
        assert_eq!(name((Some(1280), Some(960)), Fit::Cover), "1280x960c-q80.jpeg", "only cover enlarges");
        assert_eq!(Rendering::new((9, 9), (Some(9), None), Fit::Contain, Format::Png, 7).unwrap().name(), "9x9.png");
        assert_eq!(Rendering::new((9, 9), (Some(9), None), Fit::Cover, Format::Png, 7), None);
    }

    #[test]
    fn the_scale_of_a_crop_is_that_of_the_whole_image() {
        assert_eq!(rendering((4000, 2000), (Some(400), None), Fit::Contain).scale((4000, 2000)), 400);
        assert_eq!(rendering((4000, 2000), (Some(400), Some(400)), Fit::Cover).scale((4000, 2000)), 800);
        assert_eq!(rendering((2000, 4000), (Some(400), Some(400)), Fit::Cover).scale((2000, 4000)), 800);
        assert_eq!(rendering((50, 60), (Some(100), Some(20)), Fit::Cover).scale((50, 60)), 120);
    }
}
