//! Real-world GIFs are displayed as in Chromium, Pillow and libvips.

use super::test_images::*;
use super::*;

/// Builds a frame at a position on the canvas, in one colour or with four quarters.
fn frame_at(canvas: (u16, u16), at: (u16, u16), size: (u16, u16)) -> Vec<u8> {
    let palette = QUARTERS.map(|color| [color[0], color[1], color[2]]).concat();
    let mut file = Vec::new();
    let mut encoder = ::gif::Encoder::new(&mut file, canvas.0, canvas.1, &palette).expect("a GIF starts");
    let quarter = |x: u16, y: u16| u8::from(x >= size.0 / 2) + 2 * u8::from(y >= size.1 / 2);
    let frame = ::gif::Frame {
        left: at.0,
        top: at.1,
        width: size.0,
        height: size.1,
        buffer: (0..size.1).flat_map(|y| (0..size.0).map(move |x| quarter(x, y))).collect::<Vec<_>>().into(),
        ..::gif::Frame::default()
    };
    encoder.write_frame(&frame).expect("a GIF frame");
    drop(encoder);
    file
}

/// Removes the colours from the fifth or from the first on.
fn with_palette_of(file: &[u8], colors: usize) -> Vec<u8> {
    let bytes = 3 << ((file[10] & 7) + 1);
    let mut cut = file[..13].to_vec();
    cut[10] = match colors {
        0 => 0,
        _ => 0x80 | (colors.ilog2() as u8 - 1),
    };
    cut.extend(&file[13..13 + colors * 3]);
    cut.extend(&file[13 + bytes..]);
    cut
}

fn shown(file: &[u8]) -> (u32, u32, Vec<[u8; 4]>) {
    let (header, processed) = run(file).expect("accepted");
    let corners = formats::CORNERS.map(|(across, down)| pixel_at(&processed.thumbnails[0], across, down));
    (header.width, header.height, corners.to_vec())
}

#[test]
fn a_gif_may_end_at_any_block_boundary() {
    let file = gif(100, 70, 3, [0, 1, 4, 3]);
    let expected = run(&file).expect("accepted").1;
    let body = &file[..file.len() - 1];
    for tail in [&b""[..], &[0; 1], &[0; 20], b"\0\0\0;", b"\0;trailing bytes"] {
        let (_, processed) = run(&[body, tail].concat()).expect("accepted");
        assert_eq!(processed.metadata, expected.metadata, "{tail:?}");
        assert!(processed.thumbnails.iter().zip(&expected.thumbnails).all(|(a, b)| a.bytes == b.bytes));
    }
    for tail in [&b"x"[..], b"\0\0x", b"!", b"!\xfe", b"!\xfe\x05abc", b",\0\0"] {
        assert!(matches!(run(&[body, tail].concat()), Err(Error::Corrupt { .. })), "{tail:?}");
    }
}

#[test]
fn a_gif_that_breaks_off_within_a_block_is_rejected() {
    let file = gif(100, 70, 3, [0, 1, 4, 3]);
    let mut accepted = Vec::new();
    for length in 0..file.len() {
        match run(&file[..length]) {
            Ok((_, processed)) => accepted.push(processed.metadata.frames),
            Err(error) => assert!(!matches!(error, Error::Internal { .. }), "{length}"),
        }
    }
    // A file may end after each frame, but not after the control block that announces the next one.
    assert_eq!(accepted, [1, 2, 3]);
}

#[test]
fn a_gif_that_lacks_an_announced_frame_is_rejected() {
    let file = gif(100, 70, 1, [0, 1, 4, 3]);
    let body = &file[..file.len() - 1];
    let control = b"!\xf9\x04\0\0\0\0\0";
    let comment = b"!\xfe\x05hello\0";
    for tail in [&b""[..], &[0; 9]] {
        for announced in [control.to_vec(), [&control[..], comment].concat()] {
            let refused = run(&[body, &announced, tail].concat());
            assert!(matches!(refused, Err(Error::Corrupt { .. })), "{announced:?} {tail:?}");
        }
        assert!(run(&[body, comment, tail].concat()).is_ok());
        assert!(run(&[body, control, b";", tail].concat()).is_ok(), "the trailer ends it");
    }
}

#[test]
fn the_first_frame_enlarges_its_canvas() {
    for (canvas, at, size, expected) in [
        ((60, 60), (0, 0), (90, 80), (90, 80)),
        ((60, 60), (40, 60), (60, 60), (100, 120)),
        ((0, 0), (0, 0), (90, 80), (90, 80)),
        ((0, 60), (0, 0), (90, 50), (90, 60)),
        ((120, 100), (10, 10), (60, 60), (120, 100)),
    ] {
        let file = frame_at(canvas, at, size);
        let (header, processed) = run(&file).expect("accepted");
        assert_eq!((header.width, header.height), expected);
        let medium = &processed.thumbnails[1];
        assert_eq!((medium.info.width, medium.info.height), expected);
        // The whole frame is shown: its last quarter is white.
        let inside = (f64::from(at.0 + size.0) - 9.0, f64::from(at.1 + size.1) - 9.0);
        let last = pixel_at(medium, inside.0 / f64::from(expected.0), inside.1 / f64::from(expected.1));
        assert!(close(last, WHITE), "{canvas:?} {at:?}: {last:?}");
        assert_eq!(processed.metadata.has_alpha, size != (expected.0 as u16, expected.1 as u16));
    }
}

#[test]
fn the_limits_apply_to_the_enlarged_canvas() {
    let limits = Limits { max_side: 200, ..Limits::default() };
    let error = inspect(&frame_at((60, 60), (150, 0), (60, 60)), &limits).unwrap_err();
    assert_eq!(error, Error::TooLarge { width: 210, height: 60, limit: 200 });
    let mut far = frame_at((60, 60), (0, 0), (60, 60));
    let frame = far.iter().position(|&byte| byte == 0x2c).expect("a frame");
    far[frame + 1..frame + 9].fill(0xff);
    let error = run(&far).unwrap_err();
    assert_eq!(error, Error::TooLarge { width: 131_070, height: 131_070, limit: 4000 });
    let mut animated = gif(64, 64, 3, [0, 1, 2, 3]);
    animated[6..10].copy_from_slice(&[1, 0, 1, 0]);
    let limits = Limits { max_frame_pixels: 2 * 64 * 64, ..Limits::default() };
    let error = run_within(&animated, &limits).unwrap_err();
    assert_eq!(error, Error::TooManyPixels { frames: 3, width: 64, height: 64, limit: limits.max_frame_pixels });
    assert!(matches!(inspect(&frame_at((0, 0), (0, 0), (40, 40)), &Limits::default()), Err(Error::TooSmall { .. })));
}

#[test]
fn a_later_frame_does_not_enlarge_the_canvas() {
    let mut file = gif(60, 60, 2, [0, 1, 2, 3]);
    let frame = file.windows(5).rposition(|window| window == [0x2c, 3, 0, 0, 0]).expect("the second frame");
    file[frame + 1] = 50;
    let (header, processed) = run(&file).expect("accepted");
    assert_eq!((header.width, header.height, processed.metadata.frames), (60, 60, 2));
}

#[test]
fn indices_beyond_the_palette_are_black_and_opaque() {
    const BLACK: [u8; 4] = [0, 0, 0, 255];
    let file = frame_at((80, 60), (0, 0), (80, 60));
    let (.., corners) = shown(&with_palette_of(&file, 2));
    for (pixel, expected) in corners.iter().zip([RED, GREEN, BLACK, BLACK]) {
        assert!(close(*pixel, expected), "{pixel:?}, not {expected:?}");
    }
    for file in [with_palette_of(&file, 0), with_palette_of(&gif(80, 60, 3, [0, 1, 2, 3]), 0)] {
        let (.., corners) = shown(&file);
        assert!(corners.iter().all(|pixel| close(*pixel, BLACK)), "{corners:?}");
        assert!(!run(&file).expect("accepted").1.metadata.has_alpha);
    }
    // The transparent index stays transparent, whatever the palette.
    let clear = gif(80, 60, 1, [0, 4, 2, 3]);
    for colors in [0, 2] {
        let (.., corners) = shown(&with_palette_of(&clear, colors));
        assert_eq!(corners.iter().map(|pixel| pixel[3] / 128).collect::<Vec<_>>(), [1, 0, 1, 1]);
    }
}

/// Inserts bytes after the given frame of [`gif`]. Each frame has a control block before it.
fn after_frame(file: &[u8], frame: usize, bytes: &[u8]) -> Vec<u8> {
    let starts: Vec<usize> = memchr::memmem::find_iter(file, b"!\xf9\x04").collect();
    let at = starts.get(frame).copied().unwrap_or(file.len() - 1);
    [&file[..at], bytes, &file[at..]].concat()
}

#[test]
fn blocks_that_viewers_skip_are_skipped() {
    let file = gif(100, 70, 3, [0, 1, 4, 3]);
    let expected = run(&file).expect("accepted").1;
    let unknown = |label: u8| [&[b'!', label, 3][..], b"abc\x02de\0"].concat();
    for frame in 0..=3 {
        for bytes in [unknown(0x99), unknown(0), vec![0], vec![0; 9], [&[0][..], &unknown(0x2c), &[0, 0]].concat()] {
            let (_, processed) = run(&after_frame(&file, frame, &bytes)).expect("accepted");
            assert_eq!(processed.metadata, expected.metadata, "{bytes:?} behind {frame}");
            assert!(processed.thumbnails.iter().zip(&expected.thumbnails).all(|(a, b)| a.bytes == b.bytes));
        }
        for broken in [&b"x"[..], b"\0x", b"!\x99\xff"] {
            let refused = run(&after_frame(&file, frame, broken));
            assert!(matches!(refused, Err(Error::Corrupt { .. })), "{broken:?} behind {frame}");
        }
    }
}

/// Returns the only frame of a file, without header and trailer.
fn frame_of(file: &[u8]) -> &[u8] {
    &file[13 + (3 << ((file[10] & 7) + 1))..file.len() - 1]
}

#[test]
fn a_later_frame_may_be_larger_than_the_canvas_or_empty() {
    let file = frame_at((80, 60), (0, 0), (80, 60));
    let expected = run(&file).expect("accepted").1;
    let empty = b"!\xf9\x04\0\0\0\0\0,\0\0\0\0\0\0\0\0\0\x02\x02\x4c\x01\0";
    let larger = frame_at((80, 60), (0, 0), (200, 170));
    let larger = frame_of(&larger);
    for (later, frames) in [(larger.to_vec(), 2), (empty.to_vec(), 2), ([empty, larger, empty, frame_of(&file)].concat(), 5)] {
        let (header, processed) = run(&[&file[..file.len() - 1], &later, b";"].concat()).expect("accepted");
        assert_eq!((header.width, header.height, processed.metadata.frames), (80, 60, frames));
        assert!(processed.thumbnails.iter().zip(&expected.thumbnails).all(|(a, b)| a.bytes == b.bytes));
    }
    let head = &file[..file.len() - frame_of(&file).len() - 1];
    assert!(matches!(run(&[head, empty, frame_of(&file), b";"].concat()), Err(Error::Corrupt { .. })), "the first is the image");
    // A larger frame that is truncated is damaged, and all pixels of one that is too large count.
    let mut short = larger.to_vec();
    let at = short.iter().position(|&byte| byte == 0x2c).expect("a frame");
    short[at + 5..at + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let short = [&file[..file.len() - 1], &short, b";"].concat();
    let error = run(&short).unwrap_err();
    let limit = Limits::default().max_frame_pixels;
    assert_eq!(error, Error::TooManyPixels { frames: 2, width: 65_535, height: 65_535, limit });
    let error = run_within(&short, &Limits { max_frame_pixels: u64::MAX, ..Limits::default() }).unwrap_err();
    assert_eq!(error, Error::corrupt("a frame of the GIF has fewer pixels than its size requires"));
}
