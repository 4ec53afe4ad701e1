//! The folder of one run, under `target/`: configurations, logs, the file the backends serve. Removed at the end.

use crate::Result;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// A folder for one run.
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub(crate) fn new() -> Result<Scratch> {
        let runs = project().join("target/bench");
        for old in fs::read_dir(&runs).into_iter().flatten().flatten() {
            // Left by a run that was killed: its process is gone.
            if !Path::new("/proc").join(old.file_name()).exists() {
                let _ = fs::remove_dir_all(old.path());
            }
        }
        let path = runs.join(std::process::id().to_string());
        fs::create_dir_all(&path)?;
        Ok(Scratch { path })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The root of the project.
pub(crate) fn project() -> PathBuf {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    bench.parent().unwrap_or(bench).to_owned()
}

/// `count` different ports that are free now. The kernel chooses; all are held until all are known.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>> {
    let held: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
