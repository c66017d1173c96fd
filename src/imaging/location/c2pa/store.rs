//! A manifest store (C2PA 2.2, chapter 11): manifests in boxes, each with assertions, a claim and a claim signature. Answers two
//! questions: does it contain a location, and which bytes of the file does its hash exclude?
//!
//! **When in doubt, remove.** A store that cannot be parsed counts as having a location; its readers could not use it either.

use super::super::block::Kind;
use super::super::{Outcome, Policy, clean_block, clean_copy, is_blank, keywords};
use super::boxes::{Box, Malformed, Superbox, boxes};
use super::compressed::Decompressor;
use super::vocabulary::{Item, Vocabulary};
use super::{cbor, json};
use crate::model::image::Format;
use memchr::memmem;

/// A larger store is removed unread. Ordinary stores hold thumbnails of some 100 KB for each ingredient.
pub(super) const MAX_STORE_BYTES: usize = 12 << 20;

/// Nesting of superboxes: store, manifest, assertions, assertion, and the same again in a compressed manifest.
const MAX_DEPTH: u8 = 16;

/// Nesting of strings that hold other formats: a store in CBOR, JSON in that, XMP in JSON.
const MAX_NESTED: u8 = 4;

/// Returns whether anything in the store names a location.
///
/// Time grows with the length of the store and of its decompressed manifests, which is bounded.
pub(super) fn has_location(store: &[u8], policy: Policy) -> bool {
    if store.len() > MAX_STORE_BYTES {
        return true;
    }
    if keywords::names_coordinates(store) {
        return true;
    }
    // No reader accepts it as a store.
    if store.get(4..8) != Some(b"jumb") {
        return false;
    }
    let policy = Policy { void_credentials: false, ..policy.nested() };
    let mut search = Search { policy, decompressor: Decompressor::new() };
    search.boxes(store, Scope { label: b"", depth: 0, nested: 0 }) != Ok(false)
}

struct Search {
    /// For images inside the store.
    policy: Policy,
    decompressor: Decompressor,
}

/// The position of the search.
#[derive(Clone, Copy)]
struct Scope<'a> {
    /// The label of the superbox.
    label: &'a [u8],
    /// The number of enclosing superboxes.
    depth: u8,
    /// The number of enclosing strings.
    nested: u8,
}

impl Scope<'_> {
    fn inside(self) -> Result<Self, Malformed> {
        if self.nested == MAX_NESTED { Err(Malformed) } else { Ok(Scope { nested: self.nested + 1, ..self }) }
    }
}

impl Search {
    fn boxes(&mut self, bytes: &[u8], scope: Scope) -> Result<bool, Malformed> {
        if scope.depth == MAX_DEPTH {
            return Err(Malformed);
        }
        let deeper = Scope { depth: scope.depth + 1, ..scope };
        for found in boxes(bytes) {
            let Box { name, body } = found?;
            let has_location = match &name {
                b"jumb" => {
                    let inner = Superbox::read(body)?;
                    self.boxes(inner.content, Scope { label: inner.label, ..deeper })?
                }
                b"brob" => {
                    let inside = self.decompressor.decompress(body)?;
                    self.boxes(&inside, deeper)?
                }
                // The salt of a hash: random bytes.
                b"c2sh" => false,
                _ if is_blank(body) => false,
                _ if Vocabulary::is_location_label(scope.label) => true,
                b"json" => self.json(body, scope)?,
                b"cbor" => self.cbor(body, scope)?,
                _ => self.untyped(body, scope)?,
            };
            if has_location {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn json(&mut self, text: &[u8], scope: Scope) -> Result<bool, Malformed> {
        let mut vocabulary = vocabulary_for(scope.label);
        json::walk(text, |item| vocabulary.declare(&item))?;
        let mut found = Ok(false);
        json::walk(text, |item| self.item(&vocabulary, &item, scope, &mut found))?;
        found
    }

    fn cbor(&mut self, bytes: &[u8], scope: Scope) -> Result<bool, Malformed> {
        let mut vocabulary = vocabulary_for(scope.label);
        cbor::walk(bytes, |item| vocabulary.declare(&item))?;
        let mut found = Ok(false);
        cbor::walk(bytes, |item| self.item(&vocabulary, &item, scope, &mut found))?;
        found
    }

    fn item(&mut self, vocabulary: &Vocabulary, item: &Item, scope: Scope, found: &mut Result<bool, Malformed>) {
        if *found != Ok(false) {
            return;
        }
        *found = match item {
            _ if vocabulary.is_location(item) => Ok(true),
            Item::Key(_) => Ok(false),
            Item::Text { text, .. } => self.text(text, scope),
            Item::Bytes(bytes) => self.untyped(bytes, scope),
        };
    }

    /// Checks a text, which may hold another format and is then parsed as that.
    fn text(&mut self, text: &[u8], scope: Scope) -> Result<bool, Malformed> {
        match text.trim_ascii_start().first() {
            Some(b'<') if memmem::find(text, b"<rdf:RDF").is_some() => {
                Ok(clean_block(Kind::Xmp, &mut text.to_vec(), self.policy) != Outcome::Unchanged)
            }
            // A sentence or a hash may start like this.
            Some(b'{' | b'[') if json::walk(text, |_| {}).is_ok() => self.json(text, scope.inside()?),
            _ => Ok(false),
        }
    }

    /// Checks bytes without a declared type: thumbnails, other stores, texts.
    fn untyped(&mut self, bytes: &[u8], scope: Scope) -> Result<bool, Malformed> {
        if let Some(format) = image_format(bytes) {
            return Ok(self.policy.levels == 0 || clean_copy(bytes, format, self.policy).is_some());
        }
        if bytes.get(4..8) == Some(b"jumb") {
            return self.boxes(bytes, scope.inside()?);
        }
        if std::str::from_utf8(bytes).is_ok() { self.text(bytes, scope) } else { Ok(false) }
    }
}

fn vocabulary_for(label: &[u8]) -> Vocabulary {
    Vocabulary::of(label.starts_with(b"c2pa.") && !label.starts_with(b"c2pa.metadata"))
}

fn image_format(bytes: &[u8]) -> Option<Format> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some(Format::Jpeg),
        [0x89, b'P', b'N', b'G', ..] => Some(Format::Png),
        [b'G', b'I', b'F', b'8', ..] => Some(Format::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::Webp),
        _ => None,
    }
}

/// Returns the ranges of the file that the active manifest's hash excludes, as start and length. `None` if the manifest is bound
/// to the file in another way, or in a way that cannot be read.
///
/// The active manifest is the last one. Of its hard bindings only the data hash (`c2pa.hash.data`) is read: a box hash excludes
/// whole boxes by name, and an update manifest is bound by another manifest. Hashes of parts of a file accompany the data hash,
/// and count only if that one fails.
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

/// Returns the label without the instance number, which distinguishes several assertions of one kind: `c2pa.hash.data__1`.
fn without_number(label: &[u8]) -> &[u8] {
    let end = memchr::memmem::rfind(label, b"__").unwrap_or(label.len());
    label.get(..end).unwrap_or_default()
}
