//! One word a key, in memory that grows with use up to a bound, read and written by all workers without a lock.
//!
//! Four levels, each eight times the one before, made of segments of 64 KiB that are allocated when first needed. In each level a key has one
//! bucket of eight places, and it stands in the first level that had room for it. A place whose word means nothing any more is free for
//! another key; where all 32 places of a key are taken, the key with the smallest word goes.
//!
//! Key and word are two atomics. When a place changes hands in the same nanoseconds in which its old key comes back, one request may be
//! counted for the wrong one of the two; nothing is counted twice and nothing gets stuck.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

const WAYS: usize = 8;
const BUCKETS: usize = 512;
const LEVELS: [usize; 4] = [1, 8, 64, 512];
/// How often a place is looked for when other workers take it first.
const TRIES: usize = 8;

/// A cache line of keys and one of words.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Bucket {
    /// 0 where there is none.
    keys: [AtomicU64; WAYS],
    words: [AtomicU64; WAYS],
}

type Segment = OnceLock<Box<[Bucket]>>;

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    level: u8,
    way: u8,
    bucket: u16,
    segment: u16,
}

/// Words by key.
#[derive(Debug)]
pub(super) struct Table {
    levels: [Box<[Segment]>; LEVELS.len()],
    segments: AtomicUsize,
    evicted: AtomicU64,
}

impl Table {
    /// Most keys it holds. At half as many, one in ten thousand has to go early.
    #[cfg(test)]
    pub(super) const MOST: usize = (1 + 8 + 64 + 512) * BUCKETS * WAYS;

    pub(super) fn new() -> Self {
        Self {
            levels: LEVELS.map(|segments| (0..segments).map(|_| Segment::new()).collect()),
            segments: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// Memory taken. Unit: bytes.
    pub(super) fn bytes(&self) -> usize {
        self.segments.load(Relaxed) * BUCKETS * size_of::<Bucket>()
    }

    /// Keys that had to go while their word still meant something.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    /// The word of a key that is known.
    pub(super) fn find(&self, key: u64) -> Option<Place> {
        let key = key.max(1);
        for level in 0..LEVELS.len() {
            let (segment, bucket) = position(level, key);
            // A key's deeper segments were allocated after this one.
            let known = self.levels[level][segment].get()?;
            if let Some(way) = known[bucket].keys.iter().position(|known| known.load(SeqCst) == key) {
                return Some(Place { level: level as u8, way: way as u8, bucket: bucket as u16, segment: segment as u16 });
            }
        }
        None
    }

    /// The place of a key, a new one if it had none. `is_free` says which words mean nothing. `None` only where every place is taken by
    /// words that must stay (`may_evict` is false), or other workers were faster eight times in a row.
    pub(super) fn claim(&self, key: u64, is_free: impl Fn(u64) -> bool, may_evict: bool) -> Option<Place> {
        let key = key.max(1);
        for _ in 0..TRIES {
            if let Some(place) = self.find(key) {
                return Some(place);
            }
            let (place, is_evicted) = self.choose(key, &is_free, may_evict)?;
            let bucket = self.bucket(place);
            let (owner, word) = (&bucket.keys[usize::from(place.way)], &bucket.words[usize::from(place.way)]);
            let (before, left) = (owner.load(SeqCst), word.load(SeqCst));
            if is_evicted {
                if word.compare_exchange(left, 0, SeqCst, SeqCst).is_err() {
                    continue;
                }
                self.evicted.fetch_add(1, Relaxed);
            } else if before != 0 && !is_free(left) {
                continue;
            }
            if owner.compare_exchange(before, key, SeqCst, SeqCst).is_ok() {
                // Another worker may have put the same key elsewhere meanwhile: the first place in order is the one that is found.
                return match self.find(key) {
                    Some(first) if first != place => {
                        // Left where it is if somebody has counted there: it runs out by itself.
                        if is_free(word.load(SeqCst)) {
                            let _ = owner.compare_exchange(key, 0, SeqCst, SeqCst);
                        }
                        Some(first)
                    }
                    _ => Some(place),
                };
            }
        }
        None
    }

    /// The first free place, or the one another worker has just given the key, or that of the smallest word; whether somebody has to go for it.
    fn choose(&self, key: u64, is_free: &impl Fn(u64) -> bool, may_evict: bool) -> Option<(Place, bool)> {
        let mut smallest: Option<(u64, Place)> = None;
        for level in 0..LEVELS.len() {
            let (segment, bucket) = position(level, key);
            let words = &self.segment(level, segment)[bucket];
            for way in 0..WAYS {
                let place = Place { level: level as u8, way: way as u8, bucket: bucket as u16, segment: segment as u16 };
                let (owner, word) = (words.keys[way].load(SeqCst), words.words[way].load(SeqCst));
                if owner == 0 || owner == key || is_free(word) {
                    return Some((place, false));
                }
                if smallest.is_none_or(|(least, _)| word < least) {
                    smallest = Some((word, place));
                }
            }
        }
        smallest.filter(|_| may_evict).map(|(_, place)| (place, true))
    }

    pub(super) fn word(&self, place: Place) -> &AtomicU64 {
        &self.bucket(place).words[usize::from(place.way)]
    }

    fn bucket(&self, place: Place) -> &Bucket {
        &self.segment(usize::from(place.level), usize::from(place.segment))[usize::from(place.bucket)]
    }

    /// Allocates it where it is new: 64 KiB, some ten microseconds. Two workers that do so at once throw one away.
    fn segment(&self, level: usize, segment: usize) -> &[Bucket] {
        let cell = &self.levels[level][segment];
        if cell.get().is_none() && cell.set((0..BUCKETS).map(|_| Bucket::default()).collect()).is_ok() {
            self.segments.fetch_add(1, Relaxed);
        }
        cell.get().expect("a segment is set by whoever found it unset, and never taken away")
    }
}

/// Segment and bucket of a key in a level. The low bits choose the bucket, so that keys which share one in a small level part in the next.
fn position(level: usize, key: u64) -> (usize, usize) {
    let n = BUCKETS as u64;
    ((key / n) as usize % LEVELS[level], (key % n) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::hash_key;

    fn nth(i: u64) -> u64 {
        hash_key(&i.to_le_bytes())
    }

    /// Gives a key a word, all words below `least` meaning nothing.
    fn put(table: &Table, key: u64, word: u64, least: u64) -> Option<Place> {
        let place = table.claim(key, |word| word < least, true)?;
        table.word(place).store(word, Relaxed);
        Some(place)
    }

    #[test]
    fn a_few_keys_cost_one_segment_and_a_million_less_than_100_mb() {
        let table = Table::new();
        assert_eq!(table.bytes(), 0);
        for i in 0..1_000_000 {
            assert!(put(&table, nth(i), 1, 1).is_some());
            match i + 1 {
                100 => assert_eq!(table.bytes(), 64 << 10),
                10_000 => assert!(table.bytes() < 2 << 20, "{}", table.bytes()),
                _ => {}
            }
        }
        assert!(table.bytes() < 40 << 20, "{}", table.bytes());
        assert!(table.evicted() < 1_000, "{}", table.evicted());
        let known = (0..1_000_000).filter(|i| table.find(nth(*i)).is_some()).count() as u64;
        assert_eq!(known, 1_000_000 - table.evicted());
    }

    #[test]
    fn a_flood_without_end_takes_no_more_memory_and_drives_out_the_smallest_words() {
        let table = Table::new();
        let keep = nth(u64::MAX);
        let place = put(&table, keep, u64::MAX, 1);
        for i in 0..Table::MOST as u64 * 2 {
            put(&table, nth(i), i + 1, 1);
        }
        assert!(table.bytes() <= 38 << 20 && table.evicted() > 0, "{}", table.bytes());
        assert_eq!(table.find(keep), place);
        let last = (0..10_000).filter(|i| table.find(nth(Table::MOST as u64 * 2 - 1 - i)).is_some()).count();
        assert!(last > 9_990, "{last} of the latest 10,000 are known");
    }

    #[test]
    fn a_word_that_means_nothing_gives_its_place_to_another_key() {
        let table = Table::new();
        for round in 0..1_000_u64 {
            for i in 0..100 {
                put(&table, nth(round * 100 + i), round + 1, round + 1);
            }
        }
        assert_eq!((table.bytes(), table.evicted()), (64 << 10, 0));
    }

    #[test]
    fn workers_that_claim_the_same_keys_at_once_share_their_places() {
        let table = Table::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for i in 0..20_000 {
                        let place = table.claim(nth(i), |word| word == 0, true);
                        place.map(|place| table.word(place).fetch_add(1, Relaxed));
                    }
                });
            }
        });
        let sums = (0..20_000).map(|i| table.find(nth(i)).map_or(0, |place| table.word(place).load(Relaxed)));
        let wrong = sums.filter(|sum| *sum != 4).count();
        assert!(wrong < 20, "{wrong} of 20,000 counts were split");
    }
}
