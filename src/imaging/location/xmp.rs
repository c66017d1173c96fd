//! XMP (ISO 16684-1): finds the properties that name a location and overwrites them with spaces. Properties are matched by
//! namespace rather than prefix, as elements and as attributes. Coordinates and map links in the values of other properties are
//! overwritten as well. The packet keeps its length and stays well-formed.
//!
//! [`super::wide`] reads packets in UTF-16 and UTF-32. Data after the root element stays unless it names a location. A truncated
//! packet is cleaned up to the cut. A malformed packet is wiped.

use super::block::Kind;
use super::character_references::Resolved;
use super::coordinates::{self, Edit, Replacement};
use super::namespaces::Namespace;
use super::property_names::{self, Meaning};
use super::xml::{self, Attribute, Malformed, Reader, Token};
use super::{Outcome, Policy, base64_jpeg, keywords, wide, wipe_block};
use std::ops::Range;

/// The length of the magic trailer. GIF stores an XMP packet as it is, not in sub-blocks, and this trailer follows it for readers
/// that only know sub-blocks: whichever of its bytes they take for a length, they arrive at the end.
pub(super) const GIF_MAGIC_TRAILER_BYTES: usize = 258;

/// XMP nests structures in lists in structures, about 10 levels deep.
const MAX_DEPTH: usize = 256;

/// Namespaces in scope at any one time; packets declare about 20. A look-up scans all of them, so this bounds the time.
const MAX_BINDINGS: usize = 128;

/// How elements and attributes are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Naming {
    /// With namespaces.
    #[default]
    Qualified,
    /// With plain words, in program-specific XML.
    Plain,
}

/// Removes the location in place.
pub(super) fn clean(packet: &mut [u8], policy: Policy) -> Outcome {
    clean_named(packet, Naming::Qualified, policy)
}

/// Same as [`clean`], for XML without namespaces.
pub(super) fn clean_plain(xml: &mut [u8], policy: Policy) -> Outcome {
    if policy.wipe { wipe_block(Kind::Xmp, xml) } else { clean_named(xml, Naming::Plain, policy) }
}

fn clean_named(packet: &mut [u8], naming: Naming, policy: Policy) -> Outcome {
    if super::is_blank(packet) {
        return Outcome::Unchanged;
    }
    let cleaned = match wide_tag_start(packet) {
        None => clean_narrow(packet, naming, policy),
        Some(first) => wide::ALL
            .into_iter()
            .find_map(|wide| {
                let (_, text) = packet.split_at_mut_checked(wide.start(first))?;
                wide.edit(text, |narrow| clean_narrow(narrow, naming, policy)).ok()
            })
            .ok_or(Malformed),
    };
    cleaned.unwrap_or_else(|Malformed| wipe_block(Kind::Xmp, packet))
}

/// Returns where the first tag starts in a packet with zeros between its characters. XML in UTF-8 has no zeros.
fn wide_tag_start(packet: &[u8]) -> Option<usize> {
    let text = packet.get(packet.iter().position(|&byte| byte != 0)?..)?;
    let last = text.iter().rposition(|&byte| byte != 0)?;
    memchr::memchr(0, text.get(..=last)?)?;
    memchr::memchr(b'<', packet)
}

fn clean_narrow(packet: &mut [u8], naming: Naming, policy: Policy) -> Result<Outcome, Malformed> {
    let found = find(packet, naming)?;
    for edit in &found.edits {
        edit.apply(packet);
    }
    let mut changed = !found.edits.is_empty();
    for image in found.images {
        changed |= packet.get_mut(image).is_some_and(|image| base64_jpeg::clean_base64(image, policy));
    }
    Ok(if changed { Outcome::Edited } else { Outcome::Unchanged })
}

struct Found {
    edits: Vec<Edit>,
    /// Values that are JPEGs in base64.
    images: Vec<Range<usize>>,
}

/// Finds the parts of a packet to remove or clean.
fn find(packet: &[u8], naming: Naming) -> Result<Found, Malformed> {
    let padding = |byte: &&u8| matches!(**byte, 0 | b' ' | b'\t' | b'\n' | b'\r');
    let start = packet.iter().take_while(padding).count();
    let end = packet.len() - packet.iter().rev().take_while(padding).count();
    let text = packet.get(start..end).unwrap_or_default();
    if memchr::memchr(0, text).is_some() || !starts_as_xml(text) {
        return Err(Malformed);
    }
    // Keep the leading padding, so that offsets count from the start of the packet.
    let text = packet.get(..end).unwrap_or_default();
    let mut reader = Reader::of(text);
    let mut search = Search { naming, has_rdf: naming == Naming::Plain, ..Search::default() };
    if search.run(&mut reader).is_err() {
        search.recover(&reader, text)?;
    }
    Ok(Found { edits: search.edits, images: search.images })
}

fn starts_as_xml(text: &[u8]) -> bool {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii_start().first().is_none_or(|&byte| byte == b'<')
}

#[derive(Default)]
struct Search {
    naming: Naming,
    edits: Vec<Edit>,
    images: Vec<Range<usize>>,
    elements: Vec<Element>,
    bindings: Vec<Binding>,
    /// Whether the root contains `rdf:RDF`, if that is required.
    has_rdf: bool,
    /// The end of a root element with `rdf:RDF`.
    root_end: Option<usize>,
}

/// An open element.
struct Element {
    name: Range<usize>,
    /// The number of bindings in scope around it.
    bindings: usize,
    /// The position of its start tag.
    start: usize,
    /// The position of its content.
    content: usize,
    meaning: Meaning,
    /// Whether it is human-readable text, or a list or alternative within one.
    is_human_text: bool,
    /// Whether it contains another element.
    has_elements: bool,
}

struct Binding {
    prefix: Range<usize>,
    /// Distinguishes most prefixes without comparing them.
    key: u64,
    namespace: Namespace,
}

/// Returns the length of the prefix and its first bytes, as one number.
fn key(prefix: &[u8]) -> u64 {
    prefix.iter().take(7).fold(prefix.len() as u64, |key, &byte| key << 8 | u64::from(byte))
}

impl Search {
    fn run(&mut self, reader: &mut Reader) -> Result<(), Malformed> {
        // The depth of the element that is being removed.
        let mut removed: Option<usize> = None;
        while let Some(token) = reader.next()? {
            match token {
                Token::CommentOrInstruction(range)
                    if removed.is_none() && keywords::comment_mentions_location(reader.get(&range)) =>
                {
                    self.add(range)
                }
                Token::CommentOrInstruction(_) => {}
                Token::Text(range) if removed.is_none() => {
                    let is_human_text = self.elements.last().is_some_and(|element| element.is_human_text);
                    self.value(reader, range, is_human_text);
                }
                Token::Text(_) => {}
                Token::StartTag { tag, name, self_closing } => {
                    let around = self.bindings.len();
                    self.bind(reader)?;
                    let meaning = if removed.is_some() { Meaning::Other } else { self.meaning(reader, &name, IsAttribute::No) };
                    if removed.is_none() && meaning != Meaning::Location {
                        self.attributes(reader);
                    }
                    self.has_rdf |= reader.get(&name).ends_with(b":RDF");
                    if let Some(parent) = self.elements.last_mut() {
                        parent.has_elements = true;
                    }
                    if self_closing {
                        self.bindings.truncate(around);
                        if meaning == Meaning::Location {
                            self.add(tag.clone());
                        }
                        self.end_root(tag.end);
                        continue;
                    }
                    if self.elements.len() == MAX_DEPTH {
                        return Err(Malformed);
                    }
                    if meaning == Meaning::Location {
                        removed = Some(self.elements.len());
                    }
                    let (start, content) = (tag.start, tag.end);
                    let is_human_text = self.is_human_text(reader, &name);
                    self.elements.push(Element {
                        name,
                        bindings: around,
                        start,
                        content,
                        meaning,
                        is_human_text,
                        has_elements: false,
                    });
                }
                Token::EndTag { tag, name } => {
                    let element = self.elements.last().ok_or(Malformed)?;
                    if reader.get(&element.name) != reader.get(&name) {
                        return Err(Malformed);
                    }
                    let Some(element) = self.elements.pop() else { return Err(Malformed) };
                    self.bindings.truncate(element.bindings);
                    if removed == Some(self.elements.len()) {
                        removed = None;
                    }
                    let content = reader.get(&(element.content..tag.start));
                    if removed.is_none()
                        && (element.meaning == Meaning::Location || !element.has_elements && is_number(element.meaning, content))
                    {
                        self.add(element.start..tag.end);
                    }
                    self.end_root(tag.end);
                }
            }
        }
        if self.elements.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    fn end_root(&mut self, at: usize) {
        if self.elements.is_empty() && self.has_rdf {
            self.root_end = Some(at);
        }
    }

    /// Decides what to keep of a malformed document.
    fn recover(&mut self, reader: &Reader, text: &[u8]) -> Result<(), Malformed> {
        let all_read = reader.start >= text.len() || memchr::memchr(b'<', text.get(reader.start..).unwrap_or_default()).is_none();
        if let Some(end) = self.root_end {
            // The end of an older, longer packet follows the new one.
            self.remnant(end..text.len(), text);
            return Ok(());
        }
        if !self.has_rdf || !all_read && !reader.is_truncated() {
            return Err(Malformed);
        }
        // The packet is truncated: the rest is in another segment, or lost.
        match self.elements.iter().find(|element| element.meaning == Meaning::Location) {
            Some(removed) => self.add(removed.start..text.len()),
            None => self.remnant(reader.start..text.len(), text),
        }
        Ok(())
    }

    /// Removes bytes that no XML reader sees, but that are visible in the file, if they name a location.
    fn remnant(&mut self, range: Range<usize>, text: &[u8]) {
        let bytes = text.get(range.clone()).unwrap_or_default();
        if keywords::remnant_mentions_location(bytes) || !coordinates::find(bytes).is_empty() {
            // Edits within the remnant are part of it.
            self.edits.retain(|edit| edit.range.start < range.start);
            self.images.retain(|image| image.start < range.start);
            self.add(range);
        }
    }

    fn add(&mut self, range: Range<usize>) {
        // Edits inside a removed element are part of it.
        while self.edits.last().is_some_and(|last| last.range.start >= range.start) {
            self.edits.pop();
        }
        self.edits.push(Edit { range, replacement: Replacement::Spaces });
    }

    /// Returns whether the element about to be opened holds human-readable text.
    fn is_human_text(&self, reader: &Reader, name: &Range<usize>) -> bool {
        let name = reader.get(name);
        match self.elements.last() {
            Some(around) if name.starts_with(b"rdf:") => around.is_human_text,
            _ => keywords::is_human_text(name),
        }
    }

    /// Checks the value of a property that stays.
    fn value(&mut self, reader: &Reader, range: Range<usize>, is_human_text: bool) {
        let value = reader.get(&range);
        if base64_jpeg::is_base64(value) {
            self.images.push(range);
            return;
        }
        let resolved = Resolved::of(value);
        let text = &resolved.text;
        let found = if is_human_text { coordinates::find_in_whole(text) } else { coordinates::find(text) };
        for mut edit in found {
            let source = resolved.source_range(edit.range);
            edit.range = range.start + source.start..range.start + source.end;
            self.edits.push(edit);
        }
    }

    fn bind(&mut self, reader: &Reader) -> Result<(), Malformed> {
        for attribute in &reader.attributes {
            let Some(prefix) = declared_prefix(reader, attribute) else { continue };
            if self.bindings.len() == MAX_BINDINGS {
                return Err(Malformed);
            }
            let uri = xml::resolve(reader.get(&attribute.value))?;
            let namespace = Namespace::of(&uri).unwrap_or_else(|| Namespace::usual_for(reader.get(&prefix)));
            let key = key(reader.get(&prefix));
            self.bindings.push(Binding { prefix, key, namespace });
        }
        Ok(())
    }

    fn attributes(&mut self, reader: &Reader) {
        for attribute in &reader.attributes {
            if declared_prefix(reader, attribute).is_some() {
                continue;
            }
            let meaning = self.meaning(reader, &attribute.name, IsAttribute::Yes);
            if meaning == Meaning::Location || is_number(meaning, reader.get(&attribute.value)) {
                self.add(attribute.whole.clone());
            } else {
                let is_human_text = keywords::is_human_text(reader.get(&attribute.name));
                self.value(reader, attribute.value.clone(), is_human_text);
            }
        }
    }

    fn meaning(&self, reader: &Reader, name: &Range<usize>, is_attribute: IsAttribute) -> Meaning {
        let name = reader.get(name);
        if self.naming == Naming::Plain {
            return if keywords::is_location_keyword(name) { Meaning::Location } else { Meaning::Other };
        }
        let (prefix, local) = match memchr::memchr(b':', name) {
            Some(at) => (name.get(..at).unwrap_or_default(), name.get(at + 1..).unwrap_or_default()),
            None => (Default::default(), name),
        };
        // The default namespace applies to elements only.
        let unqualified = prefix.is_empty() && is_attribute == IsAttribute::Yes;
        let key = key(prefix);
        let is_bound = |binding: &&Binding| binding.key == key && reader.get(&binding.prefix) == prefix;
        let bound = if unqualified { None } else { self.bindings.iter().rev().find(is_bound) };
        let namespace = bound.map_or_else(|| Namespace::usual_for(prefix), |binding| binding.namespace);
        property_names::property(namespace, local)
    }
}

/// Returns whether the value makes an ambiguous property name a location.
fn is_number(meaning: Meaning, value: &[u8]) -> bool {
    let Meaning::LocationIfNumber { decimals } = meaning else { return false };
    let resolved = Resolved::of(value);
    let value = resolved.text.trim_ascii();
    let is_numeric = value.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b',' | b'+' | b'-' | b'/' | b' '));
    let point = value.iter().position(|byte| matches!(byte, b'.' | b','));
    let places = point.map_or(0, |point| value.len() - point - 1);
    is_numeric && places >= decimals && value.iter().any(u8::is_ascii_digit)
}

/// Returns the prefix that a namespace declaration binds; an empty one is the default namespace.
fn declared_prefix(reader: &Reader, attribute: &Attribute) -> Option<Range<usize>> {
    match reader.get(&attribute.name) {
        b"xmlns" => Some(attribute.name.end..attribute.name.end),
        name if name.starts_with(b"xmlns:") => Some(attribute.name.start + 6..attribute.name.end),
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IsAttribute {
    Yes,
    No,
}
