// SPDX-License-Identifier: MPL-2.0
//! A hash of the state of a world, from the history of its parts.
//!
//! Why this is sound is told in the documentation of the module above.

use crate::world::World;
use crate::world::network::fingerprint::Fingerprint;
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

/// What a step has told that a watcher may set against what happens on the other node at the same
/// moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) enum Compared {
    #[default]
    Nothing,
    /// That commands begin: in which order they do at one moment is nothing to anybody.
    Begins,
    /// Anything else.
    Ordered,
}

impl Compared {
    pub(super) fn of(event: &Event<'_>) -> Compared {
        match event {
            // What passes between kernel, relay and link of one node; what it means for the other
            // node comes to it through the network.
            Event::Upcall { .. }
            | Event::UpcallDone { .. }
            | Event::Post { .. }
            | Event::PostDone { .. }
            | Event::Sent { .. }
            | Event::Received { .. }
            | Event::Call { .. }
            | Event::CallDone { .. }
            | Event::KernelLog(_)
            | Event::RelayLog(_) => Compared::Nothing,
            Event::Command { .. } => Compared::Begins,
            _ => Compared::Ordered,
        }
    }
}

/// Listens to what happens.
#[derive(Default)]
pub(super) struct Ear {
    /// What happened since this was last asked.
    compared: Compared,
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
        let (event, compared) = (&record.event, Compared::of(&record.event));
        self.compared = self.compared.max(compared);
        let place = record.node.map_or(NODES, usize::from).min(NODES);
        let told = &mut self.told[place];
        let kind = event.kind_number().into();
        *told = mix(&[*told, kind, record.time.as_nanos(), xxh3_64(event.bulk())]);
    }
}

/// What is outside of the nodes and common to them: the sequence of what watchers compare, and what
/// hosts and operators know. Uses of it that only say that something begins change places with each
/// other, and with nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Common {
    /// Of everything up to the last use that was ordered.
    ordered: u64,
    /// Of those that came after it, in any order.
    begun: u64,
}

impl Common {
    /// A use by a step; the answer is what the step depends on, besides itself.
    fn used(&mut self, compared: Compared, step: u64) -> u64 {
        match compared {
            Compared::Nothing | Compared::Begins => {
                self.begun = self.begun.wrapping_add(mix(&[step, 1]));
                self.ordered
            }
            Compared::Ordered => {
                let before = mix(&[self.ordered, self.begun]);
                self.ordered = mix(&[before, step]);
                self.begun = 0;
                before
            }
        }
    }
}

/// See the module.
pub(super) struct History {
    /// Of each process.
    processes: [u64; NODES + 1],
    disks: u64,
    common: Common,
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
    network: Fingerprint,
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
            common: Common::default(),
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
        let Process::Node(node) = process else {
            return self.join(token);
        };
        if before.handles != after.handles {
            return self.join(token);
        }
        let mut own = mix(&[self.processes[number], token]);
        if before.network != after.network {
            own = mix(&[own, before.network.seen_from(node, &after.network)]);
        }
        if before.disks != after.disks {
            own = mix(&[own, self.disks]);
            self.disks = mix(&[own, 1]);
        }
        if compared != Compared::Nothing {
            let common = self.common.used(compared, own);
            own = mix(&[own, common]);
        }
        self.processes[number] = own;
    }

    /// Something was done from outside, or a thread from outside ran, which has to do with these
    /// nodes and nothing else; or with everything.
    pub(super) fn outside_acted(&mut self, world: &World, what: u64, nodes: Option<&[NodeId]>) {
        self.look_at_clock(world);
        let after = Shared::of(world);
        let before = std::mem::replace(&mut self.before, after);
        let compared = std::mem::take(&mut self.ear.borrow_mut().compared);
        let mut own = mix(&[u64::MAX, what, self.at.as_nanos()]);
        let Some(nodes) = nodes.filter(|_| before == after) else {
            return self.join(own);
        };
        for node in nodes {
            own = mix(&[own, self.processes[usize::from(*node)]]);
        }
        let common = self.common.used(compared, own);
        for node in nodes {
            self.processes[usize::from(*node)] = mix(&[own, common, u64::from(*node)]);
        }
    }

    /// A step that depends on everything and on which everything depends.
    fn join(&mut self, token: u64) {
        let [first, second, world] = self.processes;
        let Common { ordered, begun } = self.common;
        let all = mix(&[first, second, world, self.disks, ordered, begun, token]);
        for (process, number) in self.processes.iter_mut().zip(0..) {
            *process = mix(&[all, number]);
        }
        self.disks = mix(&[all, u64::MAX]);
        self.common = Common {
            ordered: mix(&[all, u64::MAX - 1]),
            begun: 0,
        };
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
        let network = self.before.network.all();
        let common = mix(&[self.common.ordered, self.common.begun]);
        let parts = [first, second, others, self.disks, network, common, time];
        let state = mix(&[mix(&parts), answers]);
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
        history.outside_acted(&world, 0, None);
        (world, history)
    }

    /// The state after these steps: process, place, and what came that watchers compare.
    fn after(steps: &[(Process, u64, Compared)]) -> u64 {
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
        let local = |process| (process, 0, Compared::Nothing);
        assert_eq!(after(&[local(a), local(b)]), after(&[local(b), local(a)]));
        assert_ne!(after(&[local(a), local(b)]), after(&[local(a), local(a)]));
        assert_ne!(
            after(&[local(a), (a, 1, Compared::Nothing)]),
            after(&[(a, 1, Compared::Nothing), local(a)])
        );
        assert_ne!(after(&[local(a), local(w)]), after(&[local(w), local(a)]));
        let told = |process| (process, 0, Compared::Ordered);
        assert_eq!(after(&[told(a), local(b)]), after(&[local(b), told(a)]));
        assert_ne!(after(&[told(a), told(b)]), after(&[told(b), told(a)]));
        let begins = |process| (process, 0, Compared::Begins);
        assert_eq!(
            after(&[begins(a), begins(b)]),
            after(&[begins(b), begins(a)])
        );
        assert_ne!(after(&[begins(a), told(b)]), after(&[told(b), begins(a)]));
        assert_ne!(after(&[begins(a), local(b)]), after(&[local(a), begins(b)]));
        assert_ne!(after(&[local(a)]), after(&[]));
    }

    #[test]
    fn what_is_done_from_outside_to_different_nodes_commutes() {
        let after = |order: &[Option<&[NodeId]>]| {
            let (world, mut history) = history();
            for nodes in order {
                history.outside_acted(&world, nodes.map_or(9, |nodes| nodes.len() as u64), *nodes);
            }
            history.state(&world, 0).0
        };
        let (first, second, both) = (Some(&[0][..]), Some(&[1][..]), Some(&[0, 1][..]));
        assert_eq!(after(&[first, second]), after(&[second, first]));
        assert_ne!(after(&[first, both]), after(&[both, first]));
        assert_ne!(after(&[first, None]), after(&[None, first]));
        assert_eq!(after(&[first, Some(&[])]), after(&[Some(&[]), first]));
    }

    #[test]
    fn steps_that_use_a_disk_do_not_commute() {
        use crate::kernel::sbd::{Disk, Fill, MemoryStore};
        let after = |order: [NodeId; 2]| {
            let world = World::builder().build();
            let disk = Disk::shared(MemoryStore::new(512, Fill::RECORDED));
            world.disks().insert([1; 16], disk.clone());
            let mut history = History::new(Rc::default());
            history.outside_acted(&world, 0, None);
            for node in order {
                let _ = disk.borrow().metadata();
                history.stepped(&world, Process::Node(node), 0, 0);
            }
            history.state(&world, 0).0
        };
        assert_ne!(after([0, 1]), after([1, 0]));
    }
}
