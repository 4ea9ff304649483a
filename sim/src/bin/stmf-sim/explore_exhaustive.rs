// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim explore --exhaustive`: every order of a small scenario.

use clap::{Args, ValueEnum};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};
use stmf_sim::explore::exhaustive::{self, Bounds, Found, OtherChoices, Report, Small};
use stmf_sim::field::{self, Variant};
use stmf_sim::kernel::Profile;
use stmf_sim::recording::{Settings, TraceRecorder};
use stmf_sim::relays;
use stmf_sim::report::style::{Progress, Style, Tone};
use stmf_sim::report::thousands;

/// Profiles of kernels.
#[derive(Clone, Copy, ValueEnum)]
enum Kernels {
    Illumos,
    Hardened,
}

/// Options of `--exhaustive`.
#[derive(Args)]
#[command(next_help_heading = "Every order of small scenarios")]
pub struct ExhaustiveArguments {
    /// Run every order of small scenarios, not drawn ones.
    #[arg(long)]
    exhaustive: bool,
    /// Only this one [default: all].
    #[arg(long, value_name = "NAME", requires = "exhaustive")]
    scenario: Option<String>,
    /// The acts begin at these ticks and at no others, one number for each.
    #[arg(long, value_name = "T,T", value_delimiter = ',', requires = "scenario")]
    starts: Option<Vec<u8>>,
    /// At how many choices of a run every alternative is taken.
    #[arg(long, value_name = "D", default_value_t = 8, requires = "exhaustive")]
    depth: u32,
    /// List the scenarios.
    #[arg(long, requires = "exhaustive")]
    list: bool,
    /// The most runs of each scenario.
    #[arg(long, value_name = "N", requires = "exhaustive")]
    most_runs: Option<u64>,
    /// Give up a scenario after so many seconds.
    #[arg(long, value_name = "SECONDS", requires = "exhaustive")]
    most_seconds: Option<u64>,
    /// Run on after a state that was met before.
    #[arg(long, requires = "exhaustive")]
    no_states: bool,
    /// Take the first and the last of delays and pieces, too.
    #[arg(long, requires = "exhaustive")]
    other_choices: bool,
    /// The profile of the kernels in place of that of the scenario.
    #[arg(long, value_name = "PROFILE", requires = "exhaustive")]
    kernels: Option<Kernels>,
    /// Where the trace of the first run is written in which something is found.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "exhaustive.pcapng",
        requires = "exhaustive"
    )]
    trace: PathBuf,
}

impl ExhaustiveArguments {
    /// Whether this is what is wanted.
    pub fn wanted(&self) -> bool {
        self.exhaustive
    }
}

/// How the world differs from a sound one.
pub struct Changes<'a> {
    /// A failure of the field whose cause is put into it.
    pub defect: Option<&'a str>,
    /// The relay of both nodes.
    pub relay: Option<&'a str>,
}

/// Runs the command. The exit status is 0 if nothing was found, 1 if something was, 2 if the
/// arguments are wrong.
pub fn run(arguments: &ExhaustiveArguments, changes: &Changes<'_>) -> ExitCode {
    let small = match selected(arguments, changes) {
        Ok(small) => small,
        Err(error) => {
            eprintln!("stmf-sim explore: {error}");
            return ExitCode::from(2);
        }
    };
    if arguments.list {
        for small in small {
            println!("{:20}{}", small.name, small.about);
        }
        return ExitCode::SUCCESS;
    }
    let style = Style::of_standard_output();
    println!("{}", style.paint(Tone::Heading, &headings()));
    let (mut complete, mut clean) = (0, true);
    for small in &small {
        match one(small, arguments, style) {
            Ok(one) => {
                complete += u64::from(one.every_order);
                clean = one.clean;
            }
            Err(error) => {
                eprintln!("stmf-sim explore: {error}");
                return ExitCode::from(2);
            }
        }
        if !clean {
            break;
        }
    }
    println!("every order of {complete} of {} scenarios", small.len());
    ExitCode::from(u8::from(!clean))
}

fn selected(arguments: &ExhaustiveArguments, changes: &Changes<'_>) -> Result<Vec<Small>, String> {
    let mut small = exhaustive::scenarios();
    if let Some(name) = &arguments.scenario {
        small.retain(|small| small.name == *name);
        if small.is_empty() {
            return Err(format!("no small scenario is called {name:?}; see --list"));
        }
    }
    if let Some(starts) = &arguments.starts {
        for small in &mut small {
            let acts = small.acts.len();
            if starts.len() != acts {
                let name = small.name;
                return Err(format!(
                    "--starts needs {acts} numbers, one for each act of {name}"
                ));
            }
            small.only = Some(starts.clone());
        }
    }
    if let Some(id) = changes.defect {
        let failure = field::by_id(id).ok_or(format!("no field failure is called {id:?}"))?;
        let plan = (failure.build)(Variant::Broken).plan();
        let change = |small: Small| {
            let small = small.with_kernels(|kernel| {
                kernel.defects = plan.kernel.defects;
                kernel.dialect = plan.kernel.dialect;
            });
            match &plan.relay {
                Some(relay) => small.with_relay(relay),
                None => small,
            }
        };
        small = small.into_iter().map(change).collect();
    }
    if let Some(relay) = changes.relay {
        relays::by_name(relay).ok_or(format!("no relay is called {relay:?}"))?;
        small = small
            .into_iter()
            .map(|small| small.with_relay(relay))
            .collect();
    }
    if let Some(kernels) = arguments.kernels {
        let profile = match kernels {
            Kernels::Illumos => Profile::Illumos,
            Kernels::Hardened => Profile::Hardened,
        };
        let change = |small: Small| small.with_kernels(|kernel| kernel.profile = profile);
        small = small.into_iter().map(change).collect();
    }
    Ok(small)
}

/// What came of a scenario.
struct One {
    clean: bool,
    every_order: bool,
}

fn one(small: &Small, arguments: &ExhaustiveArguments, style: Style) -> Result<One, String> {
    let bounds = Bounds {
        depth: arguments.depth,
        states: !arguments.no_states,
        others: match arguments.other_choices {
            true => OtherChoices::Ends,
            false => OtherChoices::First,
        },
        runs: arguments.most_runs.unwrap_or(u64::MAX),
        ..Bounds::default()
    };
    let start = Instant::now();
    let most = arguments.most_seconds.map(Duration::from_secs);
    let mut progress = Progress::new(true);
    let report = exhaustive::search(small, bounds, |report| {
        progress.show(|| row(small, report, start.elapsed(), "..."));
        most.is_none_or(|most| start.elapsed() < most)
    });
    progress.clear();
    let (tone, how) = completeness(small, &bounds, &report);
    let row = row(small, &report, start.elapsed(), "");
    println!("{row}{}", style.paint(tone, &how));
    for ((trap, cause), runs) in &report.excused {
        println!(
            "  in {} runs a node went down by trap {trap}, which no relay can prevent: {cause}",
            thousands(*runs)
        );
    }
    if report.contradictions > 0 {
        return Err(format!(
            "{} states with equal hashes are not equal: the search is wrong, and its result is \
             worth nothing",
            report.contradictions
        ));
    }
    if let Some(found) = &report.found {
        for finding in &found.findings {
            println!("  {}", style.paint(Tone::Bad, &finding.to_string()));
        }
        write(small, bounds, found, &arguments.trace)?;
        println!(
            "  see it with: stmf-sim trace replay {}",
            arguments.trace.display()
        );
    }
    Ok(One {
        clean: report.found.is_none(),
        every_order: report.every_order(),
    })
}

/// What stands above the rows.
fn headings() -> String {
    format!(
        "{:20}{:>7}{:>10}{:>10}{:>10}{:>8}{:>7}{:>9}  every order",
        "scenario", "starts", "runs", "cut", "states", "deepest", "ends", "time"
    )
}

/// A scenario in figures.
fn row(small: &Small, report: &Report, took: Duration, more: &str) -> String {
    let starts = format!("{}/{}", report.starts, small.starts().len());
    format!(
        "{:20}{starts:>7}{:>10}{:>10}{:>10}{:>8}{:>7}{:>7}.{} s  {more}",
        small.name,
        thousands(report.runs),
        thousands(report.cut),
        thousands(report.states),
        report.deepest,
        thousands(report.outcomes.len() as u64),
        took.as_secs(),
        took.subsec_millis() / 100,
    )
}

/// Whether every order was run, and if not, how far it went.
fn completeness(small: &Small, bounds: &Bounds, report: &Report) -> (Tone, String) {
    if report.found.is_some() {
        return (Tone::Bad, "no: something was found".into());
    }
    match (report.complete, report.every_order()) {
        (_, true) => (Tone::Good, "yes".into()),
        (true, false) => {
            let (depth, beyond) = (bounds.depth, thousands(report.beyond));
            let text = format!("to depth {depth} ({beyond} runs had more choices)");
            (Tone::Warn, text)
        }
        (false, _) => {
            let (starts, all) = (report.starts, small.starts().len());
            (
                Tone::Warn,
                format!("no: given up, {starts} of {all} starts"),
            )
        }
    }
}

/// Runs what was found again and writes its trace.
fn write(small: &Small, bounds: Bounds, found: &Found, path: &Path) -> Result<(), String> {
    let settings = Settings {
        scenario: Some(format!("exhaustive {}", small.name)),
        ..Settings::file(path)
    };
    let recorder = TraceRecorder::create(&exhaustive::plan(small), &settings);
    let recorder = Rc::new(RefCell::new(recorder.map_err(|error| error.to_string())?));
    exhaustive::record(small, bounds, &found.starts, &found.turns, recorder.clone());
    let report = recorder.borrow_mut().report();
    println!("  {report}");
    match report.failure {
        None => Ok(()),
        Some(failure) => Err(failure),
    }
}
