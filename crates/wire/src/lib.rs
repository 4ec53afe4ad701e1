//! Bytes to messages and back.
//!
//! Pure by contract: no socket, no clock, no task, no random number, no log. Everything here takes bytes and returns a
//! verdict, so that it can be fuzzed, split at every byte and reasoned about alone.
//!
//! - [`h1`]: HTTP/1.1 heads, bodies and their encoder, strict enough that no two parsers can disagree on where a message ends.
//! - [`websocket`]: the two facts of the opening handshake.

pub mod h1;
pub mod websocket;
