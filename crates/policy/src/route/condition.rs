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
        let pairs = query
            .split(|&b| b == b'&')
            .filter(|pair| !pair.is_empty())
            .map(split);
        let mut values = pairs
            .filter(|(key, _)| decoded(key).eq(name.bytes()))
            .map(|(_, value)| value);
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
