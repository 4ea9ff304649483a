// SPDX-License-Identifier: MPL-2.0
//! Which LU a logical unit number of a node means, and which blocks a command moves.
//!
//! A kernel numbers its LUs in the order in which it first hears of them after its boot, and an
//! LU keeps its number when it goes and comes back. Every LU that a kernel comes to know is told
//! in the trace ([`Event::LuAccess`]), in that order.

use crate::scsi::opcode::*;
use crate::scsi::reports::lun_number;
use crate::world::trace::{Event, LuAccess, NodeId, Record};
use std::collections::BTreeMap;

/// The id of an LU.
pub(super) type LuId = [u8; 16];

#[derive(Default)]
struct NodeUnits {
    by_number: Vec<LuId>,
    access: BTreeMap<LuId, LuAccess>,
}

/// The LUs of all nodes.
#[derive(Default)]
pub(super) struct Units(BTreeMap<NodeId, NodeUnits>);

impl Units {
    pub(super) fn event(&mut self, record: &Record<'_>) {
        let Some(node) = record.node else { return };
        match record.event {
            Event::Boot { .. } => {
                self.0.remove(&node);
            }
            Event::LuAccess { lu, access } => {
                let units = self.0.entry(node).or_default();
                if access != LuAccess::Gone && !units.by_number.contains(&lu) {
                    units.by_number.push(lu);
                }
                units.access.insert(lu, access);
            }
            _ => {}
        }
    }

    /// The LU that a number means on a node, if it is known.
    pub(super) fn lu(&self, node: NodeId, lun: [u8; 8]) -> Option<LuId> {
        let number = usize::from(lun_number(lun)?);
        self.0.get(&node)?.by_number.get(number).copied()
    }

    /// What the node last told of a LU.
    pub(super) fn access(&self, node: NodeId, lu: LuId) -> Option<LuAccess> {
        self.0.get(&node)?.access.get(&lu).copied()
    }
}

/// What a command does to the medium.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    Read,
    Write,
    /// It changes blocks in a way that is not followed here.
    Other,
}

/// Blocks that a command moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extent {
    pub(super) access: Access,
    pub(super) lba: u64,
    pub(super) blocks: u64,
}

/// Commands that change the medium and carry something else than the new blocks, or more:
/// FORMAT UNIT, WRITE AND VERIFY, WRITE SAME, UNMAP, COMPARE AND WRITE.
const OTHERS: [u8; 8] = [0x04, 0x2e, 0x41, 0x42, 0x89, 0x8e, 0x93, 0xae];

/// What a command does to the medium; none if it leaves it alone.
pub(super) fn extent(cdb: &[u8]) -> Option<Extent> {
    let be = |from: usize, to: usize| {
        let bytes = cdb.get(from..to)?;
        Some(
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        )
    };
    let opcode = *cdb.first()?;
    let access = match opcode {
        READ_6 | READ_10 | READ_12 | READ_16 => Access::Read,
        WRITE_6 | WRITE_10 | WRITE_12 | WRITE_16 => Access::Write,
        other if OTHERS.contains(&other) => {
            return Some(Extent {
                access: Access::Other,
                lba: 0,
                blocks: 0,
            });
        }
        _ => return None,
    };
    let (lba, blocks) = match opcode {
        READ_6 | WRITE_6 => (
            be(1, 4)? & 0x1f_ffff,
            match be(4, 5)? {
                0 => 256,
                blocks => blocks,
            },
        ),
        READ_10 | WRITE_10 => (be(2, 6)?, be(7, 9)?),
        READ_12 | WRITE_12 => (be(2, 6)?, be(6, 10)?),
        _ => (be(2, 10)?, be(10, 14)?),
    };
    // Nobody has so many blocks, and sums of them must fit.
    lba.checked_add(blocks)?.checked_add(1)?;
    Some(Extent {
        access,
        lba,
        blocks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::cdb;
    use stmf_proxy::time::Time;

    #[test]
    fn numbers_are_given_in_order_and_kept() {
        let mut units = Units::default();
        let mut tell = |lu, access| {
            let event = Event::LuAccess { lu, access };
            units.event(&Record::new(1, Time::ZERO, Some(0), event));
        };
        let (one, two) = ([1; 16], [2; 16]);
        tell(one, LuAccess::Active);
        tell(one, LuAccess::Gone);
        tell(two, LuAccess::Standby);
        tell(one, LuAccess::Standby);
        assert_eq!(units.lu(0, [0; 8]), Some(one));
        assert_eq!(units.lu(0, [0, 1, 0, 0, 0, 0, 0, 0]), Some(two));
        assert_eq!(units.lu(0, [0, 2, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(units.lu(1, [0; 8]), None);
        assert_eq!(units.access(0, one), Some(LuAccess::Standby));
        let boot = Event::Boot { boot: 2 };
        units.event(&Record::new(2, Time::ZERO, Some(0), boot));
        assert_eq!(units.lu(0, [0; 8]), None);
    }

    #[test]
    fn blocks_of_every_form_are_found() {
        let read = |blocks| {
            let (access, lba) = (Access::Read, 7);
            Some(Extent {
                access,
                lba,
                blocks,
            })
        };
        assert_eq!(extent(&cdb::read_6(7, 0)), read(256));
        assert_eq!(extent(&cdb::read_10(7, 3)), read(3));
        assert_eq!(extent(&cdb::read_12(7, 3)), read(3));
        assert_eq!(extent(&cdb::read_16(7, 3)), read(3));
        let write = extent(&cdb::write_16(7, 3)).unwrap();
        assert_eq!(
            (write.access, write.lba, write.blocks),
            (Access::Write, 7, 3)
        );
        assert_eq!(extent(&[0x42; 10]).unwrap().access, Access::Other);
        assert_eq!(extent(&cdb::test_unit_ready()), None);
        assert_eq!(extent(&[0x28, 0]), None, "cut short");
        assert_eq!(extent(&[]), None);
        assert_eq!(extent(&cdb::read_16(u64::MAX - 3, 3)), None);
        assert!(extent(&cdb::read_16(u64::MAX - 4, 3)).is_some());
    }
}
