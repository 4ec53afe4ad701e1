//! The command line: what each verb takes, its help, and the way from it to the code that does it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::terminal;
use crate::{backend, check, demo, explain, operate, proxy, reload, run, status, switch};

/// What every verb says when it is told no file.
pub(crate) const DEFAULT_FILE: &str = "evenkeel.toml";

#[derive(Debug, Parser)]
#[command(
    name = "evenkeel",
    version,
    about = "A load balancer and reverse proxy that loses nothing",
    disable_help_subcommand = true,
    after_help = "Start here:
  evenkeel demo                                  something to try with curl
  evenkeel proxy :8000 10.0.0.1:80 10.0.0.2:80   balance without a file
  evenkeel check evenkeel.toml                   every fault and its place
  evenkeel run                                   serve what evenkeel.toml says

`evenkeel VERB --help` shows an example of each.
Exit codes: 0 done, 2 wrong arguments or configuration, 1 anything else."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve what a configuration file says, until told to stop
    Run(Run),
    /// Check a configuration file and show everything wrong with it
    Check(Check),
    /// Show what would become of a request, and why
    Explain(Explain),
    /// Print the JSON schema of the configuration, for editors
    Schema(Schema),
    /// Balance over some backends without a file
    Proxy(Proxy),
    /// Run a sample backend that says who it is and what it was sent
    Backend(Backend),
    /// Put the changed configuration file in force without losing a request
    Reload(Reload),
    /// Show how the pools and backends of a running Evenkeel do
    Status(Status),
    /// Take a backend out of rotation for new requests, or back in
    Drain(Drain),
    /// Give a backend another weight while it runs
    Weight(Weight),
    /// Send a route's requests to another pool
    Switch(Switch),
    /// Start three sample backends and Evenkeel in front of them
    Demo(Demo),
}

#[derive(Debug, Args)]
#[command(after_help = "Example: two lines are a whole configuration.
  $ cat evenkeel.toml
  listen   = \"0.0.0.0:8000\"
  backends = [\"10.0.0.1:8080\", \"10.0.0.2:8080\"]

  $ evenkeel run -c evenkeel.toml

Signals: SIGHUP reloads the file. SIGTERM and SIGINT let what runs end, then
exit with 0; a second SIGINT exits at once. EVENKEEL_LOG=debug (error, warn,
info, trace) overrides `log.level` of the file.")]
pub(crate) struct Run {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub(crate) config: PathBuf,
    /// Reload whenever the file changes
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  $ evenkeel check evenkeel.toml
  evenkeel.toml is valid: 2 listeners, 3 routes, 2 pools, 5 backends

Exits with 0 if it is valid, with 2 if not; warnings leave it valid.
Nothing is started or changed.")]
pub(crate) struct Check {
    /// The configuration file
    #[arg(value_name = "FILE", default_value = DEFAULT_FILE)]
    pub(crate) file: PathBuf,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  $ evenkeel explain GET https://shop.example.com/api/items
  $ evenkeel explain --live GET http://shop.example.com/ -H 'X-Tier: gold' --from 203.0.113.9

Nothing is sent. Shown are the listener, whose request it is, every route and
why it takes it or not, what its filters would do, what goes upstream, the
backends in the order in which they would be tried, and the timeouts.
Without --live or --admin it is the file alone: every backend counts as up.")]
pub(crate) struct Explain {
    /// The method
    #[arg(value_name = "METHOD")]
    pub(crate) method: String,
    /// Where to: http://HOST/PATH or https://HOST/PATH
    #[arg(value_name = "URL", value_parser = url)]
    pub(crate) url: String,
    /// A field of the request; may be given several times
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) header: Vec<(String, String)>,
    /// Where the connection comes from
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub(crate) from: IpAddr,
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub(crate) config: PathBuf,
    /// Ask the running process that the file's admin table names
    #[arg(long)]
    pub(crate) live: bool,
    /// Ask the process with this admin listener, whatever the file
    #[arg(long, value_name = "ADDR", value_parser = listen, conflicts_with = "config")]
    pub(crate) admin: Option<SocketAddr>,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: completion and checks while you type, in editors that know TOML schemas.
  $ evenkeel schema > evenkeel.schema.json
  $ head -1 evenkeel.toml
  #:schema ./evenkeel.schema.json")]
pub(crate) struct Schema {}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  $ evenkeel proxy :8000 10.0.0.1:8080 10.0.0.2:8080 --health-path /health

LISTEN is ADDRESS:PORT; \":8000\" means every address of this machine.
A backend is ADDRESS:PORT or NAME:PORT.")]
pub(crate) struct Proxy {
    /// Where clients connect
    #[arg(value_name = "LISTEN")]
    pub(crate) listen: String,
    /// The backends to spread them over
    #[arg(value_name = "BACKEND", required = true)]
    pub(crate) backends: Vec<String>,
    /// How requests are spread
    #[arg(long, value_enum, default_value_t = BalanceWord::RoundRobin)]
    pub(crate) balance: BalanceWord,
    /// Probe backends with GET of this path instead of a bare TCP connection
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub(crate) health_path: Option<String>,
}

/// The words `balance =` takes in the file, but for those with parameters.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum BalanceWord {
    /// One after the other
    RoundRobin,
    /// The one with the fewest requests in flight
    LeastConnections,
    /// The one that answers soonest
    LeastResponseTime,
    /// The better of two drawn at random
    Random,
    /// Always the same one for the same client address
    IpHash,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: one of two backends is slow and fails now and then.
  $ evenkeel backend --listen 8001 --name good &
  $ evenkeel backend --listen 8002 --name bad --delay 50ms --fail 10% &
  $ evenkeel proxy :8000 127.0.0.1:8001 127.0.0.1:8002 --health-path /health

Every request is answered with JSON: the backend's name and port, and the
method, path, headers and body that came. /health answers with \"status\",
\"cpu_usage\", \"memory_usage\" and \"name\"; it is never late and never fails.")]
pub(crate) struct Backend {
    /// Where it listens: ADDRESS:PORT, :PORT for every IPv4 address, or PORT for 127.0.0.1
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8001", value_parser = listen)]
    pub(crate) listen: SocketAddr,
    /// What it calls itself [default: backend-PORT]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Wait so long before each answer
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = config::duration)]
    pub(crate) delay: Duration,
    /// Answer this share of requests with 500
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = config::percent)]
    pub(crate) fail: f64,
    /// The CPU usage told by /health, in percent, instead of this machine's
    #[arg(long, value_name = "N")]
    pub(crate) cpu_usage: Option<f64>,
    /// The memory usage told by /health, in percent, instead of this machine's
    #[arg(long, value_name = "N")]
    pub(crate) memory_usage: Option<f64>,
    /// End when standard input does, so as not to outlive the process at its other end
    #[arg(long, hide = true)]
    pub(crate) exit_with_stdin: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  $ evenkeel reload -c evenkeel.toml
  evenkeel.toml is in force after 0.4 ms: 2 listeners, 3 routes, 2 pools, 5 backends

The file is checked first; if it has faults they are shown, and nothing is
changed (exit code 2). Needs an [admin] table in the file. Without one,
`kill -HUP PID` does the same, and the log of the process says how it went.")]
pub(crate) struct Reload {
    /// The configuration file that the running Evenkeel was started with
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  $ evenkeel status -c evenkeel.toml
  $ evenkeel status --admin 127.0.0.1:9900 --watch

Needs an [admin] table in the configuration. --json prints what GET /status
of the admin listener answers.")]
pub(crate) struct Status {
    /// The configuration file, whose admin table says where to ask
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_FILE, conflicts_with = "admin")]
    pub(crate) config: PathBuf,
    /// Ask this admin listener instead
    #[arg(long, value_name = "ADDR", value_parser = listen)]
    pub(crate) admin: Option<SocketAddr>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// Show it anew every second, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: empty a backend, work on it, put it back.
  $ evenkeel drain api/10.0.2.11:8080 --wait
  api/10.0.2.11:8080 is drained: nothing in flight
  $ evenkeel drain api/10.0.2.11:8080 --off

What runs there ends undisturbed. It holds until --off, also over reloads.
Exits with 1 if --wait ran out while something was still in flight.
Needs an [admin] table in the configuration.")]
pub(crate) struct Drain {
    /// The backend: its pool and its address or name
    #[arg(value_name = "POOL/ADDR")]
    pub(crate) backend: String,
    /// Wait until nothing is in flight there [default: 5m where no time is given]
    #[arg(long, value_name = "TIME", value_parser = config::duration, num_args = 0..=1, require_equals = true, default_missing_value = "5m")]
    pub(crate) wait: Option<Duration>,
    /// Put it back into rotation
    #[arg(long, conflicts_with = "wait")]
    pub(crate) off: bool,
    /// The configuration file, whose admin table says where to ask
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_FILE, conflicts_with = "admin")]
    pub(crate) config: PathBuf,
    /// Ask this admin listener instead
    #[arg(long, value_name = "ADDR", value_parser = listen)]
    pub(crate) admin: Option<SocketAddr>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: a twentieth of the load for a backend to be tried.
  $ evenkeel weight api/10.0.2.11:8080 5
  api/10.0.2.11:8080 has weight 5
  $ evenkeel weight api/10.0.2.11:8080 default

It holds until it is changed again, also over reloads; `default` takes the
weight of the file again. Needs an [admin] table in the configuration.")]
pub(crate) struct Weight {
    /// The backend: its pool and its address or name
    #[arg(value_name = "POOL/ADDR")]
    pub(crate) backend: String,
    /// 1 to 1000, or `default`
    #[arg(value_name = "N", value_parser = weight)]
    pub(crate) weight: String,
    /// The configuration file, whose admin table says where to ask
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_FILE, conflicts_with = "admin")]
    pub(crate) config: PathBuf,
    /// Ask this admin listener instead
    #[arg(long, value_name = "ADDR", value_parser = listen)]
    pub(crate) admin: Option<SocketAddr>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  $ evenkeel demo                          try it with curl, end with Ctrl-C
  $ evenkeel demo --chaos --duration 20s   kill backends under 500 requests/s

Exits with 1 if a request of --chaos failed. Listens on 127.0.0.1 only.")]
pub(crate) struct Demo {
    /// Kill and restart backends under a steady load, and count what clients notice
    #[arg(long)]
    pub(crate) chaos: bool,
    /// End after so long [default: at Ctrl-C]
    #[arg(long, value_name = "TIME", value_parser = config::duration)]
    pub(crate) duration: Option<Duration>,
    /// Where Evenkeel listens: a port of 127.0.0.1, or ADDRESS:PORT
    #[arg(long, value_name = "PORT", default_value = "8000", value_parser = listen)]
    pub(crate) listen: SocketAddr,
    /// Where the backends listen, by commas
    #[arg(long, value_name = "PORTS", default_value = "8001,8002,8003", value_delimiter = ',', value_parser = listen)]
    pub(crate) backends: Vec<SocketAddr>,
    /// Where the admin listener is
    #[arg(long, value_name = "PORT", default_value = "9900", value_parser = listen)]
    pub(crate) admin: SocketAddr,
    /// Requests a second that --chaos sends
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) rate: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: blue/green.
  $ evenkeel switch shop green --wait-healthy
  route shop goes to pool green

  $ evenkeel switch shop --back
  route shop goes by the file again

From the next request on; what runs ends where it is. It holds over reloads,
until the file changes what the route matches or where it ends. With
--wait-healthy nothing is switched unless every backend of the pool is up.
Needs an [admin] table in the file.")]
pub(crate) struct Switch {
    /// The route's name
    #[arg(value_name = "ROUTE")]
    pub(crate) route: String,
    /// The pool that takes everything
    #[arg(value_name = "POOL", required_unless_present = "back")]
    pub(crate) pool: Option<String>,
    /// Go by the file again
    #[arg(long, conflicts_with = "pool")]
    pub(crate) back: bool,
    /// Switch only once every backend of the pool is up
    #[arg(long)]
    pub(crate) wait_healthy: bool,
    /// How long to wait for that
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = config::duration)]
    pub(crate) timeout: Duration,
    /// The configuration file of the running Evenkeel
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub(crate) config: PathBuf,
}

/// Does what the arguments say; what goes wrong is told on standard error.
pub(crate) fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Run(args) => run::run(&args),
        Verb::Check(args) => check::check(&args),
        Verb::Explain(args) => explain::explain(&args),
        Verb::Schema(Schema {}) => terminal::print(&config::schema()).map(|()| ExitCode::SUCCESS),
        Verb::Proxy(args) => proxy::proxy(&args),
        Verb::Backend(args) => backend::run(&args),
        Verb::Reload(args) => reload::reload(&args),
        Verb::Status(args) => status::status(&args),
        Verb::Drain(args) => operate::drain(&args),
        Verb::Weight(args) => operate::weight(&args),
        Verb::Switch(args) => switch::switch(&args),
        Verb::Demo(args) => demo::demo(&args),
    };
    done.unwrap_or_else(|error| {
        if let Some(report) = error.downcast_ref::<config::Report>() {
            terminal::report(report);
            return terminal::bad_configuration();
        }
        terminal::error(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

/// `8001`, `:8001` or `127.0.0.1:8001`.
fn listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    // Not asked of a resolver: an answer that was not loopback would surprise.
    let every = text.strip_prefix(':').map(|port| format!("0.0.0.0:{port}"));
    let every = every.or_else(|| text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}")));
    every
        .as_deref()
        .unwrap_or(text)
        .parse()
        .map_err(|_| "write a port such as 8001, or an address and a port such as 127.0.0.1:8001".to_owned())
}

fn weight(text: &str) -> Result<String, String> {
    let is_good = text == "default" || text.parse().is_ok_and(|n: u16| (1..=1000).contains(&n));
    if is_good { Ok(text.to_owned()) } else { Err("a weight is 1 to 1000, or `default`; to send nothing, drain it".to_owned()) }
}

/// `Name: value`, as curl takes it.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write a name, a colon and a value, as in 'X-Tier: gold'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn url(text: &str) -> Result<String, String> {
    config::url(text).map(|_| text.to_owned())
}

fn path(text: &str) -> Result<String, String> {
    let good = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    if good { Ok(text.to_owned()) } else { Err("a path begins with / and has no spaces".to_owned()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_teaches_with_an_example() {
        for verb in Cli::command().get_subcommands() {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example") && help.contains("$ "), "{}", verb.get_name());
        }
    }

    #[test]
    fn a_bare_port_or_localhost_is_loopback_and_a_colon_is_every_address() {
        assert_eq!(listen("8001").unwrap(), "127.0.0.1:8001".parse().unwrap());
        assert_eq!(listen(":8001").unwrap(), "0.0.0.0:8001".parse().unwrap());
        assert_eq!(listen("localhost:8001").unwrap(), "127.0.0.1:8001".parse().unwrap());
        assert_eq!(listen("[::1]:8001").unwrap(), "[::1]:8001".parse().unwrap());
        assert!(listen("localhost").unwrap_err().contains("127.0.0.1:8001"));
    }
}
