//! What goes out is canonical (rows A1 to A6: framing is always written anew).

use wire::h1::encode;

#[test]
fn a_head_is_written_in_the_one_canonical_form() {
    let mut out = Vec::new();
    encode::request_line(&mut out, b"GET", b"/a?b");
    encode::field(&mut out, b"Host", b"a");
    encode::content_length(&mut out, 5);
    encode::end(&mut out);
    assert_eq!(out, b"GET /a?b HTTP/1.1\r\nHost: a\r\ncontent-length: 5\r\n\r\n");
    out.clear();
    encode::status_line(&mut out, 404, encode::reason_phrase(404).as_bytes());
    encode::transfer_encoding_chunked(&mut out);
    encode::end(&mut out);
    assert_eq!(out, b"HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n");
}

#[test]
fn numbers_are_written_without_leading_zeros_or_signs() {
    for number in [0, 1, 9, 10, 99, 100, 12_345, u64::from(u32::MAX), u64::MAX] {
        let mut out = b"x".to_vec();
        encode::decimal(&mut out, number);
        assert_eq!(out, format!("x{number}").into_bytes());
    }
}

#[test]
fn a_chunk_head_is_its_size_in_hex() {
    for n in [1, 9, 10, 15, 16, 255, 256, 0x1f4, 65_536, usize::MAX] {
        assert_eq!(encode::chunk_head(n).as_ref(), format!("{n:x}\r\n").as_bytes());
    }
}

#[test]
fn every_status_answered_here_has_a_name() {
    for status in [400, 405, 408, 413, 414, 417, 421, 426, 429, 431, 501, 502, 503, 504, 505] {
        assert!(!encode::reason_phrase(status).is_empty(), "{status}");
    }
    assert_eq!(encode::reason_phrase(299), "");
}
