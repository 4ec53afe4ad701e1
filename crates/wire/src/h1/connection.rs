//! The `Connection` field: what the peer says about this hop, and which fields it takes out of the message (row D4).

use super::bytes::{is, trim};
use super::fields::{Field, Present};
use super::name::Name;

/// More options than this in all `Connection` lines are refused: each is compared with every field, and nobody needs more.
const MOST_OPTIONS: usize = 32;

/// What the options say.
#[derive(Clone, Copy, Default)]
pub(super) struct Options {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
}

/// What makes them unacceptable.
#[derive(Debug)]
pub(super) enum BadOptions {
    /// A field that decides where the message ends or goes is nominated.
    Nominated,
    TooMany,
}

/// Reads all `Connection` lines and marks the fields they nominate as hop-by-hop.
pub(super) fn options(buf: &[u8], fields: &mut [Field], present: Present) -> Result<Options, BadOptions> {
    let mut options = Options::default();
    if !present.has(Name::Connection) {
        return Ok(options);
    }
    let mut count = 0;
    for i in 0..fields.len() {
        if fields[i].known != Name::Connection {
            continue;
        }
        for option in fields[i].value.of(buf).split(|&b| b == b',').map(trim).filter(|o| !o.is_empty()) {
            count += 1;
            if count > MOST_OPTIONS {
                return Err(BadOptions::TooMany);
            }
            options.take(buf, fields, option)?;
        }
    }
    Ok(options)
}

impl Options {
    fn take(&mut self, buf: &[u8], fields: &mut [Field], option: &[u8]) -> Result<(), BadOptions> {
        if is(option, b"keep-alive") {
            self.keep_alive = true;
        } else if is(option, b"close") {
            self.close = true;
        } else if is(option, b"upgrade") {
            self.upgrade = true;
        } else {
            let is_vital = is(option, b"content-length") || is(option, b"transfer-encoding") || is(option, b"host");
            if is_vital {
                return Err(BadOptions::Nominated);
            }
            for field in fields.iter_mut().filter(|f| f.name.of(buf).eq_ignore_ascii_case(option)) {
                field.hop = true;
            }
        }
        Ok(())
    }
}
