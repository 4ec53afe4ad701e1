//! Answers of our own: errors in the form the client reads, fixed answers, redirects.

use wire::h1::{Name, encode};

use super::head::{self, Connection, Ends};
use crate::error::Reason;
use crate::message::Asked;

/// One answer of ours.
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) content_type: &'a str,
    pub(crate) body: &'a [u8],
    /// Whole lines, each with its CRLF.
    pub(crate) fields: &'a [u8],
}

impl Reply<'_> {
    /// Writes head and body; of an answer to HEAD only the head, which says what a GET would bring.
    pub(crate) fn write(&self, out: &mut Vec<u8>, to_head: bool, connection: Connection) {
        encode::status_line(out, self.status, encode::reason_phrase(self.status).as_bytes());
        if !self.body.is_empty() {
            encode::field(out, b"Content-Type", self.content_type.as_bytes());
        }
        out.extend_from_slice(self.fields);
        let has_length = !matches!(self.status, 204 | 304);
        head::ending(out, if has_length { Ends::Length(self.body.len() as u64) } else { Ends::Nobody(None) });
        connection.write(out);
        encode::end(out);
        if !to_head && has_length {
            out.extend_from_slice(self.body);
        }
    }
}

/// The forms an error is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Text,
    Html,
}

impl Form {
    /// The first of the three that `Accept` names; JSON where it names none.
    pub(crate) fn accepted(asked: &Asked<'_>) -> Self {
        let accepts = asked.head.fields.iter().filter(|field| field.known == Name::Accept);
        let ranges = accepts.flat_map(|field| field.value.of(asked.text).split(|b| *b == b','));
        ranges.filter_map(|range| Self::of_range(range.split(|b| *b == b';').next()?.trim_ascii())).next().unwrap_or(Self::Json)
    }

    fn of_range(range: &[u8]) -> Option<Self> {
        let is = |name: &str| range.eq_ignore_ascii_case(name.as_bytes());
        if is("text/html") || is("application/xhtml+xml") {
            Some(Self::Html)
        } else if is("text/plain") {
            Some(Self::Text)
        } else if is("application/json") {
            Some(Self::Json)
        } else {
            None
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
        }
    }

    /// The body of an error. Neither the reason nor the id holds anything that would need escaping.
    pub(crate) fn body(self, reason: Reason, status: u16, id: &str) -> String {
        let (text, word) = (reason.text(), reason.word());
        let phrase = encode::reason_phrase(status);
        match self {
            Self::Json => format!("{{\"error\": \"{text}\", \"reason\": \"{word}\", \"request_id\": \"{id}\"}}\n"),
            Self::Text => format!("{status} {phrase}: {text} ({word}, request {id})\n"),
            Self::Html => format!(
                "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{status} {phrase}</title>\n\
                 <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:36em;margin:15vh auto;padding:0 1em;color:#222}}\
                 small{{color:#666}}@media(prefers-color-scheme:dark){{body{{background:#161616;color:#ddd}}small{{color:#999}}}}</style></head>\n\
                 <body><h1>{status} {phrase}</h1><p>{text}.</p><p><small>{word} · request {id}</small></p></body></html>\n"
            ),
        }
    }
}

/// The fields of an error: `Retry-After` where trying again helps, `Allow` and `Upgrade` where RFC 9110 asks for them, and the id.
pub(crate) fn error_fields(reason: Reason, id: &[u8], added: &[u8]) -> Vec<u8> {
    let mut out = added.to_vec();
    let has_own =
        added.split(|b| *b == b'\n').any(|line| line.get(..12).is_some_and(|name| name.eq_ignore_ascii_case(b"retry-after:")));
    if let Some(seconds) = reason.retry_after().filter(|_| !has_own) {
        encode::field(&mut out, b"Retry-After", seconds.to_string().as_bytes());
    }
    match reason {
        Reason::MethodNotAllowed => encode::field(&mut out, b"Allow", ALLOW),
        Reason::UpgradeRequired => encode::field(&mut out, b"Sec-WebSocket-Version", b"13"),
        _ => {}
    }
    if !id.is_empty() {
        encode::field(&mut out, b"X-Request-Id", id);
    }
    out
}

/// What `Allow` says of us.
pub(crate) const ALLOW: &[u8] = b"GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS";
