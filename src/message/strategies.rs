// SPDX-License-Identifier: MPL-2.0
//! Messages for property tests: strategies of the crate proptest, with shrinking (feature
//! `proptest`).
//!
//! [`message`] makes any of the fifteen, sound in a dialect: it can be encoded, and what arrives
//! is what was sent, as far as the format carries it (docs/wire-format.md). [`damaged`] makes the
//! bytes of one that something has happened to. Both shrink to short names, little data and small
//! numbers.
//!
//! ```
//! use proptest::prelude::*;
//! use proptest::test_runner::TestRunner;
//! use stmf_proxy::message::{Dialect, Message, strategies};
//!
//! let checked = TestRunner::default().run(&strategies::message(Dialect::Current), |message| {
//!     let wire = message.encode(Dialect::Current).expect("it is sound");
//!     let read = Message::decode(&wire, Dialect::Current).expect("it was written");
//!     prop_assert_eq!(read.message_type(), message.message_type());
//!     Ok(())
//! });
//! assert_eq!(checked, Ok(()));
//! ```

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    // Long ones are rare, so that the short and the empty ones are tried often.
    prop_oneof![3 => vec(any::<u8>(), 0..=most.min(20)), 1 => vec(any::<u8>(), 0..=most)]
}

/// Any name of a port that a message can carry.
pub fn device_id() -> impl Strategy<Value = DeviceId> {
    let bits = (0..16u8, 0..16u8, 0..2u8, 0..4u8, 0..16u8, bytes(255));
    bits.prop_map(
        |(protocol_id, code_set, piv, association, ident_type, ident)| DeviceId {
            protocol_id,
            code_set,
            piv,
            association,
            ident_type,
            ident,
        },
    )
}

fn transport_id(dialect: Dialect) -> BoxedStrategy<Option<Vec<u8>>> {
    match dialect {
        Dialect::Current => vec(any::<u8>(), 2..80).prop_map(Some).boxed(),
        Dialect::Y2009 => Just(None).boxed(),
    }
}

fn lun() -> impl Strategy<Value = LunMessage> {
    (any::<[u8; 16]>(), vec(1..=255u8, 0..40), bytes(300)).prop_map(
        |(lun_id, lu_provider_name, cb_arg)| LunMessage {
            lun_id,
            lu_provider_name,
            cb_arg,
        },
    )
}

fn session(dialect: Dialect) -> impl Strategy<Value = SessionMessage> {
    (
        device_id(),
        device_id(),
        transport_id(dialect),
        any::<u64>(),
    )
        .prop_map(|(ini_devid, tgt_devid, rport, session_id)| SessionMessage {
            ini_devid,
            tgt_devid,
            rport,
            session_id,
        })
}

fn scsi_command(dialect: Dialect) -> impl Strategy<Value = Body> {
    let least_cdb = match dialect {
        Dialect::Current => 0,
        Dialect::Y2009 => 1,
    };
    let numbers = (
        any::<u64>(),
        any::<[u8; 8]>(),
        any::<u32>(),
        any::<u8>(),
        any::<u8>(),
        any::<u8>(),
    );
    (
        numbers,
        session(dialect),
        any::<[u8; 16]>(),
        vec(any::<u8>(), least_cdb..20),
        bytes(600),
    )
        .prop_map(|(numbers, session, lun_id, task_cdb, immed_data)| {
            Body::ScsiCommand(ScsiCommand {
                task_msgid: numbers.0,
                ini_devid: session.ini_devid,
                tgt_devid: session.tgt_devid,
                rport: session.rport,
                lun_id,
                session_id: session.session_id,
                task_lun_no: numbers.1,
                task_expected_xfer_length: numbers.2,
                task_cdb,
                task_flags: numbers.3,
                task_priority: numbers.4,
                task_mgmt_function: numbers.5,
                immed_data,
            })
        })
}

/// A sound message body of one type.
fn body_of(message_type: MessageType, dialect: Dialect) -> BoxedStrategy<Body> {
    let port = (device_id(), any::<u16>(), bytes(300));
    let tasks = (any::<u64>(), any::<u64>(), any::<[u8; 16]>());
    match message_type {
        MessageType::RegisterProxyPort => port
            .prop_map(|(port_id, relative_port_id, cb_arg)| {
                Body::RegisterProxyPort(RegisterProxyPort {
                    port_id,
                    relative_port_id,
                    cb_arg,
                })
            })
            .boxed(),
        MessageType::DeregisterProxyPort => (device_id(), bytes(300))
            .prop_map(|(port_id, cb_arg)| {
                Body::DeregisterProxyPort(DeregisterProxyPort { port_id, cb_arg })
            })
            .boxed(),
        MessageType::RegisterLun => lun().prop_map(Body::RegisterLun).boxed(),
        MessageType::DeregisterLun => lun().prop_map(Body::DeregisterLun).boxed(),
        MessageType::LunActive => lun().prop_map(Body::LunActive).boxed(),
        MessageType::ScsiCommand => scsi_command(dialect).boxed(),
        MessageType::ScsiData => (tasks, vec(any::<u8>(), 1..3000))
            .prop_map(|((task_msgid, session_id, lun_id), data)| {
                Body::ScsiData(ScsiData {
                    task_msgid,
                    session_id,
                    lun_id,
                    data,
                })
            })
            .boxed(),
        MessageType::ScsiDataTransferDone => any::<(u64, u64, u64)>()
            .prop_map(|(task_msgid, session_id, status)| {
                Body::ScsiDataTransferDone(ScsiDataTransferDone {
                    task_msgid,
                    session_id,
                    status,
                })
            })
            .boxed(),
        MessageType::ScsiStatus => (tasks, any::<[u8; 3]>(), any::<u32>(), bytes(255))
            .prop_map(|(task, small, resid, sense)| {
                Body::ScsiStatus(ScsiStatus {
                    task_msgid: task.0,
                    session_id: task.1,
                    lun_id: task.2,
                    response: small[0],
                    status: small[1],
                    flags: small[2],
                    resid,
                    sense,
                })
            })
            .boxed(),
        MessageType::ReadyToTransfer => any::<(u64, u64, u32, u32)>()
            .prop_map(|(task_msgid, session_id, offset, length)| {
                Body::ReadyToTransfer(ReadyToTransfer {
                    task_msgid,
                    session_id,
                    offset,
                    length,
                })
            })
            .boxed(),
        MessageType::Status => any::<(u8, u64, u64)>()
            .prop_map(|(status_msg_type, status_msgid, status)| {
                Body::Status(Status {
                    status_msg_type,
                    status_msgid,
                    status,
                })
            })
            .boxed(),
        MessageType::SessionCreate => session(dialect).prop_map(Body::SessionCreate).boxed(),
        MessageType::SessionDestroy => session(dialect).prop_map(Body::SessionDestroy).boxed(),
        MessageType::EchoRequest => bytes(600)
            .prop_map(|data| Body::EchoRequest(EchoRequest { data }))
            .boxed(),
        MessageType::EchoReply => bytes(600)
            .prop_map(|data| Body::EchoReply(EchoReply { data }))
            .boxed(),
    }
}

/// A sound message of one type.
pub fn message_of(message_type: MessageType, dialect: Dialect) -> impl Strategy<Value = Message> {
    (any::<u64>(), body_of(message_type, dialect)).prop_map(|(msgid, body)| Message { msgid, body })
}

/// A sound message of any type: it can be encoded in this dialect and is accepted by whoever
/// decodes it.
pub fn message(dialect: Dialect) -> impl Strategy<Value = Message> {
    let types = MessageType::ALL.map(|message_type| message_of(message_type, dialect).boxed());
    proptest::strategy::Union::new(types)
}

/// Either dialect; shrinks to the current one.
pub fn dialect() -> impl Strategy<Value = Dialect> {
    prop_oneof![Just(Dialect::Current), Just(Dialect::Y2009)]
}

/// Damage: at a place (modulo the length), a byte changed, a word changed, bytes cut out, bytes
/// doubled, the end cut off.
fn damage(wire: &mut Vec<u8>, damage: &[(usize, u8, u8)]) {
    for (place, how, value) in damage {
        if wire.is_empty() {
            return;
        }
        let place = place % wire.len();
        let word = place & !3;
        let end = (word + 4 * usize::from(*value)).min(wire.len());
        match how % 5 {
            0 => wire[place] = *value,
            1 => wire[place] ^= 1 << (value % 8),
            2 => drop(wire.drain(word..end)),
            3 => wire.extend_from_within(word..end),
            _ => wire.truncate(place),
        }
    }
}

/// The bytes of a message to which something has happened in up to three places; shrinks to a
/// sound message.
pub fn damaged(dialect: Dialect) -> impl Strategy<Value = Vec<u8>> {
    (message(dialect), vec(any::<(usize, u8, u8)>(), 0..4)).prop_map(move |(message, places)| {
        // What cannot be encoded is no bytes: also something that a reader must stand.
        let mut wire = message.encode(dialect).unwrap_or_default();
        damage(&mut wire, &places);
        wire
    })
}
