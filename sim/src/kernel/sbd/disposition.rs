// SPDX-License-Identifier: MPL-2.0
//! What a standby logical unit does with a command: hand it to the active node, refuse it, or
//! answer the little that can be judged without the medium.
//!
//! Only the operation code and a few CDB fields decide; whether the command makes sense is for
//! the active node to say.

use super::cdb::Cdb;
use super::{Execution, MAX_PARAMETER_LIST};
use crate::scsi::opcode::*;
use crate::scsi::{Completion, Sense};

/// What becomes of `cdb` on a standby logical unit. `expected` is the initiator's transfer length.
pub(super) fn standby(cdb: &Cdb, expected: u64, refuse_reads: bool) -> Execution {
    let proxied = Execution::Proxy { data_out: 0 };
    match cdb.opcode() {
        INQUIRY
        | MODE_SENSE_6
        | MODE_SENSE_10
        | REQUEST_SENSE
        | READ_CAPACITY_10
        | TEST_UNIT_READY
        | START_STOP_UNIT
        | RESERVE_6
        | RELEASE_6
        | PERSISTENT_RESERVE_IN => proxied,
        READ_6 | READ_10 | READ_12 | READ_16 if !refuse_reads => proxied,
        SERVICE_ACTION_IN_16 if cdb.service_action() == READ_CAPACITY_16_ACTION => proxied,
        MAINTENANCE_IN
            if matches!(
                cdb.service_action(),
                REPORT_TARGET_PORT_GROUPS_ACTION | REPORT_IDENTIFYING_INFORMATION_ACTION
            ) =>
        {
            proxied
        }
        // Vendor-specific page format is told from the CDB alone, and so is a list of no length.
        MODE_SELECT_6 | MODE_SELECT_10 if !cdb.page_format() => {
            Execution::Done(Sense::INVALID_FIELD_IN_CDB.into())
        }
        MODE_SELECT_6 | MODE_SELECT_10 => mode_select(cdb.list_length(), expected),
        PERSISTENT_RESERVE_OUT => with_list(cdb.list_length(), expected),
        _ => Execution::Done(Sense::STANDBY.into()),
    }
}

/// Bytes of parameter list that a command sends, by its CDB alone; none for other commands.
pub fn parameter_list_length(cdb: &[u8]) -> Option<u32> {
    let cdb = Cdb::new(cdb);
    match cdb.opcode() {
        MODE_SELECT_6 | MODE_SELECT_10 | PERSISTENT_RESERVE_OUT => Some(cdb.list_length()),
        _ => None,
    }
}

impl Cdb {
    /// The parameter list length of MODE SELECT and PERSISTENT RESERVE OUT.
    fn list_length(&self) -> u32 {
        match self.opcode() {
            MODE_SELECT_6 => self.byte(4).into(),
            MODE_SELECT_10 => self.be(7, 2) as u32,
            _ => self.be(5, 4) as u32,
        }
    }
}

fn mode_select(length: u32, expected: u64) -> Execution {
    match length {
        0 => Execution::Done(Completion::GOOD),
        _ => with_list(length, expected),
    }
}

/// Proxied with its parameter list, or as much of it as the initiator means to send.
fn with_list(length: u32, expected: u64) -> Execution {
    if length > MAX_PARAMETER_LIST {
        return Execution::Done(Sense::PARAMETER_LIST_LENGTH.into());
    }
    Execution::Proxy {
        data_out: u64::from(length).min(expected) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(cdb: &[u8], expected: u64) -> Result<u32, Completion> {
        match standby(&Cdb::new(cdb), expected, false) {
            Execution::Proxy { data_out } => Ok(data_out),
            Execution::Done(completion) => Err(completion),
            other => panic!("{other:?} on a standby unit"),
        }
    }

    #[test]
    fn every_operation_code_has_its_way() {
        let proxied: Vec<u8> = (0..=255)
            .filter(|&opcode| judge(&[opcode, 0x10, 0, 0, 0, 0, 0, 0, 24, 0], 24).is_ok())
            .collect();
        // MODE SELECT(6) is answered here: its list length, byte 4, is 0. READ CAPACITY(16) is
        // service action 10h of 9Eh.
        let expected = [
            0x00, 0x03, 0x08, 0x12, 0x16, 0x17, 0x1a, 0x1b, 0x25, 0x28, 0x55, 0x5a, 0x5e, 0x5f,
            0x88, 0x9e, 0xa8,
        ];
        assert_eq!(proxied, expected);
        for action in 0..32 {
            let maintenance = judge(&[0xa3, action], 0);
            assert_eq!(
                maintenance.is_ok(),
                matches!(action, 0x05 | 0x0a),
                "{action:x}"
            );
            assert_eq!(judge(&[0x9e, action], 0).is_ok(), action == 0x10);
        }
        assert_eq!(judge(&[0x2a], 512), Err(Sense::STANDBY.into()));
        assert_eq!(judge(&[0xff], 0), Err(Sense::STANDBY.into()));
    }

    #[test]
    fn mode_select_is_judged_from_its_cdb() {
        assert_eq!(judge(&[0x15, 0x10, 0, 0, 16, 0], 16), Ok(16));
        assert_eq!(judge(&[0x15, 0x10, 0, 0, 16, 0], 8), Ok(8));
        assert_eq!(judge(&[0x15, 0x10, 0, 0, 0, 0], 0), Err(Completion::GOOD));
        let refused = Err(Sense::INVALID_FIELD_IN_CDB.into());
        assert_eq!(judge(&[0x15, 0x00, 0, 0, 16, 0], 16), refused);
    }

    #[test]
    fn a_parameter_list_is_bounded() {
        let [high, low] = (MAX_PARAMETER_LIST as u16).to_be_bytes();
        let [high_more, low_more] = (MAX_PARAMETER_LIST as u16 + 1).to_be_bytes();
        assert_eq!(
            judge(&[0x55, 0x10, 0, 0, 0, 0, 0, high, low, 0], u64::MAX),
            Ok(MAX_PARAMETER_LIST)
        );
        assert_eq!(
            judge(
                &[0x55, 0x10, 0, 0, 0, 0, 0, high_more, low_more, 0],
                u64::MAX
            ),
            Err(Sense::PARAMETER_LIST_LENGTH.into())
        );
    }

    #[test]
    fn the_tunable_refuses_reads_only() {
        for opcode in [READ_6, READ_10, READ_12, READ_16] {
            let refused = standby(&Cdb::new(&[opcode]), 512, true);
            assert!(matches!(refused, Execution::Done(c) if c == Sense::STANDBY.into()));
        }
        let inquiry = standby(&Cdb::new(&[INQUIRY]), 36, true);
        assert!(matches!(inquiry, Execution::Proxy { data_out: 0 }));
    }
}
