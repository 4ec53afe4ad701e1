//! The promises of `checks`, tried on bytes that are nearly right: fragments of messages in any order, cut and mutated.
#![allow(clippy::unwrap_used)]

mod checks;

use proptest::prelude::*;
use proptest::sample::select;

const HEAD: &[&str] = &[
    "GET ",
    "POST ",
    "OPTIONS ",
    "CONNECT ",
    "/",
    "/a?b ",
    "* ",
    "http://a",
    "HTTP/1.1\r\n",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    " HTTP/2.0\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 304\r\n",
    "HTTP/1.1 101 x\r\n",
    "Host: a\r\n",
    "Host: b:80\r\n",
    "host:a\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip\r\n",
    "Connection: keep-alive\r\n",
    "Connection: close, X\r\n",
    "Connection: upgrade\r\n",
    "Upgrade: websocket\r\n",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "Sec-WebSocket-Version: 13\r\n",
    "Expect: 100-continue\r\n",
    "TE: trailers\r\n",
    "X: \t y\tz \r\n",
    "X_Y:\r\n",
    "Accept: text/html,application/xhtml+xml;q=0.9\r\n",
    ":",
    " ",
    "\t",
    "\r",
    "\n",
    "\0",
    "é",
    "\r\n",
    "\r\n\r\n",
];

const CHUNKS: &[&str] = &[
    "0\r\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "1\r\na\r\n",
    "A\r\n0123456789\r\n",
    "3;a=b\r\nabc\r\n",
    "2;a;b=\"c;\\\"d\"\r\nxy\r\n",
    "00005",
    "5",
    "f",
    ";",
    "=",
    "\"",
    "\\",
    "a",
    " ",
    "\r\n",
    "\r",
    "\n",
    "X: y\r\n",
    ":",
    "\0",
    "ffffffffffffff",
    "-",
    "0x",
];

const PATHS: &[&str] = &[
    "/", "a", "b.c", ".", "..", "%2e", "%2E", "%2f", "%2F", "%5c", "\\", ";", "%3b", "%41", "%7e", "%20", "%c3%a9", "%", "%0",
    "%00", "%25", "%252e", "?", "#", "é", " ", "~", "*",
];

fn of_fragments(fragments: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(select(fragments), 0..most).prop_map(|parts| parts.concat().into_bytes())
}

/// A head that would be accepted, but for at most two bytes.
fn nearly_right_head(start: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::collection::vec(select(&HEAD[16..33]), 0..6);
    let faults = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..=2);
    (select(start), lines, faults).prop_map(|(start, lines, faults)| {
        let mut head = format!("{start}{}\r\n", lines.concat()).into_bytes();
        for (at, byte) in faults {
            let at = at.index(head.len());
            head[at] = byte;
        }
        head
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_request_head_gets_one_verdict_however_it_arrives_a13(data in of_fragments(HEAD, 14)) {
        checks::request_head(&data);
    }

    #[test]
    fn a_nearly_right_request_head_gets_one_verdict_too_a13(
        data in nearly_right_head(&["GET / HTTP/1.1\r\nHost: a\r\n", "POST http://a/b?c HTTP/1.1\r\nHost: a:80\r\n", "GET / HTTP/1.0\r\n"])
    ) {
        checks::request_head(&data);
    }

    #[test]
    fn a_response_head_gets_one_verdict_however_it_arrives_b5(data in of_fragments(HEAD, 14)) {
        checks::response_head(&data);
    }

    #[test]
    fn a_nearly_right_response_head_gets_one_verdict_too_b5(
        data in nearly_right_head(&["HTTP/1.1 200 OK\r\n", "HTTP/1.0 204\r\n", "HTTP/1.1 101 Switching\r\n"])
    ) {
        checks::response_head(&data);
    }

    #[test]
    fn a_chunked_body_means_what_the_naive_reader_says_a6(data in of_fragments(CHUNKS, 12)) {
        checks::chunked_body(&data);
    }

    #[test]
    fn a_normal_path_stays_normal_and_never_climbs_d1(data in of_fragments(PATHS, 10)) {
        checks::path(&data);
        checks::path(&[b"/", data.as_slice()].concat());
    }

    #[test]
    fn no_bytes_at_all_make_anything_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
        checks::request_head(&data);
        checks::response_head(&data);
        checks::chunked_body(&data);
        checks::path(&data);
    }
}
