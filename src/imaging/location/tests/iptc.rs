//! IPTC alone, in Photoshop resources, and in resources split over segments.

use super::super::block::Kind;
use super::super::{Outcome, Policy, clean_block, photoshop};
use super::build::{self, COORDINATE, PLACE, dataset, iptc, jpeg, kept_iptc, resource, resources, segment};
use super::{assert_no_place, has, remove, removed};
use crate::model::image::Format;
use md5::{Digest, Md5};

const HEADER: &[u8] = b"Photoshop 3.0\0";

fn clean(block: &mut [u8]) -> Outcome {
    super::super::iptc::clean(block, Policy::EDIT)
}

#[test]
fn location_datasets_are_removed_and_the_others_move_up() {
    let mut block = iptc();
    assert_eq!(clean(&mut block), Outcome::Edited);
    let kept = kept_iptc();
    assert_eq!(block[..kept.len()], kept);
    assert!(block[kept.len()..].iter().all(|&byte| byte == 0));
    assert_eq!(clean(&mut block), Outcome::Unchanged);
}

#[test]
fn datasets_without_a_location_are_unchanged() {
    let mut block = [dataset(1, 90, "x"), kept_iptc(), dataset(2, 103, "reference")].concat();
    assert_eq!(clean(&mut block), Outcome::Unchanged);
}

#[test]
fn a_location_before_trailing_zeros_of_another_value_is_removed() {
    let mut block = [dataset(2, 90, "ab"), dataset(2, 120, "caption\0\0\0\0\0\0\0")].concat();
    assert_eq!(clean(&mut block), Outcome::Edited);
    assert_eq!(block[..19], dataset(2, 120, "caption\0\0\0\0\0\0\0"));
}

#[test]
fn extended_datasets_are_parsed() {
    let place = [&[0x1c, 2, 90, 0x80, 4, 0, 0, 0, PLACE.len() as u8][..], PLACE.as_bytes()].concat();
    let mut block = [place, kept_iptc()].concat();
    assert_eq!(clean(&mut block), Outcome::Edited);
    assert!(block.starts_with(&kept_iptc()));
    assert_no_place(&block);
}

#[test]
fn unreadable_data_is_wiped_if_it_looks_like_a_location() {
    let cut = dataset(2, 90, PLACE);
    let caption = dataset(2, 120, &format!("Latitude: 41.{}", build::COORDINATE));
    let rests = [
        cut[..cut.len() - 2].to_vec(),
        [b"junk", &cut[..]].concat(),
        [b"junk", &cut[..6]].concat(),
        caption[..caption.len() - 1].to_vec(),
        format!(" 41.{0}, 12.{0}", build::COORDINATE).into_bytes(),
    ];
    for rest in rests {
        let mut block = [kept_iptc(), rest].concat();
        assert_eq!(clean(&mut block), Outcome::Edited);
        assert!(block.starts_with(&kept_iptc()));
        assert!(block[kept_iptc().len()..].iter().all(|&byte| byte == 0));
        assert_eq!(clean(&mut block), Outcome::Unchanged);
    }
    let mut only_places = dataset(2, 101, PLACE);
    assert_eq!(clean(&mut only_places), Outcome::Emptied);
}

/// Data that programs and damage leave after datasets, or instead of them.
const JUNK: [&[u8]; 6] =
    [b"junk", b"\x1c", b"\x1c\x02\x78\0\x20cut off", b"\xff\xfe\0\x01", b"\x1c\x03\x5a\xff\xff", b"\0\0 version 1.5, 25\xb0"];

#[test]
fn unreadable_data_without_a_location_stays() {
    for junk in JUNK {
        let mut block = [&kept_iptc(), junk].concat();
        assert_eq!(clean(&mut block), Outcome::Unchanged);
        let places = [dataset(2, 90, PLACE), kept_iptc()].concat();
        let mut block = [&places, junk].concat();
        assert_eq!(clean(&mut block), Outcome::Edited);
        assert_no_place(&block);
        assert!(block.starts_with(&kept_iptc()) && block[places.len()..] == *junk);
        assert_eq!(clean(&mut block), Outcome::Unchanged);
    }
}

#[test]
fn a_block_that_is_not_iptc_is_wiped_if_it_looks_like_a_location() {
    let clean = |block: &mut [u8]| clean_block(Kind::Iptc, block, Policy::EDIT.nested().nested());
    for junk in JUNK {
        assert_eq!(clean(&mut junk.to_vec()), Outcome::Unchanged);
    }
    let swapped = |mut block: Vec<u8>| {
        block.resize(block.len().next_multiple_of(4), 0);
        block.chunks(4).flat_map(|number| number.iter().rev().copied()).collect::<Vec<u8>>()
    };
    let caption = dataset(2, 120, "Latitude: 41.98123 N");
    assert_eq!(clean(&mut swapped(kept_iptc())), Outcome::Unchanged);
    for mut block in [swapped(iptc()), swapped(caption.clone()), [b"x", &iptc()[..]].concat(), [b"x", &caption[..]].concat()] {
        assert_eq!(clean(&mut block), Outcome::Emptied);
        assert!(block.iter().all(|&byte| byte == 0));
    }
}

#[test]
fn keywords_lose_machine_tags_and_keep_names() {
    let keywords = ["Rome", "geotagged", "geo:lat=41.98", "geo:lon=12.3", "41.98123, 12.34123", "state of the art"];
    let mut block = keywords.map(|keyword| dataset(2, 25, keyword)).concat();
    let expected = ["Rome", "geotagged", &" ".repeat(13), &" ".repeat(12), &" ".repeat(18), "state of the art"];
    assert_eq!(clean(&mut block), Outcome::Edited);
    assert_eq!(block, expected.map(|keyword| dataset(2, 25, keyword)).concat());
}

#[test]
fn resources_are_cleaned_and_the_digest_is_updated() {
    let mut block = resources();
    assert_eq!(photoshop::clean(&mut block, Policy::EDIT), Outcome::Edited);
    assert_no_place(&block);
    assert_eq!(block.len(), resources().len());
    let mut kept = kept_iptc();
    kept.resize(iptc().len(), 0);
    assert!(has(&block, &resource(0x0404, &kept)));
    assert!(has(&block, &resource(0x0425, &Md5::digest(&kept))));
    assert!(has(&block, &resource(0x03ed, &[0, 72, 0, 0])) && block.ends_with(&resource(0x040a, &[1])));
    let exif = memchr::memmem::find(&block, b"MM\0*").expect("EXIF");
    super::assert_exif_kept(&block[exif..exif + build::tiff(build::Order::Big).len()]);
    assert_eq!(photoshop::clean(&mut block, Policy::EDIT), Outcome::Unchanged);
}

#[test]
fn a_stale_digest_stays_stale() {
    let mut block = [resource(0x0404, &iptc()), resource(0x0425, &[7; 16])].concat();
    photoshop::clean(&mut block, Policy::EDIT);
    assert!(block.ends_with(&resource(0x0425, &[0; 16])));
}

#[test]
fn resources_split_over_segments_are_one_block() {
    let whole = resources();
    for cut in [1, 15, 40, 55, 70, 100, 200, 300] {
        let (one, two) = whole.split_at(cut);
        let parts = [one, two].map(|part| segment(0xed, &[HEADER, part].concat()));
        let cleaned = removed(&jpeg(&parts), Format::Jpeg);
        let data = |part: usize| {
            let start = 2 + parts[..part].iter().map(Vec::len).sum::<usize>() + 4 + HEADER.len();
            &cleaned[start..start + [one, two][part].len()]
        };
        let mut expected = whole.clone();
        photoshop::clean(&mut expected, Policy::EDIT);
        assert_eq!([data(0), data(1)].concat(), expected, "cut at {cut}");
    }
}

#[test]
fn every_segment_with_whole_resources_is_cleaned() {
    let part = segment(0xed, &[HEADER, &resources(), b"odd"].concat());
    let other = segment(0xe2, b"between");
    let cleaned = removed(&jpeg(&[part.clone(), part.clone(), other, part]), Format::Jpeg);
    assert_eq!(memchr::memmem::find_iter(&cleaned, b"A caption").count(), 3);
}

#[test]
fn texts_lose_only_their_coordinates() {
    let place = format!("Road 5, Latitude: 41.{} lovely", build::COORDINATE);
    let numbers = [5, 7, 15, 20, 22, 25, 40, 80, 85, 103, 105, 110, 115, 116, 118, 120, 121, 122];
    let mut block = numbers.map(|number| dataset(2, number, &place)).concat();
    block.extend(dataset(2, 116, "Ann"));
    assert_eq!(clean(&mut block), Outcome::Edited);
    assert_no_place(&block);
    assert_eq!(memchr::memmem::find_iter(&block, b"Road 5, ").count(), numbers.len());
    assert!(block.ends_with(&dataset(2, 116, "Ann")));
    assert_eq!(clean(&mut block), Outcome::Unchanged);
}

#[test]
fn a_thumbnail_resource_is_cleaned() {
    for id in [0x0409, 0x040c] {
        let thumbnail = [&[0; 28][..], &jpeg(&[build::exif_segment(build::Order::Big)])].concat();
        let file = jpeg(&[segment(0xed, &[HEADER, &resource(id, &thumbnail)].concat())]);
        assert!(has(&removed(&file, Format::Jpeg), b"Kamera"));
    }
}

#[test]
fn photoshops_caption_and_url_lose_their_location() {
    let caption = format!("Road 5, Latitude: 41.{COORDINATE}, lovely");
    let pascal = [&[caption.len() as u8][..], caption.as_bytes()].concat();
    let link = format!("https://maps.google.com/?q=41.{COORDINATE},12.34");
    let photoshop = |resources: &[Vec<u8>]| jpeg(&[segment(0xed, &[b"Photoshop 3.0\0", &resources.concat()[..]].concat())]);
    let cleaned = removed(&photoshop(&[resource(0x03f0, &pascal), resource(0x040b, link.as_bytes())]), Format::Jpeg);
    assert!(has(&cleaned, &[caption.len() as u8, b'R', b'o', b'a', b'd']) && has(&cleaned, b", lovely"));
    let innocent =
        photoshop(&[resource(0x03f0, b"\x07A title"), resource(0x040b, b"https://example.org/"), resource(0x03f0, b"")]);
    assert_eq!(remove(&innocent, Format::Jpeg), None);
}
