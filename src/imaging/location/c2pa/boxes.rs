//! JUMBF (ISO 19566-5): nested boxes, each with a length and a type. Parses slices without copying.

/// The bytes are not boxes, or exceed the limits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// A box without its header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Box<'a> {
    pub name: [u8; 4],
    pub body: &'a [u8],
}

/// Iterates over consecutive boxes. An error is the last item.
pub(super) fn boxes(bytes: &[u8]) -> impl Iterator<Item = Result<Box<'_>, Malformed>> {
    // Writers pad with zeros. Computed once, because a store may hold a million boxes.
    let padding = bytes.iter().rev().take_while(|byte| super::super::is_blank(std::slice::from_ref(*byte))).count();
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let here = rest.take().filter(|here| here.len() > padding)?;
        let next = split(here);
        if let Ok((_, after)) = next {
            rest = Some(after);
        }
        Some(next.map(|(found, _)| found))
    })
}

fn split(bytes: &[u8]) -> Result<(Box<'_>, &[u8]), Malformed> {
    let [a, b, c, d, name @ ..] = *bytes.first_chunk::<8>().ok_or(Malformed)?;
    let (head, size) = match u32::from_be_bytes([a, b, c, d]) {
        // Up to the end of the enclosing box.
        0 => (8, bytes.len()),
        1 => {
            let long = bytes.get(8..).and_then(|rest| rest.first_chunk()).ok_or(Malformed)?;
            (16, usize::try_from(u64::from_be_bytes(*long)).map_err(|_| Malformed)?)
        }
        size => (8, size as usize),
    };
    let body = bytes.get(head..size).ok_or(Malformed)?;
    Ok((Box { name, body }, bytes.get(size..).unwrap_or_default()))
}

/// A superbox (`jumb`): its description, and the boxes after that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Superbox<'a> {
    /// The first four bytes of the content's UUID, which identify it.
    pub kind: [u8; 4],
    pub label: &'a [u8],
    /// The content boxes, for [`boxes`].
    pub content: &'a [u8],
}

impl<'a> Superbox<'a> {
    /// Parses the body of a `jumb` box.
    pub fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        const HAS_LABEL: u8 = 2;
        let (description, content) = split(body)?;
        if description.name != *b"jumd" {
            return Err(Malformed);
        }
        let kind = *description.body.first_chunk().ok_or(Malformed)?;
        let toggles = *description.body.get(16).ok_or(Malformed)?;
        let text = description.body.get(17..).unwrap_or_default();
        let label = match memchr::memchr(0, text) {
            Some(end) if toggles & HAS_LABEL != 0 => text.get(..end).unwrap_or_default(),
            None if toggles & HAS_LABEL != 0 => return Err(Malformed),
            _ => Default::default(),
        };
        Ok(Superbox { kind, label, content })
    }

    /// Iterates over the superboxes directly in it; other boxes are skipped.
    pub fn superboxes(self) -> impl Iterator<Item = Result<Superbox<'a>, Malformed>> {
        boxes(self.content).filter_map(|found| match found {
            Ok(Box { name, body }) => (name == *b"jumb").then(|| Superbox::read(body)),
            Err(error) => Some(Err(error)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_that_look_like_padding_are_all_read() {
        // Every byte is blank except the lengths of the boxes, and a length of 9 is a tab: searching for padding after each of a
        // million boxes would take hours.
        const COUNT: usize = 1_000_000;
        let blank = b"\0\0\0\x09     ".repeat(COUNT);
        for (end, count) in [(&b""[..], 0), (b"\0\0\0\x08last", COUNT + 1), (b"\0\0\0\x08last\0\0\0\0\0\0", COUNT + 1)] {
            let bytes = [&blank, end].concat();
            let mut found = 0;
            for next in boxes(&bytes) {
                let Box { name, body } = next.expect("a box");
                assert!(name == *b"last" && body.is_empty() || name == *b"    " && body == b" ");
                found += 1;
            }
            assert_eq!(found, count);
        }
    }
}
