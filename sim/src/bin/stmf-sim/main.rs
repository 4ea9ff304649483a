// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim`: the simulator's command line. One file per command beside this one; this file
//! only parses arguments and hands over.

mod demo;
mod duration;
mod explore;
mod explore_exhaustive;
mod explore_progress;
mod field;
mod kernel;
mod msg;
mod record;
mod trace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// A fake STMF kernel, and worlds of simulated storage nodes to run the proxy door in.
#[derive(Parser)]
#[command(name = "stmf-sim", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Explore(Box<explore::Arguments>),
    /// Failures seen in the field.
    #[command(subcommand)]
    Field(field::FieldCommand),
    /// The fake kernel on its own.
    #[command(subcommand)]
    Kernel(kernel::KernelCommand),
    Msg(msg::Arguments),
    /// Recorded traces: look at them, replay them, cut them down.
    #[command(subcommand)]
    Trace(trace::TraceCommand),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(arguments),
        Command::Explore(arguments) => explore::run(*arguments),
        Command::Field(command) => field::run(command),
        Command::Kernel(command) => kernel::run(command),
        Command::Msg(arguments) => msg::run(arguments),
        Command::Trace(command) => trace::run(command),
    }
}
