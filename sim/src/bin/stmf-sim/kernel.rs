// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim kernel`: the fake kernel on its own.

use clap::{Args, Subcommand, ValueEnum};
use std::io;
use std::process::ExitCode;
use stmf_proxy::message::Dialect;
use stmf_sim::kernel::play::{NodePlayer, PlayError, ServicePlayer, play};
use stmf_sim::kernel::{KernelConfig, Profile};

/// What is done with a kernel.
#[derive(Subcommand)]
pub enum KernelCommand {
    /// Plays a recording: reads steps from standard input, one JSON object a line, does each to
    /// a node, and writes what came of it to standard output, one JSON object a line.
    ///
    /// The node has its STMF service running, ALUA on and one LU of 2,048 blocks. A step that
    /// brings it down is the last; what follows is not read.
    Play(Play),
}

/// Settings of the node.
#[derive(Args)]
pub struct Play {
    /// Which mistakes the kernel makes
    #[arg(long, value_enum, default_value = "illumos")]
    profile: ProfileName,
    /// Plays the whole node, on which nothing is set up: ports, LUs, initiators, ALUA and time
    /// are steps too
    #[arg(long)]
    node: bool,
    /// How its messages are encoded
    #[arg(long, value_enum, default_value = "current")]
    dialect: DialectName,
}

#[derive(Clone, Copy, ValueEnum)]
enum ProfileName {
    /// Those of the real one: some messages bring it down
    Illumos,
    /// None: such messages are refused with a line in the log
    Hardened,
}

#[derive(Clone, Copy, ValueEnum)]
enum DialectName {
    /// As since mid-2010
    Current,
    /// As before
    #[value(name = "2009")]
    Y2009,
}

impl Play {
    fn config(&self) -> KernelConfig {
        KernelConfig {
            profile: match self.profile {
                ProfileName::Illumos => Profile::Illumos,
                ProfileName::Hardened => Profile::Hardened,
            },
            dialect: match self.dialect {
                DialectName::Current => Dialect::Current,
                DialectName::Y2009 => Dialect::Y2009,
            },
            ..KernelConfig::default()
        }
    }
}

/// Exit code for input that cannot be used.
const EXIT_BAD_INPUT: u8 = 2;

/// Runs the command.
pub fn run(command: KernelCommand) -> ExitCode {
    let KernelCommand::Play(settings) = command;
    let (input, output) = (io::stdin().lock(), io::stdout().lock());
    let played = match settings.node {
        true => play(&mut NodePlayer::new(settings.config()), input, output),
        false => play(&mut ServicePlayer::new(settings.config()), input, output),
    };
    match played {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough.
        Err(PlayError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error @ PlayError::Step { .. }) => {
            eprintln!("stmf-sim: {error}");
            ExitCode::from(EXIT_BAD_INPUT)
        }
        Err(error) => {
            eprintln!("stmf-sim: {error}");
            ExitCode::FAILURE
        }
    }
}
