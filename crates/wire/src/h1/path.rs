//! One spelling for each path (rows D1, D2), so that routing, access control and the backend all see the same one.

use std::error::Error;
use std::fmt;

/// What of the strictness may be relaxed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// Keeps `%2F` as it is instead of refusing it. Default: false. Even then a dot segment behind or before one is refused.
    pub keep_encoded_slash: bool,
}

/// Whether the path was normal already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Normal {
    /// It was; what is in `out` means nothing.
    Unchanged,
    /// `out` has the normal form.
    Rewritten,
}

/// Why a path is refused with 400 (row D2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadPath {
    /// It doesn't begin with `/`.
    NotAbsolute,
    /// A byte that has no place in a path: space, control, `\`, `?`, `#`, above 0x7e.
    Byte,
    /// `%` without two hex digits.
    Escape,
    /// An escaped `/`, `\` or control byte.
    EscapedByte,
    /// A dot segment with a parameter (`..;`) or next to an escaped slash, which backends read differently.
    DotSegment,
}

/// Brings a path into its normal form: dot segments removed (RFC 3986 5.2.4; above the root stays the root), `//` merged, escapes of
/// unreserved bytes decoded, all others in upper case. The normal form of that is itself, and has no dot segment in it.
///
/// `path` is that of [`Request::path`](super::Request::path), the query not in it; an empty one becomes `/`. `out` is overwritten.
/// Cost: one table scan in the common case that nothing needs doing; no allocation once `out` is warm.
///
/// # Errors
/// What different servers would read differently, see [`BadPath`].
pub fn normalise(path: &[u8], policy: Policy, out: &mut Vec<u8>) -> Result<Normal, BadPath> {
    if is_plain(path) {
        return Ok(Normal::Unchanged);
    }
    out.clear();
    let segments = match path {
        [] => path,
        [b'/', rest @ ..] => rest,
        _ => return Err(BadPath::NotAbsolute),
    };
    let mut segments = segments.split(|&b| b == b'/').peekable();
    while let Some(segment) = segments.next() {
        push_segment(segment, segments.peek().is_none(), policy, out)?;
    }
    Ok(if out == path { Normal::Unchanged } else { Normal::Rewritten })
}

/// Whether nothing in the path can need a change or be refused: the fast and common case.
fn is_plain(path: &[u8]) -> bool {
    let mut after_slash = false;
    for &byte in path {
        let kind = KIND[usize::from(byte)];
        if kind == Kind::Odd || (after_slash && kind != Kind::Plain) {
            return false;
        }
        after_slash = kind == Kind::Slash;
    }
    path.first() == Some(&b'/')
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Slash,
    /// Interesting only behind a slash.
    Dot,
    /// Needs the long way round: `%`, or a byte to refuse.
    Odd,
}

static KIND: [Kind; 256] = {
    let mut table = [Kind::Odd; 256];
    let mut b = 0x21;
    while b < 0x7f {
        table[b] = match b as u8 {
            b'/' => Kind::Slash,
            b'.' => Kind::Dot,
            b'%' | b'\\' | b'?' | b'#' => Kind::Odd,
            _ => Kind::Plain,
        };
        b += 1;
    }
    table
};

/// Appends `/segment`, or does what a dot segment asks for.
fn push_segment(segment: &[u8], is_last: bool, policy: Policy, out: &mut Vec<u8>) -> Result<(), BadPath> {
    let before = out.len();
    out.push(b'/');
    push_decoded(segment, policy, out)?;
    let keep = match &out[before + 1..] {
        b"" | b"." => before,
        b".." => out[..before].iter().rposition(|&b| b == b'/').unwrap_or(0),
        written if has_hidden_dots(written) => return Err(BadPath::DotSegment),
        _ => return Ok(()),
    };
    out.truncate(keep);
    if is_last {
        out.push(b'/');
    }
    Ok(())
}

/// Whether a backend that drops `;parameters`, or takes `%2F` for a slash, would find a dot segment in this one.
fn has_hidden_dots(segment: &[u8]) -> bool {
    let mut rest = segment;
    loop {
        let dots = rest.iter().take_while(|&&b| b == b'.').count();
        let is_followed = |mark: &[u8]| rest[dots..].starts_with(mark);
        let is_whole = dots == rest.len() || is_followed(b";") || is_followed(b"%3B") || is_followed(b"%2F");
        if matches!(dots, 1 | 2) && is_whole {
            return true;
        }
        match memchr::memmem::find(rest, b"%2F") {
            Some(at) => rest = &rest[at + 3..],
            None => return false,
        }
    }
}

fn push_decoded(segment: &[u8], policy: Policy, out: &mut Vec<u8>) -> Result<(), BadPath> {
    let mut rest = segment;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'%' {
            if KIND[usize::from(*byte)] == Kind::Odd {
                return Err(BadPath::Byte);
            }
            out.push(*byte);
            continue;
        }
        let [high, low, tail @ ..] = tail else {
            return Err(BadPath::Escape);
        };
        rest = tail;
        let value = hex(*high)? << 4 | hex(*low)?;
        match value {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(value),
            b'/' if policy.keep_encoded_slash => out.extend_from_slice(b"%2F"),
            b'/' | b'\\' | 0..=0x1f | 0x7f => return Err(BadPath::EscapedByte),
            _ => out.extend_from_slice(&[b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]),
        }
    }
    Ok(())
}

fn hex(digit: u8) -> Result<u8, BadPath> {
    char::from(digit).to_digit(16).map(|value| value as u8).ok_or(BadPath::Escape)
}

impl BadPath {
    /// The word for logs and metrics, in snake_case.
    pub fn reason(self) -> &'static str {
        match self {
            BadPath::NotAbsolute => "path_not_absolute",
            BadPath::Byte => "path_byte",
            BadPath::Escape => "path_escape",
            BadPath::EscapedByte => "path_escaped_byte",
            BadPath::DotSegment => "path_dot_segment",
        }
    }

    /// The row of the safety contract.
    pub fn row(self) -> &'static str {
        "D2"
    }
}

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl Error for BadPath {}
