//! One look-up: the hosts file first, then the servers of `/etc/resolv.conf`.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup as Records;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use super::hosts;

/// What the hosts file says is looked at again after this long.
const HOSTS_TTL: Duration = Duration::from_secs(10);
/// Longest time for one look-up, all servers and attempts included.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which servers there are.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Where names are looked up.
pub(crate) struct Lookup {
    hosts: PathBuf,
    servers: Servers,
}

/// Whom to ask what the hosts file does not know.
enum Servers {
    /// Always these.
    #[cfg(test)]
    Fixed(TokioResolver),
    /// Those of `/etc/resolv.conf`, read again when it has changed: a machine may come to its network late, or to another.
    System(Mutex<(Option<SystemTime>, Option<TokioResolver>)>),
}

/// What a name stands for, and for how long that holds.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ttl: Duration,
}

impl Lookup {
    /// As the system is set up. Without a usable `/etc/resolv.conf` only the hosts file and `localhost` answer.
    pub(crate) fn of_system() -> Self {
        Self { hosts: "/etc/hosts".into(), servers: Servers::System(Mutex::default()) }
    }

    /// With these settings and this hosts file.
    #[cfg(test)]
    pub(crate) fn new(hosts: PathBuf, config: ResolverConfig, options: ResolverOpts) -> Self {
        Self { hosts, servers: Servers::Fixed(build(config, options).expect("the settings are good")) }
    }

    /// All addresses of `name`: those of IPv4 if there is one, else those of IPv6. A host that has both is one backend, not two.
    ///
    /// # Errors
    /// Why there is no answer, for a person.
    pub(super) async fn look_up(&self, name: &str) -> Result<Answer, String> {
        let addresses = one_family(hosts::look_up(&self.hosts, name));
        if !addresses.is_empty() {
            return Ok(Answer { addresses, ttl: HOSTS_TTL });
        }
        let Some(servers) = self.servers.now() else {
            return Err("it is not in /etc/hosts, and /etc/resolv.conf names no server".to_owned());
        };
        match tokio::time::timeout(PATIENCE, ask(&servers, name)).await {
            Ok(Ok(answer)) if answer.addresses.is_empty() => Err("the name has no address".to_owned()),
            Ok(answer) => answer.map_err(|error| explain(&error)),
            Err(_) => Err("no DNS server answered in time".to_owned()),
        }
    }
}

impl Servers {
    fn now(&self) -> Option<TokioResolver> {
        let known = match self {
            #[cfg(test)]
            Self::Fixed(servers) => return Some(servers.clone()),
            Self::System(known) => known,
        };
        let changed = std::fs::metadata(RESOLV_CONF).and_then(|about| about.modified()).ok();
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.1.is_none() || known.0 != changed {
            let built = hickory_resolver::system_conf::read_system_conf().and_then(|(config, options)| build(config, options));
            let built = built.inspect_err(|error| tracing::debug!(%error, "no DNS servers are known")).ok();
            *known = (changed, built.or_else(|| known.1.take()));
        }
        known.1.clone()
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

fn build(config: ResolverConfig, mut options: ResolverOpts) -> Result<TokioResolver, NetError> {
    // The hosts file is read above; and who asks again wants a fresh answer.
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = 0;
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options).build()
}

/// IPv6 is asked for only if the name certainly has no address of IPv4: a failure must not swap one family for the other.
async fn ask(servers: &TokioResolver, name: &str) -> Result<Answer, NetError> {
    match servers.ipv4_lookup(name).await.map(|records| answer(&records)) {
        Ok(answer) if !answer.addresses.is_empty() => Ok(answer),
        Err(error) if !error.is_no_records_found() => Err(error),
        _ => servers.ipv6_lookup(name).await.map(|records| answer(&records)),
    }
}

fn answer(records: &Records) -> Answer {
    Answer {
        addresses: records.answers().iter().filter_map(|record| record.data.ip_addr()).collect(),
        ttl: records.valid_until().saturating_duration_since(Instant::now()),
    }
}

fn one_family(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let has_v4 = addresses.iter().any(IpAddr::is_ipv4);
    addresses.into_iter().filter(|address| address.is_ipv4() == has_v4).collect()
}

fn explain(error: &NetError) -> String {
    if error.is_nx_domain() {
        return "there is no such name".to_owned();
    }
    match error {
        error if error.is_no_records_found() => "the name has no address".to_owned(),
        NetError::Timeout => "no DNS server answered in time".to_owned(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_both_families_stands_for_its_addresses_of_ipv4() {
        let of = |texts: &[&str]| texts.iter().filter_map(|text| text.parse().ok()).collect::<Vec<IpAddr>>();
        assert_eq!(one_family(of(&["::1", "127.0.0.1"])), of(&["127.0.0.1"]));
        assert_eq!(one_family(of(&["::1", "::2"])), of(&["::1", "::2"]));
    }
}
