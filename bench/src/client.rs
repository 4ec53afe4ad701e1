//! The little HTTP the bench itself speaks: one request form, answers with a Content-Length.

use crate::Result;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What a browser sends along; every system gets the same.
pub(crate) const HEADERS: [(&str, &str); 4] = [
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Cookie", "session=4f9d1c1e8b0a4c53; theme=dark"),
];

/// A keep-alive GET with those headers.
pub(crate) fn request(host: SocketAddr, path: &str) -> Vec<u8> {
    let mut text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in HEADERS {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// The length of the answer at the start of `bytes` and whether it is a 200; `None` until its head is whole.
pub(crate) fn answer(bytes: &[u8]) -> Result<Option<(usize, bool)>> {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes[..head])?;
    let mut lines = text.split("\r\n");
    let good = lines.next().and_then(|status| status.split(' ').nth(1)) == Some("200");
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .ok_or("an answer without Content-Length")?;
    Ok(Some((head + 4 + length.1.trim().parse::<usize>()?, good)))
}

/// Sends one request and reads its whole answer; the connection stays usable.
pub(crate) fn exchange(stream: &mut TcpStream, request: &[u8]) -> Result<Vec<u8>> {
    stream.write_all(request)?;
    read_answer(stream)
}

/// Reads one whole answer; anything but a 200 is a fault.
pub(crate) fn read_answer(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut held = Vec::new();
    let mut step = [0; 4096];
    loop {
        if let Some((length, good)) = answer(&held)? {
            if !good {
                return Err(format!("answered {}", String::from_utf8_lossy(&held[..held.len().min(80)])).into());
            }
            if held.len() >= length {
                return Ok(held);
            }
        }
        match stream.read(&mut step)? {
            0 => return Err("closed before the answer was whole".into()),
            n => held.extend_from_slice(&step[..n]),
        }
    }
}

/// One GET on a connection of its own.
pub(crate) fn get(from: SocketAddr, path: &str) -> Result<String> {
    let limit = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&from, limit)?;
    stream.set_read_timeout(Some(limit))?;
    Ok(String::from_utf8_lossy(&exchange(&mut stream, &request(from, path))?).into_owned())
}

/// Waits until a GET is answered with 200. `alive` may end the wait early with what went wrong.
pub(crate) fn wait_ready(at: SocketAddr, mut alive: impl FnMut() -> Result<()>) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(15);
    loop {
        alive()?;
        match get(at, "/") {
            Ok(_) => return Ok(()),
            Err(fault) if Instant::now() > end => {
                return Err(format!("{at} is not ready: {fault}").into());
            }
            Err(_) => sleep(Duration::from_millis(20)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_measured_once_its_head_is_whole() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        assert!(answer(&text[..20]).expect("no fault yet").is_none());
        assert_eq!(answer(text).expect("well formed"), Some((text.len(), true)));
    }

    #[test]
    fn an_answer_that_is_no_200_or_has_no_length_does_not_pass() {
        assert_eq!(answer(b"HTTP/1.1 502 x\r\nContent-Length: 0\r\n\r\n").expect("well formed"), Some((37, false)));
        assert!(answer(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
