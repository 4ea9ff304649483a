// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim trace`: what can be done with recorded traces. One file per command; what they do
//! stands in the library (`view`, `replay`, `shrink`).

mod diff;
mod for_wireshark;
mod import_dtrace;
mod ladder;
mod replay;
mod show;
mod shrink;
mod stats;
mod to_test;

use clap::{Subcommand, ValueEnum};
use std::path::Path;
use std::process::ExitCode;
use stmf_proxy::trace::Files;
use stmf_sim::report::style::Style;

/// What is done with a trace.
#[derive(Subcommand)]
pub enum TraceCommand {
    Diff(diff::Arguments),
    Replay(replay::Arguments),
    ForWireshark(for_wireshark::Arguments),
    ImportDtrace(import_dtrace::Arguments),
    Ladder(ladder::Arguments),
    Show(Box<show::Arguments>),
    Shrink(shrink::Arguments),
    Stats(stats::Arguments),
    ToTest(to_test::Arguments),
}

/// Runs the command.
pub fn run(command: TraceCommand) -> ExitCode {
    match command {
        TraceCommand::Diff(arguments) => diff::run(arguments),
        TraceCommand::Replay(arguments) => replay::run(arguments),
        TraceCommand::ForWireshark(arguments) => for_wireshark::run(arguments),
        TraceCommand::ImportDtrace(arguments) => import_dtrace::run(arguments),
        TraceCommand::Ladder(arguments) => ladder::run(arguments),
        TraceCommand::Show(arguments) => show::run(*arguments),
        TraceCommand::Shrink(arguments) => shrink::run(arguments),
        TraceCommand::Stats(arguments) => stats::run(arguments),
        TraceCommand::ToTest(arguments) => to_test::run(arguments),
    }
}

/// When colour is used.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Colour {
    /// Always.
    Always,
    /// Never.
    Never,
    /// On a terminal.
    Auto,
}

impl Colour {
    fn style(self) -> Style {
        match self {
            Colour::Always => Style::COLOURED,
            Colour::Never => Style::PLAIN,
            Colour::Auto => Style::of_standard_output(),
        }
    }
}

/// Exit code where parts of a trace could not be read.
const EXIT_INCOMPLETE: u8 = 1;
/// Exit code where nothing could be read.
const EXIT_UNREADABLE: u8 = 2;

/// Opens a trace, or says why that cannot be.
fn opened(command: &str, path: &Path) -> Result<Files, ExitCode> {
    Files::open(path).map_err(|error| {
        eprintln!("stmf-sim trace {command}: {error}");
        ExitCode::from(EXIT_UNREADABLE)
    })
}

/// The exit code of a command that has read so many events, and perhaps not all of the trace.
fn exit_code(events: u64, complete: bool) -> ExitCode {
    match (events, complete) {
        (_, true) => ExitCode::SUCCESS,
        (0, false) => ExitCode::from(EXIT_UNREADABLE),
        (_, false) => ExitCode::from(EXIT_INCOMPLETE),
    }
}
