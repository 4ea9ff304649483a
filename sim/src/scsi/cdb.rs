// SPDX-License-Identifier: MPL-2.0
//! CDBs as an initiator builds them. Reserved fields and the control byte are zero.
//!
//! Lengths called `allocation` are the most bytes that the initiator wants; the device server
//! cuts its answer there.

use super::opcode::*;

fn be16(cdb: &mut [u8], at: usize, value: u16) {
    cdb[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn be32(cdb: &mut [u8], at: usize, value: u32) {
    cdb[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

fn six(opcode: u8) -> [u8; 6] {
    [opcode, 0, 0, 0, 0, 0]
}

fn ten(opcode: u8, lba: u32, blocks: u16) -> [u8; 10] {
    let mut cdb = [0; 10];
    cdb[0] = opcode;
    be32(&mut cdb, 2, lba);
    be16(&mut cdb, 7, blocks);
    cdb
}

fn twelve(opcode: u8, lba: u32, blocks: u32) -> [u8; 12] {
    let mut cdb = [0; 12];
    cdb[0] = opcode;
    be32(&mut cdb, 2, lba);
    be32(&mut cdb, 6, blocks);
    cdb
}

fn sixteen(opcode: u8, lba: u64, blocks: u32) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[0] = opcode;
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    be32(&mut cdb, 10, blocks);
    cdb
}

/// TEST UNIT READY.
pub fn test_unit_ready() -> [u8; 6] {
    six(TEST_UNIT_READY)
}

/// REQUEST SENSE, fixed format.
pub fn request_sense(allocation: u8) -> [u8; 6] {
    [REQUEST_SENSE, 0, 0, 0, allocation, 0]
}

/// INQUIRY for the standard data.
pub fn inquiry(allocation: u16) -> [u8; 6] {
    let [high, low] = allocation.to_be_bytes();
    [INQUIRY, 0, 0, high, low, 0]
}

/// INQUIRY for a page of vital product data.
pub fn inquiry_page(page: u8, allocation: u16) -> [u8; 6] {
    let [high, low] = allocation.to_be_bytes();
    [INQUIRY, 1, page, high, low, 0]
}

/// READ CAPACITY(10).
pub fn read_capacity_10() -> [u8; 10] {
    ten(READ_CAPACITY_10, 0, 0)
}

/// READ CAPACITY(16).
pub fn read_capacity_16(allocation: u32) -> [u8; 16] {
    let mut cdb = sixteen(SERVICE_ACTION_IN_16, 0, allocation);
    cdb[1] = READ_CAPACITY_16_ACTION;
    cdb
}

/// READ(6): `lba` up to 2^21 - 1 (higher bits are lost), `blocks` 0 means 256.
pub fn read_6(lba: u32, blocks: u8) -> [u8; 6] {
    let [_, high, middle, low] = lba.to_be_bytes();
    [READ_6, high & 0x1f, middle, low, blocks, 0]
}

/// WRITE(6); see [`read_6`].
pub fn write_6(lba: u32, blocks: u8) -> [u8; 6] {
    let [_, high, middle, low] = lba.to_be_bytes();
    [WRITE_6, high & 0x1f, middle, low, blocks, 0]
}

/// READ(10).
pub fn read_10(lba: u32, blocks: u16) -> [u8; 10] {
    ten(READ_10, lba, blocks)
}

/// WRITE(10).
pub fn write_10(lba: u32, blocks: u16) -> [u8; 10] {
    ten(WRITE_10, lba, blocks)
}

/// READ(12).
pub fn read_12(lba: u32, blocks: u32) -> [u8; 12] {
    twelve(READ_12, lba, blocks)
}

/// WRITE(12).
pub fn write_12(lba: u32, blocks: u32) -> [u8; 12] {
    twelve(WRITE_12, lba, blocks)
}

/// READ(16).
pub fn read_16(lba: u64, blocks: u32) -> [u8; 16] {
    sixteen(READ_16, lba, blocks)
}

/// WRITE(16).
pub fn write_16(lba: u64, blocks: u32) -> [u8; 16] {
    sixteen(WRITE_16, lba, blocks)
}

/// VERIFY(10). With `compare`, the blocks are sent along and compared (BYTCHK 01b).
pub fn verify_10(lba: u32, blocks: u16, compare: bool) -> [u8; 10] {
    let mut cdb = ten(VERIFY_10, lba, blocks);
    cdb[1] = u8::from(compare) << 1;
    cdb
}

/// VERIFY(16); see [`verify_10`].
pub fn verify_16(lba: u64, blocks: u32, compare: bool) -> [u8; 16] {
    let mut cdb = sixteen(VERIFY_16, lba, blocks);
    cdb[1] = u8::from(compare) << 1;
    cdb
}

/// SYNCHRONIZE CACHE(10); `blocks` 0 means up to the end.
pub fn synchronize_cache_10(lba: u32, blocks: u16) -> [u8; 10] {
    ten(SYNCHRONIZE_CACHE_10, lba, blocks)
}

/// SYNCHRONIZE CACHE(16); `blocks` 0 means up to the end.
pub fn synchronize_cache_16(lba: u64, blocks: u32) -> [u8; 16] {
    sixteen(SYNCHRONIZE_CACHE_16, lba, blocks)
}

/// Which values of a mode page are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum PageControl {
    /// Those in force.
    Current = 0,
    /// A mask of the bits that can be changed.
    Changeable = 1,
    /// Those of a new logical unit.
    Default = 2,
    /// Those that come into force with the next reset.
    Saved = 3,
}

/// MODE SENSE(6) for page `page` (3Fh: all), with the block descriptor.
pub fn mode_sense_6(page: u8, control: PageControl, allocation: u8) -> [u8; 6] {
    [
        MODE_SENSE_6,
        0,
        (control as u8) << 6 | page & 0x3f,
        0,
        allocation,
        0,
    ]
}

/// MODE SENSE(10) for page `page` (3Fh: all), with the block descriptor.
pub fn mode_sense_10(page: u8, control: PageControl, allocation: u16) -> [u8; 10] {
    let mut cdb = ten(MODE_SENSE_10, 0, allocation);
    cdb[2] = (control as u8) << 6 | page & 0x3f;
    cdb
}

/// MODE SELECT(6) with pages in the standard format; `save` makes them outlive a reset.
pub fn mode_select_6(save: bool, list_length: u8) -> [u8; 6] {
    [MODE_SELECT_6, 0x10 | u8::from(save), 0, 0, list_length, 0]
}

/// MODE SELECT(10); see [`mode_select_6`].
pub fn mode_select_10(save: bool, list_length: u16) -> [u8; 10] {
    let mut cdb = ten(MODE_SELECT_10, 0, list_length);
    cdb[1] = 0x10 | u8::from(save);
    cdb
}

/// START STOP UNIT.
pub fn start_stop_unit(start: bool) -> [u8; 6] {
    [START_STOP_UNIT, 0, 0, 0, u8::from(start), 0]
}

/// RESERVE(6), the whole logical unit.
pub fn reserve_6() -> [u8; 6] {
    six(RESERVE_6)
}

/// RELEASE(6), the whole logical unit.
pub fn release_6() -> [u8; 6] {
    six(RELEASE_6)
}

/// PERSISTENT RESERVE IN with service action `action` (0 to 3; see [`super::reservation`]).
pub fn persistent_reserve_in(action: u8, allocation: u16) -> [u8; 10] {
    let mut cdb = ten(PERSISTENT_RESERVE_IN, 0, allocation);
    cdb[1] = action & 0x1f;
    cdb
}

/// PERSISTENT RESERVE OUT with a parameter list of 24 bytes; scope is the logical unit. For the
/// list see [`super::reservation::parameter_list`].
pub fn persistent_reserve_out(
    action: super::reservation::OutAction,
    kind: super::reservation::ReservationType,
) -> [u8; 10] {
    let mut cdb = [0; 10];
    cdb[0] = PERSISTENT_RESERVE_OUT;
    cdb[1] = action as u8;
    cdb[2] = kind as u8;
    be32(&mut cdb, 5, 24);
    cdb
}

/// REPORT LUNS, select report 0: those of ordinary logical units.
pub fn report_luns(allocation: u32) -> [u8; 12] {
    twelve(REPORT_LUNS, 0, allocation)
}

/// REPORT TARGET PORT GROUPS, parameter data without extended header.
pub fn report_target_port_groups(allocation: u32) -> [u8; 12] {
    let mut cdb = twelve(MAINTENANCE_IN, 0, allocation);
    cdb[1] = REPORT_TARGET_PORT_GROUPS_ACTION;
    cdb
}

/// REPORT IDENTIFYING INFORMATION, the information of the logical unit.
pub fn report_identifying_information(allocation: u32) -> [u8; 12] {
    let mut cdb = twelve(MAINTENANCE_IN, 0, allocation);
    cdb[1] = REPORT_IDENTIFYING_INFORMATION_ACTION;
    cdb
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::reservation::{OutAction, ReservationType};

    #[test]
    fn fields_stand_where_the_standards_put_them() {
        assert_eq!(inquiry(36), [0x12, 0, 0, 0, 36, 0]);
        assert_eq!(inquiry_page(0x83, 0x1234), [0x12, 1, 0x83, 0x12, 0x34, 0]);
        assert_eq!(read_6(0x12_3456, 0), [0x08, 0x12, 0x34, 0x56, 0, 0]);
        assert_eq!(
            read_10(0x0102_0304, 0x0506),
            [0x28, 0, 1, 2, 3, 4, 0, 5, 6, 0]
        );
        assert_eq!(
            write_12(1, 0x0203_0405),
            [0xaa, 0, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0]
        );
        assert_eq!(
            read_16(0x0102_0304_0506_0708, 9),
            [0x88, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9, 0, 0]
        );
        assert_eq!(
            read_capacity_16(32),
            [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0]
        );
        assert_eq!(
            mode_sense_6(0x3f, PageControl::Saved, 255),
            [0x1a, 0, 0xff, 0, 255, 0]
        );
        assert_eq!(
            mode_select_10(true, 24),
            [0x55, 0x11, 0, 0, 0, 0, 0, 0, 24, 0]
        );
        assert_eq!(
            persistent_reserve_out(OutAction::Reserve, ReservationType::WriteExclusive),
            [0x5f, 1, 1, 0, 0, 0, 0, 0, 24, 0]
        );
        assert_eq!(report_luns(64), [0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0]);
        assert_eq!(
            report_target_port_groups(256),
            [0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
        );
        assert_eq!(verify_10(0, 1, true)[1], 2);
    }
}
