//! Response heads: rows B3 to B5 of the safety contract.
#![allow(clippy::unwrap_used)]

use wire::h1::{Limits, Malformed, Method, Progress, Response, ResponseFraming, Status, Upgrade, Version};

fn parse_to(head: &str, to: Method) -> Result<Response, Malformed> {
    let mut response = Response::new();
    match response.parse(head.as_bytes(), &mut Progress::default(), &Limits::DEFAULT, to)? {
        Status::Complete => Ok(response),
        Status::Partial => panic!("partial: {head:?}"),
    }
}

fn parse(head: &str) -> Result<Response, Malformed> {
    parse_to(head, Method::Get)
}

fn with_fields(lines: &str) -> Result<Response, Malformed> {
    parse(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"))
}

#[test]
fn a_plain_response_is_read_whole() {
    let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 005\r\nServer: x\r\n\r\nhello";
    let response = parse(head).unwrap();
    assert_eq!((response.status, response.version), (404, Version::Http11));
    assert_eq!(response.reason.of(head.as_bytes()), b"Not Found");
    assert_eq!((response.framing, response.declared), (ResponseFraming::Length(5), Some(5)));
    assert_eq!((response.len, response.keep_alive), (head.len() - 5, true));
}

#[test]
fn a_reason_may_be_empty_or_absent() {
    for line in ["HTTP/1.1 200", "HTTP/1.1 200 "] {
        let response = parse(&format!("{line}\r\n\r\n")).unwrap();
        assert!(response.reason.is_empty());
        assert_eq!(response.status, 200);
    }
    let head = "HTTP/1.0 299 caf\u{e9}\tok\r\n\r\n";
    assert_eq!(parse(head).unwrap().reason.of(head.as_bytes()), "caf\u{e9}\tok".as_bytes());
}

#[test]
fn no_status_line_is_malformed_b5() {
    for line in [
        "",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 20",
        "HTTP/1.1 2000",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/2.0 200 OK",
        "HTTP/1.2 200 OK",
        "ICY 200 OK",
        "http/1.1 200 OK",
        "hello",
        " HTTP/1.1 200 OK",
        "HTTP/1.1 200 a\0",
        "HTTP/1.1 200 a\rb",
        "HTTP/1.1 +20 OK",
    ] {
        assert_eq!(parse(&format!("{line}\r\n\r\n")).err(), Some(Malformed::StatusLine), "{line:?}");
    }
}

#[test]
fn a_malformed_or_oversized_field_is_malformed_b5() {
    for (lines, reason) in [
        ("X: a\0\r\n", "control_byte"),
        ("X: a\rb\r\n", "bare_cr"),
        ("X: a\n", "bare_lf"),
        ("X : a\r\n", "space_before_colon"),
        ("X: a\r\n b\r\n", "folded_line"),
        ("X\r\n", "no_colon"),
        ("Connection: content-length\r\n", "connection_nominates_framing"),
    ] {
        let malformed = with_fields(lines).expect_err(lines);
        assert_eq!((malformed.reason(), malformed.row()), (reason, "B5"));
    }
    let big = format!("X: {}\r\n", "a".repeat(8000)).repeat(9);
    assert_eq!(with_fields(&big).expect_err("too large").reason(), "head_too_large");
    assert_eq!(with_fields(&"X: a\r\n".repeat(129)).expect_err("too many").reason(), "too_many_fields");
}

#[test]
fn framing_that_can_be_read_two_ways_is_malformed_b5() {
    for (lines, reason) in [
        ("Content-Length: 5\r\nContent-Length: 5\r\n", "content_length_repeated"),
        ("Content-Length: 5, 5\r\n", "content_length_invalid"),
        ("Content-Length: x\r\n", "content_length_invalid"),
        ("Content-Length:\r\n", "content_length_invalid"),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "content_length_and_transfer_encoding"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "transfer_encoding_repeated"),
        ("Transfer-Encoding: gzip, chunked\r\n", "transfer_encoding_unknown"),
        ("Transfer-Encoding: chunked, chunked\r\n", "transfer_encoding_invalid"),
    ] {
        assert_eq!(with_fields(lines).expect_err(lines).reason(), reason);
        let to_head = parse_to(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"), Method::Head);
        assert_eq!(to_head.expect_err(lines).reason(), reason, "also where no body follows");
    }
    let old = parse("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(old.expect_err("1.0").reason(), "transfer_encoding_in_http10");
}

#[test]
fn the_end_of_a_body_follows_from_status_method_and_fields_b5() {
    use ResponseFraming::{Chunked, Empty, Length, UntilClose};
    for (status, to, line, framing, keeps) in [
        (200, Method::Get, "Content-Length: 5\r\n", Length(5), true),
        (200, Method::Get, "Transfer-Encoding: Chunked\r\n", Chunked, true),
        (200, Method::Get, "", UntilClose, false),
        (200, Method::Head, "", Empty, true),
        (200, Method::Head, "Content-Length: 5\r\n", Empty, true),
        (200, Method::Head, "Transfer-Encoding: chunked\r\n", Empty, true),
        (304, Method::Get, "Content-Length: 5\r\n", Empty, true),
        (204, Method::Get, "", Empty, true),
        (204, Method::Get, "Content-Length: 0\r\n", Empty, true),
        (204, Method::Get, "Content-Length: 5\r\n", Empty, false),
        (204, Method::Get, "Transfer-Encoding: chunked\r\n", Empty, false),
        (100, Method::Post, "", Empty, true),
        (103, Method::Post, "Content-Length: 5\r\n", Empty, false),
        (200, Method::Get, "Content-Length: 5\r\nConnection: close\r\n", Length(5), false),
    ] {
        let response = parse_to(&format!("HTTP/1.1 {status} x\r\n{line}\r\n"), to).unwrap();
        assert_eq!((response.framing, response.keep_alive), (framing, keeps), "{status} {to:?} {line}");
        let declared = line.starts_with("Content-Length: 5").then_some(5);
        assert_eq!(response.declared.filter(|&d| d > 0), declared);
    }
}

#[test]
fn an_http_1_0_backend_keeps_its_connection_only_when_it_says_so() {
    let keeps = |line: &str| parse(&format!("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n{line}\r\n")).unwrap().keep_alive;
    assert!(!keeps("") && keeps("Connection: keep-alive\r\n"));
}

#[test]
fn only_a_101_that_names_websocket_opens_a_tunnel_b3() {
    let upgrade = |status: u16, lines: &str| parse(&format!("HTTP/1.1 {status} x\r\n{lines}\r\n")).unwrap().upgrade;
    let both = "Upgrade: WebSocket\r\nConnection: Upgrade\r\n";
    assert_eq!(upgrade(101, both), Upgrade::WebSocket);
    assert_eq!(upgrade(200, both), Upgrade::None);
    assert_eq!(upgrade(101, "Upgrade: websocket\r\n"), Upgrade::None);
    assert_eq!(upgrade(101, "Connection: upgrade\r\n"), Upgrade::None);
    assert_eq!(upgrade(101, "Upgrade: h2c\r\nConnection: upgrade\r\n"), Upgrade::None);
}

#[test]
fn interim_answers_are_read_one_after_the_other_b4() {
    let stream =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (mut response, mut progress, mut at) = (Response::new(), Progress::default(), 0);
    for status in [100, 103, 200] {
        let buf = &stream.as_bytes()[at..];
        assert_eq!(response.parse(buf, &mut progress, &Limits::DEFAULT, Method::Get), Ok(Status::Complete));
        assert_eq!(response.status, status);
        at += response.len;
    }
    assert_eq!(at, stream.len());
}
