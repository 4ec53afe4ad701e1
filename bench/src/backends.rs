//! The servers behind the balancers: one nginx process that answers on every backend address.

use crate::Result;
use crate::child::Child;
use crate::client;
use crate::machine::tool;
use crate::scratch::{Scratch, free_ports};
use crate::systems::fill;
use std::net::{Ipv4Addr, SocketAddr};

const TEMPLATE: &str = include_str!("../configs/backend.conf");

/// Backends that run until dropped.
pub(crate) struct Backends {
    pub(crate) addresses: Vec<SocketAddr>,
    _process: Child,
}

impl Backends {
    /// Starts `count` backends on the given cores. Up to three stand on ports of 127.0.0.1; more share one port on
    /// addresses of their own (127.1.0.1, 127.1.0.2, ...), which needs no thousand free ports.
    pub(crate) fn start(count: usize, cores: &str, scratch: &Scratch) -> Result<Backends> {
        let addresses = addresses(count)?;
        let label = format!("backends-{count}");
        std::fs::write(scratch.file("1m"), vec![b'x'; 1 << 20])?;
        let listens: String = addresses.iter().map(|address| format!("        listen {address} backlog=4096;\n")).collect();
        let config = fill(
            TEMPLATE,
            &[
                ("dir", &scratch.path().display().to_string()),
                ("label", &label),
                ("connections", "30000"),
                ("listens", &listens),
                ("small", &"x".repeat(128)),
            ],
        );
        let file = scratch.file(&format!("{label}.conf"));
        std::fs::write(&file, config)?;
        let args = ["-c".to_owned(), file.display().to_string()];
        let log = scratch.file(&format!("{label}.log"));
        let mut process = Child::start("nginx (backends)", cores, &tool("nginx")?, &args, &log)?;
        client::wait_ready(addresses[0], || process.check_alive())?;
        Ok(Backends { addresses, _process: process })
    }

    /// Requests that all of them have taken so far, this question included.
    pub(crate) fn requests(&self) -> Result<u64> {
        let status = client::get(self.addresses[0], "/count")?;
        taken(&status).ok_or_else(|| format!("no request count in {status:?}").into())
    }
}

fn addresses(count: usize) -> Result<Vec<SocketAddr>> {
    if count <= 3 {
        return Ok(free_ports(count)?.into_iter().map(|port| (Ipv4Addr::LOCALHOST, port).into()).collect());
    }
    let port = free_ports(1)?[0];
    (1..=u16::try_from(count)?)
        .map(|i| {
            let [high, low] = i.to_be_bytes();
            Ok((Ipv4Addr::new(127, 1, high, low), port).into())
        })
        .collect()
}

/// The third number under "server accepts handled requests".
fn taken(status: &str) -> Option<u64> {
    let line = status.lines().skip_while(|line| !line.contains("handled requests")).nth(1)?;
    line.split_whitespace().nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_count_is_read_from_the_status_page() {
        let page = "HTTP/1.1 200 OK\r\n\r\nActive connections: 2 \nserver accepts handled requests\n 10 11 345 \nReading: 0";
        assert_eq!(taken(page), Some(345));
        assert_eq!(taken("nothing"), None);
    }

    #[test]
    fn a_thousand_backends_have_a_thousand_addresses() {
        let mut found = addresses(1000).expect("a free port");
        found.sort();
        found.dedup();
        assert_eq!(found.len(), 1000);
    }
}
