//! Who may use a route: networks, and what everyone else is told.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr};

use testkit::Evenkeel;
use testkit::client::{Connection, Response, exchange};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");

/// What a client at `from` is answered.
fn from(from: &str, to: SocketAddr, path: &str, fields: &str) -> Response {
    let mut client = Connection::open_from(from.parse::<IpAddr>().unwrap(), to).unwrap();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes()).unwrap();
    client.response("GET").unwrap()
}

#[test]
fn a_route_is_for_the_networks_it_names_and_403_for_everyone_else() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("offices.txt");
    std::fs::write(&list, "# Offices\n127.0.0.8/29\n").unwrap();
    let evenkeel = Evenkeel::start(
        &testkit::binary(BINARY),
        &format!(
            "[admin]\nlisten = \"ADMIN\"\n[listener.web]\nlisten = \"LISTEN\"\ntrusted_proxies = \"127.0.0.1\"\n\
             [[route]]\nmatch = {{ path = \"/admin/\" }}\nallow = [\"127.0.0.2\", {{ file = \"{}\" }}]\ndeny = \"127.0.0.9\"\nrespond = {{ body = \"in\" }}\n\
             [[route]]\nmatch = {{ path = \"/open/\" }}\ndeny = \"127.0.0.9\"\nrespond = {{ body = \"in\" }}\n",
            list.display()
        ),
    );
    let status = |at: &str, path: &str| from(at, evenkeel.address(), path, "").status;
    assert_eq!((status("127.0.0.2", "/admin/"), status("127.0.0.8", "/admin/"), status("127.0.0.3", "/open/")), (200, 200, 200));
    // The path that decides is the normalised one (D1).
    assert_eq!((status("127.0.0.3", "/admin/"), status("127.0.0.3", "/open/../admin/")), (403, 403));
    assert_eq!((status("127.0.0.9", "/admin/"), status("127.0.0.9", "/open/")), (403, 403), "deny wins over allow");
    let denied = from("127.0.0.3", evenkeel.address(), "/admin/", "X-Forwarded-For: 127.0.0.2\r\n");
    assert_eq!((denied.status, denied.reason().as_deref()), (403, Some("denied")), "a client's word on its address is nothing");
    let forwarded = from("127.0.0.1", evenkeel.address(), "/admin/", "X-Forwarded-For: 127.0.0.3\r\n");
    assert_eq!(forwarded.status, 403, "a trusted proxy's word is");
    let metrics = exchange(evenkeel.admin(), format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", evenkeel.admin()).as_bytes());
    assert!(metrics.text().contains("evenkeel_errors_total{reason=\"denied\"} 6"), "{}", metrics.text());
    evenkeel.stop();
}
