//! A manifest survives an edit of the file only if its hash excludes the edited bytes.

use super::super::{Cleaned, clean};
use super::build::{Order, app1, chunk, exif_segment, gif, jpeg, png, riff, riff_chunk, tiff, xmp};
use super::c2pa_build::{app11, cbor, data_hash, gif_extension, innocent, manifest, map, store, superbox};
use super::{has, remove};
use crate::model::image::{Credentials, Format};

fn bound(hashes: &[Vec<u8>]) -> Vec<u8> {
    store(&[manifest(b"c2ma", "urn:c2pa:1", &[&innocent()[..], hashes].concat())])
}

/// Returns an image with EXIF before a store whose hash excludes the store and `more`.
fn photo(bind: impl Fn(&[(usize, usize)]) -> Vec<u8>, more: impl Fn(usize) -> Vec<(usize, usize)>) -> Vec<u8> {
    let exif = exif_segment(Order::Big);
    let file = |exclusions: &[(usize, usize)]| jpeg(&[exif.clone(), app11(&bind(exclusions), 700)]);
    let ranges = |store_bytes: usize| [vec![(2 + exif.len(), store_bytes)], more(exif.len())].concat();
    let store_bytes = file(&ranges(0)).len() - jpeg(std::slice::from_ref(&exif)).len();
    file(&ranges(store_bytes))
}

fn whole_file(exclusions: &[(usize, usize)]) -> Vec<u8> {
    bound(&[data_hash(exclusions)])
}

#[track_caller]
fn kept(file: &[u8], format: Format) {
    let Cleaned { file: cleaned, credentials } = clean(file, format);
    let cleaned = cleaned.expect("a location was removed");
    super::assert_no_place(&cleaned);
    assert_eq!((cleaned.len(), credentials), (file.len(), Credentials::Kept));
    assert!(has(&cleaned, b"c2pa.hash.data"));
    let again = clean(&cleaned, format);
    assert_eq!((again.file, again.credentials), (None, Credentials::Kept));
}

#[track_caller]
fn dropped(file: &[u8], format: Format) {
    let Cleaned { file: cleaned, credentials } = clean(file, format);
    let cleaned = cleaned.expect("a location was removed");
    super::assert_no_place(&cleaned);
    assert_eq!(credentials, Credentials::Removed);
    assert!(!has(&cleaned, b"c2pa"));
    assert_eq!(remove(&cleaned, format), None);
}

#[test]
fn a_hash_that_excludes_exif_stays_valid() {
    kept(&photo(whole_file, |exif| vec![(2, exif)]), Format::Jpeg);
    // In pieces, out of order, and overlapping.
    kept(&photo(whole_file, |exif| vec![(exif / 2, exif - exif / 2 + 2), (0, 9), (5, exif / 2)]), Format::Jpeg);
    // Phones also bind the parts of a file, in case one of them is cut off.
    let parts = |exclusions: &[(usize, usize)]| {
        bound(&[data_hash(exclusions), cbor("c2pa.hash.data.part", &map(&[])), cbor("c2pa.hash.multi-asset", &map(&[]))])
    };
    kept(&photo(parts, |exif| vec![(2, exif)]), Format::Jpeg);
}

#[test]
fn a_manifest_whose_hash_covers_a_changed_byte_is_removed() {
    dropped(&photo(whole_file, |_| vec![]), Format::Jpeg);
    // EXIF's GPS values are near its end.
    dropped(&photo(whole_file, |exif| vec![(2, exif / 2)]), Format::Jpeg);
    // A range beyond the end of the file is invalid.
    dropped(&photo(whole_file, |_| vec![(0, 1 << 20)]), Format::Jpeg);
    dropped(&photo(whole_file, |_| vec![(u32::MAX as usize, u32::MAX as usize)]), Format::Jpeg);
}

#[test]
fn a_manifest_with_an_unknown_binding_is_removed_after_an_edit() {
    let everything = |exif: usize| vec![(2, exif)];
    let with = |more: Vec<u8>| move |exclusions: &[(usize, usize)]| bound(&[data_hash(exclusions), more.clone()]);
    dropped(&photo(with(cbor("c2pa.hash.boxes", &map(&[]))), everything), Format::Jpeg);
    dropped(&photo(with(cbor("c2pa.hash.bmff.v3", &map(&[]))), everything), Format::Jpeg);
    dropped(&photo(with(data_hash(&[(0, 9000)])), everything), Format::Jpeg);
    dropped(&photo(|_| bound(&[]), everything), Format::Jpeg);
    dropped(
        &photo(|_| bound(&[cbor("c2pa.hash.data", b"\xa1\x6aexclusions\x81\xa2\x65start\x20\x66length\x01")]), everything),
        Format::Jpeg,
    );
    let update = |exclusions: &[(usize, usize)]| {
        store(&[manifest(b"c2ma", "urn:c2pa:1", &[data_hash(exclusions)]), manifest(b"c2um", "urn:c2pa:2", &innocent())])
    };
    dropped(&photo(update, everything), Format::Jpeg);
    let ingredient = |exclusions: &[(usize, usize)]| {
        store(&[manifest(b"c2ma", "urn:c2pa:1", &[data_hash(exclusions)]), manifest(b"c2ma", "urn:c2pa:2", &[data_hash(&[])])])
    };
    dropped(&photo(ingredient, everything), Format::Jpeg);
    let active = |exclusions: &[(usize, usize)]| {
        store(&[manifest(b"c2ma", "urn:c2pa:1", &[data_hash(&[])]), manifest(b"c2ma", "urn:c2pa:2", &[data_hash(exclusions)])])
    };
    kept(&photo(active, everything), Format::Jpeg);
    dropped(&photo(|_| superbox(b"c2pa", "c2pa", &[]), everything), Format::Jpeg);
}

#[test]
fn every_format_detects_whether_the_hash_is_still_valid() {
    let place = |exclusions: &[(usize, usize)]| {
        let store = whole_file(exclusions);
        let exif = chunk(b"eXIf", &tiff(Order::Big));
        let magic: Vec<u8> = std::iter::once(1).chain((0..=255).rev()).chain([0]).collect();
        let xmp = [b"\x21\xff\x0bXMP DataXMP", &super::build::place_xmp()[..], &magic].concat();
        let webp = [riff_chunk(b"VP8L", b"data"), riff_chunk(b"EXIF", &tiff(Order::Little)), riff_chunk(b"C2PA", &store)];
        vec![
            (png(&[exif, chunk(b"caBX", &store)], &[]), Format::Png),
            (gif(&[gif_extension(&store), xmp]), Format::Gif),
            (riff(&webp), Format::Webp),
        ]
    };
    for (at, (file, format)) in place(&[(0, 0)]).into_iter().enumerate() {
        dropped(&file, format);
        // Everything except the last byte, which is the end of the image.
        let (file, format) = place(&[(0, file.len() - 1)]).swap_remove(at);
        kept(&file, format);
    }
}

fn reference(more: &str) -> Vec<u8> {
    let attributes = "xmlns:dcterms=\"http://purl.org/dc/terms/\" dcterms:provenance=\"https://example.org/manifest\"";
    app1("http://ns.adobe.com/xap/1.0/\0", xmp(&format!("{attributes} {more}"), "").as_bytes())
}

#[test]
fn a_manifest_reference_stays_only_in_an_unchanged_file() {
    let unchanged = clean(&jpeg(&[reference("")]), Format::Jpeg);
    assert_eq!((unchanged.file, unchanged.credentials), (None, Credentials::Kept));
    let file = jpeg(&[reference("photoshop:City=\"Xanaduville\" photoshop:Headline=\"Head\"")]);
    let Cleaned { file: cleaned, credentials } = clean(&file, Format::Jpeg);
    let cleaned = cleaned.expect("a location was removed");
    assert_eq!((credentials, cleaned.len()), (Credentials::Removed, file.len()));
    assert!(!has(&cleaned, b"example.org/manifest") && has(&cleaned, b"Head") && has(&cleaned, b"A title"));
    assert_eq!(remove(&cleaned, Format::Jpeg), None);
}

#[test]
fn a_reference_is_found_in_any_notation() {
    let forms = [
        "<dcterms:provenance>https://example.org/manifest</dcterms:provenance>",
        "<d:provenance xmlns:d=\"http://purl.org/dc/terms/\" rdf:resource=\"https://example.org/manifest\"/>",
    ];
    for form in forms {
        let packet = xmp("photoshop:City=\"Xanaduville\"", form);
        let cleaned = clean(&jpeg(&[app1("http://ns.adobe.com/xap/1.0/\0", packet.as_bytes())]), Format::Jpeg);
        assert_eq!(cleaned.credentials, Credentials::Removed, "{form}");
        assert!(!has(&cleaned.file.expect("a location was removed"), b"example.org/manifest"));
    }
    let other = xmp("photoshop:City=\"Xanaduville\"", "<e:provenance xmlns:e=\"http://example.org/\">archive</e:provenance>");
    let cleaned = clean(&jpeg(&[app1("http://ns.adobe.com/xap/1.0/\0", other.as_bytes())]), Format::Jpeg);
    assert_eq!(cleaned.credentials, Credentials::None);
    assert!(has(&cleaned.file.expect("a location was removed"), b"archive"));
}

#[test]
fn every_format_finds_the_reference_in_its_xmp() {
    let packet = |place: &str| {
        let reference = "<dcterms:provenance>https://example.org/manifest</dcterms:provenance>";
        xmp(&format!("xmlns:dcterms=\"http://purl.org/dc/terms/\" {place}"), reference).into_bytes()
    };
    let files = |packet: &[u8]| {
        let magic: Vec<u8> = std::iter::once(1).chain((0..=255).rev()).chain([0]).collect();
        let text = [b"XML:com.adobe.xmp\0\0\0\0\0", packet].concat();
        [
            (png(&[chunk(b"iTXt", &text)], &[]), Format::Png),
            (gif(&[[b"\x21\xff\x0bXMP DataXMP", packet, &magic].concat()]), Format::Gif),
            (riff(&[riff_chunk(b"VP8L", b"data"), riff_chunk(b"XMP ", packet)]), Format::Webp),
        ]
    };
    for (file, format) in files(&packet("")) {
        let cleaned = clean(&file, format);
        assert_eq!((cleaned.file, cleaned.credentials), (None, Credentials::Kept), "{format}");
    }
    for (file, format) in files(&packet("photoshop:City=\"Xanaduville\"")) {
        let cleaned = clean(&file, format);
        assert_eq!(cleaned.credentials, Credentials::Removed, "{format}");
        assert!(!has(&cleaned.file.expect("a location was removed"), b"example.org/manifest"));
    }
}

#[test]
fn a_reference_is_removed_with_its_manifest() {
    let file = jpeg(&[app11(&super::c2pa_build::place_store(), 500), reference("")]);
    let cleaned = clean(&file, Format::Jpeg);
    assert_eq!(cleaned.credentials, Credentials::Removed);
    assert!(!has(&cleaned.file.expect("a location was removed"), b"example.org/manifest"));
}
