// SPDX-License-Identifier: MPL-2.0
use super::*;
use crate::executor::Executor;
use crate::world::choices::{AtDivergence, Played, Recorded};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Runs two threads that hand a baton over and back, and says whether it arrived. The first one
/// takes it and looks for it at its next step, while the other one has `noise` steps to make
/// first: that needs two constraints. With `twice` it goes on to the other one, which looks at
/// its next step while the first one has `noise` steps to make: three of them.
fn handed_over(choices: Box<dyn Choices>, noise: u32, twice: bool) -> bool {
    const DROPPED: u32 = 100;
    let executor = Executor::new(choices);
    let baton = Rc::new(Cell::new(0));
    let pass = |baton: &Cell<u32>, from: u32| match baton.get() == from {
        true => baton.set(from + 1),
        false => baton.set(DROPPED),
    };
    let group = executor.new_group("node 0");
    let (handle, held) = (executor.clone(), baton.clone());
    executor.spawn(group, "first", async move {
        pass(&held, 0);
        handle.yield_now().await;
        match twice {
            false => pass(&held, 2),
            true if held.get() != 2 => held.set(DROPPED),
            true => {}
        }
        for _ in 0..noise {
            handle.yield_now().await;
        }
        if twice {
            pass(&held, 2);
        }
    });
    let (handle, held) = (executor.clone(), baton.clone());
    executor.spawn(group, "other", async move {
        for _ in 0..noise {
            handle.yield_now().await;
        }
        pass(&held, 1);
        handle.yield_now().await;
        if twice {
            pass(&held, 3);
        }
    });
    executor.run_ready();
    baton.get() == if twice { 4 } else { 3 }
}

/// In how many runs of each oracle it arrived, and how many the paper promises on average.
fn arrived(seeds: u64, noise: u32, depth: u32) -> [u64; 3] {
    let steps = 2 * u64::from(noise + 2);
    let count = |oracle: &dyn Fn(u64) -> Box<dyn Choices>| {
        let found = |seed: &u64| handed_over(oracle(*seed), noise, depth == 3);
        (0..seeds).filter(found).count() as u64
    };
    [
        count(&|seed| Box::new(Pct::new(seed, depth, steps))),
        count(&|seed| Box::new(Drawn::new(seed))),
        seeds / (2 * steps.pow(depth - 1)),
    ]
}

#[test]
fn an_ordering_of_depth_2_is_found_as_often_as_promised() {
    let [found, by_chance, promised] = arrived(4000, 12, 2);
    // The promise is one of the average; the seeds are what they are.
    assert!(found > promised * 2 / 3, "{found}, promised {promised}");
    assert!(found > 10 * by_chance, "{found}, by chance {by_chance}");
}

#[test]
fn an_ordering_of_depth_3_is_found_as_often_as_promised() {
    let [found, by_chance, promised] = arrived(40_000, 6, 3);
    assert!(found > promised * 2 / 3, "{found}, promised {promised}");
    assert!(found > 2 * by_chance, "{found}, by chance {by_chance}");
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
