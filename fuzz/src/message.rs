// SPDX-License-Identifier: MPL-2.0
//! Any bytes as a message, in both dialects. Decoding must not panic and takes no more memory than
//! the bytes deserve; a decoded message comes back from encoding and from JSON; the short way of
//! decoding, which takes only the usual form, agrees with the general one; and what a look and
//! the relay's classifier tell is what the fields say.

use allocation_counter::measure;
use stmf_proxy::message::{Body, DecodeError, Dialect, Message, Peek, Subject, peek};
use stmf_proxy::nvlist::{Limits, List};
use stmf_proxy::relay::classify::by_object;
use stmf_proxy::relay::{Lane, Subject as Claimed};

/// Longer messages are not taken through JSON, which takes the time of many others.
const JSON_MOST: usize = 4096;

/// The longest transport id that the relay's classifier tells from others.
const TRANSPORT_ID_MAX: usize = 512;

/// Checks these bytes.
pub fn check(bytes: &[u8]) {
    for dialect in [Dialect::Current, Dialect::Y2009] {
        check_in(bytes, dialect);
    }
    let _ = by_object(bytes);
}

fn check_in(bytes: &[u8], dialect: Dialect) {
    let mut decoded = None;
    let allocated = measure(|| decoded = Some(Message::decode(bytes, dialect)));
    // An array of bytes has four bytes for each on the wire; a name has one.
    assert!(allocated.bytes_total <= bytes.len() as u64, "{allocated:?}");
    let Some(decoded) = decoded else { return };
    assert_eq!(
        unusual(bytes).map(|unusual| without_offset(Message::decode(&unusual, dialect))),
        unusual(bytes).map(|_| without_offset(decoded.clone())),
        "the short way and the general way agree"
    );
    let Ok(message) = decoded else { return };

    let seen = peek(bytes).expect("what is decoded can be looked at");
    assert_eq!(seen.message_type, message.message_type());
    assert_eq!(seen.msgid, message.msgid);
    assert!(tells(&seen, &message), "{seen:?} of {message:?}");
    // Where the dialect has no transport id and a message has one all the same, the look takes it
    // for the initiator, and decoding passes it over.
    if dialect == Dialect::Current || initiator(&seen.subject) == initiator_of(&message) {
        assert_eq!(by_object(bytes), lane(&message), "{message:?}");
    }

    let wire = message
        .encode(dialect)
        .unwrap_or_else(|error| panic!("decoded but not encoded: {error}"));
    assert_eq!(message.encoded_len(dialect), Ok(wire.len()));
    assert_eq!(Message::decode(&wire, dialect).as_ref(), Ok(&message));
    assert_eq!(by_object(&wire), lane(&message));

    if bytes.len() <= JSON_MOST {
        let text = serde_json::to_string(&message).expect("every message has a JSON form");
        let back: Message = serde_json::from_str(&text).expect("what was written can be read");
        assert_eq!(back, message);
    }
}

/// The same message in a form that no kernel sends, with a pair more at the end, so that only the
/// general way takes it. None if it is no list.
fn unusual(bytes: &[u8]) -> Option<Vec<u8>> {
    /// An empty pair: sizes, the name "x", type boolean, no elements.
    const PAIR: [u8; 24] = [
        0, 0, 0, 24, 0, 0, 0, 24, 0, 0, 0, 1, b'x', 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0,
    ];
    let list = List::unpack(bytes, &Limits::DEFAULT).ok()?;
    let mut pairs = list.pairs();
    let mut end = list.offset();
    while pairs.next().is_some() {
        end = pairs.offset();
    }
    let (before, after) = bytes.split_at_checked(end)?;
    Some([before, &PAIR, after].concat())
}

/// Without the places in an error.
fn without_offset(decoded: Result<Message, DecodeError>) -> Result<Message, String> {
    decoded.map_err(|error| match error {
        DecodeError::Unpack(error) => format!("{:?}", error.problem),
        DecodeError::Field(error) => {
            format!("{} {:?} {:?}", error.field, error.inner, error.problem)
        }
    })
}

/// Whether a look has told what the message says.
fn tells(seen: &Peek<'_>, message: &Message) -> bool {
    let task = |session: u64, msgid: u64, id: Option<[u8; 16]>| {
        matches!(seen.subject, Subject::Task { session_id, task_msgid, route: None, lun_id }
            if (session_id, task_msgid, lun_id) == (session, msgid, id))
    };
    match (&message.body, seen.subject) {
        (Body::RegisterProxyPort(body), Subject::Port(port)) => {
            port.iter().eq(body.port_id.ident.iter().copied())
        }
        (Body::DeregisterProxyPort(body), Subject::Port(port)) => {
            port.iter().eq(body.port_id.ident.iter().copied())
        }
        (
            Body::RegisterLun(body) | Body::DeregisterLun(body) | Body::LunActive(body),
            Subject::Lun(id),
        ) => id == body.lun_id,
        (
            Body::ScsiCommand(body),
            Subject::Task {
                session_id,
                task_msgid,
                route: Some(route),
                lun_id,
            },
        ) => {
            let initiator = initiator(&seen.subject) == initiator_of(message);
            let target = route.target.iter().eq(body.tgt_devid.ident.iter().copied());
            let numbers = (session_id, task_msgid) == (body.session_id, body.task_msgid);
            let lun = (lun_id, route.lun) == (Some(body.lun_id), body.task_lun_no);
            (initiator || body.rport.is_none()) && target && numbers && lun
        }
        (Body::ScsiData(body), _) => task(body.session_id, body.task_msgid, Some(body.lun_id)),
        (Body::ScsiStatus(body), _) => task(body.session_id, body.task_msgid, Some(body.lun_id)),
        (Body::ScsiDataTransferDone(body), _) => task(body.session_id, body.task_msgid, None),
        (Body::ReadyToTransfer(body), _) => task(body.session_id, body.task_msgid, None),
        (
            Body::Status(body),
            Subject::Answer {
                message_type,
                msgid,
            },
        ) => (message_type, msgid) == (body.status_msg_type, body.status_msgid),
        (
            Body::SessionCreate(body) | Body::SessionDestroy(body),
            Subject::Session {
                session_id, target, ..
            },
        ) => {
            let initiator = initiator(&seen.subject) == initiator_of(message);
            let target = target.iter().eq(body.tgt_devid.ident.iter().copied());
            (initiator || body.rport.is_none()) && target && session_id == body.session_id
        }
        (Body::EchoRequest(_) | Body::EchoReply(_), Subject::Nothing) => true,
        _ => false,
    }
}

/// Who the initiator is, as a look tells it.
fn initiator(subject: &Subject<'_>) -> Option<Vec<u8>> {
    match subject {
        Subject::Session { initiator, .. } => Some(initiator.to_vec()),
        Subject::Task { route, .. } => route.map(|route| route.initiator.to_vec()),
        _ => None,
    }
}

/// The same as the fields tell it.
fn initiator_of(message: &Message) -> Option<Vec<u8>> {
    let (rport, device) = match &message.body {
        Body::ScsiCommand(body) => (&body.rport, &body.ini_devid),
        Body::SessionCreate(body) | Body::SessionDestroy(body) => (&body.rport, &body.ini_devid),
        _ => return None,
    };
    Some(rport.as_ref().unwrap_or(&device.ident).clone())
}

/// The lane that the fields of a message promise.
pub fn lane(message: &Message) -> Lane {
    let initiator = initiator_of(message).unwrap_or_default();
    if initiator.len() > TRANSPORT_ID_MAX {
        return Lane::barrier();
    }
    match &message.body {
        Body::RegisterProxyPort(body) => Claimed::Port {
            port: &body.port_id.ident,
        }
        .lane(),
        Body::DeregisterProxyPort(body) => Claimed::Port {
            port: &body.port_id.ident,
        }
        .lane(),
        Body::RegisterLun(body) | Body::DeregisterLun(body) | Body::LunActive(body) => {
            Claimed::LogicalUnit {
                lun_id: &body.lun_id,
            }
            .lane()
        }
        Body::ScsiCommand(body) => Claimed::Command {
            session_id: body.session_id,
            task_msgid: body.task_msgid,
            target: &body.tgt_devid.ident,
            initiator: &initiator,
            lun_id: &body.lun_id,
            lun: body.task_lun_no,
        }
        .lane(),
        Body::ScsiData(body) => Claimed::Answer {
            session_id: body.session_id,
            task_msgid: body.task_msgid,
            lun_id: &body.lun_id,
        }
        .lane(),
        Body::ScsiStatus(body) => Claimed::Answer {
            session_id: body.session_id,
            task_msgid: body.task_msgid,
            lun_id: &body.lun_id,
        }
        .lane(),
        Body::ScsiDataTransferDone(body) => Claimed::TransferDone {
            session_id: body.session_id,
            task_msgid: body.task_msgid,
        }
        .lane(),
        Body::ReadyToTransfer(body) => Claimed::ReadyToTransfer {
            session_id: body.session_id,
            task_msgid: body.task_msgid,
        }
        .lane(),
        Body::Status(body) => Claimed::Status {
            status_msgid: body.status_msgid,
        }
        .lane(),
        Body::SessionCreate(body) | Body::SessionDestroy(body) => Claimed::Session {
            session_id: body.session_id,
            target: &body.tgt_devid.ident,
            initiator: &initiator,
        }
        .lane(),
        Body::EchoRequest(_) | Body::EchoReply(_) => Claimed::Echo.lane(),
    }
}
