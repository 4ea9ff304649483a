// SPDX-License-Identifier: MPL-2.0
//! Every order of a small scenario is run, and a search says whether it was every one.

use std::cell::RefCell;
use std::rc::Rc;
use stmf_sim::explore::exhaustive::{self, Bounds, Report, Small};
use stmf_sim::findings::Kind;
use stmf_sim::kernel::Profile;
use stmf_sim::recording::{Settings, TraceRecorder};
use stmf_sim::replay;

fn small(name: &str, ticks: u8) -> Small {
    let small = exhaustive::by_name(name).expect("it is listed");
    Small { ticks, ..small }
}

fn search(small: &Small, depth: u32, states: bool) -> Report {
    let bounds = Bounds {
        depth,
        states,
        stop_at_finding: false,
        ..Bounds::default()
    };
    exhaustive::search(small, bounds, |_| true)
}

#[test]
fn the_smallest_scenarios_are_run_in_every_order_within_a_bound() {
    for (name, ticks, depth) in [("two-commands", 1, 6), ("failover", 1, 5)] {
        let report = search(&small(name, ticks), depth, true);
        assert!(report.complete, "{name}: {report:?}");
        assert_eq!(report.contradictions, 0, "{name}: {report:?}");
        assert_eq!(report.found, None, "{name}");
        assert!(report.runs > 10 && report.states > 10, "{name}: {report:?}");
    }
}

/// States that are the same are cut and nothing else is: all ends are still met.
#[test]
fn cutting_at_states_leaves_no_end_out() {
    for (name, ticks, depth) in [("relay-killed", 0, 5), ("failover-and-break", 0, 4)] {
        let small = small(name, ticks);
        let all = search(&small, depth, false);
        let cut = search(&small, depth, true);
        assert_eq!(all.outcomes, cut.outcomes, "{name}");
        assert_eq!((all.complete, cut.complete), (true, true), "{name}");
        assert_eq!((all.cut, cut.contradictions), (0, 0), "{name}");
        assert!(cut.cut > 0 && cut.runs <= all.runs, "{name}: {cut:?}");
    }
}

/// Every order of a scenario on these kernels.
fn every_order(name: &str, profile: Profile) -> Report {
    let small = exhaustive::by_name(name).expect("it is listed");
    let small = small.with_kernels(|kernel| kernel.profile = profile);
    let report = search(&small, 1000, true);
    assert_eq!(report.found, None, "{name}");
    assert!(report.every_order(), "{name}: {report:?}");
    assert_eq!(report.contradictions, 0, "{name}: {report:?}");
    assert!(report.runs > 10, "{name}: {report:?}");
    report
}

/// No bound is reached, and nothing is found in any order, on kernels with all their mistakes.
#[test]
fn every_order_of_the_smallest_scenarios_is_sound() {
    for name in ["two-commands", "two-proxied", "reset", "failover"] {
        let report = every_order(name, Profile::Illumos);
        assert!(report.excused.is_empty(), "{name}: {:?}", report.excused);
    }
}

/// A relay that is killed between a post that has entered the kernel and the upcall that the post
/// makes takes its node down, whatever it does: that is one of the orders, and no other panic is in
/// any.
#[test]
fn a_relay_is_killed_at_every_moment_and_trap_7_is_among_them() {
    let report = every_order("relay-killed", Profile::Illumos);
    let traps: Vec<u8> = report.excused.keys().map(|(trap, _)| *trap).collect();
    assert_eq!(traps, [7], "{:?}", report.excused);
    let report = every_order("relay-killed", Profile::Hardened);
    assert!(report.excused.is_empty(), "{:?}", report.excused);
}

#[test]
fn a_relay_that_sends_again_is_found_where_a_link_breaks() {
    let small = small("failover-and-break", 0).with_relay("retransmits");
    let report = exhaustive::search(&small, Bounds::default(), |_| true);
    let found = report.found.expect("something is delivered twice");
    assert!(
        found
            .findings
            .iter()
            .any(|found| found.kind == Kind::Invented)
    );
    assert!(!report.complete, "it ended there");
}

#[test]
fn a_search_that_is_given_up_says_so() {
    let small = small("two-commands", 0);
    let bounds = Bounds {
        runs: 3,
        ..Bounds::default()
    };
    let report = exhaustive::search(&small, bounds, |_| true);
    assert_eq!((report.runs, report.complete), (3, false));
    let report = exhaustive::search(&small, Bounds::default(), |report| report.runs < 2);
    assert_eq!((report.runs, report.complete), (2, false));
}

/// A run that a search has found is recorded, and the recording is replayed event by event.
#[test]
fn what_was_found_is_replayed() {
    let small = small("two-commands", 1);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("found.pcapng");
    let recorder = TraceRecorder::create(&exhaustive::plan(&small), &Settings::file(&path));
    let recorder = Rc::new(RefCell::new(recorder.unwrap()));
    // Any way through the tree will do; where there is no such alternative the first is taken.
    let turns = [1, 0, 1, 1, 0, 1];
    exhaustive::record(&small, Bounds::default(), &[0, 1], &turns, recorder.clone());
    assert_eq!(recorder.borrow_mut().report().failure, None);
    let replayed = replay::replay_file(&path, replay::Settings::default()).unwrap();
    assert!(replayed.divergence.is_none(), "{:?}", replayed.divergence);
}
