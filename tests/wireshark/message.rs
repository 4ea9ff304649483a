// SPDX-License-Identifier: MPL-2.0
//! Compares what is shown of a message with its JSON form, field by field.

use super::tshark::Packet;
use serde_json::Value;
use std::collections::BTreeSet;
use stmf_proxy::message::{Message, MessageType};

/// How a value stands in the JSON form of a message, and so how it is compared.
#[derive(Clone, Copy)]
enum Form {
    /// An integer, in any base.
    Number,
    /// Bytes in hexadecimal.
    Bytes,
    /// A string of the characters U+0000 to U+00FF.
    Text,
    /// A device id: an object.
    Device,
    /// A transport id, which the 2009 dialect does without.
    Transport,
}
use Form::*;

const LUN: &[(&str, Form)] = &[
    ("lun_id", Bytes),
    ("lu_provider_name", Text),
    ("cb_arg", Bytes),
];
const SESSION: &[(&str, Form)] = &[
    ("ini_devid", Device),
    ("tgt_devid", Device),
    ("rport", Transport),
    ("session_id", Number),
];
const ECHO: &[(&str, Form)] = &[("data", Bytes)];
const DEVICE: &[(&str, Form)] = &[
    ("protocol_id", Number),
    ("code_set", Number),
    ("piv", Number),
    ("association", Number),
    ("ident_type", Number),
    ("ident", Bytes),
];

/// The fields of a message: those of its JSON form have the same names in filters, behind
/// `stmf.` and the name of the message.
fn fields(message_type: MessageType) -> &'static [(&'static str, Form)] {
    match message_type {
        MessageType::RegisterProxyPort => &[
            ("port_id", Device),
            ("relative_port_id", Number),
            ("cb_arg", Bytes),
        ],
        MessageType::DeregisterProxyPort => &[("port_id", Device), ("cb_arg", Bytes)],
        MessageType::RegisterLun | MessageType::DeregisterLun | MessageType::LunActive => LUN,
        MessageType::ScsiCommand => &[
            ("task_msgid", Number),
            ("ini_devid", Device),
            ("tgt_devid", Device),
            ("rport", Transport),
            ("lun_id", Bytes),
            ("session_id", Number),
            ("task_lun_no", Bytes),
            ("task_expected_xfer_length", Number),
            ("task_cdb", Bytes),
            ("task_flags", Number),
            ("task_priority", Number),
            ("task_mgmt_function", Number),
            ("immed_data", Bytes),
        ],
        MessageType::ScsiData => &[
            ("task_msgid", Number),
            ("session_id", Number),
            ("lun_id", Bytes),
            ("data", Bytes),
        ],
        MessageType::ScsiDataTransferDone => &[
            ("task_msgid", Number),
            ("session_id", Number),
            ("status", Number),
        ],
        MessageType::ScsiStatus => &[
            ("task_msgid", Number),
            ("session_id", Number),
            ("lun_id", Bytes),
            ("response", Number),
            ("status", Number),
            ("flags", Number),
            ("resid", Number),
            ("sense", Bytes),
        ],
        MessageType::ReadyToTransfer => &[
            ("task_msgid", Number),
            ("session_id", Number),
            ("offset", Number),
            ("length", Number),
        ],
        MessageType::Status => &[
            ("status_msg_type", Number),
            ("status_msgid", Number),
            ("status", Number),
        ],
        MessageType::SessionCreate | MessageType::SessionDestroy => SESSION,
        MessageType::EchoRequest | MessageType::EchoReply => ECHO,
    }
}

/// The field that says how long a field of bytes is, where there is one.
fn length_field(message_type: MessageType, field: &str) -> Option<&'static str> {
    Some(match (message_type, field) {
        (_, "cb_arg") => "cb_arg_len",
        (_, "task_cdb") => "task_cdb_length",
        (_, "immed_data") => "immed_data_len",
        (MessageType::ScsiData, "data") => "data_len",
        (_, "data") => "datalen",
        (_, "sense") => "sense_len",
        (_, "ident") => "ident_length",
        _ => return None,
    })
}

/// Characters without a shape are shown as `\xNN`.
fn as_shown(text: &str) -> String {
    let shown = |character: char| match character {
        '\0'..='\x1F' | '\x7F'..='\u{9F}' => format!("\\x{:02x}", u32::from(character)),
        other => other.to_string(),
    };
    text.chars().map(shown).collect()
}

/// Checks that a packet shows one value.
fn check_value(packet: &Packet, name: &str, form: Form, value: &Value, what: &str) {
    match form {
        Number => {
            let expected = value.as_u64().expect("a number");
            assert_eq!(packet.number(name), Some(expected), "{what}: {name}");
        }
        Bytes => {
            let expected = value.as_str().expect("hexadecimal");
            let shown = packet.value(name).unwrap_or_default().replace(':', "");
            assert_eq!(shown, expected, "{what}: {name}");
        }
        Text => {
            let expected = as_shown(value.as_str().expect("text"));
            assert_eq!(packet.value(name), Some(&*expected), "{what}: {name}");
        }
        Device => {
            let object = value.as_object().expect("a device id");
            assert!(packet.has(name), "{what}: {name}");
            check_object(packet, MessageType::Status, name, DEVICE, object, what);
        }
        Transport => {
            assert!(packet.has(name), "{what}: {name}");
            check_value(packet, &format!("{name}.id"), Bytes, value, what);
            let length = Value::from(value.as_str().map_or(0, |text| text.len() / 2));
            check_value(packet, &format!("{name}.size"), Number, &length, what);
        }
    }
}

/// Checks that a packet shows all fields of a JSON object, which has those of the table and no
/// others.
fn check_object(
    packet: &Packet,
    message_type: MessageType,
    prefix: &str,
    table: &[(&str, Form)],
    object: &serde_json::Map<String, Value>,
    what: &str,
) {
    let known: BTreeSet<&str> = table.iter().map(|(name, _)| *name).collect();
    let given: BTreeSet<&str> = object.keys().map(|name| &**name).collect();
    let unknown: Vec<_> = given.difference(&known).collect();
    assert!(unknown.is_empty(), "{what}: not in the table: {unknown:?}");
    for (name, form) in table {
        let Some(value) = object.get(*name) else {
            assert!(matches!(form, Transport), "{what}: {name} is missing");
            continue;
        };
        check_value(packet, &format!("{prefix}.{name}"), *form, value, what);
        if let Some(length) = length_field(message_type, name) {
            let bytes = value.as_str().map_or(0, |text| text.len() / 2);
            let name = format!("{prefix}.{length}");
            check_value(packet, &name, Number, &Value::from(bytes), what);
        }
    }
}

/// Checks that a packet shows a message as the library decodes it. `priority` is what was sent,
/// where that is known.
pub fn check_message(packet: &Packet, message: &Message, priority: Option<u8>, what: &str) {
    let json = serde_json::to_value(message).expect("a message has a JSON form");
    let Value::Object(mut object) = json else {
        panic!("{what}: not an object");
    };
    let message_type = message.message_type();
    object.remove("type");
    let msgid = object.remove("msgid").expect("every message has one");
    check_value(packet, "stmf.msg.msgid", Number, &msgid, what);
    let number = Value::from(message_type.number());
    check_value(packet, "stmf.msg.type", Number, &number, what);
    let mut table = fields(message_type).to_vec();
    // Kernels do not look at the priority, so decoding gives 0; the dissector shows what is
    // there, if it is there.
    if object.contains_key("task_priority") {
        match priority {
            Some(priority) => object["task_priority"] = priority.into(),
            None => {
                object.remove("task_priority");
                table.retain(|(name, _)| *name != "task_priority");
            }
        }
    }
    let prefix = format!("stmf.{}", message_type.name());
    check_object(packet, message_type, &prefix, &table, &object, what);
}
