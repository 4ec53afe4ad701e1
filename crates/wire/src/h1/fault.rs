//! Why a message is refused. One table maps each reason to its status, its word in logs and metrics, and its row of the safety
//! contract; nothing else in the program invents another.

use std::error::Error;
use std::fmt;

/// Why a request is refused. Whatever it is, the connection closes and nothing goes upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reject {
    /// A line of the head is not what RFC 9112 allows, or too much of it.
    Syntax(Syntax),
    /// Where the body ends can't be told for sure.
    Framing(BadFraming),
    /// Not `method SP target SP version`.
    RequestLine,
    /// `CONNECT` or `TRACE`.
    MethodNotAllowed,
    /// A version that is well-formed but neither 1.0 nor 1.1.
    UnknownVersion,
    /// A target longer than [`Limits::target`](super::Limits::target), or a request line that must hold one.
    TargetTooLong,
    /// A target in none of the forms taken, or with a byte that has no place there.
    BadTarget,
    /// No `Host` in HTTP/1.1.
    HostMissing,
    /// More than one `Host`.
    HostRepeated,
    /// `Host`, or the authority of the target, is not `host[:port]`.
    HostInvalid,
    /// The authority of an absolute target is not that of `Host`.
    HostDisagrees,
    /// `Expect` of something other than `100-continue`.
    Expectation,
    /// `Connection` names a field that decides where the message ends or goes.
    Nominated,
    /// `Connection` has more options than anyone needs.
    ConnectionOptions,
    /// A WebSocket upgrade in HTTP/1.0.
    WebsocketVersion10,
    /// A WebSocket upgrade with a method other than `GET`.
    WebsocketMethod,
    /// A WebSocket upgrade with a body.
    WebsocketBody,
    /// A WebSocket upgrade without exactly one well-formed `Sec-WebSocket-Key`.
    WebsocketKey,
    /// A WebSocket upgrade without exactly `Sec-WebSocket-Version: 13`.
    WebsocketVersion,
}

/// Why a line of a head is refused, in a request or a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Syntax {
    /// LF without CR before it.
    BareLf,
    /// CR without LF behind it.
    BareCr,
    /// A control byte in a value.
    ControlByte,
    /// A line that begins with a space or tab.
    FoldedLine,
    /// A space or tab between name and colon.
    SpaceBeforeColon,
    /// An empty name, or a byte in it that is not of a token.
    FieldName,
    /// A line without a colon.
    NoColon,
    /// A field line beyond [`Limits::line`](super::Limits::line).
    LineTooLong,
    /// A head beyond [`Limits::head`](super::Limits::head).
    HeadTooLarge,
    /// Fields beyond [`Limits::fields`](super::Limits::fields).
    TooManyFields,
}

/// Why the length of a body can't be told, in a request or a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadFraming {
    /// `Content-Length` next to `Transfer-Encoding`.
    LengthAndEncoding,
    /// More than one `Content-Length`, even if they agree.
    LengthRepeated,
    /// A `Content-Length` that is not digits, or beyond 64 bits.
    LengthInvalid,
    /// More than one `Transfer-Encoding` line.
    EncodingRepeated,
    /// A `Transfer-Encoding` that is no list of tokens, or has `chunked` elsewhere than once at its end.
    EncodingInvalid,
    /// A well-formed coding that is not `chunked` alone.
    EncodingUnknown,
    /// `Transfer-Encoding` in HTTP/1.0, which has none.
    EncodingInHttp10,
}

/// Why a response can't be passed on (row B5). The client gets 502, the upstream connection closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// A line of the head is not what RFC 9112 allows, or too much of it.
    Syntax(Syntax),
    /// Where the body ends can't be told for sure.
    Framing(BadFraming),
    /// The first line is no status line of HTTP/1.0 or 1.1.
    StatusLine,
    /// `Connection` names a field that decides where the message ends.
    Nominated,
    /// `Connection` has more options than anyone needs.
    ConnectionOptions,
}

impl Reject {
    /// The status to answer with.
    pub fn status(self) -> u16 {
        self.entry().0
    }

    /// The word for logs and metrics, in snake_case.
    pub fn reason(self) -> &'static str {
        self.entry().1
    }

    /// The row of the safety contract.
    pub fn row(self) -> &'static str {
        self.entry().2
    }

    fn entry(self) -> (u16, &'static str, &'static str) {
        match self {
            Reject::Syntax(fault) => {
                let (reason, is_limit) = fault.entry();
                if is_limit { (431, reason, "A12") } else { (400, reason, "A5") }
            }
            Reject::Framing(fault) => {
                let status = if fault == BadFraming::EncodingUnknown { 501 } else { 400 };
                (status, fault.reason(), fault.row())
            }
            Reject::RequestLine => (400, "bad_request_line", "A11"),
            Reject::MethodNotAllowed => (405, "method_not_allowed", "A11"),
            Reject::UnknownVersion => (505, "unknown_version", "A11"),
            Reject::TargetTooLong => (414, "target_too_long", "A12"),
            Reject::BadTarget => (400, "bad_target", "A11"),
            Reject::HostMissing => (400, "host_missing", "A10"),
            Reject::HostRepeated => (400, "host_repeated", "A10"),
            Reject::HostInvalid => (400, "host_invalid", "A10"),
            Reject::HostDisagrees => (400, "host_disagrees_with_target", "A10"),
            Reject::Expectation => (417, "unknown_expectation", "A14"),
            Reject::Nominated => (400, "connection_nominates_framing", "D4"),
            Reject::ConnectionOptions => (400, "too_many_connection_options", "D4"),
            Reject::WebsocketVersion10 => (400, "websocket_in_http10", "B2"),
            Reject::WebsocketMethod => (400, "websocket_method", "B2"),
            Reject::WebsocketBody => (400, "websocket_with_body", "B2"),
            Reject::WebsocketKey => (400, "websocket_key", "B2"),
            Reject::WebsocketVersion => (426, "websocket_version", "B2"),
        }
    }
}

impl Malformed {
    /// The word for logs and metrics, in snake_case.
    pub fn reason(self) -> &'static str {
        match self {
            Malformed::Syntax(fault) => fault.entry().0,
            Malformed::Framing(fault) => fault.reason(),
            Malformed::StatusLine => "bad_status_line",
            Malformed::Nominated => "connection_nominates_framing",
            Malformed::ConnectionOptions => "too_many_connection_options",
        }
    }

    /// The row of the safety contract.
    pub fn row(self) -> &'static str {
        "B5"
    }
}

impl Syntax {
    /// The word for it, and whether it is a limit exceeded rather than a fault of grammar.
    fn entry(self) -> (&'static str, bool) {
        match self {
            Syntax::BareLf => ("bare_lf", false),
            Syntax::BareCr => ("bare_cr", false),
            Syntax::ControlByte => ("control_byte", false),
            Syntax::FoldedLine => ("folded_line", false),
            Syntax::SpaceBeforeColon => ("space_before_colon", false),
            Syntax::FieldName => ("bad_field_name", false),
            Syntax::NoColon => ("no_colon", false),
            Syntax::LineTooLong => ("line_too_long", true),
            Syntax::HeadTooLarge => ("head_too_large", true),
            Syntax::TooManyFields => ("too_many_fields", true),
        }
    }
}

impl BadFraming {
    fn reason(self) -> &'static str {
        self.entry().0
    }

    fn row(self) -> &'static str {
        self.entry().1
    }

    fn entry(self) -> (&'static str, &'static str) {
        match self {
            BadFraming::LengthAndEncoding => ("content_length_and_transfer_encoding", "A1"),
            BadFraming::LengthRepeated => ("content_length_repeated", "A2"),
            BadFraming::LengthInvalid => ("content_length_invalid", "A2"),
            BadFraming::EncodingRepeated => ("transfer_encoding_repeated", "A3"),
            BadFraming::EncodingInvalid => ("transfer_encoding_invalid", "A3"),
            BadFraming::EncodingUnknown => ("transfer_encoding_unknown", "A3"),
            BadFraming::EncodingInHttp10 => ("transfer_encoding_in_http10", "A4"),
        }
    }
}

impl From<Syntax> for Reject {
    fn from(fault: Syntax) -> Self {
        Reject::Syntax(fault)
    }
}

impl From<BadFraming> for Reject {
    fn from(fault: BadFraming) -> Self {
        Reject::Framing(fault)
    }
}

impl From<Syntax> for Malformed {
    fn from(fault: Syntax) -> Self {
        Malformed::Syntax(fault)
    }
}

impl From<BadFraming> for Malformed {
    fn from(fault: BadFraming) -> Self {
        Malformed::Framing(fault)
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl Error for Reject {}
impl Error for Malformed {}
