// SPDX-License-Identifier: MPL-2.0
//! Messages made by hand, for what chance would need luck to find: damage everywhere, the order
//! in which fields are refused, dialects, and what does not fit.

use super::decode::general;
use super::properties::{expected_peek, told};
use super::*;
use crate::nvlist::{Data, DataType, Field, pack};

/// A message of each type that has a short way.
fn usual_messages() -> Vec<Message> {
    let device = |name: &[u8]| DeviceId {
        protocol_id: 5,
        code_set: 2,
        piv: 1,
        association: 1,
        ident_type: 8,
        ident: name.to_vec(),
    };
    let command = ScsiCommand {
        task_msgid: 1,
        ini_devid: device(b"initiator"),
        tgt_devid: device(b""),
        rport: Some(b"\x05\x80".to_vec()),
        lun_id: [0x60; 16],
        session_id: 3,
        task_lun_no: [0xFE; 8],
        task_expected_xfer_length: 512,
        task_cdb: vec![0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0],
        task_flags: 0xA1,
        task_priority: 0,
        task_mgmt_function: 0,
        immed_data: vec![0x7F, 0x80],
    };
    let bodies = [
        Body::ScsiCommand(ScsiCommand {
            task_cdb: vec![],
            immed_data: vec![],
            ..command.clone()
        }),
        Body::ScsiCommand(command),
        Body::ScsiData(ScsiData {
            task_msgid: 1,
            session_id: 3,
            lun_id: [0x60; 16],
            data: vec![1, 0x80],
        }),
        Body::ScsiDataTransferDone(ScsiDataTransferDone {
            task_msgid: 1,
            session_id: 3,
            status: status::ABORTED,
        }),
        Body::ScsiStatus(ScsiStatus {
            task_msgid: 1,
            session_id: 3,
            lun_id: [0x60; 16],
            response: 0,
            status: 2,
            flags: 2,
            resid: 3,
            sense: vec![0x70, 0, 5],
        }),
        Body::Status(Status {
            status_msg_type: 2,
            status_msgid: 9,
            status: 0,
        }),
    ];
    bodies.map(|body| Message { msgid: 7, body }).into()
}

#[test]
fn usual_messages_take_the_short_way() {
    for message in usual_messages() {
        let wire = message.encode(Dialect::Current).expect("it can be sent");
        let short = canonical::decode(&wire, Dialect::Current, &Limits::DEFAULT);
        assert_eq!(short.as_ref(), Some(&message));
        assert!(canonical::peek(&wire).is_some());
        assert_eq!(peek(&wire).map(told), Some(expected_peek(&message)));
    }
}

/// Where random damage would need luck: every bit, and every word by every other that means
/// something.
#[test]
fn the_short_way_agrees_wherever_the_damage_is() {
    let agree = |wire: &[u8], what: &dyn Fn() -> String| {
        for dialect in [Dialect::Current, Dialect::Y2009] {
            let general = general(wire, dialect, &Limits::DEFAULT);
            let ours = Message::decode(wire, dialect);
            assert_eq!(ours, general, "{}", what());
            if let Ok(message) = ours {
                let seen = peek(wire).map(told);
                let mut expected = expected_peek(&message);
                if dialect == Dialect::Y2009 {
                    // A look knows no dialect: it takes a transport id that the old one skips.
                    expected.initiator = seen.as_ref().and_then(|seen| seen.initiator.clone());
                }
                assert_eq!(seen, Some(expected), "{}", what());
            }
        }
    };
    for message in usual_messages() {
        let mut wire = message.encode(Dialect::Current).expect("it can be sent");
        let name = message.message_type();
        for bit in 0..8 * wire.len() {
            wire[bit / 8] ^= 1 << (bit % 8);
            agree(&wire, &|| format!("{name}, bit {bit}"));
            wire[bit / 8] ^= 1 << (bit % 8);
        }
        for at in (0..wire.len()).step_by(4) {
            let kept: [u8; 4] = wire[at..at + 4].try_into().expect("whole words");
            for word in [0, 1, 2, 15, 19, 23, 26, u32::MAX, 0x7FFF_FFFF, 0x4000_0000] {
                wire[at..at + 4].copy_from_slice(&word.to_be_bytes());
                agree(&wire, &|| format!("{name}, byte {at}, word {word:#x}"));
            }
            wire[at..at + 4].copy_from_slice(&kept);
        }
        for length in 0..wire.len() {
            agree(&wire[..length], &|| format!("{name}, cut to {length}"));
        }
    }
}

#[test]
fn what_could_not_be_encoded_is_refused_both_ways() {
    for size in 0..4 {
        let mut message = usual_messages().swap_remove(1);
        if let Body::ScsiCommand(command) = &mut message.body {
            command.rport = Some(vec![0x80; size]);
        }
        let mut wire = Vec::new();
        message.write(Dialect::Current, &mut wire);
        let decoded = Message::decode(&wire, Dialect::Current);
        assert_eq!(decoded, general(&wire, Dialect::Current, &Limits::DEFAULT));
        assert_eq!(decoded.is_ok(), size >= 2, "transport id of {size}");
        assert_eq!(message.encode(Dialect::Current).is_ok(), size >= 2);
    }
    let mut message = usual_messages().swap_remove(2);
    if let Body::ScsiData(data) = &mut message.body {
        data.data.clear();
    }
    let wire = message.encode(Dialect::Current).expect("it can be sent");
    let error = Message::decode(&wire, Dialect::Current).expect_err("no data");
    let problem = error.field().map(|error| error.problem);
    assert_eq!(problem, Some(FieldProblem::NoData));
    // The look does not go as far as the data.
    assert_eq!(peek(&wire).map(told), Some(expected_peek(&message)));
}

/// The fields of a session message, all of them sound; tests spoil some.
fn session_fields<'a>(device: &'a [Field<'a>], transport: &'a [Field<'a>]) -> Vec<Field<'a>> {
    let field = |name: &'static str, data| Field {
        name: name.as_bytes(),
        data,
    };
    vec![
        field("icm_msg_type", Data::Uint8(10)),
        field("icm_msgid", Data::Uint64(1)),
        field("icscd_ini_devid", Data::Nvlist(device)),
        field("icscd_tgt_devid", Data::Nvlist(device)),
        field("icscd_rport", Data::Nvlist(transport)),
        field("icscd_session_id", Data::Uint64(5)),
    ]
}

fn fields<'a>(data: &[(&'static str, Data<'a>)]) -> Vec<Field<'a>> {
    let field = |(name, data): &(&'static str, Data<'a>)| Field {
        name: name.as_bytes(),
        data: *data,
    };
    data.iter().map(field).collect()
}

fn decode_fields(fields: &[Field<'_>], dialect: Dialect) -> Result<Message, DecodeError> {
    let mut wire = Vec::new();
    pack(fields, &mut wire).expect("it can be packed");
    Message::decode(&wire, dialect)
}

const DEVICE: [(&str, Data<'_>); 7] = [
    ("protocol_id", Data::Uint8(0x15)),
    ("code_set", Data::Uint8(0x22)),
    ("piv", Data::Uint8(3)),
    ("association", Data::Uint8(5)),
    ("ident_type", Data::Uint8(0xF8)),
    ("ident_length", Data::Uint8(1)),
    ("ident", Data::Uint8Array(b"i")),
];

#[test]
fn fields_are_refused_in_the_order_of_kernels() {
    let device = fields(&DEVICE);
    let transport = fields(&[
        ("rport_tptid_sz", Data::Uint16(2)),
        ("rport_tptid", Data::Uint8Array(b"ab")),
    ]);
    let mut message = session_fields(&device, &transport);
    let decoded = decode_fields(&message, Dialect::Current).expect("sound");
    let Body::SessionCreate(session) = decoded.body else {
        panic!("{decoded:?}");
    };
    // Only so many low bits are kept.
    let DeviceId {
        protocol_id,
        code_set,
        piv,
        association,
        ident_type,
        ..
    } = session.ini_devid;
    let kept = (protocol_id, code_set, piv, association, ident_type);
    assert_eq!(kept, (5, 2, 1, 1, 8));

    // From the last field that is looked up to the first, spoil one more: always that one is
    // told.
    for name in [
        "icscd_rport",
        "icscd_tgt_devid",
        "icscd_ini_devid",
        "icscd_session_id",
    ] {
        for field in &mut message {
            if field.name == name.as_bytes() {
                field.data = Data::Int8(1);
            }
        }
        let error = decode_fields(&message, Dialect::Current).expect_err("spoiled");
        let error = error.field().expect("the list is sound").clone();
        assert_eq!((error.field, error.inner), (name, None));
        assert_eq!(error.message_type, Some(MessageType::SessionCreate));
        let found = matches!(
            error.problem,
            FieldProblem::WrongType {
                found: DataType::Int8,
                ..
            }
        );
        assert!(found, "{error}");
        assert!(
            error.offset.is_some_and(|offset| offset % 4 == 0),
            "{error}"
        );
    }
}

#[test]
fn a_short_transport_id_is_refused_and_the_old_dialect_does_not_look() {
    let device = fields(&DEVICE);
    for size in [0, 1] {
        let id = vec![7; size];
        let transport = fields(&[
            ("rport_tptid_sz", Data::Uint16(size as u16)),
            ("rport_tptid", Data::Uint8Array(&id)),
        ]);
        let message = session_fields(&device, &transport);
        let error = decode_fields(&message, Dialect::Current).expect_err("short");
        let error = error.field().expect("the list is sound");
        assert_eq!(error.field, "icscd_rport");
        assert_eq!(error.inner, Some("rport_tptid_sz"));
        let found = size as u16;
        assert_eq!(error.problem, FieldProblem::ShortTransportId { found });
        assert!(decode_fields(&message, Dialect::Y2009).is_ok());
    }
}

#[test]
fn an_empty_command_is_refused_by_the_old_dialect_only() {
    let id = DeviceId::default();
    let command = ScsiCommand {
        task_msgid: 1,
        ini_devid: id.clone(),
        tgt_devid: id,
        rport: None,
        lun_id: [0; 16],
        session_id: 1,
        task_lun_no: [0; 8],
        task_expected_xfer_length: 0,
        task_cdb: Vec::new(),
        task_flags: 0,
        task_priority: 0,
        task_mgmt_function: status::task_management::LUN_RESET,
        immed_data: Vec::new(),
    };
    let mut message = Message {
        msgid: 1,
        body: Body::ScsiCommand(command),
    };
    let wire = message.encode(Dialect::Y2009).expect("it can be sent");
    let error = Message::decode(&wire, Dialect::Y2009).expect_err("empty");
    let problem = error.field().map(|error| error.problem);
    assert_eq!(problem, Some(FieldProblem::EmptyCommand));
    // A kernel of today misses the transport id, and says so before anything behind it.
    let error = Message::decode(&wire, Dialect::Current).expect_err("no transport id");
    assert_eq!(error.field().map(|error| error.field), Some("icsc_rport"));

    if let Body::ScsiCommand(command) = &mut message.body {
        command.rport = Some(vec![1, 2]);
    }
    let wire = message.encode(Dialect::Current).expect("it can be sent");
    assert_eq!(Message::decode(&wire, Dialect::Current), Ok(message));
}

#[test]
fn what_does_not_fit_is_not_encoded() {
    let echo = |data| Message {
        msgid: 1,
        body: Body::EchoReply(EchoReply { data }),
    };
    assert!(echo(vec![0; 1]).encode(Dialect::Current).is_ok());
    let port = |port_id, cb_arg| Message {
        msgid: 1,
        body: Body::DeregisterProxyPort(DeregisterProxyPort { port_id, cb_arg }),
    };
    let id = |ident_type, length| DeviceId {
        ident_type,
        ident: vec![0x80; length],
        ..DeviceId::default()
    };
    let fits = port(id(15, 255), vec![0xFF; 65_535]);
    let wire = fits.encode(Dialect::Current).expect("it fits");
    assert_eq!(Message::decode(&wire, Dialect::Current), Ok(fits));
    let cases = [
        (
            port(id(16, 0), vec![]),
            "ident_type: 16 does not fit in 4 bits",
        ),
        (
            port(id(0, 256), vec![]),
            "ident: 256 bytes; the most is 255",
        ),
        (
            port(id(0, 0), vec![0; 65_536]),
            "icdp_cb_arg: 65536 bytes; the most is 65535",
        ),
    ];
    for (message, expected) in cases {
        let mut out = vec![1];
        let error = message
            .encode_into(Dialect::Current, &mut out)
            .expect_err(expected);
        assert_eq!(error.to_string(), expected);
        assert_eq!(out, [1], "nothing was appended");
    }
}
