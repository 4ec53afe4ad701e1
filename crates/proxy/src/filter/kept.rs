//! What the filters of one worker remember between requests. Nothing here is needed: a worker that forgets it asks again.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use net::Stream;
use policy::Nanos;

use super::jwt::Token;

/// Good credentials remembered by a worker, and verified tokens of one route.
const MOST: usize = 4096;
/// Routes with tokens that are remembered, those of earlier plans included.
const MOST_ROUTES: usize = 64;
/// Connections kept to one service.
const IDLE: usize = 32;
/// How long one is kept: under what most servers keep it themselves. Unit: nanoseconds.
const IDLE_FOR: Nanos = 10_000_000_000;

type Passwords = Cache<[u8; 32], (Nanos, Rc<[u8]>)>;
type Tokens = Cache<Box<[u8]>, Rc<Token>>;

/// What the filters of one worker remember.
pub(crate) struct Kept {
    /// Without it nobody can tell what a fingerprint is of.
    pub(super) secret: [u8; 32],
    /// Until when, and the line for the backend, by the fingerprint of credentials.
    pub(super) passwords: RefCell<Passwords>,
    /// Passwords that are checked now or wait for it.
    pub(super) checking: Arc<AtomicU32>,
    tokens: RefCell<HashMap<u64, Tokens>>,
    idle: RefCell<HashMap<SocketAddr, Vec<(Stream, Nanos)>>>,
}

impl Kept {
    pub(crate) fn new(rng: &mut fastrand::Rng) -> Self {
        let mut secret = [0; 32];
        rng.fill(&mut secret);
        Self {
            secret,
            passwords: RefCell::default(),
            checking: Arc::default(),
            tokens: RefCell::default(),
            idle: RefCell::default(),
        }
    }

    /// A token that was verified by the rules `of`.
    pub(super) fn token(&self, of: u64, token: &[u8]) -> Option<Rc<Token>> {
        self.tokens.borrow_mut().get_mut(&of)?.get(token)
    }

    pub(super) fn keep_token(&self, of: u64, token: &[u8], verified: Rc<Token>) {
        let mut all = self.tokens.borrow_mut();
        if all.len() >= MOST_ROUTES && !all.contains_key(&of) {
            all.clear();
        }
        all.entry(of).or_default().put(token.into(), verified);
    }

    /// A connection to a service on which nothing has happened since.
    pub(super) fn take(&self, address: SocketAddr, now: Nanos) -> Option<Stream> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(&address)?;
        while let Some((stream, since)) = kept.pop() {
            if now.saturating_sub(since) < IDLE_FOR && !stream.is_stale() {
                return Some(stream);
            }
        }
        None
    }

    pub(super) fn give(&self, address: SocketAddr, stream: Stream, now: Nanos) {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.entry(address).or_default();
        if kept.len() < IDLE {
            kept.push((stream, now));
        }
    }

    /// Closes what has been idle for too long.
    pub(crate) fn tidy(&self, now: Nanos) {
        self.idle.borrow_mut().retain(|_, kept| {
            kept.retain(|(stream, since)| now.saturating_sub(*since) < IDLE_FOR && !stream.has_news());
            !kept.is_empty()
        });
    }
}

/// A bounded map that forgets what has not been asked for lately: of two generations the older goes as a whole.
pub(super) struct Cache<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    pub(super) fn get<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.put(key, value.clone());
        Some(value)
    }

    pub(super) fn put(&mut self, key: K, value: V) {
        if self.young.len() >= MOST / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes_before_it_is_too_much() {
        let mut cache: Cache<usize, usize> = Cache::default();
        for n in 0..10 * MOST {
            cache.put(n, n);
            assert_eq!(cache.get(&0), Some(0));
            assert!(cache.young.len() + cache.old.len() <= MOST);
        }
        assert_eq!(cache.get(&1), None);
        assert_eq!(cache.get(&(10 * MOST - 1)), Some(10 * MOST - 1));
    }
}
