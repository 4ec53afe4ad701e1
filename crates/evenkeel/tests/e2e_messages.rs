//! Messages of every shape through the real binary: kept connections, pipelines, old clients, bodiless answers, errors and header edits.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use testkit::Evenkeel;
use testkit::backend::{Recording, Script, Step};
use testkit::client::{Connection, Response, exchange, get};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");

/// A proxy with one route to one backend.
fn proxy(backend: &Recording, route: &str) -> Evenkeel {
    let address = backend.address();
    let config = format!(
        "workers = 1\n[listener.web]\nlisten = \"LISTEN\"\n[[route]]\nmatch = {{ path = \"/\" }}\npool = \"app\"\n{route}\n[pool.app]\nbackends = [\"{address}\"]\nhealth = {{ tcp = true, interval = \"60s\" }}\n"
    );
    Evenkeel::start(&testkit::binary(BINARY), &config)
}

#[test]
fn the_short_form_of_the_configuration_serves() {
    let backends: Vec<_> = ["a", "b", "c"].map(Recording::start).into();
    let list: Vec<_> = backends.iter().map(|b| format!("\"{}\"", b.address())).collect();
    let evenkeel = Evenkeel::start(&testkit::binary(BINARY), &format!("listen = \"LISTEN\"\nbackends = [{}]\n", list.join(", ")));
    let names: Vec<_> = (0..9).map(|_| get(evenkeel.address(), "/").backend().unwrap()).collect();
    assert_eq!(names[..3], names[3..6], "in cyclic order: {names:?}");
    assert_eq!(names[..3], names[6..], "in cyclic order: {names:?}");
    assert!(["a", "b", "c"].iter().all(|name| names[..3].iter().any(|n| n == name)), "each in turn: {names:?}");
    evenkeel.stop();
}

#[test]
fn a_hundred_pipelined_requests_are_answered_in_order_on_one_upstream_connection_at_a_time() {
    let backend = Recording::start("one");
    let evenkeel = proxy(&backend, "");
    let mut client = Connection::open(evenkeel.address()).unwrap();
    let mut all = Vec::new();
    for n in 0..100 {
        all.extend_from_slice(
            match n % 3 {
                0 => format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n"),
                1 => format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"),
                _ => format!("PUT /{n} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
            }
            .as_bytes(),
        );
    }
    client.send(&all).unwrap();
    for n in 0..100 {
        let answer = client.response("GET").unwrap();
        assert_eq!((answer.status, answer.json()["target"].as_str()), (200, Some(format!("/{n}").as_str())));
    }
    let seen = backend.exchanges();
    assert!(seen.iter().all(|e| e.complete && e.fault.is_none()));
    assert_eq!(seen.iter().map(|e| e.connection).max(), Some(1), "the idle connection is used again");
}

#[test]
fn a_kept_connection_serves_a_thousand_requests() {
    let backend = Recording::start("one");
    let evenkeel = proxy(&backend, "");
    let mut client = Connection::open(evenkeel.address()).unwrap();
    for n in 0..1_000 {
        let answer = client.exchange(format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        assert_eq!((answer.status, answer.json()["target"].as_str()), (200, Some(format!("/{n}").as_str())));
        assert!(!answer.head.has_token("connection", "close"));
    }
    assert_eq!(backend.exchanges().last().unwrap().turn, 1_000);
}

#[test]
fn answers_that_have_no_body_leave_the_connection_in_step() {
    let backend = Recording::start("one");
    let evenkeel = proxy(&backend, "");
    let mut client = Connection::open(evenkeel.address()).unwrap();
    for (method, answer, status) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 200),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200),
        ("HEAD", "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\n", 404),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("DELETE", "HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 1000\r\n\r\n", 304),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200),
    ] {
        backend.next(Script::fixed(answer));
        let got = client.exchange(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        assert_eq!((got.status, got.body.len()), (status, 0), "{method} {answer:?}");
        let next = client.exchange(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(next.json()["target"], "/next", "after {method} {answer:?}");
    }
}

#[test]
fn an_answer_in_any_framing_reaches_clients_of_either_version() {
    let backend = Recording::start("one");
    let evenkeel = proxy(&backend, "");
    let close = |answer: &str| Script(vec![Step::ReadRequest, Step::Write(answer.as_bytes().to_vec()), Step::Close]);
    for script in [
        Script::fixed("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world"),
        Script::fixed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
        Script::in_pieces(
            1,
            Duration::ZERO,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        ),
        Script::in_pieces(3, Duration::from_millis(1), "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world"),
        close("HTTP/1.1 200 OK\r\n\r\nhello world"),
        close("HTTP/1.0 200 OK\r\n\r\nhello world"),
        close("HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\nhello world"),
    ] {
        for version in ["1.1", "1.0"] {
            backend.next(script.clone());
            let answer =
                exchange_to_end(&evenkeel, format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n").as_bytes(), version == "1.0");
            assert!(answer.complete && answer.body == b"hello world", "HTTP/{version} {script:?}: {answer:?}");
            assert!(version == "1.1" || answer.get("transfer-encoding").is_none(), "no chunks for HTTP/1.0: {answer:?}");
        }
    }
}

fn exchange_to_end(evenkeel: &Evenkeel, request: &[u8], closes: bool) -> Response {
    let mut client = Connection::open(evenkeel.address()).unwrap();
    client.send(request).unwrap();
    let answer = client.response("GET").unwrap();
    if closes {
        assert!(client.read_to_end(Duration::from_secs(2)).is_some(), "closed after the answer");
    }
    answer
}

#[test]
fn bytes_of_a_stream_are_passed_on_as_they_come() {
    let backend = Recording::start("one");
    let evenkeel = proxy(&backend, "");
    let head =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n".to_vec();
    backend.next(Script(vec![
        Step::ReadRequest,
        Step::Write(head),
        Step::Pause(Duration::from_millis(600)),
        Step::Write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n".to_vec()),
    ]));
    let mut client = Connection::open(evenkeel.address()).unwrap();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let started = Instant::now();
    assert!(client.read_until(Duration::from_secs(2), |got| { testkit::message::find(got, b"data: 1").is_some() }));
    assert!(started.elapsed() < Duration::from_millis(400), "the first event came after {:?}", started.elapsed());
    assert_eq!(client.response("GET").unwrap().body, b"data: 1\n\ndata: 2\n\n");
}

#[test]
fn a14_expect_100_continue_is_answered_and_a_refusal_without_the_body_ends_the_upstream_connection() {
    let backend = Recording::start("one");
    let evenkeel = proxy(&backend, "");
    let head = b"POST /up HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let mut client = Connection::open(evenkeel.address()).unwrap();
    client.send(head).unwrap();
    assert!(client.read_until(Duration::from_secs(3), |got| got.starts_with(b"HTTP/1.1 100 Continue\r\n\r\n")), "told to go on");
    client.send(b"hello").unwrap();
    let answer = client.response("POST").unwrap();
    assert_eq!((answer.status, answer.json()["body"].as_str(), answer.interim.len()), (200, Some("hello"), 1));

    backend.next(Script(vec![
        Step::ReadHead,
        Step::Write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".to_vec()),
        Step::ReadToEnd,
    ]));
    let mut client = Connection::open(evenkeel.address()).unwrap();
    client.send(head).unwrap();
    assert_eq!(client.response("POST").unwrap().status, 403);
    let next = get(evenkeel.address(), "/next");
    assert_eq!(next.status, 200);
    let seen = backend.exchanges();
    let refused = seen.iter().find(|e| !e.complete).expect("the refused one");
    assert!(!seen.iter().any(|e| e.connection == refused.connection && e.turn > refused.turn), "not used again");
}

#[test]
fn errors_speak_the_language_the_client_accepts() {
    let backend = Recording::start("one");
    let config = format!(
        "[listener.web]\nlisten = \"LISTEN\"\n[[route]]\nmatch = {{ path = \"/known\" }}\npool = \"app\"\n[pool.app]\nbackends = [\"{}\"]\n",
        backend.address()
    );
    let evenkeel = Evenkeel::start(&testkit::binary(BINARY), &config);
    let ask = |method: &str, accept: &str| {
        exchange(evenkeel.address(), format!("{method} /unknown HTTP/1.1\r\nHost: a\r\n{accept}\r\n").as_bytes())
    };
    for accept in ["", "Accept: application/json\r\n", "Accept: */*\r\n", "Accept: application/*\r\n", "Accept: image/png\r\n"] {
        let answer = ask("GET", accept);
        assert_eq!((answer.status, answer.reason().as_deref()), (404, Some("no_route")), "{accept:?}: {answer:?}");
        assert!(answer.get("content-type").is_some_and(|t| t.starts_with("application/json")), "{accept:?}: {answer:?}");
        let json = answer.json();
        assert!(json["error"].is_string() && json["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{json}");
    }
    let plain = ask("GET", "Accept: text/plain\r\n");
    assert!(
        plain.status == 404
            && plain.get("content-type").is_some_and(|t| t.starts_with("text/plain"))
            && plain.text().contains("no_route"),
        "{plain:?}"
    );
    for accept in ["text/html", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"] {
        let page = ask("GET", &format!("Accept: {accept}\r\n"));
        assert!(
            page.status == 404
                && page.get("content-type").is_some_and(|t| t.starts_with("text/html"))
                && page.text().to_lowercase().contains("<html"),
            "{page:?}"
        );
    }
    let head = ask("HEAD", "");
    assert!(head.status == 404 && head.body.is_empty() && head.complete, "{head:?}");
    assert_eq!(backend.count(), 0);
}

#[test]
fn header_edits_of_a_route_change_what_goes_up_and_what_comes_down() {
    let backend = Recording::start("one");
    let evenkeel = proxy(
        &backend,
        "request_headers = { set = { X-Tier = \"web\", User-Agent = \"keel\" }, remove = [\"X-Debug\"] }\nresponse_headers = { set = { X-Frame-Options = \"SAMEORIGIN\", Content-Type = \"text/x\" }, remove = [\"Server\"] }",
    );
    backend.next(Script::fixed(
        "HTTP/1.1 200 OK\r\nServer: x\r\nserver: y\r\nContent-Type: text/plain\r\nX-Kept: 1\r\nContent-Length: 2\r\n\r\nhi",
    ));
    let answer = exchange(evenkeel.address(), b"GET / HTTP/1.1\r\nHost: a\r\nx-debug: 1\r\nX-DEBUG: 2\r\nX-Tier: mine\r\nx-tier: too\r\nUser-Agent: kit\r\nX-Kept: 1\r\n\r\n");
    assert_eq!((answer.get("X-Frame-Options"), answer.get("Server"), answer.get("X-Kept")), (Some("SAMEORIGIN"), None, Some("1")));
    assert_eq!(answer.head.all("content-type").collect::<Vec<_>>(), ["text/x"]);
    let head = backend.exchanges()[0].head().unwrap();
    assert_eq!(head.all("X-Tier").collect::<Vec<_>>(), ["web"]);
    assert_eq!(head.all("User-Agent").collect::<Vec<_>>(), ["keel"]);
    assert_eq!((head.get("X-Debug"), head.get("X-Kept")), (None, Some("1")));
}

#[test]
fn d9_d10_logs_hold_no_secret_and_no_control_character() {
    let backend = Recording::start("one");
    let evenkeel = proxy(&backend, "");
    let request = b"GET /logged?token=abc HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cr3t-bearer\r\nCookie: session=s3cr3t-cookie\r\nUser-Agent: a\tb\x1f \x9b31m\"quote\r\nReferer: http://x/\r\n\r\n";
    // A tab and a byte above ASCII are legal in a field, the control byte is not: the first request is refused, the second served.
    assert_eq!(exchange(evenkeel.address(), request).status, 400);
    let legal: Vec<u8> = request.iter().copied().filter(|&b| b != 0x1f).collect();
    assert_eq!(exchange(evenkeel.address(), &legal).status, 200);
    evenkeel.wait_for_log("/logged");
    let (stdout, stderr) = evenkeel.stop();
    for log in [&stdout, &stderr] {
        assert!(!log.contains("s3cr3t"), "D9: {log}");
        assert!(!log.chars().any(|c| c.is_control() && c != '\n' && c != '\u{1b}'), "D10: {log:?}");
    }
    assert!(!stdout.contains('\u{1b}'), "D10: {stdout:?}");
    for line in stdout.lines().filter(|l| l.contains("/logged")) {
        assert!(
            line.starts_with('{') && serde_json::from_str::<serde_json::Value>(line).is_ok(),
            "a line of the access log is JSON: {line}"
        );
    }
}

#[test]
fn f15_requests_begun_before_sigterm_end_well_and_the_proxy_exits_with_0() {
    let backend = Recording::start("one");
    let evenkeel = proxy(&backend, "");
    let mut idle = Connection::open(evenkeel.address()).unwrap();
    assert_eq!(idle.exchange(b"GET /idle HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().status, 200);
    backend.next(Script(vec![
        Step::ReadRequest,
        Step::Pause(Duration::from_millis(500)),
        Step::Write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate".to_vec()),
    ]));
    let mut client = Connection::open(evenkeel.address()).unwrap();
    client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(backend.wait_until(Duration::from_secs(2), |all| { all.iter().any(|e| e.line().starts_with("GET /slow")) }));
    let started = Instant::now();
    evenkeel.signal("TERM");
    let answer = client.response("GET").unwrap();
    assert!(answer.body == b"late" && answer.head.has_token("connection", "close"), "{answer:?}");
    assert!(client.read_to_end(Duration::from_secs(2)).is_some(), "closed after the last answer");
    assert!(idle.read_to_end(Duration::from_secs(2)).is_some(), "idle connections are closed");
    evenkeel.stop_already_asked();
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "it ends when the last request has, not at the end of the grace: {:?}",
        started.elapsed()
    );
}
