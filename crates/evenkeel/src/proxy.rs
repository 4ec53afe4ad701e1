//! `evenkeel proxy`: the short form of the configuration as arguments.

use std::process::ExitCode;

use config::model::Check;
use control::Source;
use policy::Key;
use policy::balance::{Balance, Hash, HashMethod};

use crate::cli::{BalanceWord, Proxy};
use crate::run;

pub(crate) fn proxy(args: &Proxy) -> anyhow::Result<ExitCode> {
    let mut config = config::short(&args.listen, &args.backends)?;
    for pool in &mut config.pools {
        pool.balance = args.balance.into();
        if let Some(path) = &args.health_path {
            pool.health.check = Check::Http { path: path.clone(), host: None, status: vec![200..=399] };
        }
    }
    let level = config.log.level;
    run::serve(Source::Given(config), level, false)
}

impl From<BalanceWord> for Balance {
    fn from(word: BalanceWord) -> Self {
        match word {
            BalanceWord::RoundRobin => Self::RoundRobin,
            BalanceWord::LeastConnections => Self::LeastConnections,
            BalanceWord::LeastResponseTime => Self::LeastResponseTime,
            BalanceWord::Random => Self::Random,
            BalanceWord::IpHash => Self::Hash(Hash { key: Key::ClientIp, method: HashMethod::Maglev, bounded: None }),
        }
    }
}
