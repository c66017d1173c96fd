//! Safe wrappers of libwebp: bitstream features, decoding and encoding.
//!
//! The decoder writes to a buffer of ours. Its own allocations are bounded (`webp_memory.rs`). The memory of the encoder is
//! freed here.

#![expect(unsafe_code, reason = "libwebp has no safe wrapper that can scale while it decodes")]

use super::error::Error;
use super::{decoder_errors, webp_alpha, webp_memory};
use libwebp_sys as ffi;
use std::mem::MaybeUninit;

/// The features that the header of a bitstream states.
#[derive(Debug, Clone, Copy)]
pub(super) struct Features {
    pub size: (u32, u32),
    pub has_alpha: bool,
    pub has_animation: bool,
    /// Whether the image is lossy, in luma and chroma planes.
    pub is_lossy: bool,
}

/// Returns the features; `None` if the header is invalid.
pub(super) fn features(data: &[u8]) -> Option<Features> {
    let mut features = MaybeUninit::<ffi::WebPBitstreamFeatures>::zeroed();
    // SAFETY: `data` is valid for its length. `features` contains only numbers, for which zero is valid.
    let (status, features) =
        unsafe { (ffi::WebPGetFeatures(data.as_ptr(), data.len(), features.as_mut_ptr()), features.assume_init()) };
    let size = (u32::try_from(features.width).ok()?, u32::try_from(features.height).ok()?);
    let features = Features {
        size,
        has_alpha: features.has_alpha != 0,
        has_animation: features.has_animation != 0,
        is_lossy: features.format == 1,
    };
    (status == ffi::VP8StatusCode::VP8_STATUS_OK).then_some(features)
}

/// Decodes a bitstream completely, scaled to `width × height`, as RGBA or RGB. libwebp may allocate up to `budget_bytes`
/// meanwhile.
pub(super) fn decode(data: &[u8], size: (u32, u32), alpha: bool, budget_bytes: u64) -> Result<Vec<u8>, Error> {
    decode_metered(data, size, alpha, budget_bytes).map(|(pixels, _)| pixels)
}

/// Decodes like [`decode`], and also returns the use of the budget.
pub(super) fn decode_metered(
    data: &[u8],
    (width, height): (u32, u32),
    alpha: bool,
    budget_bytes: u64,
) -> Result<(Vec<u8>, webp_memory::Usage), Error> {
    let mut config = ffi::WebPDecoderConfig::new().map_err(|()| Error::internal("the WebP decoder cannot be initialised"))?;
    let stride = width as usize * if alpha { 4 } else { 3 };
    let mut pixels = vec![0u8; stride * height as usize];
    // Only if the size changes, because libwebp's scaler replaces the smooth chroma upsampling that all viewers use.
    if features(data).is_none_or(|features| features.size != (width, height)) {
        config.options.use_scaling = 1;
        config.options.scaled_width = to_c_int(width as usize)?;
        config.options.scaled_height = to_c_int(height as usize)?;
    }
    config.output.colorspace = if alpha { ffi::WEBP_CSP_MODE::MODE_RGBA } else { ffi::WEBP_CSP_MODE::MODE_RGB };
    config.output.is_external_memory = 1;
    config.output.u.RGBA = ffi::WebPRGBABuffer { rgba: pixels.as_mut_ptr(), stride: to_c_int(stride)?, size: pixels.len() };
    // SAFETY: `config` describes `pixels`, which is exclusively ours, outlives the call, and is as large as stated.
    let usage = unsafe { decode_to(&mut config, data, budget_bytes) }?;
    Ok((pixels, usage))
}

/// Decodes a lossy bitstream of `width × height` completely to its planes: luma, and the two of chroma, which have half as many
/// samples each way. See [`decode`].
///
/// If `unfiltered`, leaves out the filter that smooths the edges of blocks. It hardly affects an image that is reduced to
/// half its size or less, for which libwebp's scaler leaves it out as well.
pub(super) fn decode_planes(
    data: &[u8],
    (width, height): (u32, u32),
    unfiltered: bool,
    budget_bytes: u64,
) -> Result<[Vec<u8>; 3], Error> {
    let mut config = ffi::WebPDecoderConfig::new().map_err(|()| Error::internal("the WebP decoder cannot be initialised"))?;
    config.options.bypass_filtering = i32::from(unfiltered);
    let (width, height) = (width as usize, height as usize);
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    let mut luma = vec![0u8; width * height];
    let [mut cb, mut cr] = [(); 2].map(|()| vec![0u8; half_width * half_height]);
    config.output.colorspace = ffi::WEBP_CSP_MODE::MODE_YUV;
    config.output.is_external_memory = 1;
    config.output.u.YUVA = ffi::WebPYUVABuffer {
        y: luma.as_mut_ptr(),
        u: cb.as_mut_ptr(),
        v: cr.as_mut_ptr(),
        a: std::ptr::null_mut(),
        y_stride: to_c_int(width)?,
        u_stride: to_c_int(half_width)?,
        v_stride: to_c_int(half_width)?,
        a_stride: 0,
        y_size: luma.len(),
        u_size: cb.len(),
        v_size: cr.len(),
        a_size: 0,
    };
    // SAFETY: `config` describes the three planes, which are exclusively ours, outlive the call, and are as large as stated.
    unsafe { decode_to(&mut config, data, budget_bytes) }?;
    Ok([luma, cb, cr])
}

/// # Safety
/// `config` was initialised by libwebp. The memory that its output describes is valid for writes: libwebp checks width, height
/// and strides against the stated sizes before it writes.
unsafe fn decode_to(config: &mut ffi::WebPDecoderConfig, data: &[u8], budget_bytes: u64) -> Result<webp_memory::Usage, Error> {
    // SAFETY: `data` is valid for its length, and the caller vouches for `config`.
    let decode = || unsafe { ffi::WebPDecode(data.as_ptr(), data.len(), config) };
    match webp_memory::within(budget_bytes, decode) {
        (ffi::VP8StatusCode::VP8_STATUS_OK, usage) => Ok(usage),
        (_, usage) if usage.refused => Err(Error::unsupported("WebP that needs more memory than its header implies")),
        (status, _) => Err(decoder_errors::webp(status)),
    }
}

/// Encodes rows of RGB or RGBA pixels as a lossy WebP. `quality` is 0 to 100, `method` is the effort, 0 to 6.
pub(super) fn encode(
    pixels: &[u8],
    (width, height): (u32, u32),
    alpha: bool,
    quality: f32,
    method: i32,
) -> Result<Vec<u8>, Error> {
    let failed = |what: &str| Error::internal(format!("encoding a WebP: {what}"));
    let stride = width as usize * if alpha { 4 } else { 3 };
    if pixels.len() < stride * height as usize {
        return Err(failed("too few pixels"));
    }
    let mut config = ffi::WebPConfig::new().map_err(|()| failed("no configuration"))?;
    config.quality = quality;
    config.method = method;
    // The plane is compressed below, in less time.
    config.alpha_compression = 0;
    let mut encoder = Encoder::new().ok_or_else(|| failed("the encoder cannot be initialised"))?;
    let picture = &mut encoder.picture;
    picture.use_argb = 1;
    (picture.width, picture.height) = (to_c_int(width as usize)?, to_c_int(height as usize)?);
    let import = if alpha { ffi::WebPPictureImportRGBA } else { ffi::WebPPictureImportRGB };
    // SAFETY: `picture` was initialised by libwebp, and `pixels` contains `height` rows of `stride` bytes.
    if unsafe { import(picture, pixels.as_ptr(), to_c_int(stride)?) } == 0 {
        return Err(failed("no memory for the pixels"));
    }
    picture.writer = Some(ffi::WebPMemoryWrite);
    picture.custom_ptr = (&raw mut encoder.file).cast();
    // SAFETY: both were initialised by libwebp. The writer appends to `encoder.file`, which has the expected type and is not
    // used otherwise during the call.
    if unsafe { ffi::WebPEncode(&config, picture) } == 0 {
        return Err(failed(&format!("{:?}", picture.error_code)));
    }
    if !alpha {
        return Ok(encoder.written().to_vec());
    }
    encoder.free_picture();
    Ok(webp_alpha::compress_alpha(encoder.written(), pixels, width as usize))
}

/// The pixels to encode and the resulting file, both in libwebp's memory.
struct Encoder {
    picture: ffi::WebPPicture,
    file: ffi::WebPMemoryWriter,
}

impl Encoder {
    fn new() -> Option<Self> {
        let mut file = MaybeUninit::uninit();
        // SAFETY: the function initialises every field.
        let file = unsafe {
            ffi::WebPMemoryWriterInit(file.as_mut_ptr());
            file.assume_init()
        };
        Some(Encoder { picture: ffi::WebPPicture::new().ok()?, file })
    }

    /// Frees the memory of the picture.
    fn free_picture(&mut self) {
        // SAFETY: libwebp initialised it. Freeing resets its pointers, so that it can be freed again.
        unsafe { ffi::WebPPictureFree(&mut self.picture) }
    }

    /// Returns the encoded file.
    fn written(&self) -> &[u8] {
        if self.file.mem.is_null() {
            return &[];
        }
        // SAFETY: the writer has `size` initialised bytes at `mem`.
        unsafe { std::slice::from_raw_parts(self.file.mem, self.file.size) }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        self.free_picture();
        // SAFETY: libwebp initialised it, and it is not used afterwards.
        unsafe { ffi::WebPMemoryWriterClear(&mut self.file) }
    }
}

fn to_c_int(length: usize) -> Result<i32, Error> {
    i32::try_from(length).map_err(|_| Error::internal("the WebP size exceeds the range of libwebp"))
}
