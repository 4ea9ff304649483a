// SPDX-License-Identifier: MPL-2.0
//! Nodes that go down.

use super::text::peer;
use super::{Finding, Found, Kind, Seen, Watcher};
use crate::world::trace::{Event, NodeId};
use std::collections::BTreeMap;
use stmf_proxy::message::{Dialect, Message, MessageType};
use stmf_proxy::time::Time;

/// The trap of messages that are refused before their TransportID is known.
const NO_TRANSPORT_ID: u8 = 4;

/// The longest posted message that is kept to be looked at, in bytes.
const LONGEST_KEPT: usize = 64 << 10;

#[derive(Default)]
pub(super) struct Panics {
    /// The last message that was posted on each node.
    posted: BTreeMap<NodeId, Vec<u8>>,
}

impl Panics {
    /// What the message that a node was at work on has to do with it.
    fn hint(&self, node: NodeId) -> Option<String> {
        let message = self.posted.get(&node)?;
        let old = Message::decode(message, Dialect::Y2009).ok()?;
        Message::decode(message, Dialect::Current).err()?;
        Some(format!(
            ": node {} speaks the dialect of 2009, whose {} has no TransportID",
            peer(node),
            old.message_type(),
        ))
    }
}

impl Watcher for Panics {
    fn event(&mut self, record: &Seen<'_>, found: Found<'_>) {
        let (trap, reason) = match record.event {
            Event::Post { message, .. } => {
                if let Some(node) = record.node {
                    let kept = self.posted.entry(node).or_default();
                    kept.clear();
                    // Data, the longest messages, are the same in both dialects.
                    let data = record.is_a(MessageType::ScsiData);
                    if message.len() <= LONGEST_KEPT && !data {
                        kept.extend_from_slice(message);
                    }
                }
                return;
            }
            Event::Panic { trap, reason } => (trap, reason),
            _ => return,
        };
        let hint = record.node.filter(|_| trap == NO_TRANSPORT_ID);
        let hint = hint.and_then(|node| self.hint(node)).unwrap_or_default();
        let node = record.node.map_or("a node".into(), |n| format!("node {n}"));
        let text = match trap {
            0 => format!("{node} panicked: {reason}"),
            trap => format!("{node} panicked: {reason} (trap {trap}){hint}"),
        };
        found.push(Finding {
            kind: Kind::NodePanic,
            time: record.time,
            node: record.node,
            text,
        });
    }

    fn end(&mut self, _: Time, _: Found<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::super::Watch;
    use super::*;
    use crate::world::trace::Record;
    use crate::world::trace::Sink;

    #[test]
    fn a_panic_is_told_with_its_trap() {
        let mut watch = Watch::new();
        let panic = Event::Panic {
            trap: 4,
            reason: "no transport id",
        };
        watch.record(&Record::new(1, Time::from_nanos(7), Some(1), panic));
        let findings = watch.finish(Time::from_nanos(9));
        assert_eq!(findings.len(), 1);
        assert_eq!(
            findings[0].to_string(),
            "node-panic: node 1 panicked: no transport id (trap 4)"
        );
    }
}
