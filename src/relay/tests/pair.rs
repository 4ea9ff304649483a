// SPDX-License-Identifier: MPL-2.0
//! Two relays, two kernels and a hostile transport between them, driven by a random schedule.
//!
//! What must hold at every step is asserted where it happens (see [`World`]); after the schedule
//! the faults end, and everything has to work.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::rig::SECOND;
use super::world::{NODES, World};
use crate::relay::*;

const LANES: &[u8] = b"PQ12!";

#[derive(Clone, Debug)]
enum Step {
    Upcall {
        node: usize,
        lane: usize,
        length: usize,
    },
    Connect,
    Carry {
        from: usize,
        bytes: usize,
    },
    Finish {
        node: usize,
        which: usize,
    },
    Wait {
        milliseconds: u64,
    },
    Break,
    Flip {
        from: usize,
        at: usize,
        bit: u8,
    },
    Replay {
        from: usize,
        at: usize,
    },
    Restart {
        node: usize,
        reboot: bool,
    },
    Stop {
        node: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..2usize;
    prop_oneof![
        12 => (node.clone(), 0..LANES.len(), 0..300usize)
            .prop_map(|(node, lane, length)| Step::Upcall { node, lane, length }),
        4 => Just(Step::Connect),
        14 => (node.clone(), 1..800usize).prop_map(|(from, bytes)| Step::Carry { from, bytes }),
        14 => (node.clone(), 0..8usize).prop_map(|(node, which)| Step::Finish { node, which }),
        4 => (0..4000u64).prop_map(|milliseconds| Step::Wait { milliseconds }),
        1 => Just(Step::Break),
        1 => (node.clone(), any::<usize>(), 0..8u8)
            .prop_map(|(from, at, bit)| Step::Flip { from, at, bit }),
        1 => (node.clone(), any::<usize>()).prop_map(|(from, at)| Step::Replay { from, at }),
        1 => (node.clone(), any::<bool>())
            .prop_map(|(node, reboot)| Step::Restart { node, reboot }),
        1 => node.prop_map(|node| Step::Stop { node }),
    ]
}

impl World {
    fn step(&mut self, step: Step) {
        match step {
            Step::Upcall { node, lane, length } => {
                self.upcall(node, LANES[lane], 9 + length);
            }
            Step::Connect => self.connect(),
            Step::Carry { from, bytes } => self.carry(from, bytes),
            Step::Finish { node, which } => self.finish(node, which),
            Step::Wait { milliseconds } => self.wait(Duration::from_millis(milliseconds)),
            Step::Break => self.cut(None),
            Step::Flip { from, at, bit } => {
                let outbox = &mut self.nodes[from].outbox;
                if !outbox.is_empty() {
                    let at = at % outbox.len();
                    outbox[at] ^= 1 << bit;
                }
            }
            Step::Replay { from, at } => {
                let machine = &mut self.nodes[from];
                let (length, connection) = (machine.history.len(), machine.connection);
                if let (true, Some(_)) = (length > 0, connection) {
                    let old = Bytes::copy_from_slice(&machine.history[at % length..]);
                    if let Some(connection) = self.nodes[1 - from].connection {
                        self.put(
                            1 - from,
                            Input::Received {
                                connection,
                                bytes: old,
                            },
                        );
                    }
                }
            }
            Step::Restart { node, reboot } => self.restart(node, reboot),
            Step::Stop { node } => self.stop(node),
        }
    }
}

fn policy() -> impl Strategy<Value = HandlePolicy> {
    prop_oneof![
        Just(HandlePolicy::Keep),
        Just(HandlePolicy::CloseAfter(Duration::ZERO)),
        Just(HandlePolicy::CloseAfter(SECOND)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_between_two_relays_the_rules_hold_and_then_all_works_again(
        steps in prop::collection::vec(step(), 0..400), policy in policy(), begin in any::<bool>(),
    ) {
        let mut world = World::new(policy);
        if begin {
            world.heal();
            prop_assert!(world.nodes.iter().all(|machine| machine.relay.is_link_up()));
        }
        for step in steps {
            world.step(step);
        }
        world.heal();
        for node in NODES {
            prop_assert!(world.nodes[node].relay.is_link_up(), "node {} has no link", node);
        }
        // All that is accepted from here on arrives: nothing was lost, nothing is stuck.
        let before = world.posted.len();
        for round in 0..20 {
            for node in NODES {
                prop_assert!(world.upcall(node, LANES[round % LANES.len()], 100));
                world.carry(node, 50);
            }
        }
        world.heal();
        prop_assert_eq!(world.posted.len(), before + 40);
        // What was accepted on the connection that still stands is posted to the last message.
        for (number, (node, origin)) in &world.accepted {
            if world.nodes[*node].connection == Some(origin.connection) {
                prop_assert!(world.posted.contains(number), "{} lost", number);
            }
        }
        for node in NODES {
            world.stop(node);
        }
        world.settle();
        prop_assert!(world.nodes.iter().all(|machine| machine.stopped));
    }
}
