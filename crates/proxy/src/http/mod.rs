//! HTTP: connections, exchanges, heads, bodies.

mod attempt;
mod claim;
mod deliver;
pub(crate) mod exchange;
pub(crate) mod forward;
pub(crate) mod h1;
pub(crate) mod head;
pub(crate) mod look;
pub(crate) mod reply;
pub(crate) mod tunnel;
