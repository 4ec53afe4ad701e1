//! Bodies, both directions: which of the bytes behind a head are payload, and where the message ends (rows A6 to A8).

use super::chunked::Chunked;
use super::framing::{Framing, ResponseFraming};
use std::error::Error;
use std::fmt;

/// A body being read. Never allocates, resumes at any byte; the verdict doesn't depend on how the bytes arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    /// None, or all of it read.
    Empty,
    /// So many bytes are still to come.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked(Chunked),
    /// Whatever comes until the connection closes.
    UntilClose,
}

/// What the next bytes are: first framing, then payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Piece {
    /// Bytes of framing to drop.
    pub skip: usize,
    /// Bytes of payload behind them.
    pub data: usize,
}

/// Why a body is refused. From a client that is 400 (A6) or a close (A8), from a backend a body broken off (F6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadBody {
    /// A chunk size that is not 1 to 13 hex digits.
    ChunkSize,
    /// A chunk extension that is not `;token[=token|quoted]`.
    ChunkExtension,
    /// A chunk line beyond 256 bytes.
    ChunkLineTooLong,
    /// CRLF missing where a chunk or its line must end.
    ChunkEnd,
    /// Framing of more than 16 times the data.
    ChunkOverhead,
    /// A trailer line that is no field line.
    Trailer,
    /// Trailers beyond 8 KiB.
    TrailerTooLarge,
    /// The connection closed before the end.
    Truncated,
}

impl Body {
    /// The body of a request.
    pub fn of_request(framing: Framing) -> Self {
        match framing {
            Framing::Empty => Body::Empty,
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked(Chunked::new()),
        }
    }

    /// The body of a response.
    pub fn of_response(framing: ResponseFraming) -> Self {
        match framing {
            ResponseFraming::Empty => Body::Empty,
            ResponseFraming::Length(length) => Body::Length(length),
            ResponseFraming::Chunked => Body::Chunked(Chunked::new()),
            ResponseFraming::UntilClose => Body::UntilClose,
        }
    }

    /// Looks at the bytes not yet taken; the caller consumes `skip + data` of them, then calls again.
    ///
    /// Neither while not [done](Body::is_done) means that more input is needed. Trailers are skipped (A7). Bytes behind the end are
    /// left alone. Cost: framing is looked at byte by byte, payload not at all.
    ///
    /// # Errors
    /// Framing that is not exactly that of RFC 9112 7.1. The body is of no use then, nor is the connection.
    #[inline]
    pub fn decode(&mut self, buf: &[u8]) -> Result<Piece, BadBody> {
        match self {
            Body::Empty => Ok(Piece::default()),
            Body::Length(left) => {
                let data = usize::try_from(*left).map_or(buf.len(), |left| left.min(buf.len()));
                *left -= data as u64;
                Ok(Piece { skip: 0, data })
            }
            Body::Chunked(chunked) => chunked.decode(buf),
            Body::UntilClose => Ok(Piece { skip: 0, data: buf.len() }),
        }
    }

    /// Whether the message is whole.
    #[inline]
    pub fn is_done(&self) -> bool {
        match self {
            Body::Empty | Body::Length(0) => true,
            Body::Chunked(chunked) => chunked.is_done(),
            Body::Length(_) | Body::UntilClose => false,
        }
    }

    /// The peer closed and all its bytes are decoded.
    ///
    /// # Errors
    /// [`BadBody::Truncated`] if the message is not whole (A8).
    pub fn at_eof(&mut self) -> Result<(), BadBody> {
        if *self == Body::UntilClose {
            *self = Body::Empty;
        }
        if self.is_done() { Ok(()) } else { Err(BadBody::Truncated) }
    }
}

impl BadBody {
    /// The word for logs and metrics, in snake_case.
    pub fn reason(self) -> &'static str {
        match self {
            BadBody::ChunkSize => "chunk_size",
            BadBody::ChunkExtension => "chunk_extension",
            BadBody::ChunkLineTooLong => "chunk_line_too_long",
            BadBody::ChunkEnd => "chunk_end",
            BadBody::ChunkOverhead => "chunk_overhead",
            BadBody::Trailer => "bad_trailer",
            BadBody::TrailerTooLarge => "trailer_too_large",
            BadBody::Truncated => "body_truncated",
        }
    }

    /// The row of the safety contract.
    pub fn row(self) -> &'static str {
        if self == BadBody::Truncated { "A8" } else { "A6" }
    }
}

impl fmt::Display for BadBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl Error for BadBody {}
