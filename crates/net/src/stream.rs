//! One TCP connection, as polls that take plain slices.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::Pipe;

/// A connected byte stream that belongs to one worker's runtime.
///
/// Reads and writes go through polls so that one task can drive both sides of an exchange without splitting anything.
#[derive(Debug)]
pub struct Stream(TcpStream);

impl Stream {
    /// Takes a connected TCP stream.
    pub fn new(tcp: TcpStream) -> Self {
        Self(tcp)
    }

    /// Registers an accepted socket with the runtime of the calling thread.
    ///
    /// # Errors
    /// When the reactor can't take another socket.
    pub fn adopt(socket: std::net::TcpStream) -> io::Result<Self> {
        TcpStream::from_std(socket).map(Self)
    }

    /// Reads into `space`. `Ready(Ok(0))` is the peer's end of stream. One system call at most, none if nothing arrived.
    ///
    /// A read that leaves part of `space` empty also tells the reactor that the socket is drained, which saves the
    /// otherwise needed second read.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        debug_assert!(!space.is_empty(), "a read into nothing looks like the end of the stream");
        let mut buf = ReadBuf::new(space);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// Writes from `bytes`, as much as the socket takes now.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    /// Writes `first` and then `second` in one system call, as much as the socket takes now.
    pub fn poll_write_both(&mut self, cx: &mut Context<'_>, first: &[u8], second: &[u8]) -> Poll<io::Result<usize>> {
        match (first.is_empty(), second.is_empty()) {
            (true, _) => self.poll_write(cx, second),
            (_, true) => self.poll_write(cx, first),
            _ => Pin::new(&mut self.0).poll_write_vectored(cx, &[IoSlice::new(first), IoSlice::new(second)]),
        }
    }

    /// Moves up to `most` bytes that have arrived into an empty pipe. `Ready(Ok(0))` is the peer's end of stream.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, pipe: &Pipe, most: usize) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_io(Interest::READABLE, || pipe.fill(&self.0, most)) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// Moves up to `most` of the bytes in the pipe onto this connection, as much as the socket takes now.
    pub fn poll_empty(&mut self, cx: &mut Context<'_>, pipe: &Pipe, most: usize) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_io(Interest::WRITABLE, || pipe.empty(&self.0, most)) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// Says that nothing more will be written (a FIN); reading goes on.
    pub fn finish(&self) {
        // A peer that is already gone needs no FIN; there's nobody to tell of the error.
        let _ = SockRef::from(&self.0).shutdown(Shutdown::Write);
    }

    /// Makes the close of this socket a reset, so that the peer can't take a broken-off message for a whole one.
    pub fn reset_on_close(&self) {
        let _ = SockRef::from(&self.0).set_linger(Some(std::time::Duration::ZERO));
    }

    /// Whether the peer has closed or sent something, asked of the kernel (one system call).
    ///
    /// For an idle connection either means it can't be used again.
    pub fn is_stale(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit(); 1];
        !matches!(SockRef::from(&self.0).peek(&mut byte), Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether bytes or a close have come on this connection, as far as the reactor knows: it may be one turn of the event loop late.
    ///
    /// No system call if the reactor knows of nothing. If it does, the kernel is asked: what it knows of may have been read since.
    pub fn has_news(&self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        if self.0.poll_read_ready(&mut cx).is_pending() {
            return false;
        }
        let mut byte = [std::mem::MaybeUninit::uninit(); 1];
        let peeked = self.0.try_io(Interest::READABLE, || SockRef::from(&self.0).peek(&mut byte));
        !matches!(peeked, Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    /// The peer's address.
    ///
    /// # Errors
    /// When the socket is no longer connected.
    pub fn peer(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    /// Waits until there is something to read, without reading it: bytes, the end of the stream or an error.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(cx)
    }
}
