//! What is known of a request beside its head: whose it is, under which id, on which path.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use config::model::Variable;
use policy::Key;
use policy::balance::hash_key;
use policy::expression::{self, Value, Variable as Seen};
use wire::h1::{Name, Request};

use crate::plan::edits::Facts;

/// An address as text, made once a connection.
#[derive(Debug)]
pub(crate) struct AddressText {
    bytes: [u8; 45],
    len: u8,
}

impl AddressText {
    pub(crate) fn new(address: IpAddr) -> Self {
        let mut bytes = [0; 45];
        let mut rest = &mut bytes[..];
        // 45 bytes hold every IPv6 address, an IPv4-mapped one written with dots included.
        let _ = std::io::Write::write_fmt(&mut rest, format_args!("{address}"));
        let len = 45 - rest.len() as u8;
        Self { bytes, len }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// A request with everything decided about it before routing.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) head: &'a Request,
    /// The bytes the head's positions point into.
    pub(crate) text: &'a [u8],
    /// Normalised; never empty.
    pub(crate) path: &'a [u8],
    pub(crate) peer: &'a AddressText,
    /// The peer is a trusted proxy, whose forwarding fields are believed.
    pub(crate) trusted: bool,
    /// The right-most address that is not a trusted proxy's.
    pub(crate) client: IpAddr,
    pub(crate) id: &'a [u8],
}

impl<'a> Asked<'a> {
    pub(crate) fn host(&self) -> &'a [u8] {
        self.head.host.of(self.text)
    }

    pub(crate) fn method(&self) -> &'a [u8] {
        self.head.method_text.of(self.text)
    }

    pub(crate) fn query(&self) -> &'a [u8] {
        self.head.query.of(self.text)
    }

    /// The first value of a field, by its name in lower case.
    pub(crate) fn value(&self, lower_name: &[u8]) -> Option<&'a [u8]> {
        self.head.find_name(self.text, lower_name).next().map(|field| field.value.of(self.text))
    }

    /// The value of a cookie, over all `Cookie` fields.
    pub(crate) fn cookie(&self, name: &[u8]) -> Option<&'a [u8]> {
        let cookies = self.head.fields.iter().filter(|field| field.known == Name::Cookie);
        cookies.flat_map(|field| field.value.of(self.text).split(|b| *b == b';')).find_map(|pair| {
            let pair = pair.trim_ascii();
            let (key, value) = split_once(pair, b'=')?;
            (key == name).then_some(value)
        })
    }

    /// The raw value of a query parameter.
    pub(crate) fn parameter(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.query().split(|b| *b == b'&').find_map(|pair| match split_once(pair, b'=') {
            Some((key, value)) => (key == name).then_some(value),
            None => (pair == name).then_some(&b""[..]),
        })
    }

    /// A hash of the part of the request that `key` names; `None` where the request has no such part.
    ///
    /// The client's address hashes as its text does, so that keys mean the same wherever they are used.
    pub(crate) fn key_hash(&self, key: &Key, route: &str) -> Option<u64> {
        let value = match key {
            Key::ClientIp => return Some(hash_key(AddressText::new(self.client).as_bytes())),
            Key::Header(lower_name) => self.value(lower_name.as_bytes()),
            Key::Cookie(name) => self.cookie(name.as_bytes()),
            Key::Query(name) => self.parameter(name.as_bytes()),
            Key::Path => Some(self.path),
            Key::Host if self.host().iter().any(u8::is_ascii_uppercase) => {
                return Some(hash_key(&self.host().to_ascii_lowercase()));
            }
            Key::Host => Some(self.host()),
            Key::Route => Some(route.as_bytes()),
            Key::Expression(expression) => {
                let value = expression.evaluate(self).ok()?.into_key()?;
                return Some(hash_key(value.as_bytes()));
            }
        };
        value.map(hash_key)
    }

    /// `https` where a trusted proxy says so.
    pub(crate) fn scheme(&self) -> &'static str {
        let says_https = self.trusted && self.value(b"x-forwarded-proto").is_some_and(|value| value.eq_ignore_ascii_case(b"https"));
        if says_https { "https" } else { "http" }
    }
}

fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let i = memchr::memchr(at, text)?;
    Some((&text[..i], &text[i + 1..]))
}

impl policy::route::Input for Asked<'_> {
    fn host(&self) -> &[u8] {
        Asked::host(self)
    }

    fn path(&self) -> &[u8] {
        self.path
    }

    fn method(&self) -> &[u8] {
        Asked::method(self)
    }

    fn query(&self) -> &[u8] {
        Asked::query(self)
    }

    fn header(&self, lower_name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.head.find_name(self.text, lower_name.as_bytes()).any(|field| test(field.value.of(self.text)))
    }

    fn client_ip(&self) -> IpAddr {
        self.client
    }
}

/// What expressions see. Bytes that are no UTF-8 are replaced.
impl expression::Facts for Asked<'_> {
    fn value(&self, variable: Seen) -> Value<'_> {
        match variable {
            Seen::Method => Value::Text(String::from_utf8_lossy(self.method())),
            Seen::Host if self.host().iter().any(u8::is_ascii_uppercase) => {
                Value::Text(Cow::Owned(String::from_utf8_lossy(self.host()).to_ascii_lowercase()))
            }
            Seen::Host => Value::Text(String::from_utf8_lossy(self.host())),
            Seen::Path => Value::Text(String::from_utf8_lossy(self.path)),
            Seen::ClientIp => Value::Text(Cow::Owned(self.client.to_string())),
            Seen::Query | Seen::Headers | Seen::Cookies => Value::Fields(variable),
            // An expression over a request can't name what an answer has: it is refused where it is compiled.
            Seen::Status | Seen::Body | Seen::Json | Seen::LatencyMs => Value::Null,
        }
    }

    fn field(&self, of: Seen, name: &str) -> Option<Cow<'_, str>> {
        let value = match of {
            Seen::Headers if name.bytes().any(|b| b.is_ascii_uppercase()) => self.value(name.to_ascii_lowercase().as_bytes()),
            Seen::Headers => self.value(name.as_bytes()),
            Seen::Cookies => self.cookie(name.as_bytes()),
            Seen::Query => self.parameter(name.as_bytes()),
            _ => None,
        };
        value.map(String::from_utf8_lossy)
    }
}

impl Facts for Asked<'_> {
    fn is_https(&self) -> bool {
        self.scheme() == "https"
    }

    fn write(&self, variable: &Variable, out: &mut Vec<u8>) {
        match variable {
            Variable::ClientIp => out.extend_from_slice(AddressText::new(self.client).as_bytes()),
            Variable::RequestId => out.extend_from_slice(self.id),
            Variable::Host => out.extend_from_slice(self.host()),
            Variable::Method => out.extend_from_slice(self.method()),
            Variable::Path => out.extend_from_slice(self.path),
            Variable::Query => out.extend_from_slice(self.query()),
            Variable::Uri => write_uri(self.path, self, out),
            Variable::Scheme => out.extend_from_slice(self.scheme().as_bytes()),
            Variable::PeerIp => out.extend_from_slice(self.peer.as_bytes()),
            Variable::Header(name) => out.extend_from_slice(self.value(name.as_bytes()).unwrap_or_default()),
            Variable::Cookie(name) => out.extend_from_slice(self.cookie(name.as_bytes()).unwrap_or_default()),
            Variable::Parameter(name) => out.extend_from_slice(self.parameter(name.as_bytes()).unwrap_or_default()),
        }
    }
}

/// Path and query as they go upstream.
pub(crate) fn write_uri(path: &[u8], asked: &Asked<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(path);
    if asked.head.target.len > asked.head.path.len {
        out.push(b'?');
        out.extend_from_slice(asked.query());
    }
}

/// Whose request it is: the peer's, or where the peer is trusted the right-most address in `X-Forwarded-For` that is not (D3).
pub(crate) fn client(head: &Request, text: &[u8], peer: SocketAddr, trusts: impl Fn(IpAddr) -> bool) -> (bool, IpAddr) {
    let peer = peer.ip().to_canonical();
    if !trusts(peer) {
        return (false, peer);
    }
    let mut client = peer;
    let lines = head.fields.iter().rev().filter(|field| field.name.of(text).eq_ignore_ascii_case(b"x-forwarded-for"));
    for hop in lines.flat_map(|field| field.value.of(text).rsplit(|b| *b == b',')) {
        let Some(address) = parse_address(hop.trim_ascii()) else { break };
        client = address;
        if !trusts(address) {
            break;
        }
    }
    (true, client)
}

/// An address, with or without a port.
fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let address = text.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    address.or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()).map(|address: IpAddr| address.to_canonical())
}

/// Whether a client's request id may be used on: short and plain, so that it can stand in any log.
pub(crate) fn is_plain_id(id: &[u8]) -> bool {
    (1..=128).contains(&id.len()) && id.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:=+/".contains(b))
}

/// 128 random bits in hexadecimal.
pub(crate) fn new_id(rng: &mut fastrand::Rng) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut bits = rng.u128(..);
    std::array::from_fn(|_| {
        let digit = DIGITS[(bits & 15) as usize];
        bits >>= 4;
        digit
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use wire::h1::{Limits, Progress};

    fn client_of(forwarded: &str, peer: &str) -> String {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{forwarded}\r\n");
        let mut head = Request::new();
        head.parse(text.as_bytes(), &mut Progress::default(), &Limits::DEFAULT).unwrap();
        let trusted: ipnet::IpNet = "10.0.0.0/8".parse().unwrap();
        client(&head, text.as_bytes(), peer.parse().unwrap(), |ip| trusted.contains(&ip)).1.to_string()
    }

    #[test]
    fn the_client_is_the_right_most_untrusted_address_d3() {
        assert_eq!(client_of("X-Forwarded-For: 1.1.1.1\r\n", "9.9.9.9:1"), "9.9.9.9");
        assert_eq!(client_of("X-Forwarded-For: 1.1.1.1, 2.2.2.2\r\n", "10.0.0.1:1"), "2.2.2.2");
        assert_eq!(client_of("X-Forwarded-For: 1.1.1.1, 2.2.2.2, 10.1.1.1\r\n", "10.0.0.1:1"), "2.2.2.2");
        assert_eq!(client_of("X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 10.2.2.2\r\n", "10.0.0.1:1"), "1.1.1.1");
        assert_eq!(client_of("X-Forwarded-For: 1.1.1.1, rubbish\r\n", "10.0.0.1:1"), "10.0.0.1");
        assert_eq!(client_of("X-Forwarded-For: [2001:db8::1]:443\r\n", "10.0.0.1:1"), "2001:db8::1");
        assert_eq!(client_of("", "10.0.0.1:1"), "10.0.0.1");
    }

    #[test]
    fn an_expression_is_a_key_like_any_other() {
        let text = b"GET /a/b?id=7&x HTTP/1.1\r\nHost: Shop.Example.com:80\r\nX-User: ann\r\nCookie: a=1; sid=s1\r\n\r\n";
        let mut head = Request::new();
        head.parse(text, &mut Progress::default(), &Limits::DEFAULT).unwrap();
        let client: IpAddr = "10.0.0.9".parse().unwrap();
        let peer = AddressText::new(client);
        let asked = Asked { head: &head, text, path: b"/a/b", peer: &peer, trusted: false, client, id: b"i" };
        let key = |expression: &str| {
            let expression = expression::Expression::compile(expression, expression::Scope::Request).unwrap();
            asked.key_hash(&Key::Expression(std::sync::Arc::new(expression)), "web")
        };
        assert_eq!(key("headers['X-User'] + cookies.sid + query.id"), Some(hash_key(b"anns17")));
        assert_eq!(key("method + ' ' + host + path.split('/')[1]"), Some(hash_key(b"GET shop.example.coma")));
        assert_eq!(key("headers['x-user']"), asked.key_hash(&Key::Header("x-user".to_owned()), "web"));
        assert_eq!(key("client_ip"), asked.key_hash(&Key::ClientIp, "web"));
        assert_eq!(key("headers['x-tenant']"), None);
    }

    #[test]
    fn address_texts_hold_the_longest_address() {
        for text in ["1.2.3.4", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::ffff:255.255.255.255"] {
            assert_eq!(AddressText::new(text.parse().unwrap()).as_bytes(), text.as_bytes());
        }
    }

    #[test]
    fn ids_of_clients_are_used_only_when_plain() {
        assert!(is_plain_id(b"a1-B2_c.3"));
        assert!(!is_plain_id(b"") && !is_plain_id(b"a b") && !is_plain_id(b"a\"b") && !is_plain_id(&[b'a'; 129]));
    }
}
