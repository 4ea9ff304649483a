// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim explore`: runs of drawn scenarios, judged by what must always hold.

use crate::explore_exhaustive;
use clap::Args;
use std::process::ExitCode;
use stmf_sim::explore::schedulers::{Scheduler, scheduler};
use stmf_sim::explore::{self, Draw};
use stmf_sim::field;

/// Look for failures in runs of drawn scenarios.
#[derive(Args)]
pub struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// A failure of the field whose cause is put into the world.
    #[arg(long)]
    defect: Option<String>,
    /// Who decides which thread runs: random, pct:DEPTH or pct:DEPTH:STEPS.
    #[arg(long, value_name = "NAME", default_value_t)]
    scheduler: Scheduler,
    #[command(flatten)]
    exhaustive: explore_exhaustive::ExhaustiveArguments,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> ExitCode {
    if arguments.exhaustive.wanted() {
        return explore_exhaustive::run(&arguments.exhaustive, arguments.defect.as_deref());
    }
    let draw = Draw {
        defect: arguments.defect.as_deref().and_then(field::by_id),
        ..Draw::default()
    };
    let mut failed = 0;
    for seed in arguments.from..arguments.from + arguments.seeds {
        let scenario = explore::draw(seed, &draw);
        let settings = explore::Settings {
            choices: Some(scheduler(seed, arguments.scheduler)),
            ..explore::Settings::default()
        };
        let verdict = explore::run(&scenario, settings);
        if let Some(finding) = verdict.findings.first() {
            failed += 1;
            println!("seed {seed} ({}): {finding}", scenario.name);
        }
    }
    println!("{failed} of {} seeds failed", arguments.seeds);
    ExitCode::from(u8::from(failed > 0))
}
