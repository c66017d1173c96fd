//! Builds manifest stores, unsigned but with every box that readers walk, and puts them into files.

use super::build::{PLACE, chunk, gif, jpeg, png, riff, riff_chunk, segment};
use crate::model::image::Format;

/// Manifests in Brotli, by Google's encoder: one with a location, and one without.
pub const BROTLI_PLACE: &str = "1baf00101e0776ece0ee41b494af4390dd007fd0171458e249081945bde984ae6ffc8376fa7da6470b54cbd91335801ae0269d9c7f170931c048f3a41548e20148e281434e3c79f39493ac777c4b0fa05b2a3c942089c0637d6ff518f208c21d2e726a4aa7e8ad894cb76cdb40b357ba1db924fb8cc580a1eb6b81393df02d62631d32927a47e9d97e";
pub const BROTLI_INNOCENT: &str = "1bac00108ec33816bc29c2e83f42a523e0ee80055a058125987016580907d6d69b4ee8fac63f68a7c7d5f39a062d5025e715e9e4fcbb488801461ab6652511068089d71a1f2d71fa8384c5cc3bfe2c3d81324b8587124461f3f4bbb67a0d7904e10e07d934a55bf66b22d32ddb70c8f649b72397649fb11850b9be16acdb038f8b249986e91b113f";
/// 64 MiB of zeros.
pub const BROTLI_BOMB: &str = "cbffff3ff82700e2b14020f7fe8fffff7ff04f00c4611180eefd1fffffffe09f0088c30200ddfb3ffeffffc13f0110870500baf77ffcffff837f02200e0b0074effff8ffff07ff04401c1600e8defff1ffff0ffe0980382c00d0bdffe3ffff1ffc1300715800a07bff37";

pub fn jumbf(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], name, body].concat()
}

/// Returns a superbox with a label.
pub fn superbox(kind: &[u8; 4], label: &str, content: &[Vec<u8>]) -> Vec<u8> {
    let uuid_tail = b"\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71";
    let description = jumbf(b"jumd", &[kind, &uuid_tail[..], &[3], label.as_bytes(), &[0]].concat());
    jumbf(b"jumb", &[description, content.concat()].concat())
}

pub fn json(label: &str, text: &str) -> Vec<u8> {
    superbox(b"json", label, &[jumbf(b"json", text.as_bytes())])
}

pub fn cbor(label: &str, bytes: &[u8]) -> Vec<u8> {
    superbox(b"cbor", label, &[jumbf(b"cbor", bytes)])
}

/// Returns the head of a CBOR item.
fn head(major: u8, argument: usize) -> Vec<u8> {
    match argument {
        0..24 => vec![major << 5 | argument as u8],
        24..256 => vec![major << 5 | 24, argument as u8],
        _ => [&[major << 5 | 26][..], &(argument as u32).to_be_bytes()].concat(),
    }
}

pub fn number(value: usize) -> Vec<u8> {
    // Always four bytes, so that the length of a store does not depend on its position.
    [&[26][..], &(value as u32).to_be_bytes()].concat()
}

pub fn text(text: &str) -> Vec<u8> {
    [head(3, text.len()), text.as_bytes().to_vec()].concat()
}

pub fn bytes(bytes: &[u8]) -> Vec<u8> {
    [head(2, bytes.len()), bytes.to_vec()].concat()
}

pub fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, items.len()), items.concat()].concat()
}

pub fn map(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let content: Vec<u8> = pairs.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [head(5, pairs.len()), content].concat()
}

/// Returns a data hash that excludes these ranges, as start and length.
pub fn data_hash(exclusions: &[(usize, usize)]) -> Vec<u8> {
    let range = |&(start, length): &(usize, usize)| map(&[("start", number(start)), ("length", number(length))]);
    let ranges = array(&exclusions.iter().map(range).collect::<Vec<_>>());
    let hash = [("exclusions", ranges), ("name", text("jumbf manifest")), ("alg", text("sha256")), ("hash", bytes(&[7; 32]))];
    cbor("c2pa.hash.data", &map(&[&hash[..], &[("pad", bytes(&[0; 8]))]].concat()))
}

pub fn manifest(kind: &[u8; 4], label: &str, assertions: &[Vec<u8>]) -> Vec<u8> {
    let claim = map(&[("claim_generator", text("a camera")), ("dc:title", text("A title")), ("alg", text("sha256"))]);
    let content = [
        superbox(b"c2as", "c2pa.assertions", assertions),
        superbox(b"c2cl", "c2pa.claim", &[jumbf(b"cbor", &claim)]),
        superbox(b"c2cs", "c2pa.signature", &[jumbf(b"cbor", &bytes(&[9; 64]))]),
    ];
    superbox(kind, label, &content)
}

pub fn store(manifests: &[Vec<u8>]) -> Vec<u8> {
    superbox(b"c2pa", "c2pa", manifests)
}

/// Returns the assertions of an ordinary manifest, without a location.
pub fn innocent() -> Vec<Vec<u8>> {
    let action = map(&[("action", text("c2pa.created")), ("when", text("2024-05-06T07:08:09Z"))]);
    let region = map(&[("region", array(&[map(&[("type", text("spatial")), ("name", text("sky"))])]))]);
    let author = r#"{"@context":"https://schema.org","@type":"CreativeWork","author":[{"@type":"Person","name":"Ann Example"}]}"#;
    vec![
        cbor("c2pa.actions.v2", &map(&[("actions", array(&[action])), ("changes", array(&[region]))])),
        cbor("c2pa.cloud-data", &map(&[("location", map(&[("url", text("https://example.org/a"))]))])),
        json("stds.schema-org.CreativeWork", author),
        superbox(b"\x40\xcb\x0c\x32", "c2pa.thumbnail.claim.jpeg", &[jumbf(b"bidb", &jpeg(&[]))]),
    ]
}

/// Returns a store with these assertions in addition to [`innocent`].
pub fn store_with(assertions: &[Vec<u8>]) -> Vec<u8> {
    store(&[manifest(b"c2ma", "urn:c2pa:1", &[&innocent()[..], assertions].concat())])
}

pub fn place_store() -> Vec<u8> {
    store_with(&[json("stds.iptc", &format!(r#"{{"photoshop:City":"{PLACE}"}}"#))])
}

/// Returns APP11 segments with up to `piece_bytes` of the store each.
pub fn app11(store: &[u8], piece_bytes: usize) -> Vec<u8> {
    let pieces = store.get(8..).unwrap_or_default().chunks(piece_bytes).zip(1u32..);
    let piece =
        |(piece, number): (&[u8], u32)| segment(0xeb, &[b"JP\x02\x11", &number.to_be_bytes()[..], &store[..8], piece].concat());
    pieces.flat_map(piece).collect()
}

pub fn gif_extension(store: &[u8]) -> Vec<u8> {
    let blocks = store.chunks(255).flat_map(|block| [&[block.len() as u8], block].concat());
    [b"\x21\xff\x0bC2PA_GIF\x01\0\0".to_vec(), blocks.collect(), vec![0]].concat()
}

/// Returns a file of each format with the store, and the same file without it.
pub fn files(store: &[u8]) -> [(Vec<u8>, Vec<u8>, Format); 4] {
    let image = riff_chunk(b"VP8L", b"data");
    [
        (jpeg(&[app11(store, 400)]), jpeg(&[]), Format::Jpeg),
        (png(&[chunk(b"caBX", store)], &[]), png(&[], &[]), Format::Png),
        (gif(&[gif_extension(store)]), gif(&[]), Format::Gif),
        (riff(&[image.clone(), riff_chunk(b"C2PA", store)]), riff(&[image]), Format::Webp),
    ]
}
