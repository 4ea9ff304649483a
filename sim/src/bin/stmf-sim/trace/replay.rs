// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim trace replay`: makes a recorded run happen again.

mod nodes;

use super::diff::dialects;
use crate::record::{self, RecordArguments};
use clap::Args;
use serde_json::json;
use std::cell::RefCell;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use stmf_sim::recording::TraceRecorder;
use stmf_sim::replay::file::read_script;
use stmf_sim::replay::{FileError, Replayed, ScriptError, Settings, replay_file};
use stmf_sim::report::style::{Style, Tone};
use stmf_sim::report::thousands;
use stmf_sim::view::divergence::{self, Dialects, Sides};

/// Make a recorded run happen again, and compare it with the recording.
///
/// A run of the simulator is made again as a whole: the same world, the same things done to it
/// at the same places, every event compared. What went wrong in it is named. A trace of one node,
/// or of real nodes, is replayed node by node: what came to the node is given to a fresh simulated
/// kernel, the peer is played from the trace, and what the kernel does is compared.
/// The exit status is 0 if the run is the recorded one, 1 if it differs, 2 if it cannot be made.
#[derive(Args)]
pub struct Arguments {
    /// The trace: a file, or the directory of a ring.
    file: PathBuf,
    /// Replay this node alone, also of a trace that holds a whole run.
    #[arg(long, value_name = "N", conflicts_with = "disk")]
    node: Option<u8>,
    /// The disk of the recorded run, if that was a file.
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    record: RecordArguments,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> ExitCode {
    if arguments.node.is_some() {
        if let Ok(Some(_)) = arguments.record.settings("replay") {
            eprintln!(
                "stmf-sim trace replay: what one node does in a replay is not recorded; leave \
                 --record out, or --node"
            );
            return ExitCode::from(2);
        }
        return nodes::run(&arguments.file, arguments.node, arguments.json);
    }
    let recorder = match recorder(&arguments) {
        Ok(recorder) => recorder,
        Err(error) => {
            eprintln!("stmf-sim trace replay: {error}");
            return ExitCode::from(2);
        }
    };
    let settings = Settings {
        disk: arguments.disk.clone(),
        recorder: recorder.clone().map(|recorder| recorder as _),
        ..Settings::default()
    };
    let replayed = match replay_file(&arguments.file, settings) {
        Ok(replayed) => replayed,
        // It is no run that could be made again as a whole.
        Err(FileError::Script(error @ (ScriptError::Cut { .. } | ScriptError::Missing { .. }))) => {
            eprintln!("stmf-sim trace replay: {error}; its nodes are replayed one by one");
            return nodes::run(&arguments.file, None, arguments.json);
        }
        Err(FileError::Script(ScriptError::NoPlan)) => {
            return nodes::run(&arguments.file, None, arguments.json);
        }
        Err(error) => {
            eprintln!("stmf-sim trace replay: {error}");
            return ExitCode::from(2);
        }
    };
    let dialects = dialects(&arguments.file);
    let text = match arguments.json {
        true => format!("{}\n", as_json(&replayed, &dialects)),
        false => as_text(&replayed, &dialects, Style::of_standard_output()),
    };
    if let Err(error) = io::stdout().lock().write_all(text.as_bytes())
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        eprintln!("stmf-sim trace replay: {error}");
        return ExitCode::from(2);
    }
    let recorded = recorder
        .is_none_or(|recorder| record::say("trace replay", &recorder.borrow_mut().report()));
    match replayed.divergence {
        None if recorded => ExitCode::SUCCESS,
        _ => ExitCode::from(1),
    }
}

/// Writes the run that is made again down, if that is wanted and it is of a whole world.
fn recorder(arguments: &Arguments) -> Result<Option<Rc<RefCell<TraceRecorder>>>, String> {
    let Some(mut settings) = arguments.record.settings("replay")? else {
        return Ok(None);
    };
    let (script, _) = read_script(&arguments.file).map_err(|error| error.to_string())?;
    settings.scenario = script.scenario.or(settings.scenario);
    let made = TraceRecorder::create(&script.plan, &settings);
    let made = made.map_err(|error| error.to_string())?;
    Ok(Some(Rc::new(RefCell::new(made))))
}

fn as_json(replayed: &Replayed, dialects: &Dialects) -> serde_json::Value {
    let found = replayed.divergence.as_ref();
    let findings = replayed.findings.iter().map(|finding| {
        json!({
            "kind": finding.kind.name(),
            "time_ns": finding.time.as_nanos(),
            "node": finding.node,
            "text": finding.text,
        })
    });
    json!({
        "same": found.is_none(),
        "equal_events": replayed.equal,
        "events_without_data": replayed.data_missing,
        "complete": replayed.complete,
        "broken": replayed.broken,
        "hash": replayed.hash.to_string(),
        "findings": findings.collect::<Vec<_>>(),
        "difference": found.map(|found| divergence::json(found, dialects)),
    })
}

fn as_text(replayed: &Replayed, dialects: &Dialects, style: Style) -> String {
    let mut text = String::new();
    if let Some(found) = &replayed.divergence {
        let sides = Sides {
            first: "recorded",
            second: "replayed",
        };
        text.push_str(&divergence::text(found, sides, dialects, style));
        text.push('\n');
    }
    for finding in &replayed.findings {
        text.push_str(&style.paint(Tone::Bad, &finding.to_string()));
        text.push('\n');
    }
    if replayed.data_missing > 0 {
        text.push_str(&format!(
            "{} events were recorded without all of their data; hashes cover it\n",
            thousands(replayed.data_missing)
        ));
    }
    if let Some(broken) = &replayed.broken {
        text.push_str(&format!("{broken}\n"));
    }
    if !replayed.complete {
        text.push_str("the recording breaks off; the run was compared as far as it goes\n");
    }
    let equal = thousands(replayed.equal);
    text.push_str(&match &replayed.divergence {
        None => format!(
            "{} {equal} events as recorded, hash {}\n",
            style.paint(Tone::Good, "the same:"),
            replayed.hash
        ),
        Some(_) => format!(
            "{} after {equal} events\n",
            style.paint(Tone::Bad, "different")
        ),
    });
    text
}
