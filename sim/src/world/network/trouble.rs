// SPDX-License-Identifier: MPL-2.0
//! What goes wrong on the network on demand, and the telling of it when it hits something.

use super::NetworkConfig;
use super::wire::Inner;
use crate::world::faults;
use crate::world::trace::NodeId;
use bytes::Bytes;
use std::time::Duration;

/// Somebody who takes in what arrives piece by piece.
pub(super) struct SlowReader {
    bytes_per_second: u64,
    told: bool,
}

impl SlowReader {
    pub(super) fn new(bytes_per_second: u64) -> SlowReader {
        SlowReader {
            bytes_per_second: bytes_per_second.max(1),
            told: false,
        }
    }

    /// Bytes a second.
    pub(super) fn rate(&self) -> u64 {
        self.bytes_per_second
    }

    /// How much is taken in at once, and how long that takes: about 10 ms, but a byte at least.
    fn step(&self) -> (usize, Duration) {
        let bytes = (self.bytes_per_second / 100).max(1);
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        (bytes as usize, Duration::from_nanos(nanoseconds as u64))
    }
}

/// A run of bytes that is to be damaged.
pub(super) struct Damage {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) at_least: usize,
    pub(super) bit: u64,
}

impl Inner {
    /// Says that a fault hits what travels from one node to another.
    pub(super) fn tell_fault(&self, at: NodeId, name: &str, from: NodeId, to: NodeId) {
        let detail = format!("node {from} to node {to}");
        faults::tell(&self.trace, &self.executor, at, name, &detail);
    }

    pub(super) fn note_changes(&self, new: &NetworkConfig) {
        let old = &self.made_with;
        let pieces = |config: &NetworkConfig| (config.cut, config.largest_piece);
        let changed = [
            (new.latency != old.latency, faults::LINK_LATENCY),
            (new.jitter != old.jitter, faults::LINK_JITTER),
            (
                new.bytes_per_second != old.bytes_per_second,
                faults::LINK_BANDWIDTH,
            ),
            (pieces(new) != pieces(old), faults::LINK_PIECES),
        ];
        let changed = changed.into_iter().filter(|(changed, _)| *changed);
        *self.changes.borrow_mut() = changed.map(|(_, name)| name).collect();
    }

    /// Bytes travel, or (`pieces`) are cut, in another way than the network was made for.
    pub(super) fn tell_changes(&self, pieces: bool, from: NodeId, to: NodeId) {
        if self.changes.borrow().is_empty() {
            return;
        }
        let (now, later) = {
            let changes = self.changes.take().into_iter();
            changes.partition::<Vec<_>, _>(|name| (*name == faults::LINK_PIECES) == pieces)
        };
        *self.changes.borrow_mut() = later;
        for name in now {
            self.tell_fault(from, name, from, to);
        }
    }

    /// The bytes as they leave: damaged, if that was asked for.
    pub(super) fn damaged(&self, from: NodeId, to: NodeId, bytes: Bytes) -> Bytes {
        let mut damages = self.damages.borrow_mut();
        let place = damages.iter().position(|damage| {
            (damage.from, damage.to) == (from, to) && damage.at_least <= bytes.len()
        });
        let Some(damage) = place.map(|place| damages.remove(place)) else {
            return bytes;
        };
        let bit = damage.bit % (8 * bytes.len() as u64);
        let mut bytes = bytes.to_vec();
        let byte = (bit / 8) as usize;
        bytes[byte] ^= 1 << (bit % 8);
        let detail = format!("bit {} of byte {byte} of {}", bit % 8, bytes.len());
        faults::tell(
            &self.trace,
            &self.executor,
            from,
            faults::LINK_DAMAGE,
            &detail,
        );
        bytes.into()
    }

    pub(super) fn is_held(&self, from: NodeId, to: NodeId) -> bool {
        let told = self
            .held
            .borrow_mut()
            .get_mut(&(from, to))
            .map(|told| std::mem::replace(told, true));
        if told == Some(false) {
            self.tell_fault(from, faults::LINK_HELD, from, to);
        }
        told.is_some()
    }

    /// How much arrives at once at somebody who reads slowly, and when the next.
    pub(super) fn slow_step(&self, from: NodeId, to: NodeId) -> Option<(usize, Duration)> {
        let mut readers = self.slow_readers.borrow_mut();
        let reader = readers.get_mut(&(from, to))?;
        let (step, told) = (reader.step(), std::mem::replace(&mut reader.told, true));
        drop(readers);
        if !told {
            self.tell_fault(to, faults::LINK_SLOW_READER, from, to);
        }
        Some(step)
    }

    pub(super) fn is_frozen(&self, node: NodeId) -> bool {
        let frozen = self.frozen.borrow();
        !frozen.is_empty() && frozen.contains(&node)
    }

    /// What was postponed is due now; what still has to wait will wait on.
    pub(super) fn happen_postponed(&self) {
        let now = self.executor.now();
        for happening in self.postponed.take() {
            self.schedule(now, happening);
        }
    }
}
