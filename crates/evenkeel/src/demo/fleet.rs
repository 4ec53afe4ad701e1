//! The backends of the demo: processes of this same binary, so that killing one is what killing one is.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How long a backend may take until it accepts.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one that died of itself, or was killed by the curious, stays dead.
const MOURNING: Duration = Duration::from_secs(3);

/// The backends; they are gone when it is dropped, or when this process is, however it ends.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) backends: Vec<Backend>,
}

/// One backend of the demo.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    /// How often `--chaos` killed it.
    pub(super) kills: u32,
    life: Life,
}

#[derive(Debug)]
enum Life {
    Running(Child),
    /// Since then, until someone starts it again.
    Dead(Instant),
}

impl Fleet {
    /// Starts them all and waits until they accept.
    pub(super) fn start(addresses: &[SocketAddr]) -> anyhow::Result<Self> {
        let mut fleet = Self { backends: Vec::new() };
        for (at, &address) in addresses.iter().enumerate() {
            let mut backend = Backend { name: format!("b{}", at + 1), address, kills: 0, life: Life::Dead(Instant::now()) };
            backend.start()?;
            fleet.backends.push(backend);
        }
        for backend in &mut fleet.backends {
            backend.wait_until_it_accepts()?;
        }
        Ok(fleet)
    }

    /// Finds those that died without our doing, starts those again that have been so for a while, and tells what it found and did.
    pub(super) fn look_after(&mut self) -> anyhow::Result<Vec<String>> {
        let mut news = Vec::new();
        for backend in &mut self.backends {
            match &mut backend.life {
                Life::Running(child) => {
                    if let Some(status) = child.try_wait()? {
                        news.push(format!("{} ended ({status}); it is started again in {} s", backend.name, MOURNING.as_secs()));
                        backend.life = Life::Dead(Instant::now());
                    }
                }
                Life::Dead(since) if since.elapsed() >= MOURNING => {
                    backend.start()?;
                    news.push(backend.started());
                }
                Life::Dead(_) => {}
            }
        }
        Ok(news)
    }
}

impl Backend {
    /// Starts it; it accepts soon, but not yet.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        let own = std::env::current_exe().context("can't find the evenkeel binary to start backends from")?;
        let child = Command::new(own)
            .args(["backend", "--exit-with-stdin", "--listen", &self.address.to_string(), "--name", &self.name])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C is for us: backends that died of it would fail the last requests of the load.
            .process_group(0)
            .spawn()
            .with_context(|| format!("can't start {}", self.name))?;
        self.life = Life::Running(child);
        Ok(())
    }

    /// Kills it as the kernel does when memory is out: no goodbye, connections reset.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        if let Life::Running(child) = &mut self.life {
            child.kill().and_then(|()| child.wait()).with_context(|| format!("can't kill {}", self.name))?;
            self.kills += 1;
            self.life = Life::Dead(Instant::now());
        }
        Ok(())
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.life, Life::Running(_))
    }

    /// The process id, while there is a process.
    pub(super) fn pid(&self) -> Option<u32> {
        match &self.life {
            Life::Running(child) => Some(child.id()),
            Life::Dead(_) => None,
        }
    }

    /// "b1 started, process 4711".
    pub(super) fn started(&self) -> String {
        format!("{} started again, process {}", self.name, self.pid().unwrap_or_default())
    }

    fn wait_until_it_accepts(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect_timeout(&self.address, Duration::from_millis(200)).is_err() {
            if let Life::Running(child) = &mut self.life
                && let Some(status) = child.try_wait()?
            {
                let mut said = String::new();
                if let Some(stderr) = &mut child.stderr {
                    stderr.read_to_string(&mut said)?;
                }
                bail!("{} ended with {status}: {}", self.name, said.trim_start_matches("error: ").trim_end());
            }
            if Instant::now() >= until {
                bail!("{} does not accept on {}", self.name, self.address);
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Life::Running(child) = &mut self.life {
            // Both fail only when it is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
