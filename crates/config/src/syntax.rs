//! Faults of the TOML itself, in words for people who do not know its grammar.

use std::ops::Range;

use toml::de::Error;

use crate::doc::Doc;
use crate::report::shown;

/// Reports what the parser could not read, once for each cause, and marks it so that nothing is reported on top.
pub(crate) fn report(doc: &mut Doc<'_>, text: &str, errors: &[Error]) {
    for (i, error) in errors.iter().enumerate() {
        let span = error.span().unwrap_or(0..0);
        let fault = explain(text, &span, error.message());
        doc.fault(fault.at, fault.message, fault.hint);
        // An array that is not closed swallows what follows: the parser stumbles on until it gives up.
        let given_up = errors[i..]
            .iter()
            .find(|later| is_in_array(error) && later.message().starts_with("unclosed array,"));
        let end = given_up
            .and_then(Error::span)
            .map_or(span.end, |given_up| given_up.end);
        doc.unreadable(line_start(text, span.start)..line_end(text, end) + 1);
    }
}

struct Explained {
    at: Range<usize>,
    message: String,
    hint: String,
}

fn explain(text: &str, span: &Range<usize>, message: &str) -> Explained {
    let (message, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let say = |at: Range<usize>, message: &str, hint: String| Explained {
        at,
        message: message.to_owned(),
        hint,
    };
    let found = text.get(span.clone()).unwrap_or_default();
    if message == "duplicate key" {
        return say(
            span.clone(),
            &format!("{} is here twice", shown(found)),
            "keep one of them".to_owned(),
        );
    }
    if let Some(value) = unquoted(text, span) {
        if value.is_empty() {
            return say(
                span.clone(),
                "this key has no value",
                "write one after `=`".to_owned(),
            );
        }
        let hint = format!("write \"{}\"", &text[value.clone()]);
        return say(value, "a text needs quotes", hint);
    }
    match (message, expected) {
        ("missing comma between array elements", _) => say(
            span.clone(),
            "the array before this is not closed",
            "write `]` before, or `,` if this is an item of it".to_owned(),
        ),
        ("invalid basic string", "`\"`") => say(
            span.clone(),
            "this text has no end",
            "close it with `\"`".to_owned(),
        ),
        (message, "" | "nothing") => say(span.clone(), message, String::new()),
        (message, expected) => say(span.clone(), message, format!("expected {expected}")),
    }
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
    let end = value
        .find([',', ']', '}', '#', '"', '\'', '[', '{'])
        .unwrap_or(value.len());
    let word = value[..end].trim_end();
    let alone = matches!(value[end..].chars().next(), None | Some(',' | '}' | '#'));
    // Between the value and the fault nothing else may have begun.
    (alone && span.start <= at + end).then(|| at..at + word.len())
}

fn is_in_array(error: &Error) -> bool {
    error
        .message()
        .starts_with("missing comma between array elements")
        || error.message().contains("in array")
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at.min(text.len())]
        .rfind('\n')
        .map_or(0, |newline| newline + 1)
}

fn line_end(text: &str, at: usize) -> usize {
    text.get(at..)
        .and_then(|rest| rest.find('\n'))
        .map_or(text.len(), |newline| at + newline)
}
