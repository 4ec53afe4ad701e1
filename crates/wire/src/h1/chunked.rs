//! The chunked coding (RFC 9112 7.1), read byte by byte and strictly: rows A6 and A7.
//!
//! A state machine over single bytes, so that it resumes anywhere and holds nothing back: what has been looked at is consumed, and a
//! chunk line that is only begun costs no more work however often the socket wakes up.

use super::body::{BadBody, Piece};
use super::bytes::is_token_byte;

/// Longest chunk line, extensions included, without its CRLF. Unit: bytes.
const LONGEST_LINE: u16 = 256;
/// Most digits of a size: 52 bits, far from any overflow.
const MOST_DIGITS: u16 = 13;
/// Framing may be this many times the data ...
const OVERHEAD_FACTOR: u64 = 16;
/// ... and so many bytes more, so that a short body is not judged by its first chunks.
const OVERHEAD_GRACE: u64 = 4096;
/// Most bytes of trailer lines, with their CRLF.
const MOST_TRAILER: u16 = 8192;

/// Where in a chunked body we are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunked {
    at: At,
    /// Size of the chunk as read so far, then what is left of its data.
    size: u64,
    /// Bytes of this chunk line, then of all trailer lines.
    line: u16,
    /// Payload bytes so far.
    data: u64,
    /// Chunk lines and line ends so far.
    overhead: u64,
}

/// What the next byte has to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    /// A digit, or the end of the size if there is one digit already.
    Size,
    /// The first byte of an extension's name.
    ExtensionStart,
    ExtensionName,
    /// Behind `=`.
    ExtensionValue,
    ExtensionToken,
    Quoted,
    QuotedPair,
    /// Behind the closing quote.
    QuotedEnd,
    LineLf,
    Data,
    DataCr,
    DataLf,
    /// The first byte of a trailer line, or CR of the empty line.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

impl Chunked {
    /// At the start of a body.
    pub(super) fn new() -> Self {
        Chunked { at: At::Size, size: 0, line: 0, data: 0, overhead: 0 }
    }

    pub(super) fn is_done(&self) -> bool {
        self.at == At::Done
    }

    pub(super) fn decode(&mut self, buf: &[u8]) -> Result<Piece, BadBody> {
        let mut skip = 0;
        while self.at != At::Data && self.at != At::Done {
            let Some(&byte) = buf.get(skip) else {
                return Ok(Piece { skip, data: 0 });
            };
            self.at = self.step(byte)?;
            skip += 1;
        }
        if self.at == At::Done {
            return Ok(Piece { skip, data: 0 });
        }
        let held = buf.len() - skip;
        let data = usize::try_from(self.size).map_or(held, |size| size.min(held));
        self.size -= data as u64;
        self.data += data as u64;
        if self.size == 0 {
            self.at = At::DataCr;
        }
        Ok(Piece { skip, data })
    }

    /// Takes one byte of framing and says where that leads.
    fn step(&mut self, byte: u8) -> Result<At, BadBody> {
        match self.at {
            At::Size
            | At::ExtensionStart
            | At::ExtensionName
            | At::ExtensionValue
            | At::ExtensionToken
            | At::Quoted
            | At::QuotedPair
            | At::QuotedEnd
            | At::LineLf => self.step_line(byte),
            At::DataCr => expect(byte, b'\r', At::DataLf),
            At::DataLf => {
                self.line = 0;
                self.overhead += 2;
                expect(byte, b'\n', At::Size)
            }
            At::TrailerStart | At::TrailerName | At::TrailerValue | At::TrailerLf => self.step_trailer(byte),
            At::EndLf => expect(byte, b'\n', At::Done),
            // `decode` never asks here.
            At::Data | At::Done => Ok(self.at),
        }
    }

    /// A byte of `size *( ";" token [ "=" ( token / quoted ) ] ) CRLF`. No white space anywhere but in quotes: RFC 9112 lets senders
    /// only out of courtesy, and it is where parsers differ.
    fn step_line(&mut self, byte: u8) -> Result<At, BadBody> {
        if self.at == At::LineLf {
            return self.end_line(byte);
        }
        let is_begun = self.line > 0;
        if byte != b'\r' || !is_begun {
            self.line += 1;
            if self.line > LONGEST_LINE {
                return Err(BadBody::ChunkLineTooLong);
            }
        }
        match (self.at, byte) {
            (At::Size, b';') if is_begun => Ok(At::ExtensionStart),
            (At::Size, b'\r') if is_begun => Ok(At::LineLf),
            (At::Size, _) => self.step_size(byte),
            (At::ExtensionStart | At::ExtensionName, _) if is_token_byte(byte) => Ok(At::ExtensionName),
            (At::ExtensionName, b'=') => Ok(At::ExtensionValue),
            (At::ExtensionValue, b'"') => Ok(At::Quoted),
            (At::ExtensionValue | At::ExtensionToken, _) if is_token_byte(byte) => Ok(At::ExtensionToken),
            (At::Quoted, b'"') => Ok(At::QuotedEnd),
            (At::Quoted, b'\\') => Ok(At::QuotedPair),
            (At::Quoted | At::QuotedPair, _) if !byte.is_ascii_control() => Ok(At::Quoted),
            (At::ExtensionName | At::ExtensionToken | At::QuotedEnd, b';') => Ok(At::ExtensionStart),
            (At::ExtensionName | At::ExtensionToken | At::QuotedEnd, b'\r') => Ok(At::LineLf),
            _ => Err(BadBody::ChunkExtension),
        }
    }

    fn step_size(&mut self, byte: u8) -> Result<At, BadBody> {
        let digit = char::from(byte).to_digit(16).ok_or(BadBody::ChunkSize)?;
        if self.line > MOST_DIGITS {
            return Err(BadBody::ChunkSize);
        }
        self.size = self.size << 4 | u64::from(digit);
        Ok(At::Size)
    }

    /// The LF of a chunk line: here the overhead is judged, always at the same byte of the message.
    fn end_line(&mut self, byte: u8) -> Result<At, BadBody> {
        self.overhead += u64::from(self.line) + 2;
        self.line = 0;
        if self.overhead > self.data.saturating_mul(OVERHEAD_FACTOR).saturating_add(OVERHEAD_GRACE) {
            return Err(BadBody::ChunkOverhead);
        }
        expect(byte, b'\n', if self.size == 0 { At::TrailerStart } else { At::Data })
    }

    /// A byte of `*( token ":" value CRLF ) CRLF`: checked like the fields of a head, though nobody gets to see them.
    fn step_trailer(&mut self, byte: u8) -> Result<At, BadBody> {
        if self.at == At::TrailerStart && byte == b'\r' {
            return Ok(At::EndLf);
        }
        self.line += 1;
        if self.line > MOST_TRAILER {
            return Err(BadBody::TrailerTooLarge);
        }
        match (self.at, byte) {
            (At::TrailerStart | At::TrailerName, _) if is_token_byte(byte) => Ok(At::TrailerName),
            (At::TrailerName, b':') => Ok(At::TrailerValue),
            (At::TrailerValue, b'\r') => Ok(At::TrailerLf),
            (At::TrailerValue, _) if !byte.is_ascii_control() || byte == b'\t' => Ok(At::TrailerValue),
            (At::TrailerLf, b'\n') => Ok(At::TrailerStart),
            _ => Err(BadBody::Trailer),
        }
    }
}

fn expect(byte: u8, wanted: u8, next: At) -> Result<At, BadBody> {
    if byte == wanted { Ok(next) } else { Err(BadBody::ChunkEnd) }
}
