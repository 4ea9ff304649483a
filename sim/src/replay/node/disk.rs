// SPDX-License-Identifier: MPL-2.0
//! Disks whose content is learned from a recording as it goes.
//!
//! A recording does not tell what a disk held. What a recorded command has read is put onto the
//! disk before the command runs here, unless the disk is known there already (it was read or
//! written before): then the recording is held to it.

use super::input::Extent;
use crate::kernel::sbd::{Disk, Fill, MemoryStore, SharedDisk};
use crate::kernel::sbd_provider::DiskSource;
use crate::kernel::stmf::types::LuId;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// Bytes in a block: what the simulated disk provider serves.
pub(super) const BLOCK: u64 = 512;

/// Size of a disk of which nothing is known, in blocks: a TiB.
const UNKNOWN_SIZE: u64 = 1 << 31;

/// Runs of bytes, none touching another.
#[derive(Default)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    fn insert(&mut self, range: Range<u64>) {
        let Range { mut start, mut end } = range;
        if start >= end {
            return;
        }
        // What touches it from below, and what begins inside.
        if let Some((&before, &until)) = self.0.range(..=start).next_back()
            && until >= start
        {
            start = before;
            end = end.max(until);
        }
        while let Some((&inside, &until)) = self.0.range(start..=end).next() {
            self.0.remove(&inside);
            end = end.max(until);
        }
        self.0.insert(start, end);
    }

    /// The parts of `range` that are in none of the runs.
    fn missing(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut missing = Vec::new();
        let mut at = range.start;
        let first = self
            .0
            .range(..=at)
            .next_back()
            .map_or(at, |(start, _)| *start);
        for (&start, &end) in self.0.range(first..) {
            if start >= range.end || at >= range.end {
                break;
            }
            if end <= at {
                continue;
            }
            if start > at {
                missing.push(at..start);
            }
            at = end;
        }
        if at < range.end {
            missing.push(at..range.end);
        }
        missing
    }
}

/// A disk.
pub(super) struct LearnedDisk {
    disk: SharedDisk,
    known: RefCell<Ranges>,
    /// The peer has served the LU meanwhile: what it has left behind is unknown.
    pub(super) was_with_peer: Cell<bool>,
}

impl LearnedDisk {
    fn new(blocks: u64) -> LearnedDisk {
        let size = blocks.saturating_mul(BLOCK).clamp(BLOCK, 1 << 62);
        LearnedDisk {
            disk: Disk::shared(MemoryStore::new(size, Fill::Zeros)),
            known: RefCell::default(),
            was_with_peer: Cell::new(false),
        }
    }

    /// A command has read `data` from `offset` on. How many bytes of that are new; with
    /// `believe` what was known before counts for nothing.
    pub(super) fn learn(&self, offset: u64, data: &[u8], believe: bool) -> u64 {
        let Some(end) = offset.checked_add(data.len() as u64) else {
            return 0;
        };
        let parts = match believe {
            true => Ranges::default().missing(offset..end),
            false => self.known.borrow().missing(offset..end),
        };
        let mut learned = 0;
        for part in parts {
            let bytes = &data[(part.start - offset) as usize..(part.end - offset) as usize];
            // What lies behind the end of the disk was not read.
            if self.disk.borrow_mut().write(part.start, bytes).is_ok() {
                learned += part.end - part.start;
                self.known.borrow_mut().insert(part);
            }
        }
        learned
    }

    /// A command writes there: from now on the disk is known.
    pub(super) fn written(&self, extent: &Extent) {
        let start = extent.lba.saturating_mul(BLOCK);
        let end = start.saturating_add(extent.blocks.saturating_mul(BLOCK));
        self.known.borrow_mut().insert(start..end);
    }

    /// Somebody else may have written anywhere.
    pub(super) fn forget(&self) {
        self.known.borrow_mut().0.clear();
        self.was_with_peer.set(true);
    }
}

/// The disks of a node; every LU has one.
pub(super) struct LearnedDisks {
    blocks: BTreeMap<LuId, u64>,
    disks: RefCell<BTreeMap<LuId, Rc<LearnedDisk>>>,
}

impl LearnedDisks {
    /// Disks of these numbers of blocks; others are large.
    pub(super) fn new(blocks: BTreeMap<LuId, u64>) -> LearnedDisks {
        LearnedDisks {
            blocks,
            disks: RefCell::default(),
        }
    }

    pub(super) fn get(&self, lu: LuId) -> Rc<LearnedDisk> {
        let mut disks = self.disks.borrow_mut();
        let blocks = self.blocks.get(&lu).copied().unwrap_or(UNKNOWN_SIZE);
        disks
            .entry(lu)
            .or_insert_with(|| Rc::new(LearnedDisk::new(blocks)))
            .clone()
    }

    pub(super) fn any_was_with_peer(&self) -> bool {
        let disks = self.disks.borrow();
        disks.values().any(|disk| disk.was_with_peer.get())
    }

    pub(super) fn shared(&self, lu: LuId) -> SharedDisk {
        self.get(lu).disk.clone()
    }
}

impl DiskSource for LearnedDisks {
    fn disk(&self, id: LuId, _: &[u8]) -> Option<SharedDisk> {
        Some(self.shared(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_known_is_not_learned_again() {
        let disk = LearnedDisk::new(8);
        assert_eq!(disk.learn(0, &[1; 1024], false), 1024);
        assert_eq!(disk.learn(512, &[2; 1024], false), 512);
        let mut out = [0; 1536];
        disk.disk.borrow_mut().read(0, &mut out).unwrap();
        assert_eq!((out[1023], out[1024]), (1, 2));
        assert_eq!(disk.learn(512, &[3; 512], true), 512);
        disk.forget();
        assert_eq!(disk.learn(0, &[4; 512], false), 512);
        assert_eq!(disk.learn(8 * 512, &[4; 512], false), 0, "behind the end");
        assert_eq!(disk.learn(u64::MAX, &[4; 512], false), 0);
    }

    proptest! {
        #[test]
        fn ranges_are_those_of_a_bitmap(
            ranges in prop::collection::vec((0u64..40, 0u64..12), 0..12),
            asked in (0u64..40, 0u64..12),
        ) {
            let mut bits = [false; 64];
            let mut runs = Ranges::default();
            for (start, length) in ranges {
                runs.insert(start..start + length);
                bits[start as usize..(start + length) as usize].fill(true);
            }
            let asked = asked.0..asked.0 + asked.1;
            let mut missing = [false; 64];
            for part in runs.missing(asked.clone()) {
                missing[part.start as usize..part.end as usize].fill(true);
            }
            for at in 0..64 {
                let expected = asked.contains(&(at as u64)) && !bits[at];
                prop_assert_eq!(missing[at], expected, "byte {}", at);
            }
        }
    }
}
