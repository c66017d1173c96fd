//! Extensions of GIF.

use super::build::{PLACE, gif, place_xmp, resources, xmp};
use super::{has, remove, removed};
use crate::model::image::Format;

fn magic() -> Vec<u8> {
    std::iter::once(1).chain((0..=255).rev()).chain([0]).collect()
}

fn packet(packet: &[u8]) -> Vec<u8> {
    [b"\x21\xff\x0bXMP DataXMP", packet, &magic()].concat()
}

fn sub_blocks(head: &[u8], data: &[u8]) -> Vec<u8> {
    let blocks = data.chunks(255).flat_map(|block| [&[block.len() as u8], block].concat());
    [head.to_vec(), blocks.collect(), vec![0]].concat()
}

fn pixels(file: &[u8]) -> Vec<Vec<u8>> {
    let mut decoder = ::gif::DecodeOptions::new().read_info(file).expect("a GIF");
    let mut frames = Vec::new();
    while let Some(frame) = decoder.read_next_frame().expect("a frame") {
        frames.push(frame.buffer.to_vec());
    }
    assert_eq!(frames, [[0, 1, 1, 0], [1, 0, 0, 1]]);
    frames
}

#[test]
fn a_packet_is_cleaned_in_place() {
    let file = gif(&[packet(&place_xmp())]);
    let cleaned = removed(&file, Format::Gif);
    assert_eq!(cleaned.len(), file.len());
    assert_eq!(pixels(&cleaned), pixels(&file));
    assert!(has(&cleaned, b"A title") && has(&cleaned, &magic()));
}

#[test]
fn a_changed_packet_has_no_zero_that_ends_its_sub_blocks() {
    let decodes = |file: &[u8]| {
        let mut decoder = ::gif::DecodeOptions::new().read_info(file).expect("a GIF");
        (0..2).all(|_| matches!(decoder.read_next_frame(), Ok(Some(_))))
    };
    // Each padding changes which bytes of the packet are read as lengths.
    let mut whole = 0;
    for padding in 0..64 {
        for text in [place_xmp(), format!("<x><y>{PLACE}</x>").into_bytes()] {
            let file = gif(&[packet(&[vec![b' '; padding], text, vec![0; 20]].concat())]);
            if decodes(&file) {
                whole += 1;
                pixels(&removed(&file, Format::Gif));
            }
        }
    }
    assert!(whole > 50, "{whole}");
}

#[test]
fn metadata_in_sub_blocks_is_cleaned() {
    let extensions = [
        sub_blocks(b"\x21\xff\x0bXMP DataXMP", &place_xmp()),
        sub_blocks(b"\x21\xff\x0bMGK8BIM0000", &resources()),
        sub_blocks(b"\x21\xff\x0bMGKIPTC0000", &resources()),
    ];
    for extension in extensions {
        let file = gif(&[extension]);
        let cleaned = removed(&file, Format::Gif);
        pixels(&cleaned);
        assert!(has(&cleaned, b"A title"));
    }
}

#[test]
fn stray_bytes_hide_no_packet() {
    removed(&gif(&[vec![0, 0, 7], packet(&place_xmp())]), Format::Gif);
}

#[test]
fn comments_and_other_extensions_stay() {
    let extensions = [
        sub_blocks(b"\x21\xfe", b"A comment about a city"),
        sub_blocks(b"\x21\xff\x0bNETSCAPE2.0", &[1, 0, 0]),
        sub_blocks(b"\x21\xff\x0bICCRGBG1012", b"GPS Location"),
        packet(xmp("", "").as_bytes()),
    ];
    assert_eq!(remove(&gif(&extensions), Format::Gif), None);
    let named = sub_blocks(b"\x21\xfe", format!("{} GPSLatitude: {PLACE}; lovely", "Road 5, ".repeat(40)).as_bytes());
    let cleaned = removed(&gif(&[named]), Format::Gif);
    pixels(&cleaned);
    assert!(has(&cleaned, b"Road 5, ") && has(&cleaned, b"; lovely"));
}

#[test]
fn a_plain_text_extension_loses_only_its_coordinates() {
    let words = format!("Road 5, Latitude: 41.{}, lovely", super::COORDINATE);
    let head = [b"\x21\x01\x0c", &[1; 12][..]].concat();
    let cleaned = removed(&gif(&[sub_blocks(&head, words.as_bytes())]), Format::Gif);
    assert!(has(&cleaned, b"Road 5, ") && has(&cleaned, b", lovely"));
    assert_eq!(remove(&gif(&[sub_blocks(&head, b"A title")]), Format::Gif), None);
}
