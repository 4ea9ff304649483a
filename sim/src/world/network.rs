// SPDX-License-Identifier: MPL-2.0
//! The network between the nodes: reliable byte streams with latency, and what can go wrong
//! with them.
//!
//! A connection carries bytes in order, whole, each way on its own; how long they travel and in
//! what pieces they arrive is drawn from the world's choices. What happens is ordered by (due
//! time, sequence number) and is told to the [`Endpoint`] of a connection in the network's own
//! simulated thread. Either end can close or reset; a test can break a connection, let one end
//! not hear of it (half-open), hold back what travels from one node to another (a stall one
//! way, or a partition when both ways), or take a whole node off.
//!
//! The network knows nothing of what the bytes mean.

pub(crate) mod fingerprint;
mod trouble;
mod wire;

use super::Ratio;
use super::faults;
use super::operation::Operation;
use super::trace::{ConnectionNumber, Event, NodeId, Running, Trace};
use crate::executor::{Executor, GroupId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::rc::{Rc, Weak};
use std::time::Duration;
use stmf_proxy::trace::ConnectionEnd;
use trouble::{Damage, SlowReader};
use wire::{Happening, Inner, Listener, Segment, Side, Wire};

/// How bytes travel between two nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct NetworkConfig {
    /// The least time between sending and arrival. Default 200 us.
    pub latency: Duration,
    /// The most by which a travel can take longer, drawn in whole microseconds. Default 50 us.
    pub jitter: Duration,
    /// Bytes a second each way; none: any number at once. Default 1,250,000,000 (10 Gbit/s).
    pub bytes_per_second: Option<u64>,
    /// How often what was sent at once arrives in two pieces. Default 1 of 16.
    pub cut: Ratio,
    /// Hands over what arrives in pieces of at most so many bytes (1 at least), each as long as is
    /// drawn, in place of `cut`. Default none: as it was sent, but for `cut`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_piece: Option<u32>,
    /// How long an attempt to connect waits for an answer. Default 60 s.
    pub connect_timeout: Duration,
}

impl Default for NetworkConfig {
    fn default() -> NetworkConfig {
        NetworkConfig {
            latency: Duration::from_micros(200),
            jitter: Duration::from_micros(50),
            bytes_per_second: Some(1_250_000_000),
            cut: Ratio::new(1, 16),
            largest_piece: None,
            connect_timeout: Duration::from_secs(60),
        }
    }
}

/// Where somebody listens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Address {
    /// The node.
    pub node: NodeId,
    /// The port number.
    pub port: u16,
}

/// How a connection ended, or why there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The peer closed it; all that it sent before has arrived.
    Closed,
    /// It was broken off; what was on its way is lost.
    Reset,
    /// Nobody listens there.
    Refused,
    /// No answer came.
    NoAnswer,
}

impl From<End> for ConnectionEnd {
    fn from(end: End) -> ConnectionEnd {
        match end {
            End::Closed => ConnectionEnd::Closed,
            End::Reset => ConnectionEnd::Reset,
            End::Refused => ConnectionEnd::Refused,
            End::NoAnswer => ConnectionEnd::NoAnswer,
        }
    }
}

/// Who owns an end of a connection. Told by the network's thread, with nothing borrowed: it may
/// send and close from here.
pub trait Endpoint {
    /// The connection stands.
    fn connected(&self, connection: &Connection);
    /// Bytes arrived, in order.
    fn received(&self, connection: &Connection, bytes: Bytes);
    /// This many bytes that were sent have been taken over by the other end.
    fn taken(&self, connection: &Connection, bytes: usize);
    /// The connection has ended, or could not be made. Nothing follows.
    fn ended(&self, connection: &Connection, end: End);
}

/// Makes the endpoint of an accepted connection.
pub type Accept = Rc<dyn Fn(&Connection) -> Rc<dyn Endpoint>>;

/// Someone listens at this address already.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("somebody listens at node {} port {} already", .0.node, .0.port)]
pub struct AddressInUse(pub Address);

/// One end of a connection. Clones are the same end.
#[derive(Clone)]
pub struct Connection {
    network: Weak<Inner>,
    number: ConnectionNumber,
    side: usize,
}

/// The network of a world. Clones are the same network.
#[derive(Clone)]
pub struct Network(Rc<Inner>);

impl Network {
    /// A network without connections; its thread belongs to `group`.
    pub fn new(
        executor: &Executor,
        group: GroupId,
        trace: Trace,
        config: NetworkConfig,
    ) -> Network {
        let network = Network(Rc::new(Inner::new(executor, trace, config)));
        let inner = &network.0;
        let run = wire::run(Rc::downgrade(inner), executor.clone(), inner.alarm.clone());
        executor.spawn(group, "network", run);
        network
    }

    /// Changes how bytes travel from now on. What differs from the network that the world was made
    /// with is told when the first bytes travel so.
    pub fn set_config(&self, config: NetworkConfig) {
        let _running = self.operation(|| Operation::SetNetwork {
            config: config.clone(),
        });
        self.0.note_changes(&config);
        *self.0.config.borrow_mut() = config;
    }

    /// The node `to` takes in what `from` sends at this rate from now on, whatever the network
    /// could carry: what it has not taken stays with the sender. None: as fast as it comes.
    pub fn slow_reader(&self, from: NodeId, to: NodeId, bytes_per_second: Option<u64>) {
        let _running = self.operation(|| Operation::SlowReader {
            from,
            to,
            bytes_per_second,
        });
        let mut readers = self.0.slow_readers.borrow_mut();
        match bytes_per_second {
            Some(rate) => readers.insert((from, to), SlowReader::new(rate)),
            None => readers.remove(&(from, to)),
        };
    }

    /// Listens at `address` for a process; `accept` makes the endpoint of each connection.
    pub fn listen(
        &self,
        address: Address,
        owner: GroupId,
        accept: Accept,
    ) -> Result<(), AddressInUse> {
        let mut listeners = self.0.listeners.borrow_mut();
        if let Some(listener) = listeners.get(&address)
            && self.0.executor.group_alive(listener.owner)
        {
            return Err(AddressInUse(address));
        }
        listeners.insert(address, Listener { owner, accept });
        Ok(())
    }

    /// Listens there no more.
    pub fn stop_listening(&self, address: Address) {
        self.0.listeners.borrow_mut().remove(&address);
    }

    /// Begins to connect; `endpoint` hears how it went.
    pub fn connect(
        &self,
        from: NodeId,
        target: Address,
        owner: GroupId,
        endpoint: Rc<dyn Endpoint>,
    ) -> Connection {
        let inner = &self.0;
        let number = inner.next_connection.get();
        inner.next_connection.set(number + 1);
        let sides = [
            Side::new(from, owner, Some(endpoint)),
            Side::new(target.node, owner, None),
        ];
        inner.wires.borrow_mut().insert(
            number,
            Wire {
                sides,
                target,
                established: false,
            },
        );
        inner.tell(from, Event::Connect { connection: number });
        let now = inner.executor.now();
        inner.schedule(now + inner.travel_time(), Happening::Request(number));
        let patience = inner.config.borrow().connect_timeout;
        inner.schedule(now + patience, Happening::GiveUp(number));
        Connection {
            network: Rc::downgrade(inner),
            number,
            side: 0,
        }
    }

    /// Breaks every connection between two nodes: what is on its way is lost, and both ends hear
    /// of a reset at once.
    pub fn break_connections(&self, one: NodeId, other: NodeId) {
        let _running = self.operation(|| Operation::Break { one, other });
        let connections = self.0.between(one, other);
        if !connections.is_empty() {
            self.0.tell_fault(one, faults::LINK_BROKEN, one, other);
        }
        for number in connections {
            self.0.end(number, 0, End::Reset);
            self.0.end(number, 1, End::Reset);
        }
    }

    /// Breaks every connection between two nodes, and only `hears` learns of it: the other one
    /// goes on believing in a connection that is not there until it sends something.
    pub fn half_open(&self, hears: NodeId, other: NodeId) {
        let _running = self.operation(|| Operation::HalfOpen { hears, other });
        let connections = self.0.between(hears, other);
        if !connections.is_empty() {
            self.0
                .tell_fault(hears, faults::LINK_HALF_OPEN, hears, other);
        }
        for number in connections {
            let side = usize::from(self.0.wires.borrow()[&number].sides[0].node != hears);
            self.0.end(number, side, End::Reset);
        }
    }

    /// Nothing arrives at `to` from `from` until [`Network::release`]; what is sent meanwhile
    /// arrives then. Both ways together are a partition.
    pub fn hold(&self, from: NodeId, to: NodeId) {
        let _running = self.operation(|| Operation::Hold { from, to });
        self.0.held.borrow_mut().entry((from, to)).or_insert(false);
    }

    /// Lets what was held arrive.
    pub fn release(&self, from: NodeId, to: NodeId) {
        let _running = self.operation(|| Operation::Release { from, to });
        self.0.held.borrow_mut().remove(&(from, to));
        self.0.happen_postponed();
    }

    /// Damages nothing of what this node sends any more.
    pub(super) fn forget_damages(&self, from: NodeId) {
        self.0
            .damages
            .borrow_mut()
            .retain(|damage| damage.from != from);
    }

    /// The node stands still: nobody there hears of anything until [`Network::thaw`]. What it had
    /// sent travels on.
    pub(super) fn freeze(&self, node: NodeId) {
        self.0.frozen.borrow_mut().insert(node);
    }

    /// The node goes on, and hears of what was for it meanwhile.
    pub(super) fn thaw(&self, node: NodeId) {
        if self.0.frozen.borrow_mut().remove(&node) {
            self.0.happen_postponed();
        }
    }

    /// Damages the next run of at least `at_least` bytes that is sent from one node to another:
    /// its bit `bit` (of its length modulo) is turned over. Nothing below a relay notices, as
    /// with a link that has no checksums worth the name.
    pub fn damage(&self, from: NodeId, to: NodeId, at_least: usize, bit: u64) {
        let _running = self.operation(|| Operation::Damage {
            from,
            to,
            at_least,
            bit,
        });
        self.0.damages.borrow_mut().push(Damage {
            from,
            to,
            at_least: at_least.max(1),
            bit,
        });
    }

    fn operation(&self, operation: impl FnOnce() -> Operation) -> Running {
        let inner = &self.0;
        inner.trace.operation(&inner.executor, &[], operation)
    }

    /// A process has ended: the system closes what it had open, after what it had sent.
    pub fn process_ended(&self, owner: GroupId) {
        self.0
            .listeners
            .borrow_mut()
            .retain(|_, listener| listener.owner != owner);
        for (number, side) in self
            .0
            .ends_of(|side| side.owner == owner && side.endpoint.is_some())
        {
            self.0.close(number, side, End::Closed);
        }
    }

    /// A node is off at once: nobody answers there, and its peers hear nothing of it.
    pub fn node_off(&self, node: NodeId) {
        self.0.off.borrow_mut().insert(node);
        self.0
            .listeners
            .borrow_mut()
            .retain(|address, _| address.node != node);
        for (number, side) in self.0.ends_of(|side| side.node == node) {
            let endpoint = self.0.wires.borrow_mut().get_mut(&number).and_then(|wire| {
                wire.sides[side].open = false;
                wire.sides[side].endpoint.take()
            });
            drop(endpoint);
        }
    }

    /// The node has power again. It knows nothing of its connections from before.
    pub fn node_on(&self, node: NodeId) {
        self.0.off.borrow_mut().remove(&node);
    }

    /// How many connections the network still knows of.
    pub fn connections(&self) -> usize {
        self.0.wires.borrow().len()
    }
}

impl Connection {
    /// The connection's number in the trace.
    pub fn number(&self) -> ConnectionNumber {
        self.number
    }

    /// Sends bytes after all that were sent before. Bytes for a connection that has ended are
    /// dropped.
    pub fn send(&self, bytes: Bytes) {
        self.send_all([bytes]);
    }

    /// Sends several runs of bytes at once: they travel together.
    pub fn send_all<const N: usize>(&self, runs: [Bytes; N]) {
        let Some(inner) = self.network.upgrade() else {
            return;
        };
        let (node, peer) = {
            let wires = inner.wires.borrow();
            match wires.get(&self.number) {
                Some(wire) if wire.sides[self.side].open => {
                    (wire.sides[self.side].node, wire.sides[1 - self.side].node)
                }
                _ => return,
            }
        };
        for bytes in &runs {
            if !bytes.is_empty() {
                let connection = self.number;
                inner.tell(node, Event::Sent { connection, bytes });
            }
        }
        let runs = runs
            .into_iter()
            .filter(|bytes| !bytes.is_empty())
            .map(|bytes| inner.damaged(node, peer, bytes));
        inner.push(self.number, 1 - self.side, runs.map(Segment::Bytes));
    }

    /// Bytes sent and not yet taken by the other end.
    pub fn queued(&self) -> usize {
        self.network.upgrade().map_or(0, |inner| {
            let wires = inner.wires.borrow();
            wires
                .get(&self.number)
                .map_or(0, |wire| wire.sides[1 - self.side].incoming_bytes)
        })
    }

    /// Stops or goes on taking bytes; meanwhile they stay with the sender.
    pub fn pause(&self, paused: bool) {
        let Some(inner) = self.network.upgrade() else {
            return;
        };
        if let Some(wire) = inner.wires.borrow_mut().get_mut(&self.number) {
            wire.sides[self.side].paused = paused;
        }
        if !paused {
            inner.schedule_arrival(self.number, self.side);
        }
    }

    /// Closes this end. The other end hears of it after all that was sent. Nothing more is told
    /// to this end.
    pub fn close(&self) {
        if let Some(inner) = self.network.upgrade() {
            inner.close(self.number, self.side, End::Closed);
        }
    }

    /// Breaks the connection off. The other end hears of it, but not what was on its way.
    pub fn reset(&self) {
        if let Some(inner) = self.network.upgrade() {
            inner.close(self.number, self.side, End::Reset);
        }
    }
}

#[cfg(test)]
mod tests;
