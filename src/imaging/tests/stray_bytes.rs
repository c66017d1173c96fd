//! Intact JPEGs with stray bytes: bytes that no coefficient needs are skipped, at every size and by both decoders.

use super::test_images::*;
use super::*;
use mozjpeg::ColorSpace;

/// A size that is decoded as it is, and one that is reduced.
const SIZES: [(u32, u32); 2] = [(200, 120), (1104, 56)];

/// Stray bytes to insert.
fn stray() -> Vec<(&'static str, Vec<u8>)> {
    let mut random = XorShift(0x57a7);
    // Without 0xff, after which anything could look like a marker.
    let noise = (0..4000).map(|_| random.below(255) as u8).collect();
    vec![
        ("a byte", vec![0]),
        ("zeros", vec![0; 4000]),
        ("fill bytes", vec![0xff; 300]),
        ("stuffed bytes", [0xff, 0].repeat(20)),
        ("restart markers", vec![0xff, 0xd0, 0xff, 0xd7, 0xff, 0xd3]),
        ("markers without a meaning", vec![0xff, 0x01, 0xff, 0x02, 0xff, 0xbf, 0xff, 0xf0, 0xff, 0xc8]),
        ("noise", noise),
    ]
}

fn position(file: &[u8], marker: u8) -> usize {
    file.windows(2).position(|window| window == [0xff, marker]).expect("the marker")
}

fn inserted(file: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    [&file[..at], bytes, &file[at..]].concat()
}

/// Sequential, progressive, and CMYK, which libjpeg always decodes.
fn files(size: (u32, u32)) -> Vec<(String, Vec<u8>)> {
    let exif = exif(6, &[], &[]);
    let rgb = rgb(size.0, size.1);
    let progressive = |compress: &mut mozjpeg::Compress| compress.set_progressive_mode();
    let ink: Vec<u8> = rgb.chunks_exact(3).flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect();
    let named = |name: &str| format!("{name} {}x{}", size.0, size.1);
    vec![
        (named("sequential"), jpeg(size, ColorSpace::JCS_RGB, &rgb, Some(&exif), |_| {})),
        (named("progressive"), jpeg(size, ColorSpace::JCS_RGB, &rgb, Some(&exif), progressive)),
        (named("CMYK"), jpeg(size, ColorSpace::JCS_CMYK, &ink, Some(&exif), |c| c.set_color_space(ColorSpace::JCS_CMYK))),
    ]
}

/// Asserts that both files show the same image.
#[track_caller]
fn assert_same(name: &str, original: &[u8], modified: &[u8]) {
    let (header, expected) = run(original).unwrap_or_else(|error| unreachable!("{name}, original: {error}"));
    let (modified_header, shown) = run(modified).unwrap_or_else(|error| unreachable!("{name}: {error}"));
    assert_eq!(
        (modified_header.width, modified_header.height, modified_header.orientation),
        (header.width, header.height, header.orientation),
        "{name}"
    );
    let bytes = |made: &Processed| made.thumbnails.iter().map(|made| made.bytes.clone()).collect::<Vec<_>>();
    assert!(bytes(&shown) == bytes(&expected), "{name}: other pixels");
    let rendering = Rendering { width: 30, height: 20, crop: true, format: Format::Png, quality: 0 };
    let rendered = |file: &[u8]| {
        let header = inspect_stored(file, &Limits::default(), &rendering).expect("accepted before");
        render(file, &header, &Limits::default(), &rendering).expect("accepted before")
    };
    assert!(rendered(modified) == rendered(original), "{name}: the rendering differs");
}

#[test]
fn stray_bytes_between_segments_are_skipped() {
    for (name, file) in SIZES.into_iter().flat_map(files) {
        for (kind, bytes) in stray() {
            for marker in [0xe1, 0xdb, 0xc4, 0xda] {
                let at = position(&file, marker);
                assert_same(&format!("{name}, {kind} before {marker:x}"), &file, &inserted(&file, at, &bytes));
            }
        }
    }
}

#[test]
fn a_segment_with_too_small_a_length_is_skipped() {
    for (name, file) in SIZES.into_iter().flat_map(files) {
        let tables = position(&file, 0xdb);
        for segment in [&b"\xff\xe2\0\x04ab?>"[..], b"\xff\xfe\0\0", b"\xff\xe5\0\x01", b"\0\x0eAdobe\0d\0\0\0\0\x01"] {
            assert_same(&format!("{name}, {segment:?}"), &file, &inserted(&file, tables, segment));
        }
    }
}

#[test]
fn bytes_after_the_last_mcu_are_skipped() {
    for (name, file) in SIZES.into_iter().flat_map(files) {
        for (kind, bytes) in stray() {
            assert_same(&format!("{name}, {kind} at the end"), &file, &inserted(&file, file.len() - 2, &bytes));
            // In place of EOI, as when a camera writes its whole buffer.
            let padded = [&file[..file.len() - 2], &bytes].concat();
            assert_same(&format!("{name}, {kind} instead of the end"), &file, &padded);
        }
    }
}

#[test]
fn bytes_between_scans_are_skipped() {
    for size in SIZES {
        let file = progressive_jpeg(size.0, size.1);
        let starts: Vec<_> = (1..file.len()).filter(|&at| file[at - 1..].starts_with(&[0xff, 0xda])).collect();
        assert!(starts.len() > 4);
        for (kind, bytes) in stray() {
            // Tables precede most scans; insert the bytes before either.
            for scan in [1, 3] {
                let data = starts[scan - 1] + 10;
                let next = (data..).find(|&at| file[at] == 0xff && file[at + 1] != 0).expect("a marker");
                assert_same(&format!("{size:?}, {kind} before scan {scan}"), &file, &inserted(&file, next, &bytes));
            }
        }
    }
}

#[test]
fn rows_of_mcus_beyond_the_stated_height_are_ignored() {
    for (width, height) in SIZES {
        let mut file = jpeg_with_restarts((width, height));
        let frame = position(&file, 0xc0);
        let lower = height - 16;
        file[frame + 5..frame + 7].copy_from_slice(&(lower as u16).to_be_bytes());
        let (header, _) = run_within(&file, &tiny()).expect("accepted");
        assert_eq!((header.width, header.height), (width, lower));
    }
}

#[test]
fn a_jpeg_that_lacks_only_eoi_is_complete() {
    for (name, file) in SIZES.into_iter().flat_map(files) {
        assert_same(&name, &file, &file[..file.len() - 1]);
        assert_same(&name, &file, &file[..file.len() - 2]);
        assert!(matches!(run(&file[..file.len() - 3]), Err(Error::Corrupt { .. })), "{name}");
    }
}

#[test]
fn zeros_in_place_of_image_data_are_damage() {
    let mut random = XorShift(0x2e05);
    for (width, height) in SIZES {
        let noise: Vec<u8> = (0..width * height * 3).map(|_| random.below(256) as u8).collect();
        for quality in [85.0, 95.0] {
            let file = jpeg((width, height), ColorSpace::JCS_RGB, &noise, None, |compress| {
                compress.set_quality(quality);
                compress.set_chroma_sampling_pixel_sizes((1, 1), (1, 1));
            });
            assert!(run(&file).is_ok());
            for percent in [2, 5, 10, 30, 50] {
                let mut filled = file.clone();
                let from = file.len() - file.len() * percent / 100;
                filled[from..].fill(0);
                assert!(matches!(run(&filled), Err(Error::Corrupt { .. })), "{width}x{height} {quality}: {percent} % are zeros");
            }
        }
    }
}

#[test]
fn a_progressive_jpeg_that_ends_before_its_last_scan_is_damaged() {
    for size in SIZES {
        let file = progressive_jpeg(size.0, size.1);
        let mut last = file.windows(2).rposition(|window| window == [0xff, 0xda]).expect("a scan");
        let tables = file[..last].windows(2).rposition(|window| window == [0xff, 0xc4]).expect("tables");
        if file[tables + 2..tables + 4] == ((last - tables - 2) as u16).to_be_bytes() {
            last = tables;
        }
        for end in [last, last + 1, last + 2, last + 9] {
            assert!(matches!(run(&file[..end]), Err(Error::Corrupt { .. })), "{size:?} cut to {end} of {}", file.len());
        }
        // EOI means that nothing follows.
        assert!(run(&[&file[..last], &[0xff, 0xd9]].concat()).is_ok());
    }
}

#[test]
fn restart_markers_may_be_padded_and_one_may_follow_the_last_mcu() {
    for size in SIZES {
        let file = jpeg_with_restarts(size);
        let markers: Vec<_> = (0..file.len()).filter(|&at| matches!(file[at..], [0xff, 0xd0..=0xd7, ..])).collect();
        let next = 0xd0 + (markers.len() % 8) as u8;
        assert_same("one more", &file, &inserted(&file, file.len() - 2, &[0xff, next]));
        for (kind, bytes) in stray() {
            // These are markers themselves, and out of sequence.
            if kind.contains("markers") {
                continue;
            }
            let padding = &bytes[..bytes.len().min(6)];
            let mut padded = file[..markers[0]].to_vec();
            for (at, end) in markers.iter().zip(markers[1..].iter().chain([&file.len()])) {
                padded.extend(padding);
                padded.extend(&file[*at..*end]);
            }
            assert_same(kind, &file, &padded);
        }
    }
}

#[test]
fn missing_mcus_and_restart_markers_out_of_sequence_are_damage() {
    for size in SIZES {
        let file = jpeg_with_restarts(size);
        let (first, third) = (position(&file, 0xd0), position(&file, 0xd2));
        let without = |range: std::ops::Range<usize>| [&file[..range.start], &file[range.end..]].concat();
        let mut other = file.clone();
        other[third + 1] = 0xd3;
        let cut = [&file[..third + 2], &[0xff, 0xd9]].concat();
        for (what, damaged) in [
            ("an interval and its marker", without(first..third)),
            ("a marker", without(third..third + 2)),
            ("units before a marker", without(third - 2..third)),
            ("another number", other),
            ("the rest", cut),
            ("the rest, without an end", file[..third + 2].to_vec()),
        ] {
            assert!(matches!(run(&damaged), Err(Error::Corrupt { .. })), "{size:?}: {what}");
        }
    }
}

#[test]
fn a_second_image_within_the_header_is_rejected() {
    for (width, height) in SIZES {
        let file = plain_jpeg(width, height);
        let thumbnail = plain_jpeg(64, 64);
        let error = run(&inserted(&file, 2, &thumbnail)).unwrap_err();
        assert_eq!(error.to_string(), "the image is damaged: the JPEG has a second image inside the first one");
    }
}

#[test]
fn the_standard_huffman_tables_may_be_omitted() {
    // mozjpeg writes the standard tables with its fastest defaults.
    for (width, height) in SIZES {
        let file = plain_jpeg(width, height);
        let (tables, scan) = (position(&file, 0xc4), position(&file, 0xda));
        let without = [&file[..tables], &file[scan..]].concat();
        assert_same("without tables", &file, &without);
    }
}

#[test]
fn orientation_and_location_are_found_after_stray_bytes() {
    // GPSLatitude of 1 degree, in a GPS directory to which the first directory points.
    let mut exif = b"MM\0*\0\0\0\x08\0\x02\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\x88\x25\0\x04\0\0\0\x01\0\0\0\x26\0\0\0\0".to_vec();
    exif.extend(b"\0\x01\0\x02\0\x05\0\0\0\x03\0\0\0\x38\0\0\0\0");
    exif.extend([0, 0, 0, 1, 0, 0, 0, 1].repeat(3));
    for size in SIZES {
        let file = jpeg(size, ColorSpace::JCS_RGB, &rgb(size.0, size.1), Some(&exif), |_| {});
        for (kind, bytes) in stray() {
            let modified = inserted(&file, position(&file, 0xe1), &bytes);
            let (header, processed) = run(&modified).expect("accepted");
            assert_eq!(header.orientation, 6, "{kind}");
            let cleaned = processed.without_location.unwrap_or_else(|| unreachable!("{kind}: the location is kept"));
            assert_eq!(cleaned.len(), modified.len(), "{kind}");
            assert!(run(&cleaned).expect("accepted").1.without_location.is_none());
        }
    }
}

#[test]
fn every_chroma_subsampling_shows_the_right_colours() {
    let factors = [
        [(2, 2), (1, 1), (2, 1)],
        [(2, 2), (1, 1), (2, 2)],
        [(2, 2), (2, 1), (1, 2)],
        [(2, 2), (2, 2), (1, 1)],
        [(2, 1), (1, 1), (2, 1)],
        [(2, 2), (1, 2), (1, 1)],
        [(4, 1), (1, 1), (2, 1)],
        [(1, 1), (2, 2), (2, 2)],
        [(1, 2), (2, 1), (2, 1)],
        [(2, 1), (2, 2), (1, 1)],
        [(4, 2), (1, 1), (1, 1)],
        [(1, 4), (1, 2), (1, 1)],
        [(2, 2), (1, 1), (1, 1)],
    ];
    for size in [(200, 120), (1104, 200)] {
        for (factors, progressive) in factors.into_iter().zip([false, true].into_iter().cycle()) {
            let (_, processed) = run(&sampled_jpeg(size, factors, progressive)).expect("accepted");
            for thumbnail in &processed.thumbnails {
                for ((across, down), color) in formats::CORNERS.into_iter().zip(QUARTERS) {
                    let pixel = pixel_at(thumbnail, across, down);
                    assert!(close(pixel, color), "{size:?} {factors:?}: {pixel:?} at {across},{down}, not {color:?}");
                }
            }
        }
    }
}

#[test]
fn fractional_sampling_factors_are_unsupported_at_every_size() {
    for size in SIZES {
        let mut file = plain_jpeg(size.0, size.1);
        let frame = position(&file, 0xc0);
        file[frame + 11] = 0x31;
        file[frame + 14] = 0x21;
        let error = run(&file).unwrap_err();
        let message = "the image uses a feature that is not supported: JPEG with fractional sampling factors";
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn a_jpeg_may_have_many_segments_and_the_error_names_the_limit() {
    let file = plain_jpeg(64, 64);
    let with = |segments: usize| [&file[..2], &b"\xff\xee\0\x02".repeat(segments), &file[2..]].concat();
    for file in [with(5000), [&file[..2], &b"\xff\xe2\0\x10ICC_PROFILE\0\x01\x01".repeat(5000), &file[2..]].concat()] {
        run(&file).expect("accepted");
    }
    let error = run(&with(262_144)).unwrap_err();
    assert_eq!(error, Error::unsupported("JPEG with more than 262144 segments before the image data"));
}
