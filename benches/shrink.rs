// SPDX-License-Identifier: MPL-2.0
//! How small a failure among 2,000 commands gets, and in what time.
//! `cargo bench -p stmf-sim --bench shrink`. One core; the figures are for a person to read.

#[path = "../tests/common/buried.rs"]
mod buried;

use std::rc::Rc;
use std::time::Instant;
use stmf_sim::report::style::Style;
use stmf_sim::shrink::{self, DEFAULT_TRIES, Keep, Settings};

/// Commands among which the failure is.
const COMMANDS: u64 = 2000;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 1..=3 {
        let input = folder.path().join(format!("{seed}.pcapng"));
        assert!(buried::record(&input, seed, COMMANDS).is_some());
        let settings = Settings {
            output: shrink::default_output(&input),
            input,
            keep: Keep::FirstFinding,
            tries: DEFAULT_TRIES,
            disk: None,
            node: None,
        };
        let started = Instant::now();
        let report = shrink::shrink(&settings, Rc::new(())).unwrap();
        println!("{}", report.text(Style::PLAIN, started.elapsed()));
    }
}
