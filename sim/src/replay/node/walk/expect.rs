// SPDX-License-Identifier: MPL-2.0
//! What is expected: waited for, found and compared.

use super::{Called, End, Stop, Walk};
use crate::replay::node::compare::{self, Measure};
use crate::replay::node::describe;
use crate::replay::node::divergence::{DivergenceKind, Field};
use crate::replay::node::input::{Expect, Strictness};
use crate::replay::node::lane::{Ids, Lane};
use crate::replay::node::settings::RecordedBy;
use stmf_proxy::message::{Body, Message};
use stmf_proxy::trace::Event;

fn field(name: &str, recorded: Option<String>, simulated: Option<String>) -> Field {
    let differs = recorded != simulated;
    Field {
        name: name.into(),
        recorded,
        simulated,
        differs,
    }
}

fn outcomes(recorded: Result<(), i32>, simulated: Option<Result<(), i32>>) -> Vec<Field> {
    vec![field(
        "outcome",
        Some(describe::outcome(recorded)),
        simulated.map(describe::outcome),
    )]
}

impl Walk<'_> {
    pub(super) fn expect(&mut self, expect: &Expect) -> Result<(), Stop> {
        match expect {
            Expect::Upcall { strictness } => self.expect_upcall(*strictness),
            Expect::PostDone { post, outcome } => {
                if !self.posts_out.contains_key(post) && !self.posts.contains_key(post) {
                    // It was not played; that is noted.
                    return Ok(());
                }
                let found = self.wait(|walk| walk.posts.remove(post))?;
                self.compared.posts += 1;
                match found {
                    Some(found) if found == *outcome => Ok(()),
                    Some(found) => Err(self.diverged(
                        DivergenceKind::Differs,
                        "the end of a post".into(),
                        outcomes(*outcome, Some(found)),
                    )),
                    None => Err(self.never(
                        DivergenceKind::NeverEnds,
                        "a post".into(),
                        outcomes(*outcome, None),
                    )),
                }
            }
            Expect::OperationDone { number, outcome } => self.expect_operation(*number, *outcome),
            Expect::CommandDone {
                command,
                strictness,
            } => self.expect_end(*command, *strictness),
            Expect::Aborted { command } => {
                let command = *command;
                match self.wait(|walk| walk.ends.remove(&command))? {
                    Some(End::Aborted) => {
                        self.compared.commands += 1;
                        Ok(())
                    }
                    Some(End::Done(ended)) => {
                        let status = Some(format!("status {:#04x}", ended.status));
                        let fields = vec![field("end", Some("aborted".into()), status)];
                        let what = "the end of a command".into();
                        Err(self.diverged(DivergenceKind::Differs, what, fields))
                    }
                    None => Err(self.never(
                        DivergenceKind::NeverCame,
                        "the abort of a command".into(),
                        Vec::new(),
                    )),
                }
            }
            Expect::Panic { trap } => self.expect_panic(*trap),
        }
    }

    /// Lets the kernel run until something is there; none if it does not come in time.
    fn wait<T>(&mut self, mut look: impl FnMut(&mut Self) -> Option<T>) -> Result<Option<T>, Stop> {
        let executor = self.machine.executor.clone();
        let limit = executor.now() + self.settings.late;
        loop {
            self.drain();
            if let Some(found) = look(self) {
                return Ok(Some(found));
            }
            if self.exhausted() {
                return Err(Stop::Exhausted);
            }
            if executor.step() || self.release_waiting() {
                continue;
            }
            match executor.next_timer(true) {
                Some(time) if time <= limit => executor.advance(time),
                _ => return Ok(None),
            }
        }
    }

    /// Something never came: because the kernel has panicked, or waits for the answer to a call
    /// that is not the recorded one, or so.
    fn never(&mut self, kind: DivergenceKind, what: String, fields: Vec<Field>) -> Stop {
        if let Some(stop) = self.another_call() {
            return stop;
        }
        let kind = match self.unrecorded_panic() {
            true => DivergenceKind::Panics,
            false => kind,
        };
        self.diverged(kind, what, fields)
    }

    /// A call that came, is still to be recorded, and is another than what is recorded.
    fn another_call(&mut self) -> Option<Stop> {
        let life = self.life;
        let waiting: Vec<_> = self
            .lanes
            .iter()
            .filter(|((of, _), _)| *of == life)
            .filter_map(|(_, lane)| {
                let called = lane.simulated.front()?;
                Some((
                    *lane.recorded.front()?,
                    called.call,
                    called.message.clone()?,
                ))
            })
            .collect();
        let first = waiting.into_iter().min_by_key(|(_, call, _)| *call)?;
        let (record, _, mut simulated) = first;
        let recorded = self.message(record)?;
        if Ids::are_counted(&simulated) && recorded.message_type() == simulated.message_type() {
            simulated.msgid = recorded.msgid;
        }
        let measure = Measure {
            strictness: Strictness::default(),
            facts_may_differ: false,
            cut: self.record(record).cut.is_some(),
        };
        let mut uncounted = self.compared;
        let fields = compare::messages(&recorded, &simulated, &measure, &mut uncounted)?;
        self.here = record;
        let what = format!("upcall: {}", recorded.message_type());
        Some(self.diverged(DivergenceKind::Differs, what, fields))
    }

    /// Whether what LUs and ports are is not known from the recording.
    fn facts_are_assumed(&self) -> bool {
        self.settings.recorded_by == RecordedBy::Node || self.assumed
    }

    fn facts_may_differ(&self, message: &Message) -> bool {
        let lu = match &message.body {
            Body::ScsiData(data) => data.lun_id,
            Body::ScsiStatus(status) => status.lun_id,
            _ => return self.facts_are_assumed(),
        };
        self.facts_are_assumed() || self.machine.came_from_peer(lu)
    }

    fn expect_upcall(&mut self, strictness: Strictness) -> Result<(), Stop> {
        let record = self.record(self.here);
        let recorded = self.message(self.here);
        let lane = recorded.as_ref().map_or(Lane::Damaged, Lane::of);
        let name = (self.life, lane);
        let found = self.wait(|walk| walk.lanes.get_mut(&name)?.simulated.pop_front())?;
        if let Some(lane) = self.lanes.get_mut(&name) {
            lane.recorded.pop_front();
        }
        self.compared.upcalls += 1;
        let what = recorded.as_ref().map_or_else(
            || "upcall".to_owned(),
            |message| format!("upcall: {}", message.message_type()),
        );
        let Some(called) = found else {
            let fields = compare::message_fields(recorded.as_ref(), None);
            return Err(self.never(DivergenceKind::NeverCame, what, fields));
        };
        let Called {
            call,
            lock_held,
            message,
        } = called;
        let (Some(recorded), Some(mut simulated)) = (recorded, message) else {
            // A simulated kernel sends nothing that cannot be decoded.
            let fields = vec![field("message", Some("cannot be decoded".into()), None)];
            return Err(self.diverged(DivergenceKind::Differs, what, fields));
        };
        self.match_ids(&recorded, &mut simulated);
        let measure = Measure {
            strictness,
            facts_may_differ: self.facts_may_differ(&recorded),
            cut: record.cut.is_some(),
        };
        let differing = compare::messages(&recorded, &simulated, &measure, &mut self.compared);
        if let Some(fields) = differing {
            return Err(self.diverged(DivergenceKind::Differs, what, fields));
        }
        if let Event::Upcall {
            attempt,
            lock_held: recorded,
            ..
        } = record.event
            && attempt != 0
            && recorded != lock_held
        {
            let held = |held: bool| Some(if held { "held" } else { "not held" }.to_owned());
            let fields = vec![field("stmf lock", held(recorded), held(lock_held))];
            return Err(self.diverged(DivergenceKind::Differs, what, fields));
        }
        self.calls.insert(self.here, call);
        Ok(())
    }

    /// Pairs the ids that the two kernels gave out, and writes the simulated one's message as the
    /// recorded one would have.
    fn match_ids(&mut self, recorded: &Message, simulated: &mut Message) {
        if !Ids::are_counted(simulated) || recorded.message_type() != simulated.message_type() {
            return;
        }
        let id = simulated.msgid;
        self.ids.pair(recorded.msgid, id);
        simulated.msgid = recorded.msgid;
        if let Body::ScsiCommand(command) = &mut simulated.body
            && command.task_msgid == id
        {
            command.task_msgid = recorded.msgid;
        }
    }

    fn expect_operation(&mut self, number: usize, outcome: Result<(), i32>) -> Result<(), Stop> {
        let begun = self.operations_out.get(&number).copied();
        if begun.is_none() && !self.operations.contains_key(&number) {
            return Ok(());
        }
        let found = self.wait(|walk| walk.operations.remove(&number))?;
        self.compared.operations += 1;
        let what = begun.unwrap_or("an operation").to_owned();
        match found {
            // Which errno a command that somebody typed ended with is not the kernel's alone.
            Some(found) if found.is_ok() == outcome.is_ok() => Ok(()),
            Some(found) => {
                let fields = outcomes(outcome, Some(found));
                Err(self.diverged(DivergenceKind::Differs, what, fields))
            }
            None => Err(self.never(DivergenceKind::NeverEnds, what, outcomes(outcome, None))),
        }
    }

    fn expect_end(&mut self, command: u64, strictness: Strictness) -> Result<(), Stop> {
        let record = self.record(self.here);
        let Some(recorded) = compare::ended(&record) else {
            return Ok(());
        };
        let management = matches!(record.event, Event::ManagementDone { .. });
        let what = "the end of a command".to_owned();
        match self.wait(|walk| walk.ends.remove(&command))? {
            Some(End::Done(mut simulated)) => {
                if management {
                    // The event has the status only.
                    simulated.sense.clear();
                    (simulated.residual_flags, simulated.residual) = (0, 0);
                }
                let measure = Measure {
                    strictness,
                    // A local command: its LU is looked for by nobody, so facts are facts.
                    facts_may_differ: self.facts_are_assumed() || self.machine.any_came_from_peer(),
                    cut: record.cut.is_some(),
                };
                self.compared.commands += 1;
                match compare::ends(&recorded, &simulated, &measure, &mut self.compared) {
                    Some(fields) => Err(self.diverged(DivergenceKind::Differs, what, fields)),
                    None => Ok(()),
                }
            }
            Some(End::Aborted) => {
                let status = Some(format!("status {:#04x}", recorded.status));
                let fields = vec![field("end", status, Some("aborted".into()))];
                Err(self.diverged(DivergenceKind::Differs, what, fields))
            }
            None => {
                let status = Some(format!("{:#04x}", recorded.status));
                let fields = vec![field("status", status, None)];
                Err(self.never(DivergenceKind::NeverCame, what, fields))
            }
        }
    }

    fn expect_panic(&mut self, trap: u8) -> Result<(), Stop> {
        let found = self.wait(|walk| walk.unrecorded_panic().then_some(()))?;
        let what = "panic".to_owned();
        let recorded = Some(trap.to_string());
        if found.is_none() {
            let fields = vec![field("trap", recorded, None)];
            return Err(self.diverged(DivergenceKind::NeverCame, what, fields));
        }
        let Some(panic) = &mut self.panic else {
            return Ok(());
        };
        let simulated = panic.trap;
        panic.recorded = true;
        if simulated != trap && trap != 0 {
            let fields = vec![field("trap", recorded, Some(simulated.to_string()))];
            return Err(self.diverged(DivergenceKind::Differs, what, fields));
        }
        self.new_life();
        Ok(())
    }
}
