// SPDX-License-Identifier: MPL-2.0
//! Nodes that number their ports alike: both of them are, or take themselves for, the same node
//! of the pair.

use super::text::{peer, port_name};
use super::{Finding, Found, Kind, Seen, Watcher};
use crate::world::trace::{Event, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use stmf_proxy::message::{Body, MessageType, Subject};
use stmf_proxy::time::Time;

/// Ports that are remembered of each node, at most.
const MOST_PORTS: usize = 4096;

/// The first relative port id of node 1.
const FIRST_OF_NODE_1: u16 = 256;

#[derive(Default)]
struct Side {
    /// Relative port ids by port.
    ports: BTreeMap<Vec<u8>, u16>,
    /// The number that the node was given when ALUA was last set.
    number: Option<u32>,
}

#[derive(Default)]
pub(super) struct Numbers {
    sides: BTreeMap<NodeId, Side>,
    told: BTreeSet<NodeId>,
}

impl Watcher for Numbers {
    fn event(&mut self, record: &Seen<'_>, found: Found<'_>) {
        let Some(node) = record.node else { return };
        let side = self.sides.entry(node).or_default();
        match record.event {
            Event::Boot { .. } | Event::PowerOff | Event::Panic { .. } => *side = Side::default(),
            Event::Upcall { .. } => side.called(record),
            Event::AluaState {
                enabled: true,
                number,
                outcome: Ok(()),
            } => {
                side.number = Some(number);
                self.compare(record.time, node, found);
            }
            _ => {}
        }
    }

    fn end(&mut self, now: Time, found: Found<'_>) {
        let nodes: Vec<NodeId> = self.sides.keys().copied().collect();
        for node in nodes {
            self.compare(now, node, found);
        }
    }
}

impl Side {
    fn called(&mut self, record: &Seen<'_>) {
        let Some(peeked) = record.peek() else { return };
        let Subject::Port(ident) = &peeked.subject else {
            return;
        };
        if peeked.message_type == MessageType::DeregisterProxyPort {
            self.ports.remove(&ident.to_vec());
        } else if let Some(Body::RegisterProxyPort(register)) = record.decoded().map(|m| &m.body)
            && self.ports.len() < MOST_PORTS
        {
            let (port, id) = (&register.port_id.ident, register.relative_port_id);
            self.ports.insert(port.clone(), id);
        }
    }
}

impl Numbers {
    fn compare(&mut self, time: Time, node: NodeId, found: Found<'_>) {
        let (low, high) = (node & !1, node | 1);
        let (Some(one), Some(two)) = (self.sides.get(&low), self.sides.get(&high)) else {
            return;
        };
        let clash = one.ports.iter().find_map(|(port, id)| {
            let other = two.ports.iter().find(|(_, other)| *other == id)?;
            Some((*id, port_name(port), port_name(other.0)))
        });
        let Some((id, port, other)) = clash else {
            return;
        };
        if !self.told.insert(low) {
            return;
        }
        let like = u32::from(id >= FIRST_OF_NODE_1);
        let mut text = format!(
            "nodes {low} and {high} both number their ports as node {like} does: relative target \
             port {id} is {port} of node {low} and {other} of node {high}"
        );
        for (node, side) in [(low, one), (high, two)] {
            if let Some(number) = side.number.filter(|number| *number != like) {
                text += &format!(
                    "; the ALUA state of node {node} was set with number {number}, and the node \
                     took it for {like}"
                );
            }
        }
        found.push(Finding {
            kind: Kind::SameNode,
            time,
            node: Some(peer(low)),
            text,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{findings, only};
    use super::*;
    use stmf_proxy::message::{DeviceId, Dialect, Message, RegisterProxyPort};

    fn register(port: &str, relative_port_id: u16) -> Vec<u8> {
        let port_id = DeviceId {
            ident: port.as_bytes().to_vec(),
            ..DeviceId::default()
        };
        let body = Body::RegisterProxyPort(RegisterProxyPort {
            port_id,
            relative_port_id,
            cb_arg: Vec::new(),
        });
        let message = Message { msgid: 1, body };
        message.encode(Dialect::Current).unwrap()
    }

    fn alua(number: u32) -> Event<'static> {
        Event::AluaState {
            enabled: true,
            number,
            outcome: Ok(()),
        }
    }

    fn call(message: &[u8]) -> Event<'_> {
        Event::Upcall {
            call: 1,
            attempt: 1,
            lock_held: true,
            message,
        }
    }

    #[test]
    fn two_ports_of_one_number_are_told_once() {
        let (one, two) = (register("a", 1), register("b", 1));
        let events = [(0, call(&one)), (0, alua(0)), (1, call(&two)), (1, alua(1))];
        assert_eq!(
            only(Numbers::default(), &events).to_string(),
            "same-node: nodes 0 and 1 both number their ports as node 0 does: relative target \
             port 1 is a of node 0 and b of node 1; the ALUA state of node 1 was set with number \
             1, and the node took it for 0"
        );
    }

    #[test]
    fn ports_of_two_nodes_have_numbers_of_their_own() {
        let (one, two) = (register("a", 1), register("b", 256));
        let events = [(0, call(&one)), (0, alua(0)), (1, call(&two)), (1, alua(1))];
        assert!(findings(Numbers::default(), &events).is_empty());
    }
}
