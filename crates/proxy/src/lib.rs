//! The data plane: bytes come in at the top of a worker and go out at its bottom, on one core, through one loop.
//!
//! Control sees [`Handle`] (publish, drain, read), [`Plan`] (what to do), [`Board`] (what is true now) and [`stats`] (what
//! happened), and nothing else.

mod accept;
mod board;
mod buffer;
mod error;
pub mod explain;
mod filter;
mod handle;
mod http;
mod log;
mod message;
mod plan;
#[cfg(test)]
mod stage;
pub mod stats;
mod store;
mod timer;
mod upstream;
mod worker;

pub use board::{BackendState, Board, Health, KeySet, LimitState, LimitTotals, PoolState};
pub use error::{Fault, Reason};
pub use handle::{CantListen, Handle, Options};
pub use log::Sink as AccessLog;
pub use net::{is_out_of_descriptors, raise_descriptor_limit};
pub use plan::{Backend, CantSwitch, Plan, Pool, Resolve, RouteShown};
