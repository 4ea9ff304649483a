// SPDX-License-Identifier: MPL-2.0
//! Messages of the peer that a kernel does not understand.
//!
//! The kernel drops them with a line in its log; the peer hears nothing. The line follows the
//! post at once: the thread that posts does nothing else in between.

use super::text::{command_name, peer};
use super::{Finding, Found, Kind, Seen, Watcher};
use crate::kernel::pppt::MESSAGE_DROPPED;
use crate::world::trace::{Event, NodeId};
use stmf_proxy::message::{Body, Dialect, Message};
use stmf_proxy::time::Time;

/// The longest message that is kept to be named, in bytes. Commands are shorter.
const LONGEST_KEPT: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Refused {
    /// Where the last event was a post.
    posted: Option<NodeId>,
    message: Vec<u8>,
    length: usize,
}

impl Watcher for Refused {
    fn event(&mut self, record: &Seen<'_>, found: Found<'_>) {
        let posted = self.posted.take();
        match record.event {
            Event::Post { message, .. } => {
                self.posted = record.node;
                self.length = record.original_length();
                self.message.clear();
                if record.cut.is_none() && message.len() <= LONGEST_KEPT {
                    self.message.extend_from_slice(message);
                }
            }
            Event::KernelLog(line) => {
                let Some(problem) = line.strip_prefix(MESSAGE_DROPPED) else {
                    return;
                };
                if let Some(node) = posted.filter(|node| record.node == Some(*node)) {
                    found.push(Finding {
                        kind: Kind::RefusedMessage,
                        time: record.time,
                        node: Some(node),
                        text: self.text(node, problem),
                    });
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, _: Time, _: Found<'_>) {}
}

impl Refused {
    fn text(&self, node: NodeId, problem: &str) -> String {
        let sender = peer(node);
        let current = Message::decode(&self.message, Dialect::Current).ok();
        let old = Message::decode(&self.message, Dialect::Y2009).ok();
        let name = |message: &Message| match command_name(message) {
            Some(command) => format!("{} ({command})", message.message_type()),
            None => message.message_type().to_string(),
        };
        match (current, old) {
            (Some(message), None) => {
                let empty = matches!(&message.body, Body::ScsiCommand(c) if c.task_cdb.is_empty());
                let without = if empty { "without a CDB " } else { "" };
                let command = command_name(&message).map_or(String::new(), |c| format!("({c})"));
                format!(
                    "node {node} (dialect 2009) refused a {} of node {sender} {without}{command}: \
                     unmarshal failed: {problem}",
                    message.message_type(),
                )
            }
            (None, Some(message)) => format!(
                "node {node} refused a {} of node {sender}, which speaks the dialect of 2009: \
                 {problem}",
                name(&message)
            ),
            (Some(message), Some(_)) => format!(
                "node {node} refused a {} of node {sender}: {problem}",
                name(&message)
            ),
            (None, None) => format!(
                "node {node} refused a message of node {sender} of {} bytes, which is damaged: \
                 {problem}",
                self.length
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{findings, only};
    use super::*;
    use stmf_proxy::message::{DeviceId, ScsiCommand};

    fn reset() -> Message {
        Message {
            msgid: 1 << 63 | 1,
            body: Body::ScsiCommand(ScsiCommand {
                task_msgid: 1 << 63 | 1,
                ini_devid: DeviceId::default(),
                tgt_devid: DeviceId::default(),
                rport: Some(vec![0; 24]),
                lun_id: [0; 16],
                session_id: 1,
                task_lun_no: [0; 8],
                task_expected_xfer_length: 0,
                task_cdb: Vec::new(),
                task_flags: 1,
                task_priority: 0,
                task_mgmt_function: 5,
                immed_data: Vec::new(),
            }),
        }
    }

    #[test]
    fn a_refusal_names_the_message() {
        let message = reset().encode(Dialect::Current).unwrap();
        let post = Event::Post {
            post: 1,
            message: &message,
        };
        let line = format!("{MESSAGE_DROPPED}scsi_cmd: icsc_task_cdb: 0 bytes");
        let found = only(
            Refused::default(),
            &[(1, post), (1, Event::KernelLog(&line))],
        );
        assert_eq!(
            found.to_string(),
            "refused-message: node 1 (dialect 2009) refused a scsi_cmd of node 0 without a CDB \
             (LUN reset, task 0x8000000000000001): unmarshal failed: scsi_cmd: icsc_task_cdb: 0 \
             bytes"
        );
    }

    #[test]
    fn other_lines_and_what_is_taken_say_nothing() {
        let message = reset().encode(Dialect::Current).unwrap();
        let post = Event::Post {
            post: 1,
            message: &message,
        };
        let done = Event::PostDone {
            post: 1,
            outcome: Ok(()),
        };
        let found = findings(
            Refused::default(),
            &[
                (1, post),
                (1, Event::KernelLog("something else")),
                (1, done),
            ],
        );
        assert!(found.is_empty(), "{found:?}");
    }
}
