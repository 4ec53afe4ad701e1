//! Sticky sessions: how a client comes back to the backend it was with.
//!
//! A [`Keys`] seals a backend's identity into a token that the client keeps and can neither read nor make. A [`Table`] remembers
//! the backend for clients that keep nothing: by a header of theirs, or by their address.

mod table;
mod token;

pub use table::Table;
pub use token::{Keys, Opened, TOKEN};
