//! Tests that the location is removed from everywhere it can be, and that everything else stays. [`build`] creates the blocks and
//! images.

mod build;
mod c2pa;
mod c2pa_build;
mod c2pa_hostile;
mod c2pa_kept;
mod exif;
mod gif;
mod hostile;
mod iptc;
mod jpeg;
mod makers;
mod png;
mod trailer;
mod unchanged;
mod webp;
mod xmp;

use super::remove;
use crate::model::image::Format;
use build::{COORDINATE, PLACE};

/// Returns the cleaned file, which must have had a location, and checks that cleaning is idempotent.
#[track_caller]
fn removed(file: &[u8], format: Format) -> Vec<u8> {
    let cleaned = remove(file, format).expect("a location was removed");
    assert_no_place(&cleaned);
    assert_eq!(remove(&cleaned, format), None, "cleaning the result again changes nothing");
    cleaned
}

#[track_caller]
fn assert_no_place(bytes: &[u8]) {
    assert!(!has(bytes, PLACE.as_bytes()), "the location name is still present");
    assert!(!has(bytes, &COORDINATE.to_be_bytes()), "the coordinate is still present, big-endian");
    assert!(!has(bytes, &COORDINATE.to_le_bytes()), "the coordinate is still present, little-endian");
    assert!(!has(bytes, COORDINATE.to_string().as_bytes()), "the coordinate is still present, as text");
}

fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    memchr::memmem::find(bytes, wanted).is_some()
}

/// Returns a field of an EXIF block as text.
fn exif_field(tiff: &[u8], tag: ::exif::Tag, ifd: ::exif::In) -> Option<String> {
    let exif = ::exif::Reader::new().read_raw(tiff.to_vec()).expect("the EXIF is readable");
    exif.get_field(tag, ifd).map(|field| field.display_value().to_string())
}

/// Checks that the camera's own data is kept and its position is not.
#[track_caller]
fn assert_exif_kept(tiff: &[u8]) {
    use ::exif::{In, Tag};
    assert_no_place(tiff);
    let field = |tag| exif_field(tiff, tag, In::PRIMARY);
    assert_eq!(field(Tag::Make).as_deref(), Some("\"Kamera\""));
    assert_eq!(field(Tag::Orientation).as_deref(), Some("row 0 at right and column 0 at top"));
    assert_eq!(field(Tag::Copyright).as_deref(), Some("\"Ann Example 2024\""));
    assert_eq!(field(Tag::DateTimeOriginal).as_deref(), Some("2024-05-06 07:08:09"));
    assert_eq!(field(Tag::MakerNote), exif_field(&build::tiff(build::Order::Big), Tag::MakerNote, In::PRIMARY));
    assert_eq!(field(Tag::GPSLatitude), None);
    let exif = ::exif::Reader::new().read_raw(tiff.to_vec()).expect("the EXIF is readable");
    assert!(exif.fields().all(|field| field.tag.context() != ::exif::Context::Gps && field.tag.number() != 0x8825));
    assert_eq!(exif_field(tiff, Tag::JPEGInterchangeFormatLength, In::THUMBNAIL).as_deref(), Some("23"));
}
