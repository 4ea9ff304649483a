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

impl Network {
    /// A hash of the connections, of what travels, of who listens and of the faults. Two
    /// networks with equal ones carry on alike; the endpoints of connections are their owners'.
    ///
    /// Sequence numbers count only for the order that they make.
    pub(crate) fn fingerprint(&self) -> u64 {
        let inner = &self.0;
        let mut bytes = Bytes::default();
        for (number, wire) in inner.wires.borrow().iter() {
            bytes.number((*number).into());
            bytes.flags(&[wire.established]);
            for side in &wire.sides {
                let heard = side.endpoint.is_some();
                bytes.flags(&[side.open, side.paused, side.scheduled, heard]);
                bytes.time(side.line_free);
                bytes.number(side.incoming_bytes as u64);
                bytes.number(side.incoming.len() as u64);
                for (time, segment) in &side.incoming {
                    bytes.time(*time);
                    match segment {
                        Segment::Bytes(run) => {
                            bytes.number(run.len() as u64);
                            bytes.number(xxh3_64(run));
                        }
                        Segment::End(end) => bytes.number(u64::MAX - *end as u64),
                    }
                }
            }
        }
        for ((time, _), happening) in inner.happenings.borrow().iter() {
            bytes.time(*time);
            bytes.happening(*happening);
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
        xxh3_64(&bytes.0)
    }
}
