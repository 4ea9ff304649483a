// SPDX-License-Identifier: MPL-2.0
//! Every order of a small scenario.
//!
//! [`search`] runs a [`Small`] scenario again and again, and takes another turn each time, until
//! every sequence of choices within a bound has been taken (stateless model checking). Set-up,
//! healing and demand run in one order; in between, everything that can happen next at a moment
//! is an alternative: each thread that is ready, and each act that is to begin. A *choice* is a
//! moment with two alternatives or more. At the first `depth` choices of a run every alternative
//! is taken; below them the first one, which is that of the process that has made the fewest
//! steps at this moment. Acts are put to every combination of ticks before that, see
//! [`Small::starts`]; all that takes time takes whole ticks.
//!
//! Delays, the pieces of a stream and faults by chance are not turned over unless
//! [`OtherChoices::Ends`] asks for it; then the first and the last alternative of each are taken.
//!
//! # States
//!
//! A run that comes to a state of the world that was met before, with as many choices left, ends
//! there. Threads are futures, and nobody can look into them, so a state is not compared itself:
//! its *history* is. Everything in a world is a function of what it was given, so two worlds whose
//! parts have the same histories are in the same state. The parts, each with a hash that grows
//! with every step:
//!
//! - Each node: kernel, relay and operators. A step is which of the node's own ready threads ran
//!   (by its place among them), when, and what its choices were answered.
//! - The disks: a step of a node that looks at a disk or changes it takes the history of the
//!   disks into that of the node, and the other way round.
//! - The network, by its whole content: connections, what travels and when and in which order it
//!   is due. A step of a node that only sends takes into the node's history which connections
//!   there are and what travels to the peer (it may have looked at those); one that changes more
//!   takes the whole content.
//! - What is common to those outside: the sequence of what watchers compare (see below), and what
//!   hosts and operators know of each other.
//! - All else (the threads of the network, numbers that the whole world counts) depends on
//!   everything: such a step takes the histories of all parts into each.
//!
//! A thread from outside runs at once when it is ready, so its step belongs to the one that woke
//! it. The thread of an act has to do with the nodes that the act names, and with what is common
//! to those outside: their histories are taken into each other. Where that cannot be said of an
//! act (a link that breaks), or where its step changed anything else, it depends on everything.
//!
//! So two orders have equal hashes if they differ only in steps of different nodes that touch
//! nothing in common, which is the equivalence of Mazurkiewicz: those orders lead to one state.
//! What watchers hold of a run could still differ, for they see the events of both nodes in one
//! sequence. Therefore a step that tells anything else than what passes between kernel, relay and
//! link of its node (statuses, access states, panics and all the rest) has a place in that
//! sequence, and two orders with different sequences are different. Only that commands *begin*
//! has no order: of two that begin at one moment, neither is the earlier one for any watcher.
//! What passes within one node, and what is told of the other one at the same moment, can change
//! places: it takes a message a tick at least to make one depend on the other, and a watcher that
//! took the one for the cause of the other would be wrong. `swapped.rs` puts the events of runs in
//! many such orders, and demands that watchers find the same in each. The first alternative below
//! the bound follows from the state, too.
//!
//! The hashes have 64 bits: among a million states, two different ones have the same with a
//! probability of 3 in 100 million. Each time a state is met again, what both runs told of each
//! node is compared ([`Report::contradictions`]); a difference would show that the reasoning
//! above is wrong.

mod history;
mod path;
mod run;
mod small;
#[cfg(test)]
mod swapped;

pub use run::EXPLORE;
pub use small::{Small, Start, TICK, by_name, scenarios};

use crate::executor::FirstChoice;
use crate::findings::Finding;
use crate::world::operation::{Plan, SharedRecorder};
use path::Path;
use run::{Ended, Order, Seen};
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of choices that are not about what runs next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OtherChoices {
    /// The first alternative is taken.
    #[default]
    First,
    /// Delays, pieces and faults are choices between the first and the last alternative.
    Ends,
}

/// How far a search goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// At how many choices of a run every alternative is taken. Default 8.
    pub depth: u32,
    /// Cuts runs at states that were met before. Default true.
    pub states: bool,
    /// What becomes of other choices. Default [`OtherChoices::First`].
    pub others: OtherChoices,
    /// The most runs. Default: any number.
    pub runs: u64,
    /// Ends at the first run in which something was found. Default true.
    pub stop_at_finding: bool,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            depth: 8,
            states: true,
            others: OtherChoices::First,
            runs: u64::MAX,
            stop_at_finding: true,
        }
    }
}

/// A run in which something was found, and how to come there again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// When the acts begin.
    pub starts: Vec<Start>,
    /// What was taken at each choice; the first alternative after them.
    pub turns: Vec<u32>,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// What came of a search.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Runs, those that were cut included.
    pub runs: u64,
    /// Of these, runs that were cut at a state that was met before.
    pub cut: u64,
    /// Different states in which there was a choice.
    pub states: u64,
    /// The most choices of one run.
    pub deepest: u64,
    /// Runs with choices below the bound.
    pub beyond: u64,
    /// Ways to put the acts to ticks, of which all orders were run.
    pub starts: u64,
    /// Every sequence of choices within the bound was taken.
    pub complete: bool,
    /// Different ends: what was told of each node, and the kinds of what was found.
    pub outcomes: BTreeSet<u64>,
    /// Panics that no relay could prevent, by trap and cause: in how many runs there were some.
    pub excused: BTreeMap<(u8, &'static str), u64>,
    /// The first run in which something was found.
    pub found: Option<Found>,
    /// States with equal hashes in which not the same had happened, and ways that led elsewhere
    /// when they were taken again. Always 0 unless the search itself is wrong.
    pub contradictions: u64,
}

impl Report {
    /// Every order was run, not only every order within the bound.
    pub fn every_order(&self) -> bool {
        self.complete && self.beyond == 0
    }
}

/// Runs every order of a scenario within bounds. `go_on` is asked after each run, with the report
/// so far.
pub fn search(small: &Small, bounds: Bounds, mut go_on: impl FnMut(&Report) -> bool) -> Report {
    let mut report = Report::default();
    for starts in small.starts() {
        let mut seen = Seen::new();
        let mut path = Path::new(bounds.depth);
        loop {
            if report.runs >= bounds.runs {
                return report;
            }
            let order = Order {
                small,
                starts: &starts,
                bounds,
                recorder: None,
            };
            let ran = run::run(order, path, bounds.states.then_some(&mut seen));
            path = ran.path;
            report.runs += 1;
            report.deepest = report.deepest.max(ran.choices);
            report.beyond += u64::from(path.beyond() > 0);
            report.contradictions += ran.contradictions + u64::from(path.has_diverged());
            match ran.ended {
                Ended::Cut => report.cut += 1,
                Ended::Over(over) => {
                    report.outcomes.insert(over.outcome);
                    let causes = over.excused.iter();
                    let causes: BTreeSet<_> =
                        causes.map(|one| (one.by.trap, one.by.cause)).collect();
                    for cause in causes {
                        *report.excused.entry(cause).or_default() += 1;
                    }
                    if !over.findings.is_empty() && report.found.is_none() {
                        report.found = Some(Found {
                            starts: starts.clone(),
                            turns: path.turns(),
                            findings: over.findings,
                        });
                        if bounds.stop_at_finding {
                            report.states += seen.len() as u64;
                            return report;
                        }
                    }
                }
            }
            if !path.turn() {
                break;
            }
            if !go_on(&report) {
                report.states += seen.len() as u64;
                return report;
            }
        }
        report.states += seen.len() as u64;
        report.starts += 1;
    }
    report.complete = true;
    report
}

/// What the world of a scenario is made of, for a recorder.
pub fn plan(small: &Small) -> Plan {
    run::builder(small, Box::new(FirstChoice)).plan()
}

/// Makes one run again and writes it down; what was found in it.
pub fn record(
    small: &Small,
    bounds: Bounds,
    starts: &[Start],
    turns: &[u32],
    recorder: SharedRecorder,
) -> Vec<Finding> {
    let order = Order {
        small,
        starts,
        bounds,
        recorder: Some(recorder),
    };
    match run::run(order, Path::along(turns), None).ended {
        Ended::Over(over) => over.findings,
        Ended::Cut => Vec::new(),
    }
}
