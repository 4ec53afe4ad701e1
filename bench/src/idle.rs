//! Many connections that each made one request and then say nothing.

use crate::Result;
use crate::client;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use std::io::Write;
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

/// Opened, used and read together, as clients arrive: the balancer holds this many exchanges at once.
const TOGETHER: usize = 100;
/// Connections of one source address: well below the number of its ports.
const FROM_ONE: usize = 5_000;

/// Opens `count` connections, makes one request on each and hands them back, open.
pub(crate) fn hold(target: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let request = client::request(target, "/");
    let mut held: Vec<TcpStream> = Vec::with_capacity(count);
    while held.len() < count {
        let first = held.len();
        for i in first..count.min(first + TOGETHER) {
            let mut stream = open(target, source(i))?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            stream.write_all(&request)?;
            held.push(stream);
        }
        for stream in &mut held[first..] {
            client::read_answer(stream)?;
        }
    }
    Ok(held)
}

/// 127.0.0.2, .3, ... with a port the kernel chooses.
fn source(i: usize) -> SocketAddrV4 {
    let last = u8::try_from(2 + i / FROM_ONE).unwrap_or(254);
    SocketAddrV4::new([127, 0, 0, last].into(), 0)
}

fn open(target: SocketAddr, source: SocketAddrV4) -> Result<TcpStream> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &source)?;
    connect(&socket, &target)?;
    Ok(TcpStream::from(socket))
}
