//! The order of the line, whoever joins and leaves.

use proptest::prelude::*;

use super::*;

const SECOND: Nanos = 1_000_000_000;

fn queue(length: usize, newest_first: bool) -> Queue<u32> {
    Queue::new(Terms { length, newest_first, ..Terms::default() })
}

fn join(queue: &mut Queue<u32>, key: u64, priority: u8, now: Nanos, item: u32) -> Joined<u32> {
    queue.join(Who { key, priority }, now, item)
}

fn all(queue: &mut Queue<u32>, now: Nanos) -> Vec<u32> {
    std::iter::from_fn(|| queue.pop(now, |_| true)).collect()
}

#[test]
fn the_oldest_goes_first() {
    let mut queue = queue(10, true);
    (0..5).for_each(|i| _ = join(&mut queue, 0, 0, u64::from(i), i));
    assert_eq!(all(&mut queue, SECOND), [0, 1, 2, 3, 4]);
}

#[test]
fn each_key_has_its_turn_however_much_one_of_them_asks() {
    let mut queue = queue(1000, true);
    (0..500).for_each(|i| _ = join(&mut queue, 7, 0, 0, i));
    join(&mut queue, 8, 0, 1, 1001);
    join(&mut queue, 9, 0, 2, 1002);
    join(&mut queue, 8, 0, 3, 1003);
    assert_eq!(all(&mut queue, SECOND)[..6], [0, 1001, 1002, 1, 1003, 2]);
}

#[test]
fn a_higher_priority_goes_first_and_turns_are_within_it() {
    let mut queue = queue(10, true);
    for (key, priority, item) in [(1, 0, 1), (1, 5, 2), (1, 5, 3), (2, 5, 4), (2, 9, 5)] {
        join(&mut queue, key, priority, 0, item);
    }
    assert_eq!(all(&mut queue, 0), [5, 2, 4, 3, 1]);
}

#[test]
fn while_it_is_overloaded_the_newest_goes_first_if_that_is_wanted() {
    for newest_first in [true, false] {
        let mut queue = queue(10, newest_first);
        (0..10).for_each(|i| _ = join(&mut queue, 0, 0, u64::from(i) * SECOND / 4, i));
        assert!(!queue.is_overloaded(SECOND * 5 / 2) && queue.is_overloaded(SECOND * 5 / 2 + 1));
        assert_eq!(queue.pop(SECOND, |_| true), Some(0));
        join(&mut queue, 0, 0, 0, 0);
        assert_eq!(queue.pop(SECOND * 3, |_| true), Some(if newest_first { 0 } else { 1 }));
    }
}

#[test]
fn a_full_line_takes_nobody_of_a_key_that_fills_it_and_somebody_of_another() {
    let mut queue = queue(4, false);
    (0..4).for_each(|i| _ = join(&mut queue, 7, 0, 0, i));
    assert_eq!(join(&mut queue, 7, 0, 1, 4), Joined::Full(4));
    assert!(matches!(join(&mut queue, 8, 0, 1, 5), Joined::Stands(_, Some(3))));
    assert!(matches!(join(&mut queue, 9, 0, 1, 6), Joined::Stands(_, Some(2))));
    assert_eq!(join(&mut queue, 8, 0, 1, 7), Joined::Full(7));
    assert!(matches!(join(&mut queue, 1, 1, 1, 8), Joined::Stands(_, Some(_))), "a higher priority");
    assert_eq!(queue.len(), 4);
}

#[test]
fn where_the_newest_goes_first_a_full_line_lets_go_of_the_oldest() {
    let mut queue = queue(3, true);
    (0..3).for_each(|i| _ = join(&mut queue, 0, 5, 0, i));
    assert!(matches!(join(&mut queue, 0, 5, 1, 3), Joined::Stands(_, Some(0))));
    assert_eq!(join(&mut queue, 0, 4, 1, 4), Joined::Full(4), "a lower priority");
}

#[test]
fn one_that_leaves_is_gone_and_what_nobody_accepts_is_not_given() {
    let mut queue = queue(10, true);
    let Joined::Stands(ticket, None) = join(&mut queue, 0, 0, 0, 1) else { panic!("there is room") };
    join(&mut queue, 0, 0, 0, 2);
    assert_eq!(queue.pop(0, |item| *item > 2), None);
    assert_eq!((queue.leave(ticket, 0, false), queue.leave(ticket, 0, false)), (Some(1), None));
    assert_eq!(all(&mut queue, 0), [2]);
}

#[test]
fn retry_after_is_the_length_of_the_line_at_the_pace_at_which_it_was_served() {
    let mut queue = queue(1000, true);
    assert_eq!(queue.retry_after(0), 5, "the timeout, while nothing is known");
    (0..200).for_each(|i| _ = join(&mut queue, 0, 0, 0, i));
    // Ten a second for ten seconds; 100 are left.
    (0..100).for_each(|i| _ = queue.pop(i * SECOND / 10, |_| true));
    let told = queue.retry_after(99 * SECOND / 10);
    assert!((10..=11).contains(&told), "{told}");
    // A line that stands still is told longer and longer.
    assert!(queue.retry_after(30 * SECOND) > 30);
    assert_eq!(queue.retry_after(1000 * SECOND), 5);
}

proptest! {
    #[test]
    fn whoever_joins_is_served_or_leaves_or_is_evicted_exactly_once(
        steps in prop::collection::vec((0..4_u8, 0..5_u64, 0..3_u8), 1..300),
        newest_first in any::<bool>(),
    ) {
        let mut queue = queue(8, newest_first);
        let (mut tickets, mut gone, mut joined) = (Vec::new(), Vec::new(), Vec::new());
        for (i, (what, key, priority)) in steps.into_iter().enumerate() {
            let (item, now) = (i as u32, i as u64 * SECOND / 5);
            match what {
                0 | 1 => match join(&mut queue, key, priority, now, item) {
                    Joined::Stands(ticket, evicted) => {
                        joined.push(item);
                        tickets.push(ticket);
                        gone.extend(evicted);
                    }
                    Joined::Full(back) => prop_assert_eq!(back, item),
                },
                2 => gone.extend(queue.pop(now, |item| item % 3 != u32::from(priority))),
                _ if tickets.is_empty() => {}
                _ => gone.extend(queue.leave(tickets[key as usize % tickets.len()], now, false)),
            }
            prop_assert!(queue.len() <= 8);
            prop_assert_eq!(queue.len(), queue.iter().count());
        }
        gone.extend(std::iter::from_fn(|| queue.pop(0, |_| true)));
        gone.sort_unstable();
        prop_assert_eq!(gone, joined);
        prop_assert!(queue.levels.is_empty() && queue.is_empty());
    }
}
