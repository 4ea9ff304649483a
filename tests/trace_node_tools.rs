// SPDX-License-Identifier: MPL-2.0
//! The promise: the trace of one real node, of which nothing is known but what its recorder saw,
//! can be replayed, cut down to the least that still fails, and made a test of.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use stmf_proxy::trace::{Event, Files, Record, Sink, Writer};
use stmf_sim::findings::Kind;
use stmf_sim::replay::node::{read_node_scripts, replay_node};

fn stmf_sim(arguments: &[&str], file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stmf-sim"))
        .args(arguments)
        .arg(file)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Records one node of a failure seen in the field.
fn record(folder: &Path, failure: &str, node: u8) -> PathBuf {
    let file = folder.join(format!("{failure}.pcapng"));
    let output = Command::new(env!("CARGO_BIN_EXE_stmf-sim"))
        .args(["field", "show", failure, "--only-node", &node.to_string()])
        .arg("--record")
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    file
}

/// What a recorder on a real node sees: what passes between kernel and relay, calls of the door
/// API, and nothing of initiators and operators. A real recorder does not know of simulators.
fn as_on_a_real_node(from: &Path, to: &Path) {
    let mut files = Files::open(from).unwrap();
    let mut section = files.section().unwrap().clone();
    (section.seed, section.scenario) = (None, None);
    let mut writer = Writer::create(to, section).unwrap();
    while let Some(entry) = files.next_entry().unwrap() {
        let event = match entry.record.event {
            // A real recorder cannot know how often the kernel has tried, or what it holds.
            Event::Upcall { call, message, .. } => Event::Upcall {
                call,
                attempt: 0,
                lock_held: false,
                message,
            },
            event @ (Event::UpcallDone { .. }
            | Event::Post { .. }
            | Event::PostDone { .. }
            | Event::Panic { .. }
            | Event::RelayStarted
            | Event::RelayEnded) => event,
            _ => continue,
        };
        let record = Record {
            event,
            ..entry.record
        };
        writer.record(&record);
    }
    writer.finish().unwrap();
}

struct Shrunk {
    before: u64,
    after: u64,
    text: String,
}

/// Cuts a trace of a node down, and checks that what is left replays and fails as before.
fn shrink(file: &Path, node: u8, kind: Kind) -> Shrunk {
    let whole = replay_node(file, node).unwrap();
    assert!(whole.agrees(), "{whole}");
    let output = stmf_sim(
        &[
            "trace",
            "shrink",
            "--json",
            "--time",
            "10m",
            "--oracle",
            kind.name(),
        ],
        file,
    );
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let small = stmf_sim::shrink::default_output(file);
    let run = replay_node(&small, node).unwrap();
    assert!(run.agrees(), "{run}");
    let found = run.findings(node);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].kind, kind);
    assert_eq!(report["text"], found[0].text);
    // Numbers of tasks may have changed; nothing else.
    let words = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
    let before = whole.findings(node);
    assert_eq!(words(&found[0].text), words(&before[0].text));
    let replayed = stmf_sim(&["trace", "replay"], &small);
    assert_eq!(replayed.status.code(), Some(0));
    assert!(text(&replayed.stdout).contains(&found[0].text));
    let inputs = |file: &Path| {
        let scripts = read_node_scripts(file, None).unwrap().scripts;
        scripts[0].input_count() as u64
    };
    let shrunk = Shrunk {
        before: inputs(file),
        after: inputs(&small),
        text: found[0].text.clone(),
    };
    assert_eq!(report["before"]["inputs"], shrunk.before);
    assert_eq!(report["after"]["inputs"], shrunk.after);
    shrunk
}

#[test]
fn the_panic_of_a_node_comes_down_to_what_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let file = record(folder.path(), "bad-message", 1);
    let shrunk = shrink(&file, 1, Kind::NodePanic);
    assert!(shrunk.before > 10 && shrunk.after < 5, "{}", shrunk.after);
    assert!(shrunk.text.contains("before it has a TransportID"));
    // The same again.
    let small = stmf_sim::shrink::default_output(&file);
    let first = std::fs::read(&small).unwrap();
    shrink(&file, 1, Kind::NodePanic);
    assert_eq!(std::fs::read(&small).unwrap(), first);
    // What is left is needed, each of it.
    let again = shrink(&small, 1, Kind::NodePanic);
    assert_eq!(again.after, shrunk.after);
}

#[test]
fn commands_that_matter_stay() {
    let folder = tempfile::tempdir().unwrap();
    let file = record(folder.path(), "double-done", 1);
    let shrunk = shrink(&file, 1, Kind::NodePanic);
    assert!(shrunk.before > 50 && shrunk.after < 10, "{}", shrunk.after);
    let file = record(folder.path(), "stop-panic", 1);
    let shrunk = shrink(&file, 1, Kind::NodePanic);
    assert!(shrunk.before > 50 && shrunk.after < 20, "{}", shrunk.after);
}

#[test]
fn a_hang_in_a_node_comes_down_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = record(folder.path(), "back-pressure", 0);
    let shrunk = shrink(&file, 0, Kind::Hang);
    assert!(shrunk.after < shrunk.before, "{}", shrunk.after);
    let file = record(folder.path(), "leaked-hold", 1);
    let shrunk = shrink(&file, 1, Kind::Hang);
    assert!(shrunk.after < shrunk.before / 2, "{}", shrunk.after);
    assert!(shrunk.text.contains("waits for the last hold"));
}

#[test]
fn a_trace_without_initiators_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    for failure in ["bad-message", "double-done"] {
        let recorded = record(folder.path(), failure, 1);
        let file = folder.path().join("customer.pcapng");
        as_on_a_real_node(&recorded, &file);
        let shrunk = shrink(&file, 1, Kind::NodePanic);
        assert!(shrunk.after < shrunk.before, "{failure}: {}", shrunk.after);
    }
}

#[test]
fn a_test_is_made_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = record(folder.path(), "reboot-panic", 1);
    let shrunk = shrink(&file, 1, Kind::NodePanic);
    let small = stmf_sim::shrink::default_output(&file);
    let path = "fixtures/small.pcapng";
    let output = stmf_sim(&["trace", "to-test", "--path", path], &small);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    let made = text(&output.stdout);
    let run = replay_node(&small, 1).unwrap();
    for expected in [
        "fn replays_small_node_1() {".to_string(),
        "concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/fixtures/small.pcapng\")".to_string(),
        "stmf_sim::replay::node::replay_node(trace.as_ref(), 1)".to_string(),
        "run.agrees()".to_string(),
        format!("\"{:016x}\"", run.hash),
        format!("{:?}", run.findings(1)[0].to_string()),
    ] {
        assert!(made.contains(&expected), "{expected} is not in\n{made}");
    }
    assert!(made.contains(&shrunk.text), "{made}");
    let other = stmf_sim(&["trace", "to-test", "--node", "0"], &small);
    assert_eq!(other.status.code(), Some(2));
    assert!(text(&other.stderr).contains("no events of node 0"));
}

#[test]
fn what_cannot_be_cut_is_told_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = record(folder.path(), "bad-message", 0);
    let small = stmf_sim::shrink::default_output(&file);
    let output = stmf_sim(&["trace", "shrink", "--oracle", "node-panic"], &file);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("shows no node-panic; what it shows: nothing"));
    assert!(!small.exists());
    let output = stmf_sim(&["trace", "shrink", "--node", "7"], &file);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no events of node 7"));
    // Both nodes, and no run of a world.
    let both = folder.path().join("both.pcapng");
    let recorded = record(folder.path(), "early-post", 0);
    let mut files = Files::open(&recorded).unwrap();
    let mut section = files.section().unwrap().clone();
    section.nodes.insert(1, None);
    let mut writer = Writer::create(&both, section).unwrap();
    while let Some(entry) = files.next_entry().unwrap() {
        for node in [0, 1] {
            let node = Some(node);
            let record = Record {
                node,
                ..entry.record
            };
            writer.record(&record);
        }
    }
    writer.finish().unwrap();
    let output = stmf_sim(&["trace", "shrink"], &both);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("choose one with --node N: 0, 1"), "{error}");
    let output = stmf_sim(&["trace", "shrink", "--node", "0"], &both);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

/// A kernel with a defect does the same again only with the defect: the trace names it.
#[test]
fn the_defects_of_a_kernel_are_named_in_the_trace_of_its_node() {
    let folder = tempfile::tempdir().unwrap();
    for (id, node) in [
        ("6901087", "0"),
        ("nex-3188", "0"),
        ("3775-8564-13365", "1"),
    ] {
        let path = folder.path().join(id).display().to_string();
        let program = env!("CARGO_BIN_EXE_stmf-sim");
        let show = ["field", "show", id, "--record", &path, "--only-node", node];
        let shown = std::process::Command::new(program).args(show).output();
        assert!(shown.unwrap().status.success(), "{id}");
        let mut replay = std::process::Command::new(program);
        replay.args(["trace", "replay", &path]);
        let output = replay.output().unwrap();
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{id}: {report}");
        assert!(report.contains("node-panic: "), "{id}: {report}");
    }
}
