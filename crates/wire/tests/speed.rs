//! What parsing costs. Not part of the gate; run by hand:
//! `cargo test --release -p wire --test speed -- --ignored --nocapture`
#![allow(clippy::print_stderr, reason = "a measurement is there to be read")]
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Instant;
use wire::h1::{Body, Framing, Limits, Method, Progress, Request, Response, path};

const BROWSER: &[u8] = b"GET /products/list?page=2&sort=price HTTP/1.1\r\n\
Host: shop.example.com\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: en-US,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Connection: keep-alive\r\n\
Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
\r\n";

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 21 Nov 2026 02:28:42 GMT\r\n\
Content-Type: text/plain\r\nContent-Length: 128\r\nConnection: keep-alive\r\n\r\n";

fn measure(what: &str, mut work: impl FnMut()) {
    const ROUNDS: u32 = 200_000;
    let mut best = f64::MAX;
    for _ in 0..7 {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            work();
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
    }
    eprintln!("{what}: {best:.0} ns");
}

#[test]
#[ignore = "a measurement, meaningful in release only"]
fn the_cost_of_each_step() {
    let limits = Limits::DEFAULT;
    let mut request = Request::new();
    measure(&format!("request head of {} bytes", BROWSER.len()), || {
        let mut progress = Progress::default();
        request.parse(black_box(BROWSER), &mut progress, &limits).unwrap();
    });
    measure("  the same by httparse", || {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut fields);
        black_box(request.parse(black_box(BROWSER)).unwrap());
        black_box(&request);
    });
    let mut response = Response::new();
    measure(&format!("response head of {} bytes", ANSWER.len()), || {
        let mut progress = Progress::default();
        response.parse(black_box(ANSWER), &mut progress, &limits, Method::Get).unwrap();
    });
    let mut out = Vec::new();
    measure("plain path", || {
        let plain = black_box(b"/products/list/of/things.html");
        black_box(path::normalise(plain, path::Policy::default(), &mut out)).unwrap();
    });
    measure("path to rewrite", || {
        let odd = black_box(b"/products/./%6cist//of/things%20x.html");
        black_box(path::normalise(odd, path::Policy::default(), &mut out)).unwrap();
    });
    measure("one chunk line and its data", || {
        let mut body = Body::of_request(Framing::Chunked);
        black_box(body.decode(black_box(b"1f4\r\nabc"))).unwrap();
    });
}
