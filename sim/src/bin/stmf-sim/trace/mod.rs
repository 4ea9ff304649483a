// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim trace`: what can be done with recorded traces. One file per command; what they do
//! stands in the library (`view`, `replay`, `shrink`).

mod for_wireshark;
mod import_dtrace;
mod show;

use clap::Subcommand;
use std::process::ExitCode;

/// What is done with a trace.
#[derive(Subcommand)]
pub enum TraceCommand {
    ForWireshark(for_wireshark::Arguments),
    ImportDtrace(import_dtrace::Arguments),
    Show(show::Arguments),
}

/// Runs the command.
pub fn run(command: TraceCommand) -> ExitCode {
    match command {
        TraceCommand::ForWireshark(arguments) => for_wireshark::run(arguments),
        TraceCommand::ImportDtrace(arguments) => import_dtrace::run(arguments),
        TraceCommand::Show(arguments) => show::run(arguments),
    }
}
