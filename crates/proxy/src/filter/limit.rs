//! Limits by key: how often, and how many at one time.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use config::model;
use policy::balance::hash_key;
use policy::limit::{self, Account, Counts, Rates, Terms, Verdict};
use policy::{Key, Nanos};

use super::{Effects, Ending, Held, Here, Late, Step};
use crate::board::{Board, LimitState};
use crate::error::Reason;
use crate::message::Asked;
use crate::plan::nanos;
use crate::store;
use crate::worker::Worker;

/// The rate limits of a route.
#[derive(Debug)]
pub(crate) struct Rate {
    limits: Box<[Limit]>,
    /// One of them at least is counted in the store.
    shared: bool,
    rates: Arc<Rates>,
    state: Arc<LimitState>,
}

#[derive(Debug)]
struct Limit {
    /// Tells it apart from every other limit, the same after a reload.
    id: u64,
    key: Key,
    terms: Terms,
    /// As `RateLimit-Policy` says it.
    policy: Box<str>,
    dry_run: bool,
    status: u16,
    headers: bool,
    shared: bool,
}

/// What the limits of a route say to a request together. Limits by their index.
#[derive(Default)]
struct Sum {
    wait: Nanos,
    /// The limit that leaves the least.
    tightest: Option<(usize, Account)>,
    refused_by: Option<(usize, Account)>,
    /// What was counted here, where there are several limits: one that is refused counts for none.
    counted: Vec<(usize, u64)>,
    spared: bool,
}

impl Rate {
    pub(crate) fn compile(route: &model::Route, board: &Board) -> Option<Self> {
        let limits: Box<[Limit]> =
            route.rate_limits.iter().enumerate().map(|(i, limit)| Limit::compile(&route.name, i, limit)).collect();
        let shared = limits.iter().any(|limit| limit.shared);
        (!limits.is_empty()).then(|| Self { limits, shared, rates: board.rates.clone(), state: board.limit(&route.name) })
    }

    pub(crate) fn request(self: &Arc<Self>, here: &Here<'_>, effects: &mut Effects) -> Step {
        let mut sum = Sum::default();
        let mut asked = Vec::new();
        let store = if self.shared { here.worker.store() } else { None };
        for (i, limit) in self.limits.iter().enumerate() {
            let Some(key) = limit.key_of(&here.asked, here.route) else { continue };
            if limit.shared {
                if let Some(answer) = store.as_ref().and_then(|store| store.ask(key, limit.terms)) {
                    asked.push((i, key, answer));
                    continue;
                }
                self.state.cells[here.worker.id].alone.add(1);
            }
            self.count(&mut sum, i, key, here.now);
            if sum.refused_by.is_some() {
                break;
            }
        }
        if asked.is_empty() || sum.refused_by.is_some() {
            let ending = self.conclude(here.worker.id, &sum, &mut effects.response);
            return match (ending, sum.wait) {
                (Some(ending), _) => Step::End(ending),
                (None, 0) => Step::Next,
                (None, wait) => Step::Wait(Box::pin(async move {
                    tokio::time::sleep(Duration::from_nanos(wait)).await;
                    Late::default()
                })),
            };
        }
        let (this, worker) = (self.clone(), here.worker.clone());
        Step::Wait(Box::pin(async move { this.ask(&worker, sum, asked).await }))
    }

    /// Counts by this process alone.
    fn count(&self, sum: &mut Sum, i: usize, key: u64, now: Nanos) {
        if self.limits.len() > 1 {
            sum.counted.push((i, key));
        }
        self.add(sum, i, self.rates.take(key, &self.limits[i].terms, now));
    }

    fn add(&self, sum: &mut Sum, i: usize, account: Account) {
        let limit = &self.limits[i];
        match account.verdict {
            Verdict::Refuse(_) => {
                sum.counted.retain(|(refused, _)| *refused != i);
                if limit.dry_run {
                    sum.spared = true;
                } else {
                    sum.refused_by = Some((i, account));
                }
            }
            Verdict::Wait(wait) if !limit.dry_run => sum.wait = sum.wait.max(wait),
            _ => {}
        }
        if limit.headers && !limit.dry_run && sum.tightest.is_none_or(|(_, tightest)| account.remaining < tightest.remaining) {
            sum.tightest = Some((i, account));
        }
    }

    /// Waits for what the store says, and counts here what it does not say in time (F17).
    async fn ask(&self, worker: &Worker, mut sum: Sum, asked: Vec<(usize, u64, store::Asked)>) -> Late {
        for (i, key, answer) in asked {
            let cells = &self.state.cells[worker.id];
            let answer = answer.answer().await;
            let now = worker.timers.now();
            match answer {
                Some(account) => {
                    cells.shared.add(1);
                    // Should the store go away, the limit goes on from where it stands.
                    self.rates.adopt(key, account.reset, now);
                    self.add(&mut sum, i, account);
                }
                None => {
                    cells.alone.add(1);
                    self.count(&mut sum, i, key, now);
                }
            }
        }
        let mut late = Late::default();
        late.ending = self.conclude(worker.id, &sum, &mut late.effects.response);
        if late.ending.is_none() && sum.wait > 0 {
            tokio::time::sleep(Duration::from_nanos(sum.wait)).await;
        }
        late
    }

    /// Counts what came of it; the ending if it was refused.
    fn conclude(&self, worker: usize, sum: &Sum, response: &mut Vec<u8>) -> Option<Ending> {
        let cells = &self.state.cells[worker];
        if sum.spared {
            cells.spared.add(1);
        }
        if let Some((i, account)) = sum.refused_by {
            for (i, key) in &sum.counted {
                self.rates.give_back(*key, &self.limits[*i].terms);
            }
            cells.refused.add(1);
            return Some(self.limits[i].refuse(account));
        }
        cells.passed.add(1);
        cells.delayed.add(u64::from(sum.wait > 0));
        if let Some((i, account)) = sum.tightest {
            self.limits[i].write(account, response);
        }
        None
    }

    pub(crate) fn describe(&self, asked: &Asked<'_>, route: &str, now: Nanos) -> String {
        let say = |limit: &Limit| {
            let Some(key) = limit.key_of(asked, route) else {
                return format!("rate limit {} does not apply: the request has no {:?}", limit.policy, limit.key);
            };
            let account = self.rates.look(key, &limit.terms, now);
            let verdict = match account.verdict {
                Verdict::Pass => format!("would pass, {} more at once", account.remaining.saturating_sub(1)),
                Verdict::Wait(wait) => format!("would be held back for {} ms", wait / 1_000_000),
                Verdict::Refuse(_) if limit.dry_run => "would be refused, but for `dry_run`".to_owned(),
                Verdict::Refuse(_) => format!("would be refused with {}", limit.status),
            };
            format!("rate limit {} by {:?}: {verdict}", limit.policy, limit.key)
        };
        self.limits.iter().map(say).collect::<Vec<_>>().join("; ")
    }
}

impl Limit {
    fn compile(route: &str, i: usize, limit: &model::RateLimit) -> Self {
        let model::RateLimit { count, per, burst, .. } = *limit;
        Self {
            id: hash_key(format!("rate {route} {i} {:?}", limit.key).as_bytes()),
            key: limit.key.clone(),
            terms: Terms::new(count, nanos(per), burst, nanos(limit.delay)),
            policy: format!("{count};w={};burst={burst}", per.as_secs()).into(),
            dry_run: limit.dry_run,
            status: limit.status,
            headers: limit.headers,
            shared: limit.shared,
        }
    }

    fn key_of(&self, asked: &Asked<'_>, route: &str) -> Option<u64> {
        Some(limit::key(self.id, asked.key_hash(&self.key, route)?))
    }

    fn refuse(&self, account: Account) -> Ending {
        let wait = if let Verdict::Refuse(wait) = account.verdict { wait } else { 0 };
        let mut fields = Vec::with_capacity(160);
        // Writing to a vector can't fail.
        let _ = write!(fields, "Retry-After: {}\r\n", seconds(wait).max(1));
        if self.headers {
            self.write(account, &mut fields);
        }
        Ending { status: self.status, reason: Some(Reason::RateLimited), body: None, fields }
    }

    /// The fields of draft-ietf-httpapi-ratelimit-headers-07, the last with one for each number.
    fn write(&self, account: Account, out: &mut Vec<u8>) {
        let (limit, left, reset) = (u64::from(self.terms.burst) + 1, account.remaining, seconds(account.reset));
        let _ = write!(
            out,
            "RateLimit-Limit: {limit}\r\nRateLimit-Remaining: {left}\r\nRateLimit-Reset: {reset}\r\nRateLimit-Policy: {}\r\n",
            self.policy
        );
    }
}

/// Whole seconds, never too few.
fn seconds(nanos: Nanos) -> u64 {
    nanos.div_ceil(1_000_000_000)
}

/// The limits of concurrent exchanges of a route.
#[derive(Debug)]
pub(crate) struct Concurrent {
    limits: Box<[Crowd]>,
    counts: Arc<Counts>,
    state: Arc<LimitState>,
}

#[derive(Debug)]
struct Crowd {
    id: u64,
    key: Key,
    most: u32,
    dry_run: bool,
    status: u16,
}

impl Concurrent {
    pub(crate) fn compile(route: &model::Route, board: &Board) -> Option<Self> {
        let compile = |(i, limit): (usize, &model::Concurrency)| Crowd {
            id: hash_key(format!("concurrency {} {i} {:?}", route.name, limit.key).as_bytes()),
            key: limit.key.clone(),
            most: limit.limit,
            dry_run: limit.dry_run,
            status: limit.status,
        };
        let limits: Box<[Crowd]> = route.concurrency.iter().enumerate().map(compile).collect();
        (!limits.is_empty()).then(|| Self { limits, counts: board.counts.clone(), state: board.limit(&route.name) })
    }

    pub(crate) fn request(&self, here: &Here<'_>, effects: &mut Effects) -> Step {
        for limit in &self.limits {
            let Some(part) = here.asked.key_hash(&limit.key, here.route) else { continue };
            let cells = &self.state.cells[here.worker.id];
            let key = limit::key(limit.id, part);
            // A dry run counts all that runs, and so has no limit.
            let most = if limit.dry_run { u32::MAX } else { limit.most };
            match self.counts.claim(key, most) {
                Some(claim) => effects.held.push(Held::Place(claim)),
                None => {
                    cells.crowded.add(1);
                    return Step::End(Ending { status: limit.status, ..Ending::refuse(Reason::ConcurrencyLimited) });
                }
            }
            if limit.dry_run && self.counts.running(key) > u64::from(limit.most) {
                cells.crowded_spared.add(1);
            }
        }
        Step::Next
    }

    pub(crate) fn describe(&self, asked: &Asked<'_>, route: &str) -> String {
        let say = |limit: &Crowd| {
            let Some(part) = asked.key_hash(&limit.key, route) else {
                return format!("at most {} at one time does not apply: the request has no {:?}", limit.most, limit.key);
            };
            let running = self.counts.running(limit::key(limit.id, part));
            let verdict = match running < u64::from(limit.most) {
                true => "would pass".to_owned(),
                false if limit.dry_run => "would be refused, but for `dry_run`".to_owned(),
                false => format!("would be refused with {}", limit.status),
            };
            format!("at most {} at one time by {:?}: {running} run, {verdict}", limit.most, limit.key)
        };
        self.limits.iter().map(say).collect::<Vec<_>>().join("; ")
    }
}
