//! WebSockets through the proxy with the clients and servers people use: `websockets` of Python and `ws` of Node (safety rows B2, B3, B7).
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use testkit::Evenkeel;
use testkit::client::exchange;

const EVENKEEL: &str = env!("CARGO_BIN_EXE_evenkeel");

/// Where the WebSocket implementations are; `./test` installs them.
fn tool(variable: &str, otherwise: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let path = std::env::var_os(variable).map_or_else(|| root.join("target/test-tools").join(otherwise), PathBuf::from);
    assert!(path.exists(), "{} is missing: `./test` installs it, or set {variable}", path.display());
    path
}

/// A script of the folder `websocket`, by the interpreter of its extension.
fn script(name: &str) -> Command {
    let mut command = if Path::new(name).extension().is_some_and(|extension| extension == "py") {
        Command::new(tool("EVENKEEL_TEST_PYTHON", "python/bin/python"))
    } else {
        let mut node = Command::new("node");
        node.env("NODE_PATH", tool("EVENKEEL_TEST_NODE_PATH", "node/node_modules"));
        node
    };
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/websocket").join(name));
    command
}

/// An echo server; ends when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(name: &str) -> Self {
        let mut child = script(name).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port: u16 = line.trim().parse().unwrap_or_else(|_| panic!("{name} says {line:?} instead of a port"));
        Self { child, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn converse(server: &str, client: &str) {
    let server = Server::start(server);
    let evenkeel = Evenkeel::start(EVENKEEL, &format!("listen = \"LISTEN\"\nbackends = [\"{}\"]\n", server.address));
    let output = script(client).arg(format!("ws://{}/chat", evenkeel.address())).output().unwrap();
    let (said, fault) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.trim() == "passed", "{client} against {}: {said}{fault}", server.address);
    evenkeel.stop();
}

#[test]
fn python_speaks_to_python() {
    converse("server.py", "client.py");
}

#[test]
fn node_speaks_to_node() {
    converse("server.js", "client.js");
}

#[test]
fn python_speaks_to_node() {
    converse("server.js", "client.py");
}

#[test]
fn node_speaks_to_python() {
    converse("server.py", "client.js");
}

#[test]
fn a_handshake_of_an_unknown_version_is_told_the_right_one() {
    let server = Server::start("server.py");
    let evenkeel = Evenkeel::start(EVENKEEL, &format!("listen = \"LISTEN\"\nbackends = [\"{}\"]\n", server.address));
    let answer = exchange(
        evenkeel.address(),
        b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n",
    );
    assert_eq!((answer.status, answer.get("sec-websocket-version")), (426, Some("13")), "{answer:?}");
    evenkeel.stop();
}
