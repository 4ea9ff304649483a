// SPDX-License-Identifier: MPL-2.0
//! The promise: a failure buried among many commands comes down to a few events, and what is left
//! is a trace that replays and shows the same failure.

#[path = "common/buried.rs"]
mod buried;

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use stmf_sim::findings::Kind;
use stmf_sim::recording::{self, Settings};
use stmf_sim::replay;
use stmf_sim::world::World;

fn shrink(file: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stmf-sim"))
        .args(["trace", "shrink"])
        .arg(file)
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_failure_among_many_commands_comes_down_to_a_few_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.pcapng");
    assert!(buried::record(&file, 3, 200).is_some());
    let output = shrink(&file, &["--json", "--time", "10m"]);
    assert_eq!(text(&output.stderr), "");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["before"]["commands"].as_u64().unwrap() >= 200);
    assert!(report["after"]["inputs"].as_u64().unwrap() < 20);
    assert_eq!(report["kind"], "hang");
    assert_eq!(report["stopped"], serde_json::Value::Null);
    let small = folder.path().join("run.small.pcapng");
    let replayed = replay::replay_file(&small, Default::default()).unwrap();
    assert_eq!(replayed.divergence, None);
    assert!(replayed.complete);
    assert!(
        replayed
            .findings
            .iter()
            .any(|found| found.kind == Kind::Hang)
    );
    // The same again.
    let first = std::fs::read(&small).unwrap();
    let again = shrink(&file, &["--time", "10m"]);
    assert_eq!(again.status.code(), Some(0));
    assert_eq!(std::fs::read(&small).unwrap(), first);
    // What is left is needed, each of it.
    let output = shrink(&small, &["--json", "--time", "10m"]);
    let smaller: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(smaller["before"]["inputs"], report["after"]["inputs"]);
    assert_eq!(smaller["after"]["inputs"], report["after"]["inputs"]);
}

#[test]
fn tries_bound_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.pcapng");
    assert!(buried::record(&file, 3, 40).is_some());
    let output = shrink(&file, &["--oracle", "hang", "--tries", "3", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["tries"], &report["stopped"]),
        (&3.into(), &"tries".into())
    );
    let people = text(&shrink(&file, &["--tries", "3"]).stdout);
    assert!(
        people.contains("out of tries (--tries): it may get smaller still"),
        "{people}"
    );
}

/// A run in which all is well, with these steps among what is done.
fn record_sound(file: &Path, steps: usize) {
    let builder = World::builder().seed(1);
    let (builder, recorder) = recording::record(builder, &Settings::file(file)).unwrap();
    let world = builder.build();
    let ended = world.run(async move |world| {
        for step in 0..steps {
            world.step(&format!("step {step}"));
            world.sleep(Duration::from_millis(3)).await;
        }
    });
    ended.unwrap();
    assert_eq!(recorder.borrow_mut().report().failure, None);
}

#[test]
fn a_failure_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.pcapng");
    record_sound(&file, 3);
    let output = shrink(&file, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("shows no failure"));
    let output = shrink(&file, &["--oracle", "deadlock"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("shows no deadlock; what it shows: nothing"));
    assert!(!folder.path().join("run.small.pcapng").exists());
}

#[test]
fn a_command_can_judge() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.pcapng");
    record_sound(&file, 40);
    let small = folder.path().join("small.pcapng");
    // Steps 7 and 31 are what it takes.
    let both = "if grep -q 'step 7\"' {} && grep -q 'step 31\"' {}; then false; fi";
    let out = small.to_str().unwrap();
    let output = shrink(
        &file,
        &["--exec", both, "--json", "-o", out, "--time", "10m"],
    );
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["before"]["inputs"], &report["after"]["inputs"]),
        (&40.into(), &2.into())
    );
    let output = shrink(&file, &["--exec", "true"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("does not fail for the trace"));
}

#[test]
fn what_cannot_be_read_or_played_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.pcapng");
    let unreadable = shrink(&file, &[]);
    assert_eq!(unreadable.status.code(), Some(2));
    std::fs::write(&file, "no trace at all").unwrap();
    assert_eq!(shrink(&file, &[]).status.code(), Some(2));
    assert_eq!(shrink(&file, &["--oracle", "oops"]).status.code(), Some(2));
    record_sound(&file, 1);
    let itself = shrink(&file, &["-o", file.to_str().unwrap()]);
    assert_eq!(itself.status.code(), Some(2));
    assert!(text(&itself.stderr).contains("over itself"));
}
