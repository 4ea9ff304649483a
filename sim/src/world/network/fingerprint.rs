// SPDX-License-Identifier: MPL-2.0
//! A hash of everything that a network holds, for those who ask whether two worlds are in the
//! same state.

use super::Network;
use super::wire::{Happening, Segment};
use crate::world::trace::NodeId;
use stmf_proxy::time::Time;
use xxhash_rust::xxh3::xxh3_64;

#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn flags(&mut self, flags: &[bool]) {
        self.0.extend(flags.iter().map(|flag| u8::from(*flag)));
    }

    fn time(&mut self, time: Time) {
        self.number(time.as_nanos());
    }

    fn pair(&mut self, (from, to): (NodeId, NodeId)) {
        self.0.extend([from, to]);
    }

    fn happening(&mut self, happening: Happening) {
        let (kind, number, more) = match happening {
            Happening::Request(number) => (0, number, 0),
            Happening::Answer(number, None) => (1, number, 0),
            Happening::Answer(number, Some(end)) => (2, number, end as u64),
            Happening::GiveUp(number) => (3, number, 0),
            Happening::Arrival(number, to) => (4, number, to as u64),
            Happening::Taken(number, side, bytes) => {
                self.number(bytes as u64);
                (5, number, side as u64)
            }
            Happening::Over(number, side, end) => {
                self.number(end as u64);
                (6, number, side as u64)
            }
        };
        self.number(kind);
        self.number(number.into());
        self.number(more);
    }
}

/// Hashes of what a network holds. Two networks with equal ones carry on alike; the endpoints of
/// connections are their owners'.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Fingerprint {
    /// Which connections there are and who listens, what is held and whatever is wrong.
    structure: u64,
    /// What travels to each node.
    to: [u64; 2],
    /// In which order things are due.
    order: u64,
}

impl Fingerprint {
    /// One hash of all.
    pub(crate) fn all(&self) -> u64 {
        let mut bytes = Bytes::default();
        for part in [self.structure, self.to[0], self.to[1], self.order] {
            bytes.number(part);
        }
        xxh3_64(&bytes.0)
    }

    /// What a step of a node may have looked at in the network that was like this before and like
    /// `after` then. A node that does nothing but send sees its own connections and what it has
    /// sent that has not arrived.
    pub(crate) fn seen_from(&self, node: NodeId, after: &Fingerprint) -> u64 {
        let own = usize::from(node & 1);
        if self.structure != after.structure || self.to[own] != after.to[own] {
            return self.all();
        }
        let mut bytes = Bytes::default();
        bytes.number(self.structure);
        bytes.number(self.to[own ^ 1]);
        xxh3_64(&bytes.0)
    }
}

impl Network {
    /// Hashes of the connections, of what travels, of who listens and of the faults.
    ///
    /// Sequence numbers count only for the order that they make.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let inner = &self.0;
        let mut bytes = Bytes::default();
        let mut to = [Bytes::default(), Bytes::default()];
        for (number, wire) in inner.wires.borrow().iter() {
            bytes.number((*number).into());
            bytes.flags(&[wire.established]);
            for side in &wire.sides {
                let heard = side.endpoint.is_some();
                bytes.flags(&[side.open, side.paused, heard]);
                let to = &mut to[usize::from(side.node & 1)];
                to.number((*number).into());
                to.flags(&[side.scheduled]);
                to.time(side.line_free);
                to.time(side.not_before);
                to.number(side.incoming_bytes as u64);
                to.number(side.incoming.len() as u64);
                for (time, segment) in &side.incoming {
                    to.time(*time);
                    match segment {
                        Segment::Bytes(run) => {
                            to.number(run.len() as u64);
                            to.number(xxh3_64(run));
                        }
                        Segment::End(end) => to.number(u64::MAX - *end as u64),
                    }
                }
            }
        }
        for happening in inner.postponed.borrow().iter() {
            bytes.happening(*happening);
        }
        for address in inner.listeners.borrow().keys() {
            bytes.number(u64::from(address.node) << 16 | u64::from(address.port));
        }
        let held = inner.held.borrow();
        for (direction, told) in held.iter() {
            bytes.pair(*direction);
            bytes.flags(&[*told]);
        }
        for (direction, reader) in inner.slow_readers.borrow().iter() {
            bytes.pair(*direction);
            bytes.number(reader.rate());
        }
        for node in inner.frozen.borrow().iter() {
            bytes.pair((*node, NodeId::MAX));
        }
        for node in inner.off.borrow().iter() {
            bytes.pair((NodeId::MAX, *node));
        }
        for damage in inner.damages.borrow().iter() {
            bytes.pair((damage.from, damage.to));
            bytes.number(damage.at_least as u64);
            bytes.number(damage.bit);
        }
        bytes.number(inner.next_connection.get().into());
        let mut order = Bytes::default();
        for ((time, _), happening) in inner.happenings.borrow().iter() {
            order.time(*time);
            order.happening(*happening);
        }
        Fingerprint {
            structure: xxh3_64(&bytes.0),
            to: [xxh3_64(&to[0].0), xxh3_64(&to[1].0)],
            order: xxh3_64(&order.0),
        }
    }
}
