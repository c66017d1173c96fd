//! The OpenAPI document as YAML that YAML 1.1 and 1.2 parsers read alike.
//!
//! The library writes YAML 1.2, but SnakeYAML (openapi-generator) and PyYAML still read YAML 1.1, where plain `off`, `2026-01-31`
//! and `12:30` are a boolean, a date and a number. So every plain scalar that a parser could read as another type is quoted.

use utoipa::openapi::OpenApi;

/// Serialises the document as YAML.
///
/// # Errors
/// The document cannot be serialised.
pub fn to_yaml(document: &OpenApi) -> Result<String, impl std::error::Error + Send + Sync + 'static> {
    document.to_yaml().map(|yaml| quote_ambiguous(&yaml))
}

/// Quotes the ambiguous keys and values of `yaml`. Expects the library's output: one key or value on each line, no flow
/// collections except `[]` and `{}`, no folded lines outside of block scalars, no comments.
fn quote_ambiguous(yaml: &str) -> String {
    let mut quoted = String::with_capacity(yaml.len());
    // Lines with a larger indentation belong to a block scalar (`|` or `>`), which is text anyway.
    let mut block: Option<usize> = None;
    for line in yaml.lines() {
        let indent = line.len() - line.trim_start_matches(' ').len();
        if block.is_some_and(|parent| indent > parent || line.trim().is_empty()) {
            quoted.push_str(line);
        } else {
            block = quote_line(line, indent, &mut quoted);
        }
        quoted.push('\n');
    }
    quoted
}

/// Writes one line. Returns the indentation of the block scalar's parent if a block scalar starts here.
fn quote_line(line: &str, indent: usize, quoted: &mut String) -> Option<usize> {
    let (mut rest, mut column, mut parent) = (&line[indent..], indent, indent);
    while let Some(item) = rest.strip_prefix("- ") {
        parent = column;
        let spaces = item.len() - item.trim_start_matches(' ').len();
        column += 2 + spaces;
        rest = &item[spaces..];
    }
    quoted.push_str(&line[..column]);
    let value = match split_key(rest) {
        Some((key, value)) => {
            parent = column;
            push_scalar(key, quoted);
            quoted.push(':');
            let text = value.trim_start_matches(' ');
            quoted.push_str(&value[..value.len() - text.len()]);
            text
        }
        None => rest,
    };
    push_scalar(value, quoted);
    value.starts_with(['|', '>']).then_some(parent)
}

/// Splits a line into its key and the text after the colon.
fn split_key(text: &str) -> Option<(&str, &str)> {
    let end = match text.chars().next()? {
        quote @ ('\'' | '"') => quoted_length(text, quote)?,
        _ => text.find(": ").or_else(|| text.ends_with(':').then(|| text.len() - 1))?,
    };
    let (key, rest) = text.split_at(end);
    rest.strip_prefix(':').filter(|value| value.is_empty() || value.starts_with(' ')).map(|value| (key, value))
}

/// Returns the length of the quoted scalar at the start of `text`, including its quotes.
fn quoted_length(text: &str, quote: char) -> Option<usize> {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((position, character)) = characters.next() {
        match character {
            '\\' if quote == '"' => drop(characters.next()),
            '\'' if quote == '\'' && characters.peek().is_some_and(|(_, next)| *next == '\'') => drop(characters.next()),
            _ if character == quote => return Some(position + 1),
            _ => {}
        }
    }
    None
}

fn push_scalar(text: &str, quoted: &mut String) {
    if is_ambiguous(text) {
        quoted.push('\'');
        quoted.push_str(text);
        quoted.push('\'');
    } else {
        quoted.push_str(text);
    }
}

/// Returns whether a plain scalar is a string here, but another type for a YAML 1.1 parser. The library quotes strings that look
/// like JSON values, so plain ones of that form are values. Everything else that starts like a number, a date or a time is
/// quoted.
fn is_ambiguous(text: &str) -> bool {
    const WORDS: [&str; 12] = ["y", "yes", "n", "no", "on", "off", "true", "false", "null", "~", "=", "<<"];
    if ["true", "false", "null"].contains(&text) || serde_json::from_str::<serde_json::Number>(text).is_ok() {
        return false;
    }
    WORDS.contains(&text.to_ascii_lowercase().as_str())
        || text.starts_with(|first: char| first.is_ascii_digit())
        || text.strip_prefix(['+', '-', '.']).is_some_and(|rest| rest.starts_with(|next: char| next != ' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_yaml_1_1_reads_as_another_type_is_quoted() {
        for word in [
            "y",
            "Y",
            "yes",
            "Yes",
            "YES",
            "n",
            "N",
            "no",
            "No",
            "NO",
            "on",
            "On",
            "ON",
            "off",
            "Off",
            "OFF",
            "True",
            "TRUE",
            "False",
            "FALSE",
            "Null",
            "NULL",
            "~",
            "=",
            "<<",
            "0b101",
            "0o17",
            "017",
            "0x1F",
            "1_000",
            "+12",
            "-1_0",
            "190:20:30",
            "12:30",
            "20:30.15",
            "1e3x",
            ".5",
            "-.5",
            ".inf",
            "-.INF",
            ".NaN",
            "2026-01-31",
            "2026-01-31T12:00:00.123Z",
            "3.1.0",
        ] {
            let (value, item) = (format!("'{word}'\n"), format!("- '{word}'\n"));
            assert_eq!(quote_ambiguous(&format!("{word}\n")), value, "as a document");
            assert_eq!(quote_ambiguous(&format!("- {word}\n")), item, "as an item");
            assert_eq!(quote_ambiguous(&format!("a:\n  b: {word}\n")), format!("a:\n  b: {value}"), "as a value");
            assert_eq!(quote_ambiguous(&format!("- - {word}: 1\n")), format!("- - '{word}': 1\n"), "as a key");
            assert_eq!(quote_ambiguous(&format!("{word}:\n- a\n")), format!("'{word}':\n- a\n"), "as a key of its own line");
        }
    }

    #[test]
    fn values_and_unambiguous_text_are_not_changed() {
        for yaml in [
            "a: true\nb: false\nc: null\nd: 12\ne: -1.5\nf: 1e-7\n",
            "a: office\nb: yesterday\nc: ''\nd: 'off'\ne: \"on\"\nf: []\ng: {}\nh: not off\n",
            "'200':\n  description: 'it''s: on'\n\"a\\\": b\": c\n",
            "$ref: '#/components/schemas/Image'\npattern: ^[a-z: ]+$\nurl: http://localhost:8000/i\n",
            "/images/{image_id}.json:\n  get:\n    tags:\n    - images\n",
            "-\n",
        ] {
            assert_eq!(quote_ambiguous(yaml), yaml);
        }
    }

    #[test]
    fn block_scalars_are_text_until_their_indentation_ends() {
        let yaml = "a: |-\n  off\n\n  on: yes\nb:\n- |\n  no\n- c: >-\n    off\n  d: off\n- off\n";
        let quoted = "a: |-\n  off\n\n  on: yes\nb:\n- |\n  no\n- c: >-\n    off\n  d: 'off'\n- 'off'\n";
        assert_eq!(quote_ambiguous(yaml), quoted);
    }
}
