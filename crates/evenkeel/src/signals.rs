//! What the operator says to the process: reload, end, end now.

use std::future::poll_fn;
use std::io;
use std::process::ExitCode;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// SIGHUP: put the file in force.
    Reload,
    /// SIGTERM or SIGINT: end what runs, then exit. The name is for the log.
    End(&'static str),
}

/// The signals this process listens to, from here to its end; without it SIGHUP would end the process.
#[derive(Debug)]
pub(crate) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next signal; an end goes before a reload.
    pub(crate) async fn next(&mut self) -> Asked {
        poll_fn(|cx| {
            if self.terminate.poll_recv(cx).is_ready() {
                return Poll::Ready(Asked::End("SIGTERM"));
            }
            if self.interrupt.poll_recv(cx).is_ready() {
                return Poll::Ready(Asked::End("SIGINT"));
            }
            self.hangup.poll_recv(cx).map(|_| Asked::Reload)
        })
        .await
    }

    /// The next SIGTERM or SIGINT; reloads are left for later.
    pub(crate) async fn end(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// As [`Signals::end`], for verbs with nothing to reload: the terminal they run in is closed.
    pub(crate) async fn end_or_hangup(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }

    /// The next SIGINT: whoever presses Ctrl-C while we end has no patience left.
    pub(crate) async fn interrupt(&mut self) {
        self.interrupt.recv().await;
    }
}

/// The exit code of a process that a SIGINT ended: 128 and its number.
pub(crate) fn interrupted() -> ExitCode {
    ExitCode::from(130)
}
