// SPDX-License-Identifier: MPL-2.0
//! A hash of the state of a world, from the history of its parts.
//!
//! Why this is sound is told in the documentation of the module above.

use crate::world::World;
use crate::world::trace::{Event, NodeId, Record, Sink};
use std::cell::RefCell;
use std::rc::Rc;
use stmf_proxy::time::Time;
use xxhash_rust::xxh3::xxh3_64;

/// How many nodes there are.
const NODES: usize = 2;

/// A hash of numbers, in their order.
pub(super) fn mix(parts: &[u64]) -> u64 {
    let mut bytes = [0; 8 * 8];
    debug_assert!(parts.len() <= 8, "that many are never mixed at once");
    for (place, part) in bytes.chunks_exact_mut(8).zip(parts) {
        place.copy_from_slice(&part.to_le_bytes());
    }
    xxh3_64(&bytes[..8 * parts.len()])
}

/// Who makes steps: what shares nothing with others but what [`History`] looks after.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Process {
    /// The kernel, the relay and the commands of operators of a node.
    Node(NodeId),
    /// The network, and what belongs to no node.
    World,
}

impl Process {
    /// That of the group with this name, as nodes and worlds call theirs.
    pub(super) fn of_group(name: &str) -> Process {
        let node = |kind: &str| name.strip_prefix(kind)?.parse().ok();
        ["node ", "relay ", "operator "]
            .into_iter()
            .find_map(node)
            .filter(|node| usize::from(*node) < NODES)
            .map_or(Process::World, Process::Node)
    }

    fn number(self) -> usize {
        match self {
            Process::Node(node) => usize::from(node),
            Process::World => NODES,
        }
    }
}

/// Listens to what happens.
#[derive(Default)]
pub(super) struct Ear {
    /// Something happened since this was last asked that a watcher may set against what happens
    /// on the other node at the same moment.
    compared: bool,
    /// Hash of the events of each node, and of those of none.
    told: [u64; NODES + 1],
}

impl Ear {
    /// A hash of what was told of each node, in the order of each.
    pub(super) fn all(&self) -> u64 {
        mix(&self.told)
    }
}

impl Sink for Ear {
    fn record(&mut self, record: &Record<'_>) {
        let event = &record.event;
        // What passes between kernel, relay and link of one node; what it means for the other
        // node comes to it through the network.
        let local = matches!(
            event,
            Event::Upcall { .. }
                | Event::UpcallDone { .. }
                | Event::Post { .. }
                | Event::PostDone { .. }
                | Event::Sent { .. }
                | Event::Received { .. }
                | Event::Call { .. }
                | Event::CallDone { .. }
                | Event::KernelLog(_)
                | Event::RelayLog(_)
        );
        self.compared |= !local;
        let place = record.node.map_or(NODES, usize::from).min(NODES);
        let told = &mut self.told[place];
        let kind = event.kind_number().into();
        *told = mix(&[*told, kind, record.time.as_nanos(), xxh3_64(event.bulk())]);
    }
}

/// See the module.
pub(super) struct History {
    /// Of each process.
    processes: [u64; NODES + 1],
    disks: u64,
    /// Steps of each process since the clock last moved.
    steps: [u64; NODES + 1],
    at: Time,
    /// Before the step that is being made.
    before: Shared,
    ear: Rc<RefCell<Ear>>,
}

/// What processes have in common, as numbers that change with it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Shared {
    network: u64,
    disks: u64,
    handles: u64,
}

impl Shared {
    fn of(world: &World) -> Shared {
        Shared {
            network: world.network().fingerprint(),
            disks: world.disks().accesses(),
            handles: world.handles(),
        }
    }
}

impl History {
    pub(super) fn new(ear: Rc<RefCell<Ear>>) -> History {
        History {
            processes: [0; NODES + 1],
            disks: 0,
            steps: [0; NODES + 1],
            at: Time::ZERO,
            before: Shared::default(),
            ear,
        }
    }

    /// How many steps a process has made since the clock last moved.
    pub(super) fn steps(&self, process: Process, world: &World) -> u64 {
        match self.at == world.now() {
            true => self.steps[process.number()],
            false => 0,
        }
    }

    /// A process has made a step: its thread that was ready at this place among its own, and
    /// asked for choices with answers of this hash.
    pub(super) fn stepped(&mut self, world: &World, process: Process, place: u64, answers: u64) {
        self.look_at_clock(world);
        let number = process.number();
        self.steps[number] += 1;
        let token = mix(&[number as u64, place, answers, self.at.as_nanos()]);
        let after = Shared::of(world);
        let compared = std::mem::take(&mut self.ear.borrow_mut().compared);
        let before = std::mem::replace(&mut self.before, after);
        if process == Process::World || compared || before.handles != after.handles {
            return self.join(token);
        }
        let mut own = mix(&[self.processes[number], token]);
        if before.network != after.network {
            own = mix(&[own, before.network]);
        }
        if before.disks != after.disks {
            own = mix(&[own, self.disks]);
            self.disks = mix(&[own, 1]);
        }
        self.processes[number] = own;
    }

    /// Something was done from outside, or a thread from outside ran.
    pub(super) fn outside_acted(&mut self, world: &World, what: u64) {
        self.look_at_clock(world);
        self.before = Shared::of(world);
        self.ear.borrow_mut().compared = false;
        self.join(mix(&[u64::MAX, what, self.at.as_nanos()]));
    }

    /// A step that depends on everything and on which everything depends.
    fn join(&mut self, token: u64) {
        let [first, second, world] = self.processes;
        let all = mix(&[first, second, world, self.disks, token]);
        for (process, number) in self.processes.iter_mut().zip(0..) {
            *process = mix(&[all, number]);
        }
        self.disks = mix(&[all, u64::MAX]);
    }

    fn look_at_clock(&mut self, world: &World) {
        if self.at != world.now() {
            self.at = world.now();
            self.steps = [0; NODES + 1];
        }
    }

    /// The hash of the state of the world, and one that is the same whenever it is, if the first
    /// one is sound: of what was told of each node.
    pub(super) fn state(&self, world: &World, answers: u64) -> (u64, u64) {
        let [first, second, others] = self.processes;
        let time = world.now().as_nanos();
        let network = self.before.network;
        let state = mix(&[first, second, others, self.disks, network, time, answers]);
        (state, self.ear.borrow().all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_belong_to_their_nodes() {
        for (name, process) in [
            ("node 0", Process::Node(0)),
            ("relay 1", Process::Node(1)),
            ("operator 1", Process::Node(1)),
            ("world", Process::World),
            ("node 2", Process::World),
            ("nodes", Process::World),
        ] {
            assert_eq!(Process::of_group(name), process, "{name}");
        }
    }

    fn history() -> (World, History) {
        let world = World::builder().build();
        let mut history = History::new(Rc::default());
        history.outside_acted(&world, 0);
        (world, history)
    }

    /// The state after these steps: process, place, and whether an event came that watchers
    /// compare.
    fn after(steps: &[(Process, u64, bool)]) -> u64 {
        let (world, mut history) = history();
        for (process, place, compared) in steps {
            history.ear.borrow_mut().compared = *compared;
            history.stepped(&world, *process, *place, 0);
        }
        history.state(&world, 0).0
    }

    #[test]
    fn steps_of_different_nodes_commute_and_others_do_not() {
        let (a, b, w) = (Process::Node(0), Process::Node(1), Process::World);
        let local = |process| (process, 0, false);
        assert_eq!(after(&[local(a), local(b)]), after(&[local(b), local(a)]));
        assert_ne!(after(&[local(a), local(b)]), after(&[local(a), local(a)]));
        assert_ne!(
            after(&[(a, 0, false), (a, 1, false)]),
            after(&[(a, 1, false), (a, 0, false)])
        );
        assert_ne!(after(&[local(a), local(w)]), after(&[local(w), local(a)]));
        let told = |process| (process, 0, true);
        assert_ne!(after(&[told(a), local(b)]), after(&[local(b), told(a)]));
        assert_ne!(after(&[local(a)]), after(&[]));
    }

    #[test]
    fn steps_that_use_a_disk_do_not_commute() {
        use crate::kernel::sbd::{Disk, Fill, MemoryStore};
        let after = |order: [NodeId; 2]| {
            let world = World::builder().build();
            let disk = Disk::shared(MemoryStore::new(512, Fill::RECORDED));
            world.disks().insert([1; 16], disk.clone());
            let mut history = History::new(Rc::default());
            history.outside_acted(&world, 0);
            for node in order {
                let _ = disk.borrow().metadata();
                history.stepped(&world, Process::Node(node), 0, 0);
            }
            history.state(&world, 0).0
        };
        assert_ne!(after([0, 1]), after([1, 0]));
    }
}
