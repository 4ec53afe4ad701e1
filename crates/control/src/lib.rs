//! The control plane: loads and reloads, checks health, resolves names, answers the operator. It never touches a request.
//!
//! It speaks to the data plane through [`proxy::Handle`] alone: publish, drain, read. Everything here runs on the caller's tokio
//! runtime, which may be single-threaded; the workers have threads of their own.

mod access_log;
mod admin;
pub mod client;
mod discovery;
mod error;
mod explain;
mod health;
mod jwks;
mod metrics;
mod reload;
mod run;
mod status;
mod switch;
mod task;
mod tests_in_file;
mod text;
mod watch;

pub use admin::{Operated, OperatedBackend};
pub use error::{ReloadError, StartError};
pub use explain::{Query, explain};
pub use reload::Reloaded;
pub use run::{Control, Options, Source};
pub use status::{
    AdminStatus, Answers, BackendStatus, ConfigStatus, Connections, IssuerStatus, Latency, LimitStatus, ListenerStatus, Phase,
    PoolStatus, ReloadFault, RouteStatus, Status, Totals,
};
pub use switch::Switch;
pub use tests_in_file::load;
