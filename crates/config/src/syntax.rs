//! Faults of the TOML itself, in words for people who do not know its grammar.

use std::ops::Range;

use toml::de::Error;

use crate::doc::Doc;
use crate::report::shown;

/// Reports one error of the parser.
pub(crate) fn report(doc: &Doc<'_>, text: &str, error: &Error) {
    let span = error.span().unwrap_or(0..0);
    let found = text.get(span.clone()).unwrap_or_default();
    let (message, expected) = error
        .message()
        .split_once(", expected ")
        .unwrap_or((error.message(), ""));
    match message {
        "duplicate key" => doc.fault(
            span,
            format!("{} is here twice", shown(found)),
            "keep one of them",
        ),
        "string values must be quoted" if found.is_empty() => doc.fault(
            rest_of_line(text, span),
            "this key has no value",
            "write one after `=`",
        ),
        "string values must be quoted" => {
            let word = rest_of_line(text, span);
            let hint = format!("write \"{}\"", text.get(word.clone()).unwrap_or_default());
            doc.fault(word, message, hint);
        }
        _ if expected.is_empty() => doc.fault(span, message, ""),
        _ => doc.fault(span, message, format!("expected {expected}")),
    }
}

/// An unquoted value as the user meant it: up to a comma, bracket, comment or the end of the line.
fn rest_of_line(text: &str, span: Range<usize>) -> Range<usize> {
    let rest = text.get(span.start..).unwrap_or_default();
    let line = rest.lines().next().unwrap_or_default();
    let word = line
        .split([',', ']', '}', '#', '"', '\''])
        .next()
        .unwrap_or_default()
        .trim_end();
    span.start..span.end.max(span.start + word.len())
}
