//! The proxy under test, as a process of its own.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// A port of 127.0.0.1 that was free a moment ago.
///
/// Chosen by the kernel (`:0`) and given back, so it holds nothing: another program may take it before the caller does. There is no way
/// around that without the proxy reporting the port it got. What can be done is done: no port is handed out twice by one process.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port from the kernel").port();
        if GIVEN.lock().expect("no panic while held").insert(port) {
            return port;
        }
    }
}

/// The binary under test: `built` (what cargo built for the test), or what the environment variable `EVENKEEL` names, such as a release build.
pub fn binary(built: &str) -> String {
    std::env::var("EVENKEEL").unwrap_or_else(|_| built.to_owned())
}

/// A running proxy: started from its binary with a configuration, killed on drop.
///
/// In the configuration the words `LISTEN` and `ADMIN` stand for an address of the kernel's choice; [`Evenkeel::address`] and
/// [`Evenkeel::admin`] tell which.
#[derive(Debug)]
pub struct Evenkeel {
    child: Child,
    dir: tempfile::TempDir,
    listen: SocketAddr,
    admin: SocketAddr,
}

impl Evenkeel {
    /// Starts `binary run -c FILE` and waits until it accepts.
    ///
    /// # Panics
    /// When it ends early or does not accept within ten seconds; the message holds what it wrote.
    pub fn start(binary: &str, config: &str) -> Self {
        Self::start_with(binary, config, &[])
    }

    /// As [`Evenkeel::start`], with further arguments after `run -c FILE`.
    pub fn start_with(binary: &str, config: &str, args: &[&str]) -> Self {
        Self::launch(Command::new(binary), config, args)
    }

    /// As [`Evenkeel::start`], under what the shell commands in `before` set: `ulimit -n 160`, `export NAME=value`, `exec 2>/dev/full`.
    pub fn start_after(before: &str, binary: &str, config: &str) -> Self {
        let mut shell = Command::new("sh");
        // The shell becomes the proxy, so that its process id is the proxy's.
        shell.args(["-c", &format!("{before}\nexec \"$@\""), "sh", binary]);
        Self::launch(shell, config, &[])
    }

    fn launch(mut command: Command, config: &str, args: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("evenkeel-test-").tempdir().expect("a temporary directory");
        let [listen, admin] = [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let file = |name: &str| File::create(dir.path().join(name)).expect("a file in the temporary directory");
        let (stdout, stderr) = (file("stdout"), file("stderr"));
        let path = dir.path().join("evenkeel.toml");
        write_config(&path, config, listen, admin);
        let child = command
            .args(["run", "-c"])
            .arg(&path)
            .args(args)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
        let mut evenkeel = Self { child, dir, listen, admin };
        evenkeel.wait_until_it_accepts(listen);
        evenkeel
    }

    /// Changes the soft limit of its open descriptors while it runs; the hard one stays, so that it can be raised again.
    ///
    /// # Panics
    /// When `prlimit` (util-linux) refuses.
    pub fn limit_descriptors(&self, most: usize) {
        let set = Command::new("prlimit").arg(format!("--pid={}", self.pid())).arg(format!("--nofile={most}:")).status();
        assert!(set.is_ok_and(|status| status.success()), "no limit of {most} descriptors for {}", self.pid());
    }

    /// What a counter or gauge without labels says in `/metrics`; the configuration has an admin listener at `ADMIN`.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn metric(&self, name: &str) -> f64 {
        let admin = self.admin();
        let answer = crate::client::exchange(admin, format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\n\r\n").as_bytes());
        let text = answer.text();
        let row = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        row.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{text}"))
    }

    fn wait_until_it_accepts(&mut self, address: SocketAddr) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            if let Some(status) = self.exited() {
                panic!("evenkeel ended at start with {status}\nstderr: {}\nstdout: {}", self.stderr(), self.stdout());
            }
            assert!(Instant::now() < deadline, "evenkeel does not accept on {address}\nstderr: {}", self.stderr());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Where it listens for clients (`LISTEN`).
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Where its admin listener would be (`ADMIN`), if the configuration has one.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.dir.path().join("evenkeel.toml")
    }

    /// Writes a new configuration and asks for it by SIGHUP; does not wait until it is in force.
    pub fn reload(&self, config: &str) {
        write_config(&self.config_path(), config, self.listen, self.admin);
        self.signal("HUP");
    }

    /// Sends a signal by name, such as `TERM` or `HUP`.
    pub fn signal(&self, name: &str) {
        // The shell's own `kill`: present wherever a shell is, and no unsafe call here.
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.pid())).status().expect("a shell");
        assert!(sent.success(), "no signal {name} to {}", self.pid());
    }

    /// CPU time spent so far by all its threads, user and system, from the scheduler's own account.
    pub fn cpu(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the process lives");
        let spent = |path: PathBuf| -> Option<u64> {
            fs::read_to_string(path.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
        };
        Duration::from_nanos(threads.filter_map(|entry| spent(entry.ok()?.path())).sum())
    }

    /// Resident memory in bytes.
    pub fn rss(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most resident memory it ever had, in bytes.
    pub fn peak_rss(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel tells it");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// How many file descriptors it holds.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the process lives").count()
    }

    /// What it wrote to standard output so far.
    pub fn stdout(&self) -> String {
        self.written("stdout")
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        self.written("stderr")
    }

    fn written(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.path().join(name)).unwrap_or_default()).into_owned()
    }

    /// Waits until standard output or standard error holds `needle`.
    ///
    /// # Panics
    /// When it has not come within five seconds.
    pub fn wait_for_log(&self, needle: &str) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while !self.stdout().contains(needle) && !self.stderr().contains(needle) {
            assert!(Instant::now() < deadline, "{needle:?} is not in the log:\n{}\n{}", self.stdout(), self.stderr());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its exit status, if it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Ends it by SIGTERM and returns what it wrote, (stdout, stderr).
    ///
    /// # Panics
    /// When it does not exit with 0 within ten seconds.
    pub fn stop(self) -> (String, String) {
        self.signal("TERM");
        self.stop_already_asked()
    }

    /// As [`Evenkeel::stop`], when the signal was sent before.
    ///
    /// # Panics
    /// When it does not exit with 0 within ten seconds.
    pub fn stop_already_asked(mut self) -> (String, String) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let status = loop {
            if let Some(status) = self.exited() {
                break status;
            }
            assert!(Instant::now() < deadline, "evenkeel still runs 10 s after SIGTERM\nstderr: {}", self.stderr());
            thread::sleep(Duration::from_millis(5));
        };
        assert!(status.success(), "evenkeel exited with {status} after SIGTERM\nstderr: {}", self.stderr());
        (self.stdout(), self.stderr())
    }
}

fn write_config(path: &Path, config: &str, listen: SocketAddr, admin: SocketAddr) {
    let text = config.replace("LISTEN", &listen.to_string()).replace("ADMIN", &admin.to_string());
    // Written aside and moved: a reload must never see half a file.
    let aside = path.with_extension("new");
    fs::write(&aside, text).and_then(|()| fs::rename(&aside, path)).expect("the configuration can be written");
}

impl Drop for Evenkeel {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let stderr = self.stderr();
            let from = stderr.len().saturating_sub(4_000);
            #[allow(clippy::print_stderr, reason = "a failed test shows what the proxy had to say")]
            {
                eprintln!("--- stderr of evenkeel ---\n{}", stderr.get(from..).unwrap_or(&stderr));
            }
        }
    }
}
