// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim trace to-test`: a recorded run as a test in Rust.

use clap::Args;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use stmf_sim::replay::{Settings, replay_file, to_test};
use stmf_sim::view::divergence::{self, Sides};

/// Print a Rust test that replays the trace and asserts what happened, ready to paste.
///
/// The trace is replayed first; one that does not replay makes no test.
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
    /// The disk of the recorded run, if that was a file.
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> ExitCode {
    let settings = Settings {
        disk: arguments.disk.clone(),
        ..Settings::default()
    };
    let replayed = match replay_file(&arguments.file, settings) {
        Ok(replayed) => replayed,
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
    let path = match &arguments.path {
        Some(path) => path.clone(),
        None => arguments.file.display().to_string(),
    };
    let text = to_test::to_test(&path, &replayed);
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("stmf-sim trace to-test: {error}");
            ExitCode::from(2)
        }
        _ => ExitCode::SUCCESS,
    }
}
