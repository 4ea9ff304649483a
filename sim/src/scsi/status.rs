// SPDX-License-Identifier: MPL-2.0
//! Status bytes, and a status with the sense data that came with it.

use super::Sense;
use std::fmt;

/// A SCSI status byte (SAM-5, 5.3.1). Any value can come over a wire, so it is not an enum.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Status(pub u8);

impl Status {
    /// The command completed without error.
    pub const GOOD: Status = Status(0x00);
    /// Something is to be reported; sense data says what.
    pub const CHECK_CONDITION: Status = Status(0x02);
    /// The logical unit cannot take the command now; try again.
    pub const BUSY: Status = Status(0x08);
    /// Another I_T nexus holds a reservation that excludes this command.
    pub const RESERVATION_CONFLICT: Status = Status(0x18);
    /// No room for another command.
    pub const TASK_SET_FULL: Status = Status(0x28);
    /// Another I_T nexus aborted the command.
    pub const TASK_ABORTED: Status = Status(0x40);
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            0x00 => "GOOD",
            0x02 => "CHECK CONDITION",
            0x04 => "CONDITION MET",
            0x08 => "BUSY",
            0x18 => "RESERVATION CONFLICT",
            0x28 => "TASK SET FULL",
            0x30 => "ACA ACTIVE",
            0x40 => "TASK ABORTED",
            other => return write!(f, "status {other:02X}h"),
        };
        f.pad(name)
    }
}

/// How a command ended: its status, and sense data if the status is CHECK CONDITION.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Completion {
    /// The status byte.
    pub status: Status,
    /// What went with it.
    pub sense: Option<Sense>,
}

impl Completion {
    /// GOOD, without sense data.
    pub const GOOD: Completion = Completion {
        status: Status::GOOD,
        sense: None,
    };
    /// BUSY, without sense data.
    pub const BUSY: Completion = Completion {
        status: Status::BUSY,
        sense: None,
    };
    /// RESERVATION CONFLICT, without sense data.
    pub const RESERVATION_CONFLICT: Completion = Completion {
        status: Status::RESERVATION_CONFLICT,
        sense: None,
    };

    /// CHECK CONDITION with `sense`.
    pub const fn check(sense: Sense) -> Completion {
        Completion {
            status: Status::CHECK_CONDITION,
            sense: Some(sense),
        }
    }

    /// Whether the status is GOOD.
    pub fn is_good(&self) -> bool {
        self.status == Status::GOOD
    }
}

impl From<Sense> for Completion {
    fn from(sense: Sense) -> Completion {
        Completion::check(sense)
    }
}

impl fmt::Display for Completion {
    /// As `CHECK CONDITION, NOT READY 02/04/0B (target port in standby state)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sense {
            None => self.status.fmt(f),
            Some(sense) => write!(f, "{}, {sense}", self.status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_reads_like_a_log_line() {
        assert_eq!(Completion::GOOD.to_string(), "GOOD");
        assert_eq!(
            Completion::RESERVATION_CONFLICT.to_string(),
            "RESERVATION CONFLICT"
        );
        assert_eq!(Status(0x77).to_string(), "status 77h");
        assert_eq!(
            Completion::check(Sense::STANDBY).to_string(),
            "CHECK CONDITION, NOT READY 02/04/0B (target port in standby state)"
        );
    }
}
