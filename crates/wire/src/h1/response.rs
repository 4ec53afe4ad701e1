//! Response heads (rows B4, B5, and what B3 needs to be judged).

use super::bytes::has_control;
use super::connection::{self, BadOptions};
use super::fault::Malformed;
use super::fields::{self, Field, Fields, Present};
use super::framing::{self, Framing, ResponseFraming};
use super::lines::Progress;
use super::name::Name;
use super::upgrade::{self, Upgrade};
use super::{Limits, Method, Span, Status, Version};

/// A parsed response head. Reused message after message: `fields` keeps its capacity.
///
/// Its contents mean something only after [`parse`](Response::parse) said [`Status::Complete`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// The version.
    pub version: Version,
    /// 100 to 999, as it came.
    pub status: u16,
    /// The reason phrase; may be empty.
    pub reason: Span,
    /// All field lines in order.
    pub fields: Vec<Field>,
    /// Where the body ends.
    pub framing: ResponseFraming,
    /// Whether the connection can carry another exchange when this body has ended. False too when a body may follow where none
    /// is allowed (row B5).
    pub keep_alive: bool,
    /// `Content-Length` as declared, also where no body follows (an answer to `HEAD`, 304).
    pub declared: Option<u64>,
    /// `WebSocket` only on a 101 that says so in `Upgrade` and `Connection`.
    pub upgrade: Upgrade,
    /// Bytes of the head in the buffer, with its empty line.
    pub len: usize,
    present: Present,
}

impl Default for Response {
    fn default() -> Self {
        Response::new()
    }
}

impl Response {
    /// An empty one, to parse into. Doesn't allocate.
    pub fn new() -> Self {
        Response {
            version: Version::Http11,
            status: 0,
            reason: Span::default(),
            fields: Vec::new(),
            framing: ResponseFraming::Empty,
            keep_alive: false,
            declared: None,
            upgrade: Upgrade::None,
            len: 0,
            present: Present::default(),
        }
    }

    /// Reads as much of a head as `buf` holds, from where `progress` says the last call stopped; `to` is the method it answers.
    ///
    /// As with [`Request::parse`](super::Request::parse), `buf` only grows between calls for one message.
    ///
    /// # Errors
    /// What is wrong with it; the verdict is the same however the bytes arrive.
    pub fn parse(&mut self, buf: &[u8], progress: &mut Progress, limits: &Limits, to: Method) -> Result<Status, Malformed> {
        if !progress.in_fields {
            let Some(line) = progress.next_line(buf, limits.line, limits)? else {
                return Ok(Status::Partial);
            };
            self.fields.clear();
            self.present = Present::default();
            self.status_line(buf, line)?;
            progress.accept(line.end());
        }
        let fields = &mut self.fields;
        if !fields::parse_lines(buf, fields, &mut self.present, progress, limits)? {
            return Ok(Status::Partial);
        }
        self.judge(buf, to)?;
        self.len = progress.finish();
        Ok(Status::Complete)
    }

    /// The first field of a known name. Cost: one bit test when it is absent. For [`Name::Other`] see
    /// [`find_name`](Response::find_name).
    pub fn find(&self, known: Name) -> Option<&Field> {
        if !self.present.has(known) {
            return None;
        }
        self.fields.iter().find(|f| f.known == known)
    }

    /// Every field of a name, given in lower case, in order. `buf` is what the head was parsed from.
    pub fn find_name<'a>(&'a self, buf: &[u8], lower_name: &[u8]) -> impl Iterator<Item = &'a Field> {
        fields::named(&self.fields, buf, lower_name)
    }

    /// `HTTP/1.x SP 3DIGIT [SP reason]`: many leave out the space when there is no reason.
    fn status_line(&mut self, buf: &[u8], line: Span) -> Result<(), Malformed> {
        let text = line.of(buf);
        let (version, rest) = text.split_at_checked(8).ok_or(Malformed::StatusLine)?;
        self.version = match version {
            b"HTTP/1.1" => Version::Http11,
            b"HTTP/1.0" => Version::Http10,
            _ => return Err(Malformed::StatusLine),
        };
        let [b' ', code @ ..] = rest else {
            return Err(Malformed::StatusLine);
        };
        let (code, reason) = code.split_at_checked(3).ok_or(Malformed::StatusLine)?;
        if !code.iter().all(u8::is_ascii_digit) || code[0] == b'0' || !matches!(reason, [] | [b' ', ..]) {
            return Err(Malformed::StatusLine);
        }
        if has_control(reason) && reason.iter().any(|&b| b.is_ascii_control() && b != b'\t') {
            return Err(Malformed::StatusLine);
        }
        self.status = code.iter().fold(0, |sum, b| sum * 10 + u16::from(b - b'0'));
        self.reason = Span::new(line.end() - reason.len().saturating_sub(1), line.end());
        Ok(())
    }

    /// All that concerns the head as a whole, at its empty line.
    fn judge(&mut self, buf: &[u8], to: Method) -> Result<(), Malformed> {
        let options = connection::options(buf, &mut self.fields, self.present)?;
        let fields = Fields { buf, all: &self.fields, present: self.present };
        let said = framing::declared(fields, self.version)?;
        self.declared = if let Framing::Length(length) = said { Some(length) } else { None };
        let is_bare = matches!(self.status, 100..=199 | 204);
        self.framing = match said {
            _ if is_bare || to == Method::Head || self.status == 304 => ResponseFraming::Empty,
            Framing::Length(length) => ResponseFraming::Length(length),
            Framing::Chunked => ResponseFraming::Chunked,
            Framing::Empty => ResponseFraming::UntilClose,
        };
        self.keep_alive = !options.close
            && (self.version == Version::Http11 || options.keep_alive)
            && self.framing != ResponseFraming::UntilClose
            && !(is_bare && said.has_body());
        self.upgrade = if options.upgrade { upgrade::of_response(self.status, fields) } else { Upgrade::None };
        Ok(())
    }
}

impl From<BadOptions> for Malformed {
    fn from(fault: BadOptions) -> Self {
        match fault {
            BadOptions::Nominated => Malformed::Nominated,
            BadOptions::TooMany => Malformed::ConnectionOptions,
        }
    }
}
