//! Who may use a route, by network, password or a service that decides; and what everyone else is told.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use testkit::Evenkeel;
use testkit::backend::{Recording, Script};
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

/// `Basic` credentials.
fn basic(name: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{name}:{password}")))
}

#[test]
fn a_name_and_its_password_let_in_and_the_backend_is_told_the_name() {
    let backend = Recording::start("app");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("htpasswd");
    let hash = |password: &str| bcrypt::hash(password, 6).unwrap();
    std::fs::write(&file, format!("alice:{}\nbob:{}\n", hash("wonder"), hash("builder"))).unwrap();
    let config = |users: &str| {
        format!(
            "[admin]\nlisten = \"ADMIN\"\n[listener.web]\nlisten = \"LISTEN\"\nunderscores = true\n[[route]]\npool = \"app\"\n\
             basic_auth = {{ users = {users}, realm = \"Staff only\", header = \"X-User\", strip = true }}\n[pool.app]\nbackends = [\"{}\"]\n",
            backend.address()
        )
    };
    let from_file = config(&format!("{{ file = \"{}\" }}", file.display()));
    let evenkeel = Evenkeel::start(&testkit::binary(BINARY), &from_file);
    let ask = |fields: &str| exchange(evenkeel.address(), format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes());
    let none = ask("");
    assert_eq!((none.status, none.reason().as_deref()), (401, Some("unauthorized")));
    assert_eq!(none.get("WWW-Authenticate"), Some("Basic realm=\"Staff only\", charset=\"UTF-8\""));
    let (good, forged) = (basic("alice", "wonder"), "X-User: root\r\nx_user: root\r\n");
    for _ in 0..3 {
        let let_in = ask(&format!("{good}{forged}"));
        assert_eq!(
            (let_in.status, let_in.echoed("x-user"), let_in.echoed("x_user")),
            (200, vec!["alice".to_owned()], vec![]),
            "D11"
        );
        assert_eq!(let_in.echoed("authorization"), [""; 0], "the password does not go upstream");
    }
    assert_eq!(ask(&basic("bob", "builder")).echoed("x-user"), ["bob"]);
    for bad in [
        basic("alice", "builder"),
        basic("carol", "wonder"),
        basic("alice", ""),
        format!("{good}{good}"),
        "Authorization: Basic !\r\n".into(),
    ] {
        assert_eq!(ask(&bad).status, 401, "{bad}");
    }
    let seen = backend.count();
    assert_eq!(seen, 4, "the backend sees nothing of those who were refused");
    // Another password counts at once, whatever is remembered of the old one.
    std::fs::write(&file, format!("alice:{}\n", hash("other"))).unwrap();
    evenkeel.reload(&from_file);
    evenkeel.wait_for_log("configuration reloaded");
    assert_eq!((ask(&good).status, ask(&basic("alice", "other")).status, ask(&basic("bob", "builder")).status), (401, 200, 401));
    assert!(!evenkeel.stdout().contains("wonder") && !evenkeel.stderr().contains("$2"), "nothing of it is logged (D9)");
    evenkeel.stop();
}

#[test]
fn slow_hashes_hold_up_no_other_request_and_no_more_than_some_wait() {
    let hash = bcrypt::hash("wonder", 12).unwrap();
    let evenkeel = Evenkeel::start(
        &testkit::binary(BINARY),
        &format!(
            "workers = 1\n[listener.web]\nlisten = \"LISTEN\"\n[[route]]\nmatch = {{ path = \"/in\" }}\nbasic_auth = {{ users = {{ alice = \"{hash}\" }} }}\n\
             respond = {{ body = \"in\" }}\n[[route]]\nrespond = {{ body = \"open\" }}\n"
        ),
    );
    let mut guessing: Vec<Connection> = (0..60).map(|_| Connection::open(evenkeel.address()).unwrap()).collect();
    for (i, client) in guessing.iter_mut().enumerate() {
        let guess = basic("alice", &format!("guess {i}"));
        client.send(format!("GET /in HTTP/1.1\r\nHost: a\r\n{guess}\r\n").as_bytes()).unwrap();
    }
    // Those beyond the bound are told at once, while the others still wait for their check.
    let unavailable = guessing.split_off(50);
    for mut client in unavailable {
        assert_eq!(client.response("GET").unwrap().reason().as_deref(), Some("auth_unavailable"));
    }
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(exchange(evenkeel.address(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(), "open");
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "20 other requests took {:?}", begun.elapsed());
    drop(guessing);
    evenkeel.stop();
}

/// Lets in whoever sends `X-Key: good`, sends others elsewhere.
fn decider() -> Recording {
    Recording::with("auth", Script::fixed("HTTP/1.1 200 OK\r\nX-User: alice\r\nX-Other: no\r\nContent-Length: 2\r\n\r\nok"))
}

#[test]
fn a_service_decides_and_the_backend_is_told_what_it_said() {
    let (backend, auth) = (Recording::start("app"), decider());
    let evenkeel = Evenkeel::start(
        &testkit::binary(BINARY),
        &format!(
            "workers = 1\n[listener.web]\nlisten = \"LISTEN\"\n[[route]]\npool = \"app\"\n\
             forward_auth = {{ url = \"http://{}/verify?a=b\", request_headers = [\"X-Key\"], response_headers = [\"X-User\", \"X-Groups\"], timeout = \"300ms\" }}\n\
             [pool.app]\nbackends = [\"{}\"]\n",
            auth.address(),
            backend.address()
        ),
    );
    let ask = || {
        let request = "POST /a/../in?q=1 HTTP/1.1\r\nHost: shop.test\r\nX-Key: k\r\nX-User: root\r\nX-Groups: all\r\nCookie: c=1\r\nContent-Length: 4\r\n\r\nbody";
        exchange(evenkeel.address(), request.as_bytes())
    };
    let let_in = ask();
    assert_eq!((let_in.status, let_in.json()["body"].as_str()), (200, Some("body")));
    assert_eq!(
        (let_in.echoed("x-user"), let_in.echoed("x-groups"), let_in.echoed("x-other")),
        (vec!["alice".to_owned()], vec![], vec![])
    );
    let asked = auth.exchanges()[0].head().unwrap();
    assert_eq!(asked.line, "GET /verify?a=b HTTP/1.1");
    let field = |name: &str| asked.get(name);
    assert_eq!(
        (field("X-Forwarded-Method"), field("X-Forwarded-Uri"), field("X-Forwarded-Host")),
        (Some("POST"), Some("/in?q=1"), Some("shop.test"))
    );
    assert_eq!(
        (field("X-Forwarded-For"), field("X-Forwarded-Proto"), field("X-Key")),
        (Some("127.0.0.1"), Some("http"), Some("k"))
    );
    assert_eq!((field("Cookie"), field("X-User"), field("Content-Length")), (None, None, None));
    assert_eq!(ask().status, 200);
    assert_eq!(auth.exchanges()[1].connection, 1, "the connection is kept");
    let seen = backend.count();
    // What the service answers itself goes to the client as it is.
    auth.next(Script::fixed("HTTP/1.1 302 Found\r\nLocation: https://id.test/\r\nSet-Cookie: s=1\r\nContent-Length: 0\r\n\r\n"));
    let elsewhere = ask();
    assert_eq!(
        (elsewhere.status, elsewhere.get("Location"), elsewhere.get("Set-Cookie")),
        (302, Some("https://id.test/"), Some("s=1"))
    );
    auth.next(Script::fixed(
        "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno!\r\n0\r\n\r\n",
    ));
    let refused = ask();
    assert_eq!((refused.status, refused.text().as_str(), refused.get("Content-Type")), (403, "no!", Some("text/html")));
    // A connection closed meanwhile is no failure; anything else is.
    auth.close_connections();
    assert_eq!(ask().status, 200);
    for failing in
        [Script::fixed("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), Script::fixed("nonsense\r\n\r\n"), Script::stall()]
    {
        auth.reset_connections();
        auth.next(failing.clone());
        auth.next(failing);
        let unavailable = ask();
        assert_eq!((unavailable.status, unavailable.reason().as_deref()), (503, Some("auth_unavailable")));
        auth.agenda().clear();
    }
    assert_eq!(backend.count(), seen + 1, "the backend sees only what was let in");
    drop(auth);
    assert_eq!(ask().status, 503, "nobody is let in when nobody can be asked");
    evenkeel.stop();
}
