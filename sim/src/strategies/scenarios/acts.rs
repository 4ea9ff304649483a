// SPDX-License-Identifier: MPL-2.0
//! What hosts of a scenario do.

use super::super::faults::{node, wait};
use crate::explore::{Act, Scsi, Timed};
use crate::scsi::reservation::{OutAction, ReservationType};
use proptest::prelude::*;
use proptest::sample::select;

/// Kinds of things that hosts do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Traffic {
    /// Reads and writes.
    Data,
    /// Commands that ask what is there.
    Discovery,
    /// Reservations of both kinds.
    Reservations,
    /// Task management functions.
    Management,
    /// Hosts that log out, and in again with their next command.
    Sessions,
}

impl Traffic {
    /// All of them.
    pub const ALL: [Traffic; 5] = [
        Traffic::Data,
        Traffic::Discovery,
        Traffic::Reservations,
        Traffic::Management,
        Traffic::Sessions,
    ];
}

fn data() -> BoxedStrategy<Scsi> {
    let lba = || prop_oneof![0..8u32, 0..2048u32];
    let blocks = || prop_oneof![6 => 1..=8u16, 2 => 64..=256u16, 1 => 256..=1656u16];
    prop_oneof![
        1 => Just(Scsi::TestUnitReady),
        1 => Just(Scsi::Synchronize),
        9 => (lba(), blocks()).prop_map(|(lba, blocks)| Scsi::Read { lba, blocks }),
        9 => (lba(), blocks(), any::<bool>()).prop_map(|(lba, blocks, immediate)| Scsi::Write {
            lba,
            blocks: blocks.min(256),
            immediate,
        }),
    ]
    .boxed()
}

fn discovery() -> BoxedStrategy<Scsi> {
    prop_oneof![
        select(vec![
            Scsi::TestUnitReady,
            Scsi::Inquiry,
            Scsi::RequestSense,
            Scsi::ReadCapacity,
            Scsi::ReportLuns,
            Scsi::ReportTargetPortGroups,
            Scsi::ReadBeyond,
            Scsi::Unknown,
            Scsi::StartStopUnit { start: true },
        ]),
        select(vec![0x00u8, 0x80, 0x83, 0x86, 0x99]).prop_map(Scsi::InquiryPage),
        select(vec![0x03u8, 0x04, 0x08, 0x0a, 0x3f]).prop_map(Scsi::ModeSense),
        any::<bool>().prop_map(|write_cache| Scsi::ModeSelect { write_cache }),
    ]
    .boxed()
}

fn reservations() -> BoxedStrategy<Scsi> {
    let action = select(OutAction::ALL.to_vec());
    let kind = select(ReservationType::ALL.to_vec());
    let out = (action, kind, 0..4u8, any::<bool>());
    prop_oneof![
        3 => Just(Scsi::Reserve),
        2 => Just(Scsi::Release),
        2 => (0..4u8).prop_map(Scsi::PersistentReserveIn),
        9 => out.prop_map(|(action, kind, other, persistent)| Scsi::PersistentReserveOut {
            action,
            kind,
            other,
            persistent,
        }),
    ]
    .boxed()
}

/// A SCSI command of a kind; any command for kinds that are no commands.
pub fn command(traffic: Traffic) -> BoxedStrategy<Scsi> {
    match traffic {
        Traffic::Data => data(),
        Traffic::Discovery => discovery(),
        Traffic::Reservations => reservations(),
        Traffic::Management | Traffic::Sessions => {
            prop_oneof![discovery(), data(), reservations()].boxed()
        }
    }
}

/// An act of a host, and how long after the one before it.
pub(super) fn act(traffic: Traffic) -> BoxedStrategy<Vec<Timed>> {
    let path = || (0..4u8, node(), 0..4u8);
    let act = match traffic {
        Traffic::Management => {
            let function = select(vec![5u8, 1, 2, 3, 4, 6, 7, 9]);
            (path(), 0..4u8, function)
                .prop_map(|((host, node, port), lu, function)| Act::Manage {
                    host,
                    node,
                    port,
                    lu,
                    function,
                })
                .boxed()
        }
        Traffic::Sessions => path()
            .prop_map(|(host, node, port)| Act::Logout { host, node, port })
            .boxed(),
        _ => (path(), 0..4u8, command(traffic))
            .prop_map(|((host, node, port), lu, command)| Act::Command {
                host,
                node,
                port,
                lu,
                command,
            })
            .boxed(),
    };
    (wait(), act)
        .prop_map(|(wait, act)| vec![Timed { wait, act }])
        .boxed()
}
