//! A client stays with its backend: by a sealed cookie that it carries, or by a table that remembers it.

use std::io::Write;
use std::sync::Arc;

use config::model::{self, StickyCookie};
use policy::sticky::{Keys, Table};
use policy::{Key, Nanos};

use crate::board::{BackendState, Board, PoolState};
use crate::message::Asked;
use crate::plan::Backend;
use crate::stats::Stay;

/// How clients of a pool stay, compiled.
#[derive(Debug)]
pub(crate) struct Sticky {
    way: Way,
    /// Which backend has an identity, by index; sorted, so that a large pool costs no more than a small one.
    known: Box<[(u64, u16)]>,
}

#[derive(Debug)]
enum Way {
    Cookie(Cookie),
    Table { key: Key, table: Arc<Table> },
}

#[derive(Debug)]
struct Cookie {
    name: Box<[u8]>,
    keys: Keys,
    /// What a token is for: this pool and this cookie.
    scope: Box<[u8]>,
    /// What follows the value, all but `Secure`.
    attributes: Box<[u8]>,
    secure: Option<bool>,
}

/// Where a client was before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Session {
    /// By index into the pool.
    pub(crate) backend: Option<usize>,
    /// The cookie was sealed with a key that is about to go.
    is_old: bool,
    key: Option<u64>,
    asked_at: Nanos,
}

impl Session {
    /// What an answer by `backend` means for it.
    pub(crate) fn stay(&self, backend: usize) -> Stay {
        match self.backend {
            None => Stay::Begun,
            Some(before) if before == backend => Stay::Kept,
            Some(_) => Stay::Moved,
        }
    }
}

impl Sticky {
    /// Whether a table remembers the clients.
    pub(crate) fn is_table(&self) -> bool {
        matches!(self.way, Way::Table { .. })
    }

    pub(crate) fn compile(sticky: &model::Sticky, backends: &[Backend], state: &PoolState, board: &Board) -> Self {
        let way = match sticky {
            model::Sticky::Cookie(cookie) => Way::Cookie(Cookie::compile(cookie, &state.name, board)),
            model::Sticky::Table { key, sessions, ttl } => {
                Way::Table { key: key.clone(), table: state.sessions(key, *sessions, *ttl) }
            }
        };
        let id = |state: &BackendState| match way {
            Way::Cookie(_) => state.id,
            Way::Table { .. } => u64::from(Table::short(state.id)),
        };
        let mut known: Vec<_> = backends.iter().enumerate().map(|(i, backend)| (id(&backend.state), i as u16)).collect();
        known.sort_unstable();
        Self { way, known: known.into() }
    }

    /// Where the client that asks was before. Cost: 0.5 µs for a cookie, one cache line for the table.
    pub(crate) fn session(&self, asked: &Asked<'_>, route: &str, now: Nanos) -> Session {
        match &self.way {
            Way::Cookie(cookie) => {
                let opened = asked.cookie(&cookie.name).and_then(|token| cookie.keys.open(token, &cookie.scope));
                let backend = opened.and_then(|opened| self.index(opened.backend));
                Session { backend, is_old: opened.is_some_and(|opened| !opened.is_current), key: None, asked_at: now }
            }
            Way::Table { key, table } => {
                let key = asked.key_hash(key, route);
                let backend = key.and_then(|key| table.find(key, now)).and_then(|short| self.index(short.into()));
                Session { backend, is_old: false, key, asked_at: now }
            }
        }
    }

    fn index(&self, id: u64) -> Option<usize> {
        let at = self.known.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.known[at].1.into())
    }

    /// Notes that `backend` answered: a line for the answer's head where the client must be told.
    pub(crate) fn remember(
        &self,
        session: Session,
        at: usize,
        backend: &BackendState,
        asked: &Asked<'_>,
        rng: &mut fastrand::Rng,
        fields: &mut Vec<u8>,
    ) {
        match &self.way {
            Way::Cookie(_) if session.backend == Some(at) && !session.is_old => {}
            Way::Cookie(cookie) => cookie.write(backend.id, asked.scheme() == "https", rng, fields),
            Way::Table { table, .. } => {
                if let Some(key) = session.key {
                    table.put(key, backend.id, session.asked_at);
                }
            }
        }
    }
}

impl Cookie {
    fn compile(cookie: &StickyCookie, pool: &str, board: &Board) -> Self {
        let mut attributes = format!("; Path={}", cookie.path).into_bytes();
        let mut attribute = |text: std::fmt::Arguments<'_>| {
            // A Vec takes whatever is written to it.
            let _ = attributes.write_fmt(text);
        };
        if let Some(domain) = &cookie.domain {
            attribute(format_args!("; Domain={domain}"));
        }
        if let Some(ttl) = cookie.ttl {
            attribute(format_args!("; Max-Age={}", ttl.as_secs()));
        }
        if cookie.http_only {
            attribute(format_args!("; HttpOnly"));
        }
        attribute(format_args!("; SameSite={}", cookie.same_site));
        let keys = if cookie.keys.is_empty() {
            Keys::new(board.sticky_key())
        } else {
            Keys::new(cookie.keys.iter().map(|key| key.expose().as_bytes()))
        };
        Self {
            name: cookie.name.as_bytes().into(),
            keys,
            scope: format!("{pool} {}", cookie.name).into_bytes().into(),
            attributes: attributes.into(),
            secure: cookie.secure,
        }
    }

    fn write(&self, backend: u64, by_tls: bool, rng: &mut fastrand::Rng, fields: &mut Vec<u8>) {
        let mut nonce = [0; 12];
        rng.fill(&mut nonce);
        fields.extend_from_slice(b"Set-Cookie: ");
        fields.extend_from_slice(&self.name);
        fields.push(b'=');
        fields.extend_from_slice(&self.keys.seal(backend, &self.scope, nonce));
        fields.extend_from_slice(&self.attributes);
        if self.secure.unwrap_or(by_tls) {
            fields.extend_from_slice(b"; Secure");
        }
        fields.extend_from_slice(b"\r\n");
    }
}
