// SPDX-License-Identifier: MPL-2.0
//! What CDBs say of the medium, as far as a replay has to know it.

use super::input::Extent;
use crate::scsi::be;
use crate::scsi::opcode::*;

/// The blocks that a command reads or writes; none for any other command.
pub(super) fn extent(cdb: &[u8]) -> Option<Extent> {
    let at = |place: usize, width: usize| be(cdb, place, width);
    let (lba, blocks) = match *cdb.first()? {
        READ_6 | WRITE_6 => {
            let blocks = match at(4, 1) {
                0 => 256,
                blocks => blocks,
            };
            (at(1, 3) & 0x1f_ffff, blocks)
        }
        READ_10 | WRITE_10 => (at(2, 4), at(7, 2)),
        READ_12 | WRITE_12 => (at(2, 4), at(6, 4)),
        READ_16 | WRITE_16 => (at(2, 8), at(10, 4)),
        _ => return None,
    };
    let write = matches!(cdb[0], WRITE_6 | WRITE_10 | WRITE_12 | WRITE_16);
    Some(Extent { lba, blocks, write })
}

/// How many blocks a LU has, by its answer to READ CAPACITY; none if that is not what was asked
/// or the answer is cut short.
pub(super) fn capacity(cdb: &[u8], data: &[u8]) -> Option<u64> {
    let last = match *cdb.first()? {
        READ_CAPACITY_10 if data.len() >= 8 => match be(data, 0, 4) {
            // READ CAPACITY(16) is to be asked instead.
            0xffff_ffff => return None,
            last => last,
        },
        SERVICE_ACTION_IN_16
            if cdb.get(1).map(|action| action & 0x1f) == Some(READ_CAPACITY_16_ACTION)
                && data.len() >= 12 =>
        {
            be(data, 0, 8)
        }
        _ => return None,
    };
    last.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::cdb;

    #[test]
    fn blocks_of_every_size_of_cdb() {
        let of = |cdb: &[u8]| extent(cdb).map(|extent| (extent.lba, extent.blocks, extent.write));
        assert_eq!(
            of(&cdb::read_6(0x1f_ffff, 0)),
            Some((0x1f_ffff, 256, false))
        );
        assert_eq!(of(&cdb::write_10(7, 2)), Some((7, 2, true)));
        assert_eq!(of(&cdb::read_12(8, 0x10000)), Some((8, 0x10000, false)));
        assert_eq!(of(&cdb::write_16(1 << 40, 3)), Some((1 << 40, 3, true)));
        assert_eq!(of(&cdb::inquiry(36)), None);
        assert_eq!(of(&[]), None);
        // A CDB that is too short goes on with zeros.
        assert_eq!(of(&[READ_10, 0]), Some((0, 0, false)));
    }

    #[test]
    fn a_capacity_is_one_more_than_the_last_block() {
        let mut answer = [0; 32];
        answer[7] = 99;
        assert_eq!(capacity(&cdb::read_capacity_16(32), &answer), Some(100));
        assert_eq!(
            capacity(&cdb::read_capacity_10(), &[0, 0, 0, 7, 0, 0, 2, 0]),
            Some(8)
        );
        assert_eq!(capacity(&cdb::read_capacity_10(), &[0xff; 8]), None);
        assert_eq!(capacity(&cdb::read_capacity_16(32), &[0xff; 32]), None);
        assert_eq!(capacity(&cdb::inquiry(36), &answer), None);
    }
}
