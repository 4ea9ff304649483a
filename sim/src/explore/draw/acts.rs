// SPDX-License-Identifier: MPL-2.0
//! Acts of each kind.

use super::Draw;
use super::families::Sort;
use super::faults::{DOOR_MESSAGES, OTHER_RELAYS, door_fault, kernel_fault, link};
use super::hosts::{scsi_data, scsi_discovery, scsi_reservation};
use super::impatience::impatience;
use super::pen::Pen;
use crate::explore::act::{Act, Timed};
use crate::world::{DiskFault, DiskFaultKind};
use std::time::Duration;

/// Acts of a sort: one, or several that belong together.
pub(super) fn acts(pen: &mut Pen, sort: Sort, from: &Draw, to: &mut Vec<Timed>) {
    let wait = pen.wait();
    let mut push = |act| to.push(Timed { wait, act });
    let (host, node, port, lu) = (pen.small(4), pen.node(), pen.small(4), pen.small(4));
    let command = |command| Act::Command {
        host,
        node,
        port,
        lu,
        command,
    };
    match sort {
        Sort::Data => push(command(scsi_data(pen))),
        Sort::Discovery => push(command(scsi_discovery(pen))),
        Sort::Reservation => push(command(scsi_reservation(pen))),
        Sort::Management => push(Act::Manage {
            host,
            node,
            port,
            lu,
            function: pen.of(&[1, 2, 4, 5, 5, 5, 5, 6, 7, 9, 3]),
        }),
        Sort::Session => push(Act::Logout { host, node, port }),
        Sort::Port => push(match pen.below(4) {
            0 => Act::AddPort {
                node,
                buffer_size: pen.of(&[128 << 10, 64 << 10]),
            },
            _ => Act::RemovePort {
                node,
                port,
                again: !pen.one_in(4),
            },
        }),
        Sort::FailOver => push(match pen.below(8) {
            0 => Act::Standby { node, lu },
            1 => Act::FailOver {
                to: node,
                lu,
                orderly: false,
            },
            _ => Act::FailOver {
                to: node,
                lu,
                orderly: true,
            },
        }),
        Sort::Unit => push(match pen.below(2) {
            0 => Act::RemoveLu { node, lu },
            _ => Act::AddLu {
                node,
                lu,
                active: pen.flip(),
            },
        }),
        Sort::Alua => push(Act::SetAlua {
            node,
            enabled: pen.flip(),
            number: match pen.one_in(8) {
                true => u32::from(node ^ 1),
                false => u32::from(node),
            },
        }),
        Sort::Relay => {
            push(match pen.below(12) {
                0..5 => Act::StopRelay { node },
                5..9 => Act::KillRelay { node },
                9 => Act::ReplaceRelay {
                    node,
                    relay: pen.of(&OTHER_RELAYS),
                },
                _ => Act::StartRelay { node },
            });
            if !pen.one_in(4) {
                let wait = pen.wait();
                let act = Act::StartRelay { node };
                to.push(Timed { wait, act });
            }
        }
        Sort::Power if pen.one_in(3) => push(Act::Pause {
            node,
            duration: pen.pause(),
        }),
        Sort::Power => {
            push(Act::PowerOff { node });
            if !pen.one_in(4) {
                let wait = pen.wait();
                let act = Act::Boot { node };
                to.push(Timed { wait, act });
            }
        }
        Sort::Link => link(pen, to),
        Sort::Impatience => impatience(pen, from, to),
        Sort::Door => push(Act::DoorFault {
            node,
            fault: door_fault(pen),
            only: match pen.one_in(4) {
                true => Some(pen.of(&DOOR_MESSAGES)),
                false => None,
            },
        }),
        Sort::Kernel if pen.one_in(4) => {
            push(Act::SetService {
                node,
                enabled: false,
            });
            let wait = pen.wait();
            let act = Act::SetService {
                node,
                enabled: true,
            };
            to.push(Timed { wait, act });
        }
        Sort::Kernel => push(Act::KernelFault {
            node,
            fault: kernel_fault(pen),
        }),
        Sort::Disk => push(Act::DiskFault {
            lu,
            fault: DiskFault::everywhere(
                pen.of(&[
                    DiskFaultKind::Read,
                    DiskFaultKind::Write,
                    DiskFaultKind::Slow(Duration::from_millis(3)),
                    DiskFaultKind::Slow(Duration::from_secs(2)),
                ]),
                1 + pen.below(4) as u32,
            ),
        }),
    }
}
