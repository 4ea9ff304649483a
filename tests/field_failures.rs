// SPDX-License-Identifier: MPL-2.0
//! The promise: every failure that was seen in the field can be shown. With what causes it the
//! failure happens and is named; without, the same seed passes; and the stored trace of it shows
//! it again.
//!
//! `just field-fixtures` (UPDATE_FIXTURES=1) records and shrinks the traces anew and writes the
//! pages; without it the pages are compared.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::trace::Snap;
use stmf_sim::field::page::{self, Stored};
use stmf_sim::field::{self, Failure, Variant};
use stmf_sim::findings::Finding;
use stmf_sim::recording::{self, TraceRecorder};
use stmf_sim::replay::{self, Replayed};
use stmf_sim::report::style::Style;
use stmf_sim::shrink::{self, Keep};

/// The rows of the table, as the field knows them.
const IDS: [&str; 26] = [
    "6972190",
    "6817374-mixed",
    "6901087",
    "6895461",
    "6894324",
    "chunk-offset",
    "6903022",
    "3775-8564-13365",
    "6901972",
    "3751",
    "nex-3188",
    "nex-1825",
    "truncated-status",
    "init-leak",
    "big-read",
    "reorder",
    "back-pressure",
    "ghost-session",
    "reboot-panic",
    "leaked-hold",
    "double-done",
    "stop-panic",
    "bad-message",
    "early-post",
    "lost-result",
    "same-node",
];

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn trace_of(failure: &Failure) -> PathBuf {
    root()
        .join("fixtures/field")
        .join(failure.id)
        .join("trace.pcapng")
}

fn updating() -> bool {
    std::env::var_os("UPDATE_FIXTURES").is_some()
}

fn listed(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(|found| format!("  {found}")).collect();
    match lines.is_empty() {
        true => "  nothing".into(),
        false => lines.join("\n"),
    }
}

fn see(failure: &Failure) -> String {
    format!("see it: cargo run -p stmf-sim -- field show {}", failure.id)
}

#[test]
fn every_row_of_the_table_is_there() {
    let ids: Vec<&str> = field::all().map(|failure| failure.id).collect();
    assert_eq!(ids, IDS);
}

#[test]
fn with_its_cause_each_shows_and_is_named() {
    for failure in field::all() {
        let run = field::run(failure, Variant::Broken, failure.seed, None);
        assert!(
            run.findings.iter().any(|found| failure.is_named_by(found)),
            "{}, seed {}: not named; found:\n{}\n{}",
            failure.id,
            failure.seed,
            listed(&run.findings),
            see(failure),
        );
    }
}

#[test]
fn without_its_cause_the_same_seed_passes() {
    for failure in field::all() {
        let run = field::run(failure, Variant::Sound, failure.seed, None);
        assert!(
            run.findings.is_empty() && run.stopped.is_none(),
            "{}, seed {}: stopped: {:?}; found:\n{}\n{}",
            failure.id,
            failure.seed,
            run.stopped,
            listed(&run.findings),
            see(failure),
        );
    }
}

/// Records the failure and cuts the recording down to what is needed.
fn write_trace(failure: &Failure) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole.pcapng");
    let plan = (failure.build)(Variant::Broken).seed(failure.seed).plan();
    let settings = recording::Settings {
        scenario: Some(format!("field {}", failure.id)),
        ..recording::Settings::file(&path)
    };
    let recorder = Rc::new(RefCell::new(
        TraceRecorder::create(&plan, &settings).unwrap(),
    ));
    let run = field::run(
        failure,
        Variant::Broken,
        failure.seed,
        Some(recorder.clone()),
    );
    assert_eq!(recorder.borrow_mut().report().failure, None);
    let named = run.findings.iter().find(|found| failure.is_named_by(found));
    let named = named.expect("it is named").clone();
    let output = trace_of(failure);
    std::fs::create_dir_all(output.parent().unwrap()).unwrap();
    let settings = shrink::Settings {
        input: path,
        output,
        keep: Keep::Like(named),
        tries: shrink::DEFAULT_TRIES,
        disk: None,
        node: None,
    };
    let report = shrink::shrink(&settings, Rc::new(())).unwrap();
    println!("{}", report.text(Style::PLAIN, Duration::ZERO));
    leave_data_out(&settings.output);
}

/// A large trace is made once more with less of the data: a replay needs what was written to the
/// world, and nothing of what was read.
fn leave_data_out(path: &Path) {
    const LARGE: u64 = 256 << 10;
    if std::fs::metadata(path).unwrap().len() <= LARGE {
        return;
    }
    let (script, _) = replay::file::read_script(path).unwrap();
    let settings = recording::Settings {
        scenario: script.scenario.clone(),
        snap: Snap {
            keep: Some(1024),
            digest: true,
        },
        ..recording::Settings::file(path)
    };
    let recorder = TraceRecorder::create(&script.plan, &settings).unwrap();
    let recorder = Rc::new(RefCell::new(recorder));
    let play = replay::Settings {
        recorder: Some(recorder.clone()),
        ..Default::default()
    };
    replay::play(&script, replay::Mode::Exact, play).unwrap();
    assert_eq!(recorder.borrow_mut().report().failure, None);
}

fn replayed(failure: &Failure) -> Replayed {
    let path = trace_of(failure);
    replay::replay_file(&path, Default::default())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_stored_trace_of_each_shows_it_again() {
    let mut findings = Vec::new();
    for failure in field::all() {
        if updating() {
            write_trace(failure);
        }
        let replayed = replayed(failure);
        assert_eq!(replayed.divergence, None, "{}: it replays", failure.id);
        assert!(replayed.complete, "{}: it is whole", failure.id);
        let named = replayed
            .findings
            .iter()
            .find(|found| failure.is_named_by(found));
        let named = named.unwrap_or_else(|| {
            panic!(
                "{}: not named; found:\n{}",
                failure.id,
                listed(&replayed.findings)
            )
        });
        let (script, _) = replay::file::read_script(&trace_of(failure)).unwrap();
        let stored = Stored {
            finding: &named.to_string(),
            inputs: script.inputs.len(),
            events: replayed.equal,
        };
        let readme = page::readme(failure, &stored);
        same_file(trace_of(failure).with_file_name("README.md"), &readme);
        findings.push(named.to_string());
    }
    same_file(
        root().join("docs/field-failures.md"),
        &page::page(&findings),
    );
}

/// The file has this text, or is given it.
fn same_file(path: PathBuf, text: &str) {
    if updating() {
        std::fs::write(&path, text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        found,
        text,
        "{} is old: run `just field-fixtures`",
        path.display()
    );
}

#[test]
fn nothing_else_is_stored() {
    if updating() {
        return;
    }
    let folder = root().join("fixtures/field");
    let mut stored: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    stored.sort();
    let mut ids = IDS.map(String::from).to_vec();
    ids.sort();
    assert_eq!(stored, ids);
}
