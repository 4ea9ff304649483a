// SPDX-License-Identifier: MPL-2.0
//! What findings call things.

use super::describe::{About, Summary};
use crate::scsi::{Completion, Sense, Status};
use stmf_proxy::message::status::task_management;
use stmf_proxy::message::{Body, Message, hex};
use stmf_proxy::trace::NodeId;

/// The other node of a pair.
pub(super) fn peer(node: NodeId) -> NodeId {
    node ^ 1
}

/// A name of a port as people write it.
pub(super) fn port_name(ident: &[u8]) -> String {
    ident.escape_ascii().to_string()
}

/// An LU by its id.
pub(super) fn lu_name(lu: &[u8; 16]) -> String {
    format!("LU {}", hex::encode(lu))
}

/// A SCSI status with its sense, as "CHECK CONDITION 05/21/00".
pub(super) fn completion(status: u8, sense: &[u8]) -> String {
    let completion = Completion {
        status: Status(status),
        sense: Sense::from_bytes(sense),
    };
    completion.to_string()
}

/// A task management function.
pub(super) fn function_name(function: u8) -> String {
    match task_management::name(function) {
        Some(name) => name.to_string(),
        None => format!("task management function {function}"),
    }
}

/// Which message, in few words, as "scsi_data (task 0x7)".
pub(super) fn message_name(message: &Summary) -> String {
    let (name, about) = match message {
        Summary::Unread(_) => return "a message".to_string(),
        Summary::Read {
            message_type,
            about,
            ..
        } => (message_type, about),
    };
    match about {
        About::Port(ident) => format!("{name} ({})", port_name(ident)),
        About::Lun(lu) => format!("{name} ({})", lu_name(lu)),
        About::Session(session) => format!("{name} (session {session})"),
        About::Task { task, .. } => format!("{name} (task {task:#x})"),
        About::Answer { msgid, .. } => format!("{name} (of message {msgid})"),
        About::Nothing => name.to_string(),
    }
}

/// A command of a message, as "LUN reset, task 0x7".
pub(super) fn command_name(message: &Message) -> Option<String> {
    let Body::ScsiCommand(command) = &message.body else {
        return None;
    };
    let what = match command.task_mgmt_function {
        0 => crate::scsi::opcode::name(&command.task_cdb).to_string(),
        function => function_name(function),
    };
    Some(format!("{what}, task {:#x}", command.task_msgid))
}
