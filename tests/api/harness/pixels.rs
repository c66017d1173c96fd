//! Decoded images from responses.

use std::io::Cursor;

use super::Answer;
use super::webp_files::{self, Decoded};

/// A decoded image.
pub struct Pixels {
    pub width: u32,
    pub height: u32,
    /// RGBA, row by row.
    pub rgba: Vec<[u8; 4]>,
    pub has_alpha: bool,
}

impl Pixels {
    /// Decodes the image of a response, whose headers must match the body.
    #[track_caller]
    pub fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
        match answer.header("content-type") {
            "image/jpeg" => Self::of_jpeg(&answer.body),
            "image/png" => Self::of_png(&answer.body),
            "image/webp" => Self::of_webp(&answer.body),
            other => panic!("not an image: {other:?}"),
        }
    }

    fn of_jpeg(file: &[u8]) -> Self {
        assert!(!file.windows(4).any(|window| window == b"Exif"), "metadata must be removed");
        let mut started = mozjpeg::Decompress::new_mem(file).expect("a JPEG").rgb().expect("a JPEG");
        let (width, height) = (started.width() as u32, started.height() as u32);
        let rgb = started.read_scanlines::<[u8; 3]>().expect("a JPEG");
        Self { width, height, rgba: rgb.into_iter().map(|[r, g, b]| [r, g, b, 255]).collect(), has_alpha: false }
    }

    fn of_png(file: &[u8]) -> Self {
        let mut reader = png::Decoder::new(Cursor::new(file)).read_info().expect("a PNG");
        let mut buffer = vec![0; reader.output_buffer_size().expect("a size")];
        let info = reader.next_frame(&mut buffer).expect("a PNG");
        let channels = info.color_type.samples();
        Self { width: info.width, height: info.height, rgba: rgba(&buffer, channels), has_alpha: channels == 4 }
    }

    fn of_webp(file: &[u8]) -> Self {
        let Decoded { width, height, has_alpha, pixels } = webp_files::decode(file).expect("a WebP");
        Self { width, height, rgba: rgba(&pixels, if has_alpha { 4 } else { 3 }), has_alpha }
    }

    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// The pixel at a fraction of the width and height.
    pub fn at(&self, across: f64, down: f64) -> [u8; 4] {
        let x = (f64::from(self.width) * across) as usize;
        let y = (f64::from(self.height) * down) as usize;
        self.rgba[y * self.width as usize + x]
    }

    #[track_caller]
    pub fn assert_at(&self, across: f64, down: f64, expected: [u8; 4]) {
        let pixel = self.at(across, down);
        let close = pixel.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 12);
        assert!(close, "{pixel:?} at {across}, {down}, not {expected:?}");
    }
}

fn rgba(bytes: &[u8], channels: usize) -> Vec<[u8; 4]> {
    bytes.chunks_exact(channels).map(|p| [p[0], p[1], p[2], p.get(3).copied().unwrap_or(255)]).collect()
}
