//! Rates by GCRA: a token bucket told by one moment, the theoretical arrival time of the next request (ITU-T I.371; as in
//! <https://brandur.org/rate-limiting>).

use std::sync::atomic::Ordering::SeqCst;

use super::table::{Place, Table};
use crate::Nanos;

/// How many in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Between two requests of the even flow. At least 1.
    pub interval: Nanos,
    /// How many may come early. From rest `burst + 1` pass at once, as with nginx.
    pub burst: u32,
    /// How long a request beyond the burst may be held back until it fits. 0 holds none back.
    pub delay: Nanos,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Pass,
    /// It passes after this time.
    Wait(Nanos),
    /// It does not pass; one that comes after this time would.
    Refuse(Nanos),
}

/// How a key stands once a request of it has been judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// What becomes of the request.
    pub verdict: Verdict,
    /// How many more would pass at once now.
    pub remaining: u32,
    /// After how long it is as if the key had never come.
    pub reset: Nanos,
}

impl Terms {
    /// So many in a time. `count` is at least 1.
    pub fn new(count: u32, per: Nanos, burst: u32, delay: Nanos) -> Self {
        let count = u64::from(count.max(1));
        Self { interval: ((per + count / 2) / count).max(1), burst, delay }
    }

    fn slack(&self) -> Nanos {
        self.interval.saturating_mul(u64::from(self.burst))
    }

    /// How far ahead of now the arrival time may be after a request that passes.
    pub fn most(&self) -> Nanos {
        self.slack().saturating_add(self.interval)
    }

    /// Judges a request of a key whose arrival time is `due`; its arrival time after that.
    fn judge(&self, due: Nanos, now: Nanos) -> (Account, Nanos) {
        let begin = due.max(now);
        let wait = begin.saturating_sub(self.slack()).saturating_sub(now);
        let verdict = match wait {
            0 => Verdict::Pass,
            _ if wait <= self.delay => Verdict::Wait(wait),
            _ => Verdict::Refuse(wait - self.delay),
        };
        let after = if matches!(verdict, Verdict::Refuse(_)) { due } else { begin.saturating_add(self.interval) };
        (self.account(verdict, after.saturating_sub(now)), after)
    }

    /// What an arrival time so far ahead leaves.
    pub fn account(&self, verdict: Verdict, ahead: Nanos) -> Account {
        let remaining = self.most().saturating_sub(ahead) / self.interval;
        Account { verdict, remaining: u32::try_from(remaining).unwrap_or(u32::MAX), reset: ahead }
    }
}

/// The arrival times of all keys of all limits.
///
/// Holds more than two million keys in at most 38 MB, allocated as keys come. A key that owes nothing costs nothing; under a flood of more
/// keys than that the ones that owe least are forgotten. A few tens of nanoseconds a request, some hundred where a million keys are known.
#[derive(Debug)]
pub struct Rates(Table);

impl Default for Rates {
    fn default() -> Self {
        Self(Table::new())
    }
}

impl Rates {
    /// Judges a request and counts it if it passes.
    pub fn take(&self, key: u64, terms: &Terms, now: Nanos) -> Account {
        let Some(place) = self.place(key, now) else { return terms.account(Verdict::Pass, 0) };
        let word = self.0.word(place);
        let mut due = word.load(SeqCst);
        loop {
            let (account, after) = terms.judge(due, now);
            if after == due {
                return account;
            }
            match word.compare_exchange_weak(due, after, SeqCst, SeqCst) {
                Ok(_) => return account,
                Err(other) => due = other,
            }
        }
    }

    /// What [`Self::take`] would say, without counting.
    pub fn look(&self, key: u64, terms: &Terms, now: Nanos) -> Account {
        terms.judge(self.0.find(key).map_or(0, |place| self.0.word(place).load(SeqCst)), now).0
    }

    /// Takes back what a request was counted as that passed here and was then refused elsewhere.
    pub fn give_back(&self, key: u64, terms: &Terms) {
        if let Some(place) = self.0.find(key) {
            let _ = self.0.word(place).fetch_update(SeqCst, SeqCst, |due| Some(due.saturating_sub(terms.interval)));
        }
    }

    /// Takes over an arrival time, `ahead` of now, that was found elsewhere.
    pub fn adopt(&self, key: u64, ahead: Nanos, now: Nanos) {
        if let Some(place) = self.place(key, now) {
            self.0.word(place).store(now.saturating_add(ahead), SeqCst);
        }
    }

    fn place(&self, key: u64, now: Nanos) -> Option<Place> {
        self.0.claim(key, |due| due <= now, true)
    }

    /// Memory taken. Unit: bytes.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// Keys forgotten although they still owed something.
    pub fn evicted(&self) -> u64 {
        self.0.evicted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Nanos = 1_000_000_000;

    fn passes(rates: &Rates, terms: &Terms, now: Nanos) -> usize {
        (0..).take_while(|_| rates.take(7, terms, now).verdict == Verdict::Pass).count()
    }

    #[test]
    fn from_rest_the_burst_and_one_pass_and_then_the_rate() {
        let (rates, terms) = (Rates::default(), Terms::new(10, SECOND, 5, 0));
        assert_eq!(passes(&rates, &terms, 0), 6);
        assert_eq!(passes(&rates, &terms, SECOND / 10), 1);
        assert_eq!(passes(&rates, &terms, SECOND / 2), 4);
        assert_eq!(passes(&rates, &terms, 10 * SECOND), 6);
    }

    #[test]
    fn an_account_says_what_is_left_and_until_when() {
        let (rates, terms) = (Rates::default(), Terms::new(10, SECOND, 5, 0));
        let tenth = SECOND / 10;
        assert_eq!(rates.look(7, &terms, SECOND), Account { verdict: Verdict::Pass, remaining: 5, reset: tenth });
        for left in (0..6).rev() {
            let account = rates.take(7, &terms, SECOND);
            assert_eq!((account.remaining, account.reset), (left, (6 - u64::from(left)) * tenth));
        }
        let refused = Account { verdict: Verdict::Refuse(tenth), remaining: 0, reset: 6 * tenth };
        assert_eq!(rates.take(7, &terms, SECOND), refused);
        assert_eq!(rates.look(7, &terms, SECOND), refused);
        rates.give_back(7, &terms);
        assert_eq!(rates.take(7, &terms, SECOND).verdict, Verdict::Pass);
        assert_eq!(rates.take(8, &terms, SECOND).remaining, 5, "another key is untouched");
    }

    #[test]
    fn what_is_beyond_the_burst_waits_its_turn_up_to_the_delay() {
        let (rates, terms) = (Rates::default(), Terms::new(10, SECOND, 1, 3 * SECOND / 10));
        let verdicts: Vec<_> = (0..6).map(|_| rates.take(7, &terms, 0).verdict).collect();
        let tenth = SECOND / 10;
        let waits = [1, 2, 3].map(|n| Verdict::Wait(n * tenth));
        assert_eq!(verdicts, [&[Verdict::Pass; 2][..], &waits, &[Verdict::Refuse(tenth)]].concat());
    }

    #[test]
    fn an_arrival_time_found_elsewhere_holds_here() {
        let (rates, terms) = (Rates::default(), Terms::new(10, SECOND, 5, 0));
        rates.adopt(7, 6 * SECOND / 10, SECOND);
        assert!(matches!(rates.take(7, &terms, SECOND).verdict, Verdict::Refuse(_)));
        assert_eq!(passes(&rates, &terms, SECOND * 2), 6);
    }

    #[test]
    fn workers_together_pass_no_more_than_one_alone() {
        let (rates, terms) = (Rates::default(), Terms::new(1000, SECOND, 99, 0));
        let passed: usize = std::thread::scope(|scope| {
            let work = || (0..20_000).filter(|i| rates.take(7, &terms, i * 50_000).verdict == Verdict::Pass).count();
            let workers = [0; 4].map(|_| scope.spawn(work));
            workers.into_iter().map(|worker| worker.join().unwrap_or_default()).sum()
        });
        assert_eq!(passed, 1099);
    }

    proptest! {
        /// Over any stretch of time no more pass than the rate and the burst allow, and nothing is refused that they allow.
        #[test]
        fn a_key_gets_exactly_what_its_terms_say(
            gaps in prop::collection::vec(0..400_000_000_u64, 1..200), count in 1..100_u32, burst in 0..20_u32,
        ) {
            let (rates, terms) = (Rates::default(), Terms::new(count, SECOND, burst, 0));
            let mut now = 0;
            let mut tokens = f64::from(burst) + 1.0;
            for gap in gaps {
                now += gap;
                tokens = (tokens + gap as f64 / terms.interval as f64).min(f64::from(burst) + 1.0);
                // Where the sum of fractions can't tell, either verdict will do.
                let passed = rates.take(1, &terms, now).verdict == Verdict::Pass;
                prop_assert!(passed == (tokens >= 1.0) || (tokens - 1.0).abs() < 1e-6, "{tokens} tokens, passed: {passed}");
                tokens -= f64::from(u8::from(passed));
            }
        }

        #[test]
        fn who_waits_as_told_keeps_the_rate(count in 1..1000_u32, burst in 0..20_u32, delay in 0..2_000_000_000_u64, at_once in 1..100_usize) {
            let (rates, terms) = (Rates::default(), Terms::new(count, SECOND, burst, delay));
            let starts = (0..at_once).filter_map(|_| match rates.take(1, &terms, SECOND).verdict {
                Verdict::Pass => Some(0),
                Verdict::Wait(wait) => Some(wait),
                Verdict::Refuse(_) => None,
            });
            for (i, start) in starts.enumerate() {
                prop_assert!(start <= delay);
                prop_assert_eq!(start, (i as u64).saturating_sub(u64::from(burst)) * terms.interval);
            }
        }

        #[test]
        fn no_numbers_overflow(due: u64, now: u64, interval in 1..u64::MAX, burst: u32, delay: u64) {
            let terms = Terms { interval, burst, delay };
            let _ = terms.judge(due, now);
        }
    }
}
