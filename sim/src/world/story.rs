// SPDX-License-Identifier: MPL-2.0
//! The story of a run as a ladder diagram: initiator, kernel, relay, relay, kernel.

use super::trace::{Event, NodeId, Record, Sink};
use crate::report::ladder::{Fate, Ladder};
use crate::report::style::{Style, Tone};
use crate::report::thousands;
use crate::scsi::{Completion, Sense, Status, opcode};
use std::collections::{BTreeMap, VecDeque};
use stmf_proxy::message::{Subject, peek};
use stmf_proxy::time::Time;
use xxhash_rust::xxh3::xxh3_64;

/// A message that a door accepted and that has not been posted yet.
struct OnItsWay {
    digest: u64,
    label: String,
}

/// Draws the first events of a run with two nodes.
pub struct Story {
    ladder: Ladder,
    most: usize,
    more: u64,
    /// Calls in progress, by node and call.
    calls: BTreeMap<(NodeId, u64), OnItsWay>,
    /// By the node that sent.
    travelling: BTreeMap<NodeId, VecDeque<OnItsWay>>,
}

impl Story {
    /// A diagram of at most `most` lines of story.
    pub fn new(most: usize) -> Story {
        let lanes = ["initiator", "kernel 0", "relay 0", "relay 1", "kernel 1"];
        Story {
            ladder: Ladder::new(lanes.map(String::from)),
            most,
            more: 0,
            calls: BTreeMap::new(),
            travelling: BTreeMap::new(),
        }
    }

    /// The diagram as text.
    pub fn render(&mut self, style: Style) -> String {
        if self.more > 0 {
            let text = format!("... {} more lines", thousands(self.more));
            self.more = 0;
            self.ladder.gap(&text);
        }
        self.ladder.render(style)
    }

    fn full(&mut self) -> bool {
        let full = self.ladder.len() >= self.most;
        self.more += u64::from(full);
        full
    }

    fn arrow(&mut self, time: Time, from: usize, to: usize, label: &str, fate: Fate) {
        if !self.full() {
            self.ladder.arrow(&clock(time), from, to, label, fate);
        }
    }

    fn note(&mut self, time: Time, lane: usize, text: &str, tone: Tone) {
        if !self.full() {
            self.ladder.note(&clock(time), lane, text, tone);
        }
    }

    /// What the other relay took is posted: it has travelled.
    fn arrived(&mut self, time: Time, node: NodeId, message: &[u8]) {
        let digest = xxh3_64(message);
        let sender = node ^ 1;
        let waiting = self.travelling.entry(sender).or_default();
        let place = waiting.iter().position(|other| other.digest == digest);
        let label = match place.and_then(|place| waiting.remove(place)) {
            Some(message) => message.label,
            None => label_of(message),
        };
        self.arrow(time, relay(sender), relay(node), &label, Fate::Arrived);
        self.arrow(time, relay(node), kernel(node), &label, Fate::Arrived);
    }
}

fn kernel(node: NodeId) -> usize {
    if node == 0 { 1 } else { 4 }
}

fn relay(node: NodeId) -> usize {
    if node == 0 { 2 } else { 3 }
}

/// Seconds, to the microsecond.
fn clock(time: Time) -> String {
    let microseconds = time.as_nanos() / 1000;
    format!(
        "{}.{:06}",
        microseconds / 1_000_000,
        microseconds % 1_000_000
    )
}

/// The type of a message and the number by which one follows it.
fn label_of(message: &[u8]) -> String {
    let Some(peek) = peek(message) else {
        return "(no message)".into();
    };
    let number = match peek.subject {
        Subject::Task { task_msgid, .. } => task_msgid,
        Subject::Session { session_id, .. } => session_id,
        Subject::Answer { msgid, .. } => msgid,
        _ => peek.msgid,
    };
    // Task management messages are told by the highest bit of their number.
    match number >> 63 {
        0 => format!("{} {number}", peek.message_type.name()),
        _ => format!("{} tm {}", peek.message_type.name(), number & !(1 << 63)),
    }
}

impl Sink for Story {
    fn record(&mut self, record: &Record<'_>) {
        let Some(node @ 0..=1) = record.node else {
            if let Event::Step(text) = record.event {
                self.note(record.time, 0, text, Tone::Heading);
            }
            return;
        };
        let time = record.time;
        match record.event {
            Event::Upcall { call, message, .. } => {
                let label = label_of(message);
                let digest = xxh3_64(message);
                self.calls.insert((node, call), OnItsWay { digest, label });
            }
            Event::UpcallDone { call, outcome } => {
                let Some(message) = self.calls.remove(&(node, call)) else {
                    return;
                };
                match outcome {
                    Ok(0) => {
                        self.arrow(
                            time,
                            kernel(node),
                            relay(node),
                            &message.label,
                            Fate::Arrived,
                        );
                        self.travelling.entry(node).or_default().push_back(message);
                    }
                    _ => self.arrow(time, kernel(node), relay(node), &message.label, Fate::Lost),
                }
            }
            Event::Post { message, .. } => self.arrived(time, node, message),
            Event::Disconnected { .. } => {
                for message in self.travelling.entry(node).or_default().split_off(0) {
                    self.arrow(
                        time,
                        relay(node),
                        relay(node ^ 1),
                        &message.label,
                        Fate::Lost,
                    );
                }
                self.note(time, relay(node), "link down", Tone::Bad);
            }
            Event::Connected { .. } => self.note(time, relay(node), "connected", Tone::Faint),
            Event::Command { tag, cdb, .. } => {
                let label = format!("{} #{tag}", opcode::name(cdb));
                self.arrow(time, 0, kernel(node), &label, Fate::Arrived);
            }
            Event::CommandDone {
                tag,
                status,
                sense,
                data,
                ..
            } => {
                let completion = Completion {
                    status: Status(status),
                    sense: Sense::from_bytes(sense),
                };
                let label = match (completion.sense, data.len()) {
                    (Some(sense), _) => {
                        format!(
                            "{:02X}/{:02X}/{:02X} #{tag}",
                            sense.key.0, sense.asc, sense.ascq
                        )
                    }
                    (None, 0) => format!("{} #{tag}", completion.status),
                    (None, length) => {
                        format!("{} #{tag} {}", completion.status, thousands(length as u64))
                    }
                };
                let fate = if completion.is_good() {
                    Fate::Arrived
                } else {
                    Fate::Failed
                };
                self.arrow(time, kernel(node), 0, &label, fate);
            }
            Event::Management { tag, function, .. } => {
                let label = format!("management {function} #{tag}");
                self.arrow(time, 0, kernel(node), &label, Fate::Arrived);
            }
            Event::ManagementDone { tag, status, .. } => {
                let label = format!("{} #{tag}", Status(status));
                self.arrow(time, kernel(node), 0, &label, Fate::Arrived);
            }
            Event::Aborted { tag, .. } => {
                self.arrow(
                    time,
                    kernel(node),
                    0,
                    &format!("aborted #{tag}"),
                    Fate::Failed,
                );
            }
            Event::TimedOut { tag, .. } => {
                self.note(time, 0, &format!("command #{tag} timed out"), Tone::Bad);
            }
            Event::SessionOpened { session, .. } => {
                self.arrow(
                    time,
                    0,
                    kernel(node),
                    &format!("session {session}"),
                    Fate::Arrived,
                );
            }
            Event::KernelLog(line) => {
                self.note(time, kernel(node), &format!("log: {line}"), Tone::Bad);
            }
            Event::Panic { reason, .. } => {
                self.note(time, kernel(node), &format!("panic: {reason}"), Tone::Bad);
            }
            Event::PowerOff => self.note(time, kernel(node), "power off", Tone::Bad),
            Event::RelayEnded => self.note(time, relay(node), "relay gone", Tone::Bad),
            Event::Fault(text) => {
                self.note(time, kernel(node), &format!("fault: {text}"), Tone::Bad);
            }
            _ => {}
        }
    }
}
