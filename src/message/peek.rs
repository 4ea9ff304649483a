// SPDX-License-Identifier: MPL-2.0
//! A cheap look at a message: of which type it is, and which object it is about. A relay orders
//! messages by it without decoding them.
//!
//! Where [`Message::decode`](super::Message::decode) accepts a message, the look agrees with it.

use super::MessageType;
use super::canonical;
use super::fields::*;
use crate::nvlist::{Bytes, List, Value, template::Template};

/// What a look at a message tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peek {
    /// Which of the fifteen messages it is.
    pub message_type: MessageType,
    /// The sender's number for it.
    pub msgid: u64,
    /// What it is about.
    pub subject: Subject,
}

/// What a message is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A port, by the `ident` of its device id.
    Port(Vec<u8>),
    /// An LU, by its identifier.
    Lun([u8; 16]),
    /// A session, by the number that the node of the initiator has given it.
    Session {
        /// That number.
        session_id: u64,
    },
    /// A task in a session, by the numbers that the node of the initiator has given them.
    Task {
        /// The session.
        session_id: u64,
        /// The task.
        task_msgid: u64,
    },
    /// An earlier message of the receiver's, which this one answers.
    Answer {
        /// Its type, a [`MessageType`] number; nothing checks it.
        message_type: u8,
        /// Its number.
        msgid: u64,
    },
    /// Nothing that an order would be kept for: echoes.
    Nothing,
}

/// Looks at a message. `None` when it is damaged before all that is wanted was found; then
/// decoding refuses it too. The reverse does not hold: what comes later is not looked at.
///
/// Takes time in proportion to the message at most, and allocates only the name of a port.
pub fn peek(bytes: &[u8]) -> Option<Peek> {
    if let Some((message_type, msgid, subject)) = canonical::peek(bytes) {
        return Some(Peek {
            message_type,
            msgid,
            subject,
        });
    }
    let list = List::open(bytes)?;
    let message_type = MessageType::from_number(uint8(&list, &MSG_TYPE)?)?;
    let msgid = uint64(&list, &MSGID)?;
    let subject = match message_type {
        MessageType::RegisterProxyPort => port(&list, &ICRP_PORT_ID)?,
        MessageType::DeregisterProxyPort => port(&list, &ICDP_PORT_ID)?,
        MessageType::RegisterLun | MessageType::DeregisterLun | MessageType::LunActive => {
            Subject::Lun(bytes_of(&list, &ICRL_LUN_ID)?.to_array()?)
        }
        MessageType::ScsiCommand => task(&list, &ICSC_SESSION_ID, &ICSC_TASK_MSGID)?,
        MessageType::ScsiData => task(&list, &ICSD_SESSION_ID, &ICSD_TASK_MSGID)?,
        MessageType::ScsiDataTransferDone => task(&list, &ICSX_SESSION_ID, &ICSX_TASK_MSGID)?,
        MessageType::ScsiStatus => task(&list, &ICSS_SESSION_ID, &ICSS_TASK_MSGID)?,
        MessageType::ReadyToTransfer => task(&list, &ICRT_SESSION_ID, &ICRT_TASK_MSGID)?,
        MessageType::Status => Subject::Answer {
            message_type: uint8(&list, &ICS_MSG_TYPE)?,
            msgid: uint64(&list, &ICS_MSGID)?,
        },
        MessageType::SessionCreate | MessageType::SessionDestroy => Subject::Session {
            session_id: uint64(&list, &ICSCD_SESSION_ID)?,
        },
        MessageType::EchoRequest | MessageType::EchoReply => Subject::Nothing,
    };
    Some(Peek {
        message_type,
        msgid,
        subject,
    })
}

/// The first value of that name and type, if nothing before it is damaged.
fn find<'a, const N: usize>(list: &List<'a>, template: &Template<N>) -> Option<Value<'a>> {
    let mut pairs = list.pairs();
    let found = pairs.find(|pair| {
        pair.value.data_type() == template.data_type && pair.name == template.name.as_bytes()
    });
    found.map(|pair| pair.value)
}

fn uint8<const N: usize>(list: &List<'_>, template: &Template<N>) -> Option<u8> {
    match find(list, template)? {
        Value::Uint8(value) => Some(value),
        _ => None,
    }
}

fn uint64<const N: usize>(list: &List<'_>, template: &Template<N>) -> Option<u64> {
    match find(list, template)? {
        Value::Uint64(value) => Some(value),
        _ => None,
    }
}

fn bytes_of<'a, const N: usize>(list: &List<'a>, template: &Template<N>) -> Option<Bytes<'a>> {
    match find(list, template)? {
        Value::Uint8Array(bytes) => Some(bytes),
        _ => None,
    }
}

fn port<const N: usize>(list: &List<'_>, template: &Template<N>) -> Option<Subject> {
    match find(list, template)? {
        Value::Nvlist(id) => Some(Subject::Port(bytes_of(&id, &IDENT)?.to_vec())),
        _ => None,
    }
}

fn task<const N: usize, const M: usize>(
    list: &List<'_>,
    session: &Template<N>,
    task: &Template<M>,
) -> Option<Subject> {
    Some(Subject::Task {
        session_id: uint64(list, session)?,
        task_msgid: uint64(list, task)?,
    })
}
