// SPDX-License-Identifier: MPL-2.0

use super::super::run;
use super::*;
use crate::world::choices::Choice;
use crate::world::operation::{Operation, Placed, Plan, Recorder, SharedRecorder};
use crate::world::trace::{Record, Sink};
use std::cell::RefCell;
use stmf_proxy::time::Time;

fn texts(failure: &Failure, variant: Variant, seed: u64) -> Vec<String> {
    let run = run(failure, variant, seed, None);
    assert!(run.stopped.is_none() || failure.kind == Kind::Deadlock);
    run.findings.iter().map(ToString::to_string).collect()
}

#[test]
fn with_the_broken_rule_each_failure_shows_and_is_named() {
    for failure in FAILURES {
        let run = run(failure, Variant::Broken, failure.seed, None);
        let texts: Vec<_> = run.findings.iter().map(ToString::to_string).collect();
        assert!(
            run.findings.iter().any(|found| failure.is_named_by(found)),
            "{}: {texts:#?}, {:?}",
            failure.id,
            run.stopped
        );
        assert!(
            run.stopped.is_none() || failure.kind == Kind::Deadlock,
            "{}: {:?}",
            failure.id,
            run.stopped
        );
    }
}

#[test]
fn without_it_nothing_is_found() {
    for failure in FAILURES {
        for seed in (1..=20).chain([failure.seed]) {
            assert_eq!(
                texts(failure, Variant::Sound, seed),
                [""; 0],
                "{} with seed {seed}",
                failure.id
            );
        }
    }
}

#[test]
fn each_cause_is_the_name_of_a_relay() {
    for failure in FAILURES {
        let named = relays::by_name(failure.cause);
        let name = named.and_then(|relay| relay.name());
        assert_eq!(name.as_deref(), Some(failure.cause), "{}", failure.id);
    }
}

/// A scenario need not show its failure with every seed, but must not do so by a hair.
#[test]
fn many_seeds_show_each_failure() {
    for failure in FAILURES {
        let shows = |seed: &u64| {
            let run = run(failure, Variant::Broken, *seed, None);
            run.findings.iter().any(|found| failure.is_named_by(found))
        };
        let seeds: Vec<u64> = (1..=20).filter(shows).collect();
        assert!(seeds.len() >= 8, "{}: {seeds:?}", failure.id);
    }
}

/// Looks at what a trace would have to hold.
#[derive(Default)]
struct Told {
    relay: Option<String>,
    operations: Vec<Operation>,
}

impl Sink for Told {
    fn record(&mut self, _: &Record<'_>) {}
}

impl Recorder for Told {
    fn begin(&mut self, plan: &Plan) {
        self.relay = plan.relay.clone();
    }
    fn operation(&mut self, placed: Placed<'_>) {
        self.operations.push(placed.operation.clone());
    }
    fn choice(&mut self, _: Time, _: Choice) {}
}

#[test]
fn each_run_can_be_made_again_from_what_is_told_of_it() {
    for failure in FAILURES {
        let told = Rc::new(RefCell::new(Told::default()));
        let run_again = |recorder| run(failure, Variant::Broken, failure.seed, recorder);
        let first = run_again(Some(told.clone() as SharedRecorder));
        assert_eq!(
            first.world.hash(),
            run_again(None).world.hash(),
            "{}",
            failure.id
        );
        let told = told.borrow();
        assert_eq!(told.relay.as_deref(), Some(failure.cause));
        for operation in &told.operations {
            let lost = matches!(
                operation,
                Operation::Direct { .. }
                    | Operation::SetRelay { relay: None, .. }
                    | Operation::Disk { content: None, .. }
            );
            assert!(!lost, "{}: {operation:?}", failure.id);
        }
    }
}
