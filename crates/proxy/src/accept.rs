//! Accepting connections, and handing them on when one worker holds clearly more than its share.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use net::{Accept, Acceptor, Stream};
use policy::limit::Claim;

use crate::http::h1;
use crate::worker::{Command, Counted, Gate, Worker};

/// How long accepting rests when descriptors have run out: connections wait in the kernel meanwhile, the processor stays idle.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the gate closes, then what the kernel had already taken for us.
pub(crate) async fn run(worker: Rc<Worker>, gate: Rc<Gate>, acceptor: Acceptor) {
    loop {
        tokio::select! {
            biased;
            () = gate.close.notified() => break,
            accepted = poll_fn(|cx| poll_accept(cx, &worker, &gate, &acceptor)) => match accepted {
                Ok(Accept::Connection(socket, peer)) => place(&worker, &gate, socket, peer),
                Ok(Accept::Broken) => {}
                Err(e) => {
                    worker.cells.accept_pauses.add(1);
                    if e.kind() != io::ErrorKind::QuotaExceeded && !net::is_out_of_descriptors(&e) {
                        tracing::error!("accept on {}: {e}", gate.address);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    while let Some((socket, peer)) = acceptor.accept_now() {
        if let Some(claim) = admit(&worker, &gate, peer) {
            begin(&worker, &gate, socket, peer, Counted::new(&worker, &gate, claim));
        }
    }
}

/// The next connection; at the limit of connections none, as if descriptors had run out.
fn poll_accept(cx: &mut std::task::Context<'_>, worker: &Worker, gate: &Gate, acceptor: &Acceptor) -> Poll<io::Result<Accept>> {
    if open_in_all(worker) >= worker.max_connections || gate.is_full() {
        return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
    }
    acceptor.poll_accept(cx)
}

fn open_in_all(worker: &Worker) -> u32 {
    worker.ports.iter().map(|port| port.cells.open.load(Relaxed)).sum()
}

/// Keeps the connection, or gives it to the worker that holds the fewest if this one holds clearly more.
///
/// The kernel spreads by a hash of addresses: evenly for many connections, badly for eight. An eighth more is left alone, because
/// waking another core costs more than a small imbalance does.
fn place(worker: &Rc<Worker>, gate: &Rc<Gate>, socket: TcpStream, peer: SocketAddr) {
    let Some(claim) = admit(worker, gate, peer) else { return };
    let mine = worker.cells.open.load(Relaxed);
    let least = worker.ports.iter().enumerate().map(|(id, port)| (port.cells.open.load(Relaxed), id)).min();
    if let Some((held, id)) = least
        && id != worker.id
        && mine > held + held / 8
    {
        worker.cells.handed_on.add(1);
        // Counted where it goes before it is there, or a burst would all be sent the same way.
        worker.ports[id].cells.open.fetch_add(1, Relaxed);
        let listener = gate.listener();
        listener.open.fetch_add(1, Relaxed);
        let command = Command::Adopt { socket, peer, address: gate.address, listener, claim };
        if worker.ports[id].commands.send(command).is_err() {
            tracing::error!("worker {id} is gone");
        }
        return;
    }
    begin(worker, gate, socket, peer, Counted::new(worker, gate, claim));
}

/// Counts the connection for its address; `None` closes it, because the address has as many as it may.
fn admit(worker: &Worker, gate: &Gate, peer: SocketAddr) -> Option<Option<Claim>> {
    let admitted = gate.listener().admit(peer);
    worker.cells.crowded.add(u64::from(admitted.is_err()));
    admitted.ok()
}

/// Starts serving a connection on this worker.
pub(crate) fn begin(worker: &Rc<Worker>, gate: &Rc<Gate>, socket: TcpStream, peer: SocketAddr, counted: Counted) {
    worker.cells.accepted.add(1);
    match Stream::adopt(socket) {
        Ok(stream) => {
            tokio::task::spawn_local(h1::connection(worker.clone(), gate.clone(), stream, peer, counted));
        }
        Err(e) => tracing::warn!("a connection from {peer} could not be taken: {e}"),
    }
}
