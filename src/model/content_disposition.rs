//! `Content-Disposition`: field names and file names (RFC 6266, 7578, 8187, 2231, 2047), in every form that clients send.
//!
//! A malformed encoding never loses a name. If a value is ambiguous, the reading that clients in use intend is chosen:
//! `a%20b.jpg`, in which an encoder would have changed nothing else, is `a b.jpg`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use encoding_rs::{Encoding, SHIFT_JIS, UTF_8, WINDOWS_1252};
use percent_encoding::percent_decode;

use super::header_parameters::HeaderParameters;

/// The `Content-Disposition` of a form part or of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentDisposition(HeaderParameters);

/// Maximum number of continuations of one value (RFC 2231, 3); real names need fewer.
const MAX_PIECES: usize = 32;

impl ContentDisposition {
    pub fn parse(header: &[u8]) -> Self {
        Self(HeaderParameters::parse(header))
    }

    /// Returns the name of the form field.
    pub fn name(&self) -> Option<String> {
        let plain = self.0.get("name").map(|value| decode(value, None));
        plain.or_else(|| decode_extended(self.0.get("name*")?))
    }

    /// Returns the client's file name, if there is one. `charset` is the declared charset of the text, for values that are not
    /// UTF-8.
    pub fn file_name(&self, charset: Option<&'static Encoding>) -> Option<String> {
        let extended = self.0.get("filename*").and_then(decode_extended).or_else(|| self.continued());
        let plain = || decode_plain(self.0.get("filename")?, charset);
        // Not valid by RFC 8187, but the only name that is present.
        let broken = || decode_plain(self.0.get("filename*")?, charset);
        extended.filter(|name| !name.is_empty()).or_else(plain).or_else(broken).filter(|name| !name.is_empty())
    }

    /// Joins a name in continuations: `filename*0*`, `filename*1`, and so on (RFC 2231, 3 and 4.1).
    fn continued(&self) -> Option<String> {
        let mut encoding = None;
        let mut bytes = Vec::new();
        for number in 0..MAX_PIECES {
            if let Some(piece) = self.0.get(&format!("filename*{number}*")) {
                let piece = match (number, split_extended(piece)) {
                    (0, Some((charset, text))) => {
                        encoding = Some(charset);
                        text
                    }
                    _ => piece,
                };
                bytes.extend(percent_decode(piece));
            } else if let Some(piece) = self.0.get(&format!("filename*{number}")) {
                bytes.extend_from_slice(piece);
            } else if number == 0 {
                return None;
            } else {
                break;
            }
        }
        Some(decode(&bytes, encoding))
    }
}

/// Splits `UTF-8'en'%C3%A9.jpg` into the charset and the text.
fn split_extended(value: &[u8]) -> Option<(&'static Encoding, &[u8])> {
    let mut parts = value.splitn(3, |byte| *byte == b'\'');
    let (charset, _language, text) = (parts.next()?, parts.next()?, parts.next()?);
    Some((Encoding::for_label(charset)?, text))
}

fn decode_extended(value: &[u8]) -> Option<String> {
    let (charset, text) = split_extended(value)?;
    let bytes: Vec<u8> = percent_decode(text).collect();
    Some(decode(&bytes, Some(charset)))
}

fn decode_plain(value: &[u8], charset: Option<&'static Encoding>) -> Option<String> {
    // The declared charset describes the part's content, so a name that is valid UTF-8 is read as UTF-8.
    let text = match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => decode(value, charset),
    };
    let name = encoded_words(&text).or_else(|| percent_encoded(&text)).unwrap_or_else(|| unescape_like_browsers(&text));
    (!name.is_empty()).then_some(name)
}

/// Decodes text: UTF-8 if it is valid and no other charset is declared; otherwise the encoding that legacy programs use, which is
/// that of their system.
fn decode(bytes: &[u8], charset: Option<&'static Encoding>) -> String {
    for encoding in charset.into_iter().chain([UTF_8]) {
        if let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(bytes) {
            return text.into_owned();
        }
    }
    if let Some(text) = SHIFT_JIS.decode_without_bom_handling_and_without_replacement(bytes)
        && is_plausibly_japanese(bytes, &text)
    {
        return text.into_owned();
    }
    WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned()
}

/// Returns whether `text` is likely Shift-JIS. Nearly all byte sequences are valid Shift-JIS. Kana and common kanji start with
/// bytes that are rare symbols in Windows-1252, where they stand alone; accented letters would decode to half-width kana or
/// private-use characters.
fn is_plausibly_japanese(bytes: &[u8], text: &str) -> bool {
    let strange = |c: char| matches!(c, '\u{ff61}'..='\u{ff9f}' | '\u{e000}'..='\u{f8ff}');
    let side_by_side = text.chars().zip(text.chars().skip(1)).any(|(one, next)| !one.is_ascii() && !next.is_ascii());
    side_by_side && bytes.iter().any(|byte| (0x81..=0x9f).contains(byte)) && !text.chars().any(strange)
}

/// Decodes `=?utf-8?B?w6k=?=`, if the whole value consists of encoded words, as .NET and mail programs write names.
fn encoded_words(text: &str) -> Option<String> {
    let words = text.split_ascii_whitespace().map(encoded_word).collect::<Option<Vec<_>>>()?;
    (!words.is_empty()).then(|| words.concat())
}

fn encoded_word(word: &str) -> Option<String> {
    let mut parts = word.strip_prefix("=?")?.strip_suffix("?=")?.split('?');
    let (charset, how, text, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else { return None };
    // A language may follow the charset (RFC 2231, 5).
    let encoding = Encoding::for_label(charset.split('*').next()?.as_bytes())?;
    let bytes = match how {
        "B" | "b" => STANDARD.decode(text).ok()?,
        "Q" | "q" => percent_decode(text.replace('%', "=25").replace('_', " ").replace('=', "%").as_bytes()).collect(),
        _ => return None,
    };
    encoding.decode_without_bom_handling_and_without_replacement(&bytes).map(std::borrow::Cow::into_owned)
}

/// Decodes a percent-encoded name, if it contains no character that JavaScript's `encodeURIComponent` would have encoded.
fn percent_encoded(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()%".contains(&byte);
    if !text.contains('%') || !text.bytes().all(plain) || !text.split('%').skip(1).all(begins_with_hex) {
        return None;
    }
    percent_decode(text.as_bytes()).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn begins_with_hex(text: &str) -> bool {
    text.len() >= 2 && text.bytes().take(2).all(|byte| byte.is_ascii_hexdigit())
}

/// Undoes the escaping of browsers, which covers only these three characters and not even the percent sign (HTML,
/// "multipart/form-data encoding algorithm").
fn unescape_like_browsers(text: &str) -> String {
    text.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_name(header: &[u8]) -> Option<String> {
        ContentDisposition::parse(header).file_name(None)
    }

    #[test]
    fn names_are_found_at_any_position() {
        for (header, name, file) in [
            (r#"form-data; name="file"; filename="a.jpg""#, "file", Some("a.jpg")),
            (r#"form-data; filename="say name=x.jpg"; name="file""#, "file", Some("say name=x.jpg")),
            (r#"form-data; filename="a; name=b.jpg"; name="file""#, "file", Some("a; name=b.jpg")),
            (r#"form-data; Name="file"; fileName="a.jpg""#, "file", Some("a.jpg")),
            (r#"form-data; name="file"; filename-hint="x"; filename="a.jpg""#, "file", Some("a.jpg")),
            ("form-data; name=file; filename=my photo.jpg", "file", Some("my photo.jpg")),
            ("form-data; name*=UTF-8''file", "file", None),
            (r#"form-data; name="file"; filename="""#, "file", None),
        ] {
            let disposition = ContentDisposition::parse(header.as_bytes());
            assert_eq!(disposition.name().as_deref(), Some(name), "{header}");
            assert_eq!(disposition.file_name(None).as_deref(), file, "{header}");
        }
        assert_eq!(ContentDisposition::parse(b"form-data").name(), None);
    }

    #[test]
    fn an_extended_name_takes_precedence_over_a_plain_one_in_any_order() {
        for header in [
            "form-data; filename*=UTF-8''%C3%A9t%C3%A9.jpg",
            "form-data; filename*=utf-8'fr'%C3%A9t%C3%A9.jpg; filename=\"ete.jpg\"",
            "form-data; filename=\"ete.jpg\"; filename*=UTF-8''%c3%a9t%c3%a9.jpg",
            "form-data; filename*=\"UTF-8''%C3%A9t%C3%A9.jpg\"",
            "form-data; filename*=ISO-8859-1''%E9t%E9.jpg",
            // A wrong encoding does not lose the name.
            "form-data; filename*=UTF-8''%E9t%E9.jpg",
            "form-data; filename=\"=?utf-8?B?w6l0w6kuanBn?=\"; filename*=utf-8''%C3%A9t%C3%A9.jpg",
            "form-data; filename=\"=?utf-8?B?w6l0w6kuanBn?=\"",
            "form-data; filename=\"=?ISO-8859-1*fr?Q?=E9t=E9.jpg?=\"",
            "form-data; filename=\"=?utf-8?Q?=C3=A9?= =?utf-8?Q?t=C3=A9.jpg?=\"",
            "form-data; filename*0*=UTF-8''%C3%A9t; filename*1*=%C3%A9; filename*2=\".jpg\"",
            "form-data; filename*1=\"té.jpg\"; filename*0=\"é\"",
            "form-data; filename*=%C3%A9t%C3%A9.jpg",
            "form-data; filename*=unknown''x; filename=\"été.jpg\"",
        ] {
            assert_eq!(file_name(header.as_bytes()).as_deref(), Some("été.jpg"), "{header}");
        }
        assert_eq!(file_name(b"form-data; filename*=UTF-8''; filename=a.jpg").as_deref(), Some("a.jpg"));
        assert_eq!(file_name(b"form-data; filename*1=a.jpg"), None);
    }

    #[test]
    fn percent_encoding_is_decoded_only_if_the_whole_name_is_encoded() {
        for (sent, meant) in [
            ("my%20photo.jpg", "my photo.jpg"),
            ("%C3%A9t%C3%A9.jpg", "été.jpg"),
            ("(1)%20it's.jpg", "(1) it's.jpg"),
            // Unchanged: the name contains a character that would have been encoded, or the percent sign starts no escape.
            ("my photo%20.jpg", "my photo%20.jpg"),
            ("été%20.jpg", "été%20.jpg"),
            ("100%.jpg", "100%.jpg"),
            ("100%zz.jpg", "100%zz.jpg"),
            ("%E9.jpg", "%E9.jpg"),
            // Browsers.
            ("say %22cheese%22 %0D%0A.jpg", "say \"cheese\" \r\n.jpg"),
        ] {
            assert_eq!(file_name(format!("form-data; filename=\"{sent}\"").as_bytes()).as_deref(), Some(meant), "{sent}");
        }
    }

    #[test]
    fn legacy_encodings_are_detected() {
        for (bytes, meant) in [
            (&b"\xe9t\xe9.jpg"[..], "été.jpg"),
            (b"Gr\xf6\xdfe.jpg", "Größe.jpg"),
            (b"\xdcnal \x96 \x80.jpg", "Ünal – €.jpg"),
            (b"don\x92t.jpg", "don’t.jpg"),
            (b"\x8e\xca\x90^.jpg", "写真.jpg"),
            (b"\x83e\x83X\x83g.jpg", "テスト.jpg"),
        ] {
            let header = [b"form-data; filename=\"", bytes, b"\""].concat();
            assert_eq!(file_name(&header).as_deref(), Some(meant), "{bytes:x?}");
        }
        let greek = Encoding::for_label(b"windows-1253");
        let disposition = ContentDisposition::parse(b"form-data; filename=\"\xe1.jpg\"");
        assert_eq!(disposition.file_name(greek).as_deref(), Some("α.jpg"));
        // Valid UTF-8 is never read as another encoding.
        for label in ["iso-8859-1", "utf-16le"] {
            for name in ["été.jpg", "ab.jpg"] {
                let header = format!("form-data; filename=\"{name}\"");
                let disposition = ContentDisposition::parse(header.as_bytes());
                assert_eq!(disposition.file_name(Encoding::for_label(label.as_bytes())).as_deref(), Some(name));
            }
        }
    }

    /// Returns deterministic pseudo-random numbers.
    fn random(state: &mut u64) -> usize {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*state >> 33).unwrap()
    }

    #[test]
    fn well_formed_values_round_trip_and_nothing_panics() {
        const LETTERS: [&str; 16] = ["a", "Z", "9", " ", ";", "=", "\"", "\\", "'", "*", "é", "語", "🌅", "-", ".", ","];
        let mut state = 7;
        for _ in 0..5000 {
            let length = 1 + random(&mut state) % 12;
            let name: String = (0..length).map(|_| LETTERS[random(&mut state) % LETTERS.len()]).collect();
            let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            for part in
                [format!("filename=\"{quoted}\""), format!("filename*=UTF-8''{encoded}"), format!("filename=\"{encoded}\"")]
            {
                for header in [format!("form-data; name=\"f\"; {part}"), format!("form-data;{part} ;; NAME = f ")] {
                    let disposition = ContentDisposition::parse(header.as_bytes());
                    assert_eq!(disposition.name().as_deref(), Some("f"), "{header}");
                    assert_eq!(disposition.file_name(None).as_deref(), Some(name.as_str()), "{header}");
                }
            }
        }
        const PIECES: [&[u8]; 18] = [
            b"form-data",
            b";",
            b"name",
            b"filename",
            b"=",
            b"\"",
            b"\\",
            b"*",
            b"*0",
            b"UTF-8''",
            b"%C3",
            b"%",
            b"=?utf-8?Q?",
            b"?=",
            b" ",
            b"\xe9",
            b"\x83",
            b"x",
        ];
        for _ in 0..20_000 {
            let length = random(&mut state) % 24;
            let header: Vec<u8> = (0..length).flat_map(|_| PIECES[random(&mut state) % PIECES.len()]).copied().collect();
            let disposition = ContentDisposition::parse(&header);
            std::hint::black_box((disposition.name(), disposition.file_name(None)));
        }
    }
}
