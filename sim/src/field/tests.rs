// SPDX-License-Identifier: MPL-2.0
//! Every failure shows with its defect, is named, and does not show without.

use super::*;
use crate::demo;
use crate::relays;
use crate::world::choices::Choice;
use crate::world::operation::{Operation, Placed, Plan, Recorder};
use crate::world::trace::{Record, Sink};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use stmf_proxy::time::Time;

fn list(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(|finding| format!("\n  {finding}"))
        .collect()
}

#[test]
fn each_shows_and_is_named_with_its_defect() {
    for failure in all() {
        let run = run(failure, Variant::Broken, failure.seed, None);
        assert!(
            run.findings
                .iter()
                .any(|finding| failure.is_named_by(finding)),
            "{}: {:?}{}",
            failure.id,
            run.stopped,
            list(&run.findings)
        );
    }
}

#[test]
fn nothing_shows_without_it() {
    for failure in all() {
        for seed in [failure.seed, 11, 12] {
            let run = run(failure, Variant::Sound, seed, None);
            assert!(
                run.findings.is_empty() && run.stopped.is_none(),
                "{} seed {seed}: {:?}{}",
                failure.id,
                run.stopped,
                list(&run.findings)
            );
        }
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for failure in all() {
        let hash = || {
            run(failure, Variant::Broken, failure.seed, None)
                .world
                .hash()
        };
        assert_eq!(hash(), hash(), "{}", failure.id);
    }
}

#[test]
fn ids_and_texts_are_fit_for_files_and_people() {
    let mut ids = BTreeSet::new();
    for failure in all() {
        assert!(ids.insert(failure.id), "{} twice", failure.id);
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(failure.id.chars().all(fits), "{}", failure.id);
        assert!(!failure.words.is_empty(), "{}", failure.id);
        for text in [failure.sees, failure.why, failure.avoided] {
            assert!(
                text.ends_with('.') && !text.contains("  "),
                "{}: {text}",
                failure.id
            );
        }
        assert!(!failure.title.is_empty() && !failure.cause.is_empty());
        assert!(by_id(failure.id).is_some());
    }
}

/// What a sound pair of nodes does is never taken for something wrong.
#[test]
fn demonstrations_show_nothing() {
    for seed in 0..6 {
        let watch = Watch::shared();
        let size = 3 << 20;
        let settings = demo::Settings {
            seed,
            source: demo::Source::Made { size },
            watch: Some(watch.clone()),
            ..demo::Settings::default()
        };
        let report = demo::run(settings, |_| ()).unwrap();
        assert!(report.passed(), "seed {seed}");
        let findings = watch.borrow_mut().finish(report.simulated);
        assert!(findings.is_empty(), "seed {seed}: {}", list(&findings));
    }
}

/// What is done and drawn in a run.
#[derive(Default)]
struct Noted {
    plan: Option<Plan>,
    operations: Vec<Operation>,
}

impl Sink for Noted {
    fn record(&mut self, _: &Record<'_>) {}
}

impl Recorder for Noted {
    fn begin(&mut self, plan: &Plan) {
        self.plan = Some(plan.clone());
    }
    fn operation(&mut self, placed: Placed<'_>) {
        self.operations.push(placed.operation.clone());
    }
    fn choice(&mut self, _: Time, _: Choice) {}
}

/// A trace of each can be made into the same run again.
#[test]
fn traces_hold_all_that_is_done() {
    for failure in all() {
        let noted = Rc::new(RefCell::new(Noted::default()));
        run(failure, Variant::Broken, failure.seed, Some(noted.clone()));
        let noted = noted.borrow();
        let known = |name: &Option<String>| {
            let name = name.as_deref();
            assert!(
                name.and_then(relays::by_name).is_some(),
                "{}: {name:?}",
                failure.id
            );
        };
        let plan = noted.plan.as_ref().unwrap();
        known(&plan.relay);
        assert_eq!(plan.seed, Some(failure.seed), "{}", failure.id);
        for operation in &noted.operations {
            match operation {
                Operation::Direct { what, .. } => panic!("{}: {what}", failure.id),
                Operation::SetRelay { relay, .. } => known(relay),
                Operation::Disk { content, .. } => assert!(content.is_some(), "{}", failure.id),
                _ => {}
            }
        }
        let text = serde_json::to_string(plan).unwrap();
        let read: Plan = serde_json::from_str(&text).unwrap();
        assert_eq!(
            serde_json::to_string(&read).unwrap(),
            text,
            "{}",
            failure.id
        );
    }
}
