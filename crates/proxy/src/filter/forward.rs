//! A service of the operator's decides: one small request to it for each of a client's.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use config::model::ForwardAuth;
use net::Stream;
use policy::Nanos;
use wire::h1::{Body, Field, Limits, Method, Name, Progress, Response, Status, encode};

use super::{Effects, Ending, Here, Late, Step};
use crate::error::Reason;
use crate::message::{AddressText, Asked, write_uri};
use crate::plan::nanos;
use crate::worker::Worker;

/// Most of an answer's body that is passed on. Unit: bytes.
const LARGEST: usize = 64 * 1024;

/// Lets in whom the service lets in.
#[derive(Debug)]
pub(crate) struct Forward {
    addresses: std::sync::Arc<[SocketAddr]>,
    /// Request line and `Host`.
    start: Box<[u8]>,
    /// In lower case; `None` is all.
    sent: Option<Vec<String>>,
    /// As written, and in lower case.
    taken: std::sync::Arc<[(String, String)]>,
    timeout: Nanos,
    /// For `explain`.
    url: String,
}

impl Forward {
    pub(crate) fn compile(auth: &ForwardAuth, addresses: Vec<SocketAddr>) -> Self {
        let mut start = Vec::new();
        encode::request_line(&mut start, b"GET", auth.url.target.as_bytes());
        encode::field(&mut start, b"Host", auth.url.authority.as_bytes());
        Self {
            addresses: addresses.into(),
            start: start.into(),
            sent: auth.request_headers.clone(),
            taken: auth.response_headers.iter().map(|name| (name.clone(), name.to_ascii_lowercase())).collect(),
            timeout: nanos(auth.timeout),
            url: auth.url.to_string(),
        }
    }

    pub(crate) fn request(&self, here: &Here<'_>) -> Step {
        let question = self.question(&here.asked);
        let (addresses, taken, worker) = (self.addresses.clone(), self.taken.clone(), here.worker.clone());
        let until = here.now.saturating_add(self.timeout);
        Step::Wait(Box::pin(async move {
            let answer = in_time(&worker, until, ask(&worker, &addresses, &question)).await;
            match answer {
                Some(Ok(answer)) if (200..300).contains(&answer.head.status) => answer.pass(&taken),
                Some(Ok(answer)) if matches!(answer.head.status, 300..=399 | 401 | 403) => answer.relay(),
                _ => Late { ending: Some(Ending::refuse(Reason::AuthUnavailable)), ..Late::default() },
            }
        }))
    }

    pub(crate) fn describe(&self) -> String {
        format!("forward auth: asks {}, which lets it pass by 2xx", self.url)
    }

    /// The request to the service.
    fn question(&self, asked: &Asked<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(&self.start);
        encode::field(&mut out, b"X-Forwarded-Method", asked.method());
        out.extend_from_slice(b"X-Forwarded-Uri: ");
        write_uri(asked.path, asked, &mut out);
        out.extend_from_slice(b"\r\n");
        encode::field(&mut out, b"X-Forwarded-Host", asked.head.authority.of(asked.text));
        encode::field(&mut out, b"X-Forwarded-Proto", asked.scheme().as_bytes());
        encode::field(&mut out, b"X-Forwarded-For", AddressText::new(asked.client).as_bytes());
        encode::field(&mut out, b"X-Request-Id", asked.id);
        for field in asked.head.fields.iter().filter(|field| self.sends(field, asked)) {
            encode::field(&mut out, field.name.of(asked.text), field.value.of(asked.text));
        }
        encode::end(&mut out);
        out
    }

    /// Never what is about the body, which does not go there, and never a claim of the client's on what the service is to find out.
    fn sends(&self, field: &Field, asked: &Asked<'_>) -> bool {
        let ours = matches!(
            field.known,
            Name::Host
                | Name::ContentLength
                | Name::TransferEncoding
                | Name::Expect
                | Name::XRequestId
                | Name::Forwarded
                | Name::XRealIp
                | Name::XForwarded
        );
        let name = field.name.of(asked.text);
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        !ours
            && !field.hop
            && !field.underscore
            && !self.taken.iter().any(|(_, taken)| is(taken))
            && self.sent.as_ref().is_none_or(|sent| sent.iter().any(|sent| is(sent)))
    }
}

/// What the service said, whole.
struct Answer {
    head: Response,
    text: Vec<u8>,
    body: Vec<u8>,
}

impl Answer {
    /// Lets the request pass, with what the backend is to be told.
    fn pass(&self, taken: &[(String, String)]) -> Late {
        let mut effects = Effects::default();
        for (name, lower) in taken {
            for field in self.head.find_name(&self.text, lower.as_bytes()) {
                encode::field(&mut effects.request, name.as_bytes(), field.value.of(&self.text));
            }
        }
        Late { effects, ending: None }
    }

    /// Ends the exchange as the service says.
    fn relay(self) -> Late {
        let mut fields = Vec::new();
        let mut content_type = String::new();
        for field in self.head.fields.iter().filter(|field| !field.hop) {
            let (name, value) = (field.name.of(&self.text), field.value.of(&self.text));
            match field.known {
                Name::ContentLength | Name::TransferEncoding => {}
                Name::ContentType => content_type = String::from_utf8_lossy(value).into_owned(),
                _ => encode::field(&mut fields, name, value),
            }
        }
        let reason =
            if self.head.status == 401 { Some(Reason::Unauthorized) } else { (self.head.status == 403).then_some(Reason::Denied) };
        if content_type.is_empty() {
            content_type.push_str("text/plain; charset=utf-8");
        }
        let ending = Ending { status: self.head.status, reason, body: Some((content_type, self.body)), fields };
        Late { ending: Some(ending), ..Late::default() }
    }
}

/// `None` when it is too late.
async fn in_time<T>(worker: &Rc<Worker>, until: Nanos, what: impl Future<Output = T>) -> Option<T> {
    let timer = worker.timers.timer();
    timer.set(until);
    let mut what = pin!(what);
    poll_fn(|cx| match what.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => timer.poll(cx).map(|()| None),
    })
    .await
}

/// Asks by a kept connection, or a new one to the first address that takes it. Why it failed is no matter to the client.
async fn ask(worker: &Rc<Worker>, addresses: &[SocketAddr], question: &[u8]) -> Result<Answer, ()> {
    for address in addresses {
        while let Some(stream) = worker.kept.take(*address, worker.timers.now()) {
            // It may have been closed this very moment; a GET can be asked again.
            if let Ok(answer) = talk(worker, *address, stream, question).await {
                return Ok(answer);
            }
        }
        if let Ok(stream) = net::dial(*address).await {
            return talk(worker, *address, stream, question).await;
        }
    }
    Err(())
}

async fn talk(worker: &Rc<Worker>, address: SocketAddr, mut stream: Stream, question: &[u8]) -> Result<Answer, ()> {
    let mut written = 0;
    poll_fn(|cx| {
        while written < question.len() {
            match stream.poll_write(cx, &question[written..]) {
                Poll::Ready(Ok(n)) if n > 0 => written += n,
                Poll::Ready(_) => return Poll::Ready(Err(())),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    })
    .await?;
    let mut text = Vec::new();
    let head = head(&mut stream, &mut text).await?;
    let (body, rest) = body(&mut stream, &head, &mut text).await?;
    if head.keep_alive && !rest {
        worker.kept.give(address, stream, worker.timers.now());
    }
    Ok(Answer { head, text, body })
}

/// Reads up to the head of the final answer, which then begins `text`.
async fn head(stream: &mut Stream, text: &mut Vec<u8>) -> Result<Response, ()> {
    let mut head = Response::new();
    let mut progress = Progress::default();
    loop {
        match head.parse(text, &mut progress, &Limits::DEFAULT, Method::Get) {
            Ok(Status::Complete) if head.status >= 200 => return Ok(head),
            Ok(Status::Complete) => {
                text.drain(..head.len);
                progress = Progress::default();
            }
            Ok(Status::Partial) if read(stream, text).await? > 0 => {}
            _ => return Err(()),
        }
    }
}

/// The body, and whether more came than belongs to it.
async fn body(stream: &mut Stream, head: &Response, text: &mut Vec<u8>) -> Result<(Vec<u8>, bool), ()> {
    let mut framing = Body::of_response(head.framing);
    let mut body = Vec::new();
    let mut at = head.len;
    while !framing.is_done() {
        let piece = framing.decode(&text[at..]).map_err(|_| ())?;
        if piece.skip + piece.data > 0 {
            body.extend_from_slice(&text[at + piece.skip..at + piece.skip + piece.data]);
            at += piece.skip + piece.data;
            continue;
        }
        if framing.is_done() {
            break;
        }
        if body.len() > LARGEST || text.len() > 2 * LARGEST {
            return Err(());
        }
        if read(stream, text).await? == 0 {
            framing.at_eof().map_err(|_| ())?;
            break;
        }
    }
    Ok((body, at < text.len()))
}

async fn read(stream: &mut Stream, text: &mut Vec<u8>) -> Result<usize, ()> {
    let mut piece = [0; 4096];
    let n = poll_fn(|cx| stream.poll_read(cx, &mut piece)).await.map_err(|_| ())?;
    text.extend_from_slice(&piece[..n]);
    Ok(n)
}
