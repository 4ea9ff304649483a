// SPDX-License-Identifier: MPL-2.0
//! What a message says: in a few words, and field by field. The names of fields are those of
//! the JSON form of messages.

use super::text;
use crate::scsi::{self, Sense, opcode};
use stmf_proxy::message::status::{self, residual_flags, task_flags, task_management};
use stmf_proxy::message::{Body, DeviceId, Message, MessageType, hex};

/// The most bytes of a byte string that are shown as digits.
const SHORT: usize = 32;

/// A command in words, as `READ(10) lba 8, 16 blocks`.
pub(crate) fn cdb(cdb: &[u8]) -> String {
    use opcode::*;
    let name = opcode::name(cdb);
    let number = |at, width| scsi::be(cdb, at, width);
    let (lba, blocks) = match cdb.first().copied() {
        Some(READ_6 | WRITE_6) => (
            number(1, 3) & 0x1F_FFFF,
            match number(4, 1) {
                0 => 256,
                blocks => blocks,
            },
        ),
        Some(READ_10 | WRITE_10 | VERIFY_10 | SYNCHRONIZE_CACHE_10 | 0x2e | 0x41) => {
            (number(2, 4), number(7, 2))
        }
        Some(READ_12 | WRITE_12 | VERIFY_12) => (number(2, 4), number(6, 4)),
        Some(READ_16 | WRITE_16 | VERIFY_16 | SYNCHRONIZE_CACHE_16 | 0x93) => {
            (number(2, 8), number(10, 4))
        }
        Some(0x89) => (number(2, 8), number(13, 1)),
        Some(INQUIRY) if number(1, 1) & 1 != 0 => {
            return format!("{name} page {:02X}h", number(2, 1));
        }
        Some(MODE_SENSE_6 | MODE_SENSE_10) => {
            return format!("{name} page {:02X}h", number(2, 1) & 0x3F);
        }
        Some(START_STOP_UNIT) => {
            let verb = if number(4, 1) & 1 == 0 {
                "stop"
            } else {
                "start"
            };
            return format!("{name}, {verb}");
        }
        // What is not known by name is known by number.
        Some(code) if name.ends_with(" command") => return format!("{name} {code:02X}h"),
        _ => return name.to_owned(),
    };
    format!("{name} lba {lba}, {}", text::count(blocks, "block"))
}

/// A SCSI status with its sense data in words, the most important first.
pub(crate) fn scsi_status(status: u8, sense: &[u8]) -> String {
    let status = scsi::Status(status).to_string();
    let Some(sense) = Sense::from_bytes(sense) else {
        return match sense {
            [] => status,
            _ => format!("{status}, sense {}", hex::encode(sense)),
        };
    };
    let Sense { key, asc, ascq } = sense;
    let meaning = sense
        .meaning()
        .map_or(String::new(), |meaning| format!(", {meaning}"));
    format!("{status} {:02X}/{asc:02X}/{ascq:02X} {key}{meaning}", key.0)
}

/// What a residual says.
pub(crate) fn residual(flags: u8, residual: u32) -> Option<String> {
    let bytes = text::count(residual.into(), "byte");
    match flags & (residual_flags::OVERFLOW | residual_flags::UNDERFLOW) {
        0 => None,
        residual_flags::OVERFLOW => Some(format!("{bytes} too many")),
        residual_flags::UNDERFLOW => Some(format!("{bytes} short")),
        _ => Some(format!("{bytes} residual")),
    }
}

/// A 64-bit status of messages, by name where it has one.
pub(crate) fn stmf_status(status: u64) -> String {
    status::name(status).map_or_else(|| format!("{status:#x}"), str::to_owned)
}

/// Task flags in words.
pub(crate) fn task_flags(flags: u8) -> String {
    let mut names = Vec::new();
    for (bit, name) in [
        (task_flags::INITIAL_BURST, "initial burst"),
        (task_flags::READ_DATA, "reads"),
        (task_flags::WRITE_DATA, "writes"),
    ] {
        if flags & bit != 0 {
            names.push(name);
        }
    }
    names.push(match flags & task_flags::ATTRIBUTE_MASK {
        task_flags::UNTAGGED => "untagged",
        task_flags::SIMPLE => "simple",
        task_flags::ORDERED => "ordered",
        task_flags::HEAD_OF_QUEUE => "head of queue",
        task_flags::ACA => "ACA",
        _ => "unknown attribute",
    });
    format!("{flags:#04x} {}", names.join(", "))
}

/// A task management function by name.
pub(crate) fn function(function: u8) -> String {
    task_management::name(function).map_or_else(|| format!("function {function}"), str::to_owned)
}

fn answered_type(number: u8) -> String {
    MessageType::from_number(number).map_or_else(
        || format!("message type {number}"),
        |kind| kind.name().to_owned(),
    )
}

/// Whether a message says that something went wrong.
pub(crate) fn tells_of_failure(message: &Message) -> bool {
    match &message.body {
        Body::ScsiStatus(body) => body.status != 0 || body.response != 0,
        Body::ScsiDataTransferDone(body) => body.status != 0,
        Body::Status(body) => body.status != 0,
        _ => false,
    }
}

/// A message in a few words: its type, what it is about, what it says of that.
pub(crate) fn summary(message: &Message) -> String {
    let name = message.message_type().name();
    let task = |task: u64| format!("{name} task {}", text::id(task));
    let bytes = |bytes: &[u8]| text::count(bytes.len() as u64, "byte");
    match &message.body {
        Body::RegisterProxyPort(body) => format!(
            "{name} {}: {}",
            body.relative_port_id,
            text::quoted(&body.port_id.ident)
        ),
        Body::DeregisterProxyPort(body) => {
            format!("{name} {}", text::quoted(&body.port_id.ident))
        }
        Body::RegisterLun(body) | Body::DeregisterLun(body) | Body::LunActive(body) => {
            format!("{name} {}", hex::encode(&body.lun_id))
        }
        Body::ScsiCommand(body) => {
            let mut words = task(body.task_msgid);
            words += ": ";
            words += &match (body.task_mgmt_function, &*body.task_cdb) {
                (0, bytes) => cdb(bytes),
                (number, _) => function(number),
            };
            words += &format!(", lun {}", text::lun(&body.task_lun_no));
            if !body.immed_data.is_empty() {
                words += &format!(", with {}", bytes(&body.immed_data));
            }
            words
        }
        Body::ScsiData(body) => format!("{}: {}", task(body.task_msgid), bytes(&body.data)),
        Body::ScsiDataTransferDone(body) => {
            format!("{}: {}", task(body.task_msgid), stmf_status(body.status))
        }
        Body::ScsiStatus(body) => {
            let mut words = task(body.task_msgid);
            words += ": ";
            words += &scsi_status(body.status, &body.sense);
            if let Some(residual) = residual(body.flags, body.resid) {
                words += &format!(", {residual}");
            }
            if body.response != 0 {
                words += &format!(", response {:#04x}", body.response);
            }
            words
        }
        Body::ReadyToTransfer(body) => format!(
            "{}: {} from {}",
            task(body.task_msgid),
            text::count(body.length.into(), "byte"),
            body.offset
        ),
        Body::Status(body) => format!(
            "{name} of {} {}: {}",
            answered_type(body.status_msg_type),
            text::id(body.status_msgid),
            stmf_status(body.status)
        ),
        Body::SessionCreate(body) | Body::SessionDestroy(body) => format!(
            "{name} {}: {} to {}",
            text::id(body.session_id),
            text::quoted(&body.ini_devid.ident),
            text::quoted(&body.tgt_devid.ident)
        ),
        Body::EchoRequest(body) => format!("{name}: {}", bytes(&body.data)),
        Body::EchoReply(body) => format!("{name}: {}", bytes(&body.data)),
    }
}

/// Fields as they are collected.
pub(crate) type Fields = Vec<(String, String)>;

/// Appends a field.
pub(crate) fn push(fields: &mut Fields, name: &str, value: impl ToString) {
    fields.push((name.to_owned(), value.to_string()));
}

/// Bytes that are not data: digits, or length and digest if they are many.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    match bytes {
        [] => "none".to_owned(),
        short if short.len() <= SHORT => hex::encode(short),
        long => text::data(long),
    }
}

fn device_id(fields: &mut Fields, name: &str, id: &DeviceId) {
    let value = format!(
        "{} (protocol {}, code set {}, PIV {}, association {}, type {})",
        text::quoted(&id.ident),
        id.protocol_id,
        id.code_set,
        id.piv,
        id.association,
        id.ident_type
    );
    push(fields, name, value);
}

/// Every field of a message. `data` is what to say of the data in it.
pub(crate) fn all(message: &Message, data: impl Fn(&[u8]) -> String) -> Fields {
    let mut out = Fields::new();
    let fields = &mut out;
    push(fields, "message", message.message_type());
    push(fields, "msgid", text::id(message.msgid));
    let id = text::id;
    match &message.body {
        Body::RegisterProxyPort(body) => {
            device_id(fields, "port_id", &body.port_id);
            push(fields, "relative_port_id", body.relative_port_id);
            push(fields, "cb_arg", bytes(&body.cb_arg));
        }
        Body::DeregisterProxyPort(body) => {
            device_id(fields, "port_id", &body.port_id);
            push(fields, "cb_arg", bytes(&body.cb_arg));
        }
        Body::RegisterLun(body) | Body::DeregisterLun(body) | Body::LunActive(body) => {
            push(fields, "lun_id", hex::encode(&body.lun_id));
            push(
                fields,
                "lu_provider_name",
                text::quoted(&body.lu_provider_name),
            );
            push(fields, "cb_arg", bytes(&body.cb_arg));
        }
        Body::ScsiCommand(body) => {
            push(fields, "task_msgid", id(body.task_msgid));
            device_id(fields, "ini_devid", &body.ini_devid);
            device_id(fields, "tgt_devid", &body.tgt_devid);
            if let Some(rport) = &body.rport {
                push(fields, "rport", text::quoted(rport));
            }
            push(fields, "lun_id", hex::encode(&body.lun_id));
            push(fields, "session_id", id(body.session_id));
            push(fields, "task_lun_no", hex::encode(&body.task_lun_no));
            push(
                fields,
                "task_expected_xfer_length",
                body.task_expected_xfer_length,
            );
            let command = match &*body.task_cdb {
                [] => "none".to_owned(),
                some => format!("{} ({})", bytes(some), cdb(some)),
            };
            push(fields, "task_cdb", command);
            push(fields, "task_flags", task_flags(body.task_flags));
            push(fields, "task_priority", body.task_priority);
            let number = body.task_mgmt_function;
            push(
                fields,
                "task_mgmt_function",
                format!("{number} ({})", function(number)),
            );
            push(fields, "immed_data", data(&body.immed_data));
        }
        Body::ScsiData(body) => {
            push(fields, "task_msgid", id(body.task_msgid));
            push(fields, "session_id", id(body.session_id));
            push(fields, "lun_id", hex::encode(&body.lun_id));
            push(fields, "data", data(&body.data));
        }
        Body::ScsiDataTransferDone(body) => {
            push(fields, "task_msgid", id(body.task_msgid));
            push(fields, "session_id", id(body.session_id));
            push(fields, "status", stmf_status(body.status));
        }
        Body::ScsiStatus(body) => {
            push(fields, "task_msgid", id(body.task_msgid));
            push(fields, "session_id", id(body.session_id));
            push(fields, "lun_id", hex::encode(&body.lun_id));
            push(fields, "response", body.response);
            push(fields, "status", scsi::Status(body.status));
            push(fields, "flags", format!("{:#04x}", body.flags));
            push(fields, "resid", body.resid);
            push(fields, "sense", sense(&body.sense));
        }
        Body::ReadyToTransfer(body) => {
            push(fields, "task_msgid", id(body.task_msgid));
            push(fields, "session_id", id(body.session_id));
            push(fields, "offset", body.offset);
            push(fields, "length", body.length);
        }
        Body::Status(body) => {
            push(
                fields,
                "status_msg_type",
                answered_type(body.status_msg_type),
            );
            push(fields, "status_msgid", id(body.status_msgid));
            push(fields, "status", stmf_status(body.status));
        }
        Body::SessionCreate(body) | Body::SessionDestroy(body) => {
            device_id(fields, "ini_devid", &body.ini_devid);
            device_id(fields, "tgt_devid", &body.tgt_devid);
            if let Some(rport) = &body.rport {
                push(fields, "rport", text::quoted(rport));
            }
            push(fields, "session_id", id(body.session_id));
        }
        Body::EchoRequest(body) => push(fields, "data", data(&body.data)),
        Body::EchoReply(body) => push(fields, "data", data(&body.data)),
    }
    out
}

/// Sense data: digits, and what they mean.
pub(crate) fn sense(bytes_of_sense: &[u8]) -> String {
    let digits = bytes(bytes_of_sense);
    match Sense::from_bytes(bytes_of_sense) {
        Some(sense) => format!("{digits} ({sense})"),
        None => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_put_into_words() {
        let words = |bytes: &[u8]| cdb(bytes);
        assert_eq!(
            words(&[0x28, 0, 0, 0, 1, 0, 0, 0, 8, 0]),
            "READ(10) lba 256, 8 blocks"
        );
        assert_eq!(
            words(&[0x08, 0xE1, 0, 0, 0, 0]),
            "READ(6) lba 65536, 256 blocks"
        );
        assert_eq!(
            words(&[0x8a, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]),
            "WRITE(16) lba 4294967296, 1 block"
        );
        assert_eq!(words(&[0x12, 1, 0x83, 0, 255, 0]), "INQUIRY page 83h");
        assert_eq!(words(&[0x12, 0, 0, 0, 36, 0]), "INQUIRY");
        assert_eq!(words(&[0xa3, 0x0a]), "REPORT TARGET PORT GROUPS");
        assert_eq!(words(&[0xC5]), "vendor-specific command C5h");
        assert_eq!(words(&[0x28]), "READ(10) lba 0, 0 blocks");
        assert_eq!(words(&[]), "(no CDB)");
    }

    #[test]
    fn outcomes_are_put_into_words() {
        let standby = Sense::STANDBY.to_bytes();
        assert_eq!(
            scsi_status(2, &standby),
            "CHECK CONDITION 02/04/0B NOT READY, target port in standby state"
        );
        assert_eq!(scsi_status(2, &[1, 2]), "CHECK CONDITION, sense 0102");
        assert_eq!(scsi_status(0, &[]), "GOOD");
        assert_eq!(residual(0, 7), None);
        assert_eq!(residual(1, 1).as_deref(), Some("1 byte too many"));
        assert_eq!(residual(2, 4096).as_deref(), Some("4,096 bytes short"));
    }
}
