//! Who was with which backend, for clients that keep nothing themselves.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::{Nanos, nanos};

/// Entries looked at for one client; the stalest of them gives way to a new one.
const WAYS: usize = 4;
/// The time after which an entry is forgotten, in ticks.
const TICKS: u64 = 64;

/// A bounded table shared by all workers, without locks: an entry is one word of the client's key (32 bits), the backend (16) and when it
/// was last used (16). Two clients whose keys agree in all bits that are kept share a backend, which one in 2⁴⁰ pairs or fewer does.
#[derive(Debug)]
pub struct Table {
    entries: Box<[AtomicU64]>,
    tick: Nanos,
}

impl Table {
    /// For about so many clients, each forgotten once it has not come for `ttl`. 8 bytes a client, rounded up to a power of two.
    pub fn new(clients: usize, ttl: Duration) -> Self {
        let size = clients.max(WAYS).next_power_of_two();
        Self { entries: (0..size).map(|_| AtomicU64::new(0)).collect(), tick: (nanos(ttl) / TICKS).max(1) }
    }

    /// The short form in which backends are remembered; the caller knows which of its backends has it.
    pub fn short(backend: u64) -> u16 {
        // Never 0, which marks an empty entry.
        ((backend ^ backend >> 32) as u16) | 1
    }

    /// The backend of the client with this key, in short form. Cost: one cache line.
    pub fn find(&self, key: u64, now: Nanos) -> Option<u16> {
        let entries = self.set(key).iter().map(|entry| entry.load(Relaxed));
        entries.into_iter().find(|entry| is_of(*entry, key) && self.age(*entry, now) < TICKS).map(|entry| (entry >> 16) as u16)
    }

    /// Remembers the backend for this key, or that it was used again.
    pub fn put(&self, key: u64, backend: u64, now: Nanos) {
        let set = self.set(key);
        let entry = u64::from(key as u32) << 32 | u64::from(Self::short(backend)) << 16 | self.ticks(now);
        let stalest = |slot: &&AtomicU64| match slot.load(Relaxed) {
            own if is_of(own, key) => u64::MAX,
            0 => u64::MAX - 1,
            other => self.age(other, now),
        };
        if let Some(slot) = set.iter().max_by_key(stalest)
            && slot.load(Relaxed) != entry
        {
            // Two workers may write at once; one of the two clients is then remembered at its next request.
            slot.store(entry, Relaxed);
        }
    }

    /// How many entries are in use.
    pub fn len(&self, now: Nanos) -> usize {
        self.entries.iter().map(|entry| entry.load(Relaxed)).filter(|entry| *entry != 0 && self.age(*entry, now) < TICKS).count()
    }

    /// Whether nobody is remembered.
    pub fn is_empty(&self, now: Nanos) -> bool {
        self.len(now) == 0
    }

    fn set(&self, key: u64) -> &[AtomicU64] {
        // The lower half of the key is in the entry; the upper says where.
        let set = (key >> 32) as usize & (self.entries.len() / WAYS - 1);
        &self.entries[set * WAYS..(set + 1) * WAYS]
    }

    fn ticks(&self, now: Nanos) -> u64 {
        (now / self.tick) & 0xffff
    }

    /// In ticks, modulo 2¹⁶: an entry older than that may look young again once, and then only keeps a client where it was.
    fn age(&self, entry: u64, now: Nanos) -> u64 {
        self.ticks(now).wrapping_sub(entry & 0xffff) & 0xffff
    }
}

fn is_of(entry: u64, key: u64) -> bool {
    entry >> 32 == u64::from(key as u32) && entry != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Nanos = 60_000_000_000;
    const HOUR: Duration = Duration::from_secs(3600);

    fn key(i: u64) -> u64 {
        crate::balance::hash_key(&i.to_be_bytes())
    }

    #[test]
    fn a_client_is_found_again_until_it_has_not_come_for_the_time() {
        let table = Table::new(1024, HOUR);
        table.put(key(1), 77, 0);
        assert_eq!(table.find(key(1), 59 * MINUTE), Some(Table::short(77)));
        assert_eq!(table.find(key(2), 0), None);
        table.put(key(1), 77, 59 * MINUTE);
        assert_eq!(table.find(key(1), 118 * MINUTE), Some(Table::short(77)));
        assert_eq!(table.find(key(1), 120 * MINUTE), None);
    }

    #[test]
    fn a_client_that_moves_is_remembered_once() {
        let table = Table::new(1024, HOUR);
        table.put(key(1), 77, 0);
        table.put(key(1), 2_000, MINUTE);
        assert_eq!(table.find(key(1), MINUTE), Some(Table::short(2_000)));
        assert_eq!(table.len(MINUTE), 1);
    }

    #[test]
    fn under_a_flood_of_clients_the_stalest_go_and_memory_stays() {
        let table = Table::new(4096, HOUR);
        for i in 0..100_000 {
            // These come again and again while the others come once.
            if i % 10 == 0 {
                (0..100).for_each(|known| table.put(key(known), 77, i * MINUTE / 4000));
            }
            table.put(key(1_000_000 + i), 78, i * MINUTE / 4000);
        }
        let now = 25 * MINUTE;
        assert!(table.len(now) <= 4096);
        let kept = (0..100).filter(|known| table.find(key(*known), now) == Some(Table::short(77))).count();
        assert!(kept >= 90, "{kept} of 100 who kept coming are still known");
    }

    #[test]
    fn a_half_full_table_forgets_nearly_nobody() {
        let table = Table::new(65_536, HOUR);
        (0..16_384).for_each(|i| table.put(key(i), 77, 0));
        let kept = (0..16_384).filter(|i| table.find(key(*i), 0).is_some()).count();
        assert!(kept > 16_300, "{kept} of 16384");
    }
}
