//! The line of exchanges that wait for a backend with room.
//!
//! Who goes next: the highest priority; within it each key in turn, so that one client that asks a lot waits behind itself and not before
//! the others; within a key the oldest. While the line is overloaded, which is while the oldest has stood for half of the time that it may,
//! the newest of a key goes first: of those that can't all be served in time it serves the ones that still can, where strict order would
//! have everybody wait for nearly all of the timeout.

mod drain;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use crate::{Nanos, nanos};
use drain::Drain;

/// How long the line may be, in both senses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Most that stand in it. Default: 1024.
    pub length: usize,
    /// How long one stands at most. Default: 5 s.
    pub timeout: Duration,
    /// Whether the newest goes first while the line is overloaded. Default: true.
    pub newest_first: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self { length: 1024, timeout: Duration::from_secs(5), newest_first: true }
    }
}

/// Whose exchange it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Those of one key share one turn.
    pub key: u64,
    /// A higher one goes first.
    pub priority: u8,
}

/// Finds one in the line again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    who: Who,
    number: u64,
}

/// What came of joining.
#[derive(Debug, PartialEq, Eq)]
pub enum Joined<T> {
    /// It stands in the line; where that was full, another had to leave for it.
    Stands(Ticket, Option<T>),
    /// The line is full of those that have no less right to it.
    Full(T),
}

/// The line. Every operation is of logarithmic cost in its length, but for what `accepts` refuses, and evicting.
#[derive(Debug)]
pub struct Queue<T> {
    terms: Terms,
    levels: BTreeMap<Reverse<u8>, Level<T>>,
    /// Since when each stands, in the order in which they joined.
    since: BTreeMap<u64, Nanos>,
    next: u64,
    drain: Drain,
}

/// Those of one priority.
#[derive(Debug)]
struct Level<T> {
    /// The keys, the one whose turn is next in front.
    turns: VecDeque<u64>,
    /// By key, never empty, in the order in which they joined.
    lanes: HashMap<u64, VecDeque<(u64, T)>>,
}

impl<T> Level<T> {
    /// Takes one out of a key's lane.
    fn take(&mut self, key: u64, at: usize) -> Option<(u64, T)> {
        let lane = self.lanes.get_mut(&key)?;
        let taken = lane.remove(at);
        if lane.is_empty() {
            self.lanes.remove(&key);
            self.turns.retain(|turn| *turn != key);
        }
        taken
    }
}

impl<T> Queue<T> {
    /// An empty line.
    pub fn new(terms: Terms) -> Self {
        Self { terms, levels: BTreeMap::new(), since: BTreeMap::new(), next: 0, drain: Drain::default() }
    }

    /// Goes by these terms from now on. Those that stand in a line that has become too long stay.
    pub fn set_terms(&mut self, terms: Terms) {
        self.terms = terms;
    }

    /// How many stand in it.
    pub fn len(&self) -> usize {
        self.since.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.since.is_empty()
    }

    /// Everybody, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.levels.values().flat_map(|level| level.lanes.values().flatten()).map(|(_, item)| item)
    }

    /// Stands at the end of its key's lane.
    pub fn join(&mut self, who: Who, now: Nanos, item: T) -> Joined<T> {
        let evicted = if self.len() < self.terms.length {
            None
        } else {
            match self.evict(who) {
                Some(evicted) => Some(evicted),
                None => return Joined::Full(item),
            }
        };
        let number = self.next;
        self.next += 1;
        self.since.insert(number, now);
        let level =
            self.levels.entry(Reverse(who.priority)).or_insert_with(|| Level { turns: VecDeque::new(), lanes: HashMap::new() });
        let lane = level.lanes.entry(who.key).or_default();
        if lane.is_empty() {
            level.turns.push_back(who.key);
        }
        lane.push_back((number, item));
        Joined::Stands(Ticket { who, number }, evicted)
    }

    /// Has one leave for a newcomer: of a lower priority, or of a key that has more in the line than the newcomer's would have. Where the
    /// newest goes first the oldest leaves, for it would not be served in time.
    fn evict(&mut self, newcomer: Who) -> Option<T> {
        let (Reverse(lowest), level) = self.levels.iter_mut().next_back()?;
        let lowest = *lowest;
        if lowest > newcomer.priority {
            return None;
        }
        let own = if lowest == newcomer.priority { level.lanes.get(&newcomer.key).map_or(0, VecDeque::len) } else { 0 };
        let (longest, most) = level.lanes.iter().map(|(key, lane)| (*key, lane.len())).max_by_key(|(key, len)| (*len, *key))?;
        let key = match () {
            () if lowest < newcomer.priority || most > own + 1 => longest,
            () if !self.terms.newest_first => return None,
            () if own > 0 => newcomer.key,
            () => longest,
        };
        let lane = level.lanes.get(&key)?;
        let at = if self.terms.newest_first { 0 } else { lane.len() - 1 };
        let (number, item) = level.take(key, at)?;
        if level.lanes.is_empty() {
            self.levels.remove(&Reverse(lowest));
        }
        self.since.remove(&number);
        Some(item)
    }

    /// Takes out the one that goes next of those that `accepts` what there is.
    pub fn pop(&mut self, now: Nanos, mut accepts: impl FnMut(&T) -> bool) -> Option<T> {
        let newest = self.terms.newest_first && self.is_overloaded(now);
        for (priority, level) in &mut self.levels {
            let found = level.turns.iter().enumerate().find_map(|(turn, key)| {
                let mut lane = level.lanes.get(key)?.iter();
                let mut accepted = |(_, item): &(u64, T)| accepts(item);
                let at = if newest { lane.rposition(&mut accepted) } else { lane.position(&mut accepted) };
                Some((turn, *key, at?))
            });
            let Some((turn, key, at)) = found else { continue };
            level.turns.remove(turn);
            level.turns.push_back(key);
            let (number, item) = level.take(key, at)?;
            let priority = *priority;
            if level.lanes.is_empty() {
                self.levels.remove(&priority);
            }
            self.since.remove(&number);
            self.drain.note(now);
            return Some(item);
        }
        None
    }

    /// Takes one out that gave up, or, where it `is_served`, found a place by itself. `None` if it stands there no longer.
    pub fn leave(&mut self, ticket: Ticket, now: Nanos, is_served: bool) -> Option<T> {
        let priority = Reverse(ticket.who.priority);
        let level = self.levels.get_mut(&priority)?;
        let lane = level.lanes.get(&ticket.who.key)?;
        let at = lane.binary_search_by_key(&ticket.number, |(number, _)| *number).ok()?;
        let (_, item) = level.take(ticket.who.key, at)?;
        if level.lanes.is_empty() {
            self.levels.remove(&priority);
        }
        self.since.remove(&ticket.number);
        if is_served {
            self.drain.note(now);
        }
        Some(item)
    }

    /// Whether the oldest has stood for half of the time that it may.
    pub fn is_overloaded(&self, now: Nanos) -> bool {
        let oldest = self.since.first_key_value().map_or(now, |(_, since)| *since);
        now.saturating_sub(oldest) > nanos(self.terms.timeout) / 2
    }

    /// When one that comes then would be served, at the pace of the last ones that were: for `Retry-After`. Unit: seconds, 1 to 60; where
    /// nobody was served lately, the timeout.
    pub fn retry_after(&self, now: Nanos) -> u32 {
        let wait = self.drain.time_for(self.len() + 1, now).unwrap_or(nanos(self.terms.timeout));
        u32::try_from(wait.div_ceil(1_000_000_000)).unwrap_or(60).clamp(1, 60)
    }
}

#[cfg(test)]
mod tests;
