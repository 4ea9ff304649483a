// SPDX-License-Identifier: MPL-2.0
//! The steps in order.

use super::causes::Operation;
use super::tasks::{Asked, LocalTask, PeerTask, Tasks, local, piece};
use super::{Recording, ends_life};
use crate::kernel::stmf::MANAGEMENT_ID;
use crate::kernel::stmf::types::LuId;
use crate::replay::node::geometry::{capacity, extent};
use crate::replay::node::input::{
    Action, CommandNumber, Expect, Input, RecordIndex, Step, Strictness, TaskName,
};
use crate::replay::node::script::Facts;
use std::collections::{BTreeMap, BTreeSet};
use stmf_proxy::message::status::task_flags;
use stmf_proxy::message::{Body, Message, MessageType, ScsiCommand};
use stmf_proxy::trace::{Event, Outcome, Record};

/// Task attribute "simple": what a port gives a task management function.
const SIMPLE: u8 = 1;

/// What the second pass has made.
pub(super) struct Built {
    pub(super) steps: Vec<Step>,
    pub(super) facts: Facts,
    /// The number that the next input gets.
    pub(super) next_number: usize,
}

pub(super) struct Builder<'a> {
    recording: &'a Recording<'a>,
    pub(super) steps: Vec<Step>,
    facts: Facts,
    next_number: usize,
    next_command: CommandNumber,
    /// Whether the recording tells how this life of the kernel began.
    from_boot: bool,
    life: u64,
    tasks: Tasks,
    /// Calls and posts that are out: their records by their numbers.
    calls: BTreeMap<u64, RecordIndex>,
    posts: BTreeMap<u64, RecordIndex>,
    /// Tasks of this node whose data was confirmed though their command is not in the recording.
    unknown_confirmed: BTreeSet<(u64, u64)>,
    /// Part of a parameter list is not in the recording.
    after_cut: bool,
    /// Tasks that are to begin right after a step.
    late_releases: Vec<(usize, TaskName)>,
    /// Logical unit numbers whose size is told, to be joined with ids.
    sizes_by_number: Vec<([u8; 8], u64)>,
}

/// Makes the steps of the records and of what was done between them.
pub(super) fn build(recording: &Recording<'_>, operations: Vec<Operation>) -> Built {
    let mut builder = Builder {
        recording,
        steps: Vec::with_capacity(recording.records.len()),
        facts: Facts::default(),
        next_number: 0,
        next_command: 0,
        from_boot: false,
        life: 0,
        tasks: Tasks::default(),
        calls: BTreeMap::new(),
        posts: BTreeMap::new(),
        unknown_confirmed: BTreeSet::new(),
        after_cut: false,
        late_releases: Vec::new(),
        sizes_by_number: Vec::new(),
    };
    builder.facts.with_initiators = recording.records.iter().any(|record| {
        matches!(
            record.get().event,
            Event::Command { .. } | Event::Management { .. } | Event::SessionOpened { .. }
        )
    });
    builder.find_unknown_tasks();
    let mut operations = operations.into_iter().peekable();
    let mut ends: BTreeMap<RecordIndex, Vec<(usize, Outcome)>> = BTreeMap::new();
    for index in 0..recording.records.len() {
        while let Some(operation) = operations.next_if(|operation| operation.start <= index) {
            let number = builder.input(index, operation.input, operation.recorded);
            if let Some((end, outcome)) = operation.end {
                ends.entry(end).or_default().push((number, outcome));
            }
        }
        let record = recording.get(index);
        builder.record(index, &record);
        for (number, outcome) in ends.remove(&index).unwrap_or_default() {
            builder.expect(index, Expect::OperationDone { number, outcome });
        }
    }
    builder.finish()
}

impl Builder<'_> {
    fn finish(mut self) -> Built {
        self.late_releases.extend(self.tasks.silent_managers());
        self.late_releases.sort_unstable();
        let mut late = std::mem::take(&mut self.late_releases)
            .into_iter()
            .peekable();
        let mut steps = Vec::with_capacity(self.steps.len() + late.len());
        for (place, step) in std::mem::take(&mut self.steps).into_iter().enumerate() {
            let record = step.record;
            steps.push(step);
            while let Some((_, task)) = late.next_if(|(after, _)| *after == place) {
                let action = Action::Release {
                    task,
                    extent: None,
                    pieces: Vec::new(),
                };
                steps.push(Step { record, action });
            }
        }
        let open = std::mem::take(&mut self.calls);
        self.facts.unanswered.extend(open.into_values());
        for (lun, blocks) in std::mem::take(&mut self.sizes_by_number) {
            let number = u16::from_be_bytes([lun[0], lun[1]]);
            let numbers = &self.facts.lus.numbers;
            let known = numbers.iter().find(|(_, known)| **known == number);
            if let Some((lu, _)) = known {
                self.facts.lus.blocks.insert(*lu, blocks);
            }
        }
        Built {
            steps,
            facts: self.facts,
            next_number: self.next_number,
        }
    }

    fn push(&mut self, record: RecordIndex, action: Action) -> usize {
        self.steps.push(Step { record, action });
        self.steps.len() - 1
    }

    fn input(&mut self, record: RecordIndex, input: Input, recorded: bool) -> usize {
        let number = self.next_number;
        self.next_number += 1;
        self.push(
            record,
            Action::Input {
                input,
                recorded,
                number,
            },
        );
        number
    }

    fn expect(&mut self, record: RecordIndex, expect: Expect) {
        self.push(record, Action::Expect(expect));
    }

    fn pass_over(&mut self) {
        self.facts.passed_over += 1;
    }

    /// Tasks of this node that began before the recording, but whose data the kernel confirmed: it
    /// knew them, and the replay does not.
    fn find_unknown_tasks(&mut self) {
        let mut life = 0;
        let mut from_boot = false;
        let mut begun = BTreeSet::new();
        for buffer in self.recording.records {
            let record = buffer.get();
            if ends_life(&record.event) {
                life += 1;
                from_boot = matches!(record.event, Event::Boot { .. });
                begun.clear();
            }
            let Event::Upcall { .. } = record.event else {
                continue;
            };
            match self.recording.message(&record).map(|message| message.body) {
                Some(Body::ScsiCommand(command)) => {
                    begun.insert(command.task_msgid);
                }
                Some(Body::ScsiDataTransferDone(done))
                    if !from_boot && done.session_id != 0 && !begun.contains(&done.task_msgid) =>
                {
                    self.unknown_confirmed.insert((life, done.task_msgid));
                }
                _ => {}
            }
        }
    }

    fn record(&mut self, index: RecordIndex, record: &Record<'_>) {
        if ends_life(&record.event) {
            self.end_life(&record.event);
        }
        match record.event {
            Event::Upcall { call, attempt, .. } => self.upcall(index, record, call, attempt),
            Event::UpcallDone { call, outcome } => match self.calls.remove(&call) {
                Some(call) => {
                    self.input(index, Input::Answer { call, outcome }, true);
                }
                None => self.pass_over(),
            },
            Event::Post { post, .. } => self.post(index, record, post),
            Event::PostDone { post, outcome } => match self.posts.remove(&post) {
                Some(post) => self.expect(index, Expect::PostDone { post, outcome }),
                None => self.pass_over(),
            },
            Event::Boot { .. } => {
                self.input(index, Input::Boot, true);
            }
            Event::PowerOff => {
                self.input(index, Input::PowerOff, true);
            }
            Event::Panic { trap, .. } => self.expect(index, Expect::Panic { trap }),
            Event::Lost { events } => self.facts.lost += events,
            Event::Command {
                initiator,
                tag,
                session,
                lun,
                flags,
                expected,
                cdb,
                ..
            } => {
                let command = self.begin_local(
                    (initiator, tag),
                    (session, lun, cdb, expected, 0),
                    record.cut.is_some(),
                );
                let cdb = cdb.to_vec();
                let input = Input::Command {
                    command,
                    session,
                    lun,
                    flags,
                    expected,
                    cdb,
                };
                self.input(index, input, true);
            }
            Event::Management {
                initiator,
                tag,
                session,
                lun,
                function,
            } => {
                let asked = (session, lun, &[][..], 0, function);
                let command = self.begin_local((initiator, tag), asked, false);
                let input = Input::Management {
                    command,
                    session,
                    lun,
                    flags: SIMPLE,
                    function,
                };
                self.input(index, input, true);
            }
            Event::CommandDone {
                initiator,
                tag,
                data,
                ..
            } => self.command_done(index, (initiator, tag), data, record.cut.is_some()),
            Event::ManagementDone { initiator, tag, .. } => {
                self.command_done(index, (initiator, tag), &[], true);
            }
            Event::Aborted { initiator, tag } => self.aborted(index, initiator, tag),
            Event::TimedOut { initiator, tag } => match self.tasks.end(initiator, tag) {
                Some(LocalTask { number, .. }) => {
                    self.input(index, Input::Forget { command: number }, true);
                }
                None => self.pass_over(),
            },
            _ => {}
        }
    }

    fn end_life(&mut self, event: &Event<'_>) {
        self.life += 1;
        self.from_boot = matches!(event, Event::Boot { .. });
        let tasks = std::mem::take(&mut self.tasks);
        self.late_releases.extend(tasks.silent_managers());
        let open = std::mem::take(&mut self.calls);
        self.facts.unanswered.extend(open.into_values());
        self.posts.clear();
    }

    fn begin_local(
        &mut self,
        (initiator, tag): (u32, u64),
        (session, lun, cdb, expected, function): (u64, [u8; 8], &[u8], u32, u8),
        cut: bool,
    ) -> CommandNumber {
        let number = self.next_command;
        self.next_command += 1;
        let extent = extent(cdb);
        let task = LocalTask {
            number,
            session,
            lun,
            cdb: cdb.to_vec(),
            expected,
            function,
            extent,
            strictness: self.strictness(extent.is_none(), cut),
            released: false,
            proxied: false,
            step: self.steps.len(),
        };
        self.tasks.begin(initiator, tag, task);
        number
    }

    fn strictness(&mut self, facts: bool, cut: bool) -> Strictness {
        let strictness = Strictness {
            facts,
            cut: facts && cut,
            after_cut: self.after_cut,
        };
        self.after_cut |= strictness.cut;
        strictness
    }

    fn release(
        &mut self,
        index: RecordIndex,
        task: TaskName,
        extent: Option<crate::replay::node::input::Extent>,
        lun: [u8; 8],
    ) -> usize {
        let extent = extent.map(|extent| (extent, lun));
        let pieces = Vec::new();
        self.push(
            index,
            Action::Release {
                task,
                extent,
                pieces,
            },
        )
    }

    fn command_done(&mut self, index: RecordIndex, name: (u32, u64), data: &[u8], cut: bool) {
        let Some(task) = self.tasks.end(name.0, name.1) else {
            return self.pass_over();
        };
        if !cut && let Some(blocks) = capacity(&task.cdb, data) {
            self.sizes_by_number.push((task.lun, blocks));
        }
        if !task.released {
            let release = self.release(index, local(task.number), task.extent, task.lun);
            if !cut && task.extent.is_some_and(|extent| !extent.write) && !data.is_empty() {
                self.learn(release, 0, index);
            }
        }
        self.expect(
            index,
            Expect::CommandDone {
                command: task.number,
                strictness: task.strictness,
            },
        );
    }

    fn aborted(&mut self, index: RecordIndex, initiator: u32, tag: u64) {
        let Some(task) = self.tasks.end(initiator, tag) else {
            return self.pass_over();
        };
        // The first that shows of a reset is what it aborts.
        let manager = self.tasks.manager_of(task.lun).map(|manager| {
            manager.released = true;
            manager.number
        });
        if let Some(manager) = manager {
            self.release(index, local(manager), None, task.lun);
        }
        if task.function != 0 && !task.released {
            self.release(index, local(task.number), None, task.lun);
        }
        if let Some(manager) = self.tasks.manager_of_peer(task.lun) {
            self.release_peer(index, manager);
        }
        self.expect(
            index,
            Expect::Aborted {
                command: task.number,
            },
        );
    }

    fn learn(&mut self, release: usize, offset: u64, record: RecordIndex) {
        if let Action::Release { pieces, .. } = &mut self.steps[release].action {
            pieces.push(piece(offset, record));
        }
    }

    fn upcall(&mut self, index: RecordIndex, record: &Record<'_>, call: u64, attempt: u8) {
        let message = self.recording.message(record);
        let mut strictness = Strictness::default();
        if let Some(message) = &message {
            match self.look_at_upcall(index, record, message, attempt) {
                Some(found) => strictness = found,
                None => return self.pass_over(),
            }
        }
        // A call that never ended, and whose number is given out again, stays without an answer.
        if let Some(lost) = self.calls.insert(call, index) {
            self.facts.unanswered.insert(lost);
        }
        self.expect(index, Expect::Upcall { strictness });
    }

    /// Makes the steps before an upcall. None: it belongs to something that had begun before the
    /// recording.
    fn look_at_upcall(
        &mut self,
        index: RecordIndex,
        record: &Record<'_>,
        message: &Message,
        attempt: u8,
    ) -> Option<Strictness> {
        match &message.body {
            Body::ScsiCommand(command) => {
                if attempt <= 1 {
                    self.sent_command(index, message.msgid, command);
                }
                Some(Strictness::default())
            }
            Body::ScsiData(data) => {
                let name = (data.session_id, data.task_msgid);
                let length = data.data.len() as u64;
                let Some(task) = self.tasks.peer.get_mut(&name) else {
                    return self.from_boot.then(Strictness::default);
                };
                let (offset, strictness, read) = (
                    task.sent,
                    task.strictness,
                    task.extent.is_some_and(|extent| !extent.write),
                );
                if attempt <= 1 {
                    task.sent += length;
                }
                if record.cut.is_none()
                    && let Some(blocks) = capacity(&task.cdb, &data.data)
                {
                    self.facts.lus.blocks.insert(task.lu, blocks);
                }
                let release = self.release_peer(index, name);
                if read && record.cut.is_none() && attempt <= 1 {
                    self.learn(release, offset, index);
                }
                Some(strictness)
            }
            Body::ScsiStatus(status) => {
                let name = (status.session_id, status.task_msgid);
                let Some(task) = self.tasks.peer.get(&name) else {
                    return self.from_boot.then(Strictness::default);
                };
                let strictness = task.strictness;
                self.release_peer(index, name);
                Some(strictness)
            }
            Body::ScsiDataTransferDone(done) => {
                if self
                    .unknown_confirmed
                    .contains(&(self.life, done.task_msgid))
                {
                    self.input(index, Input::UseMessageId, false);
                    return None;
                }
                Some(Strictness::default())
            }
            Body::Status(status) => {
                let known = (status.status_msg_type, status.status_msgid);
                let known = self.from_boot || self.tasks.answered.contains(&known);
                known.then(Strictness::default)
            }
            Body::EchoReply(_) => {
                if self.tasks.echoes == 0 && !self.from_boot {
                    return None;
                }
                self.tasks.echoes = self.tasks.echoes.saturating_sub(1);
                Some(Strictness::default())
            }
            _ => Some(Strictness::default()),
        }
    }

    /// The step that releases a task of the peer.
    fn release_peer(&mut self, index: RecordIndex, name: (u64, u64)) -> usize {
        let task = self.tasks.peer.get(&name);
        let Some((release, extent, lun)) = task.map(|task| (task.release, task.extent, task.lun))
        else {
            return 0;
        };
        release.unwrap_or_else(|| {
            let release = self.release(index, TaskName::Peer(name.0, name.1), extent, lun);
            if let Some(task) = self.tasks.peer.get_mut(&name) {
                task.release = Some(release);
            }
            release
        })
    }

    /// A command goes to the peer: it was recorded before, or is derived now.
    fn sent_command(&mut self, index: RecordIndex, msgid: u64, command: &ScsiCommand) {
        let asked = Asked {
            session: command.session_id,
            lun: command.task_lun_no,
            cdb: &command.task_cdb,
            expected: command.task_expected_xfer_length,
            function: command.task_mgmt_function,
        };
        self.lu_seen(command.lun_id, command.task_lun_no);
        if msgid & MANAGEMENT_ID == 0 {
            let cdb = command.task_cdb.clone();
            self.tasks.proxied.insert(msgid, (cdb, command.lun_id));
        }
        if let Some(task) = self.tasks.sent(&asked) {
            let (number, released) = (task.number, task.released);
            task.released = true;
            if !released {
                self.release(index, local(number), None, command.task_lun_no);
            }
            return;
        }
        let number = self.next_command;
        self.next_command += 1;
        let (session, lun, flags) = (command.session_id, command.task_lun_no, command.task_flags);
        let input = match command.task_mgmt_function {
            0 => Input::Command {
                command: number,
                session,
                lun,
                flags,
                expected: command.task_expected_xfer_length,
                cdb: command.task_cdb.clone(),
            },
            function => Input::Management {
                command: number,
                session,
                lun,
                flags,
                function,
            },
        };
        self.input(index, input, false);
        self.release(index, local(number), None, lun);
    }

    fn lu_seen(&mut self, lu: LuId, lun: [u8; 8]) {
        if lu != [0; 16] && lun[2..] == [0; 6] {
            let number = u16::from_be_bytes([lun[0], lun[1]]);
            let taken = self
                .facts
                .lus
                .numbers
                .values()
                .any(|known| *known == number);
            if !taken {
                self.facts.lus.numbers.entry(lu).or_insert(number);
            }
        }
    }

    fn post(&mut self, index: RecordIndex, record: &Record<'_>, post: u64) {
        let message = self.recording.message(record);
        let mut at_once = None;
        if let Some(message) = &message {
            match &message.body {
                Body::ScsiCommand(command) => {
                    at_once = self.command_of_peer(index, record, command);
                }
                Body::ScsiData(data) => {
                    if self
                        .unknown_confirmed
                        .contains(&(self.life, data.task_msgid))
                    {
                        return self.pass_over();
                    }
                    if let Some((cdb, lu)) = self.tasks.proxied.get(&data.task_msgid)
                        && record.cut.is_none()
                        && let Some(blocks) = capacity(cdb, &data.data)
                    {
                        self.facts.lus.blocks.insert(*lu, blocks);
                    }
                }
                Body::EchoRequest(_) => self.tasks.echoes += 1,
                _ => {}
            }
            let answered = matches!(
                message.message_type(),
                MessageType::RegisterProxyPort
                    | MessageType::DeregisterProxyPort
                    | MessageType::SessionCreate
                    | MessageType::ScsiCommand
            );
            if answered {
                let name = (message.message_type().number(), message.msgid);
                self.tasks.answered.insert(name);
            }
        }
        self.posts.insert(post, index);
        self.input(index, Input::Post { post: index }, true);
        if let Some(name) = at_once {
            self.release_peer(index, name);
        }
    }

    /// A command of the peer. Its name, if it is to begin at once because nothing will ever be
    /// heard of it: a write whose data came without the flag that says so.
    fn command_of_peer(
        &mut self,
        index: RecordIndex,
        record: &Record<'_>,
        command: &ScsiCommand,
    ) -> Option<(u64, u64)> {
        let name = (command.session_id, command.task_msgid);
        if self
            .tasks
            .peer
            .get(&name)
            .is_some_and(|known| known.release.is_none())
        {
            // It is out already: this one is refused.
            return None;
        }
        self.lu_seen(command.lun_id, command.task_lun_no);
        let extent = extent(&command.task_cdb);
        let strictness = self.strictness(extent.is_none(), record.cut.is_some());
        self.tasks.peer.insert(
            name,
            PeerTask {
                cdb: command.task_cdb.clone(),
                lu: command.lun_id,
                lun: command.task_lun_no,
                extent,
                strictness,
                release: None,
                sent: 0,
                posted: index,
                step: self.steps.len(),
                function: command.task_mgmt_function,
            },
        );
        let burst = command.task_flags & task_flags::INITIAL_BURST != 0;
        let silent = !command.immed_data.is_empty() && !burst;
        let silent_write = silent && extent.is_some_and(|extent| extent.write);
        // Without initiators nobody tells which of their commands a reset has aborted, and when.
        let reset = command.task_mgmt_function != 0 && !self.facts.with_initiators;
        (silent_write || reset).then_some(name)
    }
}
