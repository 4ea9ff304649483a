// SPDX-License-Identifier: MPL-2.0
//! What belongs together: a command of an initiator, the messages about it, and how it ended.
//!
//! Exchanges are numbered as they begin, so the same trace gives the same numbers each time that
//! it is read.
//!
//! No number joins a command of an initiator and its message: session, LUN and CDB do. Commands
//! that agree in all three and are under way at once are taken in their order, which may be wrong.

use super::Side;
use std::collections::BTreeMap;
use stmf_proxy::message::{MessageType, Peek, Subject};
use xxhash_rust::xxh3::xxh3_64;

/// How much is remembered of each sort: 65,536 things. More are under way at once only where
/// something is very wrong; then those with the lowest numbers are forgotten.
pub const TABLE_LIMIT: usize = 65_536;

/// Enters something in a table of bounded size.
pub(super) fn remember<K: Ord, V>(table: &mut BTreeMap<K, V>, key: K, value: V) {
    if table.len() >= TABLE_LIMIT && !table.contains_key(&key) {
        table.pop_first();
    }
    table.insert(key, value);
}

/// A command or task management function of an initiator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct CommandKey {
    pub(super) side: Side,
    pub(super) initiator: u32,
    pub(super) management: bool,
    pub(super) tag: u64,
}

/// A command that no message was seen of: where, session, LUN, hash of the CDB, number.
type Unsent = (Side, u64, [u8; 8], u64, u64);

/// A command that has not ended.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) exchange: u64,
    unsent: Unsent,
    /// What is to be said if it never ends, of a command that is drawn.
    pub(super) label: Option<String>,
}

/// What a message is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) exchange: u64,
    /// Messages in the same direction with the same stream are to stay in order.
    pub(super) stream: Option<u64>,
}

/// Tells exchanges apart.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    next: u64,
    pub(super) commands: BTreeMap<CommandKey, Command>,
    unsent: BTreeMap<Unsent, u64>,
    /// By the side that the command came from, session and task.
    tasks: BTreeMap<(Side, u64, u64), u64>,
    /// Messages that may be answered, by the side that sent them, type and number.
    answers: BTreeMap<(Side, u8, u64), Place>,
}

impl Exchanges {
    /// One that begins.
    pub(super) fn begin(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A command begins.
    pub(super) fn command(
        &mut self,
        key: CommandKey,
        session: u64,
        lun: [u8; 8],
        cdb: &[u8],
        label: Option<String>,
    ) -> u64 {
        let exchange = self.begin();
        let unsent = (key.side, session, lun, xxh3_64(cdb), exchange);
        remember(&mut self.unsent, unsent, exchange);
        let command = Command {
            exchange,
            unsent,
            label,
        };
        remember(&mut self.commands, key, command);
        exchange
    }

    /// A command has ended.
    pub(super) fn command_ended(&mut self, key: &CommandKey) -> Option<u64> {
        let command = self.commands.remove(key)?;
        self.unsent.remove(&command.unsent);
        Some(command.exchange)
    }

    /// A message is sent; `again` if it may be one that was sent before.
    pub(super) fn message(
        &mut self,
        sender: Side,
        peek: Option<&Peek<'_>>,
        cdb: Option<&[u8]>,
        again: bool,
    ) -> Place {
        let Some(peek) = peek else {
            return Place {
                exchange: self.begin(),
                stream: None,
            };
        };
        let place = self.place(sender, peek, cdb, again);
        if peek.msgid != 0 && peek.message_type != MessageType::Status {
            let key = (sender, peek.message_type.number(), peek.msgid);
            remember(&mut self.answers, key, place);
        }
        place
    }

    fn place(&mut self, sender: Side, peek: &Peek<'_>, cdb: Option<&[u8]>, again: bool) -> Place {
        let other = sender.other();
        match peek.subject {
            Subject::Task {
                session_id: session,
                task_msgid: task,
                route,
                ..
            } => {
                let own = (sender, session, task);
                if peek.message_type == MessageType::ScsiCommand {
                    let known = self.tasks.get(&own).copied().filter(|_| again);
                    let exchange = known.unwrap_or_else(|| {
                        let lun = route.map_or([0; 8], |route| route.lun);
                        self.sent(sender, session, lun, cdb.unwrap_or_default())
                    });
                    remember(&mut self.tasks, own, exchange);
                    return placed(exchange, b'T', sender, session);
                }
                // What is about a command comes from where it went as a rule.
                for from in [other, sender] {
                    if let Some(exchange) = self.tasks.get(&(from, session, task)) {
                        return placed(*exchange, b'T', from, session);
                    }
                }
                let exchange = self.begin();
                remember(&mut self.tasks, (other, session, task), exchange);
                placed(exchange, b'T', other, session)
            }
            Subject::Session { session_id, .. } => placed(self.begin(), b'T', sender, session_id),
            Subject::Answer {
                message_type,
                msgid,
            } => {
                let answered = self.answers.get(&(other, message_type, msgid));
                let exchange = answered.map(|place| place.exchange);
                Place {
                    exchange: exchange.unwrap_or_else(|| self.begin()),
                    stream: None,
                }
            }
            Subject::Port(name) => {
                let name: Vec<u8> = name.to_vec();
                placed(self.begin(), b'P', sender, xxh3_64(&name))
            }
            Subject::Lun(lu) => placed(self.begin(), b'L', sender, xxh3_64(&lu)),
            Subject::Nothing => Place {
                exchange: self.begin(),
                stream: None,
            },
        }
    }

    /// A command is sent to the other node: the exchange of the initiator's command, if that was
    /// seen.
    fn sent(&mut self, side: Side, session: u64, lun: [u8; 8], cdb: &[u8]) -> u64 {
        let of = (side, session, lun, xxh3_64(cdb));
        let from = (of.0, of.1, of.2, of.3, 0);
        let found = self.unsent.range(from..).next();
        let found = found.map(|(key, exchange)| (*key, *exchange));
        match found.filter(|(key, _)| (key.0, key.1, key.2, key.3) == of) {
            Some((key, exchange)) => {
                self.unsent.remove(&key);
                exchange
            }
            None => self.begin(),
        }
    }
}

fn placed(exchange: u64, what: u8, side: Side, number: u64) -> Place {
    let mut name = vec![what, side as u8];
    name.extend_from_slice(&number.to_le_bytes());
    Place {
        exchange,
        stream: Some(xxh3_64(&name)),
    }
}
