// SPDX-License-Identifier: MPL-2.0
//! What was carried, how often, and what went wrong: counted from the trace.

use super::trace::{Event, NodeId, Record, Sink};
use std::collections::BTreeMap;
use stmf_proxy::message::{MessageType, peek};
use stmf_proxy::status::Errno;

/// Messages of one type in one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// How many the kernel handed to its door and saw accepted.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What happened at the doors of one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DoorCounts {
    /// Calls of the kernel through the door, each attempt counted.
    pub upcalls: u64,
    /// Attempts after EAGAIN.
    pub retries: u64,
    /// Calls that the relay answered with another result than 0: messages lost.
    pub refused: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Messages posted.
    pub posts: u64,
    /// Bytes of these.
    pub post_bytes: u64,
    /// Posts that the kernel refused.
    pub posts_refused: u64,
    /// Lines in the kernel's log.
    pub kernel_lines: u64,
    /// Panics.
    pub panics: u64,
}

/// Counts of a run.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// By the node that sent, and the type; none for bytes that are no message.
    pub messages: BTreeMap<(NodeId, Option<u8>), Traffic>,
    /// By node.
    pub doors: BTreeMap<NodeId, DoorCounts>,
    /// Bytes on the link, by the node that sent.
    pub link_bytes: BTreeMap<NodeId, u64>,
    /// Commands of initiators.
    pub commands: u64,
    /// Bytes that initiators read.
    pub read_bytes: u64,
    /// Commands that timed out.
    pub timeouts: u64,
    /// Commands that targets gave up without a status.
    pub aborts: u64,
    /// Faults that hit something, by name ([`super::faults`]).
    pub faults: BTreeMap<String, u64>,
    /// Calls in progress: type and length of their messages.
    calls: BTreeMap<(NodeId, u64), (Option<u8>, u64)>,
}

impl Statistics {
    /// The counts of all nodes together.
    pub fn all_doors(&self) -> DoorCounts {
        self.doors
            .values()
            .fold(DoorCounts::default(), |sum, node| DoorCounts {
                upcalls: sum.upcalls + node.upcalls,
                retries: sum.retries + node.retries,
                refused: sum.refused + node.refused,
                failed: sum.failed + node.failed,
                posts: sum.posts + node.posts,
                post_bytes: sum.post_bytes + node.post_bytes,
                posts_refused: sum.posts_refused + node.posts_refused,
                kernel_lines: sum.kernel_lines + node.kernel_lines,
                panics: sum.panics + node.panics,
            })
    }

    /// All messages together.
    pub fn all_messages(&self) -> Traffic {
        self.messages
            .values()
            .fold(Traffic::default(), |sum, traffic| Traffic {
                count: sum.count + traffic.count,
                bytes: sum.bytes + traffic.bytes,
            })
    }

    /// The name of a type of message as [`Statistics::messages`] has it.
    pub fn type_name(number: Option<u8>) -> &'static str {
        number
            .and_then(MessageType::from_number)
            .map_or("(no message)", MessageType::name)
    }
}

impl Sink for Statistics {
    fn record(&mut self, record: &Record<'_>) {
        let node = record.node.unwrap_or(NodeId::MAX);
        match record.event {
            Event::Upcall {
                call,
                attempt,
                message,
                ..
            } => {
                let kind = peek(message).map(|peek| peek.message_type.number());
                self.calls
                    .insert((node, call), (kind, message.len() as u64));
                let door = self.doors.entry(node).or_default();
                door.upcalls += 1;
                door.retries += u64::from(attempt > 1);
            }
            Event::UpcallDone { call, outcome } => {
                let door = self.doors.entry(node).or_default();
                match outcome {
                    Ok(0) => {}
                    Ok(_) => door.refused += 1,
                    Err(_) => door.failed += 1,
                }
                if outcome == Err(Errno::EAGAIN.number()) {
                    return;
                }
                let call = self.calls.remove(&(node, call));
                if let (Ok(0), Some((kind, length))) = (outcome, call) {
                    let traffic = self.messages.entry((node, kind)).or_default();
                    traffic.count += 1;
                    traffic.bytes += length;
                }
            }
            Event::Post { message, .. } => {
                let door = self.doors.entry(node).or_default();
                door.posts += 1;
                door.post_bytes += message.len() as u64;
            }
            Event::PostDone {
                outcome: Err(_), ..
            } => {
                self.doors.entry(node).or_default().posts_refused += 1;
            }
            Event::KernelLog(_) => self.doors.entry(node).or_default().kernel_lines += 1,
            Event::Panic { .. } => self.doors.entry(node).or_default().panics += 1,
            Event::Sent { bytes, .. } => {
                *self.link_bytes.entry(node).or_default() += bytes.len() as u64;
            }
            Event::Command { .. } => self.commands += 1,
            Event::CommandDone { data, .. } => self.read_bytes += data.len() as u64,
            Event::TimedOut { .. } => self.timeouts += 1,
            Event::Aborted { .. } => self.aborts += 1,
            Event::Fault(text) => {
                let name = super::faults::name(text).to_string();
                *self.faults.entry(name).or_default() += 1;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::trace::Trace;
    use std::cell::RefCell;
    use std::rc::Rc;
    use stmf_proxy::message::{Body, Dialect, EchoRequest, Message};
    use stmf_proxy::time::Time;

    #[test]
    fn only_what_was_accepted_was_carried() {
        let trace = Trace::new();
        let statistics = Rc::new(RefCell::new(Statistics::default()));
        trace.add_sink(statistics.clone());
        let echo = Message {
            msgid: 1,
            body: Body::EchoRequest(EchoRequest { data: vec![1] }),
        };
        let message = &echo.encode(Dialect::Current).unwrap()[..];
        let call = |call, attempt, outcome| {
            trace.record(
                Time::ZERO,
                Some(0),
                Event::Upcall {
                    call,
                    attempt,
                    lock_held: false,
                    message,
                },
            );
            trace.record(Time::ZERO, Some(0), Event::UpcallDone { call, outcome });
        };
        call(1, 1, Err(Errno::EAGAIN.number()));
        call(1, 2, Ok(0));
        call(2, 1, Ok(134));
        call(3, 1, Err(Errno::EBADF.number()));
        trace.record(Time::ZERO, Some(1), Event::Post { post: 1, message });
        trace.record(
            Time::ZERO,
            Some(1),
            Event::PostDone {
                post: 1,
                outcome: Err(12),
            },
        );
        let counts = statistics.borrow();
        let length = message.len() as u64;
        assert_eq!(
            counts.all_messages(),
            Traffic {
                count: 1,
                bytes: length
            }
        );
        let keys: Vec<_> = counts
            .messages
            .keys()
            .map(|(node, kind)| (*node, Statistics::type_name(*kind)))
            .collect();
        assert_eq!(keys, [(0, "echo_request")]);
        let expected = DoorCounts {
            upcalls: 4,
            retries: 1,
            refused: 1,
            failed: 2,
            ..DoorCounts::default()
        };
        assert_eq!(counts.doors[&0], expected);
        let expected = DoorCounts {
            posts: 1,
            post_bytes: length,
            posts_refused: 1,
            ..DoorCounts::default()
        };
        assert_eq!(counts.doors[&1], expected);
        assert!(counts.calls.is_empty());
    }
}
