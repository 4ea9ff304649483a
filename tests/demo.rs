// SPDX-License-Identifier: MPL-2.0
//! The promise: `stmf-sim demo` shows two nodes at work, checks every step, and the run follows
//! from its seed.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::process::{Command, Output};

/// The hash of the run with seed 1 and a disk of 1 MiB, on every machine, in debug and release
/// (`.ci/run` compares a release build's). It changes when a run changes: when a message, a relay
/// action, an event or a draw is added. Then look at what changed, and store the value that the
/// failing test prints.
const STORED_HASH: &str = include_str!("../fixtures/demo.trace-hash");

fn demo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stmf-sim"))
        .arg("demo")
        .args(arguments)
        .output()
        .unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = demo(&[arguments, &["--json"]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(text.lines().count(), 1, "one object");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn every_check_holds_and_the_hash_is_the_stored_one() {
    let report = json(&["--disk-size", "1m", "--seed", "1"]);
    assert_eq!(report["passed"], true);
    assert!(
        report["checks"].as_array().unwrap().len() >= 19,
        "{report:#}"
    );
    assert!(
        report["checks"]
            .as_array()
            .unwrap()
            .iter()
            .all(|check| check["passed"] == true)
    );
    assert_eq!(report["disk_bytes"], 1 << 20);
    assert_eq!(report["copied_sha256"], report["disk_sha256"]);
    assert_eq!(report["posts"], report["message_count"]);
    assert_eq!(report["retries"], 0);
    assert!(report["upcalls"].as_u64().unwrap() >= 80, "{report:#}");
    assert!(report["simulated_nanoseconds"].as_u64().unwrap() > 0);
    let data = report["messages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|traffic| {
            traffic["type"] == "scsi_data" && traffic["from"] == 1 && traffic["to"] == 0
        });
    // The whole disk, four bytes a byte.
    assert!(data.unwrap()["bytes"].as_u64().unwrap() > 4 << 20);
    assert_eq!(report["trace_hash"], STORED_HASH.trim());
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_one_another() {
    let hash = |seed| json(&["--disk-size", "256k", "--seed", seed])["trace_hash"].clone();
    let first = hash("7");
    assert_eq!(first.as_str().unwrap().len(), 16);
    assert_eq!(first, hash("7"));
    assert_ne!(first, hash("8"));
}

#[test]
fn the_hardened_kernel_passes_too() {
    let report = json(&["--disk-size", "64k", "--profile", "hardened"]);
    assert_eq!(report["profile"], "hardened");
}

#[test]
fn a_disk_of_the_users_is_padded_said_so_and_left_alone() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = (0..300_001u32).map(|number| (number % 251) as u8).collect();
    file.write_all(&bytes).unwrap();
    let path = file.path().to_str().unwrap();
    let report = json(&["--disk", path]);
    assert_eq!(report["disk_bytes"], 300_032);
    assert_eq!(report["padding_bytes"], 31);
    let mut padded = bytes.clone();
    padded.resize(300_032, 0);
    let digest: String = Sha256::digest(&padded)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(report["copied_sha256"], digest.as_str());
    assert_eq!(
        std::fs::read(path).unwrap(),
        bytes,
        "the file must not change"
    );
    let text = String::from_utf8(demo(&["--disk", path]).stdout).unwrap();
    assert!(
        text.contains("31 zero bytes to fill the last block"),
        "{text}"
    );
}

#[test]
fn the_smallest_disk_is_one_byte() {
    let report = json(&["--disk-size", "1"]);
    assert_eq!(
        (&report["disk_bytes"], &report["padding_bytes"]),
        (&512.into(), &511.into())
    );
}

#[test]
fn people_read_tables_and_a_ladder() {
    let output = demo(&["--disk-size", "64k", "--seed", "1", "--ladder"]);
    assert!(output.status.success());
    assert!(
        output.stderr.is_empty(),
        "no progress line where nobody looks"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\x1b'), "no colour where nobody looks");
    let ladder = text
        .split("first exchanges\n")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    assert!(
        ladder.lines().count() > 60 && ladder.contains("scsi_cmd"),
        "{ladder}"
    );
    assert!(
        ladder.lines().all(|line| line.chars().count() <= 100),
        "{ladder}"
    );
    assert!(text.ends_with("PASS\n"));
    // What differs from run to run stays out of the picture, and so does the ladder.
    let text: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("real time") && !line.starts_with("trace hash"))
        .filter(|line| !ladder.lines().any(|of_ladder| of_ladder == *line))
        .collect();
    insta::assert_snapshot!(text.join("\n"));
}

/// Bad arguments and bad disks: status 2, and a message that says what to do.
#[test]
fn what_is_wrong_with_the_arguments_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().to_str().unwrap();
    let empty = tempfile::NamedTempFile::new().unwrap();
    let empty = empty.path().to_str().unwrap();
    let large = tempfile::NamedTempFile::new().unwrap();
    large.as_file().set_len((1 << 31) + 1).unwrap();
    let large = large.path().to_str().unwrap();
    for (arguments, message) in [
        (
            &["--disk-size", "0"][..],
            "number of bytes from 1 to 2147483648",
        ),
        (
            &["--disk-size", "3g"],
            "number of bytes from 1 to 2147483648",
        ),
        (&["--seed", "one"], "invalid"),
        (
            &["--profile", "solaris"],
            "possible values: illumos, hardened",
        ),
        (&["--disk", "a", "--disk-size", "1m"], "cannot be used with"),
        (&["--ladder", "--json"], "cannot be used with"),
        (&["--disc", "a"], "unexpected argument"),
        (
            &["--disk", "/nonexistent/disk"],
            "cannot read the disk /nonexistent/disk",
        ),
        (&["--disk", directory], "is a directory"),
        (&["--disk", empty], "the disk is empty"),
        (&["--disk", large], "the disk has 2147483649 bytes"),
    ] {
        let output = demo(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(message), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty());
    }
}
