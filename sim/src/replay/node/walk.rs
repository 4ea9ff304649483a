// SPDX-License-Identifier: MPL-2.0
//! The walk along a script: inputs are given, what is expected is waited for and compared.

mod ending;
mod expect;

use super::describe;
use super::divergence::{Divergence, DivergenceKind, Field, Near};
use super::happening::{CallNumber, Ended, Happening};
use super::input::{
    Action, Assumption, CommandNumber, Expect, Extent, Input, Piece, RecordIndex, TaskName,
};
use super::lane::{Ids, Lane};
use super::machine::{Machine, Missing};
use super::run::{Compared, NodePanic, NodeRun};
use super::script::NodeScript;
use super::settings::{NodeSettings, RecordedBy};
use super::tape::Tape;
use crate::executor::Executor;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use stmf_proxy::message::{Body, Message};
use stmf_proxy::time::Time;
use stmf_proxy::trace::{Event, MAX_BULK, Record, RecordBuf};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A call that the simulated kernel has made and nobody has looked for yet.
struct Called {
    call: CallNumber,
    lock_held: bool,
    message: Option<Message>,
}

/// Calls of one lane.
#[derive(Default)]
struct LaneCalls {
    simulated: VecDeque<Called>,
    /// The recorded ones that are still to come.
    recorded: VecDeque<RecordIndex>,
}

/// How a command ended.
enum End {
    Done(Ended),
    Aborted,
}

/// The walk does not go on.
enum Stop {
    Diverged(Box<Divergence>),
    Exhausted,
}

/// A walk.
pub(super) struct Walk<'a> {
    script: &'a NodeScript,
    settings: NodeSettings,
    machine: Machine,
    compare: bool,
    /// Ports or LUs were there before the recording began.
    assumed: bool,
    /// Which boot of the kernel this is: lanes of different ones have nothing in common.
    life: u32,
    lanes: BTreeMap<(u32, Lane), LaneCalls>,
    /// Recorded calls that were found, and answers of which the call has not come yet.
    calls: BTreeMap<RecordIndex, CallNumber>,
    early_answers: BTreeMap<RecordIndex, Result<u32, i32>>,
    /// Recorded calls whose answer is still among the inputs.
    answered: BTreeSet<RecordIndex>,
    posts_out: BTreeMap<RecordIndex, Time>,
    posts: BTreeMap<RecordIndex, Result<(), i32>>,
    operations_out: BTreeMap<usize, &'static str>,
    operations: BTreeMap<usize, Result<(), i32>>,
    ends: BTreeMap<CommandNumber, End>,
    /// Calls that were not recorded, with the time at which they came.
    extra: VecDeque<(Time, Option<Message>)>,
    releases: BTreeSet<TaskName>,
    /// Tasks that were given to the kernel.
    given: BTreeSet<TaskName>,
    ids: Ids,
    compared: Compared,
    panic: Option<NodePanic>,
    not_played: u64,
    hash: u64,
    /// What happens, if that is recorded.
    tape: Option<Tape>,
    /// The record of the step that is being done.
    here: RecordIndex,
}

impl<'a> Walk<'a> {
    pub(super) fn new(script: &'a NodeScript, settings: &NodeSettings) -> Walk<'a> {
        let mut walk = Walk {
            script,
            settings: settings.clone(),
            machine: Machine::new(settings, script.facts.lus.clone()),
            compare: settings.compare && script.is_whole(),
            assumed: false,
            life: 0,
            lanes: BTreeMap::new(),
            calls: BTreeMap::new(),
            early_answers: BTreeMap::new(),
            answered: BTreeSet::new(),
            posts_out: BTreeMap::new(),
            posts: BTreeMap::new(),
            operations_out: BTreeMap::new(),
            operations: BTreeMap::new(),
            ends: BTreeMap::new(),
            extra: VecDeque::new(),
            releases: BTreeSet::new(),
            given: BTreeSet::new(),
            ids: Ids::default(),
            compared: Compared::default(),
            panic: None,
            not_played: 0,
            hash: 0,
            tape: None,
            here: 0,
        };
        walk.look_ahead();
        walk
    }

    /// Sorts the recorded calls into lanes.
    fn look_ahead(&mut self) {
        let mut life = 0;
        for step in &self.script.steps {
            match &step.action {
                Action::Input {
                    input: Input::Boot | Input::PowerOff,
                    ..
                }
                | Action::Expect(Expect::Panic { .. }) => life += 1,
                Action::Input {
                    input: Input::Answer { call, .. },
                    ..
                } => {
                    self.answered.insert(*call);
                }
                Action::Assume(
                    Assumption::Port { .. } | Assumption::Lu { .. } | Assumption::PeerPort { .. },
                ) => self.assumed = true,
                Action::Expect(Expect::Upcall { .. }) => {
                    let lane = self.lane_of(step.record);
                    let lane = self.lanes.entry((life, lane)).or_default();
                    lane.recorded.push_back(step.record);
                }
                _ => {}
            }
        }
    }

    fn record(&self, index: RecordIndex) -> Record<'a> {
        self.script.records[index].get()
    }

    fn message(&self, index: RecordIndex) -> Option<Message> {
        let bytes = self.record(index).message()?;
        Message::decode(&bytes, self.settings.dialect).ok()
    }

    fn lane_of(&self, index: RecordIndex) -> Lane {
        self.message(index)
            .map_or(Lane::Damaged, |message| Lane::of(&message))
    }

    /// What the threads of the kernel run on.
    pub(super) fn executor(&self) -> Executor {
        self.machine.executor.clone()
    }

    pub(super) fn run(mut self) -> NodeRun {
        let stopped = self.play();
        self.end(stopped)
    }

    /// Runs, and keeps what happens until the last step as the records of a trace.
    pub(super) fn run_recorded(mut self) -> (NodeRun, Vec<RecordBuf>) {
        self.tape = Some(Tape::new(self.settings.node));
        let stopped = self.play();
        let stopped = stopped.or_else(|| self.look_at_the_end().err());
        let records = self.tape.take().map(Tape::into_records);
        (self.end(stopped), records.unwrap_or_default())
    }

    fn play(&mut self) -> Option<Stop> {
        let script = self.script;
        self.machine.executor.advance(self.script.times[0]);
        if !self.begins_with_boot() {
            self.machine.boot();
        }
        for step in &script.steps {
            self.here = step.record;
            if let Err(stop) = self.step(&step.action) {
                return Some(stop);
            }
        }
        None
    }

    fn begins_with_boot(&self) -> bool {
        let first = self.script.steps.first().map(|step| &step.action);
        matches!(
            first,
            Some(Action::Input {
                input: Input::Boot,
                ..
            })
        )
    }

    fn step(&mut self, action: &Action) -> Result<(), Stop> {
        self.come_to(self.script.times[self.here])?;
        match action {
            Action::Assume(assumption) => {
                if self.machine.assume(assumption).is_err() {
                    self.not_played += 1;
                }
                Ok(())
            }
            Action::Input {
                input,
                recorded,
                number,
            } => self.input(input, *recorded, *number),
            Action::Release {
                task,
                extent,
                pieces,
            } => {
                if let Some((extent, lun)) = extent {
                    self.prepare_disk(extent, *lun, pieces);
                }
                // What was cut is not waited for.
                let comes = self.compare || self.given.contains(task);
                if !self.machine.release(*task) && comes {
                    self.releases.insert(*task);
                }
                self.drain();
                Ok(())
            }
            Action::Expect(expect) if self.compare => self.expect(expect),
            Action::Expect(Expect::Panic { .. }) => {
                self.run_ready();
                self.life += 1;
                Ok(())
            }
            Action::Expect(_) => {
                self.run_ready();
                Ok(())
            }
        }
    }

    fn exhausted(&self) -> bool {
        self.machine.executor.steps() >= self.settings.steps
    }

    /// Lets everything happen that is due before `time`.
    fn come_to(&mut self, time: Time) -> Result<(), Stop> {
        if time <= self.machine.executor.now() {
            return Ok(());
        }
        self.machine.run_before(time, self.settings.steps);
        self.drain();
        while self.release_waiting() {
            self.machine.run_before(time, self.settings.steps);
            self.drain();
        }
        if self.exhausted() {
            return Err(Stop::Exhausted);
        }
        if self.compare
            && let Some((when, _)) = self.extra.front()
            && *when + self.slack() < time
        {
            return Err(self.not_recorded());
        }
        self.machine.executor.advance(time);
        Ok(())
    }

    /// For how long the kernel may be ahead of the recording.
    fn slack(&self) -> Duration {
        match self.settings.recorded_by {
            RecordedBy::Simulator => Duration::ZERO,
            RecordedBy::Node => self.settings.late,
        }
    }

    fn run_ready(&mut self) {
        while !self.exhausted() && self.machine.executor.step() {
            self.drain();
        }
    }

    /// Tries again to release what was not there yet. Whether anything was.
    fn release_waiting(&mut self) -> bool {
        let waiting = std::mem::take(&mut self.releases);
        let (mut any, mut left) = (false, BTreeSet::new());
        for task in waiting {
            match self.machine.release(task) {
                true => any = true,
                false => {
                    left.insert(task);
                }
            }
        }
        self.releases = left;
        any
    }

    fn input(&mut self, input: &Input, recorded: bool, number: usize) -> Result<(), Stop> {
        if let Input::Answer { call, outcome } = input {
            match self.calls.remove(call) {
                Some(simulated) => self.answer(simulated, *outcome),
                None if !self.compare => {
                    self.early_answers.insert(*call, *outcome);
                }
                None => {}
            }
            return Ok(());
        }
        if self.compare && self.unrecorded_panic() {
            return Err(self.diverged(DivergenceKind::Panics, input.name().into(), Vec::new()));
        }
        let bytes = self.bytes_of(input);
        match input {
            Input::Boot | Input::PowerOff => self.new_life(),
            Input::Post { post } => {
                self.posts_out.insert(*post, self.machine.executor.now());
            }
            Input::Forget { command } => {
                self.ends.remove(command);
            }
            Input::UseMessageId | Input::Command { .. } | Input::Management { .. } => {}
            _ => {
                self.operations_out.insert(number, input.name());
            }
        }
        self.note_task(input);
        let mut done = self.machine.apply(number, input, bytes.clone(), recorded);
        if let Err(Missing::Port | Missing::Session) = done {
            // What would make it may only have to run.
            self.run_ready();
            done = self.machine.apply(number, input, bytes.clone(), recorded);
        }
        if done.is_ok()
            && let Some(tape) = &mut self.tape
        {
            let (time, origin) = (
                self.machine.executor.now(),
                self.script.records[self.here].get(),
            );
            tape.input(time, (number, input, recorded), &origin.event, &bytes);
        }
        if done.is_err() {
            self.not_played += 1;
            self.operations_out.remove(&number);
            if let Input::Post { post } = input {
                self.posts_out.remove(post);
            }
        }
        self.drain();
        Ok(())
    }

    /// Takes note of the task that an input begins, where that is going to be asked.
    fn note_task(&mut self, input: &Input) {
        if self.compare {
            return;
        }
        let task = match input {
            Input::Command { command, .. } | Input::Management { command, .. } => {
                Some(TaskName::Local(*command))
            }
            Input::Post { post } => match self.message(*post).map(|message| message.body) {
                Some(Body::ScsiCommand(command)) => {
                    Some(TaskName::Peer(command.session_id, command.task_msgid))
                }
                _ => None,
            },
            _ => None,
        };
        self.given.extend(task);
    }

    /// Ends a call; whether there was one.
    fn end_call(&mut self, call: CallNumber, outcome: Result<u32, i32>) -> bool {
        let door = self.machine.door();
        let ended = door.is_some_and(|door| door.end(call, outcome));
        if ended && let Some(tape) = &mut self.tape {
            tape.answered(self.machine.executor.now(), call, outcome);
        }
        ended
    }

    fn answer(&mut self, call: CallNumber, outcome: Result<u32, i32>) {
        if self.end_call(call, outcome) {
            self.machine.run_newest();
            self.drain();
        }
    }

    fn unrecorded_panic(&self) -> bool {
        let panic = self.panic.as_ref();
        !self.machine.is_up() && panic.is_some_and(|panic| !panic.recorded)
    }

    /// What one kernel has left behind says nothing of the next.
    fn new_life(&mut self) {
        self.life += 1;
        self.calls.clear();
        self.posts_out.clear();
        self.operations_out.clear();
        self.ends.clear();
        self.extra.clear();
        self.releases.clear();
        self.ids = Ids::default();
    }

    /// What is posted or written, with ids as the simulated kernel has given them out.
    fn bytes_of(&self, input: &Input) -> Vec<u8> {
        let record = self.record(self.here);
        match input {
            Input::Post { .. } => {
                let Some(bytes) = record.message() else {
                    return record.event.bulk().to_vec();
                };
                let dialect = self.settings.dialect;
                let changed = Message::decode(&bytes, dialect)
                    .ok()
                    .and_then(|message| self.ids.for_simulated(&message))
                    .and_then(|message| message.encode(dialect).ok());
                changed.unwrap_or_else(|| bytes.into_owned())
            }
            Input::Command { .. } => match record.event {
                Event::Command { data, .. } => match record.cut {
                    Some(cut) => cut.fill(data, MAX_BULK).unwrap_or_else(|| data.to_vec()),
                    None => data.to_vec(),
                },
                _ => match self.message(self.here).map(|message| message.body) {
                    Some(Body::ScsiCommand(command)) => command.immed_data,
                    _ => Vec::new(),
                },
            },
            _ => Vec::new(),
        }
    }

    /// Puts onto the disk what a command is recorded to have read there.
    fn prepare_disk(&mut self, extent: &Extent, lun: [u8; 8], pieces: &[Piece]) {
        let Some(disk) = self.machine.active_disk(lun) else {
            return;
        };
        // Somebody who was not recorded may write at any time.
        let believe =
            !self.script.has_initiators() || self.settings.recorded_by == RecordedBy::Node;
        let start = extent.lba.saturating_mul(super::disk::BLOCK);
        for piece in pieces {
            let data = match self.record(piece.record).event {
                Event::CommandDone { data, .. } => data.to_vec(),
                _ => match self.message(piece.record).map(|message| message.body) {
                    Some(Body::ScsiData(sent)) => sent.data,
                    _ => continue,
                },
            };
            let offset = start.saturating_add(piece.offset);
            self.compared.learned += disk.learn(offset, &data, believe);
        }
        if extent.write {
            disk.written(extent);
        }
    }

    fn hashed(&mut self, time: Time, kind: u8, numbers: [u64; 2], bytes: &[u8]) {
        let mut encoding = Vec::with_capacity(25 + bytes.len());
        encoding.extend_from_slice(&time.as_nanos().to_le_bytes());
        encoding.push(kind);
        for number in numbers {
            encoding.extend_from_slice(&number.to_le_bytes());
        }
        encoding.extend_from_slice(bytes);
        self.hash = xxh3_64_with_seed(&encoding, self.hash);
    }

    /// Takes note of what the kernel did.
    fn drain(&mut self) {
        let code = |outcome: Result<(), i32>| outcome.err().unwrap_or(0) as u64;
        while let Some((time, happening)) = self.machine.log.next() {
            if let Some(tape) = &mut self.tape {
                tape.happened(time, &happening);
            }
            match happening {
                Happening::Logged(_) => {}
                Happening::Upcall {
                    call,
                    lock_held,
                    message,
                } => {
                    self.hashed(time, 0, [call as u64, lock_held.into()], &message);
                    self.called(time, call, lock_held, &message);
                }
                Happening::PostDone { post, outcome } => {
                    self.hashed(time, 1, [post as u64, code(outcome)], &[]);
                    if self.posts_out.remove(&post).is_some() {
                        self.posts.insert(post, outcome);
                    }
                }
                Happening::OperationDone { number, outcome } => {
                    self.hashed(time, 2, [number as u64, code(outcome)], &[]);
                    self.operations_out.remove(&number);
                    self.operations.insert(number, outcome);
                }
                Happening::CommandDone { command, ended } => {
                    self.hashed(time, 3, [command, ended.status.into()], &ended.data);
                    self.ends.insert(command, End::Done(ended));
                }
                Happening::Aborted { command } => {
                    self.hashed(time, 4, [command, 0], &[]);
                    self.ends.insert(command, End::Aborted);
                }
                Happening::Panicked { trap, reason } => {
                    self.hashed(time, 5, [trap.into(), 0], reason.as_bytes());
                    let sequence = self.record(self.here).sequence;
                    self.panic = Some(NodePanic {
                        trap,
                        reason,
                        time,
                        sequence,
                        recorded: false,
                    });
                    self.machine.end();
                    self.posts_out.clear();
                    self.operations_out.clear();
                }
            }
        }
    }

    /// The simulated kernel calls the door.
    fn called(&mut self, time: Time, call: CallNumber, lock_held: bool, bytes: &[u8]) {
        let mut message = Message::decode(bytes, self.settings.dialect).ok();
        if let Some(message) = &mut message {
            self.ids.for_recorded(message);
        }
        let lane = message.as_ref().map_or(Lane::Damaged, Lane::of);
        let lane = self.lanes.entry((self.life, lane)).or_default();
        if self.compare {
            if lane.simulated.len() >= lane.recorded.len() {
                self.extra.push_back((time, message.clone()));
            }
            lane.simulated.push_back(Called {
                call,
                lock_held,
                message,
            });
            return;
        }
        let Some(recorded) = lane.recorded.pop_front() else {
            return self.answer_now(call, Ok(0));
        };
        if let (Some(simulated), Some(message)) = (&message, self.message(recorded))
            && Ids::are_counted(simulated)
            && simulated.message_type() == message.message_type()
        {
            self.ids.pair(message.msgid, simulated.msgid);
        }
        if let Some(outcome) = self.early_answers.remove(&recorded) {
            self.answer_now(call, outcome);
        } else if self.answered.contains(&recorded)
            || self.script.facts.unanswered.contains(&recorded)
        {
            self.calls.insert(recorded, call);
        } else {
            self.answer_now(call, Ok(0));
        }
    }

    /// Answers without letting anything run: this may be called while the log is read.
    fn answer_now(&mut self, call: CallNumber, outcome: Result<u32, i32>) {
        self.end_call(call, outcome);
    }

    fn not_recorded(&mut self) -> Stop {
        let message = self.extra.front().and_then(|(_, message)| message.clone());
        let what = match &message {
            Some(message) => format!("upcall: {}", message.message_type()),
            None => "upcall".into(),
        };
        let fields = super::compare::message_fields(None, message.as_ref());
        self.diverged(DivergenceKind::NotRecorded, what, fields)
    }

    fn diverged(&self, kind: DivergenceKind, what: String, fields: Vec<Field>) -> Stop {
        let around = self.settings.around;
        let first = self.here.saturating_sub(around);
        let end = self
            .script
            .records
            .len()
            .min(self.here.saturating_add(around + 1));
        let near = (first..end).map(|index| Near {
            here: index == self.here,
            line: describe::event(&self.record(index), self.settings.dialect),
        });
        let blocked = self.machine.executor.blocked_threads();
        let blocked = blocked.iter().filter(|thread| !thread.sleeping);
        Stop::Diverged(Box::new(Divergence {
            kind,
            sequence: self.record(self.here).sequence,
            time: self.record(self.here).time,
            now: self.machine.executor.now(),
            what,
            fields,
            blocked: blocked.map(|thread| thread.to_string()).collect(),
            log: self.machine.log.last_lines(),
            near: near.collect(),
        }))
    }
}
