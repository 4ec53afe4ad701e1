//! Request heads, row by row of the safety contract.
#![allow(clippy::unwrap_used)]

use wire::h1::{Field, Framing, Limits, Method, Name, Progress, Reject, Request, Status, Upgrade, Version};

fn parse_with(head: &[u8], limits: &Limits) -> Result<Request, Reject> {
    let mut request = Request::new();
    match request.parse(head, &mut Progress::default(), limits)? {
        Status::Complete => Ok(request),
        Status::Partial => panic!("partial: {:?}", String::from_utf8_lossy(head)),
    }
}

fn parse(head: &str) -> Result<Request, Reject> {
    parse_with(head.as_bytes(), &Limits::DEFAULT)
}

/// A GET with these field lines beside its Host, each with its line end.
fn with_fields(lines: &str) -> Result<Request, Reject> {
    parse(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
}

fn with_target(target: &str) -> Result<Request, Reject> {
    parse(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

#[track_caller]
fn assert_refused(result: Result<Request, Reject>, status: u16, row: &str) {
    let reject = result.expect_err("to be refused");
    assert_eq!((reject.status(), reject.row()), (status, row), "{reject:?}");
}

#[test]
fn a_plain_request_is_read_whole() {
    let head = "POST /a/b?c=d&e HTTP/1.1\r\nHost: Shop.example:8080\r\nX-A:  b c\t\r\nx-empty:\r\nContent-Length: 5\r\n\r\nhello";
    let request = parse(head).unwrap();
    let text = |span: wire::h1::Span| std::str::from_utf8(span.of(head.as_bytes())).unwrap();
    assert_eq!((request.method, text(request.method_text)), (Method::Post, "POST"));
    assert_eq!(text(request.target), "/a/b?c=d&e");
    assert_eq!((text(request.path), text(request.query)), ("/a/b", "c=d&e"));
    assert_eq!((text(request.authority), text(request.host)), ("Shop.example:8080", "Shop.example"));
    assert_eq!(request.framing, Framing::Length(5));
    assert_eq!(request.len, head.len() - 5);
    assert!(request.keep_alive && !request.asterisk && !request.absolute);
    let fields: Vec<_> = request.fields.iter().map(|f| (text(f.name), text(f.value))).collect();
    let expected = [("Host", "Shop.example:8080"), ("X-A", "b c"), ("x-empty", ""), ("Content-Length", "5")];
    assert_eq!(fields, expected);
    assert_eq!(request.find(Name::Host).map(|f| text(f.value)), Some("Shop.example:8080"));
    assert_eq!(request.find(Name::Cookie), None);
    let found: Vec<_> = request.find_name(head.as_bytes(), b"x-a").map(|f| text(f.value)).collect();
    assert_eq!(found, ["b c"]);
}

#[test]
fn a_query_is_empty_when_it_is_absent_or_has_no_byte() {
    assert!(with_target("/a").unwrap().query.is_empty());
    let request = with_target("/a?").unwrap();
    assert!(request.query.is_empty());
    assert_eq!((request.path.len, request.target.len), (2, 3));
}

#[test]
fn length_next_to_encoding_is_refused_in_either_order_a1() {
    assert_refused(with_fields("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400, "A1");
    assert_refused(with_fields("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400, "A1");
    assert_refused(with_fields("transfer-encoding: gzip\r\ncontent-length: 0\r\n"), 400, "A1");
}

#[test]
fn a_length_that_is_not_digits_is_refused_a2() {
    for value in [
        "5, 5",
        "+5",
        "-1",
        "0x5",
        "1_0",
        "1 0",
        "",
        "99999999999999999999",
        "18446744073709551616",
        "5.0",
        "5;",
        "\u{b2}",
        "5,",
        "'5'",
        "5\t5",
    ] {
        assert_refused(with_fields(&format!("Content-Length: {value}\r\n")), 400, "A2");
    }
    assert_refused(with_fields("Content-Length: 5\r\nContent-Length: 5\r\n"), 400, "A2");
    assert_refused(with_fields("Content-Length: 5\r\ncontent-LENGTH: 6\r\n"), 400, "A2");
}

#[test]
fn a_length_of_digits_is_read_leading_zeros_and_all_a2() {
    for (value, length) in [("0", 0), ("005", 5), ("18446744073709551615", u64::MAX)] {
        let request = with_fields(&format!("Content-Length: {value}\r\n")).unwrap();
        assert_eq!(request.framing, Framing::Length(length), "{value}");
    }
    assert_eq!(with_fields("").unwrap().framing, Framing::Empty);
}

#[test]
fn a_malformed_transfer_encoding_is_refused_with_400_a3() {
    for value in [
        ",chunked",
        "chunked,",
        "chunked, chunked",
        "chunked, gzip",
        "chunked;a=b",
        "\"chunked\"",
        "",
        "gzip;q=1",
        "chun ked",
        "chunked\u{a0}",
        "chunked, ",
        "gzip,, chunked",
    ] {
        assert_refused(with_fields(&format!("Transfer-Encoding: {value}\r\n")), 400, "A3");
    }
    for lines in ["chunked\r\nTransfer-Encoding: chunked", "gzip\r\nTransfer-Encoding: chunked"] {
        assert_refused(with_fields(&format!("Transfer-Encoding: {lines}\r\n")), 400, "A3");
    }
    assert_refused(with_fields("Transfer-Encoding: \x0bchunked\r\n"), 400, "A5");
}

#[test]
fn an_unknown_transfer_coding_is_refused_with_501_a3() {
    for value in ["gzip", "identity", "xchunked", "gzip, chunked", "gzip ,chunked", "chunked-a"] {
        assert_refused(with_fields(&format!("Transfer-Encoding: {value}\r\n")), 501, "A3");
    }
}

#[test]
fn chunked_is_known_in_any_case_a3() {
    for value in ["chunked", "Chunked", "CHUNKED", " \tchunked\t "] {
        let request = with_fields(&format!("Transfer-Encoding:{value}\r\n")).unwrap();
        assert_eq!(request.framing, Framing::Chunked);
    }
}

#[test]
fn transfer_encoding_in_http_1_0_is_refused_a4() {
    assert_refused(parse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400, "A4");
}

#[test]
fn a_line_that_parsers_read_differently_is_refused_a5() {
    for (lines, reason) in [
        ("X: a\r\n b\r\n", "folded_line"),
        ("X: a\r\n\tb\r\n", "folded_line"),
        ("X: a\n", "bare_lf"),
        ("X: a\r\n\n", "bare_lf"),
        ("X: a\rb\r\n", "bare_cr"),
        ("X: a\r\r\n", "bare_cr"),
        ("X\r: a\r\n", "bare_cr"),
        ("X: a\0\r\n", "control_byte"),
        ("X: \x7f\r\n", "control_byte"),
        ("X: a\x0bb\r\n", "control_byte"),
        ("X : a\r\n", "space_before_colon"),
        ("X\t: a\r\n", "space_before_colon"),
        (": a\r\n", "bad_field_name"),
        ("X Y: a\r\n", "bad_field_name"),
        ("X(: a\r\n", "bad_field_name"),
        ("X\u{e9}: a\r\n", "bad_field_name"),
        ("X\0: a\r\n", "bad_field_name"),
        ("\"X\": a\r\n", "bad_field_name"),
        ("X\r\n", "no_colon"),
        ("\rX: a\r\n", "bare_cr"),
    ] {
        let reject = with_fields(lines).expect_err(lines);
        assert_eq!((reject.reason(), reject.status(), reject.row()), (reason, 400, "A5"), "{lines:?}");
    }
    assert_refused(parse("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), 400, "A5");
    assert_refused(parse("GET / HTTP/1.1\nHost: a\r\n\r\n"), 400, "A5");
    assert_refused(parse("GET / HTTP/1.1\r\nHost: a\r\n\n"), 400, "A5");
}

#[test]
fn tabs_inside_and_high_bytes_may_stand_in_a_value_a5() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\nX: \t a\tb\u{e9} \t\r\n\r\n";
    let request = parse(head).unwrap();
    assert_eq!(request.fields[1].value.of(head.as_bytes()), "a\tb\u{e9}".as_bytes());
}

#[test]
fn a_host_that_is_not_one_authority_is_refused_a10() {
    for lines in [
        "",
        "Host:\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nhost: b\r\n",
        "Host: a, b\r\n",
        "Host: a,b\r\n",
        "Host: u@a\r\n",
        "Host: a/b\r\n",
        "Host: a:\r\n",
        "Host: a:0\r\n",
        "Host: a:65536\r\n",
        "Host: a:x\r\n",
        "Host: http://a\r\n",
        "Host: [::1\r\n",
    ] {
        assert_refused(parse(&format!("GET / HTTP/1.1\r\n{lines}\r\n")), 400, "A10");
    }
    assert_refused(parse("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), 400, "A10");
    assert_refused(parse("GET / HTTP/1.0\r\nHost: a b\r\n\r\n"), 400, "A10");
}

#[test]
fn http_1_0_may_leave_out_the_host_a10() {
    let request = parse("GET / HTTP/1.0\r\n\r\n").unwrap();
    assert!(request.authority.is_empty() && request.host.is_empty());
    assert_eq!(request.version, Version::Http10);
}

#[test]
fn an_absolute_target_must_agree_with_the_host_a10() {
    let read = |target: &str, host: &str| {
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        parse(&head).map(|r| {
            let text = |span: wire::h1::Span| String::from_utf8(span.of(head.as_bytes()).to_vec()).unwrap();
            assert!(r.absolute);
            (text(r.target), text(r.authority), text(r.host))
        })
    };
    let parts = |a: &str, b: &str, c: &str| Ok((a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(read("http://a/b?c", "a"), parts("/b?c", "a", "a"));
    assert_eq!(read("HTTP://A:80/", "a"), parts("/", "A:80", "A"));
    assert_eq!(read("https://a", "a:443"), parts("", "a", "a"));
    assert_eq!(read("http://[::1]:8080/x", "[::1]:8080"), parts("/x", "[::1]:8080", "[::1]"));
    for (target, host) in [("http://a/", "b"), ("http://a:8080/", "a"), ("http://a/", "a:443"), ("https://a/", "a:80")] {
        assert_eq!(read(target, host), Err(Reject::HostDisagrees), "{target} {host}");
    }
    for target in ["http://u@a/", "http:///", "http://a:x/", "http://a,b/"] {
        assert_eq!(read(target, "a"), Err(Reject::HostInvalid), "{target}");
    }
    let without_host = parse("GET http://a/ HTTP/1.1\r\n\r\n");
    assert_refused(without_host, 400, "A10");
}

#[test]
fn connect_and_trace_are_not_allowed_a11() {
    assert_refused(parse("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"), 405, "A11");
    assert_refused(parse("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"), 405, "A11");
}

#[test]
fn a_target_of_another_form_or_with_odd_bytes_is_refused_a11() {
    for target in
        ["*", "a", "a:80", "ftp://a/", "http:/a", "/a b", "/a\tb", "/\u{e9}", "/a#b", "/\0", "/\x7f", "?a", "javascript://a/"]
    {
        assert_refused(with_target(target), 400, "A11");
    }
    assert!(with_target("http://a?b").is_ok(), "an empty path means \"/\" (RFC 9112 3.2.1)");
    assert!(with_target("//").is_ok(), "the path normaliser merges it");
}

#[test]
fn options_may_ask_for_the_server_itself_a11() {
    let asks = |target: &str| parse(&format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap().asterisk;
    assert!(asks("*") && asks("http://a"));
    assert!(!asks("/") && !asks("http://a/"));
}

#[test]
fn a_request_line_of_another_shape_is_refused_a11() {
    for line in [
        "",
        "GET",
        "GET /",
        "GET / ",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET / HTTP/1",
        "GET / HTTP/x.1",
        "GET / HTTQ/1.1",
        "G(T / HTTP/1.1",
        "/ HTTP/1.1",
        "GET\t/\tHTTP/1.1",
        "GET HTTP/1.1",
        "GET  HTTP/1.1",
    ] {
        assert_refused(parse(&format!("{line}\r\nHost: a\r\n\r\n")), 400, "A11");
    }
}

#[test]
fn a_version_not_spoken_here_is_refused_a11() {
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/3.0", "HTTP/9.9"] {
        assert_refused(parse(&format!("GET / {version}\r\nHost: a\r\n\r\n")), 505, "A11");
    }
    assert_refused(parse("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505, "A11");
}

#[test]
fn any_token_is_a_method_a11() {
    for (text, method) in [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::Post),
        ("PUT", Method::Put),
        ("DELETE", Method::Delete),
        ("OPTIONS", Method::Options),
        ("PATCH", Method::Patch),
        ("get", Method::Other),
        ("PROPFIND", Method::Other),
        ("M-X!", Method::Other),
    ] {
        assert_eq!(parse(&format!("{text} / HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap().method, method);
    }
    assert!(Method::Put.is_idempotent() && Method::Delete.is_idempotent() && Method::Get.is_idempotent());
    assert!(!Method::Post.is_idempotent() && !Method::Patch.is_idempotent() && !Method::Other.is_idempotent());
    assert!(!Method::Put.is_safe() && Method::Head.is_safe());
}

#[test]
fn a_target_at_its_limit_is_read_and_beyond_is_414_a12() {
    let target = |len: usize| format!("/{}", "a".repeat(len - 1));
    assert!(with_target(&target(8192)).is_ok());
    assert_refused(with_target(&target(8193)), 414, "A12");
    assert_refused(with_target(&target(100_000)), 414, "A12");
    let mut request = Request::new();
    let endless = format!("GET {}", target(9000));
    let verdict = request.parse(endless.as_bytes(), &mut Progress::default(), &Limits::DEFAULT);
    assert_eq!(verdict, Err(Reject::TargetTooLong), "no need to wait for the end of the line");
}

#[test]
fn a_line_at_its_limit_is_read_and_beyond_is_431_a12() {
    let line = |len: usize| format!("X: {}\r\n", "a".repeat(len - 3));
    assert!(with_fields(&line(8192)).is_ok());
    assert_refused(with_fields(&line(8193)), 431, "A12");
}

#[test]
fn as_many_fields_as_allowed_are_read_and_one_more_is_431_a12() {
    assert!(with_fields(&"X: a\r\n".repeat(127)).is_ok());
    assert_refused(with_fields(&"X: a\r\n".repeat(128)), 431, "A12");
}

#[test]
fn a_head_at_its_limit_is_read_and_beyond_is_431_a12() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX: abc\r\n\r\n";
    let limits = |head: usize| Limits { head, ..Limits::DEFAULT };
    assert!(parse_with(head, &limits(head.len())).is_ok());
    for less in 1..head.len() {
        let result = parse_with(head, &limits(less));
        assert_refused(result, 431, "A12");
    }
    let big = format!("X: {}\r\n", "a".repeat(8000)).repeat(9);
    assert_refused(with_fields(&big), 431, "A12");
}

#[test]
fn one_empty_line_before_a_request_is_skipped_but_not_two_a13() {
    let head = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(parse(head).unwrap().len, head.len());
    assert_refused(parse(&format!("\r\n{head}")), 400, "A11");
    assert_refused(parse("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400, "A5");
}

#[test]
fn pipelined_requests_are_read_one_after_the_other_a13() {
    let stream = b"GET /1 HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\nPOST /2 HTTP/1.0\r\nContent-Length: 0\r\n\r\nGET /3 HTTP/1.1\r\nHost: b\r\n\r\n";
    let (mut request, mut progress, mut at) = (Request::new(), Progress::default(), 0);
    for (path, fields) in [("/1", 2), ("/2", 1), ("/3", 1)] {
        let buf = &stream[at..];
        assert_eq!(request.parse(buf, &mut progress, &Limits::DEFAULT), Ok(Status::Complete));
        assert_eq!(request.path.of(buf), path.as_bytes());
        assert_eq!(request.fields.len(), fields);
        assert!(path == "/2" || request.find(Name::ContentLength).is_none());
        at += request.len;
    }
    assert_eq!(at, stream.len());
}

#[test]
fn expect_is_100_continue_or_417_a14() {
    let expects = |lines: &str| with_fields(lines).map(|r| r.expect_continue);
    assert_eq!(expects("Content-Length: 1\r\nExpect: 100-continue\r\n"), Ok(true));
    assert_eq!(expects("Transfer-Encoding: chunked\r\nExpect: 100-Continue\r\n"), Ok(true));
    assert_eq!(expects("Expect: 100-continue\r\n"), Ok(false), "nothing will come");
    for value in ["", "200-ok", "100-continue, x", "100-continue;a", "100"] {
        assert_refused(with_fields(&format!("Expect: {value}\r\n")), 417, "A14");
    }
    assert_refused(with_fields("Expect: 100-continue\r\nExpect: 100-continue\r\n"), 417, "A14");
    let old = parse("POST / HTTP/1.0\r\nExpect: x\r\nContent-Length: 1\r\n\r\n").unwrap();
    assert!(!old.expect_continue, "HTTP/1.0 has no expectations");
}

#[test]
fn a_connection_persists_as_its_version_and_options_say() {
    let keeps = |version: &str, lines: &str| parse(&format!("GET / {version}\r\nHost: a\r\n{lines}\r\n")).unwrap().keep_alive;
    assert!(keeps("HTTP/1.1", "") && keeps("HTTP/1.1", "Connection: x\r\n"));
    assert!(!keeps("HTTP/1.1", "Connection: Close\r\n"));
    assert!(!keeps("HTTP/1.1", "Connection: keep-alive\r\nConnection: x , close\r\n"));
    assert!(!keeps("HTTP/1.0", "") && !keeps("HTTP/1.0", "Proxy-Connection: keep-alive\r\n"));
    assert!(keeps("HTTP/1.0", "Connection: ,Keep-Alive\r\n"));
    assert!(!keeps("HTTP/1.0", "Connection: keep-alive, close\r\n"));
}

/// The one WebSocket handshake that is right, with `lines` in place of the two fields that must be.
fn websocket(line: &str, lines: &str) -> Result<Upgrade, Reject> {
    parse(&format!("{line}\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n{lines}\r\n")).map(|r| r.upgrade)
}

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const V13: &str = "Sec-WebSocket-Version: 13\r\n";

#[test]
fn a_right_websocket_handshake_is_an_upgrade_b2() {
    assert_eq!(websocket("GET / HTTP/1.1", &format!("{KEY}{V13}")), Ok(Upgrade::WebSocket));
    assert_eq!(websocket("GET / HTTP/1.1", &format!("{V13}{KEY}Content-Length: 0\r\n")), Ok(Upgrade::WebSocket));
}

#[test]
fn a_wrong_websocket_handshake_is_refused_b2() {
    let get = "GET / HTTP/1.1";
    let good = format!("{KEY}{V13}");
    for (line, lines, status) in [
        ("POST / HTTP/1.1", good.clone(), 400),
        ("GET / HTTP/1.0", good.clone(), 400),
        (get, format!("{good}Content-Length: 1\r\n"), 400),
        (get, format!("{good}Transfer-Encoding: chunked\r\n"), 400),
        (get, V13.to_owned(), 400),
        (get, format!("{V13}Sec-WebSocket-Key: short\r\n"), 400),
        (get, format!("{KEY}{good}"), 400),
        (get, KEY.to_owned(), 426),
        (get, format!("{KEY}Sec-WebSocket-Version: 8\r\n"), 426),
        (get, format!("{KEY}Sec-WebSocket-Version: 13, 8\r\n"), 426),
        (get, format!("{good}{V13}"), 426),
    ] {
        let reject = websocket(line, &lines).expect_err(&lines);
        assert_eq!((reject.status(), reject.row()), (status, "B2"), "{line} {lines}");
    }
}

#[test]
fn any_other_upgrade_is_a_normal_request_without_those_fields_b1() {
    for lines in [
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings\r\n",
        "Upgrade: websocket\r\n",
        "Upgrade: websocket\r\nConnection: close\r\n",
        "Upgrade: websocket, h2c\r\nConnection: upgrade\r\n",
        "Upgrade: websocket\r\nUpgrade: h2c\r\nConnection: upgrade\r\n",
        "Upgrade: TLS/1.0\r\nConnection: upgrade\r\n",
    ] {
        let request = with_fields(lines).unwrap();
        assert_eq!(request.upgrade, Upgrade::None, "{lines}");
        assert!(request.fields.iter().all(|f| f.hop == (f.known != Name::Host)), "{lines}");
    }
}

#[test]
fn fields_of_this_hop_are_marked_d4() {
    let lines =
        "Keep-Alive: 5\r\nProxy-Connection: x\r\nTE: x\r\nTrailer: y\r\nProxy-Authorization: z\r\nContent-Length: 0\r\nVia: v\r\n";
    let request = with_fields(lines).unwrap();
    let through: Vec<_> = request.fields.iter().filter(|f| !f.hop).map(|f| f.known).collect();
    assert_eq!(through, [Name::Host, Name::Via]);
    let is_chunked = with_fields("Transfer-Encoding: chunked\r\n").unwrap();
    assert!(is_chunked.find(Name::TransferEncoding).is_some_and(|f: &Field| f.hop));
}

#[test]
fn what_connection_nominates_is_marked_wherever_it_stands_d4() {
    let lines = "X-Forwarded-For: 1\r\nConnection: x-forwarded-for , AUTHORIZATION\r\nX-A: 1\r\nAuthorization: b\r\nConnection: x-b\r\nX-B: 2\r\n";
    let request = with_fields(lines).unwrap();
    let hop: Vec<_> = request.fields.iter().map(|f| f.hop).collect();
    assert_eq!(hop, [false, true, true, false, true, true, true]);
}

#[test]
fn nominating_what_frames_or_directs_the_message_is_refused_d4() {
    for option in ["Content-Length", "transfer-encoding", "HOST", "close, Host", "x,,content-length"] {
        assert_refused(with_fields(&format!("Connection: {option}\r\n")), 400, "D4");
    }
}

#[test]
fn an_endless_list_of_options_is_refused_d4() {
    assert!(with_fields(&format!("Connection: {}\r\n", "a,".repeat(32))).is_ok());
    assert_refused(with_fields(&format!("Connection: {}\r\n", "a,".repeat(33))), 400, "D4");
    assert_refused(with_fields(&"Connection: a\r\n".repeat(33)), 400, "D4");
}

#[test]
fn names_with_an_underscore_are_marked_and_never_taken_for_another_d5() {
    let request = with_fields("Content_Length: 5\r\nX_A: b\r\nX-A: b\r\nTransfer_Encoding: chunked\r\n").unwrap();
    assert_eq!(request.framing, Framing::Empty);
    let marks: Vec<_> = request.fields.iter().map(|f| f.underscore).collect();
    assert_eq!(marks, [false, true, true, false, true]);
}

#[test]
fn trailers_are_taken_only_when_te_says_so_a7() {
    assert!(with_fields("TE: trailers\r\n").unwrap().te_trailers);
    assert!(with_fields("TE: gzip, Trailers\r\n").unwrap().te_trailers);
    assert!(!with_fields("TE: gzip\r\n").unwrap().te_trailers);
    assert!(!with_fields("").unwrap().te_trailers);
}

#[test]
fn every_name_acted_on_is_known_in_any_case() {
    for (text, name) in [
        ("Host", Name::Host),
        ("Connection", Name::Connection),
        ("Keep-Alive", Name::KeepAlive),
        ("Proxy-Connection", Name::ProxyConnection),
        ("Transfer-Encoding", Name::TransferEncoding),
        ("Content-Length", Name::ContentLength),
        ("TE", Name::Te),
        ("Trailer", Name::Trailer),
        ("Upgrade", Name::Upgrade),
        ("Expect", Name::Expect),
        ("Forwarded", Name::Forwarded),
        ("X-Forwarded-For", Name::XForwarded),
        ("X-Forwarded-", Name::Other),
        ("X-Forwarded-A", Name::XForwarded),
        ("X-Forwarded-Proto", Name::XForwarded),
        ("X-Forwarded-Prefix-Longer", Name::XForwarded),
        ("X-Real-IP", Name::XRealIp),
        ("X-Request-ID", Name::XRequestId),
        ("Via", Name::Via),
        ("Cookie", Name::Cookie),
        ("Authorization", Name::Authorization),
        ("Proxy-Authorization", Name::ProxyAuthorization),
        ("Proxy-Authenticate", Name::ProxyAuthenticate),
        ("Accept", Name::Accept),
        ("Accept-Encoding", Name::AcceptEncoding),
        ("User-Agent", Name::UserAgent),
        ("Referer", Name::Referer),
        ("Content-Type", Name::ContentType),
        ("Date", Name::Date),
        ("Server", Name::Server),
        ("Location", Name::Location),
        ("Set-Cookie", Name::SetCookie),
        ("Retry-After", Name::RetryAfter),
        ("Sec-WebSocket-Key", Name::SecWebsocketKey),
        ("Sec-WebSocket-Version", Name::SecWebsocketVersion),
        ("Sec-WebSocket-Accept", Name::SecWebsocketAccept),
        ("HTTP2-Settings", Name::Http2Settings),
        ("X-Forwarded_For", Name::Other),
        ("Hosts", Name::Other),
        ("X", Name::Other),
    ] {
        for text in [text.to_owned(), text.to_lowercase(), text.to_uppercase()] {
            assert_eq!(Name::of(text.as_bytes()), name, "{text}");
        }
    }
}

#[test]
fn a_warm_request_does_not_allocate() {
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: a\r\n".repeat(100));
    let mut request = parse(&head).unwrap();
    let (room, place) = (request.fields.capacity(), request.fields.as_ptr());
    for _ in 0..3 {
        request.parse(head.as_bytes(), &mut Progress::default(), &Limits::DEFAULT).unwrap();
    }
    assert_eq!((request.fields.capacity(), request.fields.as_ptr()), (room, place));
}
