//! One TCP connection, as polls that take plain slices.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connected byte stream that belongs to one worker's runtime.
///
/// Reads and writes go through polls so that one task can drive both sides of an exchange without splitting anything.
///
/// An accepted socket is registered with the reactor only when something has to be waited for: a client that sends one request and
/// closes is mostly served without, which saves the two system calls of coming and going.
#[derive(Debug)]
pub struct Stream(Socket);

#[derive(Debug)]
enum Socket {
    /// Not yet registered; in non-blocking mode.
    Plain(std::net::TcpStream),
    Registered(TcpStream),
    /// Registering failed, and the socket is gone.
    Lost,
}

impl Stream {
    /// Takes a connected TCP stream.
    pub fn new(tcp: TcpStream) -> Self {
        Self(Socket::Registered(tcp))
    }

    /// Takes an accepted socket in non-blocking mode.
    pub fn adopt(socket: std::net::TcpStream) -> Self {
        Self(Socket::Plain(socket))
    }

    /// Whether the reactor tells of this socket. Until it does, nobody learns that the peer has closed but by a read.
    pub fn is_registered(&self) -> bool {
        !matches!(self.0, Socket::Plain(_))
    }

    /// Registers with the reactor of the calling thread, if that is not done yet.
    ///
    /// # Errors
    /// When the reactor can't take another socket; the connection is closed then.
    pub fn register(&mut self) -> io::Result<()> {
        if let Socket::Plain(socket) = std::mem::replace(&mut self.0, Socket::Lost) {
            self.0 = Socket::Registered(TcpStream::from_std(socket)?);
        }
        Ok(())
    }

    /// The socket, registered.
    fn registered(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if !self.is_registered() {
            self.register()?;
        }
        match &mut self.0 {
            Socket::Registered(tcp) => Ok(Pin::new(tcp)),
            Socket::Plain(_) | Socket::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Reads into `space`. `Ready(Ok(0))` is the peer's end of stream. One system call at most, none if nothing arrived.
    ///
    /// A read that leaves part of `space` empty also tells the reactor that the socket is drained, which saves the
    /// otherwise needed second read.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        debug_assert!(!space.is_empty(), "a read into nothing looks like the end of the stream");
        if let Socket::Plain(socket) = &mut self.0
            && let Poll::Ready(read) = attempt(|| socket.read(space))
        {
            return Poll::Ready(read);
        }
        let mut buf = ReadBuf::new(space);
        ready!(self.registered()?.poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// Writes from `bytes`, as much as the socket takes now.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Socket::Plain(socket) = &mut self.0
            && let Poll::Ready(written) = attempt(|| socket.write(bytes))
        {
            return Poll::Ready(written);
        }
        self.registered()?.poll_write(cx, bytes)
    }

    /// Writes `first` and then `second` in one system call, as much as the socket takes now.
    pub fn poll_write_both(&mut self, cx: &mut Context<'_>, first: &[u8], second: &[u8]) -> Poll<io::Result<usize>> {
        if first.is_empty() {
            return self.poll_write(cx, second);
        }
        if second.is_empty() {
            return self.poll_write(cx, first);
        }
        let slices = [IoSlice::new(first), IoSlice::new(second)];
        if let Socket::Plain(socket) = &mut self.0
            && let Poll::Ready(written) = attempt(|| socket.write_vectored(&slices))
        {
            return Poll::Ready(written);
        }
        self.registered()?.poll_write_vectored(cx, &slices)
    }

    /// Waits until there is something to read, without reading it: bytes, the end of the stream or an error.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registered()?.poll_read_ready(cx)
    }

    /// Says that nothing more will be written (a FIN); reading goes on.
    pub fn finish(&self) {
        // A peer that is already gone needs no FIN; there's nobody to tell of the error.
        let _ = self.with(|socket| socket.shutdown(Shutdown::Write));
    }

    /// Makes the close of this socket a reset, so that the peer can't take a broken-off message for a whole one.
    pub fn reset_on_close(&self) {
        let _ = self.with(|socket| socket.set_linger(Some(std::time::Duration::ZERO)));
    }

    /// Whether the peer has closed or sent something, asked of the kernel (one system call).
    ///
    /// For an idle connection either means it can't be used again.
    pub fn is_stale(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit(); 1];
        !matches!(self.with(|socket| socket.peek(&mut byte)), Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether the reactor has already seen bytes or a close on this connection. No system call, so it may be one turn
    /// of the event loop late; of a socket that is not registered the kernel is asked.
    pub fn has_news(&self) -> bool {
        match &self.0 {
            Socket::Registered(tcp) => tcp.poll_read_ready(&mut Context::from_waker(std::task::Waker::noop())).is_ready(),
            Socket::Plain(_) => self.is_stale(),
            Socket::Lost => true,
        }
    }

    /// The peer's address.
    ///
    /// # Errors
    /// When the socket is no longer connected.
    pub fn peer(&self) -> io::Result<SocketAddr> {
        self.with(|socket| socket.peer_addr())?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    fn with<T>(&self, call: impl FnOnce(SockRef<'_>) -> io::Result<T>) -> io::Result<T> {
        match &self.0 {
            Socket::Registered(tcp) => call(SockRef::from(tcp)),
            Socket::Plain(socket) => call(SockRef::from(socket)),
            Socket::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// Pending when the call would have to wait.
fn attempt<T>(mut call: impl FnMut() -> io::Result<T>) -> Poll<io::Result<T>> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return Poll::Ready(done),
        }
    }
}
