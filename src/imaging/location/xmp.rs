//! XMP (ISO 16684-1): finds the properties that name a place, by namespace rather than prefix, as elements and as
//! attributes, and overwrites them with spaces. The packet keeps its length; it stays well-formed without them.
//!
//! A packet that is not well-formed XML in UTF-8 is wiped whole. That includes the rare packets in UTF-16 and UTF-32.

use super::fields::{self, Namespace};
use super::spans::Span;
use super::xml::{self, Attribute, Malformed, Reader, Token};
use super::{Outcome, block, fill};
use std::ops::Range;

/// XMP nests structures in lists in structures: about 10 deep.
const MAX_DEPTH: usize = 256;

/// Namespaces in scope at one time; packets declare about 20. Looking one up goes through all, so this bounds the time.
const MAX_BINDINGS: usize = 128;

/// Removes the location in place.
pub(super) fn clean(packet: &mut [u8]) -> Outcome {
    match find(packet) {
        Ok(found) if found.is_empty() => Outcome::Unchanged,
        Ok(found) => {
            for span in found {
                packet.get_mut(span.range()).map(|range| fill(range, b' '));
            }
            Outcome::Edited
        }
        Err(Malformed) => block::wipe(block::Kind::Xmp, packet),
    }
}

/// Where the properties lie.
fn find(packet: &[u8]) -> Result<Vec<Span>, Malformed> {
    let padding = |byte: &&u8| matches!(**byte, 0 | b' ' | b'\t' | b'\n' | b'\r');
    let start = packet.iter().take_while(padding).count();
    let end = packet.len() - packet.iter().rev().take_while(padding).count();
    let text = packet.get(start..end).unwrap_or_default();
    // Zeros are what UTF-16 and UTF-32 have, and no XML in UTF-8.
    if memchr::memchr(0, text).is_some() || !starts_as_xml(text) {
        return Err(Malformed);
    }
    let mut search = Search { found: Vec::new(), elements: Vec::new(), bindings: Vec::new(), length: packet.len() };
    // With the padding before it, for the offsets' sake.
    search.run(packet.get(..end).unwrap_or_default())?;
    Ok(search.found)
}

fn starts_as_xml(text: &[u8]) -> bool {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii_start().first().is_none_or(|&byte| byte == b'<')
}

struct Search {
    found: Vec<Span>,
    elements: Vec<Element>,
    bindings: Vec<Binding>,
    /// Of the packet.
    length: usize,
}

/// An element that is open.
struct Element {
    name: Range<usize>,
    /// How many bindings were in scope around it.
    bindings: usize,
    /// Where it starts, when it is to be removed.
    removed_from: Option<usize>,
}

struct Binding {
    prefix: Range<usize>,
    /// Tells most prefixes apart without looking at them.
    key: u64,
    namespace: Namespace,
}

/// The prefix's length and its first bytes.
fn key(prefix: &[u8]) -> u64 {
    prefix.iter().take(7).fold(prefix.len() as u64, |key, &byte| key << 8 | u64::from(byte))
}

impl Search {
    fn run(&mut self, text: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::of(text);
        let mut inside = false;
        while let Some(token) = reader.next()? {
            match token {
                Token::Aside(range) if !inside && fields::aside_mentions_location(reader.get(&range)) => self.add(range),
                Token::Aside(_) => {}
                Token::Open { tag, name, closed } => {
                    let around = self.bindings.len();
                    self.bind(&reader)?;
                    let removed = !inside && self.is_location(&reader, &name, IsAttribute::No);
                    if !inside && !removed {
                        self.attributes(&reader);
                    }
                    if closed {
                        self.bindings.truncate(around);
                        if removed {
                            self.add(tag);
                        }
                        continue;
                    }
                    if self.elements.len() == MAX_DEPTH {
                        return Err(Malformed);
                    }
                    inside |= removed;
                    let removed_from = removed.then_some(tag.start);
                    self.elements.push(Element { name, bindings: around, removed_from });
                }
                Token::Close { tag, name } => {
                    let element = self.elements.pop().ok_or(Malformed)?;
                    if reader.get(&element.name) != reader.get(&name) {
                        return Err(Malformed);
                    }
                    self.bindings.truncate(element.bindings);
                    if let Some(start) = element.removed_from {
                        self.add(start..tag.end);
                        inside = false;
                    }
                }
            }
        }
        if self.elements.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    fn add(&mut self, range: Range<usize>) {
        self.found.extend(Span::inside(range.start, range.len(), self.length));
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
            if declared_prefix(reader, attribute).is_none() && self.is_location(reader, &attribute.name, IsAttribute::Yes) {
                self.add(attribute.whole.clone());
            }
        }
    }

    fn is_location(&self, reader: &Reader, name: &Range<usize>, is_attribute: IsAttribute) -> bool {
        let name = reader.get(name);
        let (prefix, local) = match memchr::memchr(b':', name) {
            Some(at) => (name.get(..at).unwrap_or_default(), name.get(at + 1..).unwrap_or_default()),
            None => (Default::default(), name),
        };
        // The default namespace is for elements only.
        let unqualified = prefix.is_empty() && is_attribute == IsAttribute::Yes;
        let key = key(prefix);
        let is_bound = |binding: &&Binding| binding.key == key && reader.get(&binding.prefix) == prefix;
        let bound = if unqualified { None } else { self.bindings.iter().rev().find(is_bound) };
        let namespace = bound.map_or_else(|| Namespace::usual_for(prefix), |binding| binding.namespace);
        fields::is_location(namespace, local)
    }
}

/// The prefix that a namespace declaration is for; an empty one is the default.
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
