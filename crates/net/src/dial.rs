//! Opening a connection to a backend.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpSocket;

use crate::Stream;

/// Connects to `address`. Without a time limit of its own: the caller has one for the attempt as a whole.
///
/// `TCP_NODELAY` is set: what a proxy writes is already gathered, waiting for more only adds latency.
///
/// # Errors
/// What `connect(2)` says: refused, unreachable, no descriptors left.
pub async fn dial(address: SocketAddr) -> io::Result<Stream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_nodelay(true)?;
    socket.connect(address).await.map(Stream::new)
}
