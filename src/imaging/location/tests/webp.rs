//! Chunks of WebP, and the flags of its header.

use super::build::{Order, place_xmp, riff, riff_chunk, tiff, xmp};
use super::{assert_exif_kept, has, remove, removed};
use crate::model::image::Format;

const EXIF: u8 = 0x08;
const XMP: u8 = 0x04;

fn header(flags: u8) -> Vec<u8> {
    riff_chunk(b"VP8X", &[flags, 0, 0, 0, 2, 0, 0, 1, 0, 0])
}

fn image_data() -> Vec<u8> {
    riff_chunk(b"VP8L", b"picture data, odd")
}

#[track_caller]
fn assert_whole(file: &[u8]) {
    assert_eq!(u32::from_le_bytes(file[4..8].try_into().expect("four bytes")) as usize + 8, file.len());
    assert!(has(file, &image_data()));
}

#[test]
fn metadata_chunks_are_cleaned_in_place() {
    let chunks = [header(EXIF | XMP), image_data(), riff_chunk(b"EXIF", &tiff(Order::Little)), riff_chunk(b"XMP ", &place_xmp())];
    let file = riff(&chunks);
    let cleaned = removed(&file, Format::Webp);
    assert_eq!(cleaned.len(), file.len());
    assert_whole(&cleaned);
    assert_eq!(cleaned[20], EXIF | XMP);
    let exif = memchr::memmem::find(&cleaned, b"EXIF").expect("the chunk") + 8;
    assert_exif_kept(&cleaned[exif..exif + tiff(Order::Little).len()]);
    assert!(has(&cleaned, b"A title"));
}

#[test]
fn an_empty_chunk_is_dropped_with_its_flag() {
    let file = riff(&[header(EXIF | XMP | 0x20), image_data(), riff_chunk(b"EXIF", b"GPSLatitude"), riff_chunk(b"XMP ", b"<x>")]);
    let cleaned = removed(&file, Format::Webp);
    assert_eq!(cleaned, riff(&[header(0x20), image_data()]));
}

#[test]
fn a_flag_stays_while_another_chunk_needs_it() {
    let good = riff_chunk(b"XMP ", xmp("", "").as_bytes());
    let file = riff(&[header(XMP), image_data(), riff_chunk(b"XMP ", b"<x>"), good.clone()]);
    assert_eq!(removed(&file, Format::Webp), riff(&[header(XMP), image_data(), good]));
}

#[test]
fn a_webp_without_a_location_is_unchanged() {
    let file = riff(&[header(XMP), riff_chunk(b"ICCP", b"GPS"), image_data(), riff_chunk(b"XMP ", xmp("", "").as_bytes())]);
    assert_eq!(remove(&file, Format::Webp), None);
    assert_eq!(remove(&riff(&[image_data()]), Format::Webp), None);
}

#[test]
fn missing_padding_at_the_end_is_accepted() {
    let mut file = riff(&[header(EXIF), image_data(), riff_chunk(b"EXIF", &[&tiff(Order::Big)[..], &[0]].concat())]);
    if tiff(Order::Big).len().is_multiple_of(2) {
        file.pop();
    }
    removed(&file, Format::Webp);
}

#[test]
fn chunks_after_the_stated_end_are_cleaned_in_place() {
    let inside = riff(&[header(0), image_data()]);
    let exif = riff_chunk(b"EXIF", &tiff(Order::Little));
    let packet = riff_chunk(b"XMP ", &place_xmp());
    for padding in [&b""[..], &riff_chunk(b"junk", b"123")] {
        let file = [&inside, padding, &exif, &packet, b"and more"].concat();
        let cleaned = removed(&file, Format::Webp);
        assert_eq!(cleaned.len(), file.len());
        assert_eq!(cleaned[..inside.len() + padding.len()], file[..inside.len() + padding.len()]);
        assert_exif_kept(&cleaned[inside.len() + padding.len() + 8..][..tiff(Order::Little).len()]);
        assert!(has(&cleaned, b"A title") && cleaned.ends_with(b"and more"));
    }
    // A truncated chunk, and a chunk after padding that is not counted either.
    removed(&[&inside[..], &exif[..exif.len() - 4]].concat(), Format::Webp);
    let mut odd = riff(&[image_data(), riff_chunk(b"junk", b"odd")]);
    let size = odd.len() as u32 - 9;
    odd[4..8].copy_from_slice(&size.to_le_bytes());
    removed(&[odd, exif].concat(), Format::Webp);
    let innocent = [&inside[..], &riff_chunk(b"XMP ", xmp("", "").as_bytes()), &riff_chunk(b"EXIF", b"II*\0")].concat();
    assert_eq!(remove(&innocent, Format::Webp), None);
}
