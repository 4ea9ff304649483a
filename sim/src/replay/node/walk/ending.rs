// SPDX-License-Identifier: MPL-2.0
//! The end of a walk: what is left over, and the report.

use super::{Stop, Walk};
use crate::replay::node::divergence::DivergenceKind;
use crate::replay::node::input::{Action, Assumption, Expect, Input, RecordIndex};
use crate::replay::node::run::{HangReport, NodeRun};
use std::collections::BTreeSet;
use stmf_proxy::time::Time;

impl Walk<'_> {
    pub(super) fn end(mut self, stopped: Option<Stop>) -> NodeRun {
        let stopped = stopped.or_else(|| self.look_at_the_end().err());
        let hash = self.hash;
        let mut run = NodeRun {
            hash,
            ..NodeRun::default()
        };
        match stopped {
            Some(Stop::Diverged(divergence)) => run.divergence = Some(*divergence),
            Some(Stop::Exhausted) => run.exhausted = true,
            None => {
                run.hang = self.look_for_hang();
                run.exhausted = self.exhausted();
            }
        }
        run.notes = self.notes();
        run.compared = self.compared;
        run.panic = self.panic.take();
        self.machine.end();
        run
    }

    /// Lets what is due at the last instant happen, and looks for what ought not to have.
    pub(super) fn look_at_the_end(&mut self) -> Result<(), Stop> {
        self.run_ready();
        if self.exhausted() {
            return Err(Stop::Exhausted);
        }
        if !self.compare {
            return Ok(());
        }
        let last = self.last_time();
        if let Some((when, _)) = self.extra.front()
            && *when + self.slack() < last
        {
            return Err(self.not_recorded());
        }
        for post in self.endless_posts() {
            let out_for = last - self.script.times[post];
            if out_for >= self.settings.hang && self.posts.contains_key(&post) {
                self.here = post;
                let what = "a post".to_owned();
                return Err(self.diverged(DivergenceKind::Ends, what, Vec::new()));
            }
        }
        Ok(())
    }

    fn last_time(&self) -> Time {
        self.script.times.last().copied().unwrap_or(Time::ZERO)
    }

    /// Posts of the last kernel of which the recording does not tell the end, though nobody had
    /// closed the device.
    fn endless_posts(&self) -> BTreeSet<RecordIndex> {
        let mut out = BTreeSet::new();
        for step in &self.script.steps {
            match &step.action {
                Action::Input {
                    input: Input::Post { post },
                    ..
                } => {
                    out.insert(*post);
                }
                Action::Input {
                    input: Input::Boot | Input::PowerOff | Input::CloseDevice,
                    ..
                }
                | Action::Expect(Expect::Panic { .. }) => out.clear(),
                Action::Expect(Expect::PostDone { post, .. }) => {
                    out.remove(post);
                }
                _ => {}
            }
        }
        out
    }

    /// Lets time pass behind the end of the recording: what has not returned then hangs.
    fn look_for_hang(&mut self) -> Option<HangReport> {
        if !self.machine.is_up() {
            return None;
        }
        let end = self.machine.executor.now() + self.settings.hang;
        self.machine.run_before(end, self.settings.steps);
        self.drain();
        if self.posts_out.is_empty() && self.operations_out.is_empty() {
            return None;
        }
        let blocked = self.machine.executor.blocked_threads();
        let posts = self.posts_out.keys();
        Some(HangReport {
            posts: posts.map(|post| self.record(*post).sequence).collect(),
            operations: self
                .operations_out
                .values()
                .map(|name| (*name).to_owned())
                .collect(),
            blocked: blocked
                .iter()
                .filter(|thread| !thread.sleeping)
                .map(|thread| thread.to_string())
                .collect(),
        })
    }

    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self
            .script
            .assumptions()
            .iter()
            .filter(|assumption| !matches!(assumption, Assumption::MessageIds { next: 0..=1 }))
            .map(|assumption| format!("assumed: {assumption}"))
            .collect();
        let facts = &self.script.facts;
        let (mapped, uneven) = self.ids.mapped();
        let counted = [
            (
                facts.passed_over,
                "events passed over: they end what had begun before the recording",
            ),
            (
                facts.lost,
                "events were lost when the recording was made: it may diverge for that",
            ),
            (
                self.not_played,
                "inputs could not be played: what they are about is not there",
            ),
            (mapped, "message ids differ from the recorded ones"),
            (
                uneven,
                "of them are not a mere change of order: messages were sent that the recording \
                 does not show",
            ),
        ];
        let counted = counted.iter().filter(|(count, _)| *count > 0);
        notes.extend(counted.map(|(count, what)| format!("{count} {what}")));
        if !self.script.is_whole() {
            notes.push("the script was cut: nothing was compared".into());
        }
        if self.unrecorded_panic() {
            notes.push("the simulated kernel panics where the recording ends".into());
        }
        notes
    }
}
