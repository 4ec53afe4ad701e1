//! Moving a message from one side to the other: what is read on one socket leaves on the other, framed anew.

use std::task::{Context, Poll, ready};

use net::{Pipe, Pipes, Stream};
use wire::h1::{Body, encode};

use crate::buffer::{Buffer, STEP};

/// Body pieces up to this size are copied behind the framing; larger ones are written from where they were read.
const COPIED: usize = 2048;

/// From this declared length on a body goes through a pipe, where it is not copied; below, two more descriptors aren't worth it.
const LARGE: u64 = 128 * 1024;
/// The last bytes are copied: a splice of a little costs more than a copy.
const REST: u64 = 16 * 1024;

/// Why a message could not be moved whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The source ended before its message did.
    Truncated,
    /// The source's framing is wrong.
    Malformed,
    /// The body is larger than it may be.
    TooLarge,
    /// Reading from the source failed.
    Source,
    /// Writing to the sink failed.
    Sink,
}

/// What a pump that is pending waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    Source,
    Sink,
}

/// One direction of an exchange: the head in `out`, then the body as it comes.
#[derive(Debug)]
pub(crate) struct Pump {
    /// Bytes to write first: the head, then framing and small pieces.
    pub(crate) out: Vec<u8>,
    written: usize,
    pub(crate) body: Body,
    /// The body leaves in chunks.
    chunked: bool,
    /// Bytes of the source's buffer to write after `out`, from its first unread byte.
    lent: usize,
    ended: bool,
    /// Bytes of the buffer that stay where they are: the head's.
    keep: usize,
    pub(crate) waiting: Waiting,
    /// Body bytes taken from the source.
    pub(crate) moved: u64,
    /// How many there may be. What goes beyond is not written, so that the sink can't take the message for whole.
    pub(crate) most: u64,
    /// For a large body of known length: its way around our memory.
    pipe: Option<Pipe>,
    /// Bytes that are in the pipe.
    piped: usize,
    /// Whether any byte has been written to the sink.
    pub(crate) begun: bool,
    /// Reads and writes for this message that did something; by this a caller sees progress.
    pub(crate) steps: u64,
}

impl Pump {
    pub(crate) fn new() -> Self {
        Self {
            out: Vec::new(),
            written: 0,
            body: Body::Empty,
            chunked: false,
            lent: 0,
            ended: false,
            keep: 0,
            waiting: Waiting::Source,
            moved: 0,
            most: u64::MAX,
            pipe: None,
            piped: 0,
            begun: false,
            steps: 0,
        }
    }

    /// Starts on another message; `out` is empty and takes the head.
    pub(crate) fn start(&mut self, body: Body, chunked: bool, keep: usize) {
        self.out.clear();
        self.ended = body.is_done();
        self.body = body;
        self.chunked = chunked;
        (self.written, self.lent, self.keep, self.moved) = (0, 0, keep, 0);
        self.most = u64::MAX;
        self.waiting = Waiting::Source;
        self.begun = false;
        self.steps = 0;
    }

    /// Lets a large body go through a pipe. Called after [`Pump::start`]; [`Pump::give_pipe`] follows when the message is done with.
    pub(crate) fn take_pipe(&mut self, pipes: &Pipes) {
        if matches!(self.body, Body::Length(n) if n >= LARGE) && self.pipe.is_none() {
            self.pipe = pipes.take();
        }
    }

    /// Gives the pipe back; one with bytes of a broken-off message in it is closed.
    pub(crate) fn give_pipe(&mut self, pipes: &Pipes) {
        if let Some(pipe) = self.pipe.take() {
            let is_empty = std::mem::take(&mut self.piped) == 0;
            pipes.give(is_empty.then_some(pipe));
        }
    }

    /// Lets a body follow the head that stands in `out`.
    pub(crate) fn follow(&mut self, body: Body) {
        self.ended = body.is_done();
        self.body = body;
    }

    /// Gives up on the sink: what is left of the message to read, behind what was taken and not written.
    pub(crate) fn abandon(&mut self, buffer: &mut Buffer) -> Body {
        buffer.consume(self.lent);
        self.lent = 0;
        std::mem::replace(&mut self.body, Body::Empty)
    }

    /// Takes the message for read and written as a whole, which somebody else has done.
    pub(crate) fn finish(&mut self) {
        self.out.clear();
        (self.written, self.lent, self.ended, self.begun) = (0, 0, true, true);
        self.body = Body::Empty;
    }

    /// The whole message has been read and written.
    pub(crate) fn is_done(&self) -> bool {
        self.ended && self.written == self.out.len() && self.lent == 0
    }

    /// The whole message has been read from the source.
    pub(crate) fn is_read(&self) -> bool {
        self.ended
    }

    /// Moves what can be moved now. Ready when the message is whole on the other side, or can't be.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Stream,
        buffer: &mut Buffer,
        sink: &mut Stream,
    ) -> Poll<Result<(), Broken>> {
        loop {
            if self.piped > 0 || self.goes_through_pipe(buffer) {
                ready!(self.poll_splice(cx, source, sink))?;
                continue;
            }
            self.gather(buffer)?;
            if self.written < self.out.len() || self.lent > 0 {
                self.waiting = Waiting::Sink;
                ready!(self.poll_write(cx, buffer, sink))?;
            } else if self.ended {
                return Poll::Ready(Ok(()));
            } else {
                self.waiting = Waiting::Source;
                ready!(self.poll_fill(cx, source, buffer))?;
            }
        }
    }

    /// Whether the rest of the body can go from socket to socket: all that came with the head is out.
    fn goes_through_pipe(&self, buffer: &Buffer) -> bool {
        self.pipe.is_some()
            && matches!(self.body, Body::Length(n) if n >= REST)
            && self.lent == 0
            && self.written == self.out.len()
            && buffer.is_empty()
    }

    /// Fills the empty pipe, or empties the full one. Never more than [`STEP`] bytes are between the two sides.
    fn poll_splice(&mut self, cx: &mut Context<'_>, source: &mut Stream, sink: &mut Stream) -> Poll<Result<(), Broken>> {
        let (Some(pipe), Body::Length(left)) = (&self.pipe, &mut self.body) else { return Poll::Ready(Err(Broken::Source)) };
        if self.piped > 0 {
            self.waiting = Waiting::Sink;
            let n = ready!(sink.poll_empty(cx, pipe, self.piped)).map_err(|_| Broken::Sink)?;
            if n == 0 {
                return Poll::Ready(Err(Broken::Sink));
            }
            self.piped -= n;
            self.begun = true;
        } else {
            self.waiting = Waiting::Source;
            let most = usize::try_from(*left).unwrap_or(STEP).min(STEP);
            let n = ready!(source.poll_fill(cx, pipe, most)).map_err(|_| Broken::Source)?;
            if n == 0 {
                return Poll::Ready(Err(Broken::Truncated));
            }
            self.piped = n;
            *left -= n as u64;
            self.moved += n as u64;
        }
        self.steps += 1;
        Poll::Ready(Ok(()))
    }

    /// Writes what stands in `out`, and nothing else.
    pub(crate) fn poll_out(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer, sink: &mut Stream) -> Poll<Result<(), Broken>> {
        while self.written < self.out.len() {
            ready!(self.poll_write(cx, buffer, sink))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Turns unread bytes into framed output until there is enough for a write or nothing more to turn.
    ///
    /// Not while a write is half done: `out` would grow for as long as the sink is slow.
    fn gather(&mut self, buffer: &mut Buffer) -> Result<(), Broken> {
        if self.written > 0 {
            return Ok(());
        }
        while !self.ended && self.lent == 0 && self.out.len() < STEP / 4 {
            let piece = self.body.decode(buffer.unread()).map_err(|_| Broken::Malformed)?;
            buffer.consume(piece.skip);
            if piece.data > 0 {
                self.moved += piece.data as u64;
                if self.moved > self.most {
                    return Err(Broken::TooLarge);
                }
                if self.chunked {
                    self.out.extend_from_slice(encode::chunk_head(piece.data).as_ref());
                }
                if piece.data <= COPIED {
                    self.out.extend_from_slice(&buffer.unread()[..piece.data]);
                    buffer.consume(piece.data);
                    self.end_chunk();
                } else {
                    self.lent = piece.data;
                }
            }
            if self.body.is_done() && self.lent == 0 {
                self.end();
            } else if piece.data == 0 && piece.skip == 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    fn end_chunk(&mut self) {
        if self.chunked {
            self.out.extend_from_slice(b"\r\n");
        }
    }

    fn end(&mut self) {
        self.ended = true;
        if self.chunked {
            self.out.extend_from_slice(encode::LAST_CHUNK);
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer, sink: &mut Stream) -> Poll<Result<(), Broken>> {
        let framing = &self.out[self.written..];
        let n = ready!(sink.poll_write_both(cx, framing, &buffer.unread()[..self.lent])).map_err(|_| Broken::Sink)?;
        if n == 0 {
            return Poll::Ready(Err(Broken::Sink));
        }
        self.begun = true;
        self.steps += 1;
        let framed = n.min(framing.len());
        self.written += framed;
        let lent = n - framed;
        if lent > 0 {
            buffer.consume(lent);
            self.lent -= lent;
        }
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
            // Reached when the last lent byte is out; with nothing lent the chunk was ended where it was copied.
            if lent > 0 && self.lent == 0 {
                self.end_chunk();
                if self.body.is_done() {
                    self.end();
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, source: &mut Stream, buffer: &mut Buffer) -> Poll<Result<(), Broken>> {
        let space = buffer.space(self.keep);
        let n = ready!(source.poll_read(cx, space)).map_err(|_| Broken::Source)?;
        self.steps += 1;
        if n > 0 {
            buffer.filled(n);
        } else {
            self.body.at_eof().map_err(|_| Broken::Truncated)?;
            self.end();
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
