//! The backend's side: which one, over which connection.

pub(crate) mod idle;
pub(crate) mod pick;
pub(crate) mod queue;
pub(crate) mod sticky;
