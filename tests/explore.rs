// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim explore` finds what is put into the world, hands over a trace that shows it, and says
//! the same however many threads look.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn stmf_sim(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stmf-sim"))
        .current_dir(directory)
        .args(arguments)
        .output()
        .expect("stmf-sim runs")
}

fn explore(directory: &Path, arguments: &[&str]) -> Output {
    stmf_sim(directory, &[&["explore"], arguments].concat())
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("the report is text")
}

fn object(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// What stands behind a word at the beginning of a line of the report.
fn told<'a>(report: &'a str, what: &str) -> &'a str {
    let line = report
        .lines()
        .find_map(|line| line.trim().strip_prefix(what));
    line.unwrap_or_else(|| panic!("no line {what:?} in:\n{report}"))
        .trim()
}

#[test]
fn a_quiet_range_of_seeds_is_clean() {
    let directory = tempfile::tempdir().unwrap();
    let range = ["--faults", "none", "--family", "traffic", "--seeds", "4"];
    let output = explore(directory.path(), &range);
    let report = text(&output);
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert!(report.ends_with("clean: 4 seeds from 0\n"), "{report}");
    // In a log no progress of what takes no minute, and no directory where nothing was found.
    assert!(output.stderr.is_empty());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn faults_that_never_happen_are_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    // Nobody turns the power off in this family.
    let range = ["--faults", "node", "--family", "traffic", "--seeds", "2"];
    let output = explore(directory.path(), &range);
    let report = text(&output);
    assert_eq!(output.status.code(), Some(1), "{report}");
    let last = report.lines().last().unwrap();
    assert!(
        last.contains("no fault of node ever happened in 2 seeds"),
        "{last}"
    );
}

#[test]
fn what_is_wrong_is_found_and_the_trace_shows_it() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let range = [
        "--defect", "reorder", "--seeds", "50", "--jobs", "2", "--tries", "60",
    ];
    let output = explore(directory, &range);
    let report = text(&output);
    assert_eq!(output.status.code(), Some(1), "{report}");
    let trace = told(&report, "recorded");
    let small = told(&report, "shrunk");
    assert!(trace.starts_with("explore-found/explore-") && trace.ends_with(".pcapng"));
    assert!(small.ends_with(".small.pcapng"));
    for file in [trace, small] {
        let replayed = stmf_sim(directory, &["trace", "replay", file, "--json"]);
        assert_eq!(
            replayed.status.code(),
            Some(0),
            "{file} replays as recorded"
        );
        assert!(
            !object(&replayed)["findings"].as_array().unwrap().is_empty(),
            "{file}"
        );
    }
    // The commands that are printed.
    for what in ["replay it", "look at it", "run it again"] {
        let words: Vec<&str> = told(&report, what).split(' ').skip(1).collect();
        let output = stmf_sim(directory, &words);
        let code = if what == "run it again" { 1 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{words:?}");
        assert!(!output.stdout.is_empty());
    }
    // What the small trace shows is what was found.
    let found = stmf_sim(directory, &["trace", "replay", small, "--json"]);
    let kind = object(&found)["findings"][0]["kind"]
        .as_str()
        .unwrap()
        .to_string();
    assert!(
        report.contains(&format!("  {kind}: ")),
        "{kind} in:\n{report}"
    );
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let directory = tempfile::tempdir().unwrap();
    let run = |jobs: &str, more: &[&str]| {
        let range = [
            "--json", "--from", "30", "--seeds", "16", "--tries", "0", "--jobs", jobs,
        ];
        let mut object = object(&explore(directory.path(), &[&range, more].concat()));
        let fields = object.as_object_mut().unwrap();
        assert_eq!(fields.remove("jobs").unwrap().to_string(), jobs);
        assert!(fields.remove("real_milliseconds").unwrap().is_u64());
        object
    };
    for more in [
        &["--keep-going"][..],
        &["--coverage", "--defect", "reorder"],
    ] {
        let one = run("1", more);
        assert_eq!(one, run("2", more));
        assert_eq!(one["from"], 30);
        assert!(one["totals"]["commands"].as_u64().unwrap() > 0);
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let directory = tempfile::tempdir().unwrap();
    let range = [
        "--check-determinism",
        "--keep-going",
        "--seeds",
        "36",
        "--tries",
        "0",
        "--json",
    ];
    let output = object(&explore(directory.path(), &range));
    assert_eq!(output["seeds"], 36);
    for group in output["failure_groups"].as_array().unwrap() {
        assert_ne!(group["kind"], "nondeterminism", "{group}");
    }
}

#[test]
fn coverage_lists_what_was_never_met() {
    let directory = tempfile::tempdir().unwrap();
    let range = ["--coverage", "--keep-going", "--seeds", "6", "--tries", "0"];
    let output = explore(directory.path(), &range);
    let report = text(&output);
    assert!(report.contains("\nscsi_cmd "), "{report}");
    assert!(
        report.contains("pairs of message and state were met"),
        "{report}"
    );
}

/// Whoever breaks a long search off has heard of what failed until then.
#[test]
fn failures_are_told_as_they_come() {
    let directory = tempfile::tempdir().unwrap();
    let range = ["--defect", "back-pressure", "--seeds", "4", "--tries", "0"];
    let with = |more: &[&str]| {
        let output = explore(directory.path(), &[&range[..], more].concat());
        (text(&output), String::from_utf8(output.stderr).unwrap())
    };
    let (report, told) = with(&["--keep-going"]);
    let (json, nothing) = with(&["--keep-going", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let failures = json["failures"].as_array().unwrap();
    // Each once, in the order of the seeds, with the first thing that was found.
    let expected = failures.iter().map(|failure| {
        let first = &failure["findings"][0];
        let kind = first["kind"].as_str().unwrap();
        format!("seed {} failed: {kind}: ", failure["seed"])
    });
    let expected: Vec<_> = expected.collect();
    assert!(expected.len() > 1, "{report}");
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{told}");
    for (line, expected) in lines.iter().zip(&expected) {
        assert!(line.starts_with(expected), "{line}: not {expected}");
    }
    // Where a machine reads nothing is told, and where the search ends with a failure its report
    // tells it.
    assert_eq!((nothing.as_str(), with(&[]).1.as_str()), ("", ""));
}

#[test]
fn options_that_cannot_be_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        ["--seeds", "0"],
        ["--jobs", "0"],
        ["--time", "soon"],
        ["--faults", "weather"],
        ["--faults", "all,link"],
        ["--family", "weather"],
        ["--relay", "nobody's"],
        ["--defect", "nothing"],
        ["--profile", "solaris"],
    ] {
        let output = explore(directory.path(), &arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(arguments[1]), "{said}");
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_told() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "").unwrap();
    let range = ["--defect", "reorder", "--seeds", "50", "--out", "file"];
    let output = explore(directory.path(), &range);
    assert_eq!(output.status.code(), Some(1));
    let report = text(&output);
    let why = told(&report, "not recorded");
    assert!(why.contains("cannot make the directory file"), "{why}");
}
