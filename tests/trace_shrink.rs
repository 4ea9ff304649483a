// SPDX-License-Identifier: MPL-2.0
//! The promise: a failure buried among many commands comes down to a few events, and what is left
//! is a trace that replays and shows the same failure.

#[path = "common/buried.rs"]
mod buried;

use std::path::Path;
use std::process::{Command, Output};
use stmf_sim::findings::Kind;
use stmf_sim::replay;

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
    assert!(buried::record_hang(&file, 3, 200));
    let output = shrink(&file, &["--json", "--time", "10m"]);
    assert_eq!(text(&output.stderr), "");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    eprintln!("{report:#}");
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
    // The same again, and nothing more to cut.
    let first = std::fs::read(&small).unwrap();
    let again = shrink(&file, &["--time", "10m"]);
    assert_eq!(again.status.code(), Some(0));
    assert_eq!(std::fs::read(&small).unwrap(), first);
}
