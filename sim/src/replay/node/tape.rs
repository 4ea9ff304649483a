// SPDX-License-Identifier: MPL-2.0
//! Recording what a replay does, so that it can be replayed in turn: what was done to the
//! simulated kernel, and what that did, as events of a trace.
//!
//! What was derived from a message is not recorded where the message stands in the new trace as
//! well: it is derived again. Calls and posts are numbered anew, initiators and tags are those of
//! the recording that is played.

use super::happening::{CallNumber, Ended, Happening};
use super::input::{CommandNumber, Input, RecordIndex};
use std::collections::BTreeMap;
use stmf_proxy::status::{Errno, Step};
use stmf_proxy::time::Time;
use stmf_proxy::trace::{Event, LuOperation, NodeId, Outcome, Record, RecordBuf};

/// Something that has begun and is told when it is over.
struct Begun {
    input: Input,
    /// The call of the door API that stands for its beginning.
    call: Option<(u64, Step)>,
    /// Who opens a session.
    initiator: u32,
}

/// Who sent a command.
#[derive(Clone, Copy)]
struct Sender {
    initiator: u32,
    tag: u64,
    management: bool,
}

/// An upcall that is out: its number in the new trace, its attempt, its message.
struct Upcall {
    number: u64,
    attempt: u8,
    message: Vec<u8>,
}

/// The events of a run.
pub(super) struct Tape {
    node: NodeId,
    records: Vec<RecordBuf>,
    upcalls: u64,
    calls: u64,
    out: BTreeMap<CallNumber, Upcall>,
    /// Calls that the kernel makes again, by message.
    again: BTreeMap<Vec<u8>, (u64, u8)>,
    posts: u64,
    posts_out: BTreeMap<RecordIndex, u64>,
    begun: BTreeMap<usize, Begun>,
    sessions: BTreeMap<u64, u32>,
    senders: BTreeMap<CommandNumber, Sender>,
}

/// The call with which something begins, if there is one.
const fn call_of(input: &Input) -> Option<Step> {
    Some(match input {
        Input::OpenDevice => Step::OpenProxyService,
        Input::InstallDoor => Step::InstallDoor,
        Input::RevokeDoor => Step::RevokeDoor,
        Input::CloseDevice => Step::CloseProxyService,
        Input::SetAlua { .. } => Step::SetAluaState,
        Input::MakeStandby { .. } => Step::SetLuStandby,
        _ => return None,
    })
}

impl Tape {
    pub(super) fn new(node: NodeId) -> Tape {
        Tape {
            node,
            records: Vec::new(),
            upcalls: 0,
            calls: 0,
            out: BTreeMap::new(),
            again: BTreeMap::new(),
            posts: 0,
            posts_out: BTreeMap::new(),
            begun: BTreeMap::new(),
            sessions: BTreeMap::new(),
            senders: BTreeMap::new(),
        }
    }

    pub(super) fn into_records(self) -> Vec<RecordBuf> {
        self.records
    }

    fn write(&mut self, time: Time, event: Event<'_>) {
        let sequence = self.records.len() as u64 + 1;
        let record = Record::new(sequence, time, Some(self.node), event);
        self.records.push(RecordBuf::from(&record));
    }

    /// Something comes from outside. `origin` is what the recording that is played has there,
    /// `bytes` what is posted or written.
    pub(super) fn input(
        &mut self,
        time: Time,
        (number, input, recorded): (usize, &Input, bool),
        origin: &Event<'_>,
        bytes: &[u8],
    ) {
        match (input, *origin) {
            (Input::Boot, event) | (Input::PowerOff, event) => {
                self.end_life();
                self.write(time, event);
            }
            (Input::Post { post }, _) => {
                self.posts += 1;
                self.posts_out.insert(*post, self.posts);
                let post = self.posts;
                let message = bytes;
                self.write(time, Event::Post { post, message });
            }
            (
                Input::Command {
                    command,
                    session,
                    lun,
                    flags,
                    expected,
                    cdb,
                },
                Event::Command { initiator, tag, .. },
            ) => {
                let management = false;
                self.sent(*command, initiator, tag, management);
                let event = Event::Command {
                    initiator,
                    tag,
                    session: *session,
                    lun: *lun,
                    flags: *flags,
                    expected: *expected,
                    cdb,
                    data: bytes,
                };
                self.write(time, event);
            }
            (Input::Management { command, .. }, Event::Management { initiator, tag, .. }) => {
                let management = true;
                self.sent(*command, initiator, tag, management);
                self.write(time, *origin);
            }
            (Input::Forget { command }, Event::TimedOut { .. }) => {
                self.senders.remove(command);
                self.write(time, *origin);
            }
            // What comes of these tells of them, or nothing does.
            (Input::Command { .. } | Input::Management { .. } | Input::Forget { .. }, _)
            | (Input::UseMessageId | Input::Answer { .. }, _) => {}
            (Input::Login { .. }, _) if !recorded => {}
            (_, event) => {
                let call = call_of(input).map(|step| {
                    self.calls += 1;
                    (self.calls, step)
                });
                if let Some((call, step)) = call {
                    self.write(time, Event::Call { call, step });
                }
                let initiator = match event {
                    Event::SessionOpened { initiator, .. } => initiator,
                    _ => 0,
                };
                let input = input.clone();
                let begun = Begun {
                    input,
                    call,
                    initiator,
                };
                self.begun.insert(number, begun);
            }
        }
    }

    fn sent(&mut self, command: CommandNumber, initiator: u32, tag: u64, management: bool) {
        let sender = Sender {
            initiator,
            tag,
            management,
        };
        self.senders.insert(command, sender);
    }

    /// The door server ends a call.
    pub(super) fn answered(&mut self, time: Time, call: CallNumber, outcome: Result<u32, i32>) {
        let Some(upcall) = self.out.remove(&call) else {
            return;
        };
        if outcome == Err(Errno::EAGAIN.number()) {
            let made = (upcall.number, upcall.attempt);
            self.again.insert(upcall.message, made);
        }
        let call = upcall.number;
        self.write(time, Event::UpcallDone { call, outcome });
    }

    /// The kernel did something.
    pub(super) fn happened(&mut self, time: Time, happening: &Happening) {
        match happening {
            Happening::Upcall {
                call,
                lock_held,
                message,
            } => {
                let (number, made) = self.again.remove(message).unwrap_or_else(|| {
                    self.upcalls += 1;
                    (self.upcalls, 0)
                });
                let attempt = made.saturating_add(1);
                let event = Event::Upcall {
                    call: number,
                    attempt,
                    lock_held: *lock_held,
                    message,
                };
                self.write(time, event);
                let message = message.clone();
                let upcall = Upcall {
                    number,
                    attempt,
                    message,
                };
                self.out.insert(*call, upcall);
            }
            Happening::PostDone { post, outcome } => {
                if let Some(post) = self.posts_out.remove(post) {
                    let outcome = *outcome;
                    self.write(time, Event::PostDone { post, outcome });
                }
            }
            Happening::OperationDone { number, outcome } => {
                if let Some(begun) = self.begun.remove(number) {
                    self.done(time, &begun, *outcome);
                }
            }
            Happening::CommandDone { command, ended } => {
                if let Some(sender) = self.senders.remove(command) {
                    self.ended(time, sender, ended);
                }
            }
            Happening::Aborted { command } => {
                if let Some(Sender { initiator, tag, .. }) = self.senders.remove(command) {
                    self.write(time, Event::Aborted { initiator, tag });
                }
            }
            Happening::Logged(line) => self.write(time, Event::KernelLog(line)),
            Happening::Panicked { trap, reason } => {
                self.end_life();
                let trap = *trap;
                self.write(time, Event::Panic { trap, reason });
            }
        }
    }

    fn ended(&mut self, time: Time, sender: Sender, ended: &Ended) {
        let Sender { initiator, tag, .. } = sender;
        let status = ended.status;
        let event = match sender.management {
            true => Event::ManagementDone {
                initiator,
                tag,
                status,
            },
            false => Event::CommandDone {
                initiator,
                tag,
                status,
                residual_flags: ended.residual_flags,
                residual: ended.residual,
                sense: &ended.sense,
                data: &ended.data,
            },
        };
        self.write(time, event);
    }

    /// Something that had begun is over.
    fn done(&mut self, time: Time, begun: &Begun, outcome: Outcome) {
        let lu_operation = |lu, operation| {
            Some(Event::LuOperation {
                lu,
                operation,
                outcome,
            })
        };
        let event = match &begun.input {
            Input::SetAlua { enabled, node } => Some(Event::AluaState {
                enabled: *enabled,
                number: (*node).into(),
                outcome,
            }),
            Input::AddLu { lu, active, .. } => lu_operation(
                *lu,
                match active {
                    true => LuOperation::Create,
                    false => LuOperation::ImportStandby,
                },
            ),
            Input::RemoveLu { lu } => lu_operation(*lu, LuOperation::Delete),
            Input::ImportLu { lu } => lu_operation(*lu, LuOperation::Import),
            Input::MakeStandby { lu } => lu_operation(*lu, LuOperation::MakeStandby),
            // What was refused did not happen: there is no event that tells of it.
            _ if outcome.is_err() => None,
            Input::AddPort {
                id,
                alua,
                buffer_size,
                ..
            } => Some(Event::PortAdded {
                port: &id.ident,
                alua: *alua,
                buffer_size: *buffer_size,
            }),
            Input::RemovePort { port } => Some(Event::PortRemoved { port }),
            Input::Login {
                session,
                port,
                initiator,
                ..
            } => {
                self.sessions.insert(*session, begun.initiator);
                Some(Event::SessionOpened {
                    initiator: begun.initiator,
                    session: *session,
                    port,
                    name: &initiator.ident,
                })
            }
            Input::Logout { session } => Some(Event::SessionClosed {
                initiator: self.sessions.remove(session).unwrap_or(0),
                session: *session,
            }),
            _ => None,
        };
        if let Some(event) = event {
            self.write(time, event);
        }
        if let Some((call, step)) = begun.call {
            let done = Event::CallDone {
                call,
                step,
                outcome,
            };
            self.write(time, done);
        }
    }

    /// A kernel has come to its end: nothing of it will be told any more.
    fn end_life(&mut self) {
        self.out.clear();
        self.again.clear();
        self.posts_out.clear();
        self.begun.clear();
        self.sessions.clear();
        self.senders.clear();
    }
}
