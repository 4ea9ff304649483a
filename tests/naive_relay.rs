// SPDX-License-Identifier: MPL-2.0
//! The promise: exploration of a relay as one writes it at first finds failures of the field in
//! it, by name, within a few scenarios (examples/naive_relay.rs).

#[allow(dead_code, reason = "the test calls parts of the example")]
#[path = "../examples/naive_relay.rs"]
mod naive_relay;

use naive_relay::{ENOUGH, SEEDS, explore, play};
use stmf_sim::explore::Settings;

#[test]
fn enough_failures_of_the_field_are_met_by_name() {
    let (met, _) = explore(0..SEEDS);
    let ids: Vec<_> = met.iter().map(|met| (met.failure.id, met.seed)).collect();
    assert!(ids.len() >= ENOUGH, "{ids:?}");
    // What the table says is so: the seed alone leads there.
    for met in &met[..ENOUGH] {
        let again = play(met.seed, Settings::default());
        assert!(again.findings.contains(&met.finding), "{}", met.failure.id);
    }
}

#[test]
fn the_relay_is_as_short_as_it_claims() {
    let text = include_str!("../examples/naive_relay.rs");
    let (_, rest) = text.split_once("// The relay begins here.").unwrap();
    let (relay, _) = rest.split_once("// The relay ends here.").unwrap();
    let says_something = |line: &&str| line.contains(|c: char| c.is_alphanumeric());
    let lines = relay.lines().filter(says_something).count();
    assert!(lines <= 60, "{lines} lines, lone brackets not counted");
}
