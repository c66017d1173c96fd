//! CBOR (RFC 8949), as far as needed to list the keys and texts of an assertion and to read the exclusions of a hash. Walks
//! without recursion. A false length stops the walk before anything is allocated for it.

use super::boxes::Malformed;
use super::vocabulary::Item;
use std::borrow::Cow;

/// Nesting of arrays and maps; assertions nest about 10 levels deep.
const MAX_DEPTH: usize = 64;

/// The initial byte and argument of a data item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    Number(u64),
    /// The length of a byte string or text; `None` if it is in chunks.
    Bytes(Option<usize>),
    Text(Option<usize>),
    /// The number of items or pairs; `None` for indefinite length.
    Array(Option<u64>),
    Map(Option<u64>),
    Tag,
    /// Negative numbers, floating point, booleans: nothing that is checked.
    Other,
    Break,
}

pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn of(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn head(&mut self) -> Result<Head, Malformed> {
        let &[first] = self.take(1)?.first_chunk().ok_or(Malformed)?;
        let (major, short) = (first >> 5, first & 31);
        let argument = match short {
            0..24 => Some(u64::from(short)),
            24..28 => Some(self.take(1 << (short - 24))?.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))),
            31 => None,
            _ => return Err(Malformed),
        };
        let length = || argument.map(|length| usize::try_from(length).map_err(|_| Malformed)).transpose();
        Ok(match (major, argument) {
            (0, Some(number)) => Head::Number(number),
            (1, Some(_)) | (7, Some(_)) => Head::Other,
            (2, _) => Head::Bytes(length()?),
            (3, _) => Head::Text(length()?),
            (4, _) => Head::Array(argument),
            (5, _) => Head::Map(argument),
            (6, Some(_)) => Head::Tag,
            (7, None) => Head::Break,
            _ => return Err(Malformed),
        })
    }

    /// Reads a string after its head.
    fn string(&mut self, length: Option<usize>) -> Result<Cow<'a, [u8]>, Malformed> {
        if let Some(length) = length {
            return self.take(length).map(Cow::Borrowed);
        }
        let mut whole = Vec::new();
        loop {
            match self.head()? {
                Head::Bytes(Some(length)) | Head::Text(Some(length)) => whole.extend_from_slice(self.take(length)?),
                Head::Break => return Ok(Cow::Owned(whole)),
                _ => return Err(Malformed),
            }
        }
    }
}

/// An array or a map with items to come.
struct Open {
    /// Items to come, counting keys and values of a map separately; `None`: until a break.
    left: Option<u64>,
    is_map: bool,
    key_is_next: bool,
}

/// Visits the keys, texts and byte strings of all items, in order.
pub(super) fn walk(bytes: &[u8], mut visit: impl FnMut(Item)) -> Result<(), Malformed> {
    let mut reader = Reader::of(bytes);
    let mut open: Vec<Open> = Vec::new();
    let mut key = Cow::Borrowed(&b""[..]);
    while !open.is_empty() || !reader.rest.is_empty() {
        if open.last().is_some_and(|last| last.left == Some(0)) {
            open.pop();
            continue;
        }
        let head = reader.head()?;
        if head == Head::Tag {
            continue;
        }
        if head == Head::Break {
            // Only items of indefinite length end with a break, and a map does not end between key and value.
            let last = open.pop().ok_or(Malformed)?;
            if last.left.is_some() || last.is_map && !last.key_is_next {
                return Err(Malformed);
            }
            continue;
        }
        let mut is_key = false;
        if let Some(last) = open.last_mut() {
            last.left = last.left.map(|left| left - 1);
            is_key = last.is_map && last.key_is_next;
            last.key_is_next = last.is_map && !last.key_is_next;
        }
        let nested = match head {
            Head::Array(count) => Some(Open { left: count, is_map: false, key_is_next: false }),
            Head::Map(pairs) => {
                let left = pairs.map(|pairs| pairs.checked_mul(2).ok_or(Malformed)).transpose()?;
                Some(Open { left, is_map: true, key_is_next: true })
            }
            Head::Text(length) => {
                let text = reader.string(length)?;
                if is_key {
                    visit(Item::Key(&text));
                    key = text;
                } else {
                    visit(Item::Text { key: &key, text: &text });
                }
                None
            }
            Head::Bytes(length) => {
                visit(Item::Bytes(&reader.string(length)?));
                None
            }
            Head::Number(_) | Head::Other | Head::Tag | Head::Break => None,
        };
        if let Some(nested) = nested {
            if open.len() == MAX_DEPTH {
                return Err(Malformed);
            }
            open.push(nested);
        }
    }
    Ok(())
}

/// Returns the ranges that a data hash (C2PA 2.2, 18.5) excludes, as start and length. Strict: accepts only what writers produce.
pub(super) fn exclusions(data_hash: &[u8]) -> Result<Vec<(u64, u64)>, Malformed> {
    let mut reader = Reader::of(data_hash);
    let Head::Map(Some(pairs)) = reader.head()? else { return Err(Malformed) };
    for _ in 0..pairs {
        if reader.key()? == b"exclusions" {
            return reader.ranges();
        }
        match reader.head()? {
            Head::Bytes(Some(length)) | Head::Text(Some(length)) => drop(reader.take(length)?),
            Head::Number(_) | Head::Other => {}
            _ => return Err(Malformed),
        }
    }
    Ok(Vec::new())
}

impl<'a> Reader<'a> {
    fn key(&mut self) -> Result<&'a [u8], Malformed> {
        let Head::Text(Some(length)) = self.head()? else { return Err(Malformed) };
        self.take(length)
    }

    fn ranges(&mut self) -> Result<Vec<(u64, u64)>, Malformed> {
        let Head::Array(Some(count)) = self.head()? else { return Err(Malformed) };
        let mut ranges = Vec::new();
        for _ in 0..count {
            let Head::Map(Some(2)) = self.head()? else { return Err(Malformed) };
            let (mut start, mut length) = (None, None);
            for _ in 0..2 {
                let key = self.key()?;
                let Head::Number(number) = self.head()? else { return Err(Malformed) };
                match key {
                    b"start" => start = Some(number),
                    b"length" => length = Some(number),
                    _ => return Err(Malformed),
                }
            }
            ranges.push((start.ok_or(Malformed)?, length.ok_or(Malformed)?));
        }
        Ok(ranges)
    }
}
