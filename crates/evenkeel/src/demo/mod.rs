//! `evenkeel demo`: a whole set-up on one machine, to look at, to try, and with `--chaos` to see it lose nothing.

mod chaos;
mod fleet;
mod load;
mod show;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use config::model::{Config, Level};
use control::{Control, Source};

use crate::boot;
use crate::cli::Demo;
use crate::signals::{Signals, interrupted};
use crate::{run, terminal};
use chaos::{Chaos, Deed};
use fleet::Fleet;
use load::Load;
use show::Screen;

/// How often the fleet is looked after and the line of progress written.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) fn demo(args: &Demo) -> anyhow::Result<ExitCode> {
    if let Some((what, address, error)) = first_taken(args) {
        terminal::error(&format!("{address} can't be used for {}: {error}", what.role));
        terminal::hint(&format!("choose another port, as in `evenkeel demo {}`", what.instead));
        return Ok(ExitCode::FAILURE);
    }
    // What becomes of backends the screen tells by itself.
    boot::log(Level::Error);
    let config = configuration(args)?;
    boot::runtime()?.block_on(play(args, config))
}

async fn play(args: &Demo, config: Config) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let mut fleet = Fleet::start(&args.backends)?;
    let control = run::start(Source::Given(config), false).await?;
    terminal::print(&show::welcome(args, &fleet))?;

    let mut load = if args.chaos { Some(Load::start(args.listen, args.rate, args.duration)?) } else { None };
    let scene = act(args, &mut fleet, &control, load.as_ref());
    let played = tokio::select! {
        played = scene => played,
        () = signals.end_or_hangup() => Ok(()),
    };
    // The load goes first: a proxy that ends refuses connections, which is no failure of anything.
    let ending = async {
        let tally = match &mut load {
            Some(load) => Some(load.stop().await),
            None => None,
        };
        control.shutdown().await;
        tally
    };
    let tally = tokio::select! {
        tally = ending => tally,
        () = signals.interrupt() => return Ok(interrupted()),
    };
    Screen::new().end()?;
    played?;
    let Some(tally) = tally else { return Ok(ExitCode::SUCCESS) };
    terminal::print(&show::outcome(&tally, &fleet))?;
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Looks after the backends, and kills them if asked to, for as long as the demo lasts.
async fn act(args: &Demo, fleet: &mut Fleet, control: &Control, load: Option<&Load>) -> anyhow::Result<()> {
    let (screen, start) = (Screen::new(), Instant::now());
    let mut chaos = Chaos::new(fleet.backends.len());
    let mut health = Health::default();
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        let elapsed = start.elapsed();
        let is_over = match load {
            Some(load) => load.is_done(),
            None => args.duration.is_some_and(|duration| elapsed >= duration),
        };
        if is_over {
            return Ok(());
        }
        for news in fleet.look_after()?.into_iter().chain(health.changes(&control.status())) {
            screen.news(elapsed, &news)?;
        }
        if let Some(load) = load {
            while let Some(deed) = chaos.due(elapsed) {
                screen.news(elapsed, &commit(deed, fleet)?)?;
            }
            screen.progress(elapsed, &load.tally(), fleet)?;
        }
    }
}

/// What Evenkeel last thought of each backend.
#[derive(Debug, Default)]
struct Health(BTreeMap<String, String>);

impl Health {
    /// What it thinks anew, in words.
    fn changes(&mut self, status: &control::Status) -> Vec<String> {
        let backends = status.pools.iter().flat_map(|pool| &pool.backends);
        let changed = backends.filter_map(|backend| {
            let before = self.0.insert(backend.name.clone(), backend.health.clone())?;
            (before != backend.health).then(|| format!("{} is found {}: {}", backend.name, backend.health, backend.reason))
        });
        changed.collect()
    }
}

fn commit(deed: Deed, fleet: &mut Fleet) -> anyhow::Result<String> {
    let (Deed::Kill(at) | Deed::Restart(at)) = deed;
    let backend = fleet.backends.get_mut(at).context("chaos knows how many backends there are")?;
    match deed {
        Deed::Kill(_) => {
            let pid = backend.pid().unwrap_or_default();
            backend.kill()?;
            Ok(format!("{} killed (SIGKILL, process {pid})", backend.name))
        }
        Deed::Restart(_) => {
            if !backend.is_running() {
                backend.start()?;
            }
            Ok(backend.started())
        }
    }
}

/// Something of the demo that listens.
struct Part {
    role: String,
    instead: &'static str,
}

/// The first address that can't be listened on, and why.
fn first_taken(args: &Demo) -> Option<(Part, SocketAddr, std::io::Error)> {
    let evenkeel = (Part { role: "Evenkeel".to_owned(), instead: "--listen 9000" }, args.listen);
    let admin = (Part { role: "the admin listener".to_owned(), instead: "--admin 9901" }, args.admin);
    let backend = |(at, address): (usize, &SocketAddr)| {
        (Part { role: format!("backend b{}", at + 1), instead: "--backends 9001,9002,9003" }, *address)
    };
    let backends = args.backends.iter().enumerate().map(backend);
    [evenkeel, admin].into_iter().chain(backends).find_map(|(part, address)| {
        // Bound and given back at once.
        net::bind(address, 1).err().map(|error| (part, address, error))
    })
}

/// What one would write to a file for the same.
fn configuration(args: &Demo) -> anyhow::Result<Config> {
    let backends =
        args.backends.iter().enumerate().map(|(at, address)| format!("{{ address = \"{address}\", name = \"b{}\" }}", at + 1));
    let text = format!(
        r#"
[admin]
listen = "{admin}"

[log]
access = "{access}"
format = "text"

[listener.demo]
listen = "{listen}"

[[route]]
pool = "demo"

[pool.demo]
backends = [{backends}]

[pool.demo.health]
path     = "/health"
interval = "1s"
timeout  = "500ms"
# Here backends die all the time; elsewhere one that does is kept out longer and longer.
hold_down_max = "0s"
"#,
        admin = args.admin,
        listen = args.listen,
        access = if args.chaos { "off" } else { "stdout" },
        backends = backends.collect::<Vec<_>>().join(", "),
    );
    Ok(config::parse("demo", &text)?)
}
