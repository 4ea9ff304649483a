// SPDX-License-Identifier: MPL-2.0
//! The promise: from a trace to a test in a few commands. What was recorded replays with its
//! failure named, files are compared, a test is printed that passes, failures of the field are
//! listed and shown; and what cannot be done is said, with an exit code that tells it apart.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn field(id: &str) -> String {
    let path = root().join("fixtures/field").join(id).join("trace.pcapng");
    path.display().to_string()
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stmf-sim"))
        .args(arguments)
        .output()
        .expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

/// Records a small demonstration.
fn demo(folder: &Path, name: &str, more: &[&str]) -> String {
    let path = folder.join(name).display().to_string();
    let mut arguments = vec!["demo", "--disk-size", "64k", "--record", &path];
    arguments.extend(more);
    let output = run(&arguments);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("recorded "), "it is said");
    path
}

#[test]
fn a_recorded_demonstration_replays_with_an_equal_hash() {
    let folder = tempfile::tempdir().unwrap();
    let path = demo(folder.path(), "whole.pcapng", &[]);
    let output = run(&["trace", "replay", &path]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stdout));
    let plain = run(&["demo", "--disk-size", "64k", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&plain.stdout).unwrap();
    let hash = report["trace_hash"].as_str().unwrap();
    assert!(text(&output.stdout).contains(&format!("hash {hash}")));
    // Whether data is recorded makes no difference to the run.
    let snapped = demo(
        folder.path(),
        "snap.pcapng",
        &["--snap", "65536", "--digest"],
    );
    assert_eq!(code(&run(&["trace", "diff", &path, &snapped])), Some(0));
    // What is made again can be recorded again.
    let again = folder.path().join("again.pcapng").display().to_string();
    let output = run(&["trace", "replay", &path, "--record", &again]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let (first, second) = (std::fs::read(&path), std::fs::read(&again));
    assert!(first.unwrap() == second.unwrap(), "byte for byte the same");
    assert_eq!(code(&run(&["trace", "replay", &snapped])), Some(0));
}

#[test]
fn one_node_of_a_demonstration_replays_alone() {
    let folder = tempfile::tempdir().unwrap();
    for node in ["0", "1"] {
        let path = demo(folder.path(), node, &["--only-node", node]);
        let output = run(&["trace", "replay", &path]);
        assert_eq!(code(&output), Some(0), "{}", text(&output.stdout));
        assert!(text(&output.stdout).contains("no divergence"));
    }
}

#[test]
fn a_ring_keeps_to_its_bounds_and_replays_if_nothing_was_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = ["--max-bytes", "131072", "--files", "50"];
    let path = demo(folder.path(), "ring", &bounds);
    let files: Vec<u64> = std::fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .collect();
    assert!(files.len() > 1 && files.len() <= 50, "{files:?}");
    assert!(files.iter().all(|length| *length <= 131_072), "{files:?}");
    assert_eq!(code(&run(&["trace", "replay", &path])), Some(0));
}

#[test]
fn runs_that_differ_are_told_field_by_field() {
    let folder = tempfile::tempdir().unwrap();
    let one = demo(folder.path(), "one.pcapng", &[]);
    let other = demo(folder.path(), "other.pcapng", &["--seed", "2"]);
    let output = run(&["trace", "diff", &one, &other]);
    assert_eq!(code(&output), Some(1));
    let report = text(&output.stdout);
    assert!(report.starts_with("first difference at event "), "{report}");
    assert!(report.contains("field by field (> differs):"), "{report}");
    let output = run(&["trace", "diff", &one, &other, "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["same"], false);
    assert!(report["difference"]["event"].as_u64() > Some(1));
}

#[test]
fn a_failure_is_named_by_its_replay() {
    let output = run(&["trace", "replay", &field("back-pressure")]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stdout));
    let report = text(&output.stdout);
    assert!(report.contains("deadlock: node 0 holds the stmf lock in an upcall"));
    let output = run(&["trace", "replay", &field("reboot-panic"), "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["same"], true);
    let kinds = report["findings"].as_array().unwrap().iter();
    let mut kinds = kinds.map(|finding| finding["kind"].as_str().unwrap());
    assert!(kinds.any(|kind| kind == "node-panic"), "{report}");
}

#[test]
fn the_test_that_is_made_of_a_trace_is_the_one_that_passes() {
    let path = "../fixtures/field/back-pressure/trace.pcapng";
    let output = run(&["trace", "to-test", &field("back-pressure"), "--path", path]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let committed = include_str!("made_by_to_test.rs");
    let (_, committed) = committed.split_once("// ---\n").expect("a line");
    assert_eq!(text(&output.stdout), committed);
}

#[test]
fn failures_of_the_field_are_listed_and_shown() {
    let output = run(&["field", "list", "--json"]);
    let list = text(&output.stdout);
    let lines: Vec<serde_json::Value> = list
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object a line"))
        .collect();
    assert_eq!(lines.len(), 26);
    assert!(
        lines
            .iter()
            .all(|line| line["id"].is_string() && line["why"].is_string())
    );
    let table = text(&run(&["field", "list"]).stdout);
    assert_eq!(table.lines().count(), 27, "{table}");
    let output = run(&["field", "show", "bad-message"]);
    assert_eq!(code(&output), Some(0));
    let shown = text(&output.stdout);
    assert!(
        shown.contains("(trap 4)") && shown.contains("nothing went wrong"),
        "{shown}"
    );
    let longest = shown.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(80), "{shown}");
}

#[test]
fn a_failure_that_is_shown_can_be_recorded_and_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.pcapng").display().to_string();
    let output = run(&["field", "show", "double-done", "--record", &path, "--json"]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let hash = report["runs"][0]["trace_hash"].as_str().unwrap();
    let replayed = text(&run(&["trace", "replay", &path]).stdout);
    assert!(
        replayed.contains(hash) && replayed.contains("(trap 3)"),
        "{replayed}"
    );
}

#[test]
fn what_cannot_be_done_is_said() {
    for (arguments, said) in [
        (vec!["field", "show", "no-such"], "no failure is called"),
        (vec!["trace", "replay", "/nonexistent"], "/nonexistent"),
        (
            vec!["trace", "diff", "/nonexistent", "/nonexistent"],
            "/nonexistent",
        ),
        (vec!["trace", "to-test", "/nonexistent"], "/nonexistent"),
        (
            vec!["demo", "--record", "/nonexistent/x.pcapng"],
            "cannot record into /nonexistent/x.pcapng",
        ),
        (
            vec!["demo", "--record", "x", "--max-bytes", "1"],
            "cannot be bounded at 1 bytes",
        ),
    ] {
        let output = run(&arguments);
        assert_eq!(code(&output), Some(2), "{arguments:?}");
        let error = text(&output.stderr);
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}
