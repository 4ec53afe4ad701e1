//! How many run at one time, by key.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use super::table::{Place, Table};

/// Counts of all keys of all limits.
///
/// Memory as for [`super::Rates`]. A count above zero is never forgotten: where two million keys run at one time, further ones are not
/// counted.
#[derive(Debug)]
pub struct Counts(Table);

impl Default for Counts {
    fn default() -> Self {
        Self(Table::new())
    }
}

/// One that runs; counted until it is dropped.
#[derive(Debug)]
pub struct Claim {
    counts: Arc<Counts>,
    place: Option<Place>,
}

impl Counts {
    /// Counts one more of this key if that makes no more than `most`. Workers that see the last place at once don't all get it.
    pub fn claim(self: &Arc<Self>, key: u64, most: u32) -> Option<Claim> {
        let place = self.0.claim(key, |count| count == 0, false);
        if let Some(place) = place {
            let more = |count| (count < u64::from(most)).then(|| count + 1);
            self.0.word(place).fetch_update(SeqCst, SeqCst, more).ok()?;
        }
        Some(Claim { counts: self.clone(), place })
    }

    /// How many of this key run now.
    pub fn running(&self, key: u64) -> u64 {
        self.0.find(key).map_or(0, |place| self.0.word(place).load(SeqCst))
    }

    /// Memory taken. Unit: bytes.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let _ = self.counts.0.word(place).fetch_update(SeqCst, SeqCst, |count| count.checked_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_runs_no_more_than_its_limit_and_others_are_untouched() {
        let counts = Arc::new(Counts::default());
        let mut held: Vec<_> = (0..3).map_while(|_| counts.claim(1, 3)).collect();
        assert_eq!((held.len(), counts.running(1)), (3, 3));
        assert!(counts.claim(1, 3).is_none() && counts.claim(2, 3).is_some());
        held.pop();
        assert!(counts.claim(1, 3).is_some());
        assert_eq!(counts.running(1), 2);
        drop(held);
        assert_eq!(counts.running(1), 0);
    }

    #[test]
    fn workers_together_run_no_more_than_the_limit_and_leave_nothing_behind() {
        let counts = Arc::new(Counts::default());
        std::thread::scope(|scope| {
            for worker in 0..4_u64 {
                let counts = &counts;
                scope.spawn(move || {
                    for i in 0..50_000_u64 {
                        let key = i.wrapping_mul(worker + 1) % 64;
                        let held: Vec<_> = (0..3).map_while(|_| counts.claim(key, 4)).collect();
                        assert!(counts.running(key) <= 4);
                        drop(held);
                    }
                });
            }
        });
        assert!((0..64).all(|key| counts.running(key) == 0));
    }
}
