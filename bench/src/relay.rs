//! The limit: what passing the bytes costs when nobody looks at them.
//!
//! Single-threaded, edge-triggered epoll. A client connection gets a backend connection; what is read from one is
//! written to the other. No parsing, no policy, no pool: any proxy that reads requests must cost more than this.

use crate::Result;
use crate::poll::{Flags, Poll};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

const LISTENER: u64 = u64::MAX;
const STEP: usize = 64 * 1024;

/// Relays until the process is ended.
pub(crate) fn run(listen: SocketAddr, backends: &[SocketAddr]) -> Result<()> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let mut poll = Poll::new()?;
    poll.add(&listener, LISTENER, Flags::IN)?;
    let mut pairs: Vec<Option<Pair>> = Vec::new();
    let mut free = Vec::new();
    let mut turn = (0..backends.len()).cycle();
    let mut scratch = vec![0; STEP];
    loop {
        for i in 0..poll.wait(None)? {
            let (token, flags) = poll.event(i);
            if token == LISTENER {
                while let Some(client) = accept(&listener)? {
                    let backend = backends[turn.next().unwrap_or(0)];
                    let slot = free.pop().unwrap_or_else(|| {
                        pairs.push(None);
                        pairs.len() - 1
                    });
                    match Pair::open(client, backend, &poll, slot) {
                        Ok(pair) => pairs[slot] = Some(pair),
                        Err(_) => free.push(slot),
                    }
                }
                continue;
            }
            let slot = (token / 2) as usize;
            let Some(pair) = pairs.get_mut(slot).and_then(Option::as_mut) else {
                continue;
            };
            if !pair.serve((token % 2) as usize, flags, &mut scratch) {
                pairs[slot] = None;
                free.push(slot);
            }
        }
    }
}

fn accept(listener: &TcpListener) -> Result<Option<TcpStream>> {
    match listener.accept() {
        Ok((stream, _)) => Ok(Some(stream)),
        Err(fault) if matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}

/// A client connection and its backend connection, by the same index as the low bit of their tokens.
struct Pair {
    sides: [Side; 2],
}

struct Side {
    stream: TcpStream,
    readable: bool,
    /// The peer has said it will send no more.
    ending: bool,
    ended: bool,
    /// Read from the other side, not yet taken by this one.
    pending: Vec<u8>,
}

impl Pair {
    fn open(client: TcpStream, backend: SocketAddr, poll: &Poll, slot: usize) -> Result<Pair> {
        // On loopback a connect does not wait.
        let upstream = TcpStream::connect(backend)?;
        let mut sides =
            [client, upstream].map(|stream| Side { stream, readable: false, ending: false, ended: false, pending: Vec::new() });
        for (i, side) in sides.iter_mut().enumerate() {
            side.stream.set_nonblocking(true)?;
            side.stream.set_nodelay(true)?;
            poll.add(&side.stream, slot as u64 * 2 + i as u64, Flags::IN | Flags::OUT | Flags::RDHUP | Flags::ET)?;
        }
        Ok(Pair { sides })
    }

    /// Moves what can be moved; false when the pair is done.
    fn serve(&mut self, side: usize, flags: Flags, scratch: &mut [u8]) -> bool {
        if flags.contains(Flags::ERR) {
            return false;
        }
        let at = &mut self.sides[side];
        at.readable |= flags.intersects(Flags::IN | Flags::RDHUP | Flags::HUP);
        at.ending |= flags.intersects(Flags::RDHUP | Flags::HUP);
        let [client, upstream] = &mut self.sides;
        let moved = forward(client, upstream, scratch).and_then(|()| forward(upstream, client, scratch));
        moved.is_ok() && !self.sides.iter().all(|side| side.ended)
    }
}

/// Reads from one side and writes to the other until one of them has to wait.
fn forward(from: &mut Side, to: &mut Side, scratch: &mut [u8]) -> std::io::Result<()> {
    if !to.pending.is_empty() {
        let written = send(&mut to.stream, &to.pending)?;
        to.pending.drain(..written);
    }
    while to.pending.is_empty() && from.readable && !from.ended {
        let n = match from.stream.read(scratch) {
            Ok(0) => {
                from.ended = true;
                // The other side may be gone already: then there is nobody to tell.
                let _ = to.stream.shutdown(Shutdown::Write);
                break;
            }
            Ok(n) => n,
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => {
                from.readable = false;
                break;
            }
            Err(fault) => return Err(fault),
        };
        // A short read has emptied the socket: the next bytes make a new edge.
        from.readable = n == scratch.len() || from.ending;
        let written = send(&mut to.stream, &scratch[..n])?;
        to.pending.extend_from_slice(&scratch[written..n]);
    }
    Ok(())
}

fn send(stream: &mut TcpStream, mut bytes: &[u8]) -> std::io::Result<usize> {
    let all = bytes.len();
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => break,
            Err(fault) => return Err(fault),
        }
    }
    Ok(all - bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// A backend that echoes one connection to its end.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = listener.local_addr().expect("bound");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut back = stream.try_clone().expect("a second handle");
                thread::spawn(move || std::io::copy(&mut &stream, &mut back).map(|_| back.shutdown(Shutdown::Write)));
            }
        });
        at
    }

    #[test]
    fn bytes_and_the_end_pass_both_ways_whatever_their_size() {
        let listen = SocketAddr::from(([127, 0, 0, 1], crate::scratch::free_ports(1).expect("a port")[0]));
        let backend = echo();
        thread::spawn(move || run(listen, &[backend]).map_err(|fault| fault.to_string()));
        for size in [1, 1000, 3_000_000] {
            let mut client = connect(listen);
            let sent: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let mut writer = client.try_clone().expect("a second handle");
            let copy = sent.clone();
            thread::spawn(move || writer.write_all(&copy).and_then(|()| writer.shutdown(Shutdown::Write)));
            let mut back = Vec::new();
            client.read_to_end(&mut back).expect("relayed to its end");
            assert!(back == sent, "{size} bytes came back as {}", back.len());
        }
    }

    fn connect(to: SocketAddr) -> TcpStream {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
        loop {
            match TcpStream::connect(to) {
                Ok(stream) => return stream,
                Err(fault) => assert!(std::time::Instant::now() < end, "no relay: {fault}"),
            }
            thread::yield_now();
        }
    }
}
