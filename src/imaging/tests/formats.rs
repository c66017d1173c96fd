//! Whole files of every kind produce correct thumbnails and metadata.

use super::test_images::*;
use super::*;
use ::png::{BitDepth, ColorType};
use mozjpeg::ColorSpace;

pub const CORNERS: [(f64, f64); 4] = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)];

/// Asserts that every thumbnail shows these colours in its quarters.
fn assert_quarters(processed: &Processed, expected: [[u8; 4]; 4]) {
    for thumbnail in &processed.thumbnails {
        for ((across, down), color) in CORNERS.into_iter().zip(expected) {
            let pixel = pixel_at(thumbnail, across, down);
            assert!(close(pixel, color), "{} at {across},{down}: {pixel:?}, not {color:?}", thumbnail.info.size.name());
        }
    }
}

fn sizes(processed: &Processed) -> Vec<String> {
    processed.thumbnails.iter().map(|t| format!("{} {}x{}", t.info.size.name(), t.info.width, t.info.height)).collect()
}

#[test]
fn a_jpeg_produces_thumbnails_colours_placeholder_and_metadata() {
    let file = plain_jpeg(1500, 900);
    let (header, processed) = run(&file).expect("accepted");
    assert_eq!((header.format, header.width, header.height, header.orientation), (Format::Jpeg, 1500, 900, 1));
    assert_eq!(sizes(&processed), ["small 128x77", "medium 512x307", "h200 333x200", "h400 667x400"]);
    assert_quarters(&processed, QUARTERS);
    assert!(processed.thumbnails.iter().all(|t| t.info.format == Format::Jpeg));
    assert_eq!(processed.colors.len(), 4);
    assert!((15..=30).contains(&processed.placeholder.len()));
    assert_eq!(processed.sha256[..], <sha2::Sha256 as sha2::Digest>::digest(&file)[..]);
    let stages: Vec<_> = processed.stages.iter().map(|stage| stage.0).collect();
    assert_eq!(stages, ["decode", "thumbnails", "colors", "placeholder", "location", "hash", "metadata"]);
}

#[test]
fn jpegs_of_every_kind_are_decoded() {
    let (width, height) = (200, 120);
    let rgb = rgb(width, height);
    let full_chroma = |compress: &mut mozjpeg::Compress| compress.set_chroma_sampling_pixel_sizes((1, 1), (1, 1));
    for file in [
        plain_jpeg(width, height),
        progressive_jpeg(width, height),
        jpeg((width, height), ColorSpace::JCS_RGB, &rgb, None, full_chroma),
        jpeg((width, height), ColorSpace::JCS_RGB, &rgb, None, |c| c.set_color_space(ColorSpace::JCS_RGB)),
    ] {
        assert_quarters(&run(&file).expect("accepted").1, QUARTERS);
    }
}

#[test]
fn a_grey_jpeg_stays_grey() {
    let grey: Vec<u8> = rgba(100, 80, [[10; 4], [90; 4], [170; 4], [250; 4]]).chunks_exact(4).map(|p| p[0]).collect();
    let file = jpeg((100, 80), ColorSpace::JCS_GRAYSCALE, &grey, None, |_| {});
    let quarters = [10, 90, 170, 250].map(|v| [v, v, v, 255]);
    assert_quarters(&run(&file).expect("accepted").1, quarters);
}

#[test]
fn cmyk_is_decoded_with_and_without_adobes_inversion() {
    let ink: Vec<u8> = rgb(100, 80).chunks_exact(3).flat_map(|p| [255 - p[0], 255 - p[1], 255 - p[2], 0]).collect();
    let light: Vec<u8> = ink.iter().map(|ink| 255 - ink).collect();
    let cmyk = |samples: &[u8], space| jpeg((100, 80), ColorSpace::JCS_CMYK, samples, None, |c| c.set_color_space(space));
    // libjpeg writes Adobe's marker in both.
    for file in [cmyk(&light, ColorSpace::JCS_CMYK), cmyk(&light, ColorSpace::JCS_YCCK)] {
        assert_quarters(&run(&file).expect("accepted").1, QUARTERS);
    }
    let plain = cmyk(&ink, ColorSpace::JCS_CMYK);
    let adobe = plain.windows(5).position(|window| window == b"Adobe").expect("an Adobe marker");
    let unmarked = [&plain[..adobe - 4], &plain[adobe + 12..]].concat();
    assert_quarters(&run(&unmarked).expect("accepted").1, QUARTERS);
}

#[test]
fn every_orientation_is_rotated_upright() {
    let [tl, tr, bl, br] = QUARTERS;
    let expected = [
        [tl, tr, bl, br],
        [tr, tl, br, bl],
        [br, bl, tr, tl],
        [bl, br, tl, tr],
        [tl, bl, tr, br],
        [bl, tl, br, tr],
        [br, tr, bl, tl],
        [tr, br, tl, bl],
    ];
    for (orientation, quarters) in (1..).zip(expected) {
        let exif = exif(orientation, &[], &[]);
        let jpeg = jpeg((640, 320), ColorSpace::JCS_RGB, &rgb(640, 320), Some(&exif), |_| {});
        let png = rgba_png(640, 320, QUARTERS);
        let png = [&png[..33], &png_chunk(b"eXIf", &exif), &png[33..]].concat();
        for file in [jpeg, png, webp_with_exif(640, 320, &exif)] {
            let (header, processed) = run(&file).expect("accepted");
            assert_eq!(header.orientation, orientation as u8);
            assert_eq!(processed.metadata.orientation, orientation as u8);
            let (width, height) = if orientation > 4 { (320, 640) } else { (640, 320) };
            assert_eq!((header.width, header.height), (width, height));
            let medium = &processed.thumbnails[1];
            assert_eq!((medium.info.width, medium.info.height), (width * 4 / 5, height * 4 / 5));
            assert_quarters(&processed, quarters);
        }
    }
}

#[test]
fn exif_provides_time_and_camera_and_broken_exif_is_no_error() {
    let with = |exif: &[u8]| {
        let file = jpeg((60, 60), ColorSpace::JCS_RGB, &rgb(60, 60), Some(exif), |_| {});
        run(&file).expect("accepted").1.metadata
    };
    let block = exif(
        6,
        &[(0x010f, "Canon"), (0x0110, "Canon EOS 5D\n"), (0x0132, "2020:01:02 03:04:05")],
        &[(0x9003, "2019:04:16 18:19:50"), (0x9011, "+02:00")],
    );
    let metadata = with(&block);
    assert_eq!(metadata.created_at.as_deref(), Some("2019-04-16T18:19:50+02:00"));
    assert_eq!(metadata.modified_at.as_deref(), Some("2020-01-02T03:04:05"));
    assert_eq!(metadata.camera.as_deref(), Some("Canon EOS 5D"));
    assert_eq!((metadata.orientation, metadata.frames, metadata.animated), (6, 1, false));

    let impossible = exif(9, &[(0x010f, "Leica")], &[(0x9003, "2019:13:45 18:19:50"), (0x9011, "nonsense")]);
    let metadata = with(&impossible);
    assert_eq!((metadata.created_at, metadata.orientation), (None, 1));
    assert_eq!(metadata.camera.as_deref(), Some("Leica"));
    for length in 0..block.len() {
        with(&block[..length]);
    }
}

#[test]
fn pngs_of_every_colour_type_are_decoded() {
    let (width, height) = (64u32, 50u32);
    let rgba = rgba(width, height, QUARTERS);
    let quarter = |i: usize| QUARTERS.iter().position(|color| rgba[i * 4..i * 4 + 4] == *color).expect("a quarter");
    let pixels = (width * height) as usize;
    let palette: Vec<u8> = QUARTERS.iter().flat_map(|c| [c[0], c[1], c[2]]).collect();
    let greys = [10u8, 90, 170, 250];
    let grey = greys.map(|v| [v, v, v, 255]);

    let eight: Vec<u8> = rgb(width, height);
    let sixteen: Vec<u8> = eight.iter().flat_map(|&v| [v, 77]).collect();
    let grey_eight: Vec<u8> = (0..pixels).map(|i| greys[quarter(i)]).collect();
    let grey_sixteen: Vec<u8> = grey_eight.iter().flat_map(|&v| [v, v]).collect();
    let indexed_eight: Vec<u8> = (0..pixels).map(|i| quarter(i) as u8).collect();
    let indexed_two: Vec<u8> = indexed_eight.chunks_exact(4).map(|i| i[0] << 6 | i[1] << 4 | i[2] << 2 | i[3]).collect();

    let make = |color, depth, data: &[u8]| {
        png((width, height), color, depth, data, |encoder| {
            if color == ColorType::Indexed {
                encoder.set_palette(palette.clone());
            }
        })
    };
    for (file, expected) in [
        (make(ColorType::Rgb, BitDepth::Eight, &eight), QUARTERS),
        (make(ColorType::Rgb, BitDepth::Sixteen, &sixteen), QUARTERS),
        (make(ColorType::Indexed, BitDepth::Eight, &indexed_eight), QUARTERS),
        (make(ColorType::Indexed, BitDepth::Two, &indexed_two), QUARTERS),
        (make(ColorType::Grayscale, BitDepth::Eight, &grey_eight), grey),
        (make(ColorType::Grayscale, BitDepth::Sixteen, &grey_sixteen), grey),
    ] {
        let (_, processed) = run(&file).expect("accepted");
        assert_quarters(&processed, expected);
        assert!(!processed.metadata.has_alpha);
    }
}

#[test]
fn an_interlaced_png_is_decoded() {
    let (_, processed) = run(&interlaced_png(64, 64)).expect("accepted");
    assert_quarters(&processed, [10, 90, 170, 250].map(|v| [v, v, v, 255]));
    let header = inspect(&interlaced_png(3000, 64), &Limits::default()).expect("a header");
    assert!(header.weight_bytes > 3000 * 64 * 4, "an interlaced image weighs all its pixels");
    let file = interlaced_png(64, 64);
    for length in (0..file.len()).step_by(101) {
        assert!(run(&file[..length]).is_err());
    }
}

#[test]
fn transparency_is_kept_and_never_turns_black() {
    let quarters = [RED, CLEAR, [0, 0, 255, 128], WHITE];
    let large = rgba_png(2400, 1600, quarters);
    let small = rgba_png(100, 60, quarters);
    for file in [large, small, webp(300, 200, quarters, true), webp(2100, 700, quarters, false)] {
        let (_, processed) = run(&file).expect("accepted");
        assert!(processed.metadata.has_alpha);
        for thumbnail in &processed.thumbnails {
            assert_eq!(thumbnail.info.format, Format::Webp);
            assert!(close(pixel_at(thumbnail, 0.25, 0.25), RED));
            assert_eq!(pixel_at(thumbnail, 0.75, 0.25)[3], 0);
            assert!(close(pixel_at(thumbnail, 0.25, 0.75), [0, 0, 255, 128]));
        }
        assert!(!processed.colors.contains(&Color([0, 0, 0])));
    }
}

#[test]
fn an_unused_alpha_channel_leads_to_a_jpeg_thumbnail() {
    let (_, processed) = run(&rgba_png(200, 100, QUARTERS)).expect("accepted");
    assert!(processed.metadata.has_alpha);
    assert!(processed.thumbnails.iter().all(|t| t.info.format == Format::Jpeg));
    assert_quarters(&processed, QUARTERS);
}

#[test]
fn a_transparent_palette_colour_is_detected() {
    let indexed: Vec<u8> = (0..6400).map(|i| u8::from(i % 80 >= 40)).collect();
    let file = png((80, 80), ColorType::Indexed, BitDepth::Eight, &indexed, |encoder| {
        encoder.set_palette(vec![255, 0, 0, 0, 0, 0]);
        encoder.set_trns(vec![255, 0]);
    });
    let (_, processed) = run(&file).expect("accepted");
    assert_eq!(processed.thumbnails[0].info.format, Format::Webp);
    assert_eq!(pixel_at(&processed.thumbnails[0], 0.75, 0.5)[3], 0);
    assert_eq!(processed.colors, [Color([255, 0, 0])]);
}

#[test]
fn gifs_show_their_first_frame() {
    let (header, processed) = run(&gif(120, 90, 5, [0, 1, 2, 3])).expect("accepted");
    assert_eq!((header.format, header.width, header.height), (Format::Gif, 120, 90));
    assert_eq!((processed.metadata.animated, processed.metadata.frames), (true, 5));
    assert!(!processed.metadata.has_alpha);
    assert_quarters(&processed, QUARTERS);

    let (_, processed) = run(&gif(120, 90, 1, [0, 4, 2, 3])).expect("accepted");
    assert!(processed.metadata.has_alpha && !processed.metadata.animated);
    assert_quarters(&processed, [RED, pixel_at(&processed.thumbnails[0], 0.75, 0.25), BLUE, WHITE]);
    assert_eq!(pixel_at(&processed.thumbnails[0], 0.75, 0.25)[3], 0);
}

#[test]
fn the_frames_of_an_animated_png_are_counted_and_not_trusted() {
    let announced = |frames: u32| png_chunk(b"acTL", &[frames.to_be_bytes(), [0; 4]].concat());
    let still = rgba_png(64, 64, QUARTERS);
    for frames in [0, 1, 3, 2_147_483_647] {
        let lying = [&still[..33], &announced(frames), &still[33..]].concat();
        let (_, processed) = run(&lying).expect("accepted");
        assert_eq!((processed.metadata.animated, processed.metadata.frames), (false, 1), "{frames} announced");
    }
    let pixels = rgba(64, 64, QUARTERS);
    let mut animated = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut animated, 64, 64);
    encoder.set_color(ColorType::Rgba);
    encoder.set_animated(3, 0).expect("an animation");
    let mut writer = encoder.write_header().expect("a header");
    for _ in 0..3 {
        writer.write_image_data(&pixels).expect("a frame");
    }
    writer.finish().expect("an end");
    let (_, processed) = run(&animated).expect("accepted");
    assert_eq!((processed.metadata.animated, processed.metadata.frames), (true, 3));
}

#[test]
fn webps_of_every_kind_are_decoded() {
    for file in [webp(200, 120, QUARTERS, false), webp(200, 120, QUARTERS, true), webp(2600, 400, QUARTERS, false)] {
        let (header, processed) = run(&file).expect("accepted");
        assert_eq!(header.format, Format::Webp);
        assert_quarters(&processed, QUARTERS);
    }
    let (_, processed) = run(&animated_webp(200, 120, 4)).expect("accepted");
    assert_eq!((processed.metadata.animated, processed.metadata.frames), (true, 4));
    assert_quarters(&processed, QUARTERS);
}

#[test]
fn bytes_after_the_end_are_accepted() {
    for file in small_files() {
        let longer = [&file[..], b"trailing bytes"].concat();
        assert!(run(&longer).is_ok());
    }
}

#[test]
fn thumbnails_carry_no_metadata() {
    let exif = exif(1, &[(0x010f, "SecretCam")], &[]);
    let file = jpeg((300, 200), ColorSpace::JCS_RGB, &rgb(300, 200), Some(&exif), |_| {});
    let (_, processed) = run(&file).expect("accepted");
    for thumbnail in processed.thumbnails {
        assert!(!thumbnail.bytes.windows(4).any(|window| window == b"Exif" || window == b"Secr"));
    }
}

/// Returns one file of each format and kind, about 2 KB each.
pub fn small_files() -> Vec<Vec<u8>> {
    let exif = exif(1, &[(0x010f, "Maker")], &[]);
    let noise = noise(60 * 60 * 4);
    let grey: Vec<u8> = noise[..50 * 50].iter().map(|v| v / 16).collect();
    vec![
        plain_jpeg(130, 100),
        progressive_jpeg(120, 90),
        jpeg((56, 56), ColorSpace::JCS_GRAYSCALE, &noise[..56 * 56], Some(&exif), |c| c.set_quality(40.0)),
        rgba_png(120, 90, [RED, CLEAR, BLUE, WHITE]),
        png((50, 50), ColorType::Grayscale, BitDepth::Eight, &grey, |_| {}),
        gif(100, 70, 3, [0, 1, 4, 3]),
        webp(100, 70, QUARTERS, false),
        webp(100, 70, [RED, CLEAR, BLUE, WHITE], false),
        webp(100, 70, QUARTERS, true),
        animated_webp(64, 64, 3),
        webp_with_exif(64, 64, &exif),
    ]
}

#[test]
fn a_drawing_at_its_own_size_keeps_its_colours() {
    // Red lines of one pixel, which share chroma samples with white ones in 4:2:0.
    let data: Vec<u8> = (0..200 * 100).flat_map(|at| if at % 200 % 5 == 2 { [230, 10, 10] } else { [255; 3] }).collect();
    let red = |thumbnail: &MadeThumbnail, x: usize| {
        let pixel = pixels(thumbnail)[50 * thumbnail.info.width as usize + x];
        pixel[0].abs_diff(230).max(pixel[1].abs_diff(10)).max(pixel[2].abs_diff(10))
    };
    let (_, drawing) = run(&png((200, 100), ColorType::Rgb, BitDepth::Eight, &data, |_| {})).expect("accepted");
    let medium = &drawing.thumbnails[1];
    assert_eq!((medium.info.width, medium.info.format), (200, Format::Jpeg));
    assert!((2..200).step_by(5).all(|x| red(medium, x) < 60), "the lines are red");
    // Scaled-down images are 4:2:0, and so are photos.
    let sampling = |file: &[u8]| file.windows(2).position(|window| window == [0xff, 0xc0]).map(|frame| file[frame + 11]);
    assert_eq!(sampling(&medium.bytes), Some(0x11));
    assert_eq!(sampling(&drawing.thumbnails[0].bytes), Some(0x22));
    let (_, photo) = run(&jpeg((200, 100), ColorSpace::JCS_RGB, &data, None, |_| {})).expect("accepted");
    assert_eq!(sampling(&photo.thumbnails[1].bytes), Some(0x22));
}
