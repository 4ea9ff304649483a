// SPDX-License-Identifier: MPL-2.0
//! Probabilistic concurrency testing: threads with random priorities, and few places at which
//! the one that would run loses its own.
//!
//! The algorithm is that of Burckhardt, Kothari, Musuvathi and Nagarakatte, "A Randomized
//! Scheduler with Probabilistic Guarantees of Finding Bugs" (ASPLOS 2010). Always the ready
//! thread with the highest priority runs. A thread gets a random priority when it is first seen;
//! at `depth - 1` steps, drawn at random among `steps`, the thread that would run falls below all
//! others. A failure that needs `depth` ordering constraints among threads is met with a
//! probability of at least `1 / (threads * steps^(depth - 1))`, whereas a scheduler that draws
//! each step anew has to be lucky at every step in between.
//!
//! Only steps count at which there is a choice: with one thread ready there is nothing to
//! preempt. Choices of other kinds are drawn as [`Drawn`] draws them.

use super::Drawn;
use crate::executor::{ChoiceKind, Choices, ThreadId};
use crate::world::random::Random;

/// The stream of a seed from which priorities and change points come; choices have others.
const STREAM: u64 = 0x7063_7420_7072_696f;

/// A thread that was chosen this often in a row while others were ready has its priority taken:
/// it may be waiting for them in a loop.
const MOST_IN_A_ROW: u32 = 10_000;

/// The lowest priority of threads that keep their own.
const FIRST_OWN: u64 = 1 << 32;

/// Those of change points lie above this, those of threads that looped below it.
const CHANGED: u64 = 1 << 31;

/// Decides by priorities. Runs with the same arguments are the same.
#[derive(Clone, Debug)]
pub struct Pct {
    others: Drawn,
    random: Random,
    /// Steps, from 0, at which the thread that would run loses its priority, and the one that it
    /// has from then on; the next one last. Which of two such threads is above the other is as
    /// random as when they fall.
    changes: Vec<(u64, u64)>,
    /// The priority of the next thread that loops.
    next_lowest: u64,
    /// By slot: the thread that has it now, and its priority.
    priorities: Vec<Option<(ThreadId, u64)>>,
    step: u64,
    last: Option<ThreadId>,
    in_a_row: u32,
}

impl Pct {
    /// The most that one run can ask for: `depth` is taken no higher.
    pub const MOST_DEPTH: u32 = 64;

    /// The oracle of a seed, for failures of this depth (1 or more) in runs of about as many
    /// steps (1 or more) at which there is a choice of threads.
    pub fn new(seed: u64, depth: u32, steps: u64) -> Pct {
        let mut random = Random::stream(seed, STREAM);
        let change = |number: u32| (random.below(steps.max(1)), CHANGED + u64::from(number));
        let mut changes: Vec<_> = (1..depth.min(Pct::MOST_DEPTH)).map(change).collect();
        changes.sort_unstable_by(|one, other| other.cmp(one));
        Pct {
            others: Drawn::new(seed),
            random,
            changes,
            next_lowest: CHANGED,
            priorities: Vec::new(),
            step: 0,
            last: None,
            in_a_row: 0,
        }
    }

    /// How many choices of a thread there were so far: what a run of this kind should be given
    /// for its number of steps.
    pub fn steps(&self) -> u64 {
        self.step
    }

    fn highest(&mut self, ready: &[ThreadId]) -> usize {
        let mut best = (0, 0);
        for (place, thread) in ready.iter().enumerate() {
            let priority = match self.priorities.get(thread.slot()) {
                Some(Some((of, priority))) if of == thread => *priority,
                _ => {
                    let drawn = FIRST_OWN + (self.random.bits() >> 1);
                    self.give(*thread, drawn);
                    drawn
                }
            };
            if priority > best.1 {
                best = (place, priority);
            }
        }
        best.0
    }

    fn give(&mut self, thread: ThreadId, priority: u64) {
        let slot = thread.slot();
        if slot >= self.priorities.len() {
            self.priorities.resize(slot + 1, None);
        }
        self.priorities[slot] = Some((thread, priority));
    }
}

impl Choices for Pct {
    fn choose(&mut self, kind: ChoiceKind, alternatives: u64) -> u64 {
        self.others.choose(kind, alternatives)
    }

    fn schedule(&mut self, ready: &[ThreadId]) -> usize {
        let mut chosen = self.highest(ready);
        while let Some((step, priority)) = self.changes.last().copied()
            && step == self.step
        {
            self.changes.pop();
            self.give(ready[chosen], priority);
            chosen = self.highest(ready);
        }
        if self.last == Some(ready[chosen]) {
            self.in_a_row += 1;
            if self.in_a_row >= MOST_IN_A_ROW {
                self.give(ready[chosen], self.next_lowest);
                self.next_lowest = self.next_lowest.saturating_sub(1).max(1);
                chosen = self.highest(ready);
            }
        }
        if self.last != Some(ready[chosen]) {
            self.last = Some(ready[chosen]);
            self.in_a_row = 0;
        }
        self.step += 1;
        chosen
    }
}

#[cfg(test)]
mod tests;
