// SPDX-License-Identifier: MPL-2.0
//! A message in a few words, as findings name it.

use super::Seen;
use std::fmt;
use stmf_proxy::message::{MessageType, Peek, Subject, hex};

/// A message as findings name it: what it takes to tell, and no text before somebody reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Summary {
    /// Bytes that cannot be read: how many.
    Unread(usize),
    /// A message.
    Read {
        message_type: MessageType,
        msgid: u64,
        about: About,
    },
}

/// What a message is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum About {
    Port(Vec<u8>),
    Lun([u8; 16]),
    Session(u64),
    Task { session: u64, task: u64 },
    Answer { message_type: u8, msgid: u64 },
    Nothing,
}

impl Summary {
    /// Of which type the message is, if it can be read.
    pub(super) fn message_type(&self) -> Option<MessageType> {
        match self {
            Summary::Unread(_) => None,
            Summary::Read { message_type, .. } => Some(*message_type),
        }
    }
}

impl From<&Peek<'_>> for Summary {
    fn from(seen: &Peek<'_>) -> Summary {
        let about = match &seen.subject {
            Subject::Port(port) => About::Port(port.to_vec()),
            Subject::Lun(lu) => About::Lun(*lu),
            Subject::Session { session_id, .. } => About::Session(*session_id),
            Subject::Task {
                session_id,
                task_msgid,
                ..
            } => About::Task {
                session: *session_id,
                task: *task_msgid,
            },
            Subject::Answer {
                message_type,
                msgid,
            } => About::Answer {
                message_type: *message_type,
                msgid: *msgid,
            },
            Subject::Nothing => About::Nothing,
        };
        Summary::Read {
            message_type: seen.message_type,
            msgid: seen.msgid,
            about,
        }
    }
}

/// The message of an event, in few words.
pub(super) fn describe(seen: &Seen<'_>) -> Summary {
    match seen.peek() {
        Some(peek) => peek.into(),
        None => Summary::Unread(seen.message().map_or(0, <[u8]>::len)),
    }
}

impl fmt::Display for Summary {
    /// As "register_proxy_port (msgid 7) of port wwn.2100" or "scsi_cmd (task 5, session 1)".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, msgid, about) = match self {
            Summary::Unread(length) => {
                return write!(f, "a message of {length} bytes that cannot be read");
            }
            Summary::Read {
                message_type,
                msgid,
                about,
            } => (message_type.name(), msgid, about),
        };
        match about {
            About::Port(port) => write!(f, "{name} (msgid {msgid}) of port {}", port_name(port)),
            About::Lun(lu) => write!(f, "{name} (msgid {msgid}) of LU {}", hex::encode(lu)),
            About::Session(session) => write!(f, "{name} (msgid {msgid}, session {session})"),
            About::Task { session, task } => write!(f, "{name} (task {task}, session {session})"),
            About::Answer {
                message_type,
                msgid,
            } => match MessageType::from_number(*message_type) {
                Some(answered) => write!(f, "{name} for {} (msgid {msgid})", answered.name()),
                None => write!(f, "{name} for msgid {msgid}"),
            },
            About::Nothing => write!(f, "{name} (msgid {msgid})"),
        }
    }
}

/// The `ident` of a device id, for people.
pub(super) fn port_name(ident: &[u8]) -> String {
    String::from_utf8_lossy(ident).into_owned()
}

/// A time in seconds, to the millisecond.
pub(super) fn seconds(time: stmf_proxy::time::Time) -> String {
    let milliseconds = time.as_nanos() / 1_000_000;
    format!("{}.{:03} s", milliseconds / 1000, milliseconds % 1000)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::world::trace::{Event, Record};
    use stmf_proxy::time::Time;

    fn describe(message: &[u8]) -> String {
        let event = Event::Post { post: 1, message };
        let record = Record::new(1, Time::ZERO, Some(0), event);
        Seen::with(&record, |seen| super::describe(seen).to_string())
    }

    #[test]
    fn messages_are_told_in_a_few_words() {
        assert_eq!(
            describe(&register_port(7, "wwn.21")),
            "register_proxy_port (msgid 7) of port wwn.21"
        );
        assert_eq!(
            describe(&command(5, 1, "wwn.21", 9)),
            "scsi_cmd (task 5, session 1)"
        );
        assert_eq!(describe(&refusal(5)), "status for scsi_cmd (msgid 5)");
        assert_eq!(
            describe(b"what?"),
            "a message of 5 bytes that cannot be read"
        );
    }
}
