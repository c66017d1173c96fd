//! Truncated, damaged, inconsistent and hostile files are rejected with a message, never with a panic.

use super::formats::small_files;
use super::test_images::*;
use super::*;

#[test]
fn every_prefix_of_a_file_is_rejected() {
    for file in small_files() {
        assert!(run(&file).is_ok());
        // A JPEG may lack EOI, a PNG IEND; a GIF may end after any of its blocks (`stray_bytes.rs`, `png.rs`, `gif.rs`).
        let whole = match &file[..3] {
            b"\xff\xd8\xff" => file.len() - 2,
            b"\x89PN" => file.len() - 12,
            b"GIF" => 0,
            _ => file.len(),
        };
        for length in 0..whole {
            let refused = run(&file[..length]);
            assert!(refused.is_err(), "{:?} of {} bytes cut to {length}", &file[..4], file.len());
            assert!(!matches!(refused, Err(Error::Internal { .. })), "{:?} cut to {length}", &file[..4]);
        }
    }
}

#[test]
fn a_jpeg_with_damaged_data_is_rejected() {
    let noise = noise(200 * 200);
    let file = jpeg((200, 200), mozjpeg::ColorSpace::JCS_GRAYSCALE, &noise, None, |_| {});
    let middle = file.len() / 2;
    let cut = [&file[..middle], &file[middle + 500..]].concat();
    assert!(matches!(run(&cut), Err(Error::Corrupt { .. })));
    let mut zeroed = file.clone();
    zeroed[middle..middle + 256].fill(0);
    assert!(matches!(run(&zeroed), Err(Error::Corrupt { .. })));
    let without_end = &file[..file.len() - 3];
    assert_eq!(run(without_end).unwrap_err(), Error::corrupt("the JPEG data ends too early"));
}

#[test]
fn a_png_with_a_wrong_checksum_is_rejected() {
    let file = rgba_png(80, 80, QUARTERS);
    let data = file.windows(4).position(|window| window == b"IDAT").expect("image data");
    let mut damaged = file.clone();
    damaged[data + 20] ^= 1;
    assert!(matches!(run(&damaged), Err(Error::Corrupt { .. })));
    let without_checksum = &file[..file.len() - 13];
    assert_eq!(run(without_checksum).unwrap_err(), Error::corrupt("the PNG data ends too early"));
}

#[test]
fn a_webp_whose_image_ends_before_its_chunk_is_rejected() {
    let file = webp_with_exif(300, 200, &[0x5a; 4000]);
    let data = file.windows(4).position(|window| window == b"VP8 ").expect("image data");
    let length = u32::from_le_bytes([file[data + 4], file[data + 5], file[data + 6], file[data + 7]]);
    let shorter = (length / 2) & !1;
    let cut = |head: usize| {
        let (until, from) = (data + 8 + shorter as usize, data + 8 + (length + length % 2) as usize);
        let mut cut = [&file[..until], &file[from..]].concat();
        cut[data + 4..data + 8].copy_from_slice(&shorter.to_le_bytes());
        let size = cut.len() as u32 - 8;
        cut[4..8].copy_from_slice(&size.to_le_bytes());
        cut.truncate(head);
        cut
    };
    // The data that follows, here EXIF, is not read in place of the missing data.
    assert_eq!(run(&cut(usize::MAX)).unwrap_err(), Error::corrupt("the WebP data ends too early"));
    assert!(run(&file).is_ok());
}

#[test]
fn a_file_that_is_not_an_image_has_an_unsupported_format() {
    for bytes in [&b""[..], b"GIF90a", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"BM......", b"RIFF....WAVE", b"%PDF-1.7"] {
        assert_eq!(inspect(bytes, &Limits::default()).unwrap_err(), Error::UnsupportedFormat { found: None });
    }
}

#[test]
fn heic_and_avif_are_recognised_by_their_brands() {
    for (bytes, found) in [
        (&b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..], Some("HEIC")),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", Some("HEIC")),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", Some("AVIF")),
        (b"\0\0\0\x14ftypavif\0\0\0\0mif1", Some("AVIF")),
        (b"\0\0\0\x14ftypmif1\0\0\0\0miaf", Some("HEIF")),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", None),
        // Brands that are cut off, or after the end that the box states.
        (b"\xff\xff\xff\xffftypheic", Some("HEIC")),
        (b"\0\0\0\x10ftypisom\0\0\0\0heic", None),
        (b"\0\0\0\0ftypisom", None),
        (b"\0\0\0\x18ftyphe", None),
        (b"\0\0\0\x18ftyp", None),
    ] {
        assert_eq!(inspect(bytes, &Limits::default()).unwrap_err(), Error::UnsupportedFormat { found }, "{bytes:?}");
    }
}

#[test]
fn a_polyglot_file_is_treated_as_the_image() {
    let other = jpeg((90, 70), mozjpeg::ColorSpace::JCS_RGB, &rgb(90, 70), Some(&exif(6, &[(0x010f, "Intruder")], &[])), |_| {});
    let archive = [b"PK\x03\x04 a file PK\x01\x02 its entry PK\x05\x06", &[0; 18][..]].concat();
    for behind in [&other[..], &archive, b"<html><script>alert(1)</script></html>", b"%PDF-1.7\n%%EOF", b"II*\0\x08\0\0\0"] {
        for file in small_files() {
            let (header, plain) = run(&file).expect("accepted");
            let (header_of_both, both) = run(&[&file[..], behind].concat()).expect("accepted");
            assert_eq!(
                (header_of_both.width, header_of_both.height, header_of_both.orientation),
                (header.width, header.height, header.orientation)
            );
            assert_eq!(both.metadata, plain.metadata);
            assert!(both.thumbnails.iter().zip(&plain.thumbnails).all(|(a, b)| a.bytes == b.bytes));
        }
    }
    // The first bytes decide, so nothing before an image is accepted.
    assert_eq!(run(&[&b"<script>"[..], &other].concat()).unwrap_err(), Error::UnsupportedFormat { found: None });
}

#[test]
fn headers_with_a_false_size_are_rejected_before_any_allocation() {
    let mut jpeg = plain_jpeg(60, 60);
    let frame = jpeg.windows(2).position(|window| window == [0xff, 0xc0]).expect("a frame header");
    jpeg[frame + 5..frame + 9].fill(0xff);
    let mut gif = gif(60, 60, 1, [0, 1, 2, 3]);
    gif[6..10].fill(0xff);
    let mut png = rgba_png(60, 60, QUARTERS);
    png[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    let mut webp = webp_with_exif(60, 60, b"");
    webp[24..30].copy_from_slice(&[0xfe, 0xff, 0, 0xfe, 0xff, 0]);
    for file in [jpeg, gif, png, webp] {
        let error = inspect(&file, &Limits::default()).unwrap_err();
        assert_eq!(error, Error::TooLarge { width: 65_535, height: 65_535, limit: 4000 });
        assert_eq!(
            error.to_string(),
            "the image has 65535×65535 pixels, but each side may have at most 4000 pixels; the operator can raise MAX_IMAGE_SIDE"
        );
    }
    assert!(matches!(inspect(&plain_jpeg(49, 60), &Limits::default()), Err(Error::TooSmall { width: 49, limit: 50, .. })));
    assert!(run_within(&plain_jpeg(1, 1), &tiny()).is_ok());
}

#[test]
fn an_image_with_a_zero_side_is_rejected() {
    let mut jpeg = plain_jpeg(60, 60);
    let frame = jpeg.windows(2).position(|window| window == [0xff, 0xc0]).expect("a frame header");
    jpeg[frame + 5..frame + 7].fill(0);
    assert!(matches!(run_within(&jpeg, &tiny()), Err(Error::Unsupported { .. })));
    // No frame enlarges the canvas.
    let mut gif = gif(60, 60, 0, [0, 1, 2, 3]);
    gif[6..8].fill(0);
    assert!(matches!(run_within(&gif, &Limits { min_side: 0, ..tiny() }), Err(Error::TooSmall { .. })));
}

#[test]
fn arithmetic_and_12_bit_jpegs_are_unsupported() {
    let mut file = plain_jpeg(60, 60);
    let frame = file.windows(2).position(|window| window == [0xff, 0xc0]).expect("a frame header");
    file[frame + 1] = 0xc9;
    let error = inspect(&file, &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "the image uses a feature that is not supported: JPEG with arithmetic coding");
    file[frame + 1] = 0xc1;
    file[frame + 4] = 12;
    let error = inspect(&file, &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "the image uses a feature that is not supported: JPEG with 12 bits per sample");
}

#[test]
fn a_jpeg_with_too_many_scans_is_rejected() {
    let file = progressive_jpeg(200, 200);
    // Repeats the last scan, as a decompression bomb does.
    let starts: Vec<usize> = (0..file.len() - 1).filter(|&at| file[at] == 0xff && matches!(file[at + 1], 0xda | 0xc4)).collect();
    let last = *starts.last().expect("scans");
    let scan = &file[last..file.len() - 2];
    let mut bomb = file[..file.len() - 2].to_vec();
    for _ in 0..200 {
        bomb.extend_from_slice(scan);
    }
    bomb.extend([0xff, 0xd9]);
    // Refining the same bits again is damage in itself. A bomb that avoids this must stay below the scan limit.
    assert!(matches!(run(&bomb), Err(Error::TooManyScans { limit: 100 } | Error::Corrupt { .. })));

    let few = Limits { max_progressive_scans: 3, ..Limits::default() };
    assert_eq!(run_within(&file, &few).unwrap_err(), Error::TooManyScans { limit: 3 });
    assert!(run_within(&plain_jpeg(200, 200), &few).is_ok());
}

#[test]
fn frames_times_pixels_of_animations_are_limited() {
    let limits = Limits { max_frame_pixels: 3 * 64 * 64, ..Limits::default() };
    for make in [|frames| gif(64, 64, frames, [0, 1, 2, 3]), |frames| animated_webp(64, 64, frames)] {
        assert!(run_within(&make(3), &limits).is_ok());
        let error = run_within(&make(5), &limits).unwrap_err();
        assert_eq!(error, Error::TooManyPixels { frames: 4, width: 64, height: 64, limit: limits.max_frame_pixels });
    }
}

#[test]
fn a_later_gif_frame_may_exceed_the_canvas_or_be_empty_but_not_lack_pixels() {
    let file = gif(60, 60, 2, [0, 1, 2, 3]);
    let frame = file.windows(5).rposition(|window| window == [0x2c, 3, 0, 0, 0]).expect("the second frame");
    let mut shifted = file.clone();
    shifted[frame + 1] = 50;
    assert!(run(&shifted).is_ok());
    let mut wide = file.clone();
    wide[frame + 6] = 0xff;
    assert!(matches!(run(&wide), Err(Error::Corrupt { .. })));
    let mut flat = file.clone();
    flat[frame + 7] = 0;
    assert!(run(&flat).is_ok());
    // More data than the frame needs is ignored, as in all decoders, and must not hang.
    let mut low = file;
    low[frame + 7] = 10;
    assert!(run(&low).is_ok());
}

#[test]
fn a_header_of_another_file_is_detected() {
    let (large, small) = (plain_jpeg(300, 200), plain_jpeg(200, 300));
    let header = inspect(&large, &Limits::default()).expect("a header");
    assert!(matches!(process(&small, &header, &Limits::default()), Err(Error::Corrupt { .. })));
    for file in small_files() {
        let Ok(other) = inspect(&file, &Limits::default()) else { continue };
        for bytes in [&b""[..], &large, &file[..file.len() / 2]] {
            process(bytes, &other, &Limits::default()).err();
        }
    }
}

/// Seeded damage at many positions. Whatever the result, it is not a panic (a caught one is `Internal`).
#[test]
fn random_damage_never_panics() {
    let mut random = XorShift(0x0dd_ba11);
    // Larger canvases only slow down a debug build.
    let limits = Limits { max_side: 1000, ..tiny() };
    for file in small_files() {
        for _ in 0..400 {
            let mut damaged = file.clone();
            for _ in 0..1 + random.below(4) {
                let at = random.below(damaged.len());
                match random.below(4) {
                    0 => damaged[at] = random.next() as u8,
                    1 => damaged[at] ^= 1 << random.below(8),
                    2 => drop(damaged.drain(at..(at + random.below(20)).min(file.len() / 2).max(at))),
                    _ => {
                        let header = at % 64.min(damaged.len());
                        damaged[header] = random.next() as u8;
                    }
                }
            }
            let result = run_within(&damaged, &limits);
            assert!(!matches!(result, Err(Error::Internal { .. })), "{result:?}");
        }
    }
}
