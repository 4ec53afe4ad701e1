//! Finds secrets written out in the text, by the look of their keys.
//!
//! Faults show the line they stand on (safety row D9): a password must not come along because its line has a fault, not even
//! where the syntax is so broken, or the key so misspelt, that nobody can tell what the value was for.

use std::ops::Range;

/// Parts of the names that secrets go by.
const WORDS: [&str; 8] = ["token", "authorization", "passw", "secret", "credential", "api_key", "api-key", "apikey"];

/// Whether something of this name is likely to be a secret.
pub(crate) fn is_sensitive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

/// The values behind every key of such a name, their quotes included.
pub(super) fn written(text: &str) -> Vec<Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let mut spans = Vec::new();
    for word in WORDS {
        for (at, _) in lower.match_indices(word) {
            spans.extend(value_after(text, at + word.len()));
        }
    }
    spans
}

/// The value of the key whose name goes on at `at`.
fn value_after(text: &str, at: usize) -> Option<Range<usize>> {
    let in_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '"' | '\'' | ' ' | '\t');
    let value = text[at..].trim_start_matches(in_key).strip_prefix('=')?.trim_start_matches([' ', '\t']);
    let line = value.find('\n').unwrap_or(value.len());
    let len = match value.as_bytes().first()? {
        // Either a reference to a secret, or keys of its own.
        b'{' => return None,
        b'[' => value[..line].rfind(']').map_or(line, |close| close + 1),
        quote @ (b'"' | b'\'') => {
            let quote = char::from(*quote);
            let long = String::from_iter([quote; 3]);
            match value.strip_prefix(&long) {
                Some(inner) => inner.find(&long).map_or(value.len(), |close| close + 6),
                None => quoted(&value[..line], quote),
            }
        }
        _ => value[..value[..line].find([',', '}', '#']).unwrap_or(line)].trim_end().len(),
    };
    let start = text.len() - value.len();
    Some(start..start + len)
}

/// The length of the text in quotes that a line begins with, or of the line if it does not end.
fn quoted(line: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in line.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    line.len()
}

/// The text with each of these spans starred out, byte by byte so that every place stays where it is.
pub(super) fn mask(text: &str, spans: &[Range<usize>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for byte in spans.iter().flat_map(|span| span.clone()) {
        if !matches!(bytes[byte], b'\n' | b'"' | b'\'') {
            bytes[byte] = b'*';
        }
    }
    // Spans begin and end between characters, so what is left is whole.
    String::from_utf8(bytes).unwrap_or_else(|_| "*".repeat(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_written_behind_a_sensitive_key_is_starred_out() {
        for (text, masked) in [
            ("token = \"abc\" # x", "token = \"***\" # x"),
            ("tokens = 'abc\nx = 1", "tokens = '***\nx = 1"),
            ("set = { Authorization = \"a\\\"b\", b = 1 }", "set = { Authorization = \"**\"*\", b = 1 }"),
            ("\"X-Api-Key\" = abc, b", "\"X-Api-Key\" = ***, b"),
            ("password=[\"a\", \"b\"]", "password=*\"*\"**\"*\"*"),
            ("secret = \"\"\"\nab\ncd\"\"\"\nx = 1", "secret = \"\"\"\n**\n**\"\"\"\nx = 1"),
            ("token = { env = \"NAME\" }", "token = { env = \"NAME\" }"),
            ("token", "token"),
            ("token =", "token ="),
            ("token = ü", "token = **"),
        ] {
            assert_eq!(mask(text, &written(text)), masked);
        }
    }
}
