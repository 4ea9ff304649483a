// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim explore`: runs of drawn scenarios, judged by what must always hold.

use crate::demo::ProfileName;
use crate::duration::parse_time;
use crate::explore_exhaustive;
use crate::explore_progress::{ShrinkWatcher, Told, Watcher};
use clap::Args;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use stmf_sim::explore::found::{self, DEFAULT_TRIES};
use stmf_sim::explore::report::{Conclusion, Report, Shown};
use stmf_sim::explore::schedulers::{Scheduler, scheduler};
use stmf_sim::explore::{self, Draw, FAMILIES, Failure, Family, Search, Summary};
use stmf_sim::field::{self, Failure as FieldFailure};
use stmf_sim::relays::RELAYS;
use stmf_sim::report::style::Style;

/// How many seeds are run unless a number or a time is given.
const DEFAULT_SEEDS: u64 = 1000;

/// Of how many groups of failures the lowest seed is written into files.
const MOST_SHOWN: usize = 10;

/// Look for failures in runs of drawn scenarios.
///
/// Each seed draws a world of two nodes, what is done to it and what goes wrong with it; then
/// the faults end, an operator puts things in order, and everything must work again. A run fails
/// if anything is found that must never happen (docs/exploration.md). What a seed means does not
/// depend on how many are run, and the same seed and options give the same run anywhere.
///
/// The run of a seed that fails is recorded, and cut down to the least that still fails. The exit
/// status is 0 if nothing was found, 1 if something was (or if no fault that was asked for ever
/// happened), 2 for options that cannot be.
#[derive(Args)]
pub struct Arguments {
    /// How many seeds are run [default: 1000; with --time as many as it allows].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long, value_name = "S", default_value_t = 0)]
    from: u64,
    /// Begin no other seed after this time, as 60s, 10m or 1h.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    time: Option<Duration>,
    /// How many seeds are run at once [default: one for each processor].
    #[arg(long, value_name = "J", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// What may go wrong: groups with commas between them, or all, or none. Each group that is
    /// named must happen at least once.
    #[arg(long, value_name = "SET", default_value = "all", value_parser = parse_groups,
          long_help = faults_help())]
    faults: Groups,
    /// Put the cause of this failure of the field into the world (`stmf-sim field list`).
    #[arg(long, value_name = "ID", value_parser = parse_defect)]
    defect: Option<&'static FieldFailure>,
    /// Which kernels the nodes run.
    #[arg(long, value_enum, default_value_t = ProfileName::Illumos)]
    profile: ProfileName,
    /// Run this relay on both nodes; stmf_sim::relays has their names.
    #[arg(long, value_name = "NAME", value_parser = parse_relay)]
    relay: Option<&'static str>,
    /// Take the scenarios of this family alone.
    #[arg(long, value_name = "NAME", value_parser = parse_family)]
    family: Option<&'static str>,
    /// Who decides which thread runs: random, pct:DEPTH or pct:DEPTH:STEPS.
    #[arg(long, value_name = "NAME", default_value_t)]
    scheduler: Scheduler,
    /// Run every seed twice and compare, event by event.
    #[arg(long)]
    check_determinism: bool,
    /// Count which messages met which states of the kernels, and list what never met.
    #[arg(long)]
    coverage: bool,
    /// Go on after a failure; failures that say the same are counted together.
    #[arg(long)]
    keep_going: bool,
    /// Write the traces of failures into this directory; it is made when it is needed.
    #[arg(long, value_name = "DIR", default_value = "explore-found")]
    out: PathBuf,
    /// Try at most so many smaller runs for a failure; 0 leaves it as it is.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_TRIES)]
    tries: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    exhaustive: explore_exhaustive::ExhaustiveArguments,
}

/// Groups of faults.
#[derive(Clone)]
struct Groups {
    groups: Vec<&'static str>,
    /// As they were written.
    words: String,
}

fn faults_help() -> String {
    let mut text = String::from(
        "What may go wrong: groups with commas between them, or all, or none. Each group that is \
         named must happen at least once. Groups:",
    );
    for group in explore::GROUPS {
        text.push_str(&format!("\n  {group}"));
    }
    text
}

fn parse_groups(words: &str) -> Result<Groups, String> {
    explore::groups(words).map(|groups| Groups {
        groups,
        words: words.to_string(),
    })
}

fn parse_defect(id: &str) -> Result<&'static FieldFailure, String> {
    field::by_id(id).ok_or_else(|| "`stmf-sim field list` has their names".to_string())
}

fn parse_relay(name: &str) -> Result<&'static str, String> {
    let names = || RELAYS.iter().map(|relay| relay.name);
    let found = names().find(|known| *known == name);
    found.ok_or_else(|| format!("there are {}", names().collect::<Vec<_>>().join(", ")))
}

fn family_by_name(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.name == name)
}

fn parse_family(name: &str) -> Result<&'static str, String> {
    let names = FAMILIES.iter().map(|family| family.name);
    let names = || names.clone().collect::<Vec<_>>().join(", ");
    family_by_name(name)
        .map(|family| family.name)
        .ok_or_else(|| format!("there are {}", names()))
}

/// Runs the command.
pub fn run(arguments: Arguments) -> ExitCode {
    if arguments.exhaustive.wanted() {
        let changes = explore_exhaustive::Changes {
            defect: arguments.defect.map(|defect| defect.id),
            relay: arguments.relay,
        };
        return explore_exhaustive::run(&arguments.exhaustive, &changes);
    }
    let started = Instant::now();
    let jobs = match arguments.jobs {
        Some(jobs) => jobs.into(),
        None => thread::available_parallelism().map_or(1, |jobs| jobs.get()),
    };
    let seeds = match (arguments.seeds, arguments.time) {
        (Some(seeds), _) => seeds,
        (None, Some(_)) => u64::MAX,
        (None, None) => DEFAULT_SEEDS,
    };
    let search = Search {
        draw: Draw {
            profile: arguments.profile.profile(),
            faults: arguments.faults.groups.clone(),
            defect: arguments.defect,
            family: arguments.family.and_then(family_by_name),
        },
        from: arguments.from,
        seeds,
        jobs,
        keep_going: arguments.keep_going,
        twice: arguments.check_determinism,
        coverage: arguments.coverage,
        relay: arguments.relay,
        oracles: oracles(arguments.scheduler),
    };
    let progress = match (arguments.json, arguments.keep_going) {
        (true, _) => Told::Nothing,
        (false, false) => Told::Progress,
        (false, true) => Told::ProgressAndFailures,
    };
    let watcher = Watcher::new(started, arguments.time, progress);
    let summary = search.run(&watcher);
    let real = started.elapsed();
    drop(watcher);
    let shown = told(&summary, arguments.keep_going).into_iter();
    let shown = shown.map(|failure| write(&search, failure, &arguments));
    let report = Report {
        summary: &summary,
        from: arguments.from,
        groups: arguments.faults.groups.clone(),
        chosen: arguments.faults.words != "all",
        keep_going: arguments.keep_going,
        jobs,
        real,
        shown: shown.collect(),
        width: width(),
    };
    let text = match arguments.json {
        true => format!("{}\n", report.json()),
        false => report.text(Style::of_standard_output()),
    };
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever read the output has seen enough.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("stmf-sim explore: cannot write the report: {error}");
            return ExitCode::from(2);
        }
        _ => {}
    }
    ExitCode::from(u8::from(report.conclusion() != Conclusion::Clean))
}

/// Who decides in place of the seeds.
fn oracles(kind: Scheduler) -> Option<explore::Oracles> {
    match kind {
        Scheduler::Random => None,
        kind => Some(Arc::new(move |seed| scheduler(seed, kind))),
    }
}

/// Columns of the terminal, if the report goes to one.
fn width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let size = terminal_size::terminal_size_of(std::io::stdout());
    Some(size.map_or(80, |(width, _)| width.0.into()))
}

/// The failures that are told in full: the only one, or the first of each group.
fn told(summary: &Summary, keep_going: bool) -> Vec<&Failure> {
    if !keep_going {
        return summary.failures.iter().collect();
    }
    let of_seed = |seed| summary.failures.iter().find(|failure| failure.seed == seed);
    let groups = summary.groups.iter().take(MOST_SHOWN);
    groups.filter_map(|group| of_seed(group.seed)).collect()
}

fn write<'a>(search: &Search, failure: &'a Failure, arguments: &Arguments) -> Shown<'a> {
    let watcher = Rc::new(ShrinkWatcher::new(failure.seed, !arguments.json));
    let written = found::write(search, failure, &arguments.out, arguments.tries, watcher);
    Shown {
        failure,
        written: written.map_err(|error| error.to_string()),
        again: again(failure.seed, arguments),
    }
}

/// The command that runs a seed again.
fn again(seed: u64, arguments: &Arguments) -> String {
    let mut command = format!("stmf-sim explore --from {seed} --seeds 1");
    let mut option = |name: &str, value: &str| {
        command.push_str(&format!(" --{name} {value}"));
    };
    if arguments.faults.words != "all" {
        option("faults", &arguments.faults.words.replace(' ', ""));
    }
    if let Some(defect) = arguments.defect {
        option("defect", defect.id);
    }
    if arguments.profile == ProfileName::Hardened {
        option("profile", "hardened");
    }
    if let Some(relay) = arguments.relay {
        option("relay", relay);
    }
    if let Some(family) = arguments.family {
        option("family", family);
    }
    if arguments.scheduler != Scheduler::Random {
        command.push_str(&format!(" --scheduler {}", arguments.scheduler));
    }
    if arguments.check_determinism {
        command.push_str(" --check-determinism");
    }
    command
}
