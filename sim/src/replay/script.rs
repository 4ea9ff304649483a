// SPDX-License-Identifier: MPL-2.0
//! What was done to a world, in order: the inputs of a run, as a value that can be cut and
//! played.

use crate::recording::PLAN_NOTE;
use crate::world::choices::{Choice, ChoiceLog, ChoiceLogError};
use crate::world::operation::{Operation, Placed, Plan, Recorder};
use crate::world::trace::{Event, Record, Sink};
use stmf_proxy::time::Time;
use stmf_proxy::trace::Section;

/// Something that is done to the world.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Input {
    /// When, in virtual time.
    pub time: Time,
    /// After how many steps of the world's own threads since the clock last moved.
    pub steps: u64,
    /// After how many operations had ended.
    pub ended: u64,
    /// What.
    pub operation: Operation,
    /// What is written.
    pub data: Vec<u8>,
}

/// Where the choices of a run come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Oracle {
    /// They are drawn from a seed.
    Seed(u64),
    /// They were written down.
    Log(ChoiceLog),
}

/// The inputs of a run: what the world is made of, where choices come from, what is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Script {
    /// What the world is made of.
    pub plan: Plan,
    /// Where choices come from.
    pub oracle: Oracle,
    /// What is done, in order; without the end.
    pub inputs: Vec<Input>,
    /// When the scenario ended, if it came to that, and whether it was stuck.
    pub end: Option<(Input, bool)>,
    /// How the run is called.
    pub scenario: Option<String>,
}

/// The most operations that a script holds.
pub const MOST_INPUTS: usize = 10_000_000;

/// The most bytes of written data and choices that a script holds: 1 GiB.
pub const MOST_BYTES: usize = 1 << 30;

/// Why a trace is no script.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScriptError {
    /// The section does not say what the world was made of.
    #[error(
        "the trace does not say what world it is of (there is no note \"{PLAN_NOTE}\"): it is of \
         real nodes, or of one node"
    )]
    NoPlan,
    /// It says so in a way that cannot be understood.
    #[error("the note \"{PLAN_NOTE}\" of the trace cannot be understood: {0}")]
    BadPlan(String),
    /// An operation cannot be understood.
    #[error("operation {number} of the trace cannot be understood: {error}")]
    BadOperation {
        /// Its number.
        number: u64,
        /// Why.
        error: String,
    },
    /// Operations are missing.
    #[error(
        "operation {expected} is missing from the trace (after {before} comes {found}): part of \
         it was lost, or its beginning was deleted by a ring"
    )]
    Missing {
        /// The number that should come.
        expected: u64,
        /// The number before.
        before: u64,
        /// The number that came.
        found: u64,
    },
    /// A piece of the choices cannot be understood.
    #[error("a piece of the recorded choices is damaged: {0}")]
    Choices(#[from] ChoiceLogError),
    /// Data of an operation was cut.
    #[error(
        "the data of operation {number} was not recorded (snap length): the run cannot be made \
         again from this trace; replay one node of it, or record without a snap length"
    )]
    Cut {
        /// Its number.
        number: u64,
    },
    /// There is more than can be held.
    #[error(
        "the trace has more than {MOST_INPUTS} operations, or {MOST_BYTES} bytes in them; cut it"
    )]
    TooLarge,
}

/// Takes a script together, event by event.
#[derive(Debug)]
pub struct Builder {
    script: Script,
    log: ChoiceLog,
    next: u64,
    bytes: usize,
}

impl Builder {
    /// Begins a script with what a section says.
    ///
    /// # Errors
    ///
    /// [`ScriptError::NoPlan`] and [`ScriptError::BadPlan`].
    pub fn new(section: &Section) -> Result<Builder, ScriptError> {
        let text = section.notes.get(PLAN_NOTE).ok_or(ScriptError::NoPlan)?;
        let plan: Plan =
            serde_json::from_str(text).map_err(|error| ScriptError::BadPlan(error.to_string()))?;
        Ok(Builder {
            script: Script {
                oracle: Oracle::Seed(plan.seed.unwrap_or(0)),
                plan,
                inputs: Vec::new(),
                end: None,
                scenario: section.scenario.clone(),
            },
            log: ChoiceLog::default(),
            next: 1,
            bytes: 0,
        })
    }

    /// Takes an event; only operations and choices matter.
    ///
    /// # Errors
    ///
    /// See [`ScriptError`].
    pub fn event(&mut self, record: &Record<'_>) -> Result<(), ScriptError> {
        match record.event {
            Event::Choices(piece) => {
                self.bytes += piece.len();
                self.log.append(&ChoiceLog::from_bytes(piece)?);
            }
            Event::Operation {
                operation: number,
                steps,
                ended,
                text,
                data,
            } => {
                if number != self.next {
                    return Err(ScriptError::Missing {
                        expected: self.next,
                        before: self.next - 1,
                        found: number,
                    });
                }
                if record.cut.is_some() {
                    return Err(ScriptError::Cut { number });
                }
                self.next += 1;
                let operation: Operation =
                    serde_json::from_str(text).map_err(|error| ScriptError::BadOperation {
                        number,
                        error: error.to_string(),
                    })?;
                self.bytes += text.len() + data.len();
                self.script.push(Input {
                    time: record.time,
                    steps,
                    ended,
                    operation,
                    data: data.to_vec(),
                });
            }
            _ => {}
        }
        match self.script.inputs.len() > MOST_INPUTS || self.bytes > MOST_BYTES {
            true => Err(ScriptError::TooLarge),
            false => Ok(()),
        }
    }

    /// The script. One of which no operation was seen is of one node, as a rule.
    ///
    /// # Errors
    ///
    /// [`ScriptError::NoPlan`] if there was no operation.
    pub fn finish(mut self) -> Result<Script, ScriptError> {
        if self.next == 1 {
            return Err(ScriptError::NoPlan);
        }
        if self.script.plan.seed.is_none() {
            self.script.oracle = Oracle::Log(self.log);
        }
        Ok(self.script)
    }
}

impl Script {
    fn push(&mut self, input: Input) {
        match input.operation {
            Operation::End { stuck } => self.end = Some((input, stuck)),
            _ => self.inputs.push(input),
        }
    }

    /// A script with nothing in it.
    fn empty(plan: Plan) -> Script {
        Script {
            oracle: Oracle::Seed(plan.seed.unwrap_or(0)),
            plan,
            inputs: Vec::new(),
            end: None,
            scenario: None,
        }
    }

    /// When the last thing is done.
    pub fn last_time(&self) -> Time {
        self.inputs.last().map_or(Time::ZERO, |input| input.time)
    }
}

/// Takes the script of a run down as it happens.
#[derive(Default)]
pub struct ScriptRecorder {
    script: Option<Script>,
    log: ChoiceLog,
}

impl ScriptRecorder {
    /// Nothing yet.
    pub fn new() -> ScriptRecorder {
        ScriptRecorder::default()
    }

    /// The script until now; none if no world was begun.
    pub fn script(&self) -> Option<Script> {
        let mut script = self.script.clone()?;
        if script.plan.seed.is_none() {
            script.oracle = Oracle::Log(self.log.clone());
        }
        Some(script)
    }
}

impl Sink for ScriptRecorder {
    fn record(&mut self, _: &Record<'_>) {}
}

impl Recorder for ScriptRecorder {
    fn begin(&mut self, plan: &Plan) {
        self.script = Some(Script::empty(plan.clone()));
    }

    fn operation(&mut self, placed: Placed<'_>) {
        let input = Input {
            time: placed.time,
            steps: placed.steps,
            ended: placed.ended,
            operation: placed.operation.clone(),
            data: placed.data.to_vec(),
        };
        if let Some(script) = &mut self.script {
            script.push(input);
        }
    }

    fn choice(&mut self, _: Time, choice: Choice) {
        self.log.push(choice);
    }
}
