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
#[derive(Clone, Copy, Debug)]
pub struct Peek<'a> {
    /// Which of the fifteen messages it is.
    pub message_type: MessageType,
    /// The sender's number for it.
    pub msgid: u64,
    /// What it is about.
    pub subject: Subject<'a>,
}

/// What a message is about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A port, by the `ident` of its device id.
    Port(Bytes<'a>),
    /// An LU, by its identifier.
    Lun([u8; 16]),
    /// A session, by the number that the node of the initiator has given it.
    Session {
        /// That number.
        session_id: u64,
        /// The `ident` of the target port.
        target: Bytes<'a>,
        /// Who the initiator is: its transport id, or where the message has none (2009 dialect)
        /// the `ident` of its device id.
        initiator: Bytes<'a>,
    },
    /// A task in a session, by the numbers that the node of the initiator has given them.
    Task {
        /// The session.
        session_id: u64,
        /// The task.
        task_msgid: u64,
        /// Where a command came from and where it goes.
        route: Option<Route<'a>>,
        /// The LU, of a command and of data and status for one.
        lun_id: Option<[u8; 16]>,
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

/// Between whom a command runs.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// The `ident` of the target port.
    pub target: Bytes<'a>,
    /// Who the initiator is, as in [`Subject::Session`].
    pub initiator: Bytes<'a>,
    /// The number of the LU, as the initiator sent it.
    pub lun: [u8; 8],
}

/// Looks at a message. `None` when it is damaged before all that is wanted was found; then
/// decoding refuses it too. The reverse does not hold: what comes later is not looked at.
///
/// Takes time in proportion to the message at most, and allocates nothing.
pub fn peek(bytes: &[u8]) -> Option<Peek<'_>> {
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
        MessageType::RegisterProxyPort => Subject::Port(ident(&list, &ICRP_PORT_ID)?),
        MessageType::DeregisterProxyPort => Subject::Port(ident(&list, &ICDP_PORT_ID)?),
        MessageType::RegisterLun | MessageType::DeregisterLun | MessageType::LunActive => {
            Subject::Lun(lun_id(&list, &ICRL_LUN_ID)?)
        }
        MessageType::ScsiCommand => Subject::Task {
            session_id: uint64(&list, &ICSC_SESSION_ID)?,
            task_msgid: uint64(&list, &ICSC_TASK_MSGID)?,
            route: Some(Route {
                target: ident(&list, &ICSC_TGT_DEVID)?,
                initiator: initiator(&list, &ICSC_RPORT, &ICSC_INI_DEVID)?,
                lun: bytes_of(&list, &ICSC_TASK_LUN_NO)?.to_array()?,
            }),
            lun_id: Some(lun_id(&list, &ICSC_LUN_ID)?),
        },
        MessageType::ScsiData => Subject::Task {
            session_id: uint64(&list, &ICSD_SESSION_ID)?,
            task_msgid: uint64(&list, &ICSD_TASK_MSGID)?,
            route: None,
            lun_id: Some(lun_id(&list, &ICSD_LUN_ID)?),
        },
        MessageType::ScsiDataTransferDone => Subject::Task {
            session_id: uint64(&list, &ICSX_SESSION_ID)?,
            task_msgid: uint64(&list, &ICSX_TASK_MSGID)?,
            route: None,
            lun_id: None,
        },
        MessageType::ScsiStatus => Subject::Task {
            session_id: uint64(&list, &ICSS_SESSION_ID)?,
            task_msgid: uint64(&list, &ICSS_TASK_MSGID)?,
            route: None,
            lun_id: Some(lun_id(&list, &ICSS_LUN_ID)?),
        },
        MessageType::ReadyToTransfer => Subject::Task {
            session_id: uint64(&list, &ICRT_SESSION_ID)?,
            task_msgid: uint64(&list, &ICRT_TASK_MSGID)?,
            route: None,
            lun_id: None,
        },
        MessageType::Status => Subject::Answer {
            message_type: uint8(&list, &ICS_MSG_TYPE)?,
            msgid: uint64(&list, &ICS_MSGID)?,
        },
        MessageType::SessionCreate | MessageType::SessionDestroy => Subject::Session {
            session_id: uint64(&list, &ICSCD_SESSION_ID)?,
            target: ident(&list, &ICSCD_TGT_DEVID)?,
            initiator: initiator(&list, &ICSCD_RPORT, &ICSCD_INI_DEVID)?,
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

/// The name in a device id.
fn ident<'a, const N: usize>(list: &List<'a>, template: &Template<N>) -> Option<Bytes<'a>> {
    match find(list, template)? {
        Value::Nvlist(id) => bytes_of(&id, &IDENT),
        _ => None,
    }
}

/// The transport id, or the name in the device id where there is none.
fn initiator<'a, const N: usize, const M: usize>(
    list: &List<'a>,
    rport: &Template<N>,
    device: &Template<M>,
) -> Option<Bytes<'a>> {
    let id = match find(list, rport) {
        Some(Value::Nvlist(id)) => bytes_of(&id, &RPORT_TPTID),
        _ => None,
    };
    id.or_else(|| ident(list, device))
}

fn lun_id<const N: usize>(list: &List<'_>, template: &Template<N>) -> Option<[u8; 16]> {
    bytes_of(list, template)?.to_array()
}
