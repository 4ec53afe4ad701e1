//! Listening sockets: one for each worker on the same address, so that the kernel spreads connections without a lock.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::task::{Context, Poll, ready};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;

/// Connections the kernel may hold for us before they're accepted; it cuts this to `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;

/// One address with a listening socket for each worker, open but not yet accepting.
#[derive(Debug)]
pub struct Bound {
    /// The address in fact: the kernel's port where port 0 was asked for.
    pub address: SocketAddr,
    /// As many as there are workers.
    pub sockets: Vec<TcpListener>,
}

/// Opens `workers` listening sockets on `address`.
///
/// The first is bound without `SO_REUSEPORT` and closed again: with it alone, a second process would silently take half of
/// the first one's connections instead of being told that the address is in use.
///
/// # Errors
/// What `bind(2)` or `listen(2)` say: in use, no permission, no such address.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Bound> {
    let probe = socket(address)?;
    probe.bind(&address.into())?;
    open(address, workers, probe)
}

/// As [`bind`], beside sockets on the same port that this process has already: `0.0.0.0:80` that becomes `127.0.0.1:80`.
///
/// # Errors
/// As [`bind`], but for those sockets.
pub fn bind_beside(address: SocketAddr, workers: usize) -> io::Result<Bound> {
    let probe = socket(address)?;
    probe.set_reuse_port(true)?;
    probe.bind(&address.into())?;
    open(address, workers, probe)
}

fn open(address: SocketAddr, workers: usize, probe: Socket) -> io::Result<Bound> {
    let address = probe.local_addr()?.as_socket().unwrap_or(address);
    drop(probe);
    let sockets = (0..workers.max(1))
        .map(|_| {
            let socket = socket(address)?;
            socket.set_reuse_port(true)?;
            // Accepted sockets inherit this, which saves a system call a connection.
            socket.set_tcp_nodelay(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        })
        .collect::<io::Result<Vec<TcpListener>>>()?;
    Ok(Bound { address, sockets })
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // "[::]" next to "0.0.0.0" is two listeners, whatever the system's default.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// A listening socket registered with one worker's runtime.
#[derive(Debug)]
pub struct Acceptor {
    socket: AsyncFd<TcpListener>,
    /// A connection has been accepted since the reactor last spoke; whether there are more is not known.
    is_taken: Cell<bool>,
}

/// What a call to accept brought.
#[derive(Debug)]
pub enum Accept {
    /// A connection, not yet registered with any runtime, so that it can be handed to another worker.
    Connection(TcpStream, SocketAddr),
    /// The connection broke before it was accepted; go on.
    Broken,
}

impl Acceptor {
    /// Registers a listening socket with the runtime of the calling thread.
    ///
    /// # Errors
    /// When the reactor can't take another socket.
    pub fn new(socket: TcpListener) -> io::Result<Self> {
        // SAFETY: a TcpListener owns one descriptor, shows the same one as long as it lives, and closes it only when dropped, after the
        // AsyncFd has deregistered it.
        let socket = unsafe { AsyncFd::register(socket) }?;
        Ok(Self { socket, is_taken: Cell::new(false) })
    }

    /// The next connection.
    ///
    /// # Errors
    /// Out of descriptors or memory ([`is_out_of_descriptors`]): pause before the next call. Anything else: the socket is broken.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accept>> {
        loop {
            let mut ready = ready!(self.socket.poll_read_ready(cx))?;
            // The kernel makes a whole socket before it looks whether anybody waits; to ask first is much cheaper.
            if self.is_taken.take() && !has_waiting(self.socket.get_ref()) {
                ready.clear_ready();
                continue;
            }
            match accept(self.socket.get_ref()) {
                Ok((socket, peer)) => {
                    self.is_taken.set(true);
                    return Poll::Ready(Ok(Accept::Connection(socket, peer)));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(e) if is_connection_error(&e) => return Poll::Ready(Ok(Accept::Broken)),
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }

    /// What waits in the kernel's queue now, without waiting for more. For the moment before the socket is closed.
    pub fn accept_now(&self) -> Option<(TcpStream, SocketAddr)> {
        loop {
            match accept(self.socket.get_ref()) {
                Ok(connection) => return Some(connection),
                Err(e) if is_connection_error(&e) => {}
                Err(_) => return None,
            }
        }
    }
}

/// Whether a connection waits to be accepted.
fn has_waiting(listener: &TcpListener) -> bool {
    let mut asked = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the pointer is to one live pollfd, as the count says; a timeout of 0 never waits.
    unsafe { libc::poll(&mut asked, 1, 0) > 0 }
}

/// Whether an accept failed because the process or the system has no descriptors or memory left.
pub fn is_out_of_descriptors(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Errors of the connection that was to be accepted, not of the socket that listens: accept(2), "Error handling".
fn is_connection_error(e: &io::Error) -> bool {
    matches!(
        e.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EPROTO
                | libc::EPERM
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
        )
    )
}

/// `accept4(2)` with the flags set in the same call; the standard library needs two more calls for a non-blocking socket.
fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    // SAFETY: sockaddr_storage is plain bytes for which all-zero is a valid value.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: both pointers are to live values, `len` holds the size of the storage, and the descriptor is open as long as `listener` lives.
    let fd = unsafe {
        libc::accept4(listener.as_raw_fd(), (&raw mut storage).cast(), &mut len, libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    let socket = TcpStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
    // SAFETY: accept4 filled the storage with an address of the family it names there and set `len` to its size.
    let peer =
        unsafe { socket2::SockAddr::new(std::mem::transmute::<libc::sockaddr_storage, socket2::SockAddrStorage>(storage), len) };
    peer.as_socket().map(|peer| (socket, peer)).ok_or_else(|| io::Error::other("a connection from neither IPv4 nor IPv6"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_in_use_is_an_error_and_not_shared() {
        let first = bind("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        assert_eq!(first.sockets.len(), 2);
        let second = bind(first.address, 2).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn an_accepted_connection_has_its_peer_and_does_not_block() {
        let bound = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let acceptor = Acceptor::new(bound.sockets.into_iter().next().unwrap()).unwrap();
        let client = TcpStream::connect(bound.address).unwrap();
        let accepted = std::future::poll_fn(|cx| acceptor.poll_accept(cx)).await.unwrap();
        let Accept::Connection(socket, peer) = accepted else { panic!("{accepted:?}") };
        assert_eq!(peer, client.local_addr().unwrap());
        assert!(socket.nodelay().unwrap());
        let error = io::Read::read(&mut &socket, &mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(acceptor.accept_now().is_none());
    }
}
