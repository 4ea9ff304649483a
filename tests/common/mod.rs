// SPDX-License-Identifier: MPL-2.0
//! Recorded runs of a kernel: where they are, and how a run is compared with one.

use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use stmf_sim::kernel::play::Player;

/// What is compared of each step of any run. A field that is not there counts as empty.
pub const SERVICE_FIELDS: [&str; 9] = [
    "result",
    "upcalls",
    "counters",
    "sessions",
    "targets",
    "tasks",
    "to_stmf",
    "status_before_wire",
    "door_failed",
];

/// One recorded run.
#[derive(Deserialize)]
pub struct Recording {
    /// Its name.
    pub file: String,
    /// What was done, and what came of it.
    pub steps: Vec<Step>,
}

/// One step of a run.
#[derive(Deserialize)]
pub struct Step {
    /// What was done.
    #[serde(rename = "in")]
    pub input: Value,
    /// What came of it.
    pub out: Value,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The runs of an archive, by its path from the top of the project.
pub fn recordings(archive: &str) -> Vec<Recording> {
    let path = root().join(archive);
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    BufReader::new(GzDecoder::new(file))
        .lines()
        .map(|line| line.expect("a sound gzip file of UTF-8 lines"))
        .map(|line| serde_json::from_str(&line).expect("a recording"))
        .collect()
}

/// Whether there is nothing in it: what is not told and what is empty are the same.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        other => other.is_null(),
    }
}

fn differs(recorded: &Value, got: &Value) -> bool {
    recorded != got && !(is_empty(recorded) && is_empty(got))
}

/// How the node stands after a step.
pub fn ending(out: &Value) -> &'static str {
    if !out["panic"].is_null() {
        "panic"
    } else if out["hang"] == true {
        "hang"
    } else {
        "goes on"
    }
}

/// The first difference between what was recorded and what was got, if there is one.
pub fn compare(recording: &Recording, fields: &[&str], outs: &[Value]) -> Option<String> {
    for (index, step) in recording.steps.iter().enumerate() {
        let number = index + 1;
        let Some(got) = outs.get(index) else {
            return Some(format!(
                "ended before step {number} of {}",
                recording.steps.len()
            ));
        };
        for &field in fields {
            if differs(&step.out[field], &got[field]) {
                return Some(format!(
                    "step {number}, {field}:\n  in       {}\n  expected {}\n  got      {}",
                    shorten(&step.input),
                    shorten(&step.out[field]),
                    shorten(&got[field])
                ));
            }
        }
        if ending(&step.out) != ending(got) {
            return Some(format!(
                "step {number}: expected that the node {}, but it {}",
                ending(&step.out),
                ending(got)
            ));
        }
    }
    (outs.len() > recording.steps.len()).then(|| "it goes on after the end".into())
}

fn shorten(value: &Value) -> String {
    const MOST: usize = 1500;
    let mut text = value.to_string();
    if text.len() > MOST {
        text.truncate(MOST);
        text.push_str(" ...");
    }
    text
}

/// What to type to see a run again; `play` is the command that plays it.
pub fn command_for(archive: &str, recording: &str, play: &str) -> String {
    format!(
        "gzip -dc {archive} | jq -c 'select(.file==\"{recording}\").steps[].in' | \
         cargo run -q -p stmf-sim -- {play}"
    )
}

/// Plays a run, and tells what came of its steps.
pub fn play(player: &mut impl Player, recording: &Recording) -> Vec<Value> {
    let mut outs = Vec::new();
    for step in &recording.steps {
        if player.has_ended() {
            break;
        }
        let out = player.step(&step.input.to_string()).expect("a step");
        outs.push(serde_json::to_value(out).expect("an outcome is JSON"));
    }
    outs
}

/// Runs the program to its end.
pub fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_stmf-sim"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    // It may end before it has read everything.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("the writer ends");
    output
}

/// The JSON lines of an output.
pub fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}
