// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim trace shrink`: a trace cut down to the least that still fails.

use crate::duration::parse_time;
use clap::Args;
use std::cell::RefCell;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};
use stmf_sim::findings::Kind;
use stmf_sim::report::style::{Progress, Style};
use stmf_sim::report::thousands;
use stmf_sim::shrink::{self, Exec, Keep, Settings, ShrinkError, Standing, Watching};

/// Cut a trace down to the least that still fails.
///
/// The run is made again with fewer events from outside, smaller commands, shorter times and
/// less chance, for as long as the failure stays. The smaller trace is an ordinary one: replay
/// shows the failure. The same trace and options give the same result, unless time runs out.
///
/// Of a trace of one node, or of real nodes, the events of one node are cut: what is left of them
/// is given to a simulated kernel, and what that does is recorded anew.
///
/// Exit status: 0 if a smaller trace was written, 1 if the failure is not there or does not come
/// back, 2 if the trace cannot be read or played.
#[derive(Args)]
pub struct Arguments {
    /// The trace: a file, or the directory of a ring.
    file: PathBuf,
    /// Keep the first failure of this kind, as deadlock, hang, lost-command, refused-message,
    /// corrupt-data, node-panic or panic (of our own code). Default: the first failure.
    #[arg(long, value_name = "NAME", value_parser = shrink::kind_by_name)]
    oracle: Option<Kind>,
    /// Be content with any failure of the kind, also one that says something else.
    #[arg(long, requires = "oracle")]
    any: bool,
    /// Keep what makes this shell command exit non-zero; {} in it is the trace, else it comes
    /// last.
    #[arg(long, value_name = "CMD", conflicts_with = "oracle")]
    exec: Option<String>,
    /// How long the command may take for one trace; one that takes longer does not count as
    /// failing.
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "exec",
          default_value = "20s")]
    exec_time: Duration,
    /// Where the smaller trace is written. Default: FILE with .small.pcapng at the end.
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Try at most so many runs.
    #[arg(long, value_name = "N", default_value_t = shrink::DEFAULT_TRIES)]
    tries: u64,
    /// Stop after this time with what was found until then.
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "60s")]
    time: Duration,
    /// Cut the events of this node alone, also of a trace that holds a whole run. Needed for
    /// traces of several real nodes.
    #[arg(long, value_name = "N", conflicts_with = "disk")]
    node: Option<u8>,
    /// The disk, if the run had a file as its disk.
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Shows how far it is, and ends it when its time is over.
struct Watcher {
    started: Instant,
    time: Duration,
    line: RefCell<Progress>,
}

impl Watching for Watcher {
    fn go_on(&self, standing: Option<Standing>) -> bool {
        let elapsed = self.started.elapsed();
        if let Some(standing) = standing {
            let Standing {
                tries,
                inputs,
                step,
            } = standing;
            self.line.borrow_mut().show(|| {
                let (tries, inputs) = (thousands(tries), thousands(inputs as u64));
                let seconds = elapsed.as_secs();
                format!("{inputs} inputs left, {tries} tries, {seconds} s: {step}")
            });
        }
        elapsed < self.time
    }
}

/// Runs the command.
pub fn run(arguments: Arguments) -> ExitCode {
    let started = Instant::now();
    let watcher = Rc::new(Watcher {
        started,
        time: arguments.time,
        line: RefCell::new(Progress::new(true)),
    });
    let keep = match (arguments.exec, arguments.oracle, arguments.any) {
        (Some(command), ..) => Keep::Exec(Exec {
            command,
            patience: arguments.exec_time,
        }),
        (None, None, _) => Keep::FirstFinding,
        (None, Some(kind), false) => Keep::Kind(kind),
        (None, Some(kind), true) => Keep::Any(kind),
    };
    let output = arguments.output;
    let settings = Settings {
        output: output.unwrap_or_else(|| shrink::default_output(&arguments.file)),
        input: arguments.file,
        keep,
        tries: arguments.tries,
        disk: arguments.disk,
        node: arguments.node,
    };
    let report = shrink::shrink(&settings, watcher.clone());
    watcher.line.borrow_mut().clear();
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            eprintln!(
                "stmf-sim trace shrink: {}: {error}",
                settings.input.display()
            );
            return ExitCode::from(status(&error));
        }
    };
    let text = match arguments.json {
        true => format!("{}\n", report.json(started.elapsed())),
        false => report.text(Style::of_standard_output(), started.elapsed()),
    };
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever read the output has seen enough.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("stmf-sim trace shrink: cannot write the report: {error}");
            ExitCode::from(2)
        }
        _ => ExitCode::SUCCESS,
    }
}

fn status(error: &ShrinkError) -> u8 {
    match error {
        ShrinkError::Sound
        | ShrinkError::NotShown { .. }
        | ShrinkError::OnlyExactly(_)
        | ShrinkError::ExecSound
        | ShrinkError::ExecOnlyExactly
        | ShrinkError::NodeOnlyWhole(_)
        | ShrinkError::NodeNotConfirmed
        | ShrinkError::NotConfirmed(_) => 1,
        _ => 2,
    }
}
