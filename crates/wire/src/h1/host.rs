//! `host[:port]`, in `Host` and in absolute targets (row A10).

use std::net::Ipv6Addr;

/// A legal authority, cut in two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Authority<'a> {
    /// Name or address; an IPv6 address keeps its brackets. Never empty.
    pub(super) host: &'a [u8],
    /// 1 to 65535.
    pub(super) port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// `None` if it is not `host [":" port]` of RFC 3986 3.2.2, without userinfo and with a port that can be dialled.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let host_len = match text {
            [b'[', ..] => ipv6_len(text)?,
            _ => name_len(text)?,
        };
        let (host, rest) = text.split_at(host_len);
        let port = match rest {
            [] => None,
            [b':', digits @ ..] => Some(port(digits)?),
            _ => return None,
        };
        Some(Authority { host, port })
    }

    /// Whether both name the same server, where no port means `default`.
    pub(super) fn agrees(self, other: Authority<'_>, default: u16) -> bool {
        self.host.eq_ignore_ascii_case(other.host) && self.port.unwrap_or(default) == other.port.unwrap_or(default)
    }
}

/// For each byte, whether it may stand in a registered name: unreserved, and `%` whose digits are checked apart. None of the
/// sub-delims that RFC 3986 has: no host name holds them, and a list of hosts must not pass for one.
static NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 256 {
        let byte = b as u8;
        table[b] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%');
        b += 1;
    }
    table
};

/// Length of the name the text begins with.
fn name_len(text: &[u8]) -> Option<usize> {
    let len = text.iter().position(|&b| !NAME[usize::from(b)]).unwrap_or(text.len());
    let name = &text[..len];
    (len > 0 && escapes_are_whole(name)).then_some(len)
}

fn escapes_are_whole(name: &[u8]) -> bool {
    memchr::memchr_iter(b'%', name)
        .all(|at| matches!(name.get(at + 1..at + 3), Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
}

/// Length of the bracketed address the text begins with.
fn ipv6_len(text: &[u8]) -> Option<usize> {
    let close = text.iter().position(|&b| b == b']')?;
    let address = std::str::from_utf8(&text[1..close]).ok()?;
    address.parse::<Ipv6Addr>().ok()?;
    Some(close + 1)
}

fn port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let port = digits.iter().fold(0u32, |sum, b| sum * 10 + u32::from(b - b'0'));
    u16::try_from(port).ok().filter(|&port| port != 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_with_and_without_port_are_read_a10() {
        let good: [(&str, &str, Option<u16>); 9] = [
            ("a", "a", None),
            ("example.com:80", "example.com", Some(80)),
            ("EXAMPLE.com.", "EXAMPLE.com.", None),
            ("10.0.0.1:65535", "10.0.0.1", Some(65535)),
            ("[::1]", "[::1]", None),
            ("[2001:db8::1]:8443", "[2001:db8::1]", Some(8443)),
            ("[::ffff:1.2.3.4]:1", "[::ffff:1.2.3.4]", Some(1)),
            ("my_service-1~x", "my_service-1~x", None),
            ("a%41b:00080", "a%41b", Some(80)),
        ];
        for (text, host, port) in good {
            assert_eq!(Authority::parse(text.as_bytes()), Some(Authority { host: host.as_bytes(), port }), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_authority_a10() {
        let bad = [
            "",
            ":",
            ":80",
            "a:",
            "a:0",
            "a:65536",
            "a:+80",
            "a:8x",
            "a:000080",
            "a:80:80",
            "a,b",
            "a b",
            "u@a",
            "u:p@a",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:",
            "[::g]",
            "[v1.x]",
            "[fe80::1%25eth0]",
            "[]",
            "a%",
            "a%4",
            "a%4g",
            "a\"b",
            "<a>",
            "a\u{e9}",
        ];
        for text in bad {
            assert_eq!(Authority::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn agreement_ignores_case_and_the_default_port_a10() {
        let parse = |text: &'static str| Authority::parse(text.as_bytes()).unwrap();
        assert!(parse("A:80").agrees(parse("a"), 80));
        assert!(parse("a").agrees(parse("A:443"), 443));
        assert!(!parse("a").agrees(parse("a:443"), 80));
        assert!(!parse("a").agrees(parse("b"), 80));
    }
}
