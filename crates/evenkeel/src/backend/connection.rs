//! One connection of the sample backend: request, answer, next.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::h1::{BadBody, Body, Limits, Progress, Reject, Request, Status, encode};

use super::Character;
use super::answer::{Answer, answer};

/// Bodies are echoed, so they are held; above this a request gets 413.
const LARGEST_BODY: usize = 8 << 20;
/// How long a peer that was refused may go on sending.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Read at a time.
const STEP: usize = 16 << 10;

/// What ends a connection early.
enum Broken {
    /// The peer went away, or never said a whole request.
    Gone,
    /// It is answered with this, then closed.
    Refused(u16, &'static str),
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<Reject> for Broken {
    fn from(reject: Reject) -> Self {
        Self::Refused(reject.status(), reject.reason())
    }
}

impl From<BadBody> for Broken {
    fn from(bad: BadBody) -> Self {
        Self::Refused(400, bad.reason())
    }
}

/// Serves a connection to its end.
pub(super) async fn serve(mut socket: TcpStream, character: Rc<Character>) {
    let mut received = Vec::with_capacity(STEP);
    let mut request = Request::new();
    loop {
        match exchange(&mut socket, &mut received, &mut request, &character).await {
            Ok(true) => {}
            Ok(false) | Err(Broken::Gone) => return,
            Err(Broken::Refused(status, reason)) => {
                let refusal = Answer::refusal(&character, status, reason);
                let _ = write(&mut socket, &refusal, false, true).await;
                let _ = tokio::time::timeout(LAST_WORDS, say_goodbye(&mut socket)).await;
                return;
            }
        }
    }
}

/// Closes so that the peer reads the answer: bytes left unread would reset the connection, and the answer with it.
async fn say_goodbye(socket: &mut TcpStream) -> io::Result<()> {
    socket.shutdown().await?;
    let mut sink = [0; 4096];
    while socket.read(&mut sink).await? > 0 {}
    Ok(())
}

/// One request and its answer; false when the connection is to end.
async fn exchange(
    socket: &mut TcpStream,
    received: &mut Vec<u8>,
    request: &mut Request,
    character: &Character,
) -> Result<bool, Broken> {
    let mut progress = Progress::default();
    while request.parse(received, &mut progress, &Limits::DEFAULT)? == Status::Partial {
        fill(socket, received).await?;
    }
    let head: Vec<u8> = received.drain(..request.len).collect();
    if request.expect_continue {
        socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let body = read_body(socket, received, Body::of_request(request.framing)).await?;
    let is_probe = request.path.of(&head) == b"/health";
    if !is_probe && !character.delay.is_zero() {
        tokio::time::sleep(character.delay).await;
    }
    let answer = answer(character, request, &head, &body);
    let is_head = request.method == wire::h1::Method::Head;
    write(socket, &answer, is_head, !request.keep_alive).await?;
    Ok(request.keep_alive)
}

async fn read_body(socket: &mut TcpStream, received: &mut Vec<u8>, mut framing: Body) -> Result<Vec<u8>, Broken> {
    let mut body = Vec::new();
    loop {
        let piece = framing.decode(received)?;
        body.extend_from_slice(&received[piece.skip..piece.skip + piece.data]);
        received.drain(..piece.skip + piece.data);
        if body.len() > LARGEST_BODY {
            return Err(Broken::Refused(413, "body_too_large"));
        }
        if framing.is_done() {
            return Ok(body);
        }
        if piece.skip + piece.data == 0 {
            fill(socket, received).await?;
        }
    }
}

async fn fill(socket: &mut TcpStream, received: &mut Vec<u8>) -> Result<(), Broken> {
    received.reserve(STEP);
    match socket.read_buf(received).await? {
        0 => Err(Broken::Gone),
        _ => Ok(()),
    }
}

/// Head and body in one write.
async fn write(socket: &mut TcpStream, answer: &Answer, is_head: bool, close: bool) -> io::Result<()> {
    let mut out = Vec::with_capacity(answer.body.len() + 256);
    encode::status_line(&mut out, answer.status, encode::reason_phrase(answer.status).as_bytes());
    encode::field(&mut out, b"content-type", b"application/json");
    encode::field(&mut out, b"x-backend", answer.name.as_bytes());
    if close {
        encode::field(&mut out, b"connection", b"close");
    }
    encode::content_length(&mut out, answer.body.len() as u64);
    encode::end(&mut out);
    if !is_head {
        out.extend_from_slice(&answer.body);
    }
    socket.write_all(&out).await
}
