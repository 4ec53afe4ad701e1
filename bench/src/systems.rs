//! The balancers under measurement and how each is set up.

use crate::Result;
use crate::child::Child;
use crate::client;
use crate::machine::tool;
use crate::scratch::{Scratch, free_ports};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Something that takes requests and passes them to the backends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum System {
    /// Ours, by the path of its binary.
    Evenkeel(PathBuf),
    Nginx,
    Haproxy,
    /// The limit.
    Relay,
}

/// What a balancer is to be set up for.
pub(crate) struct Setup<'a> {
    pub(crate) backends: &'a [SocketAddr],
    /// Prefix routes `/r0/`, `/r1/`, ... next to the one for everything.
    pub(crate) routes: usize,
    pub(crate) workers: u32,
    pub(crate) cores: &'static str,
    /// Client connections it must hold.
    pub(crate) connections: usize,
}

/// A balancer that runs until dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) process: Child,
}

impl System {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            System::Evenkeel(_) => "evenkeel",
            System::Nginx => "nginx",
            System::Haproxy => "haproxy",
            System::Relay => "relay",
        }
    }

    /// Starts it with the given setup and waits until it answers through a backend.
    pub(crate) fn start(&self, setup: &Setup<'_>, label: &str, scratch: &Scratch) -> Result<Running> {
        let port = free_ports(1)?[0];
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let label = format!("{}-{label}", self.name());
        let (program, args) = match self {
            System::Relay => {
                let backends = setup.backends.iter().map(SocketAddr::to_string);
                (std::env::current_exe()?, ["relay".to_owned(), address.to_string()].into_iter().chain(backends).collect())
            }
            System::Evenkeel(binary) => {
                let file = write(include_str!("../configs/evenkeel.toml"), &label, port, &self.parts(setup), setup, scratch)?;
                (binary.clone(), vec!["run".to_owned(), "-c".to_owned(), file])
            }
            System::Nginx => {
                let file = write(include_str!("../configs/nginx.conf"), &label, port, &self.parts(setup), setup, scratch)?;
                (tool("nginx")?, vec!["-c".to_owned(), file])
            }
            System::Haproxy => {
                let parts = self.haproxy_parts(setup, &label, scratch)?;
                let file = write(include_str!("../configs/haproxy.cfg"), &label, port, &parts, setup, scratch)?;
                (tool("haproxy")?, vec!["-db".to_owned(), "-f".to_owned(), file])
            }
        };
        let log = scratch.file(&format!("{label}.log"));
        let mut process = Child::start(&label, setup.cores, &program, &args, &log)?;
        client::wait_ready(address, || process.check_alive())?;
        Ok(Running { address, process })
    }

    /// Routes and backends in the words of nginx or Evenkeel.
    fn parts(&self, setup: &Setup<'_>) -> Parts {
        let each = |line: &dyn Fn(usize) -> String| (0..setup.routes).map(line).collect::<String>();
        let list = |line: &dyn Fn(&SocketAddr) -> String| setup.backends.iter().map(line).collect::<String>();
        match self {
            System::Nginx => Parts {
                routes: each(&|i| format!("        location /r{i}/ {{ proxy_pass http://bench; }}\n")),
                backends: list(&|address| format!("        server {address};\n")),
            },
            _ => Parts {
                routes: each(&|i| format!("[[route]]\nmatch = {{ path = \"/r{i}/\" }}\npool  = \"bench\"\n\n")),
                backends: list(&|address| format!("  \"{address}\",\n")),
            },
        }
    }

    /// HAProxy looks many prefixes up in a map, as its manual advises.
    fn haproxy_parts(&self, setup: &Setup<'_>, label: &str, scratch: &Scratch) -> Result<Parts> {
        let backends = setup.backends.iter().enumerate().map(|(i, address)| format!("    server s{i} {address}\n"));
        let mut routes = String::new();
        if setup.routes > 0 {
            let map = scratch.file(&format!("{label}.map"));
            std::fs::write(&map, (0..setup.routes).map(|i| format!("/r{i}/ bench\n")).collect::<String>())?;
            routes = format!("    use_backend %[path,map_beg({},bench)]\n", map.display());
        }
        Ok(Parts { routes, backends: backends.collect() })
    }
}

struct Parts {
    routes: String,
    backends: String,
}

fn write(template: &str, label: &str, port: u16, parts: &Parts, setup: &Setup<'_>, scratch: &Scratch) -> Result<String> {
    // A worker of nginx started by root would become www-data, which may not reach our folder.
    let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
    let text = fill(
        template,
        &[
            ("dir", &scratch.path().display().to_string()),
            ("label", label),
            ("user", user),
            ("port", &port.to_string()),
            ("workers", &setup.workers.to_string()),
            ("connections", &(setup.connections + 5_000).to_string()),
            ("routes", &parts.routes),
            ("backends", &parts.backends),
        ],
    );
    let file = scratch.file(&format!("{label}{}", if label.starts_with("evenkeel") { ".toml" } else { ".conf" }));
    std::fs::write(&file, text)?;
    Ok(file.display().to_string())
}

/// Puts values in the place of `@name@`.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("@{name}@"), value))
}

/// Our binary: the one named, or the project's own, built first so that it is what the sources say.
pub(crate) fn evenkeel(named: Option<&Path>) -> Result<Option<PathBuf>> {
    match named {
        Some(path) if path.as_os_str() == "none" => Ok(None),
        Some(path) if path.is_file() => Ok(Some(path.canonicalize()?)),
        Some(path) => Err(format!("{} is no file", path.display()).into()),
        None => {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let project = crate::scratch::project();
            eprintln!("building evenkeel (cargo build --release -p evenkeel)");
            let built = std::process::Command::new(cargo)
                .args(["build", "--release", "--quiet", "-p", "evenkeel"])
                .current_dir(&project)
                .status()?;
            let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project.join("target"), PathBuf::from);
            let binary = target.join("release/evenkeel");
            if built.success() { Ok(Some(binary)) } else { Err("evenkeel does not build".into()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_placeholder_is_left_in_any_configuration() {
        let scratch = Scratch::new().expect("a folder");
        let backends = [SocketAddr::from(([127, 0, 0, 1], 1))];
        let setup = Setup { backends: &backends, routes: 2, workers: 1, cores: "0", connections: 64 };
        for (system, template) in [
            (System::Nginx, include_str!("../configs/nginx.conf")),
            (System::Evenkeel(PathBuf::new()), include_str!("../configs/evenkeel.toml")),
        ] {
            let file = write(template, system.name(), 8000, &system.parts(&setup), &setup, &scratch).expect("written");
            let text = std::fs::read_to_string(file).expect("just written");
            assert!(!text.contains('@'), "{text}");
            assert!(text.contains("/r1/") && text.contains("127.0.0.1:1"), "{text}");
        }
    }
}
