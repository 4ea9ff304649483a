// SPDX-License-Identifier: MPL-2.0
//! What hosts of a scenario send.

use super::pen::Pen;
use crate::explore::act::Scsi;
use crate::scsi::reservation::{OutAction, ReservationType};

pub(super) fn scsi_data(pen: &mut Pen) -> Scsi {
    let size = match pen.large {
        true => 27 + pen.below(13),
        false => pen.below(40),
    };
    let blocks = match size {
        0..22 => 1 + pen.below(4),
        22..31 => 8,
        31..35 => 64 + pen.below(192),
        35..39 => 257 + pen.below(256),
        // More than a server thread with a default stack has room for.
        _ => 500 + pen.below(1400),
    } as u16;
    let lba = match pen.flip() {
        true => pen.below(8),
        false => pen.below(2048),
    } as u32;
    match pen.below(20) {
        0..10 => Scsi::Read { lba, blocks },
        10..18 => Scsi::Write {
            lba,
            blocks: blocks.min(256),
            immediate: pen.flip(),
        },
        18 => Scsi::Synchronize,
        _ => Scsi::TestUnitReady,
    }
}

pub(super) fn scsi_discovery(pen: &mut Pen) -> Scsi {
    match pen.below(14) {
        0 | 1 => Scsi::Inquiry,
        2 => Scsi::InquiryPage(pen.of(&[0x00, 0x80, 0x83, 0x86, 0x99])),
        3 => Scsi::RequestSense,
        4 => Scsi::ReadCapacity,
        5 | 6 => Scsi::ReportLuns,
        7 => Scsi::ReportTargetPortGroups,
        8 => Scsi::ModeSense(pen.of(&[0x03, 0x04, 0x08, 0x0a, 0x3f])),
        9 => Scsi::ModeSelect {
            write_cache: pen.flip(),
        },
        10 => Scsi::StartStopUnit { start: true },
        11 => Scsi::ReadBeyond,
        12 => Scsi::Unknown,
        _ => Scsi::TestUnitReady,
    }
}

pub(super) fn scsi_reservation(pen: &mut Pen) -> Scsi {
    use OutAction::*;
    match pen.below(16) {
        0..3 => Scsi::Reserve,
        3 | 4 => Scsi::Release,
        5 | 6 => Scsi::PersistentReserveIn(pen.small(4)),
        _ => Scsi::PersistentReserveOut {
            action: pen.of(&[
                RegisterAndIgnore,
                RegisterAndIgnore,
                RegisterAndIgnore,
                Register,
                Reserve,
                Reserve,
                Reserve,
                Release,
                Clear,
                Preempt,
                PreemptAndAbort,
            ]),
            kind: pen.of(&ReservationType::ALL),
            other: pen.small(4),
            persistent: pen.one_in(4),
        },
    }
}
