//! The values of `Content-Type` and `Content-Disposition`: a token, then parameters (RFC 9110, 5.6.6).
//!
//! The parser accepts what clients send, which is more than the grammar allows: parameters in any order and case, white space
//! anywhere, empty parameters, unquoted values with any characters, and unescaped quotes. It never fails; invalid parts are
//! skipped.

/// A parsed header value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderParameters {
    /// The token before the parameters, in lower case: `form-data`, `multipart/form-data`.
    pub kind: String,
    parameters: Vec<(String, Vec<u8>)>,
}

/// Maximum number of parameters; further ones are skipped. No client sends as many.
const MAX_PARAMETERS: usize = 64;

impl HeaderParameters {
    pub fn parse(header: &[u8]) -> Self {
        let end = header.iter().position(|byte| *byte == b';').unwrap_or(header.len());
        let kind = String::from_utf8_lossy(header[..end].trim_ascii()).to_ascii_lowercase();
        let mut parameters = Vec::new();
        let mut rest = &header[end..];
        while parameters.len() < MAX_PARAMETERS {
            rest = skip(rest, |byte| byte == b';' || is_space(byte));
            if rest.is_empty() {
                break;
            }
            let end = rest.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(rest.len());
            let name = String::from_utf8_lossy(rest[..end].trim_ascii()).to_ascii_lowercase();
            rest = &rest[end..];
            let Some(after) = rest.strip_prefix(b"=") else { continue };
            let (value, after) = read_value(skip(after, is_space));
            parameters.push((name, value));
            rest = after;
        }
        Self { kind, parameters }
    }

    /// Returns the value of the first parameter with this name, which must be in lower case. Quotes and escapes are resolved; the
    /// encoding of the bytes is up to the client.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    /// As [`HeaderParameters::get`], if the value is valid UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        str::from_utf8(self.get(name)?).ok()
    }
}

fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn skip(bytes: &[u8], unwanted: impl Fn(u8) -> bool) -> &[u8] {
    let start = bytes.iter().position(|byte| !unwanted(*byte)).unwrap_or(bytes.len());
    &bytes[start..]
}

/// Splits off a value; returns the value and the rest.
fn read_value(bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some(quoted) = bytes.strip_prefix(b"\"") else {
        let end = bytes.iter().position(|byte| *byte == b';').unwrap_or(bytes.len());
        return (bytes[..end].trim_ascii().to_vec(), &bytes[end..]);
    };
    if let Some(end) = closing_quote(quoted, true) {
        return (unescape(&quoted[..end]), &quoted[end + 1..]);
    }
    // Invalid by the grammar: a backslash or a quote that was not escaped, such as in "C:\photos\".
    if let Some(end) = closing_quote(quoted, false) {
        return (quoted[..end].to_vec(), &quoted[end + 1..]);
    }
    (quoted.trim_ascii().to_vec(), &[])
}

/// Returns the position of the quote that ends a quoted string: with escapes, the first unescaped quote, which must be followed
/// by a semicolon or the end; without escapes, the first quote that is.
fn closing_quote(quoted: &[u8], with_escapes: bool) -> Option<usize> {
    let mut position = 0;
    while let Some(byte) = quoted.get(position) {
        match byte {
            b'\\' if with_escapes => position += 1,
            b'"' if matches!(skip(&quoted[position + 1..], is_space).first(), None | Some(b';')) => return Some(position),
            b'"' if with_escapes => return None,
            _ => {}
        }
        position += 1;
    }
    None
}

/// Resolves `\"` and `\\`. A backslash before any other character is part of a Windows path, which some browsers do not escape.
fn unescape(quoted: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let escaped = if byte == b'\\' { bytes.next_if(|next| matches!(next, b'"' | b'\\')) } else { None };
        value.push(escaped.unwrap_or(byte));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(header: &str, name: &str) -> Option<String> {
        HeaderParameters::parse(header.as_bytes()).text(name).map(str::to_owned)
    }

    #[test]
    fn whitespace_empty_parameters_order_and_case_do_not_matter() {
        for header in [
            "multipart/form-data; boundary=X",
            "multipart/form-data ; boundary=X",
            "Multipart/Form-Data;\tboundary=X",
            "multipart/form-data;boundary = X ",
            "multipart/form-data; charset=UTF-8   ;    BOUNDARY=\"X\"",
            "multipart/form-data; boundary=X ; charset=utf-8",
            "multipart/form-data;; ; Boundary=X;",
            "multipart/form-data; flag; boundary=X",
            "multipart/form-data; x=\"; boundary=Y\"; boundary=X; boundary=Z",
        ] {
            assert_eq!(HeaderParameters::parse(header.as_bytes()).kind, "multipart/form-data", "{header}");
            assert_eq!(get(header, "boundary").as_deref(), Some("X"), "{header}");
        }
    }

    #[test]
    fn an_unquoted_value_may_contain_characters_that_require_quotes() {
        for boundary in ["===1616056691487===", "b/Q.eEb", "gc0p:2Y/t0", "a(b)<c>@,?", "my photo.jpg"] {
            let header = format!("multipart/form-data; boundary={boundary} ; charset=utf-8");
            assert_eq!(get(&header, "boundary").as_deref(), Some(boundary));
        }
    }

    #[test]
    fn a_quoted_value_ends_where_the_client_intended() {
        for (header, value) in [
            (r#"f; v="a;b=c""#, "a;b=c"),
            (r#"f; v="say \"hi\""; w=x"#, r#"say "hi""#),
            (r#"f; v="a \\ b""#, r"a \ b"),
            (r#"f; v="C:\photos\me.png""#, r"C:\photos\me.png"),
            (r#"f; v="C:\photos\"; w="x""#, r"C:\photos\"),
            (r#"f; v="C:\photos\""#, r"C:\photos\"),
            (r#"f; v="a "quoted" name" ; w=x"#, r#"a "quoted" name"#),
            (r#"f; v="unfinished"#, "unfinished"),
            (r#"f; v=""; w=x"#, ""),
            ("f; v=", ""),
            (r#"f; v=a"b"#, r#"a"b"#),
        ] {
            assert_eq!(get(header, "v").as_deref(), Some(value), "{header}");
        }
        for header in ["", ";", "f; v", "=;=", "f; w=\"v=x\""] {
            assert_eq!(get(header, "v"), None, "{header}");
        }
    }

    #[test]
    fn the_number_of_parameters_is_limited() {
        let header = format!("f{}; last=x", "; a=b".repeat(100_000));
        assert_eq!(get(&header, "a").as_deref(), Some("b"));
        assert_eq!(get(&header, "last"), None);
    }
}
