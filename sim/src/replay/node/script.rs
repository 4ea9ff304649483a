// SPDX-License-Identifier: MPL-2.0
//! Scripts: the records of one node, and the steps that were made of them.

use super::extract;
use super::input::{Action, Assumption, Input, RecordIndex, Step, TimedInput};
use super::machine::LuFacts;
use super::run::NodeRun;
use super::settings::NodeSettings;
use super::walk::Walk;
use std::collections::BTreeSet;
use std::rc::Rc;
use stmf_proxy::time::Time;
use stmf_proxy::trace::{Event, Record, RecordBuf};

/// How much of a recording is kept in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Events of the node. Default 4,000,000.
    pub events: usize,
    /// Their bytes, with 128 for each event beside its messages and data. Default 4 GiB.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            events: 4_000_000,
            bytes: 4 << 30,
        }
    }
}

/// Why records make no script.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScriptError {
    /// More events than are kept.
    #[error(
        "the recording has more than {limit} events of the node; replay a part of it, or raise \
         the limit"
    )]
    TooManyEvents {
        /// The limit.
        limit: usize,
    },
    /// More bytes than are kept.
    #[error(
        "the events of the node have more than {limit} bytes; replay a part of the recording, or \
         raise the limit"
    )]
    TooManyBytes {
        /// The limit.
        limit: u64,
    },
    /// No event of that node.
    #[error("the recording has no event of node {node}; choose another node")]
    NoEvents {
        /// The node.
        node: u8,
    },
}

/// What the fields of an event are counted as, in bytes.
const EVENT_BYTES: u64 = 128;

/// The latest time of a recording that is kept as it is: 146 years after its origin. Sums with
/// any time-out of a kernel stay sums.
const TIME_MAX: Time = Time::from_nanos(u64::MAX / 4);

/// What a node did and what was done to it, ready to be played.
#[derive(Clone, Debug)]
pub struct NodeScript {
    pub(super) settings: NodeSettings,
    pub(super) records: Rc<Vec<RecordBuf>>,
    pub(super) times: Rc<Vec<Time>>,
    pub(super) steps: Vec<Step>,
    pub(super) facts: Rc<Facts>,
    /// Nothing was cut from it.
    whole: bool,
}

/// What was learned from the records beside the steps.
#[derive(Clone, Default)]
pub(super) struct Facts {
    pub(super) lus: LuFacts,
    /// Upcalls that nobody has answered.
    pub(super) unanswered: BTreeSet<RecordIndex>,
    /// Events that belong to what had begun before the recording.
    pub(super) passed_over: u64,
    /// Events that the recorder has lost.
    pub(super) lost: u64,
    /// Whether initiators were recorded.
    pub(super) with_initiators: bool,
}

impl std::fmt::Debug for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Facts")
            .field("passed_over", &self.passed_over)
            .field("lost", &self.lost)
            .field("with_initiators", &self.with_initiators)
            .finish_non_exhaustive()
    }
}

/// Collects the records of one node.
#[derive(Debug)]
pub struct ScriptBuilder {
    settings: NodeSettings,
    limits: Limits,
    records: Vec<RecordBuf>,
    times: Vec<Time>,
    bytes: u64,
}

impl ScriptBuilder {
    /// Nothing collected yet.
    pub fn new(settings: NodeSettings, limits: Limits) -> ScriptBuilder {
        ScriptBuilder {
            settings,
            limits,
            records: Vec::new(),
            times: Vec::new(),
            bytes: 0,
        }
    }

    /// Takes the next record of the recording; those of other nodes, and what passed between
    /// relays, are left out. A time before that of an earlier record counts as the same.
    ///
    /// # Errors
    ///
    /// When a limit is passed. Nothing that was taken before is lost.
    pub fn push(&mut self, record: &Record<'_>) -> Result<(), ScriptError> {
        let between_relays = matches!(
            record.event,
            Event::Sent { .. }
                | Event::Received { .. }
                | Event::Connect { .. }
                | Event::Connected { .. }
                | Event::Disconnected { .. }
                | Event::Choices(_)
                | Event::Other { .. }
        );
        if record.node != Some(self.settings.node) || between_relays {
            return Ok(());
        }
        if self.records.len() >= self.limits.events {
            return Err(ScriptError::TooManyEvents {
                limit: self.limits.events,
            });
        }
        let bytes = self.bytes + record.event.bulk().len() as u64 + EVENT_BYTES;
        if bytes > self.limits.bytes {
            return Err(ScriptError::TooManyBytes {
                limit: self.limits.bytes,
            });
        }
        let last = self.times.last().copied().unwrap_or(Time::ZERO);
        self.bytes = bytes;
        self.times.push(record.time.clamp(last, TIME_MAX));
        self.records.push(RecordBuf::from(record));
        Ok(())
    }

    /// Makes the script.
    ///
    /// # Errors
    ///
    /// If there is no record of the node.
    pub fn finish(self) -> Result<NodeScript, ScriptError> {
        if self.records.is_empty() {
            return Err(ScriptError::NoEvents {
                node: self.settings.node,
            });
        }
        let (steps, facts) = extract::extract(&self.settings, &self.records, &self.times);
        Ok(NodeScript {
            settings: self.settings,
            records: Rc::new(self.records),
            times: Rc::new(self.times),
            steps,
            facts: Rc::new(facts),
            whole: true,
        })
    }
}

impl NodeScript {
    /// Makes a script of the records of `settings.node` among these.
    ///
    /// # Errors
    ///
    /// As [`ScriptBuilder::push`] and [`ScriptBuilder::finish`].
    pub fn from_records<'a>(
        settings: NodeSettings,
        limits: Limits,
        records: impl IntoIterator<Item = Record<'a>>,
    ) -> Result<NodeScript, ScriptError> {
        let mut builder = ScriptBuilder::new(settings, limits);
        for record in records {
            builder.push(&record)?;
        }
        builder.finish()
    }

    /// How it was made, and is played unless said otherwise.
    pub fn settings(&self) -> &NodeSettings {
        &self.settings
    }

    /// How many records of the node there are.
    pub fn records(&self) -> usize {
        self.records.len()
    }

    /// A record; `None` behind the last.
    pub fn record(&self, index: RecordIndex) -> Option<Record<'_>> {
        self.records.get(index).map(RecordBuf::get)
    }

    /// Whether initiators were recorded; otherwise their commands are derived from what the node
    /// sent its peer.
    pub fn has_initiators(&self) -> bool {
        self.facts.with_initiators
    }

    /// Whether nothing was cut from it ([`NodeScript::retain`]).
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    fn input_steps(&self) -> impl Iterator<Item = (&Step, &Input, bool)> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::Input {
                input, recorded, ..
            } => Some((step, input, *recorded)),
            _ => None,
        })
    }

    /// What comes from outside, in order.
    pub fn inputs(&self) -> Vec<TimedInput> {
        let timed = |(step, input, recorded): (&Step, &Input, bool)| TimedInput {
            time: self.times[step.record],
            sequence: self.records[step.record].get().sequence,
            recorded,
            input: input.clone(),
        };
        self.input_steps().map(timed).collect()
    }

    /// How many inputs there are.
    pub fn input_count(&self) -> usize {
        self.input_steps().count()
    }

    /// What the recording presupposes.
    pub fn assumptions(&self) -> Vec<Assumption> {
        let assumption = |step: &Step| match &step.action {
            Action::Assume(assumption) => Some(assumption.clone()),
            _ => None,
        };
        self.steps.iter().filter_map(assumption).collect()
    }

    /// The script without the inputs whose place in [`NodeScript::inputs`] has false in `keep`;
    /// what is behind the end of `keep` is kept. A script of which something was cut is driven
    /// and not compared.
    pub fn retain(&self, keep: &[bool]) -> NodeScript {
        let mut place = 0;
        let mut cut = false;
        let mut stays = |step: &Step| {
            if !matches!(step.action, Action::Input { .. }) {
                return true;
            }
            let stays = keep.get(place).copied().unwrap_or(true);
            place += 1;
            cut |= !stays;
            stays
        };
        let steps = self
            .steps
            .iter()
            .filter(|step| stays(step))
            .cloned()
            .collect();
        NodeScript {
            settings: self.settings.clone(),
            records: self.records.clone(),
            times: self.times.clone(),
            steps,
            facts: self.facts.clone(),
            whole: self.whole && !cut,
        }
    }

    /// Plays the script on a fresh kernel. The same script and settings give the same run.
    pub fn run(&self, settings: &NodeSettings) -> NodeRun {
        Walk::new(self, settings).run()
    }

    /// As [`NodeScript::run`], and what happened as records of a trace, from which a script can
    /// be made in turn: what was done to the kernel, and what it did. They end with the last step
    /// of this script. Data that was cut from the recording stands there as zeros.
    pub fn run_recorded(&self, settings: &NodeSettings) -> (NodeRun, Vec<RecordBuf>) {
        Walk::new(self, settings).run_recorded()
    }

    /// As [`NodeScript::run`], and how many steps the threads of the kernel took
    /// ([`NodeSettings::steps`]).
    pub fn run_counting(&self, settings: &NodeSettings) -> (NodeRun, u64) {
        let walk = Walk::new(self, settings);
        let executor = walk.executor();
        (walk.run(), executor.steps())
    }

    /// When the last record was made.
    pub fn last_time(&self) -> Time {
        self.times.last().copied().unwrap_or(Time::ZERO)
    }

    /// Numbers that tell the inputs apart, also from those of the script that this one was cut
    /// from: of each input in order.
    pub fn input_numbers(&self) -> impl Iterator<Item = usize> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::Input { number, .. } => Some(*number),
            _ => None,
        })
    }

    /// How many inputs come up to the record of this sequence number, that one included.
    pub fn inputs_until(&self, sequence: u64) -> usize {
        let until = |(step, ..): &(&Step, &Input, bool)| {
            self.records[step.record].get().sequence <= sequence
        };
        self.input_steps().take_while(until).count()
    }
}
