//! The binary under test: its verbs run to their end, or in the background until dropped.
#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testkit::client::{Response, exchange};

/// The binary.
pub(crate) const EVENKEEL: &str = env!("CARGO_BIN_EXE_evenkeel");
/// Longest wait for something that should come soon.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a verb ended and what it wrote.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the binary to its end, in a folder that holds the given file as `evenkeel.toml`.
pub(crate) fn evenkeel_in(folder: &Path, args: &[&str]) -> Ended {
    let output = Command::new(EVENKEEL).args(args).current_dir(folder).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs the binary to its end in an empty folder.
pub(crate) fn evenkeel(args: &[&str]) -> Ended {
    evenkeel_in(tempfile::tempdir().unwrap().path(), args)
}

/// A folder with this configuration in it, as `evenkeel.toml`.
pub(crate) fn folder_with(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("evenkeel.toml"), config).unwrap();
    folder
}

/// A verb in the background; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    folder: tempfile::TempDir,
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let (stdout, stderr) = (file("stdout"), file("stderr"));
        let command = Command::new(EVENKEEL).args(args).stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn();
        Self { child: command.unwrap(), folder }
    }

    /// A sample backend that accepts.
    pub(crate) fn backend(name: &str, address: SocketAddr, more: &[&str]) -> Self {
        let address_text = address.to_string();
        let backend = Self::start(&[&["backend", "--listen", &address_text, "--name", name], more].concat());
        backend.wait_until_it_accepts(address);
        backend
    }

    pub(crate) fn wait_until_it_accepts(&self, address: SocketAddr) {
        wait(&format!("{address} does not accept: {}", self.stderr()), || TcpStream::connect(address).is_ok());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as the kernel does when memory is out.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let mut status = None;
        wait("the verb still runs", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.folder.path().join("stdout")).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal by its name.
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status().unwrap();
    assert!(sent.success(), "no signal {name} to {pid}");
}

/// Asks an admin listener, which refuses a `Host` that is a name.
pub(crate) fn ask(admin: SocketAddr, path: &str) -> Response {
    exchange(admin, format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\n\r\n").as_bytes())
}

/// Waits until a condition holds.
///
/// # Panics
/// When it does not within ten seconds.
pub(crate) fn wait(otherwise: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "{otherwise}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// An address whose port the kernel gives to nobody's outgoing connection: what is killed there can come back there.
pub(crate) fn lasting_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes of other test files begin elsewhere.
    let begin = u16::try_from(std::process::id() % 1_000).unwrap() * 20;
    loop {
        let port = begin + NEXT.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::from(([127, 0, 0, 1], 12_000 + port % 20_000));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
