//! Decisions. Pure: state, input, clock and dice come in as arguments, a choice goes out.

pub mod balance;
pub mod health;
pub mod retry;
pub mod route;
