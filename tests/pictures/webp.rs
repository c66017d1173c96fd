//! WebP encoding and decoding with libwebp, for tests and benchmarks.

#![expect(unsafe_code, reason = "libwebp has no safe wrapper")]

use libwebp_sys as ffi;
use std::ptr::null_mut;

/// A decoded WebP: three channels per pixel, or four with alpha.
pub struct Decoded {
    pub width: u32,
    pub height: u32,
    pub has_alpha: bool,
    pub pixels: Vec<u8>,
}

/// Decodes a still image; returns `None` if it is not a valid WebP.
pub fn decode(file: &[u8]) -> Option<Decoded> {
    let mut config = ffi::WebPDecoderConfig::new().ok()?;
    // SAFETY: `file` is valid for its length, and libwebp initialised the structure.
    let status = unsafe { ffi::WebPGetFeatures(file.as_ptr(), file.len(), &mut config.input) };
    let (width, height) = (config.input.width, config.input.height);
    let has_alpha = config.input.has_alpha != 0;
    let stride = width * if has_alpha { 4 } else { 3 };
    let mut pixels = vec![0; usize::try_from(stride * height).ok()?];
    let into = if has_alpha { ffi::WebPDecodeRGBAInto } else { ffi::WebPDecodeRGBInto };
    // SAFETY: both slices are valid for the given lengths.
    let decoded = unsafe { into(file.as_ptr(), file.len(), pixels.as_mut_ptr(), pixels.len(), stride) };
    let whole = status == ffi::VP8StatusCode::VP8_STATUS_OK && !decoded.is_null();
    whole.then_some(Decoded { width: width as u32, height: height as u32, has_alpha, pixels })
}

/// Encodes a lossy WebP with three or four channels per pixel.
pub fn lossy(pixels: &[u8], width: u32, height: u32, quality: f32) -> Vec<u8> {
    encode(pixels, width, height, |config| config.quality = quality)
}

/// Encodes a lossless WebP with three or four channels per pixel.
pub fn lossless(pixels: &[u8], width: u32, height: u32) -> Vec<u8> {
    encode(pixels, width, height, |config| {
        config.lossless = 1;
        config.alpha_compression = 0;
    })
}

/// Encodes a WebP with three or four channels per pixel, as configured.
pub fn encode(pixels: &[u8], width: u32, height: u32, configure: impl FnOnce(&mut ffi::WebPConfig)) -> Vec<u8> {
    let channels = pixels.len() / (width as usize * height as usize);
    let mut config = ffi::WebPConfig::new().expect("a WebP configuration");
    configure(&mut config);
    let mut picture = ffi::WebPPicture::new().expect("a WebP picture");
    let side = |length: usize| i32::try_from(length).expect("a short side");
    (picture.use_argb, picture.width, picture.height) = (1, side(width as usize), side(height as usize));
    let mut writer = ffi::WebPMemoryWriter { mem: null_mut(), size: 0, max_size: 0, pad: [0] };
    let import = if channels == 4 { ffi::WebPPictureImportRGBA } else { ffi::WebPPictureImportRGB };
    picture.writer = Some(ffi::WebPMemoryWrite);
    picture.custom_ptr = (&raw mut writer).cast();
    // SAFETY: `pixels` has `height` rows of the given stride. libwebp initialised the picture and its writer, which
    // nothing else uses and which are freed once.
    unsafe {
        assert!(import(&mut picture, pixels.as_ptr(), side(width as usize * channels)) != 0, "pixels are imported");
        assert!(ffi::WebPEncode(&config, &mut picture) != 0, "{:?}", picture.error_code);
        let file = std::slice::from_raw_parts(writer.mem, writer.size).to_vec();
        ffi::WebPPictureFree(&mut picture);
        ffi::WebPMemoryWriterClear(&mut writer);
        file
    }
}

/// Builds an animation of still images that cover its canvas, 100 ms each.
pub fn animation(width: u32, height: u32, stills: &[Vec<u8>]) -> Vec<u8> {
    let bytes3 = |number: u32| number.to_le_bytes()[..3].to_vec();
    let canvas = [bytes3(width - 1), bytes3(height - 1)].concat();
    // The flags for animation and alpha.
    let mut body = [&b"WEBP"[..], &chunk(b"VP8X", &[&[0x12, 0, 0, 0][..], &canvas].concat())].concat();
    body.extend(chunk(b"ANIM", &[0; 6]));
    for still in stills {
        let frame = if &still[12..16] == b"VP8X" { &still[30..] } else { &still[12..] };
        body.extend(chunk(b"ANMF", &[&[0; 6][..], &canvas, &bytes3(100), &[0], frame].concat()));
    }
    [&b"RIFF"[..], &(body.len() as u32).to_le_bytes(), &body].concat()
}

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let padding = &[0u8][..body.len() % 2];
    [&name[..], &(body.len() as u32).to_le_bytes(), body, padding].concat()
}
