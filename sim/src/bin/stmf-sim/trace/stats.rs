// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim trace stats`: the figures of a trace.

use super::{Colour, opened};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use stmf_sim::view::stats;

/// Print the figures of a trace
///
/// How many messages of which type passed, how long commands took, the longest times without an
/// event, commands that were not answered, and what went wrong. Times are given to 1/32 (medians
/// and p99 may be that much too large; the longest is exact).
///
/// The exit status is 0 if all of the trace could be read, 1 if parts of it could not, 2 if
/// nothing could.
#[derive(Args)]
pub struct Arguments {
    /// The trace: a file, or the directory of a ring
    file: PathBuf,
    /// Print one JSON object (docs/trace-tools.md)
    #[arg(long)]
    json: bool,
    /// When to use colour
    #[arg(long, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    color: Colour,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> ExitCode {
    let mut files = match opened("stats", &arguments.file) {
        Ok(files) => files,
        Err(code) => return code,
    };
    let stats = stats::collect(&mut files);
    let text = match arguments.json {
        true => format!("{}\n", stats.json()),
        false => stats.text(arguments.color.style()),
    };
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever reads the output has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stmf-sim trace stats: cannot write the figures: {error}");
            ExitCode::from(2)
        }
        Ok(()) => {
            for broken in &stats.broken {
                eprintln!("stmf-sim trace stats: {broken}");
            }
            super::exit_code(stats.events, stats.complete())
        }
    }
}
