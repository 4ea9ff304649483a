// SPDX-License-Identifier: MPL-2.0
//! Two nodes of a pair that take themselves for the same one.

use super::{Finding, Found, Kind, Seen, Watcher};
use crate::world::trace::{Event, NodeId};
use std::collections::BTreeMap;
use stmf_proxy::time::Time;

/// The ALUA node number of each node on which ALUA is on.
#[derive(Default)]
pub(super) struct SameNode {
    numbers: BTreeMap<NodeId, u32>,
}

impl Watcher for SameNode {
    fn event(&mut self, record: &Seen<'_>, found: Found<'_>) {
        let Some(node) = record.node else { return };
        match record.event {
            Event::AluaState {
                enabled: true,
                number,
                outcome: Ok(()),
            } => {
                let before = self.numbers.insert(node, number);
                let peers = self.numbers.get(&(node ^ 1)) == Some(&number);
                if peers && before != Some(number) {
                    let (low, high) = (node & !1, node | 1);
                    found.push(Finding {
                        kind: Kind::SameNode,
                        time: record.time,
                        node: Some(node),
                        text: format!(
                            "nodes {low} and {high} both run with ALUA node number {number}: \
                             relative ids of their ports clash, and initiators take both for the \
                             same target port group; one of them must be node {}",
                            number ^ 1
                        ),
                    });
                }
            }
            Event::AluaState {
                enabled: false,
                outcome: Ok(()),
                ..
            }
            | Event::PowerOff
            | Event::Panic { .. }
            | Event::Boot { .. } => {
                self.numbers.remove(&node);
            }
            _ => {}
        }
    }

    fn end(&mut self, _: Time, _: Found<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;

    fn alua(enabled: bool, number: u32) -> Event<'static> {
        Event::AluaState {
            enabled,
            number,
            outcome: Ok(()),
        }
    }

    #[test]
    fn two_nodes_with_one_number_are_found_once() {
        let mut bench = Bench::new(SameNode::default());
        bench.event(0, alua(true, 0));
        bench.event(1, alua(true, 0));
        bench.event(1, alua(true, 0));
        assert_eq!(
            bench.finish(),
            [
                "same-node: nodes 0 and 1 both run with ALUA node number 0: relative ids of their \
              ports clash, and initiators take both for the same target port group; one of them \
              must be node 1"
            ]
        );
    }

    #[test]
    fn two_numbers_or_one_node_with_alua_are_fine() {
        let mut bench = Bench::new(SameNode::default());
        bench.event(0, alua(true, 0));
        bench.event(1, alua(true, 1));
        bench.event(0, alua(false, 0));
        bench.event(1, alua(true, 0));
        bench.event(1, Event::PowerOff);
        bench.event(0, alua(true, 0));
        // Another pair.
        bench.event(2, alua(true, 0));
        assert!(bench.finish().is_empty());
    }
}
