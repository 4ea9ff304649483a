// SPDX-License-Identifier: MPL-2.0
//! The promise: the fake kernel does what a whole recorded node did in every run: what
//! initiators see, upcalls and whether the stmf lock was held, registrations, LUs, ids, and a
//! panic at the same step.

mod common;

use common::{
    Recording, SERVICE_FIELDS, command_for, compare, ending, lines, play, recordings, run,
};
use serde_json::{Value, json};
use stmf_sim::kernel::KernelConfig;
use stmf_sim::kernel::play::NodePlayer;

/// What is compared of each step beside [`SERVICE_FIELDS`].
const NODE_FIELDS: [&str; 9] = [
    "initiator",
    "lock_held",
    "order",
    "proxy_registered",
    "lus",
    "rtpids",
    "alua",
    "next_msgid",
    "outstanding",
];

fn fields() -> Vec<&'static str> {
    SERVICE_FIELDS.into_iter().chain(NODE_FIELDS).collect()
}

const RECORDINGS: &str = "fixtures/golden/stmf.jsonl.gz";

fn played(recording: &Recording) -> Vec<Value> {
    play(&mut NodePlayer::new(KernelConfig::default()), recording)
}

fn again(recording: &str) -> String {
    command_for(RECORDINGS, recording, "kernel play --node")
}

#[test]
fn every_recorded_run_is_reproduced() {
    let recordings = recordings(RECORDINGS);
    assert_eq!(recordings.len(), 125);
    let mut failures = Vec::new();
    for recording in &recordings {
        if let Some(difference) = compare(recording, &fields(), &played(recording)) {
            let name = &recording.file;
            failures.push(format!("{name}, {difference}\n  again: {}", again(name)));
        }
    }
    let (failed, all) = (failures.len(), recordings.len());
    assert!(
        failures.is_empty(),
        "{failed} of {all} runs differ:\n{}",
        failures.join("\n")
    );
}

#[test]
fn a_difference_is_noticed_and_told() {
    let recordings = recordings(RECORDINGS);
    let recording = recordings
        .iter()
        .find(|r| r.file == "030_read_one_data")
        .expect("it is there");
    let steps = recording.steps.len();
    for field in fields() {
        let mut outs = played(recording);
        outs[steps - 1][field] = json!("something else");
        let told = compare(recording, &fields(), &outs).expect("a difference");
        assert!(
            told.starts_with(&format!("step {steps}, {field}:")),
            "{told}"
        );
    }
}

#[test]
fn the_program_plays_whole_nodes_from_standard_input() {
    let recordings = recordings(RECORDINGS);
    for name in [
        "036_read_two_large_data",
        "106_failover_round_trip",
        "119_messages_while_off",
    ] {
        let recording = recordings
            .iter()
            .find(|r| r.file == name)
            .expect("it is there");
        let steps: Vec<String> = recording
            .steps
            .iter()
            .map(|s| s.input.to_string())
            .collect();
        let output = run(&["kernel", "play", "--node"], steps.join("\n").as_bytes());
        assert!(output.status.success(), "{name}: {output:?}");
        let outs = lines(&output.stdout);
        assert_eq!(
            ending(outs.last().expect("a line")),
            ending(&recording.steps[outs.len() - 1].out)
        );
        if let Some(difference) = compare(recording, &fields(), &outs) {
            panic!("{name}, {difference}\n  again: {}", again(name));
        }
    }
}
