//! Tokenizes XML (XML 1.0 with namespaces), as far as XMP needs it, without copying.
//!
//! Strict where a wrong guess would hide a property (nesting, quotes, names), lenient where it cannot (text, references,
//! duplicate attributes). A document type declaration is an error: XMP has none, and its entities could spell text that is not in
//! the document.

use std::ops::Range;

/// The document is not well-formed, or exceeds the limits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Attributes of one element; Camera Raw writes about 300.
const MAX_ATTRIBUTES: usize = 4096;

pub(super) enum Token {
    /// The attributes are in [`Reader::attributes`].
    StartTag {
        tag: Range<usize>,
        name: Range<usize>,
        self_closing: bool,
    },
    EndTag {
        tag: Range<usize>,
        name: Range<usize>,
    },
    /// A comment or a processing instruction.
    CommentOrInstruction(Range<usize>),
    /// Character data between tags, with references unresolved, or the content of a CDATA section.
    Text(Range<usize>),
}

pub(super) struct Attribute {
    /// From the first byte of the name to the closing quote.
    pub whole: Range<usize>,
    pub name: Range<usize>,
    /// Without quotes.
    pub value: Range<usize>,
}

pub(super) struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// The start of the current token.
    pub start: usize,
    pub attributes: Vec<Attribute>,
}

impl<'a> Reader<'a> {
    pub fn of(text: &'a [u8]) -> Self {
        Reader { text, at: 0, start: 0, attributes: Vec::new() }
    }

    pub fn get(&self, range: &Range<usize>) -> &'a [u8] {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// Returns the next token, or `None` at the end.
    pub fn next(&mut self) -> Result<Option<Token>, Malformed> {
        self.start = self.at;
        let Some(skip) = memchr::memchr(b'<', self.rest()) else { return Ok(None) };
        let start = self.at + skip;
        if skip > 0 {
            let text = self.at..start;
            self.at = start;
            return Ok(Some(Token::Text(text)));
        }
        let rest = self.rest();
        if rest.starts_with(b"<!--") {
            return self.skip_past(start + 4, b"-->").map(|end| Some(Token::CommentOrInstruction(start..end)));
        }
        if rest.starts_with(b"<?") {
            return self.skip_past(start + 2, b"?>").map(|end| Some(Token::CommentOrInstruction(start..end)));
        }
        if rest.starts_with(b"<![CDATA[") {
            return self.skip_past(start + 9, b"]]>").map(|end| Some(Token::Text(start + 9..end - 3)));
        }
        if rest.starts_with(b"<!") {
            return Err(Malformed);
        }
        if rest.starts_with(b"</") {
            return self.end_tag(start).map(Some);
        }
        self.start_tag(start).map(Some)
    }

    /// Returns whether the text ends within the token that could not be read.
    pub fn is_truncated(&self) -> bool {
        self.text.get(self.start..).is_some_and(|token| token.starts_with(b"<") && memchr::memchr(b'>', token).is_none())
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Moves after the next `end` and returns that position.
    fn skip_past(&mut self, from: usize, end: &[u8]) -> Result<usize, Malformed> {
        let rest = self.text.get(from..).ok_or(Malformed)?;
        self.at = from + memchr::memmem::find(rest, end).ok_or(Malformed)? + end.len();
        Ok(self.at)
    }

    fn end_tag(&mut self, start: usize) -> Result<Token, Malformed> {
        self.at = start + 2;
        let name = self.name()?;
        self.skip_space();
        self.expect(b'>')?;
        Ok(Token::EndTag { tag: start..self.at, name })
    }

    fn start_tag(&mut self, start: usize) -> Result<Token, Malformed> {
        self.at = start + 1;
        self.attributes.clear();
        let name = self.name()?;
        loop {
            let spaced = self.skip_space();
            match self.rest().first().ok_or(Malformed)? {
                b'>' => {
                    self.at += 1;
                    return Ok(Token::StartTag { tag: start..self.at, name, self_closing: false });
                }
                b'/' => {
                    self.at += 1;
                    self.expect(b'>')?;
                    return Ok(Token::StartTag { tag: start..self.at, name, self_closing: true });
                }
                _ if spaced => self.attribute()?,
                _ => return Err(Malformed),
            }
        }
    }

    fn attribute(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        let name = self.name()?;
        self.skip_space();
        self.expect(b'=')?;
        self.skip_space();
        let quote = *self.rest().first().filter(|quote| matches!(quote, b'"' | b'\'')).ok_or(Malformed)?;
        let from = self.at + 1;
        let length = memchr::memchr(quote, self.text.get(from..).unwrap_or_default()).ok_or(Malformed)?;
        let value = from..from + length;
        // A missing quote would swallow tags.
        if self.get(&value).contains(&b'<') || self.attributes.len() == MAX_ATTRIBUTES {
            return Err(Malformed);
        }
        self.at = value.end + 1;
        self.attributes.push(Attribute { whole: start..self.at, name, value });
        Ok(())
    }

    fn name(&mut self) -> Result<Range<usize>, Malformed> {
        let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/' | b'=' | b'<' | b'"' | b'\'' | b'&');
        let rest = self.rest();
        let length = rest.iter().position(ends).filter(|&length| length > 0).ok_or(Malformed)?;
        let start = self.at;
        self.at += length;
        Ok(start..self.at)
    }

    /// Skips white space and returns whether there was any.
    fn skip_space(&mut self) -> bool {
        let length = self.rest().iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.at += length;
        length > 0
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Malformed> {
        if self.rest().first() != Some(&wanted) {
            return Err(Malformed);
        }
        self.at += 1;
        Ok(())
    }
}

/// Resolves the references in an attribute value. Without a document type, only those that XML itself defines can occur.
pub(super) fn resolve(value: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut resolved = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = memchr::memchr(b'&', rest) {
        let (text, reference) = rest.split_at(start);
        resolved.extend_from_slice(text);
        let end = memchr::memchr(b';', reference).ok_or(Malformed)?;
        let name = std::str::from_utf8(reference.get(1..end).ok_or(Malformed)?).map_err(|_| Malformed)?;
        let character = match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => numbered(name).ok_or(Malformed)?,
        };
        resolved.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = reference.get(end + 1..).ok_or(Malformed)?;
    }
    resolved.extend_from_slice(rest);
    Ok(resolved)
}

fn numbered(name: &str) -> Option<char> {
    let number = name.strip_prefix('#')?;
    let code = match number.strip_prefix('x') {
        Some(digits) => u32::from_str_radix(digits, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code)
}
