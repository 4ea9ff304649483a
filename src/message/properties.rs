// SPDX-License-Identifier: MPL-2.0
//! What holds for every message, and for every string of bytes.

use super::*;
use crate::message::decode::general;
use crate::nvlist::properties::repack;
use proptest::collection::vec;
use proptest::prelude::*;

/// A message that can be sent and received in a dialect.
fn message() -> impl Strategy<Value = (Message, Dialect)> {
    strategies::dialect().prop_flat_map(|dialect| (strategies::message(dialect), Just(dialect)))
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

fn damaged() -> impl Strategy<Value = (Vec<u8>, Dialect)> {
    strategies::dialect().prop_flat_map(|dialect| (strategies::damaged(dialect), Just(dialect)))
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
