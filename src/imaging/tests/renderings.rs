//! Resized images of any size: the decoded size covers them, and the output is the right part of the image, upright.

use super::test_images::*;
use super::*;
use crate::model::rendering::Fit;
use mozjpeg::ColorSpace;

fn rendering(header: &Header, to: (Option<u32>, Option<u32>), fit: Fit, format: Format) -> Rendering {
    Rendering::new((header.width, header.height), to, fit, format, 80).expect("both sides, where both are needed")
}

/// Returns the rendered image as RGBA.
fn rendered(bytes: &[u8], to: (Option<u32>, Option<u32>), fit: Fit, format: Format) -> (u32, u32, Vec<[u8; 4]>) {
    let header = inspect(bytes, &tiny()).expect("accepted");
    let wanted = rendering(&header, to, fit, format);
    let header = inspect_stored(bytes, &Limits::default(), &wanted).expect("accepted");
    let file = render(bytes, &header, &Limits::default(), &wanted).expect("rendered");
    let pixels: Vec<[u8; 4]> = match format {
        Format::Jpeg => {
            let rgb = mozjpeg::Decompress::new_mem(&file).and_then(|decoder| decoder.rgb()?.read_scanlines::<[u8; 3]>());
            rgb.expect("a JPEG").into_iter().map(|[r, g, b]| [r, g, b, 255]).collect()
        }
        Format::Webp => {
            let image = webp_files::decode(&file).expect("a WebP");
            let channels = if image.has_alpha { 4 } else { 3 };
            image.pixels.chunks_exact(channels).map(|p| [p[0], p[1], p[2], p.get(3).copied().unwrap_or(255)]).collect()
        }
        _ => {
            let mut reader = ::png::Decoder::new(std::io::Cursor::new(&file)).read_info().expect("a PNG");
            let mut buffer = vec![0; reader.output_buffer_size().expect("a size")];
            let info = reader.next_frame(&mut buffer).expect("a PNG");
            let channels = info.color_type.samples();
            buffer.chunks_exact(channels).map(|p| [p[0], p[1], p[2], p.get(3).copied().unwrap_or(255)]).collect()
        }
    };
    assert_eq!(pixels.len(), (wanted.width * wanted.height) as usize);
    (wanted.width, wanted.height, pixels)
}

#[track_caller]
fn assert_pixel((width, height, pixels): &(u32, u32, Vec<[u8; 4]>), across: f64, down: f64, expected: [u8; 4]) {
    let (x, y) = ((f64::from(*width) * across) as usize, (f64::from(*height) * down) as usize);
    let pixel = pixels[y * *width as usize + x];
    assert!(close(pixel, expected), "{pixel:?} at {across},{down}, not {expected:?}");
}

#[test]
fn the_decoded_size_covers_the_largest_output() {
    let wide = jpeg((4000, 500), ColorSpace::JCS_RGB, &rgb(4000, 500), None, |_| {});
    let (header, processed) = run(&wide).expect("accepted");
    assert_eq!(header.target.min_longer_side, 3200);
    let sizes: Vec<_> = processed.thumbnails.iter().map(|made| (made.info.width, made.info.height)).collect();
    assert_eq!(sizes, [(128, 16), (512, 64), (1600, 200), (3200, 400)]);
    // The edge in the middle is as sharp as the size allows, not as in an enlarged smaller image.
    let large = &processed.thumbnails[3];
    for (across, color) in [(0.498, RED), (0.502, GREEN)] {
        assert!(close(pixel_at(large, across, 0.25), color));
    }
    let limits = Limits { thumbnail_heights: Vec::new(), ..Limits::default() };
    let header = inspect(&wide, &limits).expect("accepted");
    assert_eq!(header.target.min_longer_side, 512);
    let (width, height) = (1500, 3000);
    let tall = jpeg((width, height), ColorSpace::JCS_RGB, &rgb(width, height), Some(&exif(6, &[], &[])), |_| {});
    assert_eq!(inspect(&tall, &Limits::default()).expect("accepted").target.min_longer_side, 800, "the image is rotated");
}

#[test]
fn heights_with_the_same_pixels_produce_one_thumbnail() {
    for ((width, height), expected) in
        [((300, 300), vec![128, 300, 200]), ((60, 60), vec![60, 60]), ((2000, 200), vec![13, 51, 200])]
    {
        let (_, processed) = run(&plain_jpeg(width, height)).expect("accepted");
        let heights: Vec<_> = processed.thumbnails.iter().map(|made| made.info.height).collect();
        assert_eq!(heights, expected, "{width}x{height}");
    }
}

#[test]
fn cover_crops_the_centre_to_the_exact_size() {
    for file in [plain_jpeg(1200, 400), rgba_png(1200, 400, QUARTERS), webp(1200, 400, QUARTERS, false)] {
        let square = rendered(&file, (Some(100), Some(100)), Fit::Cover, Format::Png);
        for ((across, down), color) in [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)].into_iter().zip(QUARTERS) {
            assert_pixel(&square, across, down, color);
        }
        // The left and the right half meet in the middle, as in no other crop.
        assert_pixel(&square, 0.47, 0.25, RED);
        assert_pixel(&square, 0.52, 0.25, GREEN);
        assert_eq!(rendered(&file, (Some(16), Some(700)), Fit::Cover, Format::Jpeg).2.len(), 16 * 700);
    }
    let small = rendered(&plain_jpeg(60, 60), (Some(2000), Some(1000)), Fit::Cover, Format::Jpeg);
    assert_pixel(&small, 0.1, 0.1, RED);
    assert_pixel(&small, 0.9, 0.9, WHITE);
}

#[test]
fn every_orientation_is_cropped_upright() {
    let [tl, tr, bl, br] = QUARTERS;
    let turned = [[tl, tr, bl, br], [tr, tl, br, bl], [br, bl, tr, tl], [bl, br, tl, tr]];
    let turned = turned.into_iter().chain([[tl, bl, tr, br], [bl, tl, br, tr], [br, tr, bl, tl], [tr, br, tl, bl]]);
    for (orientation, quarters) in (1..).zip(turned) {
        let file = jpeg((640, 320), ColorSpace::JCS_RGB, &rgb(640, 320), Some(&exif(orientation, &[], &[])), |_| {});
        for (to, fit) in [((Some(90), Some(60)), Fit::Cover), ((Some(60), None), Fit::Contain)] {
            let bitmap = rendered(&file, to, fit, Format::Png);
            for ((across, down), color) in [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)].into_iter().zip(quarters) {
                assert_pixel(&bitmap, across, down, color);
            }
        }
    }
}

#[test]
fn transparency_is_kept_in_png_and_webp_and_white_in_jpeg() {
    let half = [220, 30, 30, 128];
    for file in [rgba_png(400, 400, [half, CLEAR, BLUE, WHITE]), webp(400, 400, [half, CLEAR, BLUE, WHITE], true)] {
        for format in [Format::Png, Format::Webp] {
            let bitmap = rendered(&file, (Some(80), None), Fit::Contain, format);
            assert_pixel(&bitmap, 0.25, 0.25, half);
            assert_pixel(&bitmap, 0.25, 0.75, BLUE);
            assert!(bitmap.2[20 * 80 + 60][3] < 8, "{format}");
        }
        let flat = rendered(&file, (Some(80), None), Fit::Contain, Format::Jpeg);
        assert_pixel(&flat, 0.25, 0.25, [237, 142, 142, 255]);
        assert_pixel(&flat, 0.75, 0.25, [255; 4]);
    }
}

#[test]
fn a_png_keeps_the_colours_of_single_pixels() {
    let stripes: Vec<u8> = (0..64 * 64).flat_map(|at| if at % 2 == 0 { [200, 40, 40] } else { [40, 40, 200] }).collect();
    let file = jpeg((64, 64), ColorSpace::JCS_RGB, &stripes, None, |c| {
        c.set_chroma_sampling_pixel_sizes((1, 1), (1, 1));
        c.set_quality(100.0);
    });
    let (_, _, pixels) = rendered(&file, (Some(64), None), Fit::Contain, Format::Png);
    for (at, pixel) in pixels.into_iter().enumerate() {
        assert!(close(pixel, if at % 2 == 0 { [200, 40, 40, 255] } else { [40, 40, 200, 255] }), "{pixel:?} at {at}");
    }
}

#[test]
fn renderings_decode_only_the_first_frame_of_an_animation() {
    let mut file = gif(100, 80, 3, [0, 1, 2, 3]);
    let whole = file.len();
    file.truncate(whole - 40);
    assert!(run(&file).is_err(), "an upload verifies all frames");
    let bitmap = rendered(&file, (Some(50), None), Fit::Contain, Format::Png);
    assert_eq!((bitmap.0, bitmap.1), (50, 40));
    assert_eq!(rendered(&animated_webp(64, 64, 3), (Some(32), None), Fit::Contain, Format::Png).0, 32);
}

#[test]
fn a_thumbnail_smaller_than_the_upload_limit_can_be_a_source() {
    let (_, processed) = run(&plain_jpeg(3000, 60)).expect("accepted");
    let small = &processed.thumbnails[0];
    assert_eq!((small.info.width, small.info.height), (128, 3));
    let bitmap = rendered(&small.bytes, (Some(32), None), Fit::Contain, Format::Png);
    assert_eq!((bitmap.0, bitmap.1), (32, 1));
}

#[test]
fn no_file_causes_more_than_an_error() {
    let wanted = Rendering { width: 100, height: 50, crop: true, format: Format::Webp, quality: 1 };
    for file in super::formats::small_files() {
        for length in (0..file.len()).step_by(97) {
            // Simulates stored bytes that differ from what the database describes.
            if let Ok(header) = inspect_stored(&file[..length], &Limits::default(), &wanted) {
                let _refused_or_not = render(&file[..length], &header, &Limits::default(), &wanted);
            }
        }
    }
}
