//! Outgoing heads, written anew: what the peer sent and may pass on, what we add, and the framing.

use wire::h1::{Field, Framing, Name, Response, Upgrade, Version, encode};

use crate::filter::Effects;
use crate::message::{Asked, write_uri};
use crate::plan::edits::{Edits, Facts};

/// Writes the request's head as a backend gets it.
///
/// `authority` stands in where an HTTP/1.0 client named no host. `underscores` keeps names with `_` (D5).
pub(crate) fn upstream(out: &mut Vec<u8>, asked: &Asked<'_>, edits: &Edits, effects: &Effects, authority: &str, underscores: bool) {
    let head = asked.head;
    out.extend_from_slice(asked.method());
    out.push(b' ');
    write_uri(effects.path.as_deref().unwrap_or(asked.path), asked, out);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let host = match head.authority.of(asked.text) {
        b"" => authority.as_bytes(),
        host => host,
    };
    own(out, edits, b"Host", host);
    for field in &head.fields {
        if !is_ours(field, asked) && passes(field, asked.text, edits, underscores) {
            copy(out, field, asked.text);
        }
    }
    forwarded(out, asked, edits, host);
    own(out, edits, b"X-Request-Id", asked.id);
    out.extend_from_slice(&effects.request);
    edits.write(asked, out);
    match head.framing {
        Framing::Empty => {}
        Framing::Length(n) => encode::content_length(out, n),
        Framing::Chunked => encode::transfer_encoding_chunked(out),
    }
    if head.expect_continue {
        out.extend_from_slice(b"Expect: 100-continue\r\n");
    }
    if head.upgrade == Upgrade::WebSocket {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    }
    encode::end(out);
}

/// How the body of an answer ends on the client's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// There is no body, whatever the declared length says of what a GET would bring.
    Nobody(Option<u64>),
    Length(u64),
    Chunked,
    /// With the connection: HTTP/1.0.
    Close,
}

/// How the head of an answer differs from the backend's.
#[derive(Clone, Copy)]
pub(crate) struct Changes<'a> {
    /// The route's.
    pub(crate) edits: &'a Edits,
    /// Whole lines that filters left.
    pub(crate) added: &'a [u8],
}

/// Writes a backend's answer's head as the client gets it.
pub(crate) fn downstream(
    out: &mut Vec<u8>,
    answer: &Response,
    text: &[u8],
    changes: Changes<'_>,
    facts: &impl Facts,
    ends: Ends,
    connection: Connection,
) {
    encode::status_line(out, answer.status, answer.reason.of(text));
    for field in &answer.fields {
        let framing = matches!(field.known, Name::ContentLength | Name::TransferEncoding);
        if !framing && passes(field, text, changes.edits, true) {
            copy(out, field, text);
        }
    }
    out.extend_from_slice(changes.added);
    if changes.edits.has_defaults() {
        let has = |name: &[u8]| answer.fields.iter().any(|field| field.name.of(text).eq_ignore_ascii_case(name));
        changes.edits.write_defaults(has, facts, out);
    }
    changes.edits.write(facts, out);
    ending(out, ends);
    connection.write(out);
    encode::end(out);
}

/// Writes the framing field.
pub(crate) fn ending(out: &mut Vec<u8>, ends: Ends) {
    match ends {
        Ends::Nobody(Some(n)) | Ends::Length(n) => encode::content_length(out, n),
        Ends::Chunked => encode::transfer_encoding_chunked(out),
        Ends::Nobody(None) | Ends::Close => {}
    }
}

/// What the client is told of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connection {
    /// It stays, which HTTP/1.1 assumes and HTTP/1.0 must be told.
    Stays(Version),
    Closes,
    /// It becomes a WebSocket.
    Upgrades,
}

impl Connection {
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self {
            Self::Stays(Version::Http11) => b"",
            Self::Stays(Version::Http10) => b"Connection: keep-alive\r\n",
            Self::Closes => b"Connection: close\r\n",
            Self::Upgrades => b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
        });
    }
}

/// Fields that we write ourselves, from what the head as a whole says.
fn is_ours(field: &Field, asked: &Asked<'_>) -> bool {
    match field.known {
        Name::Host | Name::ContentLength | Name::TransferEncoding | Name::Expect | Name::XRequestId => true,
        Name::Forwarded | Name::XRealIp => !asked.trusted,
        Name::XForwarded => !asked.trusted || field.name.of(asked.text).eq_ignore_ascii_case(FOR),
        _ => false,
    }
}

fn passes(field: &Field, text: &[u8], edits: &Edits, underscores: bool) -> bool {
    !field.hop && (underscores || !field.underscore) && !edits.drops(field.name.of(text))
}

/// A field as it came, in one piece where it stands as we would write it.
fn copy(out: &mut Vec<u8>, field: &Field, text: &[u8]) {
    let (name, value) = (field.name, field.value);
    let name_end = name.end();
    if value.start as usize == name_end + 2 && text[name_end + 1] == b' ' {
        out.extend_from_slice(&text[name.start as usize..value.end()]);
        out.extend_from_slice(b"\r\n");
    } else {
        encode::field(out, name.of(text), value.of(text));
    }
}

/// A field of ours, unless an edit has its name.
fn own(out: &mut Vec<u8>, edits: &Edits, name: &[u8], value: &[u8]) {
    if !edits.drops(name) {
        encode::field(out, name, value);
    }
}

const FOR: &[u8] = b"X-Forwarded-For";

/// Who asked whom and how, from the socket; what a trusted proxy said before us is kept and added to (D3, D4).
fn forwarded(out: &mut Vec<u8>, asked: &Asked<'_>, edits: &Edits, host: &[u8]) {
    if !asked.trusted {
        own(out, edits, FOR, asked.peer.as_bytes());
        own(out, edits, b"X-Forwarded-Proto", b"http");
        own(out, edits, b"X-Forwarded-Host", host);
        return;
    }
    if !edits.drops(FOR) {
        out.extend_from_slice(b"X-Forwarded-For: ");
        for field in asked.head.find_name(asked.text, b"x-forwarded-for") {
            out.extend_from_slice(field.value.of(asked.text));
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(asked.peer.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    for (name, lower, value) in
        [(&b"X-Forwarded-Proto"[..], &b"x-forwarded-proto"[..], &b"http"[..]), (b"X-Forwarded-Host", b"x-forwarded-host", host)]
    {
        // One that the client nominated in Connection is not passed on, so ours takes its place.
        if !asked.head.find_name(asked.text, lower).any(|field| !field.hop) {
            own(out, edits, name, value);
        }
    }
}
