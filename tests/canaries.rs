// SPDX-License-Identifier: MPL-2.0
//! The promise: exploration finds what is known to be wrong. For each failure of the field its
//! cause is put into the world, nobody is told where to look, and a seed fails within a stated
//! number of seeds; docs/exploration.md states the same numbers.
//!
//! `just canaries` looks for all of them and prints the table; the default test run looks for
//! those that are found at once.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::Path;
use std::thread;
use stmf_sim::explore::{Draw, Search};
use stmf_sim::field::{self, Failure};
use stmf_sim::findings::Kind;

/// How long exploration may look for a failure.
struct Canary {
    id: &'static str,
    /// Seeds from 0 on: at least twice what was needed when it was measured, and 10 at least.
    budget: u64,
    /// Looked for in every test run.
    quick: bool,
}

const fn quick(id: &'static str, budget: u64) -> Canary {
    let quick = true;
    Canary { id, budget, quick }
}

const fn long(id: &'static str, budget: u64) -> Canary {
    let quick = false;
    Canary { id, budget, quick }
}

const BUDGET: &[Canary] = &[
    quick("6972190", 10),
    quick("6817374-mixed", 10),
    long("6901087", 300),
    long("6895461", 200),
    long("6894324", 1000),
    long("chunk-offset", 200),
    quick("6903022", 10),
    long("3775-8564-13365", 300),
    quick("6901972", 10),
    quick("3751", 10),
    quick("nex-3188", 10),
    quick("truncated-status", 10),
    quick("init-leak", 10),
    long("big-read", 200),
    quick("reorder", 10),
    quick("back-pressure", 10),
    long("ghost-session", 100),
    long("reboot-panic", 100),
    long("leaked-hold", 100),
    quick("double-done", 10),
    long("stop-panic", 200),
    long("bad-message", 50),
    quick("early-post", 20),
    quick("lost-result", 20),
    quick("same-node", 10),
];

/// What exploration does not look for: reads down the standby path are slow on every kernel that
/// proxies them, as all of its kernels do, and every run would fail of it.
const EXCEPTION: &str = "nex-1825";

fn search(defect: Option<&'static Failure>) -> Search {
    Search {
        draw: Draw {
            defect,
            ..Draw::default()
        },
        ..Search::default()
    }
}

/// How many seeds it takes until one fails that does not fail without the defect, and the kind of
/// what was found first.
fn look(canary: &Canary) -> Option<(u64, Kind)> {
    let defect = field::by_id(canary.id).expect("the table has ids of failures");
    let jobs = thread::available_parallelism().map_or(1, NonZero::get);
    let mut from = 0;
    while from < canary.budget {
        let seeds = canary.budget - from;
        let found = Search {
            from,
            seeds,
            jobs,
            ..search(Some(defect))
        }
        .run(&());
        let failure = found.failures.first()?;
        let sound = Search {
            from: failure.seed,
            seeds: 1,
            ..search(None)
        };
        from = failure.seed + 1;
        if sound.run(&()).failed == 0 {
            return Some((from, failure.findings.first()?.kind));
        }
    }
    None
}

/// Looks for canaries, and prints the table of docs/exploration.md.
fn look_for(canaries: impl Iterator<Item = &'static Canary>) {
    let mut missed = Vec::new();
    println!("| {:16} | seeds | budget | {:24} |", "id", "found as");
    println!("| {:-<16} | ----: | -----: | {:-<24} |", "", "");
    for canary in canaries {
        let Canary { id, budget, .. } = canary;
        match look(canary) {
            Some((seeds, kind)) => {
                let kind = kind.to_string();
                println!("| {id:16} | {seeds:5} | {budget:6} | {kind:24} |");
            }
            None => {
                println!("| {id:16} | {:>5} | {budget:6} | {:24} |", "none", "");
                missed.push(format!(
                    "{id} is not found in {budget} seeds; see it again: \
                     cargo run --release -p stmf-sim -- explore --defect {id} --seeds {budget}"
                ));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn what_is_found_at_once_is_found() {
    look_for(BUDGET.iter().filter(|canary| canary.quick));
}

#[test]
#[ignore = "takes minutes; `just canaries` runs it"]
fn all_are_found() {
    look_for(BUDGET.iter());
}

#[test]
fn every_failure_of_the_field_has_a_budget() {
    for failure in field::all() {
        let lines = BUDGET.iter().filter(|canary| canary.id == failure.id);
        let expected = usize::from(failure.id != EXCEPTION);
        let id = failure.id;
        assert_eq!(lines.count(), expected, "lines of {id} in BUDGET");
    }
    for canary in BUDGET {
        assert!(field::by_id(canary.id).is_some(), "{}", canary.id);
        assert!(canary.budget >= 10, "{}", canary.id);
    }
}

#[test]
fn the_one_exception_is_in_every_run() {
    for failure in field::all() {
        let slow_only = failure.kind == Kind::SlowPath;
        assert_eq!(slow_only, failure.id == EXCEPTION, "{}", failure.id);
    }
    let exception = field::by_id(EXCEPTION).expect("the exception is a failure");
    for seed in 0..20 {
        let with = search(Some(exception)).scenario(seed);
        assert_eq!(with, search(None).scenario(seed));
        assert!(with.kernels.iter().all(|kernel| kernel.proxy_reads));
    }
}

/// Rows of the table of docs/exploration.md: the budget by id, as it is written.
fn documented() -> BTreeMap<String, String> {
    const HEADING: &str = "## What it finds when something is wrong";
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/exploration.md");
    let page = std::fs::read_to_string(page).expect("docs/exploration.md");
    let (_, section) = page.split_once(HEADING).expect("the section of the table");
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut rows = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, _, budget, _] = cells[..] else {
            panic!("not four cells: {line}");
        };
        if id != "id" && !id.starts_with("--") {
            let twice = rows.insert(id.to_string(), budget.to_string());
            assert_eq!(twice, None, "{id} stands twice");
        }
    }
    rows
}

#[test]
fn the_document_states_the_same_budgets() {
    let stated: BTreeMap<String, String> = BUDGET
        .iter()
        .map(|canary| (canary.id.to_string(), canary.budget.to_string()))
        .chain([(EXCEPTION.to_string(), "none".to_string())])
        .collect();
    assert_eq!(documented(), stated);
}
