//! URLs of services that the proxy itself asks.

use super::backend;
use crate::model::{Address, Service};
use crate::units::Wrong;

/// `"https://id.example.com/keys?a=b"`; without a port the scheme's own.
pub(super) fn url(text: &str) -> Result<Service, Wrong> {
    let hint = "as in \"https://id.example.com/keys\"";
    let (scheme, rest) = text.split_once("://").ok_or_else(|| Wrong::new("this is not a URL", hint))?;
    let https = match scheme {
        "http" => false,
        "https" => true,
        _ => return Err(Wrong::new(format!("{scheme:?} is not a scheme we know"), "it is `http` or `https`").at(0..scheme.len())),
    };
    if let Some(found) = rest.find(|c: char| !c.is_ascii_graphic() || c == '#') {
        let at = text.len() - rest.len() + found;
        return Err(Wrong::new("a URL is visible ASCII without `#`", "write other characters as `%20`").at(at..text.len()));
    }
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(Wrong::new("a URL with a user is not served", "leave out what stands before the `@`"));
    }
    let address = backend::address(authority)?;
    let address = match (address, backend::host_and_port(authority).1) {
        (address, Some(_)) => address,
        (Address::Socket(socket), None) => Address::Socket((socket.ip(), if https { 443 } else { 80 }).into()),
        (Address::Name { host, .. }, None) => Address::Name { host, port: if https { 443 } else { 80 } },
    };
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    Ok(Service { https, address, authority: authority.to_owned(), target })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let read = |text: &str| {
            let url = url(text).unwrap();
            (url.address.to_string(), url.authority, url.target)
        };
        let parts = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(read("https://id.test/keys?a=b"), parts("id.test:443", "id.test", "/keys?a=b"));
        assert_eq!(read("http://127.0.0.1:9000"), parts("127.0.0.1:9000", "127.0.0.1:9000", "/"));
        assert_eq!(read("https://[::1]?x"), parts("[::1]:443", "[::1]", "/?x"));
        for bad in [
            "",
            "id.test",
            "ftp://id.test",
            "http://",
            "http://a:b@c/",
            "http://a/ b",
            "http://a/#b",
            "https://a:99999/",
            "http://a:/",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
