//! EXIF: orientation, when and with what an image was taken. Never where. A block that cannot be read counts as absent:
//! cameras write many broken ones, and an image is not worse for it.

use chrono::{FixedOffset, NaiveDate, SecondsFormat};
use exif::{Exif, In, Reader, Tag, Value};
use std::ops::Range;

/// A JPEG segment holds no more; in PNG and WebP a larger block is ignored rather than copied.
const MAX_EXIF_BYTES: usize = 1 << 17;

/// Characters of a camera's name that are kept.
const MAX_CAMERA_CHARS: usize = 100;

/// What the file says of its making.
#[derive(Default)]
pub(super) struct ExifFields {
    pub created_at: Option<String>,
    pub modified_at: Option<String>,
    pub camera: Option<String>,
}

pub(super) fn read(bytes: &[u8], block: Option<Range<usize>>) -> ExifFields {
    let Some(exif) = parse(bytes, block) else {
        return ExifFields::default();
    };
    ExifFields {
        created_at: time(&exif, Tag::DateTimeOriginal, Tag::OffsetTimeOriginal)
            .or_else(|| time(&exif, Tag::DateTimeDigitized, Tag::OffsetTimeDigitized)),
        modified_at: time(&exif, Tag::DateTime, Tag::OffsetTime),
        camera: camera(&exif),
    }
}

/// 1 to 8; 1 when nothing valid is said.
pub(super) fn orientation(bytes: &[u8], block: Option<Range<usize>>) -> u8 {
    parse(bytes, block)
        .and_then(|exif| exif.get_field(Tag::Orientation, In::PRIMARY)?.value.get_uint(0))
        .and_then(|value| u8::try_from(value).ok())
        .filter(|value| (1..=8).contains(value))
        .unwrap_or(1)
}

fn parse(bytes: &[u8], block: Option<Range<usize>>) -> Option<Exif> {
    let tiff = bytes.get(block?)?;
    if tiff.len() > MAX_EXIF_BYTES {
        return None;
    }
    // Orientation often stands before the part that is broken.
    match Reader::new().continue_on_error(true).read_raw(tiff.to_vec()) {
        Ok(exif) => Some(exif),
        Err(exif::Error::PartialResult(partial)) => Some(partial.into_inner().0),
        Err(_) => None,
    }
}

/// As RFC 3339, without an offset when none is noted: a camera's clock is where the camera is.
fn time(exif: &Exif, tag: Tag, offset_tag: Tag) -> Option<String> {
    let mut noted = exif::DateTime::from_ascii(ascii(exif, tag)?).ok()?;
    if let Some(offset) = ascii(exif, offset_tag) {
        // Invalid offsets are cameras' way of saying nothing.
        noted.parse_offset(offset).ok();
    }
    let date = NaiveDate::from_ymd_opt(i32::from(noted.year), noted.month.into(), noted.day.into())?;
    let local = date.and_hms_opt(noted.hour.into(), noted.minute.into(), noted.second.into())?;
    if noted.year == 0 {
        return None;
    }
    let offset = noted.offset.and_then(|minutes| FixedOffset::east_opt(i32::from(minutes) * 60));
    match offset.and_then(|offset| local.and_local_timezone(offset).single()) {
        Some(moment) => Some(moment.to_rfc3339_opts(SecondsFormat::Secs, false)),
        None => Some(local.format("%Y-%m-%dT%H:%M:%S").to_string()),
    }
}

/// Maker and model, without the maker twice: Canon's models start with "Canon".
fn camera(exif: &Exif) -> Option<String> {
    let make = text(exif, Tag::Make);
    let model = text(exif, Tag::Model);
    match (make, model) {
        (Some(make), Some(model)) => {
            let brand = make.split(' ').next().unwrap_or_default().to_lowercase();
            if model.to_lowercase().starts_with(&brand) { Some(model) } else { Some(format!("{make} {model}")) }
        }
        (make, model) => make.or(model),
    }
}

fn text(exif: &Exif, tag: Tag) -> Option<String> {
    let raw = String::from_utf8_lossy(ascii(exif, tag)?);
    let clean: String = raw
        .chars()
        .filter(|character| !character.is_control() && *character != char::REPLACEMENT_CHARACTER)
        .take(MAX_CAMERA_CHARS)
        .collect();
    let clean = clean.trim();
    (!clean.is_empty()).then(|| clean.to_owned())
}

fn ascii(exif: &Exif, tag: Tag) -> Option<&[u8]> {
    match &exif.get_field(tag, In::PRIMARY)?.value {
        Value::Ascii(parts) => parts.first().map(Vec::as_slice),
        _ => None,
    }
}
