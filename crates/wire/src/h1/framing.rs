//! Where a message ends: the one question two parsers must never answer differently (rows A1 to A4, B5).

use super::Version;
use super::bytes::{is, is_token, trim};
use super::fault::BadFraming;
use super::fields::{Fields, Repeated};
use super::name::Name;

/// Where the body of a request ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Framing {
    /// No body, and nothing said about one.
    #[default]
    Empty,
    /// `Content-Length`. Zero is kept apart from `Empty`, so that it can be written again.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

impl Framing {
    /// Whether any body byte can follow the head.
    pub fn has_body(self) -> bool {
        !matches!(self, Framing::Empty | Framing::Length(0))
    }
}

/// Where the body of a response ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ResponseFraming {
    /// No body whatever the fields say: an answer to `HEAD`, 1xx, 204, 304.
    #[default]
    Empty,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Neither was said: what comes until the connection closes.
    UntilClose,
}

/// Reads `Content-Length` and `Transfer-Encoding` of either direction.
pub(super) fn declared(fields: Fields<'_>, version: Version) -> Result<Framing, BadFraming> {
    let has_length = fields.present.has(Name::ContentLength);
    if fields.present.has(Name::TransferEncoding) {
        if has_length {
            return Err(BadFraming::LengthAndEncoding);
        }
        if version == Version::Http10 {
            return Err(BadFraming::EncodingInHttp10);
        }
        return chunked(fields).map(|()| Framing::Chunked);
    }
    if !has_length {
        return Ok(Framing::Empty);
    }
    match fields.single(Name::ContentLength) {
        Ok(value) => length(value.unwrap_or_default()).map(Framing::Length).ok_or(BadFraming::LengthInvalid),
        Err(Repeated) => Err(BadFraming::LengthRepeated),
    }
}

/// Digits and nothing else. `None` if they are not, or beyond 64 bits.
fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |sum, &b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// Ok only for `chunked`, once, in any case.
fn chunked(fields: Fields<'_>) -> Result<(), BadFraming> {
    let Ok(value) = fields.single(Name::TransferEncoding) else {
        return Err(BadFraming::EncodingRepeated);
    };
    let value = value.unwrap_or_default();
    if is(value, b"chunked") {
        return Ok(());
    }
    let mut codings = value.split(|&b| b == b',').map(trim).peekable();
    while let Some(coding) = codings.next() {
        let is_last = codings.peek().is_none();
        if !is_token(coding) || (is(coding, b"chunked") && !is_last) {
            return Err(BadFraming::EncodingInvalid);
        }
    }
    Err(BadFraming::EncodingUnknown)
}
