// SPDX-License-Identifier: MPL-2.0
//! Operation codes and service actions, and their names (SPC-4, SBC-3).

/// TEST UNIT READY.
pub const TEST_UNIT_READY: u8 = 0x00;
/// REQUEST SENSE.
pub const REQUEST_SENSE: u8 = 0x03;
/// READ(6).
pub const READ_6: u8 = 0x08;
/// WRITE(6).
pub const WRITE_6: u8 = 0x0a;
/// INQUIRY.
pub const INQUIRY: u8 = 0x12;
/// MODE SELECT(6).
pub const MODE_SELECT_6: u8 = 0x15;
/// RESERVE(6).
pub const RESERVE_6: u8 = 0x16;
/// RELEASE(6).
pub const RELEASE_6: u8 = 0x17;
/// MODE SENSE(6).
pub const MODE_SENSE_6: u8 = 0x1a;
/// START STOP UNIT.
pub const START_STOP_UNIT: u8 = 0x1b;
/// READ CAPACITY(10).
pub const READ_CAPACITY_10: u8 = 0x25;
/// READ(10).
pub const READ_10: u8 = 0x28;
/// WRITE(10).
pub const WRITE_10: u8 = 0x2a;
/// VERIFY(10).
pub const VERIFY_10: u8 = 0x2f;
/// SYNCHRONIZE CACHE(10).
pub const SYNCHRONIZE_CACHE_10: u8 = 0x35;
/// MODE SELECT(10).
pub const MODE_SELECT_10: u8 = 0x55;
/// RESERVE(10).
pub const RESERVE_10: u8 = 0x56;
/// RELEASE(10).
pub const RELEASE_10: u8 = 0x57;
/// MODE SENSE(10).
pub const MODE_SENSE_10: u8 = 0x5a;
/// PERSISTENT RESERVE IN.
pub const PERSISTENT_RESERVE_IN: u8 = 0x5e;
/// PERSISTENT RESERVE OUT.
pub const PERSISTENT_RESERVE_OUT: u8 = 0x5f;
/// READ(16).
pub const READ_16: u8 = 0x88;
/// WRITE(16).
pub const WRITE_16: u8 = 0x8a;
/// VERIFY(16).
pub const VERIFY_16: u8 = 0x8f;
/// SYNCHRONIZE CACHE(16).
pub const SYNCHRONIZE_CACHE_16: u8 = 0x91;
/// SERVICE ACTION IN(16): READ CAPACITY(16) is one of its service actions.
pub const SERVICE_ACTION_IN_16: u8 = 0x9e;
/// REPORT LUNS.
pub const REPORT_LUNS: u8 = 0xa0;
/// MAINTENANCE IN: REPORT TARGET PORT GROUPS is one of its service actions.
pub const MAINTENANCE_IN: u8 = 0xa3;
/// READ(12).
pub const READ_12: u8 = 0xa8;
/// WRITE(12).
pub const WRITE_12: u8 = 0xaa;
/// VERIFY(12).
pub const VERIFY_12: u8 = 0xaf;

/// Service action READ CAPACITY(16) of SERVICE ACTION IN(16).
pub const READ_CAPACITY_16_ACTION: u8 = 0x10;
/// Service action REPORT IDENTIFYING INFORMATION of MAINTENANCE IN.
pub const REPORT_IDENTIFYING_INFORMATION_ACTION: u8 = 0x05;
/// Service action REPORT TARGET PORT GROUPS of MAINTENANCE IN.
pub const REPORT_TARGET_PORT_GROUPS_ACTION: u8 = 0x0a;

/// The name of the command in `cdb`, its service action looked at where that is what names it.
/// An operation code that this project does not serve is named too, if it is a common one.
pub fn name(cdb: &[u8]) -> &'static str {
    let action = cdb.get(1).map_or(0, |byte| byte & 0x1f);
    match cdb.first().copied() {
        None => "(no CDB)",
        Some(TEST_UNIT_READY) => "TEST UNIT READY",
        Some(REQUEST_SENSE) => "REQUEST SENSE",
        Some(0x04) => "FORMAT UNIT",
        Some(READ_6) => "READ(6)",
        Some(WRITE_6) => "WRITE(6)",
        Some(INQUIRY) => "INQUIRY",
        Some(MODE_SELECT_6) => "MODE SELECT(6)",
        Some(RESERVE_6) => "RESERVE(6)",
        Some(RELEASE_6) => "RELEASE(6)",
        Some(MODE_SENSE_6) => "MODE SENSE(6)",
        Some(START_STOP_UNIT) => "START STOP UNIT",
        Some(0x1d) => "SEND DIAGNOSTIC",
        Some(0x1e) => "PREVENT ALLOW MEDIUM REMOVAL",
        Some(READ_CAPACITY_10) => "READ CAPACITY(10)",
        Some(READ_10) => "READ(10)",
        Some(WRITE_10) => "WRITE(10)",
        Some(0x2e) => "WRITE AND VERIFY(10)",
        Some(VERIFY_10) => "VERIFY(10)",
        Some(SYNCHRONIZE_CACHE_10) => "SYNCHRONIZE CACHE(10)",
        Some(0x41) => "WRITE SAME(10)",
        Some(0x42) => "UNMAP",
        Some(0x4d) => "LOG SENSE",
        Some(MODE_SELECT_10) => "MODE SELECT(10)",
        Some(RESERVE_10) => "RESERVE(10)",
        Some(RELEASE_10) => "RELEASE(10)",
        Some(MODE_SENSE_10) => "MODE SENSE(10)",
        Some(PERSISTENT_RESERVE_IN) => match action {
            0x00 => "PERSISTENT RESERVE IN, READ KEYS",
            0x01 => "PERSISTENT RESERVE IN, READ RESERVATION",
            0x02 => "PERSISTENT RESERVE IN, REPORT CAPABILITIES",
            0x03 => "PERSISTENT RESERVE IN, READ FULL STATUS",
            _ => "PERSISTENT RESERVE IN",
        },
        Some(PERSISTENT_RESERVE_OUT) => match action {
            0x00 => "PERSISTENT RESERVE OUT, REGISTER",
            0x01 => "PERSISTENT RESERVE OUT, RESERVE",
            0x02 => "PERSISTENT RESERVE OUT, RELEASE",
            0x03 => "PERSISTENT RESERVE OUT, CLEAR",
            0x04 => "PERSISTENT RESERVE OUT, PREEMPT",
            0x05 => "PERSISTENT RESERVE OUT, PREEMPT AND ABORT",
            0x06 => "PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY",
            0x07 => "PERSISTENT RESERVE OUT, REGISTER AND MOVE",
            _ => "PERSISTENT RESERVE OUT",
        },
        Some(0x83) => "EXTENDED COPY",
        Some(READ_16) => "READ(16)",
        Some(0x89) => "COMPARE AND WRITE",
        Some(WRITE_16) => "WRITE(16)",
        Some(VERIFY_16) => "VERIFY(16)",
        Some(SYNCHRONIZE_CACHE_16) => "SYNCHRONIZE CACHE(16)",
        Some(0x93) => "WRITE SAME(16)",
        Some(SERVICE_ACTION_IN_16) => match action {
            READ_CAPACITY_16_ACTION => "READ CAPACITY(16)",
            0x12 => "GET LBA STATUS",
            _ => "SERVICE ACTION IN(16)",
        },
        Some(REPORT_LUNS) => "REPORT LUNS",
        Some(MAINTENANCE_IN) => match action {
            REPORT_IDENTIFYING_INFORMATION_ACTION => "REPORT IDENTIFYING INFORMATION",
            REPORT_TARGET_PORT_GROUPS_ACTION => "REPORT TARGET PORT GROUPS",
            0x0c => "REPORT SUPPORTED OPERATION CODES",
            _ => "MAINTENANCE IN",
        },
        Some(0xa4) => match action {
            0x0a => "SET TARGET PORT GROUPS",
            _ => "MAINTENANCE OUT",
        },
        Some(READ_12) => "READ(12)",
        Some(WRITE_12) => "WRITE(12)",
        Some(VERIFY_12) => "VERIFY(12)",
        Some(0xc0..) => "vendor-specific command",
        Some(_) => "unknown command",
    }
}

/// Bytes that a CDB with this operation code has, by the code's group (SPC-4, 4.2.5.1); `None`
/// for variable-length, reserved and vendor-specific groups.
pub fn cdb_length(opcode: u8) -> Option<usize> {
    match opcode >> 5 {
        0 => Some(6),
        1 | 2 => Some(10),
        4 => Some(16),
        5 => Some(12),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_operation_code_and_service_action() {
        assert_eq!(name(&[]), "(no CDB)");
        assert_eq!(name(&[0]), "TEST UNIT READY");
        assert_eq!(name(&[0xa3, 0x0a]), "REPORT TARGET PORT GROUPS");
        assert_eq!(name(&[0xa3, 0x2a]), "REPORT TARGET PORT GROUPS");
        assert_eq!(
            name(&[0x5f, 0x05]),
            "PERSISTENT RESERVE OUT, PREEMPT AND ABORT"
        );
        assert_eq!(name(&[0xff]), "vendor-specific command");
        assert_eq!(name(&[0x7f]), "unknown command");
    }

    #[test]
    fn a_cdb_is_as_long_as_its_group_says() {
        for (opcode, length) in [(0x00, 6), (0x28, 10), (0x5f, 10), (0x88, 16), (0xa3, 12)] {
            assert_eq!(cdb_length(opcode), Some(length));
        }
        assert_eq!(cdb_length(0x7f), None);
        assert_eq!(cdb_length(0xff), None);
    }
}
