// SPDX-License-Identifier: MPL-2.0
//! What goes wrong: with the network, doors and kernels.

use super::pen::Pen;
use crate::explore::act::{Act, Timed};
use crate::kernel::doors::DoorFault;
use crate::kernel::faults::{Allocation, KernelFault};
use crate::world::Ratio;
use crate::world::network::NetworkConfig;
use crate::world::trace::NodeId;
use std::time::Duration;
use stmf_proxy::message::MessageType;
use stmf_proxy::status::Errno;

pub(super) fn network(pen: &mut Pen) -> NetworkConfig {
    let mut network = NetworkConfig::default();
    match pen.below(6) {
        0 => network.jitter = Duration::ZERO,
        1 => network.jitter = Duration::from_millis(2),
        2 => network.latency = Duration::from_millis(5),
        _ => {}
    }
    match pen.below(12) {
        0..2 => network.cut = Ratio::new(1, 2),
        // Pieces of one byte make a message of a thousand of them.
        2 => network.largest_piece = Some(pen.of(&[200, 200, 1000, 1000, 1000, 33, 33, 1])),
        _ => {}
    }
    if pen.one_in(8) {
        network.bytes_per_second = Some(pen.of(&BANDWIDTHS));
    }
    network
}

/// Bytes a second of a link that is slower than the kernels expect: from a line of 8 Mbit/s on.
const BANDWIDTHS: [u64; 4] = [1_000_000, 12_500_000, 125_000_000, 1_000_000_000];

pub(super) fn link(pen: &mut Pen, to: &mut Vec<Timed>) {
    let (wait, node) = (pen.wait(), pen.node());
    let mut push = |wait, act| to.push(Timed { wait, act });
    match pen.below(11) {
        0..3 => push(wait, Act::Break),
        3 | 4 => push(wait, Act::HalfOpen { hears: node }),
        5 | 6 => {
            push(wait, Act::Hold { from: node });
            if pen.flip() {
                push(Duration::ZERO, Act::Hold { from: node ^ 1 });
            }
            if !pen.one_in(3) {
                let wait = pen.wait();
                push(wait, Act::Release { from: node });
                push(Duration::ZERO, Act::Release { from: node ^ 1 });
            }
        }
        7 | 8 => push(
            wait,
            Act::Damage {
                from: node,
                at_least: pen.of(&[32, 200, 1024]),
                bit: pen.below(1 << 20),
            },
        ),
        9 => push(
            wait,
            Act::SlowReader {
                from: node,
                bytes_per_second: pen.of(&[None, Some(30_000), Some(1_000_000), Some(100_000_000)]),
            },
        ),
        _ => push(wait, Act::Network(network(pen))),
    }
}

/// Programs that take the place of a relay for a while: of other versions, or with the wrong node
/// number.
pub(super) const OTHER_RELAYS: [&str; 3] =
    ["standard-version-2", "version-2-only", "standard-node-0"];

/// Messages that a fault of a door is aimed at, now and then.
pub(super) const DOOR_MESSAGES: [MessageType; 6] = [
    MessageType::RegisterProxyPort,
    MessageType::ScsiCommand,
    MessageType::ScsiData,
    MessageType::ScsiDataTransferDone,
    MessageType::ScsiStatus,
    MessageType::SessionDestroy,
];

pub(super) fn kernel_fault(pen: &mut Pen) -> KernelFault {
    let times = 1 + pen.below(2);
    match pen.below(8) {
        0 => KernelFault::Post {
            errno: pen.of(&[Errno::ENOMEM, Errno::EFAULT]),
            times,
        },
        1 | 2 => KernelFault::SlowRegistration {
            delay: pen.pause(),
            times,
        },
        _ => KernelFault::Allocation {
            place: pen.of(&Allocation::ALL),
            times,
        },
    }
}

/// A door call that the kernel has to try again, a second later.
pub(super) fn slow_answer(pen: &mut Pen, node: NodeId) -> Act {
    let fault = DoorFault::Errno {
        errno: Errno::EAGAIN,
        times: 1 + pen.below(2),
    };
    let only = None;
    Act::DoorFault { node, fault, only }
}

pub(super) fn door_fault(pen: &mut Pen) -> DoorFault {
    let times = 1 + pen.below(3);
    match pen.below(9) {
        8 => DoorFault::NoThread {
            delay: pen.pause(),
            times: 1,
        },
        0..3 => DoorFault::Errno {
            errno: Errno::EAGAIN,
            times,
        },
        3 => DoorFault::Errno {
            errno: Errno::EINTR,
            times,
        },
        4 => DoorFault::Errno {
            errno: Errno::E2BIG,
            times: 1,
        },
        5 => DoorFault::Errno {
            errno: Errno::EBADF,
            times: 1,
        },
        _ => DoorFault::Result {
            result: pen.of(&[1, 5, 11, 134]),
            times,
        },
    }
}
