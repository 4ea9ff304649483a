// SPDX-License-Identifier: MPL-2.0
//! What `stmf-sim explore` tells on standard error while it works. The report is made elsewhere.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use stmf_sim::explore::report::{long, per_second, times};
use stmf_sim::explore::{self, MOST_FAILURES, Summary};
use stmf_sim::report::style::Progress;
use stmf_sim::report::thousands;
use stmf_sim::shrink::{self, Standing};

/// What is told while a search goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nothing: a machine reads what comes.
    Nothing,
    /// How far it is.
    Progress,
    /// Each seed that fails, too: the report comes at the end, and whoever breaks a long search off
    /// never sees it.
    ProgressAndFailures,
}

/// Shows how far the search is, and ends it when its time is over.
pub struct Watcher {
    started: Instant,
    time: Option<Duration>,
    told: Told,
    /// Standard error is no terminal.
    in_log: bool,
    shown: Mutex<SoFar>,
}

impl Watcher {
    /// Watches a search that begins at `started` and begins no other seed when `time` is over.
    pub fn new(started: Instant, time: Option<Duration>, told: Told) -> Watcher {
        Watcher {
            started,
            time,
            told,
            in_log: !std::io::stderr().is_terminal(),
            shown: Mutex::new(SoFar {
                line: Progress::new(told != Told::Nothing),
                failures: 0,
                more_told: false,
                logged: Duration::ZERO,
            }),
        }
    }
}

/// What was shown of a search until now.
struct SoFar {
    line: Progress,
    /// How many failures.
    failures: usize,
    /// It was said that there are more than are named.
    more_told: bool,
    /// When the last line in a log was written, from the start.
    logged: Duration,
}

/// How often the progress is told where it cannot be written over.
const LOG_EVERY: Duration = Duration::from_secs(60);

impl explore::Watching for Watcher {
    fn go_on(&self, summary: &Summary) -> bool {
        let real = self.started.elapsed();
        if let Ok(mut shown) = self.shown.lock() {
            if self.told == Told::ProgressAndFailures {
                shown.tell_failures(summary);
            }
            let told = self.told != Told::Nothing;
            if told && self.in_log && real - shown.logged >= LOG_EVERY {
                shown.logged = real;
                tell(&progress(summary, real));
            }
            shown.line.show(|| in_columns(progress(summary, real)));
        }
        self.time.is_none_or(|time| real < time)
    }
}

impl SoFar {
    fn tell_failures(&mut self, summary: &Summary) {
        for failure in summary.failures.iter().skip(self.failures) {
            self.line.clear();
            if let Some(finding) = failure.findings.first() {
                let finding = finding.to_string();
                let first = finding.lines().next().unwrap_or_default();
                tell(&format!("seed {} failed: {first}", failure.seed));
            }
        }
        self.failures = summary.failures.len();
        if summary.failed > MOST_FAILURES as u64 && !self.more_told {
            self.more_told = true;
            self.line.clear();
            tell(&format!(
                "more than {MOST_FAILURES} seeds failed: only counted from here"
            ));
        }
    }
}

/// A line on standard error. Nobody may be there to read it: the search goes on all the same, for
/// its report is what counts.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn progress(summary: &Summary, real: Duration) -> String {
    let totals = &summary.totals;
    let mut line = format!(
        "{} seeds, {}/s; {} simulated, {} x real; {} commands, {} messages, {} faults",
        thousands(summary.seeds),
        thousands(per_second(summary.seeds, real)),
        long(totals.simulated),
        thousands(times(totals.simulated, real)),
        thousands(totals.commands),
        thousands(totals.messages),
        thousands(totals.fired),
    );
    if summary.failed > 0 {
        line.push_str(&format!("; {} failed", thousands(summary.failed)));
    }
    line
}

/// As much of a line as the terminal can show: a longer one could not be written over.
fn in_columns(mut line: String) -> String {
    let size = terminal_size::terminal_size_of(std::io::stderr());
    let width = size.map_or(80, |(width, _)| usize::from(width.0));
    line.truncate(width.saturating_sub(1));
    line
}

/// Shows how far the cutting of a failure is.
pub struct ShrinkWatcher {
    seed: u64,
    line: RefCell<Progress>,
}

impl ShrinkWatcher {
    /// Of the failure of a seed; nothing is shown unless it is `wanted`.
    pub fn new(seed: u64, wanted: bool) -> ShrinkWatcher {
        ShrinkWatcher {
            seed,
            line: RefCell::new(Progress::new(wanted)),
        }
    }
}

impl shrink::Watching for ShrinkWatcher {
    fn go_on(&self, standing: Option<Standing>) -> bool {
        if let Some(standing) = standing {
            let Standing { tries, inputs, .. } = standing;
            self.line.borrow_mut().show(|| {
                let (tries, inputs) = (thousands(tries), thousands(inputs as u64));
                format!(
                    "seed {} failed; cutting it down: {inputs} inputs left, {tries} tries",
                    self.seed
                )
            });
        }
        true
    }
}
