// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim trace`: what can be done with recorded traces. One file per command; what they do
//! stands in the library (`view`, `replay`, `shrink`).

mod ladder;
mod show;

use clap::Subcommand;
use std::process::ExitCode;

/// What is done with a trace.
#[derive(Subcommand)]
pub enum TraceCommand {
    Ladder(ladder::Arguments),
    Show(show::Arguments),
}

/// Runs the command.
pub fn run(command: TraceCommand) -> ExitCode {
    match command {
        TraceCommand::Ladder(arguments) => ladder::run(arguments),
        TraceCommand::Show(arguments) => show::run(arguments),
    }
}
