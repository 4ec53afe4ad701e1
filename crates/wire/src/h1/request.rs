//! Request heads (rows A1 to A5, A10 to A14, B1, B2, D4, D5).

use super::bytes::{is, is_token_byte, trim};
use super::connection::{self, BadOptions};
use super::fault::{Reject, Syntax};
use super::fields::{self, Field, Fields, Present, Repeated};
use super::framing::{self, Framing};
use super::host::Authority;
use super::lines::Progress;
use super::name::Name;
use super::target::{Form, Target};
use super::upgrade::{self, Upgrade};
use super::{Limits, Method, Span, Status, Version};

/// What a request line may have beside its target: method, version and the spaces between. Longer is 414, as the longest target is.
const BESIDE_TARGET: usize = 64;

/// A parsed request head. Reused message after message: `fields` keeps its capacity.
///
/// Its contents mean something only after [`parse`](Request::parse) said [`Status::Complete`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The method, as far as it matters.
    pub method: Method,
    /// The method as it came, a token.
    pub method_text: Span,
    /// The version.
    pub version: Version,
    /// What to forward as the target: path and, behind `?`, the query. For an absolute target the part from the path on; empty
    /// ("http://a") then means "/".
    pub target: Span,
    /// The path alone, as it came; see [`path::normalise`](super::path::normalise). Empty as `target` may be, and for `*`.
    pub path: Span,
    /// The query without its `?`; empty if there is none.
    pub query: Span,
    /// `OPTIONS *`, or the absolute form of it (RFC 9112 3.2.4).
    pub asterisk: bool,
    /// The target came in absolute form.
    pub absolute: bool,
    /// `host[:port]` from an absolute target, else from `Host`: both agree. Empty only in HTTP/1.0.
    pub authority: Span,
    /// The host in it, an IPv6 address in its brackets.
    pub host: Span,
    /// All field lines in order.
    pub fields: Vec<Field>,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the client means to send another request on the connection.
    pub keep_alive: bool,
    /// The client waits for 100 before it sends the body. Only true where there is one, and never in HTTP/1.0.
    pub expect_continue: bool,
    /// What the connection is to become.
    pub upgrade: Upgrade,
    /// `TE: trailers` was said.
    pub te_trailers: bool,
    /// Bytes of the head in the buffer, with an empty line before it, if any, and the one behind it.
    pub len: usize,
    present: Present,
    /// What no port means in an absolute target.
    scheme_port: u16,
}

impl Default for Request {
    fn default() -> Self {
        Request::new()
    }
}

impl Request {
    /// An empty one, to parse into. Doesn't allocate.
    pub fn new() -> Self {
        Request {
            method: Method::Get,
            method_text: Span::default(),
            version: Version::Http11,
            target: Span::default(),
            path: Span::default(),
            query: Span::default(),
            asterisk: false,
            absolute: false,
            authority: Span::default(),
            host: Span::default(),
            fields: Vec::new(),
            framing: Framing::Empty,
            keep_alive: false,
            expect_continue: false,
            upgrade: Upgrade::None,
            te_trailers: false,
            len: 0,
            present: Present::default(),
            scheme_port: 80,
        }
    }

    /// Reads as much of a head as `buf` holds, from where `progress` says the last call stopped.
    ///
    /// `buf` begins where the message begins and has all its bytes so far; between calls for one message it only grows, and `self`
    /// and `progress` stay what they were. One CRLF before the request line is skipped (RFC 9112 2.2).
    ///
    /// # Errors
    /// What is wrong with it; the verdict is the same however the bytes arrive (row A13).
    pub fn parse(&mut self, buf: &[u8], progress: &mut Progress, limits: &Limits) -> Result<Status, Reject> {
        if !progress.in_fields {
            if progress.line == 0 && buf.starts_with(b"\r\n") {
                (progress.line, progress.scanned) = (2, 2);
            }
            let longest = limits.target.saturating_add(BESIDE_TARGET);
            let Some(line) = progress.next_line(buf, longest, limits).map_err(request_line_fault)? else {
                return Ok(Status::Partial);
            };
            self.fields.clear();
            self.present = Present::default();
            self.request_line(buf, line, limits)?;
            progress.accept(line.end());
        }
        let fields = &mut self.fields;
        if !fields::parse_lines(buf, fields, &mut self.present, progress, limits)? {
            return Ok(Status::Partial);
        }
        self.judge(buf)?;
        self.len = progress.finish();
        Ok(Status::Complete)
    }

    /// The first field of a known name. Cost: one bit test when it is absent. For [`Name::Other`] see
    /// [`find_name`](Request::find_name).
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

    fn request_line(&mut self, buf: &[u8], line: Span, limits: &Limits) -> Result<(), Reject> {
        let text = line.of(buf);
        let start = line.start as usize;
        let method_len = text.iter().position(|&b| !is_token_byte(b)).unwrap_or(text.len());
        // `SP version` is nine bytes; with the method and its space before it, what is left is the target.
        let Some(target_len) = text.len().checked_sub(method_len + 1 + 9).filter(|&len| method_len > 0 && len > 0) else {
            return Err(Reject::RequestLine);
        };
        let target = Span::new(start + method_len + 1, start + method_len + 1 + target_len);
        if text[method_len] != b' ' || buf[target.end()] != b' ' {
            return Err(Reject::RequestLine);
        }
        if target_len > limits.target {
            return Err(Reject::TargetTooLong);
        }
        self.version = match &buf[target.end() + 1..line.end()] {
            b"HTTP/1.1" => Version::Http11,
            b"HTTP/1.0" => Version::Http10,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
                return Err(Reject::UnknownVersion);
            }
            _ => return Err(Reject::RequestLine),
        };
        self.method_text = Span::new(start, start + method_len);
        self.method = method(&text[..method_len])?;
        self.set_target(Target::parse(buf, target, self.method == Method::Options)?);
        Ok(())
    }

    fn set_target(&mut self, target: Target) {
        self.target = target.origin;
        self.path = target.path;
        self.query = target.query;
        self.absolute = false;
        self.asterisk = target.form == Form::Asterisk;
        self.authority = Span::default();
        if let Form::Absolute { authority, port } = target.form {
            self.absolute = true;
            self.authority = authority;
            self.asterisk = self.method == Method::Options && target.origin.is_empty();
            self.scheme_port = port;
        }
    }

    /// All that concerns the head as a whole, at its empty line.
    fn judge(&mut self, buf: &[u8]) -> Result<(), Reject> {
        let options = connection::options(buf, &mut self.fields, self.present)?;
        self.keep_alive = !options.close && (self.version == Version::Http11 || options.keep_alive);
        let fields = Fields { buf, all: &self.fields, present: self.present };
        self.framing = framing::declared(fields, self.version)?;
        self.expect_continue = self.version == Version::Http11 && expects_continue(fields)? && self.framing.has_body();
        self.te_trailers = says_trailers(fields);
        self.upgrade =
            if options.upgrade { upgrade::of_request(self.method, self.version, self.framing, fields)? } else { Upgrade::None };
        self.judge_host(buf)
    }

    fn judge_host(&mut self, buf: &[u8]) -> Result<(), Reject> {
        let mut hosts = self.fields.iter().filter(|f| f.known == Name::Host).map(|f| f.value);
        let (host, others) = (hosts.next(), hosts.next());
        if others.is_some() {
            return Err(Reject::HostRepeated);
        }
        let parse = |span: Span| Authority::parse(span.of(buf)).ok_or(Reject::HostInvalid);
        let host_authority = host.map(parse).transpose()?;
        let named = if self.absolute {
            let target_authority = parse(self.authority)?;
            if host_authority.is_some_and(|host| !host.agrees(target_authority, self.scheme_port)) {
                return Err(Reject::HostDisagrees);
            }
            Some(target_authority)
        } else {
            self.authority = host.unwrap_or_default();
            host_authority
        };
        if host.is_none() && self.version == Version::Http11 {
            return Err(Reject::HostMissing);
        }
        let start = self.authority.start as usize;
        self.host = named.map_or(Span::default(), |authority| Span::new(start, start + authority.host.len()));
        Ok(())
    }
}

/// The method of a token, unless it is one that has no business here.
fn method(token: &[u8]) -> Result<Method, Reject> {
    Ok(match token {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"POST" => Method::Post,
        b"PUT" => Method::Put,
        b"DELETE" => Method::Delete,
        b"OPTIONS" => Method::Options,
        b"PATCH" => Method::Patch,
        b"CONNECT" | b"TRACE" => return Err(Reject::MethodNotAllowed),
        _ => Method::Other,
    })
}

/// A request line too long for its limit is called after what makes it so.
fn request_line_fault(fault: Syntax) -> Reject {
    if fault == Syntax::LineTooLong { Reject::TargetTooLong } else { fault.into() }
}

/// Whether the client waits for 100 (row A14).
fn expects_continue(fields: Fields<'_>) -> Result<bool, Reject> {
    match fields.single(Name::Expect) {
        Ok(None) => Ok(false),
        Ok(Some(value)) if is(value, b"100-continue") => Ok(true),
        Ok(Some(_)) | Err(Repeated) => Err(Reject::Expectation),
    }
}

fn says_trailers(fields: Fields<'_>) -> bool {
    fields.values(Name::Te).flat_map(|value| value.split(|&b| b == b',')).any(|coding| is(trim(coding), b"trailers"))
}

impl From<BadOptions> for Reject {
    fn from(fault: BadOptions) -> Self {
        match fault {
            BadOptions::Nominated => Reject::Nominated,
            BadOptions::TooMany => Reject::ConnectionOptions,
        }
    }
}
