// SPDX-License-Identifier: MPL-2.0
//! What stands at arrows and notes.

use crate::report::thousands;
use crate::scsi::{Completion, Sense, Status, opcode};
use stmf_proxy::message::{Body, Dialect, Message, Peek, Subject, peek};
use stmf_proxy::status::Errno;
use stmf_proxy::trace::{ConnectionEnd, LuAccess};

/// The CDB of a command in a message, of either dialect.
pub(super) fn cdb_of(bytes: &[u8]) -> Option<Vec<u8>> {
    let decoded = Message::decode(bytes, Dialect::Current)
        .or_else(|_| Message::decode(bytes, Dialect::Y2009))
        .ok()?;
    match decoded.body {
        Body::ScsiCommand(command) => Some(command.task_cdb),
        _ => None,
    }
}

/// The type of a message, the number by which one follows it, and of a command what it is.
pub(super) fn label(bytes: &[u8], cdb: Option<&[u8]>) -> String {
    let Some(peek) = peek(bytes) else {
        return "unreadable message".into();
    };
    let label = short_label(&peek);
    match cdb {
        Some(cdb) if !cdb.is_empty() && !label.contains(" tm ") => {
            format!("{label} {}", opcode::name(cdb))
        }
        _ => label,
    }
}

fn short_label(peek: &Peek<'_>) -> String {
    let name = peek.message_type.name();
    let number = match peek.subject {
        Subject::Task { task_msgid, .. } => task_msgid,
        Subject::Session { session_id, .. } => session_id,
        Subject::Answer { msgid, .. } => msgid,
        _ => peek.msgid,
    };
    // Task management messages are told by the highest bit of their number.
    match number >> 63 {
        0 => format!("{name} {}", id(number)),
        _ => format!("{name} tm {}", id(number & !(1 << 63))),
    }
}

/// A number that tells things apart. Small ones are decimal; kernels that use addresses or random
/// numbers have large ones, which are hexadecimal.
pub(super) fn id(number: u64) -> String {
    match number {
        0..=999_999 => number.to_string(),
        _ => format!("{number:#x}"),
    }
}

/// A command of an initiator, with the initiator's number unless that is 0.
pub(super) fn tag(initiator: u32, tag: u64) -> String {
    match initiator {
        0 => format!("#{}", id(tag)),
        _ => format!("i{initiator} #{}", id(tag)),
    }
}

/// How a command ended.
pub(super) fn ending(status: u8, sense: &[u8], length: u64) -> (String, bool) {
    let completion = Completion {
        status: Status(status),
        sense: Sense::from_bytes(sense),
    };
    let words = match (completion.sense, length) {
        (Some(sense), _) => format!("{:02X}/{:02X}/{:02X}", sense.key.0, sense.asc, sense.ascq),
        (None, 0) => completion.status.to_string(),
        (None, length) => format!("{} {}", completion.status, thousands(length)),
    };
    (words, completion.is_good())
}

/// The name of an error number, or the number of one without name.
pub(super) fn errno(number: i32) -> String {
    let text = Errno::from_number(number).to_string();
    match text.split_once(" (") {
        Some((name, _)) => name.to_owned(),
        None => text,
    }
}

/// What the door server answered.
pub(super) fn answer(result: u32) -> String {
    match i32::try_from(result) {
        Ok(number) => errno(number),
        Err(_) => result.to_string(),
    }
}

/// How a connection ended.
pub(super) fn end(end: ConnectionEnd) -> &'static str {
    match end {
        ConnectionEnd::Closed => "closed",
        ConnectionEnd::Reset => "reset",
        ConnectionEnd::Refused => "refused",
        ConnectionEnd::NoAnswer => "no answer",
    }
}

/// What a LU is now.
pub(super) fn access(access: LuAccess) -> &'static str {
    match access {
        LuAccess::Standby => "standby",
        LuAccess::Active => "active",
        LuAccess::Gone => "gone",
    }
}

/// The last digits of a LU's id.
pub(super) fn lu(lu: [u8; 16]) -> String {
    let end: String = lu[12..].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("LU ..{end}")
}
