//! A small strict reader of HTTP/1 messages, written apart from the proxy's own on purpose.
//!
//! It takes the one spelling RFC 9112 allows a sender and calls everything else a fault: what the proxy writes must need no mercy.

use crate::text;

/// The head of a request or an answer: its first line and its fields, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The first line, without CRLF.
    pub line: String,
    /// Names as written and values without the surrounding blanks.
    pub fields: Vec<(String, String)>,
    /// Bytes of the head, the empty line included.
    pub len: usize,
}

impl Head {
    /// Reads a head from the front of `buf`; `None` while its empty line has not come.
    ///
    /// # Errors
    /// Says what is wrong: a bare LF, a folded line, blanks before the colon, a control byte, an empty or illegal name.
    pub fn parse(buf: &[u8]) -> Result<Option<Self>, String> {
        let Some(end) = find(buf, b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = &buf[..end];
        if let Some(at) = head.iter().position(|&b| b == 0 || b == 0x7f || (b < 0x20 && !b"\t\r\n".contains(&b))) {
            return Err(format!("control byte {:#04x} at {at}", head[at]));
        }
        let mut lines = split_lines(head)?.into_iter();
        let line = text(lines.next().unwrap_or_default());
        let fields = lines.map(field).collect::<Result<_, _>>()?;
        Ok(Some(Self { line, fields, len: end + 4 }))
    }

    /// The first value of a field, by name in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of a field, in order.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Whether a comma-separated field holds this word, in any case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name).any(|v| v.split(',').any(|t| t.trim().eq_ignore_ascii_case(token)))
    }

    /// How the body that follows is delimited, as far as the fields tell.
    ///
    /// # Errors
    /// On two lengths, a length that is not plain digits, both kinds of framing, or a coding other than `chunked`.
    pub fn framing(&self) -> Result<Option<Framing>, String> {
        let lengths: Vec<_> = self.all("content-length").collect();
        let codings: Vec<_> = self.all("transfer-encoding").collect();
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Ok(None),
            ([one], []) if !one.is_empty() && one.bytes().all(|b| b.is_ascii_digit()) => {
                one.parse().map(|n| Some(Framing::Length(n))).map_err(|e| format!("Content-Length {one}: {e}"))
            }
            ([], [one]) if *one == "chunked" => Ok(Some(Framing::Chunked)),
            _ => Err(format!("framing is not clear: Content-Length {lengths:?}, Transfer-Encoding {codings:?}")),
        }
    }
}

fn split_lines(head: &[u8]) -> Result<Vec<&[u8]>, String> {
    let mut lines = Vec::new();
    let mut rest = head;
    loop {
        let end = find(rest, b"\r\n");
        let line = &rest[..end.unwrap_or(rest.len())];
        if line.iter().any(|b| b"\r\n".contains(b)) {
            return Err(format!("bare CR or LF in {:?}", text(line)));
        }
        lines.push(line);
        match end {
            Some(end) => rest = &rest[end + 2..],
            None => return Ok(lines),
        }
    }
}

fn field(line: &[u8]) -> Result<(String, String), String> {
    let shown = text(line);
    let Some((name, value)) = shown.split_once(':') else {
        return Err(format!("no colon in {shown:?}"));
    };
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("illegal field name {name:?}"));
    }
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

/// A byte of an RFC 9110 token.
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Where `needle` first stands in `hay`.
pub fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|w| w == needle)
}

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// All until the peer closes.
    UntilClose,
}

/// Reads a body in whatever pieces it comes.
#[derive(Clone, Debug)]
pub struct Body {
    state: State,
    line: Vec<u8>,
    /// Trailer lines, as they came.
    pub trailers: Vec<String>,
    /// Sizes of the chunks, in order.
    pub chunks: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Data(u64),
    UntilClose,
    Size,
    Chunk(u64),
    ChunkEnd,
    Trailer,
    Done,
}

impl Body {
    /// A body of that framing, nothing read yet.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Empty | Framing::Length(0) => State::Done,
            Framing::Length(n) => State::Data(n),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, line: Vec::new(), trailers: Vec::new(), chunks: Vec::new() }
    }

    /// Whether the message is whole.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether a close now ends the message cleanly.
    pub fn may_close(&self) -> bool {
        matches!(self.state, State::Done | State::UntilClose)
    }

    /// Takes bytes in, hands payload to `out`, returns how many were of this body.
    ///
    /// # Errors
    /// On chunk framing that is not the plainest: hexadecimal size, CRLF, data, CRLF.
    pub fn feed(&mut self, input: &[u8], out: &mut dyn FnMut(&[u8])) -> Result<usize, String> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            at += match self.state {
                State::Data(left) | State::Chunk(left) => self.payload(left, &input[at..], out),
                State::UntilClose => {
                    out(&input[at..]);
                    input.len() - at
                }
                _ => self.framing_byte(input[at])?,
            };
        }
        Ok(at)
    }

    fn payload(&mut self, left: u64, input: &[u8], out: &mut dyn FnMut(&[u8])) -> usize {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        out(&input[..take]);
        let left = left - take as u64;
        self.state = match (self.state, left) {
            (State::Data(_), 0) => State::Done,
            (State::Data(_), left) => State::Data(left),
            (_, 0) => State::ChunkEnd,
            (_, left) => State::Chunk(left),
        };
        take
    }

    fn framing_byte(&mut self, byte: u8) -> Result<usize, String> {
        self.line.push(byte);
        if !self.line.ends_with(b"\r\n") {
            return if self.line.len() > 8192 || byte == b'\n' {
                Err(format!("bad chunk line {:?}", text(&self.line)))
            } else {
                Ok(1)
            };
        }
        let line = text(&self.line[..self.line.len() - 2]);
        self.line.clear();
        self.state = match self.state {
            State::Size => {
                if line.is_empty() || line.len() > 16 || !line.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(format!("bad chunk size {line:?}"));
                }
                let size = u64::from_str_radix(&line, 16).map_err(|e| e.to_string())?;
                self.chunks.push(size);
                if size == 0 { State::Trailer } else { State::Chunk(size) }
            }
            State::ChunkEnd if line.is_empty() => State::Size,
            State::Trailer if line.is_empty() => State::Done,
            State::Trailer => {
                self.trailers.push(line);
                State::Trailer
            }
            _ => return Err(format!("no CRLF after the data of a chunk but {line:?}")),
        };
        Ok(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_its_empty_line_has_come_and_not_before() {
        let bytes = b"HTTP/1.1 200 OK\r\nA: b\r\nc:  d \r\n\r\nrest";
        for end in 0..bytes.len() - 4 {
            assert_eq!(Head::parse(&bytes[..end]), Ok(None), "at {end}");
        }
        let head = Head::parse(bytes).expect("legal").expect("whole");
        assert_eq!((head.line.as_str(), head.get("C"), head.len), ("HTTP/1.1 200 OK", Some("d"), bytes.len() - 4));
    }

    #[test]
    fn what_a_strict_sender_never_writes_is_a_fault() {
        for bad in ["X : a", " X: a", "X", ": a", "X: a\nY: b", "X: \x01", "X: a\r\n b", "X: a\rb"] {
            assert!(Head::parse(format!("GET / HTTP/1.1\r\n{bad}\r\n\r\n").as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_chunked_body_reads_the_same_whole_and_byte_by_byte() {
        let wire = b"5\r\nhello\r\n6\r\n world\r\n0\r\nT: x\r\n\r\nNEXT";
        for step in 1..=wire.len() {
            let (mut body, mut data, mut taken) = (Body::new(Framing::Chunked), Vec::new(), 0);
            for piece in wire.chunks(step) {
                taken += body.feed(piece, &mut |d| data.extend_from_slice(d)).expect("legal");
            }
            assert!(body.is_done());
            assert_eq!((data.as_slice(), taken, body.chunks.len()), (&b"hello world"[..], wire.len() - 4, 3), "step {step}");
            assert_eq!(body.trailers, ["T: x"]);
        }
    }

    #[test]
    fn lax_chunk_framing_is_a_fault() {
        for bad in ["5 \r\nhello", "+5\r\nhello", "5;a\r\nhello", "\r\nhello", "5\nhello", "5\r\nhelloX\r\n", "5\r\nhello0\r\n"] {
            assert!(Body::new(Framing::Chunked).feed(bad.as_bytes(), &mut |_| {}).is_err(), "{bad:?}");
        }
    }
}
