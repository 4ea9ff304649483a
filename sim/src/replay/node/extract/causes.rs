// SPDX-License-Identifier: MPL-2.0
//! What operators, initiators and processes did to the node, where it began to show.
//!
//! Many events of a recording are told when they are over; what they caused stands before them.
//! And where only messages were recorded, the messages are all there is. So each message that a
//! kernel sends of its own accord is given to the operation that explains it, or makes one.

use super::given_up::GivenUp;
use super::names::Names;
use super::{Recording, ends_life};
use crate::kernel::stmf::types::LuId;
use crate::replay::node::input::{Input, RecordIndex};
use std::collections::BTreeMap;
use stmf_proxy::message::Body;
use stmf_proxy::status::Step;
use stmf_proxy::time::Time;
use stmf_proxy::trace::{Event, LuOperation, Outcome};

/// The first relative port id of node 1.
const RELATIVE_IDS_OF_NODE_1: u16 = 256;

/// Something that was done.
pub(super) struct Operation {
    /// Before which record.
    pub(super) start: RecordIndex,
    pub(super) input: Input,
    /// Whether the recording tells of it.
    pub(super) recorded: bool,
    /// The record at which it was over, and how.
    pub(super) end: Option<(RecordIndex, Outcome)>,
}

/// A message that nothing explains yet.
#[derive(PartialEq, Eq)]
enum Cause {
    Register(Vec<u8>, u16),
    Deregister(Vec<u8>),
    RegisterLun(LuId),
    DeregisterLun(LuId),
    LunActive(LuId),
    SessionEnd(u64),
}

/// A call of the door API that has begun.
struct OpenCall {
    place: usize,
    step: Step,
    call: u64,
}

struct Pass<'a> {
    recording: &'a Recording<'a>,
    names: &'a Names,
    operations: Vec<Operation>,
    unexplained: Vec<(RecordIndex, Cause)>,
    /// Places in `operations` of calls that have not ended.
    calls: Vec<OpenCall>,
    alua_call: Option<RecordIndex>,
    standby_call: Option<RecordIndex>,
    /// LUs that the peer is taking away, by post.
    taken_away: BTreeMap<u64, LuId>,
    /// Ports that were added in this life.
    added: Vec<Vec<u8>>,
    /// The sessions of commands that are out, and commands that were aborted.
    commands: BTreeMap<(u32, u64), u64>,
    aborted: Vec<(RecordIndex, Time, u64)>,
    /// Task management functions that are out: they abort, too.
    managers: BTreeMap<(u32, u64), Time>,
    given_up: GivenUp,
    /// Whether calls of the door API were recorded.
    with_calls: bool,
    device_open: bool,
    /// How many kernels have come to their end.
    life: u64,
}

/// Finds everything that was done to the node, in the order in which it began.
pub(super) fn operations(recording: &Recording<'_>, names: &Names) -> Vec<Operation> {
    let with_calls = recording.records.iter().any(|record| {
        matches!(
            record.get().event,
            Event::Call {
                step: Step::OpenProxyService | Step::InstallDoor | Step::CloseProxyService,
                ..
            }
        )
    });
    let mut pass = Pass {
        recording,
        names,
        operations: Vec::new(),
        unexplained: Vec::new(),
        calls: Vec::new(),
        alua_call: None,
        standby_call: None,
        taken_away: BTreeMap::new(),
        added: Vec::new(),
        commands: BTreeMap::new(),
        aborted: Vec::new(),
        managers: BTreeMap::new(),
        given_up: GivenUp::default(),
        with_calls,
        device_open: false,
        life: 0,
    };
    for index in 0..recording.records.len() {
        pass.take(index);
    }
    pass.derive();
    pass.operations.sort_by_key(|operation| operation.start);
    pass.operations
}

impl Pass<'_> {
    fn take(&mut self, index: RecordIndex) {
        let record = self.recording.get(index);
        if ends_life(&record.event) {
            self.end_life();
        }
        match record.event {
            Event::Upcall { attempt, .. } if attempt <= 1 => {
                if let Some(message) = self.recording.message(&record) {
                    self.given_up.upcall(&message.body);
                    self.upcall(index, message.body);
                }
            }
            Event::Post { post, .. } => {
                if let Some(message) = self.recording.message(&record) {
                    let time = self.recording.times[index];
                    self.given_up.post(index, time, &message.body);
                    if let Body::DeregisterLun(lun) = message.body {
                        self.taken_away.insert(post, lun.lun_id);
                    }
                }
            }
            Event::PostDone { post, .. } => {
                self.taken_away.remove(&post);
            }
            Event::Call { call, step } => self.call(index, call, step),
            Event::CallDone {
                call,
                step,
                outcome,
            } => {
                let open = self
                    .calls
                    .iter()
                    .position(|open| open.call == call && open.step == step);
                if let Some(open) = open {
                    let place = self.calls.remove(open).place;
                    self.operations[place].end = Some((index, outcome));
                }
            }
            Event::AluaState {
                enabled,
                number,
                outcome,
            } => {
                let start = self.alua_call.take().unwrap_or_else(|| {
                    let mut causes = self.unexplained.iter();
                    let first = causes.find(|(_, cause)| is_registration(cause));
                    first.map_or(index, |(index, _)| *index)
                });
                self.unexplained
                    .retain(|(at, cause)| *at < start || !is_registration(cause));
                let node = u16::try_from(number).unwrap_or(u16::MAX);
                self.did(start, Input::SetAlua { enabled, node }, index, outcome);
            }
            Event::PortAdded {
                port,
                alua,
                buffer_size,
            } => {
                let known =
                    |cause: &Cause| matches!(cause, Cause::Register(name, _) if name == port);
                let (start, cause) = self.explain(index, known);
                let relative_id = match cause {
                    Some(Cause::Register(_, relative)) => Some(relative),
                    _ => None,
                };
                self.added.push(port.to_vec());
                let add = Input::AddPort {
                    id: self.names.port(port),
                    alua,
                    buffer_size,
                    relative_id,
                };
                self.did(start, add, index, Ok(()));
            }
            Event::PortRemoved { port } => {
                let removal = Cause::Deregister(port.to_vec());
                let (start, _) = self.explain(index, |cause| *cause == removal);
                let port = port.to_vec();
                self.added.retain(|added| *added != port);
                self.did(start, Input::RemovePort { port }, index, Ok(()));
            }
            Event::LuOperation {
                lu,
                operation,
                outcome,
            } => self.lu_operation(index, lu, operation, outcome),
            Event::SessionOpened { session, .. } if session != 0 => self.login(index, session),
            Event::SessionClosed { session, .. } => self.logout(index, session),
            Event::Command {
                initiator,
                tag,
                session,
                ..
            }
            | Event::Management {
                initiator,
                tag,
                session,
                ..
            } => {
                if matches!(record.event, Event::Management { .. }) {
                    let time = self.recording.times[index];
                    self.managers.insert((initiator, tag), time);
                }
                self.commands.insert((initiator, tag), session);
            }
            Event::Aborted { initiator, tag } => {
                let name = (initiator, tag);
                let now = self.recording.times[index];
                let managed = self.managers.values().any(|time| *time == now)
                    || self.given_up.managed_at() == Some(now);
                self.managers.remove(&name);
                if let Some(session) = self.commands.remove(&name)
                    && !managed
                {
                    self.aborted
                        .push((index, self.recording.times[index], session));
                }
            }
            Event::CommandDone { initiator, tag, .. }
            | Event::ManagementDone { initiator, tag, .. }
            | Event::TimedOut { initiator, tag } => {
                self.managers.remove(&(initiator, tag));
                self.commands.remove(&(initiator, tag));
            }
            Event::RelayStarted if !self.with_calls => {
                for input in [Input::OpenDevice, Input::InstallDoor] {
                    self.did_at(index, input, true);
                }
                self.device_open = true;
            }
            Event::RelayEnded if self.device_open => {
                self.did_at(index, Input::CloseDevice, true);
                self.device_open = false;
            }
            _ => {}
        }
    }

    fn upcall(&mut self, index: RecordIndex, body: Body) {
        let cause = match body {
            Body::RegisterProxyPort(port) => {
                Cause::Register(port.port_id.ident, port.relative_port_id)
            }
            Body::DeregisterProxyPort(port) => Cause::Deregister(port.port_id.ident),
            Body::RegisterLun(lun) => Cause::RegisterLun(lun.lun_id),
            Body::DeregisterLun(lun) => {
                if self.taken_away.values().any(|id| *id == lun.lun_id) {
                    return;
                }
                Cause::DeregisterLun(lun.lun_id)
            }
            Body::LunActive(lun) => Cause::LunActive(lun.lun_id),
            Body::SessionDestroy(end) => Cause::SessionEnd(end.session_id),
            _ => return,
        };
        self.unexplained.push((index, cause));
    }

    fn call(&mut self, index: RecordIndex, call: u64, step: Step) {
        let input = match step {
            Step::OpenProxyService => Input::OpenDevice,
            Step::InstallDoor => Input::InstallDoor,
            Step::CloseProxyService => Input::CloseDevice,
            Step::RevokeDoor => Input::RevokeDoor,
            Step::SetAluaState => {
                self.alua_call = Some(index);
                return;
            }
            Step::SetLuStandby => {
                self.standby_call = Some(index);
                return;
            }
            _ => return,
        };
        match step {
            Step::OpenProxyService => self.device_open = true,
            Step::CloseProxyService => self.device_open = false,
            _ => {}
        }
        let place = self.operations.len();
        self.calls.push(OpenCall { place, step, call });
        self.did_at(index, input, true);
    }

    fn lu_operation(
        &mut self,
        index: RecordIndex,
        lu: LuId,
        operation: LuOperation,
        outcome: Outcome,
    ) {
        let cause = match operation {
            LuOperation::Create => Some(Cause::RegisterLun(lu)),
            LuOperation::Import => Some(Cause::LunActive(lu)),
            LuOperation::Delete => Some(Cause::DeregisterLun(lu)),
            LuOperation::ImportStandby | LuOperation::MakeStandby => None,
        };
        let mut start = index;
        if let Some(cause) = cause {
            start = self.explain(index, |other| *other == cause).0;
        }
        if operation == LuOperation::MakeStandby {
            start = self.standby_call.take().unwrap_or(index);
        }
        if matches!(operation, LuOperation::MakeStandby | LuOperation::Delete) {
            // Its commands were aborted first.
            let time = self.recording.times[start];
            let mut aborted = self.aborted.iter();
            let first = aborted.find(|(at, when, _)| *when == time && *at < start);
            start = first.map_or(start, |(at, ..)| *at);
        }
        self.given_up.recorded = true;
        let argument = self.names.argument(lu);
        let input = match operation {
            LuOperation::Create | LuOperation::ImportStandby => Input::AddLu {
                lu,
                active: operation == LuOperation::Create,
                argument,
            },
            LuOperation::Import => Input::ImportLu { lu },
            LuOperation::MakeStandby => Input::MakeStandby { lu },
            LuOperation::Delete => Input::RemoveLu { lu },
        };
        self.did(start, input, index, outcome);
    }

    fn login(&mut self, index: RecordIndex, session: u64) {
        let Some(names) = self.names.session(self.life, session).cloned() else {
            return;
        };
        let login = Input::Login {
            session,
            port: names.port,
            initiator: names.initiator,
            transport_id: names.transport_id,
        };
        self.did(index, login, index, Ok(()));
    }

    fn logout(&mut self, index: RecordIndex, session: u64) {
        let (start, _) = self.explain(index, |cause| *cause == Cause::SessionEnd(session));
        // Its commands were aborted first.
        let time = self.recording.times[start];
        let aborted = self
            .aborted
            .iter()
            .find(|(at, when, of)| *of == session && *when == time && *at < start);
        let start = aborted.map_or(start, |(at, ..)| *at);
        self.aborted.retain(|(.., of)| *of != session);
        self.did(start, Input::Logout { session }, index, Ok(()));
    }

    /// Takes the first message that `matches` out: it is explained. Where it stands, or `index`.
    fn explain(
        &mut self,
        index: RecordIndex,
        matches: impl Fn(&Cause) -> bool,
    ) -> (RecordIndex, Option<Cause>) {
        let place = self
            .unexplained
            .iter()
            .position(|(_, cause)| matches(cause));
        match place {
            Some(place) => {
                let (at, cause) = self.unexplained.remove(place);
                (at, Some(cause))
            }
            None => (index, None),
        }
    }

    fn did(&mut self, start: RecordIndex, input: Input, end: RecordIndex, outcome: Outcome) {
        self.operations.push(Operation {
            start,
            input,
            recorded: true,
            end: Some((end, outcome)),
        });
    }

    fn did_at(&mut self, start: RecordIndex, input: Input, recorded: bool) {
        self.operations.push(Operation {
            start,
            input,
            recorded,
            end: None,
        });
    }

    fn end_life(&mut self) {
        self.derive();
        self.life += 1;
        self.calls.clear();
        self.taken_away.clear();
        self.commands.clear();
        self.aborted.clear();
        self.managers.clear();
        self.added.clear();
        self.device_open = false;
        self.alua_call = None;
        self.standby_call = None;
    }

    /// Makes operations of the messages that none was recorded for.
    fn derive(&mut self) {
        for (start, lu) in std::mem::take(&mut self.given_up).operations() {
            self.did_at(start, Input::MakeStandby { lu }, false);
        }
        let unexplained = std::mem::take(&mut self.unexplained);
        // While the ALUA state was being set when the recording ended, registrations are of that.
        let mut setting = self.alua_call.take();
        let node_of = |relative: u16| u16::from(relative >= RELATIVE_IDS_OF_NODE_1);
        if let Some(start) = setting {
            let relative = unexplained.iter().find_map(|(at, cause)| match cause {
                Cause::Register(_, relative) if *at >= start => Some(*relative),
                _ => None,
            });
            let node = relative.map_or(0, node_of);
            self.did_at(
                start,
                Input::SetAlua {
                    enabled: true,
                    node,
                },
                true,
            );
        }
        for (at, cause) in unexplained {
            let of_setting = setting.is_some_and(|start| at >= start);
            let input = match cause {
                Cause::Register(..) | Cause::RegisterLun(_) if of_setting => continue,
                Cause::Register(name, relative) if self.added.contains(&name) => {
                    setting = Some(at);
                    Input::SetAlua {
                        enabled: true,
                        node: node_of(relative),
                    }
                }
                Cause::Register(name, relative) => {
                    self.added.push(name.clone());
                    Input::AddPort {
                        id: self.names.port(&name),
                        alua: true,
                        buffer_size: self.names.buffer_size(&name),
                        relative_id: Some(relative),
                    }
                }
                Cause::Deregister(port) => Input::RemovePort { port },
                Cause::RegisterLun(lu) => Input::AddLu {
                    lu,
                    active: true,
                    argument: self.names.argument(lu),
                },
                Cause::DeregisterLun(lu) => Input::RemoveLu { lu },
                Cause::LunActive(lu) => Input::ImportLu { lu },
                Cause::SessionEnd(session) => Input::Logout { session },
            };
            self.did_at(at, input, false);
        }
    }
}

fn is_registration(cause: &Cause) -> bool {
    matches!(cause, Cause::Register(..) | Cause::RegisterLun(_))
}
