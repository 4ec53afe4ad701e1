//! Picking, against the rule as a person would say it, while everything that decides it changes.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::board::{Board, Health};
use crate::plan::Plan;

const BALANCES: [&str; 7] = [
    "\"round_robin\"",
    "\"least_connections\"",
    "\"least_response_time\"",
    "\"random\"",
    "\"ip_hash\"",
    "{ hash = \"path\", method = \"ring\" }",
    "{ hash = \"path\", method = \"rendezvous\", bounded = 1.25 }",
];

/// Five backends: two plain, one with room for two, two in reserve of which one has room for one.
fn pool(balance: &str) -> Arc<Pool> {
    let text = format!(
        "[listener.web]\nlisten = \"127.0.0.1:1\"\n[[route]]\nmatch = {{ path = \"/\" }}\npool = \"app\"\n[pool.app]\nbalance = {balance}\n\
         backends = [\"10.0.0.1:80\", {{ address = \"10.0.0.2:80\", weight = 3 }}, {{ address = \"10.0.0.3:80\", max_connections = 2 }},\n\
         {{ address = \"10.0.0.4:80\", backup = true }}, {{ address = \"10.0.0.5:80\", backup = true, max_connections = 1 }}]\n"
    );
    let config = config::parse("evenkeel.toml", &text).unwrap();
    Plan::compile(&config, &|_, _| Vec::new(), &Board::new(1)).pools[0].clone()
}

/// Who may be picked: those in rotation, then those in reserve, then those that a connect has failed to.
fn candidates(pool: &Pool, tried: &[u16], now: Nanos) -> Vec<usize> {
    let may = |i: usize, backend: &Backend| {
        let state = &backend.state;
        let full = state.in_flight() >= backend.max_connections;
        state.health() != Health::Down && !state.is_draining() && !full && !tried.contains(&(i as u16))
    };
    let of = |tier: &dyn Fn(&Backend) -> bool| -> Vec<usize> {
        pool.backends.iter().enumerate().filter(|(i, backend)| may(*i, backend) && tier(backend)).map(|(i, _)| i).collect()
    };
    let suspect = |backend: &Backend| backend.state.suspect_until() > now;
    let tiers = [of(&|b| b.tier == 0 && !suspect(b)), of(&|b| b.tier == 1 && !suspect(b)), of(&suspect)];
    tiers.into_iter().find(|tier| !tier.is_empty()).unwrap_or_default()
}

fn reason(pool: &Pool, tried: &[u16]) -> Nobody {
    let usable = || pool.backends.iter().enumerate().filter(|(_, b)| b.state.health() != Health::Down && !b.state.is_draining());
    if usable().any(|(i, _)| !tried.contains(&(i as u16))) {
        Nobody::Free
    } else if usable().next().is_some() {
        Nobody::Untried
    } else {
        Nobody::Healthy
    }
}

#[test]
fn who_is_picked_is_always_of_the_best_tier_that_has_somebody() {
    for (balance, seed) in BALANCES.into_iter().flat_map(|balance| (0..8).map(move |seed| (balance, seed))) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let pool = pool(balance);
        // Two workers, each with tables of its own.
        let workers = [LocalPool::new(pool.clone(), None), LocalPool::new(pool.clone(), None)];
        let mut running: Vec<usize> = Vec::new();
        let mut now = 1;
        for step in 0..3_000 {
            let backend = &pool.backends[rng.usize(..pool.backends.len())];
            match rng.u8(..12) {
                0 | 1 => backend.state.set_health([Health::Up, Health::Down, Health::Unknown][rng.usize(..3)], ""),
                2 => backend.state.suspect(now + rng.u64(1..50)),
                3 => backend.state.set_draining(rng.u8(..3) == 0),
                4 => now += rng.u64(..40),
                5 | 6 if !running.is_empty() => pool.backends[running.swap_remove(rng.usize(..running.len()))].state.end(),
                _ => {}
            }
            let tried: Vec<u16> = (0..5).filter(|_| rng.u8(..4) == 0).collect();
            let expected = candidates(&pool, &tried, now);
            let worker = &workers[rng.usize(..2)];
            let what = format!("{balance}, seed {seed}, step {step}, tried {tried:?}: of {expected:?}");
            assert_eq!(worker.has_untried(&tried, now), !expected.is_empty(), "{what}");
            match worker.pick(rng.u64(..), &tried, now, &mut rng) {
                Ok(picked) => {
                    assert!(expected.contains(&picked), "{picked} {what}");
                    if rng.bool() {
                        pool.backends[picked].state.begin();
                        running.push(picked);
                    }
                }
                Err(nobody) => {
                    assert!(expected.is_empty(), "nobody {what}");
                    assert_eq!(nobody, reason(&pool, &tried), "{what}");
                }
            }
        }
    }
}

#[test]
fn workers_share_one_order_of_round_robin() {
    let pool = pool("\"round_robin\"");
    let workers = [0; 3].map(|_| LocalPool::new(pool.clone(), None));
    let mut rng = fastrand::Rng::with_seed(7);
    let mut counts = [0; 5];
    for _ in 0..500 {
        counts[workers[rng.usize(..3)].pick(0, &[], 1, &mut rng).unwrap()] += 1;
    }
    assert_eq!(counts, [100, 300, 100, 0, 0], "weights 1, 3, 1, and nobody in reserve");
}

#[test]
fn a_key_stays_with_its_backend_while_others_come_and_go() {
    for balance in &BALANCES[4..6] {
        let pool = pool(balance);
        let local = LocalPool::new(pool.clone(), None);
        let mut rng = fastrand::Rng::with_seed(3);
        let keys: Vec<u64> = (0..200).map(|_| rng.u64(..)).collect();
        let mut picks =
            |local: &LocalPool| -> Vec<usize> { keys.iter().map(|k| local.pick(*k, &[], 1, &mut rng).unwrap()).collect() };
        let before = picks(&local);
        pool.backends[0].state.set_health(Health::Down, "");
        let without = picks(&local);
        assert!(before.iter().zip(&without).all(|(a, b)| *b != 0 && (*a == 0 || a == b)), "{balance}: only its own keys move");
        pool.backends[0].state.set_health(Health::Up, "");
        assert_eq!(before, picks(&local), "{balance}: and they come back");
        assert_eq!(before, picks(&LocalPool::new(pool.clone(), None)), "{balance}: on every worker");
    }
}

#[test]
fn a_reload_keeps_idle_connections_of_backends_that_stay_and_only_those() {
    let first = pool("\"round_robin\"");
    let local = LocalPool::new(first.clone(), None);
    let same = LocalPool::new(first, Some(&local));
    assert!(local.idle.iter().zip(&same.idle).all(|(a, b)| Rc::ptr_eq(a, b)));
    let other = LocalPool::new(pool("\"random\""), Some(&local));
    assert!(other.idle.iter().all(|idle| local.idle.iter().all(|known| !Rc::ptr_eq(idle, known))), "another board, other backends");
}

#[test]
fn a_backend_that_drains_keeps_its_sessions_and_one_that_is_down_does_not() {
    let pool = LocalPool::new(pool("\"round_robin\""), None);
    let state = &pool.pool.backends[1].state;
    state.set_draining(true);
    assert_eq!(pool.stuck(1, &[], 0), Some(1));
    assert!((0..20).all(|_| pool.pick(0, &[], 0, &mut fastrand::Rng::with_seed(1)) != Ok(1)));
    assert_eq!(pool.stuck(1, &[1], 0), None);
    state.set_health(Health::Down, "refused");
    assert_eq!(pool.stuck(1, &[], 0), None);
}

#[test]
fn f11_a_backend_that_is_held_down_is_tried_where_all_others_have_failed_and_not_before() {
    let pool = pool(BALANCES[0]);
    let local = LocalPool::new(pool.clone(), None);
    let mut rng = fastrand::Rng::with_seed(1);
    let held = &pool.backends[0].state;
    held.set_health(Health::Down, "");
    held.set_held_down(true);
    assert!((0..20).all(|_| local.pick(0, &[], 0, &mut rng) != Ok(0)));
    assert!(local.has_untried(&[1, 2, 3, 4], 0));
    assert_eq!(local.pick(0, &[1, 2, 3, 4], 0, &mut rng), Ok(0));
    held.set_held_down(false);
    assert_eq!(local.pick(0, &[1, 2, 3, 4], 0, &mut rng), Err(Nobody::Untried));
}
