//! What the tests share: a process under test on ports of the kernel's choice, scripted backends, and waiting with a deadline.

#![allow(dead_code, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use control::{BackendStatus, Control, Options, PoolStatus, Source, StartError};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Generous: a busy machine is no fault.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Takes connections and never answers.
pub(crate) const SILENT: u16 = 0;

/// The process under test with its file.
pub(crate) struct Stage {
    pub(crate) control: Control,
    pub(crate) folder: TempDir,
}

impl Stage {
    /// Starts with this configuration; `{admin}` stands for an admin listener.
    pub(crate) async fn start(text: &str) -> Self {
        Self::try_start(text, false).await.unwrap()
    }

    pub(crate) async fn try_start(text: &str, watch: bool) -> Result<Self, StartError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("evenkeel.toml");
        std::fs::write(&file, complete(text)).unwrap();
        let runtime_dir = folder.path().join("run");
        let control = Control::start(Options { source: Source::File(file), watch, version: "1.2.3", runtime_dir }).await?;
        Ok(Self { control, folder })
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("evenkeel.toml")
    }

    pub(crate) fn write(&self, text: &str) {
        std::fs::write(self.file(), complete(text)).unwrap();
    }

    /// The address that clients use.
    pub(crate) fn front(&self) -> SocketAddr {
        self.control.listening()[0].1
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.control.admin_address().unwrap()
    }

    pub(crate) fn token(&self) -> String {
        control::client::token(&self.folder.path().join("run"), self.admin().port()).unwrap()
    }

    pub(crate) fn pool(&self) -> PoolStatus {
        self.control.status().pools.remove(0)
    }

    pub(crate) fn backend(&self, at: usize) -> BackendStatus {
        self.pool().backends.remove(at)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        ask(self.front(), "GET", path, &[]).await
    }

    pub(crate) async fn ask_admin(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        ask(self.admin(), method, path, headers).await
    }
}

/// Adds what every configuration here has: an admin listener, and no access log.
fn complete(text: &str) -> String {
    let admin = if text.contains("[admin]") { "" } else { "\n[admin]\nlisten = \"127.0.0.1:0\"\n" };
    let log = if text.contains("[log]") { "" } else { "\n[log]\naccess = \"off\"\n" };
    format!("{text}{admin}{log}")
}

/// One listener, one route, one pool of these backends with `health` as its check.
pub(crate) fn one_pool(backends: &[SocketAddr], health: &str) -> String {
    let backends: Vec<String> = backends.iter().map(|address| format!("\"{address}\"")).collect();
    format!(
        "workers = 1\n[listener.web]\nlisten = \"127.0.0.1:0\"\n[[route]]\npool = \"web\"\n[pool.web]\nbackends = [{}]\nhealth = {health}\n",
        backends.join(", ")
    )
}

/// An answer as text.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// One request on a connection of its own. Status 0: no answer.
pub(crate) async fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let work = async {
        let mut socket = TcpStream::connect(address).await?;
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request.push_str(&format!("Host: {address}\r\n"));
        }
        headers.iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
        request.push_str("\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).await?;
        std::io::Result::Ok(bytes)
    };
    let bytes = tokio::time::timeout(DEADLINE, work).await.unwrap().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < DEADLINE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

/// A backend that does what it's told.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    script: Arc<Script>,
    serving: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Script {
    status: AtomicU16,
    requests: AtomicUsize,
    heads: Mutex<Vec<String>>,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Script { status: AtomicU16::new(200), ..Script::default() });
        let serving = Some(tokio::spawn(serve(listener, script.clone())));
        Self { address, script, serving }
    }

    /// From now on every request gets this status; [`SILENT`] none at all.
    pub(crate) fn answer(&self, status: u16) {
        self.script.status.store(status, SeqCst);
    }

    /// How many requests came that are no probes.
    pub(crate) fn requests(&self) -> usize {
        self.script.requests.load(SeqCst)
    }

    /// The heads of all requests and probes.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.script.heads.lock().unwrap().clone()
    }

    /// Closes the listener and every connection.
    pub(crate) async fn kill(&mut self) {
        let serving = self.serving.take().unwrap();
        serving.abort();
        let _ = serving.await;
    }

    /// Listens again where it did.
    pub(crate) async fn restart(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serving = Some(tokio::spawn(serve(listener, self.script.clone())));
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

async fn serve(listener: TcpListener, script: Arc<Script>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((socket, _)) = listener.accept() => { connections.spawn(converse(socket, script.clone())); }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(mut socket: TcpStream, script: Arc<Script>) {
    let mut buf = Vec::new();
    loop {
        while !buf.windows(4).any(|end| end == b"\r\n\r\n") {
            if !matches!(socket.read_buf(&mut buf).await, Ok(n) if n > 0) {
                return;
            }
        }
        let head = String::from_utf8_lossy(&buf).into_owned();
        buf.clear();
        let is_probe = head.contains("evenkeel-health/");
        script.requests.fetch_add(usize::from(!is_probe), SeqCst);
        script.heads.lock().unwrap().push(head);
        let status = script.status.load(SeqCst);
        if status == SILENT {
            std::future::pending::<()>().await;
        }
        let answer = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: 2\r\n\r\nok");
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
