//! Reads EXIF: the orientation, when the image was taken, and with which camera, but never the location. An unreadable block
//! counts as absent: cameras write many broken ones, and the image itself is still usable.

use chrono::{FixedOffset, NaiveDate, SecondsFormat};
use exif::{Exif, In, Reader, Tag, Value};
use std::ops::Range;

/// The maximum size of a JPEG segment. In PNG and WebP, a larger block is ignored rather than copied.
const MAX_EXIF_BYTES: usize = 1 << 17;

/// Maximum length of the camera name.
const MAX_CAMERA_CHARS: usize = 100;

/// The fields that are shown with an image.
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

/// Returns the orientation, 1 to 8; 1 if there is no valid one.
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
    // The orientation often precedes the broken part.
    match Reader::new().continue_on_error(true).read_raw(tiff.to_vec()) {
        Ok(exif) => Some(exif),
        Err(exif::Error::PartialResult(partial)) => Some(partial.into_inner().0),
        Err(_) => None,
    }
}

/// Returns the time as RFC 3339, without an offset if none is recorded: a camera's clock shows the local time.
fn time(exif: &Exif, tag: Tag, offset_tag: Tag) -> Option<String> {
    let mut noted = exif::DateTime::from_ascii(ascii(exif, tag)?).ok()?;
    if let Some(offset) = ascii(exif, offset_tag) {
        // Cameras write an invalid offset if they do not know it.
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

/// Returns make and model. Omits the make if the model starts with it, as in Canon's models.
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
