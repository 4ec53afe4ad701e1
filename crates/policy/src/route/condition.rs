//! Whether what is not host or path matches.

use super::{Condition, Input, ValueMatch};

impl Condition {
    /// Brings the parts that are compared without regard to case to lower case.
    pub(super) fn lowered(mut self) -> Self {
        if let Self::Header { name, .. } = &mut self {
            name.make_ascii_lowercase();
        }
        self
    }

    /// Header names must be [`Condition::lowered`]. Does not allocate.
    pub(super) fn holds(&self, input: &impl Input) -> bool {
        match self {
            Self::Method(methods) => methods.iter().any(|m| m.as_bytes() == input.method()),
            Self::Header { name, value } => value.passes(|test| input.header(name, test)),
            Self::Cookie { name, value } => value.passes(|test| {
                input.header("cookie", &mut |line| {
                    line.split(|&b| b == b';').any(|pair| {
                        let (key, value) = split(pair.trim_ascii());
                        key == name.as_bytes() && test(value)
                    })
                })
            }),
            Self::Query { name, value } => value.passes_query(name, input.query()),
            Self::ClientIp(nets) => {
                let ip = input.client_ip().to_canonical();
                nets.iter().any(|net| net.contains(&ip))
            }
        }
    }
}

impl ValueMatch {
    /// `any` tells whether any of the values passes a test.
    fn passes(&self, any: impl FnOnce(&mut dyn FnMut(&[u8]) -> bool) -> bool) -> bool {
        match self {
            Self::Present => any(&mut |_| true),
            Self::Absent => !any(&mut |_| true),
            Self::Exact(text) => any(&mut |value| value == text.as_bytes()),
            Self::Prefix(text) => any(&mut |value| value.starts_with(text.as_bytes())),
            Self::Regex(regex) => any(&mut |value| regex.is_match(value)),
        }
    }

    fn passes_query(&self, name: &str, query: &[u8]) -> bool {
        let pairs = query.split(|&b| b == b'&').filter(|pair| !pair.is_empty()).map(split);
        let mut values = pairs.filter(|(key, _)| decoded(key).eq(name.bytes())).map(|(_, value)| value);
        match self {
            Self::Present => values.next().is_some(),
            Self::Absent => values.next().is_none(),
            Self::Exact(text) => values.any(|value| decoded(value).eq(text.bytes())),
            Self::Prefix(text) => values.any(|value| {
                let mut value = decoded(value);
                text.bytes().all(|b| value.next() == Some(b))
            }),
            Self::Regex(regex) => values.any(|value| regex.is_match(value)),
        }
    }
}

/// Both sides of the first `=`; without one, a name and an empty value.
fn split(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair.iter().position(|&b| b == b'=') {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, b""),
    }
}

/// The bytes with `+` and `%xx` decoded; an escape that is none stands for itself.
fn decoded(mut text: &[u8]) -> impl Iterator<Item = u8> {
    let hex = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    std::iter::from_fn(move || {
        let (&first, rest) = text.split_first()?;
        if let (b'%', [high, low, after @ ..]) = (first, rest)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            text = after;
            return Some(high << 4 | low);
        }
        text = rest;
        Some(if first == b'+' { b' ' } else { first })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::reference::Request;
    use super::*;

    fn all_values() -> [ValueMatch; 5] {
        let text = "gold".to_owned();
        let regex = "^g.*d$".parse().unwrap();
        [
            ValueMatch::Present,
            ValueMatch::Absent,
            ValueMatch::Exact(text),
            ValueMatch::Prefix("go".into()),
            ValueMatch::Regex(regex),
        ]
    }

    /// Which of present, absent, exact "gold", prefix "go", regex "^g.*d$" hold.
    fn holding(condition: impl Fn(ValueMatch) -> Condition, request: &Request) -> [bool; 5] {
        all_values().map(|value| condition(value).lowered().holds(request))
    }

    #[test]
    fn a_header_is_matched_by_any_of_its_lines() {
        let header = |value| Condition::Header { name: "X-Tier".into(), value };
        let mut request = Request::get("a", "/");
        assert_eq!(holding(header, &request), [false, true, false, false, false]);
        request.headers = vec![("X-tier", "Gold".into())];
        assert_eq!(holding(header, &request), [true, false, false, false, false]);
        request.headers.push(("x-tier", "gold".into()));
        assert_eq!(holding(header, &request), [true, false, true, true, true]);
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let cookie = |value| Condition::Cookie { name: "tier".into(), value };
        let mut request = Request::get("a", "/");
        for (line, holds) in [
            ("tier=gold", [true, false, true, true, true]),
            ("a=b; tier=gold;c=d", [true, false, true, true, true]),
            ("a=b;\ttier=going", [true, false, false, true, false]),
            ("xtier=gold; tier2=gold; Tier=gold", [false, true, false, false, false]),
            ("tier", [true, false, false, false, false]),
        ] {
            request.headers = vec![("Cookie", line.into())];
            assert_eq!(holding(cookie, &request), holds, "{line}");
        }
    }

    #[test]
    fn a_parameter_is_compared_decoded() {
        let query = |value| Condition::Query { name: "my tier".into(), value };
        let mut request = Request::get("a", "/");
        for (text, holds) in [
            ("", [false, true, false, false, false]),
            ("my+tier=gold", [true, false, true, true, true]),
            ("a&&my%20tier=%67old&b", [true, false, true, true, false]),
            ("my%20tier", [true, false, false, false, false]),
            ("my%2tier=gold&my tier=g", [true, false, false, false, false]),
            ("my tier=go%", [true, false, false, true, false]),
        ] {
            request.query = text.into();
            assert_eq!(holding(query, &request), holds, "{text}");
        }
    }

    #[test]
    fn methods_and_addresses_are_alternatives() {
        let mut request = Request::get("a", "/");
        assert!(Condition::Method(vec!["POST".into(), "GET".into()]).holds(&request));
        assert!(!Condition::Method(vec!["get".into()]).holds(&request));
        let inside = Condition::ClientIp(vec!["2001:db8::/32".parse().unwrap(), "203.0.113.0/24".parse().unwrap()]);
        for (ip, holds) in [("203.0.113.9", true), ("::ffff:203.0.113.9", true), ("2001:db8::5", true), ("203.0.114.1", false)] {
            request.ip = ip.parse().unwrap();
            assert_eq!(inside.holds(&request), holds, "{ip}");
        }
    }
}
