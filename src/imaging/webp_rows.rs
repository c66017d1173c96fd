//! Decodes a large lossy WebP without alpha to reduced YCbCr planes: libwebp passes its rows to a box filter as it decodes them.
//!
//! libwebp's own scaler takes a fifth of the time to decode such an image, and its output is RGB, which takes longer to resize
//! and to encode than planes. The functions are those that libwebp uses itself; `libwebp-sys` contains them, but does not
//! declare them (`src/dec/vp8_dec.h`).

#![expect(unsafe_code, reason = "the row decoder of libwebp has no safe wrapper")]

use super::bitmap::reduction;
use super::error::Error;
use super::ycbcr::{Plane, YCbCr};
use super::{decoder_errors, webp_memory};
use libwebp_sys as ffi;
use std::ffi::{c_int, c_void};
use std::ptr::{null, null_mut};

/// Decodes the bitstream of a `VP8 ` chunk completely, reduced so that the longer side keeps `min_longer_side` pixels. libwebp
/// may allocate up to `budget_bytes` meanwhile.
pub(super) fn decode(data: &[u8], size: (u32, u32), min_longer_side: u32, budget_bytes: u64) -> Result<YCbCr, Error> {
    let factor = reduction(size.0, size.1, min_longer_side) as usize;
    let half = (size.0.div_ceil(2) as usize, size.1.div_ceil(2) as usize);
    let mut sink = Sink {
        luma: PlaneReducer::new(size.0 as usize, size.1 as usize, factor, LUMA),
        chroma: PlaneReducer::new(half.0, half.1, factor, CHROMA),
    };
    let (status, usage) = webp_memory::within(budget_bytes, || decode_into(&mut sink, data, size));
    match status {
        ffi::VP8StatusCode::VP8_STATUS_OK => {
            let covered = |length: u32, scale: usize| f64::from(length) / (factor * scale) as f64;
            Ok(YCbCr {
                luma: sink.luma.finish((covered(size.0, 1), covered(size.1, 1))),
                chroma: Some(sink.chroma.finish((covered(size.0, 2), covered(size.1, 2)))),
            })
        }
        _ if usage.refused => Err(Error::unsupported("WebP that needs more memory than its header implies")),
        status => Err(decoder_errors::webp(status)),
    }
}

/// `VP8Io`: the connection between the decoder and the receiver of its rows.
#[repr(C)]
struct Io {
    width: c_int,
    height: c_int,
    /// The rows passed to `put`: the first one, and how many columns and rows.
    mb_y: c_int,
    mb_w: c_int,
    mb_h: c_int,
    y: *const u8,
    u: *const u8,
    v: *const u8,
    y_stride: c_int,
    uv_stride: c_int,
    opaque: *mut c_void,
    put: Option<unsafe extern "C" fn(*const Io) -> c_int>,
    setup: Option<unsafe extern "C" fn(*mut Io) -> c_int>,
    teardown: Option<unsafe extern "C" fn(*const Io)>,
    fancy_upsampling: c_int,
    data_size: usize,
    data: *const u8,
    bypass_filtering: c_int,
    /// Cropping and scaling, which are not used, and room for what a later version may add.
    others: [u64; 32],
}

unsafe extern "C" {
    fn VP8InitIoInternal(io: *mut Io, version: c_int) -> c_int;
    fn VP8New() -> *mut c_void;
    fn VP8GetHeaders(decoder: *mut c_void, io: *mut Io) -> c_int;
    fn VP8Decode(decoder: *mut c_void, io: *mut Io) -> c_int;
    fn VP8Status(decoder: *mut c_void) -> ffi::VP8StatusCode;
    fn VP8Delete(decoder: *mut c_void);
}

fn decode_into(sink: &mut Sink, data: &[u8], size: (u32, u32)) -> ffi::VP8StatusCode {
    let mut io = Io {
        width: 0,
        height: 0,
        mb_y: 0,
        mb_w: 0,
        mb_h: 0,
        y: null(),
        u: null(),
        v: null(),
        y_stride: 0,
        uv_stride: 0,
        opaque: null_mut(),
        put: None,
        setup: None,
        teardown: None,
        fancy_upsampling: 0,
        data_size: 0,
        data: null(),
        bypass_filtering: 0,
        others: [0; 32],
    };
    // SAFETY: the function zeroes `io`, if the version of the library is the one for which the structure is declared.
    if unsafe { VP8InitIoInternal(&mut io, ffi::WEBP_DECODER_ABI_VERSION as c_int) } == 0 {
        return ffi::VP8StatusCode::VP8_STATUS_INVALID_PARAM;
    }
    (io.data, io.data_size) = (data.as_ptr(), data.len());
    io.put = Some(put);
    io.opaque = (&raw mut *sink).cast();
    // SAFETY: the function has no arguments.
    let decoder = unsafe { VP8New() };
    if decoder.is_null() {
        return ffi::VP8StatusCode::VP8_STATUS_OUT_OF_MEMORY;
    }
    // SAFETY: `decoder` is not null and is deleted last. `io` is initialised, `data` and `sink` outlive the calls, and nothing
    // else uses `sink` meanwhile. The headers are read first, so that the size is known before any row is passed.
    unsafe {
        let mut status = ffi::VP8StatusCode::VP8_STATUS_OK;
        if VP8GetHeaders(decoder, &mut io) == 0 {
            status = VP8Status(decoder);
        } else if (io.width, io.height) != (size.0 as c_int, size.1 as c_int) {
            status = ffi::VP8StatusCode::VP8_STATUS_BITSTREAM_ERROR;
        } else if VP8Decode(decoder, &mut io) == 0 {
            status = VP8Status(decoder);
        }
        VP8Delete(decoder);
        status
    }
}

/// Takes the next rows: all of luma, half as many of chroma, rounded up. Returns 0 to stop.
unsafe extern "C" fn put(io: *const Io) -> c_int {
    // SAFETY: the decoder passes its `io`, in which `opaque` is the sink.
    let (io, sink) = unsafe { (&*io, &mut *(*io).opaque.cast::<Sink>()) };
    let (Ok(columns), Ok(rows)) = (usize::try_from(io.mb_w), usize::try_from(io.mb_h)) else { return 0 };
    if columns != sink.luma.width {
        return 0;
    }
    let row = |start: *const u8, stride: c_int, index: usize, length: usize| {
        // SAFETY: the decoder passes `mb_h` rows of `mb_w` samples of luma, and half as many of chroma, rounded up.
        unsafe { std::slice::from_raw_parts(start.offset(index as isize * stride as isize), length) }
    };
    for index in 0..rows {
        sink.luma.push([row(io.y, io.y_stride, index, columns)]);
    }
    let half = sink.chroma.width;
    for index in 0..rows.div_ceil(2) {
        sink.chroma.push([row(io.u, io.uv_stride, index, half), row(io.v, io.uv_stride, index, half)]);
    }
    1
}

struct Sink {
    luma: PlaneReducer<1>,
    chroma: PlaneReducer<2>,
}

/// How WebP's samples (ITU-R BT.601: 16 to 235, chroma 16 to 240) are converted to those of JPEG: multiplied, then added.
type Expansion = (f64, f64);
const LUMA: Expansion = (255.0 / 219.0, -16.0 * 255.0 / 219.0);
const CHROMA: Expansion = (255.0 / 224.0, 128.0 - 128.0 * 255.0 / 224.0);

/// Averages blocks of `factor × factor` samples, one row at a time, and expands them to the range of JPEG. The output is
/// interleaved.
struct PlaneReducer<const CHANNELS: usize> {
    width: usize,
    factor: usize,
    expansion: Expansion,
    /// The sum of each column in a band of `factor` rows. 128 rows of 255 fit in 16 bits.
    sums: [Vec<u16>; CHANNELS],
    rows_in_band: usize,
    out: Vec<u8>,
}

impl<const CHANNELS: usize> PlaneReducer<CHANNELS> {
    fn new(width: usize, height: usize, factor: usize, expansion: Expansion) -> Self {
        let size = width.div_ceil(factor) * height.div_ceil(factor) * CHANNELS;
        let sums = std::array::from_fn(|_| vec![0; width]);
        PlaneReducer { width, factor, expansion, sums, rows_in_band: 0, out: Vec::with_capacity(size) }
    }

    fn push(&mut self, rows: [&[u8]; CHANNELS]) {
        for (sums, row) in self.sums.iter_mut().zip(rows) {
            sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum = sum.wrapping_add(u16::from(value)));
        }
        self.rows_in_band += 1;
        if self.rows_in_band == self.factor {
            self.emit();
        }
    }

    /// Combines the sums of a band into one output row.
    fn emit(&mut self) {
        let start = self.out.len();
        self.out.resize(start + self.width.div_ceil(self.factor) * CHANNELS, 0);
        let row = &mut self.out[start..];
        for (channel, sums) in self.sums.iter_mut().enumerate() {
            let to = row.iter_mut().skip(channel).step_by(CHANNELS);
            let band = Band { rows: self.rows_in_band, expansion: self.expansion };
            match self.factor {
                2 => band.combine::<2>(sums, to),
                3 => band.combine::<3>(sums, to),
                4 => band.combine::<4>(sums, to),
                5 => band.combine::<5>(sums, to),
                6 => band.combine::<6>(sums, to),
                7 => band.combine::<7>(sums, to),
                factor => to.zip(sums.chunks(factor)).for_each(|(to, cell)| *to = band.mean(cell.iter(), band.scale(cell.len()))),
            }
            sums.fill(0);
        }
        self.rows_in_band = 0;
    }

    fn finish(mut self, covered: (f64, f64)) -> Plane {
        if self.rows_in_band > 0 {
            self.emit();
        }
        let width = self.width.div_ceil(self.factor);
        let height = self.out.len() / (width * CHANNELS).max(1);
        Plane { width: width as u32, height: height as u32, covered, samples: self.out }
    }
}

/// The rows of a band, and how its means are converted.
#[derive(Clone, Copy)]
struct Band {
    rows: usize,
    expansion: Expansion,
}

/// Fraction bits of the factor by which a total is multiplied.
const FRACTION: u32 = 32;

impl Band {
    /// Returns the factor for the total of this many columns.
    fn scale(self, columns: usize) -> i64 {
        (self.expansion.0 / (columns * self.rows) as f64 * (1u64 << FRACTION) as f64).round() as i64
    }

    #[inline(always)]
    fn mean<'a>(self, cell: impl Iterator<Item = &'a u16>, scale: i64) -> u8 {
        let offset = ((self.expansion.1 + 0.5) * (1u64 << FRACTION) as f64) as i64;
        let total: u32 = cell.map(|&sum| u32::from(sum)).sum();
        ((i64::from(total) * scale + offset) >> FRACTION).clamp(0, 255) as u8
    }

    /// Writes the mean of each `FACTOR` columns. The constant lets the compiler unroll the sums.
    fn combine<'a, const FACTOR: usize>(self, sums: &[u16], mut to: impl Iterator<Item = &'a mut u8>) {
        let (cells, rest) = sums.as_chunks::<FACTOR>();
        let scale = self.scale(FACTOR);
        to.by_ref().zip(cells).for_each(|(to, cell)| *to = self.mean(cell.iter(), scale));
        if let Some(to) = to.next().filter(|_| !rest.is_empty()) {
            *to = self.mean(rest.iter(), self.scale(rest.len()));
        }
    }
}
