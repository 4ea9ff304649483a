// SPDX-License-Identifier: MPL-2.0
//! What was recorded happens again.

use super::worlds::*;
use crate::kernel::Profile;
use crate::replay::node::{DivergenceKind, NodeSettings};
use stmf_proxy::trace::{Event, RecordBuf, Snap};

#[test]
fn a_node_of_a_world_replays() {
    for seed in 0..6 {
        let recorded = world(seed);
        recorded.world.run(busy_life).unwrap().unwrap();
        let records = recorded.records();
        for node in [0, 1] {
            let run = replay(&records, settings(node));
            assert!(run.agrees(), "seed {seed}, node {node}:\n{run}");
            assert!(run.hang.is_none(), "seed {seed}, node {node}:\n{run}");
            assert!(
                run.compared.upcalls > 30,
                "seed {seed}, node {node}:\n{run}"
            );
        }
    }
}

#[test]
fn what_a_relay_sees_is_enough() {
    for seed in 0..6 {
        let recorded = world(seed);
        recorded.world.run(busy_life).unwrap().unwrap();
        let records = without_initiators(&recorded.records());
        for node in [0, 1] {
            for settings in [settings(node), real(node)] {
                let run = replay(&records, settings);
                assert!(run.agrees(), "seed {seed}, node {node}:\n{run}");
                assert!(
                    run.compared.upcalls > 30,
                    "seed {seed}, node {node}:\n{run}"
                );
            }
        }
    }
}

#[test]
fn the_same_script_runs_the_same() {
    let recorded = world(3);
    recorded.world.run(busy_life).unwrap().unwrap();
    let records = recorded.records();
    let script = script(&records, settings(1));
    let (one, other) = (script.run(script.settings()), script.run(script.settings()));
    assert_eq!(one, other);
    assert_ne!(one.hash, 0);
}

#[test]
fn data_that_was_not_recorded_is_not_compared() {
    let recorded = world(2);
    recorded.world.run(busy_life).unwrap().unwrap();
    for node in [0, 1] {
        for snap in [
            Snap::NO_DATA,
            Snap::DIGEST,
            Snap {
                keep: Some(100),
                digest: false,
            },
        ] {
            let records = snapped(&recorded.records(), snap);
            for records in [without_initiators(&records), records] {
                let run = replay(&records, settings(node));
                assert!(run.agrees(), "node {node}, {snap:?}:\n{run}");
                // A standby node without initiators sends no data that would be long enough.
                let sends = node == 0 || script(&records, settings(node)).has_initiators();
                let uncompared = run.compared.data_not_compared;
                assert!(
                    uncompared > 100_000 || !sends,
                    "node {node}, {snap:?}:\n{run}"
                );
            }
        }
    }
}

#[test]
fn a_panic_is_played_as_a_panic() {
    let records = panicking();
    let run = replay(&records, settings(1));
    assert!(run.agrees(), "{run}");
    let panic = run.panic.as_ref().expect("trap 4 is sprung");
    assert!(panic.recorded && panic.trap == 4, "{run}");
    // Where the recording does not tell of it, it shows.
    let quiet: Vec<RecordBuf> = records
        .iter()
        .filter(|record| !matches!(record.get().event, Event::Panic { .. }))
        .cloned()
        .collect();
    let run = replay(&quiet, settings(1));
    assert!(
        run.panic.as_ref().is_some_and(|panic| !panic.recorded),
        "{run}"
    );
    // A hardened kernel does not do what was recorded.
    let hardened = NodeSettings {
        profile: Profile::Hardened,
        ..settings(1)
    };
    let run = replay(&records, hardened);
    let divergence = run.divergence.expect("there is no panic");
    assert_eq!(divergence.kind, DivergenceKind::NeverCame);
}
