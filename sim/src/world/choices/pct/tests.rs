// SPDX-License-Identifier: MPL-2.0
use super::*;
use crate::executor::Executor;
use crate::world::choices::{AtDivergence, Played, Recorded};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Steps of each thread of the programs below, besides those that matter.
const NOISE: u32 = 12;

/// Yields often, then looks for `from`, sets `to` if it found that, and yields on.
fn relay_baton(executor: &Executor, baton: &Rc<Cell<u32>>, from: u32, before: u32) {
    let group = executor.new_group("node 0");
    let (handle, baton) = (executor.clone(), baton.clone());
    executor.spawn(group, "runner", async move {
        for _ in 0..before {
            handle.yield_now().await;
        }
        if baton.get() == from {
            baton.set(from + 1);
        }
        for _ in before..NOISE {
            handle.yield_now().await;
        }
    });
}

/// Whether a race of `threads` runners ended in the order that nobody expected: each must run
/// its one step after that of the next one, in which it is least likely: depth `threads`.
fn goes_wrong(choices: Box<dyn Choices>, threads: u32) -> bool {
    let executor = Executor::new(choices);
    let baton = Rc::new(Cell::new(0));
    for number in 0..threads {
        // The one that has to come last is there first.
        let before = number * NOISE / threads;
        relay_baton(&executor, &baton, threads - 1 - number, before);
    }
    executor.run_ready();
    baton.get() == threads
}

fn found(seeds: u64, threads: u32, oracle: impl Fn(u64) -> Box<dyn Choices>) -> u64 {
    (0..seeds)
        .filter(|seed| goes_wrong(oracle(*seed), threads))
        .count() as u64
}

/// The most choices of a thread that such a race asks for.
fn steps(threads: u32) -> u64 {
    u64::from(threads * (NOISE + 1))
}

/// The bound of the paper: of `seeds` runs, this many at least find it on average.
fn expected(seeds: u64, threads: u32, depth: u32) -> u64 {
    seeds / (u64::from(threads) * steps(threads).pow(depth - 1))
}

#[test]
fn an_ordering_of_depth_2_is_found_as_often_as_promised() {
    let seeds = 2000;
    let by_pct = found(seeds, 2, |seed| Box::new(Pct::new(seed, 2, steps(2))));
    let by_chance = found(seeds, 2, |seed| Box::new(Drawn::new(seed)));
    let bound = expected(seeds, 2, 2);
    assert!(by_pct >= bound, "{by_pct} of {seeds}, not {bound}");
    assert!(by_pct > 2 * by_chance, "{by_pct}, by chance {by_chance}");
}

#[test]
fn an_ordering_of_depth_3_is_found_as_often_as_promised() {
    let seeds = 20_000;
    let by_pct = found(seeds, 3, |seed| Box::new(Pct::new(seed, 3, steps(3))));
    let by_chance = found(seeds, 3, |seed| Box::new(Drawn::new(seed)));
    let bound = expected(seeds, 3, 3);
    assert!(bound > 0 && by_pct >= bound, "{by_pct}, not {bound}");
    assert!(by_pct > by_chance, "{by_pct}, by chance {by_chance}");
}

#[test]
fn a_seed_means_one_run_and_its_log_plays_it_again() {
    let order = |oracle: Box<dyn Choices>| {
        let executor = Executor::new(oracle);
        let log = Rc::new(RefCell::new(Vec::new()));
        for number in 0..5 {
            let group = executor.new_group("node 0");
            let (handle, log) = (executor.clone(), log.clone());
            executor.spawn(group, "runner", async move {
                for _ in 0..4 {
                    log.borrow_mut().push(number);
                    handle.yield_now().await;
                }
            });
        }
        executor.run_ready();
        log.take()
    };
    for seed in 0..20 {
        let first = order(Box::new(Pct::new(seed, 4, 20)));
        assert_eq!(first, order(Box::new(Pct::new(seed, 4, 20))));
        let (recorded, log) = Recorded::new(Pct::new(seed, 4, 20));
        assert_eq!(first, order(Box::new(recorded)));
        let (played, diverged) = Played::new(log.take(), AtDivergence::Note);
        assert_eq!(first, order(Box::new(played)));
        assert_eq!(diverged.get(), None);
    }
    let runs: Vec<_> = (0..20)
        .map(|seed| order(Box::new(Pct::new(seed, 4, 20))))
        .collect();
    assert!(runs.iter().any(|run| *run != runs[0]));
}

#[test]
fn depth_1_never_changes_its_mind() {
    let mut pct = Pct::new(3, 1, 100);
    assert!(pct.changes.is_empty());
    assert!(Pct::new(3, u32::MAX, 0).changes.len() < 64, "bounded");
    let executor = Executor::new(Box::new(Drawn::new(0)));
    let group = executor.new_group("node 0");
    let thread = || executor.spawn(group, "thread", async {}).unwrap();
    let threads = [thread(), thread(), thread()];
    let first = pct.schedule(&threads);
    assert!((0..50).all(|_| pct.schedule(&threads) == first));
    assert_eq!(pct.steps(), 51);
}

#[test]
fn a_thread_that_waits_in_a_loop_for_another_does_not_run_for_ever() {
    for seed in 0..4 {
        let executor = Executor::new(Box::new(Pct::new(seed, 1, 10)));
        let group = executor.new_group("node 0");
        let done = Rc::new(Cell::new(false));
        let (handle, seen) = (executor.clone(), done.clone());
        executor.spawn(group, "spinner", async move {
            while !seen.get() {
                handle.yield_now().await;
            }
        });
        executor.spawn(group, "other", async move { done.set(true) });
        executor.run_ready();
    }
}
