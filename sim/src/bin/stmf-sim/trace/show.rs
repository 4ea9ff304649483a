// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim trace show`: a line for every event.

use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use stmf_proxy::trace::Files;

/// Print a line for every event of a trace.
#[derive(Args)]
pub struct Arguments {
    /// The trace: a file, or the directory of a ring.
    file: PathBuf,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> ExitCode {
    let shown = Files::open(&arguments.file).and_then(|mut files| {
        while let Some(entry) = files.next_entry()? {
            println!("{} {:?}", entry.record.time, entry.record.event);
        }
        Ok(())
    });
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stmf-sim trace show: {error}");
            ExitCode::from(2)
        }
    }
}
