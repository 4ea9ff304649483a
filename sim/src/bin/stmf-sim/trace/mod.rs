// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim trace`: what can be done with recorded traces. One file per command; what they do
//! stands in the library (`view`, `replay`, `shrink`).

mod diff;
mod for_wireshark;
mod import_dtrace;
mod replay;
mod show;
mod shrink;
mod to_test;

use clap::Subcommand;
use std::process::ExitCode;

/// What is done with a trace.
#[derive(Subcommand)]
pub enum TraceCommand {
    Diff(diff::Arguments),
    Replay(replay::Arguments),
    ForWireshark(for_wireshark::Arguments),
    ImportDtrace(import_dtrace::Arguments),
    Show(show::Arguments),
    Shrink(shrink::Arguments),
    ToTest(to_test::Arguments),
}

/// Runs the command.
pub fn run(command: TraceCommand) -> ExitCode {
    match command {
        TraceCommand::Diff(arguments) => diff::run(arguments),
        TraceCommand::Replay(arguments) => replay::run(arguments),
        TraceCommand::ForWireshark(arguments) => for_wireshark::run(arguments),
        TraceCommand::ImportDtrace(arguments) => import_dtrace::run(arguments),
        TraceCommand::Show(arguments) => show::run(arguments),
        TraceCommand::Shrink(arguments) => shrink::run(arguments),
        TraceCommand::ToTest(arguments) => to_test::run(arguments),
    }
}
