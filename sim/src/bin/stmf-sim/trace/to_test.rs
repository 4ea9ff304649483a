// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim trace to-test`: a recorded run as a test in Rust.

use clap::Args;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use stmf_sim::replay::node::read_node_scripts;
use stmf_sim::replay::{FileError, ScriptError, Settings, replay_file, to_test};
use stmf_sim::view::divergence::{self, Sides};

/// Print a Rust test that replays the trace and asserts what happened, ready to paste.
///
/// The trace is replayed first; one that does not replay makes no test. Of a trace of one node,
/// or of real nodes, each node makes a test of its own.
/// The exit status is 0 if the test was printed, 1 if the replay differs from the trace, 2 if it
/// cannot be replayed.
#[derive(Args)]
pub struct Arguments {
    /// The trace: a file, or the directory of a ring.
    file: PathBuf,
    /// Where the trace will lie, seen from the directory of the test's package
    /// (CARGO_MANIFEST_DIR) [default: FILE as it was given].
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Make a test of this node alone, also of a trace that holds a whole run.
    #[arg(long, value_name = "N", conflicts_with = "disk")]
    node: Option<u8>,
    /// The disk of the recorded run, if that was a file.
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> ExitCode {
    if arguments.node.is_some() {
        return of_nodes(&arguments);
    }
    let settings = Settings {
        disk: arguments.disk.clone(),
        ..Settings::default()
    };
    let replayed = match replay_file(&arguments.file, settings) {
        Ok(replayed) => replayed,
        // It is no run that could be made again as a whole.
        Err(FileError::Script(
            ScriptError::NoPlan | ScriptError::Cut { .. } | ScriptError::Missing { .. },
        )) => return of_nodes(&arguments),
        Err(error) => {
            eprintln!("stmf-sim trace to-test: {error}");
            return ExitCode::from(2);
        }
    };
    if let Some(found) = &replayed.divergence {
        let sides = Sides {
            first: "recorded",
            second: "replayed",
        };
        let dialects = super::diff::dialects(&arguments.file);
        let report = divergence::text(found, sides, &dialects, Default::default());
        eprint!("stmf-sim trace to-test: the trace does not replay\n{report}");
        return ExitCode::from(1);
    }
    print(&to_test::to_test(&path_in_test(&arguments), &replayed))
}

/// Where the trace lies, as the test says it.
fn path_in_test(arguments: &Arguments) -> String {
    match &arguments.path {
        Some(path) => path.clone(),
        None => arguments.file.display().to_string(),
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("stmf-sim trace to-test: {error}");
            ExitCode::from(2)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Tests of the nodes, one by one.
fn of_nodes(arguments: &Arguments) -> ExitCode {
    let read = match read_node_scripts(&arguments.file, arguments.node) {
        Ok(read) => read,
        Err(error) => {
            eprintln!("stmf-sim trace to-test: {error}");
            return ExitCode::from(2);
        }
    };
    if let Some(broken) = &read.broken {
        eprintln!("stmf-sim trace to-test: {broken}");
    }
    let path = path_in_test(arguments);
    let mut tests = Vec::new();
    for script in &read.scripts {
        let node = script.settings().node;
        let run = script.run(script.settings());
        if !run.agrees() {
            eprint!("stmf-sim trace to-test: node {node} does not replay\n{run}");
            return ExitCode::from(1);
        }
        tests.push(to_test::of_node(&path, node, &run));
    }
    print(&tests.join("\n"))
}
