//! Changes to header fields, and the texts with variables in them.

use std::collections::HashSet;
use std::ops::Range;

use crate::doc::{Name, Section, Text, Value, is_sensitive};
use crate::keys;
use crate::model::{HeaderEdits, Part, Template, Variable};
use crate::nearest::nearest;
use crate::report::shown;
use crate::units::Wrong;

/// `request_headers` or `response_headers` of a route.
pub(super) fn edits(route: &Section<'_>, key: &str) -> HeaderEdits {
    let section = route.section(key, &keys::HEADER_EDITS);
    let set = section.get("set").map(fields).unwrap_or_default();
    let add = section.get("add").map(fields).unwrap_or_default();
    for (name, span) in &add.names {
        if name == "host" {
            section.doc.fault(span.clone(), "a request has exactly one `Host`", "use `set`");
        }
    }
    let mut remove = Vec::new();
    for value in section.get("remove").map(Value::one_or_many).unwrap_or_default() {
        let Some(text) = value.text() else { continue };
        let Some(name) = text.read(|name| field_name(name).map(|()| name.to_ascii_lowercase())) else {
            continue;
        };
        if name == "host" {
            section.doc.fault(text.span(), "a request has exactly one `Host`", "it can be `set`, not removed");
        }
        if set.names.iter().any(|(other, _)| *other == name) {
            section.doc.fault(
                text.span(),
                format!("{} is both in `set` and in `remove`", text.shown()),
                "`set` alone replaces every field of that name",
            );
        }
        remove.push(name);
    }
    HeaderEdits { set: set.fields, add: add.fields, remove }
}

/// Header fields by name.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) fields: Vec<(String, Template)>,
    /// In lower case.
    names: Vec<(String, Range<usize>)>,
}

impl Fields {
    /// Where the field of that name stands.
    pub(super) fn span_of(&self, lower_name: &str) -> Option<Range<usize>> {
        self.names.iter().find(|(name, _)| name == lower_name).map(|(_, span)| span.clone())
    }
}

pub(super) fn fields(value: Value<'_>) -> Fields {
    let doc = value.doc;
    let mut read = Fields::default();
    let mut once = HashSet::new();
    for (name, value) in value.map().unwrap_or_default() {
        if let Err(wrong) = field_name(name.text) {
            doc.fault(name.span.clone(), wrong.message, wrong.hint);
        }
        let lower = name.text.to_ascii_lowercase();
        if !once.insert(lower.clone()) {
            doc.fault(name.span.clone(), format!("{} is here twice: case does not matter", shown(name.text)), "keep one of them");
        }
        let Some(template) = field_value(&name, value) else {
            continue;
        };
        read.names.push((lower, name.span));
        read.fields.push((name.text.to_owned(), template));
    }
    read
}

fn field_value(name: &Name<'_>, value: Value<'_>) -> Option<Template> {
    const CREDENTIALS: [&str; 2] = ["cookie", "set-cookie"];
    let lower = name.text.to_ascii_lowercase();
    let text = if CREDENTIALS.contains(&lower.as_str()) || is_sensitive(&lower) { value.secret() } else { value.text() }?;
    template(&text)
}

/// A text with variables.
pub(super) fn template(text: &Text<'_>) -> Option<Template> {
    let parts = text.read(parts)?;
    Some(Template::new(parts, text.is_fetched()))
}

pub(super) fn parts(text: &str) -> Result<Vec<Part>, Wrong> {
    if let Some((at, c)) = text.char_indices().find(|(_, c)| c.is_control() && *c != '\t') {
        return Err(Wrong::new("a header can't hold control characters", "they would end the field and begin another")
            .at(at..at + c.len_utf8()));
    }
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let at = text.len() - rest.len() + open;
        let word = rest[open + 1..].split('}').next().filter(|word| open + 1 + word.len() < rest.len());
        // A part of the request by a name.
        if let Some(variable) = word.and_then(named) {
            plain.push_str(&rest[..open]);
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Variable(variable));
            rest = &rest[open + word.map_or(0, str::len) + 2..];
            continue;
        }
        // Other braces are text: `{"group": "x"}` is a legal header value.
        let Some(word) = word.filter(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')) else {
            plain.push_str(&rest[..=open]);
            rest = &rest[open + 1..];
            continue;
        };
        let variable = variable(word).map_err(|wrong| wrong.at(at..at + word.len() + 2))?;
        plain.push_str(&rest[..open]);
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(Part::Variable(variable));
        rest = &rest[open + word.len() + 2..];
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}

/// `header:X-Tier`, `cookie:sid`, `query:id`.
fn named(word: &str) -> Option<Variable> {
    let (of, name) = word.split_once(':').filter(|(_, name)| is_token(name))?;
    match of {
        "header" => Some(Variable::Header(name.to_ascii_lowercase())),
        "cookie" => Some(Variable::Cookie(name.to_owned())),
        "query" => Some(Variable::Parameter(name.to_owned())),
        _ => None,
    }
}

fn variable(word: &str) -> Result<Variable, Wrong> {
    let names: Vec<String> = Variable::ALL.iter().map(|variable| variable.name().into_owned()).collect();
    Variable::ALL.into_iter().find(|variable| variable.name() == word).ok_or_else(|| {
        let hint = nearest(word, names.iter().map(String::as_str)).map_or_else(
            || format!("variables are {}", names.iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(", ")),
            |name| format!("did you mean `{{{name}}}`?"),
        );
        Wrong::new(format!("unknown variable `{{{word}}}`"), hint)
    })
}

/// A legal field name that is not the proxy's own business.
pub(super) fn field_name(name: &str) -> Result<(), Wrong> {
    /// RFC 9110 section 7.6.1, and what decides where a message ends.
    const OURS: [&str; 8] =
        ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "content-length", "te", "trailer", "upgrade"];
    if !is_token(name) {
        return Err(Wrong::new(
            format!("{} is not a header name", shown(name)),
            "names are letters, digits and `-`, as in `X-Tier`",
        ));
    }
    if OURS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(Wrong::new(
            format!("{} can't be changed", shown(name)),
            "it belongs to one connection or frames the message; the proxy writes it anew",
        ));
    }
    Ok(())
}

/// RFC 9110 section 5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_template_is_split_at_its_variables() {
        let text = |text: &str| Part::Text(text.to_owned());
        let expected = [text("https://"), Part::Variable(Variable::Host), text(":8443"), Part::Variable(Variable::Uri)];
        assert_eq!(parts("https://{host}:8443{uri}").unwrap(), expected);
    }

    #[test]
    fn braces_that_hold_no_word_are_text() {
        for text in ["{\"group\":\"a\"}", "{", "}", "{}", "a{b", "{{{", "{A}", "{1}"] {
            assert_eq!(parts(text).unwrap(), [Part::Text(text.to_owned())], "{text}");
        }
    }

    #[test]
    fn an_unknown_variable_and_a_line_break_are_refused() {
        assert_eq!(parts("a{clientip}").unwrap_err().hint, "did you mean `{client_ip}`?");
        assert_eq!(parts("a{clientip}").unwrap_err().at, Some(1..11));
        assert!(parts("a\r\nB: c").is_err());
    }
}
