//! `evenkeel backend`: a server that says who it is and what it was sent, to try a load balancer on.
//!
//! Its connections speak HTTP/1 by [`wire::h1`], so that what it shows is what came, to the letter.

mod answer;
mod connection;
mod machine;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use crate::cli::Backend;
use crate::signals::Signals;
use crate::{boot, terminal};
use machine::Machine;

/// How long a listener that is out of descriptors waits before it accepts again.
const PAUSE: Duration = Duration::from_millis(50);

/// What a backend is, and how badly it behaves.
struct Character {
    name: String,
    address: SocketAddr,
    delay: Duration,
    /// 0 to 1.
    fail: f64,
    dice: RefCell<fastrand::Rng>,
    machine: Machine,
}

pub(crate) fn run(args: &Backend) -> anyhow::Result<ExitCode> {
    if args.exit_with_stdin {
        std::thread::Builder::new().name("stdin".to_owned()).spawn(end_with_stdin)?;
    }
    net::raise_descriptor_limit();
    let bound = net::bind(args.listen, 1).with_context(|| format!("can't listen on {}", args.listen))?;
    let character = Rc::new(Character {
        name: args.name.clone().unwrap_or_else(|| format!("backend-{}", bound.address.port())),
        address: bound.address,
        delay: args.delay,
        fail: args.fail,
        dice: RefCell::new(fastrand::Rng::with_seed(boot::seed())),
        machine: Machine::new(args.cpu_usage, args.memory_usage),
    });
    let tasks = LocalSet::new();
    boot::runtime()?.block_on(tasks.run_until(async move {
        let listener = bound.sockets.into_iter().next().context("a listener was asked for")?;
        let listener = TcpListener::from_std(listener)?;
        terminal::print_line(&format!("{} listens on http://{}", character.name, character.address))?;
        let mut signals = Signals::new()?;
        tokio::select! {
            failed = accept(&listener, &character) => failed?,
            () = signals.end_or_hangup() => {}
        }
        Ok(ExitCode::SUCCESS)
    }))
}

async fn accept(listener: &TcpListener, character: &Rc<Character>) -> io::Result<()> {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                // Answers are small and whole: nothing is gained by waiting for more.
                let _ = socket.set_nodelay(true);
                tokio::task::spawn_local(connection::serve(socket, character.clone()));
            }
            Err(e) if net::is_out_of_descriptors(&e) => tokio::time::sleep(PAUSE).await,
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => return Err(e),
            // The connection broke before it was accepted.
            Err(_) => {}
        }
    }
}

/// The other end of standard input is held by whoever started us; the kernel closes it when that process is gone, however it went.
fn end_with_stdin() {
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    std::process::exit(0);
}
