//! The message for a damaged file is a readable sentence, without debug output or codes of a library.

use super::test_images::*;
use super::*;

/// Parts of library output that no user understands.
const FOREIGN: [&str; 14] =
    ["{", "}", "ChunkType", "0x", "::", "Err", "Error", "IDAT", "fcTL", "Some(", "None", "code ", "DistanceTooFar", "invalid_"];

#[track_caller]
fn assert_is_a_sentence(text: &str) {
    let foreign = FOREIGN.iter().find(|foreign| text.contains(**foreign));
    assert!(foreign.is_none(), "{foreign:?} in {text:?}");
    assert!(!text.contains('(') && !text.contains('"') && !text.contains("  "), "{text:?}");
    assert!(!text.ends_with('.') && !text.ends_with(' '), "the service adds the full stop: {text:?}");
    assert!(text.split(' ').count() > 4, "{text:?}");
    let numbers = text.split(|character: char| !character.is_ascii_digit()).filter(|digits| !digits.is_empty()).count();
    assert!(numbers == 0 || text.contains("pixels") || text.contains("scans"), "{text:?}");
}

#[test]
fn the_message_for_damage_is_a_sentence() {
    let mut random = XorShift(0xdead_beef);
    let mut said = std::collections::BTreeSet::new();
    let limits = Limits { max_side: 1000, ..tiny() };
    let files = formats::small_files().into_iter().chain([interlaced_png(64, 64), webp_with_exif(64, 64, &[1; 7])]);
    for file in files.filter(|file| !file.starts_with(&[0xff])) {
        for round in 0..600 {
            let mut damaged = file.clone();
            // Header bytes lead to more kinds of errors.
            let at = if round % 2 == 0 { random.below(70.min(file.len())) } else { random.below(file.len()) };
            match random.below(4) {
                0 => damaged.truncate(at),
                1 => drop(damaged.drain(at..(at + 30).min(file.len()))),
                _ => damaged[at] = random.next() as u8,
            }
            if file.starts_with(b"\x89PNG") && round % 3 == 0 {
                fix_crcs(&mut damaged);
            }
            if let Err(error) = run_within(&damaged, &limits) {
                said.insert(error.to_string());
            }
        }
    }
    for text in &said {
        println!("{text}");
        assert_is_a_sentence(text);
    }
    assert!(said.len() > 25, "only {}", said.len());
}

/// Corrects the CRC of each chunk, so that its content is read.
fn fix_crcs(file: &mut [u8]) {
    let mut at = 8;
    while let Some(head) = file.get(at..at + 8) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let name = [head[4], head[5], head[6], head[7]];
        let Some(body) = file.get(at + 8..(at + 8).saturating_add(length)) else { return };
        let chunk = png_chunk(&name, body);
        let Some(whole) = file.get_mut(at..at + chunk.len()) else { return };
        whole.copy_from_slice(&chunk);
        at += chunk.len();
    }
}

#[test]
fn every_usual_kind_of_damage_has_its_own_message() {
    let reason = |file: &[u8]| match run_within(file, &tiny()) {
        Err(Error::Corrupt { reason }) => reason,
        other => panic!("{other:?}"),
    };
    let png = rgba_png(64, 50, QUARTERS);
    let header = |at: usize, value: u8| {
        let mut file = png.clone();
        file[at] = value;
        fix_crcs(&mut file);
        file
    };
    let data = png.windows(4).position(|window| window == b"IDAT").expect("data");
    let mut unchecked = png.clone();
    unchecked[png.len() - 13] ^= 1;
    let mut invalid = png.clone();
    invalid[data + 12] ^= 0x55;
    fix_crcs(&mut invalid);
    let unknown = [&png[..33], &png_chunk(b"ABCD", b""), &png[33..]].concat();
    let without_data = [&png[..data - 4], &png[png.len() - 12..]].concat();
    for (file, expected) in [
        (&unchecked, "a checksum of the PNG does not match its data"),
        (&invalid, "the compressed image data of the PNG is invalid"),
        (&header(24, 3), "the PNG header has an invalid bit depth"),
        (&header(25, 5), "the PNG header has an invalid colour type"),
        (&header(25, 3), "the PNG has no palette although its pixels need one"),
        (&header(24, 4), "the PNG header has a bit depth that its colour type does not allow"),
        (&header(26, 1), "the PNG header has an unknown compression method"),
        (&header(27, 1), "the PNG uses an unknown filter method"),
        (&header(28, 2), "the PNG header has an unknown interlace method"),
        (&header(23, 99), "the PNG has fewer rows than its header states"),
        (&unknown, "the PNG needs a chunk of an unknown type"),
        (&without_data, "the PNG has no image data"),
        (&png[..data + 30].to_vec(), "the PNG data ends too early"),
    ] {
        assert_eq!(reason(file), expected);
    }
    let gif = gif(64, 50, 1, [0, 1, 2, 3]);
    let frame = gif.windows(5).position(|window| window == [0x2c, 0, 0, 0, 0]).expect("a frame");
    let with = |at: usize, value: u8| {
        let mut file = gif.clone();
        file[at] = value;
        file
    };
    for (file, expected) in [
        (with(frame + 7, 90), "a frame of the GIF has fewer pixels than its size requires"),
        (with(frame + 10, 0), "the compressed image data of the GIF is invalid"),
        ([&gif[..gif.len() - 1], b"www"].concat(), "the GIF has a block of an unknown type"),
        ([&gif[..frame], b";"].concat(), "the GIF has no image"),
        (gif[..gif.len() - 3].to_vec(), "the GIF data ends too early"),
    ] {
        assert_eq!(reason(&file), expected);
    }
    let webp = webp_with_exif(64, 50, &[1; 7]);
    let without_padding = [&webp[..4], &(webp.len() as u32 - 9).to_le_bytes(), &webp[8..webp.len() - 1]].concat();
    for file in [&webp[..webp.len() - 1], &without_padding, &[&without_padding[..], b"\0"].concat()] {
        assert_eq!(reason(file), "the WebP data ends too early");
    }
}
