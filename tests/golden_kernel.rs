// SPDX-License-Identifier: MPL-2.0
//! The promise: the fake kernel does what the kernel's own proxy service did in every recorded
//! run of its active side. The same results, upcalls in order, counters, sessions, ports, tasks,
//! and a panic or a hang at the same step.

mod common;

use common::{
    Recording, SERVICE_FIELDS, command_for, compare, ending, lines, play, recordings, run,
};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use stmf_sim::kernel::KernelConfig;
use stmf_sim::kernel::play::{Player, ServicePlayer};

/// Runs that are not matched, and why. An entry for a run that is matched fails the test.
const EXCEPTIONS: [(&str, &str); 1] = [(
    "123_wire_native_encoding_accepted",
    "it posts lists packed in the native encoding, which no kernel sends and which the decoder \
     refuses (docs/wire-format.md)",
)];

/// At most so many runs in a hundred may be excepted.
const EXCEPTIONS_PERCENT_MAX: usize = 3;

const RECORDINGS: &str = "fixtures/golden/kernel.jsonl.gz";

fn played(recording: &Recording) -> Vec<Value> {
    play(&mut ServicePlayer::new(KernelConfig::default()), recording)
}

fn again(recording: &str) -> String {
    command_for(RECORDINGS, recording, "kernel play")
}

#[test]
fn every_recorded_run_is_reproduced() {
    let recordings = recordings(RECORDINGS);
    assert_eq!(recordings.len(), 184);
    assert!(EXCEPTIONS.len() * 100 <= EXCEPTIONS_PERCENT_MAX * recordings.len());
    let mut failures = Vec::new();
    let mut excepted = 0;
    for recording in &recordings {
        let difference = compare(recording, &SERVICE_FIELDS, &played(recording));
        let exception = EXCEPTIONS.iter().find(|(name, _)| *name == recording.file);
        let name = &recording.file;
        match (difference, exception) {
            (None, None) => {}
            (Some(_), Some(_)) => excepted += 1,
            (None, Some(_)) => {
                failures.push(format!(
                    "{name}: matched, take it off the list of exceptions"
                ));
            }
            (Some(difference), None) => {
                failures.push(format!("{name}, {difference}\n  again: {}", again(name)));
            }
        }
    }
    assert_eq!(
        excepted,
        EXCEPTIONS.len(),
        "an exception is not among the recordings"
    );
    assert!(
        failures.is_empty(),
        "{} of {} runs differ:\n{}",
        failures.len(),
        recordings.len(),
        failures.join("\n")
    );
}

#[test]
fn a_difference_is_noticed_and_told() {
    let recording = recordings(RECORDINGS)
        .into_iter()
        .find(|r| r.file == "001_register_ok")
        .unwrap();
    let mut outs = played(&recording);
    assert_eq!(compare(&recording, &SERVICE_FIELDS, &outs), None);
    outs[2]["sessions"] = json!(1);
    let told = compare(&recording, &SERVICE_FIELDS, &outs).expect("a difference");
    assert!(told.starts_with("step 3, sessions:"), "{told}");
    outs.pop();
    assert_eq!(
        compare(&recording, &SERVICE_FIELDS, &outs).as_deref(),
        Some("ended before step 3 of 3")
    );
    let mut hanging = played(&recording);
    hanging[2]["hang"] = json!(true);
    assert!(compare(&recording, &SERVICE_FIELDS, &hanging).is_some());
}

#[test]
fn no_run_is_reproduced_by_a_kernel_without_traps_where_the_node_came_down() {
    // The other way round: the traps are what makes these runs end.
    let mut endings = 0;
    for recording in recordings(RECORDINGS) {
        let last = recording.steps.last().expect("a step");
        if ending(&last.out) == "goes on" {
            continue;
        }
        endings += 1;
        let config = KernelConfig {
            profile: stmf_sim::kernel::Profile::Hardened,
            ..KernelConfig::default()
        };
        let mut player = ServicePlayer::new(config);
        for step in &recording.steps {
            player.step(&step.input.to_string()).expect("a step");
        }
        assert!(
            !player.has_ended(),
            "{}: the hardened kernel went down",
            recording.file
        );
    }
    assert_eq!(endings, 24);
}

#[test]
fn the_program_plays_runs_from_standard_input() {
    let chosen = [
        "021_read_xfer_done_failed_twice",
        "031_read_257_blocks_in_two_messages",
        "053_trap1_then_deregister",
        "083_door_eagain_three_times",
        "093_task_management_lun_reset_aborts_held",
        "r010",
        "r198",
    ];
    let recordings = recordings(RECORDINGS);
    for name in chosen {
        let recording = recordings
            .iter()
            .find(|r| r.file == name)
            .expect("it is there");
        let mut input = String::new();
        for step in &recording.steps {
            input.push_str(&step.input.to_string());
            input.push('\n');
        }
        // What follows the end of a node is not read, and a run that ends is no failure.
        input.push_str("{\"op\":\"close\"}\n");
        let output = run(&["kernel", "play"], input.as_bytes());
        assert!(output.status.success(), "{name}: {output:?}");
        let mut outs = lines(&output.stdout);
        if ending(&recording.steps.last().unwrap().out) == "goes on" {
            outs.pop();
        }
        if let Some(difference) = compare(recording, &SERVICE_FIELDS, &outs) {
            panic!("{name}, {difference}\n  again: {}", again(name));
        }
    }
}

#[test]
fn a_line_that_is_no_step_is_named_with_its_number() {
    for (bad, told) in [
        (
            "{\"op\":\"fly\"}",
            "line 3: not a step: unknown variant `fly`",
        ),
        (
            "{\"op\":\"post\"}",
            "line 3: \"post\" takes either \"msg\" or \"wire\"",
        ),
        (
            "{\"op\":\"post\",\"wire\":\"0g\"}",
            "line 3: \"wire\" is not hexadecimal",
        ),
        (
            "{\"op\":\"post\",\"msg\":{\"type\":\"echo_request\"}}",
            "line 3: not a step:",
        ),
        (
            "{\"op\":\"door\",\"errno\":\"EWHAT\"}",
            "line 3: \"errno\" is \"EWHAT\"",
        ),
        (
            "{\"op\":\"lu_hold\"}",
            "line 3: not a step: missing field `on`",
        ),
        ("{\"op\":\"open\"", "line 3: not a step: EOF"),
        ("nonsense", "line 3: not a step:"),
    ] {
        let input = format!("{{\"op\":\"open\"}}\n\n{bad}\n{{\"op\":\"close\"}}\n");
        let output = run(&["kernel", "play"], input.as_bytes());
        assert_eq!(output.status.code(), Some(2), "{bad}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(told), "{bad}: {stderr}");
        assert_eq!(
            lines(&output.stdout).len(),
            1,
            "the step before it was done"
        );
    }
}

#[test]
fn outcomes_come_as_the_steps_are_done() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_stmf-sim"))
        .args([
            "kernel",
            "play",
            "--profile",
            "hardened",
            "--dialect",
            "2009",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    for number in 1..=3 {
        stdin.write_all(b"{\"op\":\"open\"}\n").expect("it reads");
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it writes");
        let out: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(out["step"], number);
        assert_eq!(out["result"], if number == 1 { "ok" } else { "EBUSY" });
    }
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
}
