// SPDX-License-Identifier: MPL-2.0
//! Numbers that messages carry: 64-bit status values, task flags, task management functions,
//! residual flags.

/// All is well.
pub const SUCCESS: u64 = 0;
/// A failure; a code may be added to it, see [`code`].
pub const FAILURE: u64 = 0x1000_0000_0000_0000;
/// A failure of the target port.
pub const TARGET_FAILURE: u64 = 0x2000_0000_0000_0000;
/// A failure of the LU.
pub const LU_FAILURE: u64 = 0x3000_0000_0000_0000;
/// Set in a failure after which the same may be tried again.
pub const RETRY: u64 = 0x0080_0000_0000_0000;

/// The failure with this code: [`FAILURE`] and the code above the low 32 bits.
pub const fn code(code: u8) -> u64 {
    FAILURE | (code as u64) << 32
}

/// Busy; try again.
pub const BUSY: u64 = FAILURE | RETRY;
/// No such thing.
pub const NOT_FOUND: u64 = code(1);
/// An argument is not one that can be.
pub const INVALID_ARG: u64 = code(2);
/// The logical unit number is taken.
pub const LUN_TAKEN: u64 = code(3);
/// Aborted.
pub const ABORTED: u64 = code(5);
/// An abort has succeeded.
pub const ABORT_SUCCESS: u64 = code(6);
/// No memory.
pub const ALLOC_FAILURE: u64 = code(7);
/// So already.
pub const ALREADY: u64 = code(8);
/// Too late.
pub const TIMEOUT: u64 = code(9);
/// Not supported.
pub const NOT_SUPPORTED: u64 = code(10);
/// Not in this state.
pub const BADSTATE: u64 = code(11);

/// The name of a status value in upper case, if it has one.
pub const fn name(status: u64) -> Option<&'static str> {
    Some(match status {
        SUCCESS => "SUCCESS",
        FAILURE => "FAILURE",
        TARGET_FAILURE => "TARGET_FAILURE",
        LU_FAILURE => "LU_FAILURE",
        BUSY => "BUSY",
        NOT_FOUND => "NOT_FOUND",
        INVALID_ARG => "INVALID_ARG",
        LUN_TAKEN => "LUN_TAKEN",
        ABORTED => "ABORTED",
        ABORT_SUCCESS => "ABORT_SUCCESS",
        ALLOC_FAILURE => "ALLOC_FAILURE",
        ALREADY => "ALREADY",
        TIMEOUT => "TIMEOUT",
        NOT_SUPPORTED => "NOT_SUPPORTED",
        BADSTATE => "BADSTATE",
        _ => return None,
    })
}

/// Bits of `task_flags`.
pub mod task_flags {
    /// Write data comes with the command.
    pub const INITIAL_BURST: u8 = 0x80;
    /// The command reads.
    pub const READ_DATA: u8 = 0x40;
    /// The command writes.
    pub const WRITE_DATA: u8 = 0x20;
    /// The bits of the task attribute, one of the following.
    pub const ATTRIBUTE_MASK: u8 = 0x07;
    /// No attribute.
    pub const UNTAGGED: u8 = 0;
    /// SIMPLE.
    pub const SIMPLE: u8 = 1;
    /// ORDERED.
    pub const ORDERED: u8 = 2;
    /// HEAD OF QUEUE.
    pub const HEAD_OF_QUEUE: u8 = 3;
    /// ACA.
    pub const ACA: u8 = 4;
}

/// Values of `task_mgmt_function`.
pub mod task_management {
    /// Not task management: a command.
    pub const NONE: u8 = 0;
    /// ABORT TASK.
    pub const ABORT_TASK: u8 = 1;
    /// ABORT TASK SET.
    pub const ABORT_TASK_SET: u8 = 2;
    /// CLEAR ACA.
    pub const CLEAR_ACA: u8 = 3;
    /// CLEAR TASK SET.
    pub const CLEAR_TASK_SET: u8 = 4;
    /// LOGICAL UNIT RESET.
    pub const LUN_RESET: u8 = 5;
    /// Warm reset of the target.
    pub const TARGET_WARM_RESET: u8 = 6;
    /// Cold reset of the target.
    pub const TARGET_COLD_RESET: u8 = 7;
    /// Reset of the target.
    pub const TARGET_RESET: u8 = 9;

    /// The name of a function, if it has one.
    pub const fn name(function: u8) -> Option<&'static str> {
        Some(match function {
            NONE => "none",
            ABORT_TASK => "abort task",
            ABORT_TASK_SET => "abort task set",
            CLEAR_ACA => "clear ACA",
            CLEAR_TASK_SET => "clear task set",
            LUN_RESET => "LUN reset",
            TARGET_WARM_RESET => "target warm reset",
            TARGET_COLD_RESET => "target cold reset",
            TARGET_RESET => "target reset",
            _ => return None,
        })
    }
}

/// Bits of the `flags` of a SCSI status: what its `resid` counts.
pub mod residual_flags {
    /// The command asks for so many bytes more than the initiator expects.
    pub const OVERFLOW: u8 = 1;
    /// So many bytes fewer were transferred than the initiator expects.
    pub const UNDERFLOW: u8 = 2;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_seen_in_recorded_messages() {
        assert_eq!(NOT_FOUND, 1_152_921_508_901_814_272);
        assert_eq!(INVALID_ARG, 1_152_921_513_196_781_568);
        assert_eq!(ALREADY, 1_152_921_538_966_585_344);
        assert_eq!(BUSY, 1_188_950_301_625_810_944);
        assert_eq!(name(BUSY), Some("BUSY"));
        assert_eq!(name(1), None);
    }
}
