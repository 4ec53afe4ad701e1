//! HTTP/1.1 (RFC 9112), read strictly.
//!
//! Request smuggling lives where two parsers read the same bytes differently. So nothing ambiguous gets in: a line ends in CRLF
//! and nothing else, a length is digits and nothing else, and what goes out is written anew by [`encode`], never copied.
//!
//! Heads are parsed in place. Every position is a [`Span`], an offset into the caller's buffer, so a parsed head can be kept across
//! awaits without a borrow; [`Request`] and [`Response`] are reused message after message and don't allocate once warm.
//!
//! The verdict doesn't depend on how the bytes arrive (row A13 of the safety contract): lines are judged from left to right, each
//! when its LF is there, lengths when they are exceeded, and all that concerns the head as a whole at its empty line.

mod body;
mod bytes;
mod chunked;
mod connection;
pub mod encode;
mod fault;
mod fields;
mod framing;
mod host;
mod lines;
mod name;
pub mod path;
mod request;
mod response;
mod target;
mod upgrade;

pub use body::{BadBody, Body, Piece};
pub use chunked::Chunked;
pub use fault::{BadFraming, Malformed, Reject, Syntax};
pub use fields::Field;
pub use framing::{Framing, ResponseFraming};
pub use lines::Progress;
pub use name::Name;
pub use request::Request;
pub use response::Response;
pub use upgrade::Upgrade;

/// How large a head may be. Beyond them a request gets 414 or 431 (row A12), a response is malformed (B5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Longest request target. Unit: bytes. Default: 8 KiB. More is 414.
    pub target: usize,
    /// Longest field line without its CRLF. Unit: bytes. Default: 8 KiB. More is 431.
    pub line: usize,
    /// Longest head with its empty line. Unit: bytes. Default: 64 KiB; at most 4 GiB, what a [`Span`] can address. More is 431.
    pub head: usize,
    /// Most field lines. Default: 128. More is 431.
    pub fields: usize,
}

impl Limits {
    /// The defaults, as a constant.
    pub const DEFAULT: Limits = Limits { target: 8192, line: 8192, head: 65536, fields: 128 };
}

impl Default for Limits {
    fn default() -> Self {
        Limits::DEFAULT
    }
}

/// A piece of the caller's buffer, by offset from the start of the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

impl Span {
    /// Heads are at most 4 GiB ([`Limits::head`] is cut to that), so the casts lose nothing.
    fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= u32::MAX as usize);
        Span { start: start as u32, len: (end - start) as u32 }
    }

    /// The bytes themselves. `buf` is the buffer the head was parsed from; panics if it is shorter than the head was.
    #[inline]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        &buf[self.start as usize..self.end()]
    }

    /// Offset just behind the last byte.
    #[inline]
    pub fn end(self) -> usize {
        self.start as usize + self.len as usize
    }

    /// Whether it holds no byte.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// The versions spoken here; any other is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// No chunked bodies, no interim answers, closed unless asked to stay.
    Http10,
    /// RFC 9112.
    Http11,
}

/// Request methods that differ in how a proxy treats them. `CONNECT` and `TRACE` never get this far (row A11: 405).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// Safe.
    Get,
    /// Safe, answered without a body.
    Head,
    /// Neither safe nor idempotent.
    Post,
    /// Idempotent.
    Put,
    /// Idempotent.
    Delete,
    /// Safe.
    Options,
    /// Neither safe nor idempotent.
    Patch,
    /// Any other token, also a known one in another case: methods are case-sensitive.
    Other,
}

impl Method {
    /// Whether sending it twice means the same as once (RFC 9110 9.2.2). `Other` is not.
    pub fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Method::Put | Method::Delete)
    }

    /// Whether it only reads (RFC 9110 9.2.1). `Other` does not.
    pub fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options)
    }
}

/// Whether the head is all there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Nothing wrong so far; call again with more bytes.
    Partial,
    /// Head read and legal.
    Complete,
}
