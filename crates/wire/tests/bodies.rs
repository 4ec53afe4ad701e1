//! Bodies: rows A6 to A8 of the safety contract.
#![allow(clippy::unwrap_used)]

use wire::h1::{BadBody, Body, Framing, Piece, ResponseFraming};

/// The payload and what is left behind the body, if it is whole.
fn decode(data: &str) -> Result<Option<(String, String)>, BadBody> {
    let mut body = Body::of_request(Framing::Chunked);
    let (mut payload, mut rest) = (Vec::new(), data.as_bytes());
    loop {
        let Piece { skip, data } = body.decode(rest)?;
        payload.extend_from_slice(&rest[skip..skip + data]);
        rest = &rest[skip + data..];
        if body.is_done() {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            return Ok(Some((text(&payload), text(rest))));
        }
        if skip + data == 0 {
            return Ok(None);
        }
    }
}

#[track_caller]
fn assert_whole(data: &str, payload: &str) {
    assert_eq!(decode(data), Ok(Some((payload.to_owned(), String::new()))), "{data:?}");
}

#[test]
fn chunks_are_put_together_and_what_follows_is_left_alone_a6() {
    assert_whole("5\r\nhello\r\n0\r\n\r\n", "hello");
    assert_whole("1\r\na\r\nA\r\n0123456789\r\n000\r\n\r\n", "a0123456789");
    assert_whole("0000000000005\r\nhello\r\n0\r\n\r\n", "hello");
    let next = decode("1\r\na\r\n0\r\n\r\nGET /");
    assert_eq!(next, Ok(Some(("a".to_owned(), "GET /".to_owned()))), "pipelined");
    assert_eq!(decode("5\r\nhello\r\n0\r\n"), Ok(None));
}

#[test]
fn a_size_that_is_not_plain_hex_is_refused_a6() {
    for size in ["", "+5", "-5", "0x5", " 5", "5 ", "5\t", "g", "5_0", "00000000000005", "ffffffffffffff", "\u{665}"] {
        let result = decode(&format!("{size}\r\nhello\r\n0\r\n\r\n"));
        assert_eq!(result, Err(BadBody::ChunkSize), "{size:?}");
    }
    for line in ["5\nhello", "5\rhello", "5\r\rhello"] {
        assert!(decode(line).is_err(), "{line:?}");
    }
    assert_eq!(decode("fffffffffffff\r\nx"), Ok(None), "13 digits are a size");
}

#[test]
fn an_extension_is_a_token_with_or_without_value_a6() {
    for extension in [";a", ";a=b", ";a=\"b c\"", ";a=\"\"", ";a;b=c;d", ";a=\"\\\"\\;\u{e9}\";b"] {
        assert_whole(&format!("1{extension}\r\nx\r\n0{extension}\r\n\r\n"), "x");
    }
}

#[test]
fn any_other_extension_is_refused_a6() {
    for extension in [
        ";",
        ";;a",
        ";a;",
        ";a=",
        ";=b",
        "; a",
        ";a ",
        ";a =b",
        ";a= b",
        " ;a",
        ";a=b c",
        ";a=\"b",
        ";a=\"b\"c",
        ";a\n",
        ";a\nb",
        ";a\rb",
        ";a=\"\n\"",
        ";a=\"\r\n\"",
        ";a=\"\0\"",
        ";a=\"\\\r\"",
        ";a=b=c",
        ";a\0",
        ";\u{e9}",
        ";a=\"\t\"",
    ] {
        let result = decode(&format!("1{extension}\r\nx\r\n0\r\n\r\n"));
        let expected = [Err(BadBody::ChunkExtension), Err(BadBody::ChunkEnd), Err(BadBody::ChunkSize)];
        assert!(expected.contains(&result), "{extension:?}: {result:?}");
    }
}

#[test]
fn a_chunk_line_beyond_256_bytes_is_refused_a6() {
    assert_whole(&format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(254)), "x");
    let long = format!("1;{}", "a".repeat(255));
    assert_eq!(decode(&long), Err(BadBody::ChunkLineTooLong), "no need to wait for its end");
}

#[test]
fn data_that_does_not_end_in_crlf_is_refused_a6() {
    for end in ["x", "\n", "\rx", "\r\r\n", "0\r\n"] {
        let result = decode(&format!("5\r\nhello{end}0\r\n\r\n"));
        assert_eq!(result, Err(BadBody::ChunkEnd), "{end:?}");
    }
    assert_eq!(decode("0\r\n\rx"), Err(BadBody::ChunkEnd));
    assert_eq!(decode("0\r\n\n"), Err(BadBody::Trailer));
}

#[test]
fn framing_of_more_than_16_times_the_data_is_refused_a6() {
    let chunk = |extension: usize| format!("1;{}\r\nx\r\n", "a".repeat(extension));
    assert_whole(&format!("{}0\r\n\r\n", chunk(200).repeat(15)), &"x".repeat(15));
    assert_eq!(decode(&chunk(200).repeat(1000)), Err(BadBody::ChunkOverhead));
    assert_whole(&format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(5000)), &"x".repeat(5000));
}

#[test]
fn trailers_are_dropped_a7() {
    assert_whole("1\r\na\r\n0\r\nX: y\r\nContent-Length: 5\r\nEmpty:\r\n\r\n", "a");
}

#[test]
fn a_trailer_that_is_no_field_line_is_refused_a7() {
    for trailer in ["X", "X : y", " X: y", ": y", "X: \0", "X: y\n", "X: y\rz", "X Y: z", "\u{e9}: z", "X: y\r\n z: a"] {
        let result = decode(&format!("0\r\n{trailer}\r\n\r\n"));
        assert_eq!(result, Err(BadBody::Trailer), "{trailer:?}");
    }
}

#[test]
fn trailers_beyond_8_kib_are_refused_a7() {
    let trailer = format!("X: {}\r\n", "a".repeat(1019));
    assert_eq!(trailer.len(), 1024);
    assert_whole(&format!("0\r\n{}\r\n", trailer.repeat(8)), "");
    assert_eq!(decode(&format!("0\r\n{}y", trailer.repeat(8))), Err(BadBody::TrailerTooLarge));
}

#[test]
fn a_body_of_given_length_ends_there_a8() {
    let mut body = Body::of_request(Framing::Length(5));
    assert_eq!(body.decode(b"hel"), Ok(Piece { skip: 0, data: 3 }));
    assert!(!body.is_done());
    assert_eq!(body.at_eof(), Err(BadBody::Truncated));
    assert_eq!(body.decode(b"loGET /"), Ok(Piece { skip: 0, data: 2 }));
    assert!(body.is_done());
    assert_eq!(body.decode(b"GET /"), Ok(Piece::default()));
    assert_eq!(body.at_eof(), Ok(()));
    assert!(Body::of_request(Framing::Length(0)).is_done());
    let mut huge = Body::of_response(ResponseFraming::Length(u64::MAX));
    assert_eq!(huge.decode(b"abc"), Ok(Piece { skip: 0, data: 3 }));
}

#[test]
fn no_body_is_done_at_once_and_takes_nothing_b6() {
    for mut body in [Body::of_request(Framing::Empty), Body::of_response(ResponseFraming::Empty)] {
        assert!(body.is_done());
        assert_eq!(body.decode(b"HTTP/1.1"), Ok(Piece::default()), "what follows is nobody's");
    }
}

#[test]
fn a_body_until_close_is_whole_only_at_the_close_a8() {
    let mut body = Body::of_response(ResponseFraming::UntilClose);
    assert_eq!(body.decode(b"abc"), Ok(Piece { skip: 0, data: 3 }));
    assert!(!body.is_done());
    assert_eq!(body.at_eof(), Ok(()));
    assert!(body.is_done());
}

#[test]
fn a_chunked_body_cut_off_anywhere_is_truncated_a8() {
    let whole = b"5\r\nhello\r\n0\r\nX: y\r\n\r\n";
    for end in 0..whole.len() {
        let mut body = Body::of_response(ResponseFraming::Chunked);
        let mut rest = &whole[..end];
        while !rest.is_empty() {
            let piece = body.decode(rest).unwrap();
            rest = &rest[piece.skip + piece.data..];
        }
        assert_eq!(body.at_eof(), Err(BadBody::Truncated), "{end}");
    }
}
