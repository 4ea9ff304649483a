// SPDX-License-Identifier: MPL-2.0
//! A cheap look at a message: of which type it is, and which object it is about. A relay orders
//! messages by it without decoding them.
//!
//! Where [`Message::decode`](super::Message::decode) accepts a message, the look agrees with it.

use super::MessageType;
use super::fields::*;
use crate::nvlist::{List, Value};

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
    let list = List::open(bytes)?;
    let uint64 = |name: &str| {
        list.pairs().find_map(|pair| match pair.value {
            Value::Uint64(value) if pair.name == name.as_bytes() => Some(value),
            _ => None,
        })
    };
    let uint8 = |name: &str| {
        list.pairs().find_map(|pair| match pair.value {
            Value::Uint8(value) if pair.name == name.as_bytes() => Some(value),
            _ => None,
        })
    };
    let lun = |name: &str| {
        list.pairs().find_map(|pair| match pair.value {
            Value::Uint8Array(bytes) if pair.name == name.as_bytes() => Some(bytes),
            _ => None,
        })
    };
    let port = |name: &str| {
        let id = list.pairs().find_map(|pair| match pair.value {
            Value::Nvlist(id) if pair.name == name.as_bytes() => Some(id),
            _ => None,
        })?;
        id.pairs().find_map(|pair| match pair.value {
            Value::Uint8Array(ident) if pair.name == IDENT.name.as_bytes() => Some(ident),
            _ => None,
        })
    };
    let message_type = MessageType::from_number(uint8(MSG_TYPE.name)?)?;
    let msgid = uint64(MSGID.name)?;
    let task = |session: &str, task: &str| {
        Some(Subject::Task {
            session_id: uint64(session)?,
            task_msgid: uint64(task)?,
        })
    };
    let subject = match message_type {
        MessageType::RegisterProxyPort => Subject::Port(port(ICRP_PORT_ID.name)?.to_vec()),
        MessageType::DeregisterProxyPort => Subject::Port(port(ICDP_PORT_ID.name)?.to_vec()),
        MessageType::RegisterLun | MessageType::DeregisterLun | MessageType::LunActive => {
            Subject::Lun(lun(ICRL_LUN_ID.name)?.to_array()?)
        }
        MessageType::ScsiCommand => task(ICSC_SESSION_ID.name, ICSC_TASK_MSGID.name)?,
        MessageType::ScsiData => task(ICSD_SESSION_ID.name, ICSD_TASK_MSGID.name)?,
        MessageType::ScsiDataTransferDone => task(ICSX_SESSION_ID.name, ICSX_TASK_MSGID.name)?,
        MessageType::ScsiStatus => task(ICSS_SESSION_ID.name, ICSS_TASK_MSGID.name)?,
        MessageType::ReadyToTransfer => task(ICRT_SESSION_ID.name, ICRT_TASK_MSGID.name)?,
        MessageType::Status => Subject::Answer {
            message_type: uint8(ICS_MSG_TYPE.name)?,
            msgid: uint64(ICS_MSGID.name)?,
        },
        MessageType::SessionCreate | MessageType::SessionDestroy => Subject::Session {
            session_id: uint64(ICSCD_SESSION_ID.name)?,
        },
        MessageType::EchoRequest | MessageType::EchoReply => Subject::Nothing,
    };
    Some(Peek {
        message_type,
        msgid,
        subject,
    })
}
