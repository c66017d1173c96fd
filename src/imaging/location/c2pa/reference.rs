//! The reference to a remote manifest: the XMP property `dcterms:provenance` (C2PA 2.2, 11.5). The manifest is not fetched, so it
//! is unknown which bytes its hash covers.

use super::super::spans::Span;
use super::super::xml::{Attribute, Malformed, Reader, Token};
use super::super::{Outcome, fill};
use memchr::memmem;
use std::ops::Range;

const LOCAL_NAME: &[u8] = b"provenance";
const NAMESPACE: &[u8] = b"http://purl.org/dc/terms/";
const USUAL_PREFIX: &[u8] = b"dcterms";

/// Returns whether a packet has a reference.
pub(super) fn is_in(packet: &[u8]) -> bool {
    find(packet).is_ok_and(|found| !found.is_empty())
}

/// Overwrites the reference with spaces, like other properties. A malformed packet stays: its readers find no reference either.
pub(in super::super) fn remove(packet: &mut [u8]) -> Outcome {
    let Ok(found) = find(packet) else { return Outcome::Unchanged };
    let mut outcome = Outcome::Unchanged;
    for span in found {
        if packet.get_mut(span.range()).is_some_and(|property| fill(property, b' ')) {
            outcome = Outcome::Edited;
        }
    }
    outcome
}

fn find(packet: &[u8]) -> Result<Vec<Span>, Malformed> {
    // True for nearly every packet.
    if memmem::find(packet, LOCAL_NAME).is_none() {
        return Ok(Vec::new());
    }
    let prefixes = prefixes(packet)?;
    let is_reference = |name: &[u8]| {
        let prefix = name.strip_suffix(LOCAL_NAME).and_then(|prefix| prefix.strip_suffix(b":"));
        prefix.is_some_and(|prefix| prefix == USUAL_PREFIX || prefixes.contains(&prefix))
    };
    let mut found = Vec::new();
    let mut add = |range: Range<usize>| found.extend(Span::inside(range.start, range.len(), packet.len()));
    let mut reader = Reader::of(packet);
    let mut open: Option<usize> = None;
    while let Some(token) = reader.next()? {
        match token {
            Token::StartTag { tag, name, self_closing } if open.is_none() => {
                if !is_reference(reader.get(&name)) {
                    let found = reader.attributes.iter().filter(|attribute| is_reference(reader.get(&attribute.name)));
                    found.for_each(|attribute| add(attribute.whole.clone()));
                } else if self_closing {
                    add(tag);
                } else {
                    open = Some(tag.start);
                }
            }
            Token::EndTag { tag, name } if is_reference(reader.get(&name)) => {
                if let Some(start) = open.take() {
                    add(start..tag.end);
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Returns the prefixes bound to the namespace anywhere in the packet.
fn prefixes(packet: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    const MAX_PREFIXES: usize = 16;
    let mut prefixes = Vec::new();
    let mut reader = Reader::of(packet);
    while let Some(token) = reader.next()? {
        if !matches!(token, Token::StartTag { .. }) {
            continue;
        }
        for Attribute { name, value, .. } in &reader.attributes {
            let prefix = reader.get(name).strip_prefix(b"xmlns:").filter(|_| reader.get(value) == NAMESPACE);
            prefixes.extend(prefix.filter(|prefix| prefixes.len() < MAX_PREFIXES && !prefixes.contains(prefix)));
        }
    }
    Ok(prefixes)
}
