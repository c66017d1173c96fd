//! A manifest store (C2PA 2.2, chapter 11): manifests in boxes, each with assertions, a claim and its signature. Answers
//! the two questions that matter here: does anything in it say where, and which bytes of the file does its hash leave out.
//!
//! **Doubt is resolved for privacy.** What cannot be read counts as telling a place; its readers could not use it either.

use super::super::block::Kind;
use super::super::{Care, Outcome, clean_block, fields, first_pass, is_blank};
use super::boxes::{Box, Malformed, Superbox, boxes};
use super::compressed::Decompressor;
use super::names::{Item, Names};
use super::{cbor, json};
use crate::model::image::Format;
use memchr::memmem;

/// A larger store is dropped unread. Honest ones have thumbnails of some 100 KB for each of their ingredients.
pub(super) const MAX_STORE_BYTES: usize = 12 << 20;

/// Superboxes inside of each other: store, manifest, assertions, assertion, and the same again in a compressed manifest.
const MAX_DEPTH: u8 = 16;

/// Strings that hold other formats, in each other: a store in CBOR, JSON in that, XMP in JSON.
const MAX_NESTED: u8 = 4;

/// Whether anything in the store says where.
///
/// Time grows with the store's length and with what its compressed manifests hold, of which there is a bound.
pub(super) fn tells_place(store: &[u8], care: Care) -> bool {
    if store.len() > MAX_STORE_BYTES {
        return true;
    }
    if fields::names_coordinates(store) {
        return true;
    }
    // Nobody's reader takes it for a store.
    if store.get(4..8) != Some(b"jumb") {
        return false;
    }
    let care = Care { void_credentials: false, ..care.inside() };
    let mut search = Search { care, decompressor: Decompressor::new() };
    search.boxes(store, At { label: b"", depth: 0, nested: 0 }) != Ok(false)
}

struct Search {
    /// For pictures inside of the store.
    care: Care,
    decompressor: Decompressor,
}

/// Where the search is.
#[derive(Clone, Copy)]
struct At<'a> {
    /// Of the superbox.
    label: &'a [u8],
    /// How many superboxes are around it.
    depth: u8,
    /// How many strings are around it.
    nested: u8,
}

impl At<'_> {
    fn inside(self) -> Result<Self, Malformed> {
        if self.nested == MAX_NESTED { Err(Malformed) } else { Ok(At { nested: self.nested + 1, ..self }) }
    }
}

impl Search {
    fn boxes(&mut self, bytes: &[u8], at: At) -> Result<bool, Malformed> {
        if at.depth == MAX_DEPTH {
            return Err(Malformed);
        }
        let deeper = At { depth: at.depth + 1, ..at };
        for found in boxes(bytes) {
            let Box { name, body } = found?;
            let tells = match &name {
                b"jumb" => {
                    let inner = Superbox::read(body)?;
                    self.boxes(inner.content, At { label: inner.label, ..deeper })?
                }
                b"brob" => {
                    let inside = self.decompressor.decompress(body)?;
                    self.boxes(&inside, deeper)?
                }
                // Random bytes that keep a hash from being guessed.
                b"c2sh" => false,
                _ if is_blank(body) => false,
                _ if Names::is_place_label(at.label) => true,
                b"json" => self.json(body, at)?,
                b"cbor" => self.cbor(body, at)?,
                _ => self.anything(body, at)?,
            };
            if tells {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn json(&mut self, text: &[u8], at: At) -> Result<bool, Malformed> {
        let mut names = names_for(at.label);
        json::walk(text, |item| names.declare(&item))?;
        let mut found = Ok(false);
        json::walk(text, |item| self.item(&names, &item, at, &mut found))?;
        found
    }

    fn cbor(&mut self, bytes: &[u8], at: At) -> Result<bool, Malformed> {
        let mut names = names_for(at.label);
        cbor::walk(bytes, |item| names.declare(&item))?;
        let mut found = Ok(false);
        cbor::walk(bytes, |item| self.item(&names, &item, at, &mut found))?;
        found
    }

    fn item(&mut self, names: &Names, item: &Item, at: At, found: &mut Result<bool, Malformed>) {
        if *found != Ok(false) {
            return;
        }
        *found = match item {
            _ if names.is_place(item) => Ok(true),
            Item::Key(_) => Ok(false),
            Item::Text { text, .. } => self.text(text, at),
            Item::Bytes(bytes) => self.anything(bytes, at),
        };
    }

    /// A text may hold another format, which is read as that if it looks like it.
    fn text(&mut self, text: &[u8], at: At) -> Result<bool, Malformed> {
        match text.trim_ascii_start().first() {
            Some(b'<') if memmem::find(text, b"<rdf:RDF").is_some() => {
                Ok(clean_block(Kind::Xmp, &mut text.to_vec(), self.care) != Outcome::Unchanged)
            }
            // A sentence or a hash may start like this.
            Some(b'{' | b'[') if json::walk(text, |_| {}).is_ok() => self.json(text, at.inside()?),
            _ => Ok(false),
        }
    }

    /// Bytes of which nothing says what they are: thumbnails, other stores, texts.
    fn anything(&mut self, bytes: &[u8], at: At) -> Result<bool, Malformed> {
        if let Some(format) = picture(bytes) {
            return Ok(self.care.levels == 0 || first_pass(bytes, format, self.care).is_some());
        }
        if bytes.get(4..8) == Some(b"jumb") {
            return self.boxes(bytes, at.inside()?);
        }
        if std::str::from_utf8(bytes).is_ok() { self.text(bytes, at) } else { Ok(false) }
    }
}

fn names_for(label: &[u8]) -> Names {
    Names::of(label.starts_with(b"c2pa.") && !label.starts_with(b"c2pa.metadata"))
}

fn picture(bytes: &[u8]) -> Option<Format> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some(Format::Jpeg),
        [0x89, b'P', b'N', b'G', ..] => Some(Format::Png),
        [b'G', b'I', b'F', b'8', ..] => Some(Format::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::Webp),
        _ => None,
    }
}

/// The ranges of the file that the active manifest's hash leaves out, as start and length; `None` where it is bound to the file
/// in another way, or in none that can be read.
///
/// The active manifest is the last one. Of its bindings only the hash of the file's bytes (`c2pa.hash.data`) is read: a hash
/// by boxes leaves out whole boxes by name, and an update manifest is bound by another one. Hashes of a file's parts come
/// beside that of all bytes, and count only when that one fails.
pub(super) fn exclusions(store: &[u8]) -> Option<Vec<(u64, u64)>> {
    let store = first_superbox(store)?;
    let active = boxes(store.content).last()?.ok().filter(|active| active.name == *b"jumb")?;
    let active = Superbox::read(active.body).ok()?;
    if active.kind == *b"c2cm" {
        let packed = boxes(active.content).next()?.ok().filter(|packed| packed.name == *b"brob")?;
        let unpacked = Decompressor::new().decompress(packed.body).ok()?;
        return exclusions_of(first_superbox(&unpacked)?);
    }
    exclusions_of(active)
}

fn first_superbox(bytes: &[u8]) -> Option<Superbox<'_>> {
    let first = boxes(bytes).next()?.ok().filter(|first| first.name == *b"jumb")?;
    Superbox::read(first.body).ok()
}

fn exclusions_of(manifest: Superbox) -> Option<Vec<(u64, u64)>> {
    if manifest.kind != *b"c2ma" {
        return None;
    }
    let stores = manifest.superboxes().collect::<Result<Vec<_>, _>>().ok()?;
    let assertions = stores.iter().find(|store| store.kind == *b"c2as")?;
    let mut found = None;
    for assertion in assertions.superboxes() {
        let assertion = assertion.ok()?;
        match without_number(assertion.label) {
            b"c2pa.hash.data" if found.is_none() => {
                let content = boxes(assertion.content).next()?.ok().filter(|content| content.name == *b"cbor")?;
                found = Some(cbor::exclusions(content.body).ok()?);
            }
            b"c2pa.hash.data.part" | b"c2pa.hash.multi-asset" => {}
            label if label.starts_with(b"c2pa.hash.") => return None,
            _ => {}
        }
    }
    found
}

/// The label without the number that tells several assertions of one kind apart: `c2pa.hash.data__1`.
fn without_number(label: &[u8]) -> &[u8] {
    let end = memchr::memmem::rfind(label, b"__").unwrap_or(label.len());
    label.get(..end).unwrap_or_default()
}
