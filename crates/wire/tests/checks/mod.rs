//! What must hold for any bytes at all. The property tests, the corpus test and the fuzz targets all call these four functions;
//! each panics when its promise is broken.
#![allow(dead_code, reason = "each user takes the checks it needs")]
#![allow(unreachable_pub, reason = "compiled into several roots")]

mod naive;

use wire::h1::encode;
use wire::h1::path::{Normal, Policy, normalise};
use wire::h1::{
    BadBody, Body, Field, Framing, Limits, Malformed, Method, Progress, Reject, Request, Response, Span, Status, Version,
};

/// Small enough that fuzzing reaches them.
const TIGHT: Limits = Limits { target: 40, line: 48, head: 160, fields: 6 };

/// A request head gets the same verdict however it arrives, whatever is accepted is really legal, and another parser reads it alike.
pub fn request_head(data: &[u8]) {
    for limits in [Limits::DEFAULT, TIGHT] {
        let whole = read_request(data, &[data.len()], &limits);
        for reads in arrivals(data.len()) {
            assert_eq!(read_request(data, &reads, &limits), whole, "{reads:?}");
        }
        if let Ok(Some(request)) = whole {
            check_fields(data, &request.fields, request.len, &limits);
            assert!(request.target.len as usize <= limits.target);
            agrees_with_httparse(data, &request);
            survives_encoding(data, &request);
        }
    }
}

/// As [`request_head`], for responses to `GET` and `HEAD`.
pub fn response_head(data: &[u8]) {
    for (limits, to) in [(Limits::DEFAULT, Method::Get), (TIGHT, Method::Head)] {
        let whole = read_response(data, &[data.len()], &limits, to);
        for reads in arrivals(data.len()) {
            assert_eq!(read_response(data, &reads, &limits, to), whole, "{reads:?}");
        }
        let Ok(Some(response)) = whole else { continue };
        check_fields(data, &response.fields, response.len, &limits);
        let mut fields = [httparse::EMPTY_HEADER; 128];
        let mut other = httparse::Response::new(&mut fields);
        if let Ok(read) = other.parse(data) {
            assert_eq!(read, httparse::Status::Complete(response.len));
            assert_eq!(other.code, Some(response.status));
            same_fields(data, &response.fields, other.headers);
        }
    }
}

/// A chunked body means the same however it arrives, and the same to a reader that has no state; what is encoded is read back.
pub fn chunked_body(data: &[u8]) {
    let whole = read_body(data, &[data.len()]);
    for reads in arrivals(data.len()) {
        assert_eq!(read_body(data, &reads), whole, "{reads:?}");
    }
    let naive = naive::chunked(data);
    match whole.end {
        Ok(Some(taken)) => assert_eq!(naive, Some((whole.payload, taken))),
        Ok(None) | Err(_) => assert_eq!(naive, None),
    }
    let mut encoded = Vec::new();
    for chunk in data.chunks(data.first().map_or(1, |&b| usize::from(b).max(1))) {
        encoded.extend_from_slice(encode::chunk_head(chunk.len()).as_ref());
        encoded.extend_from_slice(chunk);
        encoded.extend_from_slice(b"\r\n");
    }
    encoded.extend_from_slice(encode::LAST_CHUNK);
    let again = read_body(&encoded, &[encoded.len()]);
    assert_eq!(again, Decoded { payload: data.to_vec(), end: Ok(Some(encoded.len())) });
}

/// A normal path stays as it is, climbs nowhere, and has nothing in it that servers read differently.
pub fn path(data: &[u8]) {
    for policy in [Policy::default(), Policy { keep_encoded_slash: true }] {
        let mut out = Vec::new();
        let Ok(normal) = normalise(data, policy, &mut out) else {
            continue;
        };
        let normal = if normal == Normal::Unchanged { data } else { &out };
        let mut again = Vec::new();
        assert_eq!(normalise(normal, policy, &mut again), Ok(Normal::Unchanged), "{normal:?}");
        assert_eq!(normal.first(), Some(&b'/'));
        assert!(normal.iter().all(|b| b.is_ascii_graphic() && !b"\\?#".contains(b)));
        assert!(!normal.windows(2).any(|pair| pair == b"//"));
        for escape in normal.split(|&b| b == b'%').skip(1) {
            let code = std::str::from_utf8(&escape[..2]).expect("graphic bytes are text");
            let byte = u8::from_str_radix(code, 16).expect("an escape has two digits");
            assert!(!byte.is_ascii_control() && byte != b'\\' && !byte.is_ascii_alphanumeric());
            assert!(!b"-._~".contains(&byte) && code == code.to_uppercase());
            assert!(byte != b'/' || policy.keep_encoded_slash);
        }
        let loose = String::from_utf8_lossy(normal).replace("%2F", "/").replace("%3B", ";");
        let is_dots = |s: &str| matches!(s.split(';').next(), Some("." | ".."));
        assert!(!loose.split('/').any(is_dots), "{loose}");
    }
}

fn read_request(data: &[u8], reads: &[usize], limits: &Limits) -> Result<Option<Request>, Reject> {
    let (mut request, mut progress) = (Request::new(), Progress::default());
    for &end in reads {
        if request.parse(&data[..end], &mut progress, limits)? == Status::Complete {
            assert_eq!(progress, Progress::default(), "ready for the next message");
            return Ok(Some(request));
        }
    }
    Ok(None)
}

fn read_response(data: &[u8], reads: &[usize], limits: &Limits, to: Method) -> Result<Option<Response>, Malformed> {
    let (mut response, mut progress) = (Response::new(), Progress::default());
    for &end in reads {
        if response.parse(&data[..end], &mut progress, limits, to)? == Status::Complete {
            return Ok(Some(response));
        }
    }
    Ok(None)
}

/// Ways in which so many bytes may arrive, each as what is there after each read: byte by byte, by sevens, and, if that is not too
/// long, in two pieces split at every offset.
fn arrivals(len: usize) -> impl Iterator<Item = Vec<usize>> {
    let by = move |step: usize| (0..len).step_by(step).map(move |at| len.min(at + step)).collect();
    let splits = if len <= 200 { 0..len } else { 0..0 };
    [by(1), by(7)].into_iter().chain(splits.map(move |at| vec![at, len]))
}

#[derive(PartialEq, Eq, Debug)]
struct Decoded {
    payload: Vec<u8>,
    /// How many bytes the message took, once it is whole.
    end: Result<Option<usize>, BadBody>,
}

fn read_body(data: &[u8], reads: &[usize]) -> Decoded {
    let mut body = Body::of_request(Framing::Chunked);
    let (mut payload, mut taken) = (Vec::new(), 0);
    for &end in reads {
        loop {
            let piece = match body.decode(&data[taken..end]) {
                Ok(piece) => piece,
                Err(bad) => {
                    return Decoded { payload, end: Err(bad) };
                }
            };
            payload.extend_from_slice(&data[taken + piece.skip..taken + piece.skip + piece.data]);
            taken += piece.skip + piece.data;
            if body.is_done() {
                assert_eq!(body.at_eof(), Ok(()));
                return Decoded { payload, end: Ok(Some(taken)) };
            }
            if piece.skip == 0 && piece.data == 0 {
                break;
            }
        }
        assert_eq!(taken, end, "an unfinished body takes all there is");
    }
    assert_eq!(body.at_eof(), Err(BadBody::Truncated));
    Decoded { payload, end: Ok(None) }
}

fn check_fields(data: &[u8], fields: &[Field], len: usize, limits: &Limits) {
    assert!(len <= data.len() && len <= limits.head && fields.len() <= limits.fields);
    assert!(data[..len].ends_with(b"\r\n\r\n"));
    for field in fields {
        let (name, value) = (field.name.of(data), field.value.of(data));
        assert!(!name.is_empty() && name.iter().all(|&b| naive::is_token_byte(b)));
        assert!(value.iter().all(|&b| !b.is_ascii_control() || b == b'\t'));
        assert!(!matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']));
        assert_eq!(field.underscore, name.contains(&b'_'));
        assert!(field.value.end() - field.name.start as usize <= limits.line);
    }
}

/// httparse takes more than we do; what we take it must cut up the same way. (It may refuse a target we take: no harm in that.)
fn agrees_with_httparse(data: &[u8], request: &Request) {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut other = httparse::Request::new(&mut fields);
    let Ok(read) = other.parse(data) else { return };
    assert_eq!(read, httparse::Status::Complete(request.len));
    assert_eq!(other.method.map(str::as_bytes), Some(request.method_text.of(data)));
    same_fields(data, &request.fields, other.headers);
}

fn same_fields(data: &[u8], ours: &[Field], others: &[httparse::Header<'_>]) {
    let ours: Vec<_> = ours.iter().map(|f| (f.name.of(data), f.value.of(data))).collect();
    let others: Vec<_> = others.iter().map(|f| (f.name.as_bytes(), f.value)).collect();
    assert_eq!(ours, others);
}

/// Written anew and parsed again, an HTTP/1.1 request is the same request.
fn survives_encoding(data: &[u8], request: &Request) {
    if request.version != Version::Http11 {
        return;
    }
    let target: &[u8] = match request.target.of(data) {
        _ if request.asterisk => b"*",
        [] => b"/",
        target => target,
    };
    let mut out = Vec::new();
    encode::request_line(&mut out, request.method_text.of(data), target);
    for field in &request.fields {
        encode::field(&mut out, field.name.of(data), field.value.of(data));
    }
    encode::end(&mut out);
    let limits = Limits { line: 20_000, head: 200_000, ..Limits::DEFAULT };
    let again = read_request(&out, &[out.len()], &limits);
    let again = again.expect("legal").expect("whole");
    assert_eq!(again.len, out.len());
    assert_eq!((again.method, again.framing), (request.method, request.framing));
    assert_eq!((again.keep_alive, again.upgrade), (request.keep_alive, request.upgrade));
    assert_eq!(again.query.of(&out), request.query.of(data));
    let texts = |buf: &[u8], fields: &[Field]| -> Vec<_> {
        let text = |span: Span| span.of(buf).to_vec();
        fields.iter().map(|f| (text(f.name), text(f.value), f.known, f.hop)).collect()
    };
    assert_eq!(texts(&out, &again.fields), texts(data, &request.fields));
}
