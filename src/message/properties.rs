// SPDX-License-Identifier: MPL-2.0
//! What holds for every message, and for every string of bytes.

use super::*;
use crate::message::decode::general;
use crate::nvlist::properties::repack;
use proptest::collection::vec;
use proptest::prelude::*;

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    // Long ones are rare, so that the short and the empty ones are tried often.
    prop_oneof![3 => vec(any::<u8>(), 0..=most.min(20)), 1 => vec(any::<u8>(), 0..=most)]
}

fn device_id() -> impl Strategy<Value = DeviceId> {
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

fn body(dialect: Dialect) -> impl Strategy<Value = Body> {
    let port = (device_id(), any::<u16>(), bytes(300));
    let tasks = (any::<u64>(), any::<u64>(), any::<[u8; 16]>());
    prop_oneof![
        port.prop_map(|(port_id, relative_port_id, cb_arg)| {
            Body::RegisterProxyPort(RegisterProxyPort {
                port_id,
                relative_port_id,
                cb_arg,
            })
        }),
        (device_id(), bytes(300)).prop_map(|(port_id, cb_arg)| {
            Body::DeregisterProxyPort(DeregisterProxyPort { port_id, cb_arg })
        }),
        lun().prop_map(Body::RegisterLun),
        lun().prop_map(Body::DeregisterLun),
        lun().prop_map(Body::LunActive),
        scsi_command(dialect),
        (tasks, vec(any::<u8>(), 1..3000)).prop_map(|((task_msgid, session_id, lun_id), data)| {
            Body::ScsiData(ScsiData {
                task_msgid,
                session_id,
                lun_id,
                data,
            })
        }),
        any::<(u64, u64, u64)>().prop_map(|(task_msgid, session_id, status)| {
            Body::ScsiDataTransferDone(ScsiDataTransferDone {
                task_msgid,
                session_id,
                status,
            })
        }),
        (tasks, any::<[u8; 3]>(), any::<u32>(), bytes(255)).prop_map(
            |(task, small, resid, sense)| {
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
            }
        ),
        any::<(u64, u64, u32, u32)>().prop_map(|(task_msgid, session_id, offset, length)| {
            Body::ReadyToTransfer(ReadyToTransfer {
                task_msgid,
                session_id,
                offset,
                length,
            })
        }),
        any::<(u8, u64, u64)>().prop_map(|(status_msg_type, status_msgid, status)| {
            Body::Status(Status {
                status_msg_type,
                status_msgid,
                status,
            })
        }),
        session(dialect).prop_map(Body::SessionCreate),
        session(dialect).prop_map(Body::SessionDestroy),
        bytes(600).prop_map(|data| Body::EchoRequest(EchoRequest { data })),
        bytes(600).prop_map(|data| Body::EchoReply(EchoReply { data })),
    ]
}

/// A message that can be sent and received in a dialect.
fn message() -> impl Strategy<Value = (Message, Dialect)> {
    prop_oneof![Just(Dialect::Current), Just(Dialect::Y2009)].prop_flat_map(|dialect| {
        (any::<u64>(), body(dialect))
            .prop_map(move |(msgid, body)| (Message { msgid, body }, dialect))
    })
}

/// What arrives when a message was sent.
fn received(message: &Message) -> Message {
    let mut message = message.clone();
    match &mut message.body {
        Body::ScsiCommand(command) => command.task_priority = 0,
        Body::Status(status) => status.status &= 0xFF,
        _ => {}
    }
    message
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

fn damaged() -> impl Strategy<Value = (Vec<u8>, Dialect)> {
    (message(), vec(any::<(usize, u8, u8)>(), 0..4)).prop_map(|((message, dialect), places)| {
        let mut wire = message.encode(dialect).expect("it can be sent");
        damage(&mut wire, &places);
        (wire, dialect)
    })
}

/// What a look tells, in a form that can be compared.
#[derive(Debug, PartialEq)]
pub(super) struct Told {
    message_type: MessageType,
    msgid: u64,
    port: Option<Vec<u8>>,
    pub(super) initiator: Option<Vec<u8>>,
    lun: Option<[u8; 8]>,
    lun_id: Option<[u8; 16]>,
    session_id: Option<u64>,
    task_msgid: Option<u64>,
    answers: Option<(u8, u64)>,
}

fn nothing(message_type: MessageType, msgid: u64) -> Told {
    let (port, initiator, lun, lun_id) = (None, None, None, None);
    let (session_id, task_msgid, answers) = (None, None, None);
    Told {
        message_type,
        msgid,
        port,
        initiator,
        lun,
        lun_id,
        session_id,
        task_msgid,
        answers,
    }
}

pub(super) fn told(peek: Peek<'_>) -> Told {
    let nothing = nothing(peek.message_type, peek.msgid);
    match peek.subject {
        Subject::Port(ident) => Told {
            port: Some(ident.to_vec()),
            ..nothing
        },
        Subject::Lun(id) => Told {
            lun_id: Some(id),
            ..nothing
        },
        Subject::Session {
            session_id,
            target,
            initiator,
        } => Told {
            session_id: Some(session_id),
            port: Some(target.to_vec()),
            initiator: Some(initiator.to_vec()),
            ..nothing
        },
        Subject::Task {
            session_id,
            task_msgid,
            route,
            lun_id,
        } => Told {
            session_id: Some(session_id),
            task_msgid: Some(task_msgid),
            port: route.map(|route| route.target.iter().collect()),
            initiator: route.map(|route| route.initiator.iter().collect()),
            lun: route.map(|route| route.lun),
            lun_id,
            ..nothing
        },
        Subject::Answer {
            message_type,
            msgid,
        } => Told {
            answers: Some((message_type, msgid)),
            ..nothing
        },
        Subject::Nothing => nothing,
    }
}

/// The look that the fields of a decoded message promise.
pub(super) fn expected_peek(message: &Message) -> Told {
    let nothing = nothing(message.message_type(), message.msgid);
    let (initiator, lun) = match &message.body {
        Body::ScsiCommand(body) => (Some((&body.rport, &body.ini_devid)), Some(body.task_lun_no)),
        Body::SessionCreate(body) | Body::SessionDestroy(body) => {
            (Some((&body.rport, &body.ini_devid)), None)
        }
        _ => (None, None),
    };
    let initiator = initiator.map(|(rport, id)| rport.clone().unwrap_or_else(|| id.ident.clone()));
    let task = |session_id, task_msgid| (Some(session_id), Some(task_msgid));
    let ((session_id, task_msgid), port, lun_id) = match &message.body {
        Body::RegisterProxyPort(port) => ((None, None), Some(&port.port_id), None),
        Body::DeregisterProxyPort(port) => ((None, None), Some(&port.port_id), None),
        Body::RegisterLun(lun) | Body::DeregisterLun(lun) | Body::LunActive(lun) => {
            ((None, None), None, Some(lun.lun_id))
        }
        Body::ScsiCommand(body) => {
            let target = Some(&body.tgt_devid);
            (
                task(body.session_id, body.task_msgid),
                target,
                Some(body.lun_id),
            )
        }
        Body::ScsiData(body) => (
            task(body.session_id, body.task_msgid),
            None,
            Some(body.lun_id),
        ),
        Body::ScsiDataTransferDone(body) => (task(body.session_id, body.task_msgid), None, None),
        Body::ScsiStatus(body) => (
            task(body.session_id, body.task_msgid),
            None,
            Some(body.lun_id),
        ),
        Body::ReadyToTransfer(body) => (task(body.session_id, body.task_msgid), None, None),
        Body::SessionCreate(body) | Body::SessionDestroy(body) => {
            ((Some(body.session_id), None), Some(&body.tgt_devid), None)
        }
        Body::Status(body) => {
            let answers = Some((body.status_msg_type, body.status_msgid));
            return Told { answers, ..nothing };
        }
        Body::EchoRequest(_) | Body::EchoReply(_) => return nothing,
    };
    let port = port.map(|id| id.ident.clone());
    Told {
        session_id,
        task_msgid,
        port,
        initiator,
        lun,
        lun_id,
        ..nothing
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_message_arrives((message, dialect) in message()) {
        let wire = message.encode(dialect).expect("it can be sent");
        prop_assert_eq!(message.encoded_len(dialect), Ok(wire.len()));
        prop_assert_eq!(Message::decode(&wire, dialect), Ok(received(&message)));
        // The general reader and writer agree with what is made from templates.
        prop_assert_eq!(repack(&wire), wire);
    }

    #[test]
    fn encoding_appends((message, dialect) in message()) {
        let mut out = b"before".to_vec();
        message.encode_into(dialect, &mut out).expect("it can be sent");
        prop_assert_eq!(&out[..6], b"before");
        prop_assert_eq!(&out[6..], message.encode(dialect).expect("it can be sent"));
    }

    #[test]
    fn json_says_all((message, _) in message()) {
        let text = serde_json::to_string(&message).expect("JSON");
        prop_assert_eq!(&serde_json::from_str::<Message>(&text).expect("it was written"), &message);
        let value = serde_json::to_value(&message).expect("JSON");
        prop_assert_eq!(serde_json::from_value::<Message>(value).expect("it was written"), message);
    }

    #[test]
    fn the_short_way_agrees_with_the_general((wire, dialect) in damaged()) {
        let general = general(&wire, dialect, &Limits::DEFAULT);
        if let Some(short) = canonical::decode(&wire, dialect, &Limits::DEFAULT) {
            prop_assert_eq!(Ok(short), general.clone());
        }
        prop_assert_eq!(Message::decode(&wire, dialect), general);
    }

    #[test]
    fn a_look_agrees_with_decoding((wire, dialect) in damaged()) {
        let seen = peek(&wire);
        if let Ok(message) = Message::decode(&wire, dialect) {
            prop_assert_eq!(seen.map(told), Some(expected_peek(&message)));
        }
    }

    #[test]
    fn of_a_word_that_is_a_byte_the_low_byte_counts(
        data in vec(any::<u8>(), 1..200),
        noise in any::<[u8; 3]>(),
    ) {
        let body = Body::ScsiData(ScsiData { task_msgid: 1, session_id: 1, lun_id: [0; 16], data });
        let message = Message { msgid: 1, body };
        let mut wire = message.encode(Dialect::Current).expect("it can be sent");
        // The words of the data are the last before the end mark.
        let end = wire.len() - 8;
        let Body::ScsiData(ScsiData { data, .. }) = &message.body else { unreachable!() };
        for word in wire[end - 4 * data.len()..end].chunks_mut(4) {
            word[..3].copy_from_slice(&noise);
        }
        prop_assert_eq!(Message::decode(&wire, Dialect::Current), Ok(message));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in vec(any::<u8>(), 0..400)) {
        let _ = Message::decode(&bytes, Dialect::Current);
        let _ = peek(&bytes);
    }

    #[test]
    fn limits_hold_at_their_edge((message, dialect) in message()) {
        let wire = message.encode(dialect).expect("it can be sent");
        let mut limits = Limits { max_size: wire.len(), max_depth: 2 };
        prop_assert!(Message::decode_within(&wire, dialect, &limits).is_ok());
        limits.max_size -= 1;
        let refused = Message::decode_within(&wire, dialect, &limits);
        prop_assert!(refused.is_err_and(|error| error.is_own_bound()));
        limits = Limits { max_depth: 1, ..Limits::DEFAULT };
        let flat = Message::decode_within(&wire, dialect, &limits);
        let nests = wire.windows(8).any(|window| window == b"ident_le");
        prop_assert_eq!(flat.is_err_and(|error| error.is_own_bound()), nests);
    }
}
