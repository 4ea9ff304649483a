// SPDX-License-Identifier: MPL-2.0
//! The one place where anything undetermined is decided.
//!
//! A run is a function of its scenario and of the answers given here, so whoever records the
//! answers can play the run back, edit it, or enumerate all runs.

use super::ThreadId;

/// What a choice is about, so that a recorded choice can be read and an oracle can treat kinds
/// differently.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ChoiceKind {
    /// Which of the ready threads runs next; the alternatives stand in the order in which they
    /// became ready.
    Schedule,
    /// How long something takes.
    Delay,
    /// Whether, and which, fault happens.
    Fault,
    /// What a workload does next.
    Workload,
    /// Into what pieces a stream of bytes is cut.
    Fragment,
}

/// An oracle for choices.
pub trait Choices {
    /// One of `alternatives` (2 or more): a number below it.
    fn choose(&mut self, kind: ChoiceKind, alternatives: u64) -> u64;

    /// The place in `ready` (2 or more, in the order in which they became ready) of the thread
    /// that runs next. Oracles that treat threads differently answer this one; for all others it
    /// is a choice as any other. Either way it is recorded as a choice of kind
    /// [`ChoiceKind::Schedule`] among as many alternatives as there are threads, so whoever plays
    /// it back need not know the threads.
    fn schedule(&mut self, ready: &[ThreadId]) -> usize {
        self.choose(ChoiceKind::Schedule, ready.len() as u64) as usize
    }
}

/// Always takes the first alternative: threads run in the order in which they became ready.
#[derive(Clone, Copy, Debug, Default)]
pub struct FirstChoice;

impl Choices for FirstChoice {
    fn choose(&mut self, _: ChoiceKind, _: u64) -> u64 {
        0
    }
}
