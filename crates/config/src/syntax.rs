//! Faults of the TOML itself, in words for people who do not know its grammar.

use std::ops::Range;

use toml::de::Error;

use crate::doc::Doc;
use crate::report::shown;

/// Reports what the parser could not read, once for each cause, and marks it so that nothing is reported on top.
pub(crate) fn report(doc: &mut Doc<'_>, text: &str, errors: &[Error]) {
    let mut errors: Vec<_> = errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message())).collect();
    errors.sort_by_key(|(span, _)| span.start);
    for (i, (span, message)) in errors.iter().enumerate() {
        if doc.is_unreadable(span.start) {
            continue;
        }
        let mut end = span.end;
        if let Some(open) = Open::before(text, span.start, message) {
            // It swallows what follows: the parser stumbles on until it gives up.
            let given_up = errors[i..].iter().find(|(_, message)| message.starts_with(open.given_up));
            end = given_up.map_or(end, |(given_up, _)| given_up.end);
            let hint = format!("write `{}` before", open.close);
            doc.fault(span.clone(), format!("the {} before this is not closed", open.what), hint);
        } else {
            let (at, message, hint) = explain(doc, text, span, message);
            doc.fault(at, message, hint);
        }
        doc.unreadable(line_start(text, span.start)..line_end(text, end) + 1);
    }
}

/// A bracket that is still open where a new line of the file seems to begin.
struct Open {
    what: &'static str,
    close: char,
    /// What the parser says at last.
    given_up: &'static str,
}

impl Open {
    fn before(text: &str, at: usize, message: &str) -> Option<Self> {
        let line = &text[line_start(text, at)..line_end(text, at)];
        let is_key = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        let begins = line.starts_with('[') || line.split_once('=').is_some_and(|(key, _)| is_key(key.trim_end()));
        let what = message.split(", expected ").next().filter(|_| begins)?;
        match what {
            "missing comma between array elements" | "unexpected `=` in array" => {
                Some(Self { what: "array", close: ']', given_up: "unclosed array," })
            }
            "missing comma between key-value pairs" | "missing key for inline table element" | "invalid inline table element" => {
                Some(Self { what: "table", close: '}', given_up: "unclosed inline table" })
            }
            _ => None,
        }
    }
}

/// Where the fault is, what it is and what to do.
fn explain(doc: &Doc<'_>, text: &str, span: &Range<usize>, message: &str) -> (Range<usize>, String, String) {
    let (message, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let found = text.get(span.clone()).unwrap_or_default();
    if message == "duplicate key" {
        return (span.clone(), format!("{} is here twice", shown(found)), "keep one of them".to_owned());
    }
    match unquoted(text, span) {
        Some(value) if value.is_empty() => {
            return (span.clone(), "this key has no value".to_owned(), "write one after `=`".to_owned());
        }
        Some(value) => {
            let word = if doc.is_secret(value.start) { "…" } else { &text[value.clone()] };
            let hint = format!("write \"{word}\"");
            return (value, "a text needs quotes".to_owned(), hint);
        }
        None => {}
    }
    let (message, hint) = match (message, expected) {
        ("invalid basic string", "`\"`") => ("this text has no end", "close it with `\"`".to_owned()),
        (message, "" | "nothing") => (message, String::new()),
        (message, expected) => (message, format!("expected {expected}")),
    };
    (span.clone(), message.to_owned(), hint)
}

/// A value without quotes around the fault, as the user meant it: from `=` to the end of the line or what follows in its
/// brackets.
fn unquoted(text: &str, span: &Range<usize>) -> Option<Range<usize>> {
    let start = line_start(text, span.start);
    let before = text.get(start..span.start)?;
    let line = text.get(start..line_end(text, span.start))?;
    let equals = before.rfind('=')?;
    let value = line[equals + 1..].trim_start();
    let at = start + line.len() - value.len();
    let end = value.find([',', ']', '}', '#', '"', '\'', '[', '{']).unwrap_or(value.len());
    let word = value[..end].trim_end();
    let alone = matches!(value[end..].chars().next(), None | Some(',' | '}' | '#'));
    // Between the value and the fault nothing else may have begun.
    (alone && span.start <= at + end).then(|| at..at + word.len())
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at.min(text.len())].rfind('\n').map_or(0, |newline| newline + 1)
}

fn line_end(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |newline| at + newline)
}
