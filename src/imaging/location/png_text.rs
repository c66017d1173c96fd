//! PNG text chunks (PNG 3rd edition, 11.3.3): a keyword, and a text that may be compressed. All are decompressed, except raw
//! profiles that cannot hold a location.

use super::block::{Kind, MAX_BLOCK_BYTES};
use super::inflate::{Inflater, deflate};
use super::text::{self, Encoding};
use super::{Outcome, Policy, clean_block, keywords, raw_profile};
use std::ops::Range;

/// How a chunk changes.
pub(super) enum Change {
    Keep,
    Drop,
    /// The new body.
    Replace(Vec<u8>),
}

/// Cleans a text chunk. `name` is its type: `tEXt`, `zTXt` or `iTXt`.
pub(super) fn clean(name: &[u8], body: &[u8], inflater: &mut Inflater, policy: Policy) -> Change {
    let Some(text) = Text::of(name, body) else { return Change::Keep };
    if keywords::is_location_keyword(text.keyword) {
        return Change::Drop;
    }
    let Some(content) = Content::of(text.keyword) else { return Change::Keep };
    let stored = body.get(text.range.clone()).unwrap_or_default();
    let opened = match text.compressed {
        _ if stored.len() > MAX_BLOCK_BYTES => None,
        true => inflater.inflate_readable(stored),
        false => Some((stored.to_vec(), false)),
    };
    // A text that is too large may hold anything.
    let Some((mut opened, is_damaged)) = opened else { return Change::Drop };
    match content.clean(&mut opened, policy) {
        Outcome::Unchanged => return Change::Keep,
        Outcome::Emptied => return Change::Drop,
        // Compressed again, the text would no longer be damaged, so it is dropped.
        Outcome::Edited if is_damaged => return Change::Drop,
        Outcome::Edited => {}
    }
    let closed = if text.compressed { deflate(&opened) } else { Some(opened) };
    let (Some(head), Some(closed)) = (body.get(..text.range.start), closed) else { return Change::Drop };
    Change::Replace([head, &closed].concat())
}

struct Text<'a> {
    keyword: &'a [u8],
    compressed: bool,
    /// The range of the text in the body of the chunk.
    range: Range<usize>,
}

impl<'a> Text<'a> {
    fn of(name: &[u8], body: &'a [u8]) -> Option<Self> {
        let end_of = |from: usize| Some(from + memchr::memchr(0, body.get(from..)?)?);
        let keyword_end = end_of(0)?;
        let keyword = body.get(..keyword_end)?;
        let (compressed, start) = match name {
            b"tEXt" => (false, keyword_end + 1),
            // One byte for the compression method.
            b"zTXt" => (true, keyword_end + 2),
            _ => {
                let compressed = *body.get(keyword_end + 1)? != 0;
                let language_end = end_of(keyword_end + 3)?;
                (compressed, end_of(language_end + 1)? + 1)
            }
        };
        Some(Text { keyword, compressed, range: start.min(body.len())..body.len() })
    }
}

enum Content {
    Xmp,
    Profile(Kind),
    /// Human-readable text.
    HumanText,
    /// Anything that programs write under other keywords.
    Data,
}

impl Content {
    fn of(keyword: &[u8]) -> Option<Self> {
        if keyword.eq_ignore_ascii_case(b"XML:com.adobe.xmp") || keyword.eq_ignore_ascii_case(b"xmp") {
            return Some(Content::Xmp);
        }
        if raw_profile::is_raw_profile(keyword) {
            return raw_profile::announced_kind(keyword).map(Content::Profile);
        }
        Some(if keywords::is_human_text(keyword) { Content::HumanText } else { Content::Data })
    }

    fn clean(&self, text: &mut [u8], policy: Policy) -> Outcome {
        match *self {
            Content::Xmp => clean_block(Kind::Xmp, text, policy),
            Content::Profile(kind) => raw_profile::clean(kind, text, policy),
            Content::HumanText if text::clean(text, Encoding::Bytes, policy) => Outcome::Edited,
            Content::Data if text::clean_data(text, policy) => Outcome::Edited,
            Content::HumanText | Content::Data => Outcome::Unchanged,
        }
    }
}
