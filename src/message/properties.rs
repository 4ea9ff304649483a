// SPDX-License-Identifier: MPL-2.0
//! What holds for every message, and for every string of bytes.

use super::*;
use crate::message::decode::general;
use crate::nvlist::{Data, DataType, Field, pack};
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

/// The look that the fields of a decoded message promise.
fn expected_peek(message: &Message) -> Peek {
    let task = |session_id, task_msgid| Subject::Task {
        session_id,
        task_msgid,
    };
    let subject = match &message.body {
        Body::RegisterProxyPort(port) => Subject::Port(port.port_id.ident.clone()),
        Body::DeregisterProxyPort(port) => Subject::Port(port.port_id.ident.clone()),
        Body::RegisterLun(lun) | Body::DeregisterLun(lun) | Body::LunActive(lun) => {
            Subject::Lun(lun.lun_id)
        }
        Body::ScsiCommand(body) => task(body.session_id, body.task_msgid),
        Body::ScsiData(body) => task(body.session_id, body.task_msgid),
        Body::ScsiDataTransferDone(body) => task(body.session_id, body.task_msgid),
        Body::ScsiStatus(body) => task(body.session_id, body.task_msgid),
        Body::ReadyToTransfer(body) => task(body.session_id, body.task_msgid),
        Body::Status(body) => Subject::Answer {
            message_type: body.status_msg_type,
            msgid: body.status_msgid,
        },
        Body::SessionCreate(body) | Body::SessionDestroy(body) => Subject::Session {
            session_id: body.session_id,
        },
        Body::EchoRequest(_) | Body::EchoReply(_) => Subject::Nothing,
    };
    Peek {
        message_type: message.message_type(),
        msgid: message.msgid,
        subject,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_message_arrives((message, dialect) in message()) {
        let wire = message.encode(dialect).expect("it can be sent");
        prop_assert_eq!(message.encoded_len(dialect), Ok(wire.len()));
        prop_assert_eq!(Message::decode(&wire, dialect), Ok(received(&message)));
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
            prop_assert_eq!(seen, Some(expected_peek(&message)));
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
        assert_eq!(peek(&wire), Some(expected_peek(&message)));
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
                assert_eq!(peek(wire), Some(expected_peek(&message)), "{}", what());
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
    assert_eq!(peek(&wire), Some(expected_peek(&message)));
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
