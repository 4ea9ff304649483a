// SPDX-License-Identifier: MPL-2.0
//! Sense data: what went wrong, as a sense key and an additional sense code with its qualifier.
//!
//! Written in the fixed format, 18 bytes long, because that is what the disk provider of COMSTAR
//! sends; read in the fixed and in the descriptor format (SPC-4, 4.5).

use super::be;
use std::fmt;

/// The class of a condition (SPC-4, table 53); only the low four bits are used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SenseKey(pub u8);

impl SenseKey {
    /// Nothing to report.
    pub const NO_SENSE: SenseKey = SenseKey(0x0);
    /// The logical unit cannot be used now.
    pub const NOT_READY: SenseKey = SenseKey(0x2);
    /// The medium is damaged.
    pub const MEDIUM_ERROR: SenseKey = SenseKey(0x3);
    /// The command or its parameters are wrong.
    pub const ILLEGAL_REQUEST: SenseKey = SenseKey(0x5);
    /// Something happened since this I_T nexus was here last.
    pub const UNIT_ATTENTION: SenseKey = SenseKey(0x6);
    /// The command was given up.
    pub const ABORTED_COMMAND: SenseKey = SenseKey(0xB);
    /// What was compared is not the same.
    pub const MISCOMPARE: SenseKey = SenseKey(0xE);
}

impl fmt::Display for SenseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self.0 & 0xf {
            0x0 => "NO SENSE",
            0x1 => "RECOVERED ERROR",
            0x2 => "NOT READY",
            0x3 => "MEDIUM ERROR",
            0x4 => "HARDWARE ERROR",
            0x5 => "ILLEGAL REQUEST",
            0x6 => "UNIT ATTENTION",
            0x7 => "DATA PROTECT",
            0x8 => "BLANK CHECK",
            0x9 => "VENDOR SPECIFIC",
            0xa => "COPY ABORTED",
            0xb => "ABORTED COMMAND",
            0xd => "VOLUME OVERFLOW",
            0xe => "MISCOMPARE",
            0xf => "COMPLETED",
            _ => "RESERVED",
        })
    }
}

/// One condition. The value that both ends compare; the bytes are [`Sense::to_bytes`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Sense {
    /// The class.
    pub key: SenseKey,
    /// Additional sense code.
    pub asc: u8,
    /// Additional sense code qualifier.
    pub ascq: u8,
}

impl Sense {
    /// Length in bytes of sense data in the fixed format as it is written here.
    pub const FIXED_LENGTH: usize = 18;

    /// Nothing to report.
    pub const NONE: Sense = Sense::new(SenseKey::NO_SENSE, 0x00, 0x00);
    /// 02/04/02: stopped; START STOP UNIT makes it ready.
    pub const STOPPED: Sense = Sense::new(SenseKey::NOT_READY, 0x04, 0x02);
    /// 02/04/0A: asymmetric access state transition.
    pub const TRANSITION: Sense = Sense::new(SenseKey::NOT_READY, 0x04, 0x0a);
    /// 02/04/0B: target port in standby state.
    pub const STANDBY: Sense = Sense::new(SenseKey::NOT_READY, 0x04, 0x0b);
    /// 02/04/0C: target port in unavailable state.
    pub const UNAVAILABLE: Sense = Sense::new(SenseKey::NOT_READY, 0x04, 0x0c);
    /// 03/11/00: unrecovered read error.
    pub const READ_ERROR: Sense = Sense::new(SenseKey::MEDIUM_ERROR, 0x11, 0x00);
    /// 03/0C/00: write error.
    pub const WRITE_ERROR: Sense = Sense::new(SenseKey::MEDIUM_ERROR, 0x0c, 0x00);
    /// 05/1A/00: parameter list length error.
    pub const PARAMETER_LIST_LENGTH: Sense = Sense::new(SenseKey::ILLEGAL_REQUEST, 0x1a, 0x00);
    /// 05/20/00: invalid command operation code.
    pub const INVALID_OPCODE: Sense = Sense::new(SenseKey::ILLEGAL_REQUEST, 0x20, 0x00);
    /// 05/21/00: logical block address out of range.
    pub const LBA_OUT_OF_RANGE: Sense = Sense::new(SenseKey::ILLEGAL_REQUEST, 0x21, 0x00);
    /// 05/24/00: invalid field in CDB.
    pub const INVALID_FIELD_IN_CDB: Sense = Sense::new(SenseKey::ILLEGAL_REQUEST, 0x24, 0x00);
    /// 05/25/00: logical unit not supported.
    pub const LUN_NOT_SUPPORTED: Sense = Sense::new(SenseKey::ILLEGAL_REQUEST, 0x25, 0x00);
    /// 05/26/00: invalid field in parameter list.
    pub const INVALID_FIELD_IN_LIST: Sense = Sense::new(SenseKey::ILLEGAL_REQUEST, 0x26, 0x00);
    /// 05/26/04: invalid release of persistent reservation.
    pub const INVALID_RELEASE: Sense = Sense::new(SenseKey::ILLEGAL_REQUEST, 0x26, 0x04);
    /// 05/39/00: saving parameters not supported.
    pub const SAVING_NOT_SUPPORTED: Sense = Sense::new(SenseKey::ILLEGAL_REQUEST, 0x39, 0x00);
    /// 05/55/04: insufficient registration resources.
    pub const NO_REGISTRATION_ROOM: Sense = Sense::new(SenseKey::ILLEGAL_REQUEST, 0x55, 0x04);
    /// 06/29/00: power on, reset, or bus device reset occurred.
    pub const POWER_ON: Sense = Sense::new(SenseKey::UNIT_ATTENTION, 0x29, 0x00);
    /// 06/2A/01: mode parameters changed.
    pub const MODE_CHANGED: Sense = Sense::new(SenseKey::UNIT_ATTENTION, 0x2a, 0x01);
    /// 06/2A/03: reservations preempted.
    pub const RESERVATIONS_PREEMPTED: Sense = Sense::new(SenseKey::UNIT_ATTENTION, 0x2a, 0x03);
    /// 06/2A/04: reservations released.
    pub const RESERVATIONS_RELEASED: Sense = Sense::new(SenseKey::UNIT_ATTENTION, 0x2a, 0x04);
    /// 06/2A/05: registrations preempted.
    pub const REGISTRATIONS_PREEMPTED: Sense = Sense::new(SenseKey::UNIT_ATTENTION, 0x2a, 0x05);
    /// 06/2A/06: asymmetric access state changed.
    pub const ACCESS_STATE_CHANGED: Sense = Sense::new(SenseKey::UNIT_ATTENTION, 0x2a, 0x06);
    /// 06/3F/0E: reported LUNs data has changed.
    pub const REPORTED_LUNS_CHANGED: Sense = Sense::new(SenseKey::UNIT_ATTENTION, 0x3f, 0x0e);
    /// 0E/1D/00: miscompare during verify operation.
    pub const MISCOMPARE: Sense = Sense::new(SenseKey::MISCOMPARE, 0x1d, 0x00);

    /// A condition of its own.
    pub const fn new(key: SenseKey, asc: u8, ascq: u8) -> Sense {
        Sense { key, asc, ascq }
    }

    /// The fixed format, current error, no information field.
    pub const fn to_bytes(self) -> [u8; Sense::FIXED_LENGTH] {
        let mut bytes = [0; Sense::FIXED_LENGTH];
        bytes[0] = 0x70;
        bytes[2] = self.key.0 & 0xf;
        bytes[7] = (Sense::FIXED_LENGTH - 8) as u8;
        bytes[12] = self.asc;
        bytes[13] = self.ascq;
        bytes
    }

    /// Reads either format. Fields past the end of `bytes` count as zero; `None` if the first
    /// byte is not a known response code or not even the sense key is there.
    pub fn from_bytes(bytes: &[u8]) -> Option<Sense> {
        let at = |i: usize| be(bytes, i, 1) as u8;
        match bytes.first()? & 0x7f {
            0x70 | 0x71 if bytes.len() > 2 => {
                Some(Sense::new(SenseKey(at(2) & 0xf), at(12), at(13)))
            }
            0x72 | 0x73 if bytes.len() > 1 => Some(Sense::new(SenseKey(at(1) & 0xf), at(2), at(3))),
            _ => None,
        }
    }

    /// What the additional sense code means, for those that this project knows.
    pub fn meaning(self) -> Option<&'static str> {
        Some(match (self.asc, self.ascq) {
            (0x00, 0x00) => "no additional sense information",
            (0x04, 0x00) => "logical unit not ready, cause not reportable",
            (0x04, 0x01) => "logical unit is becoming ready",
            (0x04, 0x02) => "initializing command required",
            (0x04, 0x0a) => "asymmetric access state transition",
            (0x04, 0x0b) => "target port in standby state",
            (0x04, 0x0c) => "target port in unavailable state",
            (0x0c, 0x00) => "write error",
            (0x0e, 0x03) => "invalid field in command information unit",
            (0x11, 0x00) => "unrecovered read error",
            (0x1a, 0x00) => "parameter list length error",
            (0x1d, 0x00) => "miscompare during verify operation",
            (0x20, 0x00) => "invalid command operation code",
            (0x21, 0x00) => "logical block address out of range",
            (0x24, 0x00) => "invalid field in CDB",
            (0x25, 0x00) => "logical unit not supported",
            (0x26, 0x00) => "invalid field in parameter list",
            (0x26, 0x04) => "invalid release of persistent reservation",
            (0x29, 0x00) => "power on, reset, or bus device reset occurred",
            (0x2a, 0x01) => "mode parameters changed",
            (0x2a, 0x03) => "reservations preempted",
            (0x2a, 0x04) => "reservations released",
            (0x2a, 0x05) => "registrations preempted",
            (0x2a, 0x06) => "asymmetric access state changed",
            (0x39, 0x00) => "saving parameters not supported",
            (0x3f, 0x0e) => "reported LUNs data has changed",
            (0x55, 0x04) => "insufficient registration resources",
            _ => return None,
        })
    }
}

impl fmt::Display for Sense {
    /// As `NOT READY 02/04/0B (target port in standby state)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:02X}/{:02X}/{:02X}",
            self.key, self.key.0, self.asc, self.ascq
        )?;
        match self.meaning() {
            Some(meaning) => write!(f, " ({meaning})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_format_is_byte_for_byte_what_comstar_sends() {
        let recorded = [0x70, 0, 2, 0, 0, 0, 0, 10, 0, 0, 0, 0, 4, 0x0b, 0, 0, 0, 0];
        assert_eq!(Sense::STANDBY.to_bytes(), recorded);
        assert_eq!(Sense::from_bytes(&recorded), Some(Sense::STANDBY));
    }

    #[test]
    fn both_formats_are_read_and_short_ones_do_not_panic() {
        assert_eq!(
            Sense::from_bytes(&[0x72, 6, 0x29, 0]),
            Some(Sense::POWER_ON)
        );
        assert_eq!(
            Sense::from_bytes(&[0xf0, 0, 6]),
            Some(Sense::new(SenseKey::UNIT_ATTENTION, 0, 0))
        );
        for short in [&[][..], &[0x70], &[0x70, 0], &[0x72], &[0x00, 1, 2, 3]] {
            assert_eq!(Sense::from_bytes(short), None);
        }
    }

    #[test]
    fn unknown_codes_are_shown_as_numbers() {
        assert_eq!(
            Sense::new(SenseKey(0xb), 0x47, 0x05).to_string(),
            "ABORTED COMMAND 0B/47/05"
        );
    }
}
