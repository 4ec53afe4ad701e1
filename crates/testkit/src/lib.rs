//! What the end-to-end tests of Evenkeel are made of.
//!
//! The proxy is tested from outside, as the binary its users run: [`Evenkeel`] starts it, [`backend::Recording`] stands behind it and keeps
//! every byte it was sent, [`client::Connection`] stands before it and may say anything in any pieces, and [`cases`] runs files of such
//! conversations. Threads and blocking sockets only: the tests must not share a runtime, a parser or a bug with what they test.
//!
//! Development only; nothing here is part of the proxy. A failure panics, as a test helper's failure should.

pub mod backend;
pub mod cases;
pub mod client;
pub mod message;
mod process;
pub mod simulation;

pub use process::{Evenkeel, binary, free_port};

/// Bytes as text, one character a byte (Latin-1): loses nothing, so that it can be compared and printed.
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// Bytes as they should stand in the message of a failed test: escaped, and cut in the middle when they are many.
pub fn show(bytes: &[u8]) -> String {
    const MOST: usize = 1_200;
    if bytes.len() <= MOST {
        return bytes.escape_ascii().to_string();
    }
    let (first, last) = (&bytes[..MOST * 2 / 3], &bytes[bytes.len() - MOST / 3..]);
    format!("{} …({} bytes)… {}", first.escape_ascii(), bytes.len(), last.escape_ascii())
}

/// FNV-1a over a body: cheap, order-sensitive, and enough to see one byte lost, doubled or moved in 64 MiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checksum(pub u64);

impl Checksum {
    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The checksum of these bytes alone.
    pub fn of(bytes: &[u8]) -> Self {
        let mut sum = Self::default();
        sum.update(bytes);
        sum
    }
}

impl Default for Checksum {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

/// A body of any length that differs at every offset: the same bytes for the same offset, so two sides can make it apart.
pub fn body_bytes(offset: u64, out: &mut [u8]) {
    for (i, byte) in out.iter_mut().enumerate() {
        let at = offset + i as u64;
        *byte = (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
    }
}
