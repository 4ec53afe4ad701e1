//! Who may ask the admin listener what (D8): no page of another origin, no rebound name, and no change without the token.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, header};

/// Why a request is refused. All of them are 403.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `Host` is a name that anyone may have pointed here.
    Host,
    /// A browser sends it for another page.
    Origin,
    /// It changes something, or it comes from another machine, and carries no token.
    NoToken,
    /// It carries a token that is not ours.
    WrongToken,
}

impl Refusal {
    /// The word for programs.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Host => "host_not_allowed",
            Self::Origin => "origin_not_allowed",
            Self::NoToken => "token_missing",
            Self::WrongToken => "token_wrong",
        }
    }

    /// For a person, with what to do.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Host => "ask for an IP address or localhost, or send the token: any name could have been pointed here",
            Self::Origin => "pages of other origins may not ask",
            Self::NoToken => {
                "send the token as `Authorization: Bearer TOKEN`; it is `token` of `[admin]`, or in the token file of the process"
            }
            Self::WrongToken => "this is not the token of the process that runs",
        }
    }
}

/// How much an endpoint gives away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One word about the process, for whoever probes it.
    Probe,
    /// Reads what the process knows.
    Read,
    /// Changes something.
    Write,
}

/// Judges a request by where it comes from and what it says.
///
/// The token opens everything that is not of another origin. Without it: writes are refused, reads are for this machine, and
/// the host asked for must not be a name that can be rebound.
pub(super) fn judge(kind: Kind, peer: SocketAddr, headers: &HeaderMap, token: &str) -> Result<(), Refusal> {
    let host = host(headers);
    let is_own = |origin: &[u8]| host.is_some_and(|host| origin.eq_ignore_ascii_case(format!("http://{host}").as_bytes()));
    if headers.get_all(header::ORIGIN).iter().any(|origin| !is_own(origin.as_bytes())) {
        return Err(Refusal::Origin);
    }
    let is_literal = host.is_some_and(|host| cannot_be_rebound(name_of(host)));
    match bearer(headers) {
        // A page behind a rebound name has no token to send.
        Some(given) if is_same(given.as_bytes(), token.as_bytes()) => Ok(()),
        _ if !is_literal => Err(Refusal::Host),
        Some(_) => Err(Refusal::WrongToken),
        None if kind == Kind::Probe || (kind == Kind::Read && peer.ip().to_canonical().is_loopback()) => Ok(()),
        None => Err(Refusal::NoToken),
    }
}

/// The one `Host`; two are none.
fn host(headers: &HeaderMap) -> Option<&str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    hosts.next().is_none().then_some(host)
}

/// Without the port and the brackets.
fn name_of(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or(host, |(name, _)| name);
    }
    host.split_once(':').map_or(host, |(name, _)| name)
}

fn cannot_be_rebound(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Takes the same time wherever the two differ. Nothing equals an empty token.
fn is_same(given: &[u8], token: &[u8]) -> bool {
    let differing = given.iter().zip(token).fold(0, |differing, (a, b)| differing | (a ^ b));
    given.len() == token.len() && !token.is_empty() && std::hint::black_box(differing) == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn verdict(kind: Kind, peer: &str, headers: &[(&str, &str)]) -> Result<(), Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: axum::http::HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        judge(kind, format!("{peer}:1").parse().unwrap(), &map, TOKEN)
    }

    #[test]
    fn this_machine_may_read_and_nobody_may_write_without_the_token() {
        for host in ["127.0.0.1:9900", "localhost:9900", "[::1]:9900", "LOCALHOST", "10.0.0.7:9900"] {
            assert_eq!(verdict(Kind::Read, "127.0.0.1", &[("host", host)]), Ok(()), "{host}");
            assert_eq!(verdict(Kind::Write, "127.0.0.1", &[("host", host)]), Err(Refusal::NoToken), "{host}");
        }
        assert_eq!(verdict(Kind::Read, "10.0.0.9", &[("host", "10.0.0.7:9900")]), Err(Refusal::NoToken));
        assert_eq!(verdict(Kind::Read, "10.0.0.9", &[("host", "localhost")]), Err(Refusal::NoToken));
        assert_eq!(verdict(Kind::Probe, "10.0.0.9", &[("host", "10.0.0.7:9900")]), Ok(()));
        let bearer = format!("Bearer {TOKEN}");
        for kind in [Kind::Read, Kind::Write] {
            assert_eq!(verdict(kind, "10.0.0.9", &[("host", "evenkeel:9900"), ("authorization", &bearer)]), Ok(()));
        }
    }

    #[test]
    fn a_wrong_token_is_no_token() {
        for wrong in ["Bearer", "Bearer ", "Bearer 0123456789abcdeF", "Bearer 0123456789abcdef0", "Basic 0123456789abcdef"] {
            assert!(verdict(Kind::Write, "127.0.0.1", &[("host", "127.0.0.1"), ("authorization", wrong)]).is_err(), "{wrong}");
        }
        assert!(!is_same(b"", b"") && is_same(b"a", b"a") && !is_same(b"a", b"ab"));
    }

    #[test]
    fn a_rebound_name_and_a_page_of_another_origin_are_refused_d8() {
        for host in ["evil.example", "127.0.0.1.evil.example:9900", "localhost.evil.example", "", "[::1", "127.1"] {
            assert_eq!(verdict(Kind::Read, "127.0.0.1", &[("host", host)]), Err(Refusal::Host), "{host}");
        }
        assert_eq!(verdict(Kind::Read, "127.0.0.1", &[]), Err(Refusal::Host));
        assert_eq!(verdict(Kind::Read, "127.0.0.1", &[("host", "localhost"), ("host", "localhost")]), Err(Refusal::Host));
        let bearer = format!("Bearer {TOKEN}");
        for origin in ["http://evil.example", "null", "https://localhost:9900", "http://localhost:8000", "http://localhost"] {
            let headers = [("host", "localhost:9900"), ("origin", origin), ("authorization", &bearer)];
            assert_eq!(verdict(Kind::Write, "127.0.0.1", &headers), Err(Refusal::Origin), "{origin}");
            assert_eq!(verdict(Kind::Probe, "127.0.0.1", &headers[..2]), Err(Refusal::Origin), "{origin}");
        }
        let own = [("host", "localhost:9900"), ("origin", "http://localhost:9900"), ("authorization", &bearer)];
        assert_eq!(verdict(Kind::Write, "127.0.0.1", &own), Ok(()));
    }
}
