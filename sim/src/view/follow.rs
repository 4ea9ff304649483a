// SPDX-License-Identifier: MPL-2.0
//! What belongs together in a trace: the end of a call to its beginning, a message to its task,
//! a task to the command of an initiator, an answer to the message that it answers.
//!
//! One pass, bounded memory ([`TABLE_LIMIT`]): what is under way longest is forgotten first.

use super::bounded::{Bounded, TABLE_LIMIT};
use stmf_proxy::message::{Body, Dialect, Message, MessageType, Subject, peek};
use stmf_proxy::trace::{Event, NodeId, Record};

/// The most bytes of a CDB that are remembered.
const CDB: usize = 16;

/// A command descriptor block, its first bytes; none of a task management function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Cdb {
    bytes: [u8; CDB],
    length: u8,
}

impl Cdb {
    fn new(cdb: &[u8]) -> Cdb {
        let mut bytes = [0; CDB];
        let length = cdb.len().min(CDB);
        bytes[..length].copy_from_slice(&cdb[..length]);
        Cdb {
            bytes,
            length: length as u8,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// Which command or task management function of an initiator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CommandKey {
    pub(crate) node: Option<NodeId>,
    pub(crate) initiator: u32,
    pub(crate) management: bool,
    pub(crate) tag: u64,
}

/// What an event is about, by itself and by the events before it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Context {
    pub(crate) message_type: Option<MessageType>,
    pub(crate) task: Option<u64>,
    pub(crate) session: Option<u64>,
    pub(crate) lun: Option<[u8; 8]>,
    pub(crate) lu: Option<[u8; 16]>,
    pub(crate) cdb: Option<Cdb>,
    pub(crate) command: Option<CommandKey>,
    /// When it began what this event ends, in nanoseconds as they are given to
    /// [`Follower::follow`].
    pub(crate) began: Option<u64>,
}

impl Context {
    /// Takes over what it does not know itself.
    fn learn(&mut self, from: &Context) {
        self.task = self.task.or(from.task);
        self.session = self.session.or(from.session);
        self.lun = self.lun.or(from.lun);
        self.lu = self.lu.or(from.lu);
        self.cdb = self.cdb.or(from.cdb);
        self.command = self.command.or(from.command);
    }
}

/// How something passes between kernel and relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// The kernel calls the door.
    Up,
    /// The relay posts.
    Down,
    /// The relay calls the door API.
    Api,
}

type CallKey = (Option<NodeId>, Way, u64);
/// A task of a node, by how its command passed, session and task id.
pub(crate) type TaskKey = (Option<NodeId>, Way, u64, u64);
type AnswerKey = (Option<NodeId>, Way, u8, u64);
/// Node, session, LUN and CDB of a command that no message was seen of, and when it came.
type UnsentKey = (Option<NodeId>, u64, [u8; 8], Cdb, u64);

/// Reads a trace and says what belongs together.
#[derive(Debug)]
pub(crate) struct Follower {
    calls: Bounded<CallKey, Context>,
    commands: Bounded<CommandKey, (Context, UnsentKey)>,
    unsent: Bounded<UnsentKey, CommandKey>,
    tasks: Bounded<TaskKey, Context>,
    answers: Bounded<AnswerKey, Context>,
    commands_seen: u64,
}

impl Follower {
    pub(crate) fn new() -> Follower {
        Follower::with_limit(TABLE_LIMIT)
    }

    /// Remembers so many of each kind.
    pub(crate) fn with_limit(limit: usize) -> Follower {
        Follower {
            calls: Bounded::new(limit),
            commands: Bounded::new(limit),
            unsent: Bounded::new(limit),
            tasks: Bounded::new(limit),
            answers: Bounded::new(limit),
            commands_seen: 0,
        }
    }

    /// Commands of initiators that have not ended, oldest first.
    pub(crate) fn open_commands(&self) -> impl Iterator<Item = (&CommandKey, &Context)> {
        let commands = self.commands.iter();
        commands.map(|(key, (context, _))| (key, context))
    }

    /// Tasks of messages that no status was seen of, oldest first.
    pub(crate) fn open_tasks(&self) -> impl Iterator<Item = (&TaskKey, &Context)> {
        self.tasks.iter()
    }

    /// Calls of the door, and posts, that have not ended.
    pub(crate) fn open_calls(&self, way: Way) -> usize {
        let calls = self.calls.iter();
        calls.filter(|((_, of_call, _), _)| *of_call == way).count()
    }

    /// How many calls, commands or tasks were forgotten because too many were under way.
    pub(crate) fn forgotten(&self) -> u64 {
        self.calls.forgotten() + self.commands.forgotten() + self.tasks.forgotten()
    }

    /// What an event is about. Told of all events in their order; `now` is the time of it.
    pub(crate) fn follow(
        &mut self,
        record: &Record<'_>,
        dialect: Option<Dialect>,
        now: u64,
    ) -> Context {
        let node = record.node;
        match record.event {
            Event::Upcall { call, attempt, .. } => {
                let context = self.message(record, Way::Up, attempt > 1, dialect, now);
                self.begin_call((node, Way::Up, call), context, now);
                context
            }
            Event::Post { post, .. } => {
                let context = self.message(record, Way::Down, false, dialect, now);
                self.begin_call((node, Way::Down, post), context, now);
                context
            }
            Event::Call { call, .. } => {
                self.begin_call((node, Way::Api, call), Context::default(), now);
                Context::default()
            }
            Event::UpcallDone { call, .. } => self.end_call((node, Way::Up, call)),
            Event::PostDone { post, .. } => self.end_call((node, Way::Down, post)),
            Event::CallDone { call, .. } => self.end_call((node, Way::Api, call)),
            Event::SessionOpened { session, .. } | Event::SessionClosed { session, .. } => {
                Context {
                    session: Some(session),
                    ..Context::default()
                }
            }
            Event::LuAccess { lu, .. } | Event::LuOperation { lu, .. } => Context {
                lu: Some(lu),
                ..Context::default()
            },
            Event::Command {
                initiator,
                tag,
                session,
                lun,
                cdb,
                ..
            } => {
                let management = false;
                let key = CommandKey {
                    node,
                    initiator,
                    management,
                    tag,
                };
                self.begin_command(key, session, lun, Cdb::new(cdb), now)
            }
            Event::Management {
                initiator,
                tag,
                session,
                lun,
                ..
            } => {
                let management = true;
                let key = CommandKey {
                    node,
                    initiator,
                    management,
                    tag,
                };
                self.begin_command(key, session, lun, Cdb::default(), now)
            }
            Event::CommandDone { initiator, tag, .. } => {
                self.end_command(node, initiator, tag, &[false])
            }
            Event::ManagementDone { initiator, tag, .. } => {
                self.end_command(node, initiator, tag, &[true])
            }
            Event::Aborted { initiator, tag } | Event::TimedOut { initiator, tag } => {
                self.end_command(node, initiator, tag, &[false, true])
            }
            _ => Context::default(),
        }
    }

    fn begin_call(&mut self, key: CallKey, context: Context, now: u64) {
        let began = Some(now);
        self.calls.insert(key, Context { began, ..context });
    }

    fn end_call(&mut self, key: CallKey) -> Context {
        self.calls.remove(&key).unwrap_or_default()
    }

    fn begin_command(
        &mut self,
        key: CommandKey,
        session: u64,
        lun: [u8; 8],
        cdb: Cdb,
        now: u64,
    ) -> Context {
        let context = Context {
            session: Some(session),
            lun: Some(lun),
            cdb: Some(cdb),
            command: Some(key),
            ..Context::default()
        };
        self.commands_seen += 1;
        let unsent = (key.node, session, lun, cdb, self.commands_seen);
        self.unsent.insert(unsent, key);
        let began = Some(now);
        let entered = Context { began, ..context };
        self.commands.insert(key, (entered, unsent));
        context
    }

    fn end_command(
        &mut self,
        node: Option<NodeId>,
        initiator: u32,
        tag: u64,
        kinds: &[bool],
    ) -> Context {
        for &management in kinds {
            let key = CommandKey {
                node,
                initiator,
                management,
                tag,
            };
            if let Some((context, unsent)) = self.commands.remove(&key) {
                self.unsent.remove(&unsent);
                return context;
            }
        }
        Context {
            command: Some(CommandKey {
                node,
                initiator,
                management: kinds == [true],
                tag,
            }),
            ..Context::default()
        }
    }

    /// A message passes between kernel and relay.
    fn message(
        &mut self,
        record: &Record<'_>,
        way: Way,
        again: bool,
        dialect: Option<Dialect>,
        now: u64,
    ) -> Context {
        let mut context = Context::default();
        let node = record.node;
        let Some(bytes) = record.message() else {
            return context;
        };
        let Some(peeked) = peek(&bytes) else {
            return context;
        };
        let message_type = peeked.message_type;
        context.message_type = Some(message_type);
        match peeked.subject {
            Subject::Lun(lu) => context.lu = Some(lu),
            Subject::Session { session_id, .. } => context.session = Some(session_id),
            Subject::Task {
                session_id,
                task_msgid,
                route,
                lun_id,
            } => {
                context.session = Some(session_id);
                context.task = Some(task_msgid);
                context.lun = route.map(|route| route.lun);
                context.lu = lun_id;
                let key = |way| (node, way, session_id, task_msgid);
                if message_type == MessageType::ScsiCommand {
                    let known = self.tasks.get(&key(way)).copied();
                    match known.filter(|_| again) {
                        Some(known) => context.learn(&known),
                        None => self.begin_task(key(way), &mut context, &bytes, dialect, now),
                    }
                } else {
                    // A status comes back the other way than the command went; data goes both.
                    let (first, second) = match way {
                        Way::Up => (Way::Down, Way::Up),
                        _ => (Way::Up, Way::Down),
                    };
                    let ended = message_type == MessageType::ScsiStatus;
                    let known = match self.tasks.get(&key(first)) {
                        None if ended => None,
                        None => self.tasks.get(&key(second)),
                        known => known,
                    };
                    if let Some(known) = known.copied() {
                        context.learn(&known);
                        if ended {
                            context.began = known.began;
                            self.tasks.remove(&key(first));
                        }
                    }
                }
            }
            Subject::Answer {
                message_type,
                msgid,
            } => {
                let answered = match way {
                    Way::Up => Way::Down,
                    _ => Way::Up,
                };
                let key = (node, answered, message_type, msgid);
                if let Some(known) = self.answers.remove(&key) {
                    context.learn(&known);
                    context.began = known.began;
                }
            }
            Subject::Port(_) | Subject::Nothing => {}
        }
        if peeked.msgid != 0 && message_type != MessageType::Status {
            let key = (node, way, message_type.number(), peeked.msgid);
            let began = Some(now);
            self.answers.insert(key, Context { began, ..context });
        }
        context
    }

    /// A command is handed to the other node, or comes from there.
    fn begin_task(
        &mut self,
        key: TaskKey,
        context: &mut Context,
        bytes: &[u8],
        dialect: Option<Dialect>,
        now: u64,
    ) {
        let (node, way, session, _) = key;
        let decoded = Message::decode(bytes, dialect.unwrap_or_default())
            .or_else(|_| Message::decode(bytes, Dialect::Y2009));
        if let Ok(Message {
            body: Body::ScsiCommand(command),
            ..
        }) = decoded
        {
            let cdb = Cdb::new(&command.task_cdb);
            context.cdb = Some(cdb);
            if way == Way::Up {
                let from = (node, session, command.task_lun_no, cdb, 0);
                let found = self.unsent.first_from(&from).copied();
                let found = found.filter(|unsent| {
                    (unsent.0, unsent.1, unsent.2, unsent.3) == (from.0, from.1, from.2, from.3)
                });
                if let Some(unsent) = found
                    && let Some(command) = self.unsent.remove(&unsent)
                {
                    context.command = Some(command);
                    if let Some((known, _)) = self.commands.get_mut(&command) {
                        known.learn(context);
                    }
                }
            }
        }
        let began = Some(now);
        self.tasks.insert(key, Context { began, ..*context });
    }
}

#[cfg(test)]
mod tests;
