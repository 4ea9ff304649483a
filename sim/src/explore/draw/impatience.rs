// SPDX-License-Identifier: MPL-2.0
//! Hosts that lose patience: they give up what takes too long, and try again at once.
//!
//! Around that many things meet: what was given up is answered late, its resources are used again,
//! and the kernel may just be busy with something else. Each part of it is drawn or left out.

use super::Draw;
use super::faults::slow_answer;
use super::hosts::{scsi_data, scsi_discovery};
use super::pen::Pen;
use crate::explore::act::{Act, Scsi, Timed};
use crate::world::trace::NodeId;
use crate::world::{DiskFault, DiskFaultKind};
use std::time::Duration;
use stmf_proxy::message::status::task_management::{
    ABORT_TASK, ABORT_TASK_SET, LUN_RESET, TARGET_RESET,
};

/// From where to where hosts send.
#[derive(Clone, Copy)]
struct Way {
    host: u8,
    node: NodeId,
    port: u8,
    lu: u8,
}

impl Way {
    fn command(self, command: Scsi) -> Act {
        let Way {
            host,
            node,
            port,
            lu,
        } = self;
        Act::Command {
            host,
            node,
            port,
            lu,
            command,
        }
    }
}

/// Something is slow, commands are given up, and hosts send new ones.
pub(super) fn impatience(pen: &mut Pen, from: &Draw, to: &mut Vec<Timed>) {
    let may = |group: &str| from.faults.contains(&group);
    let way = Way {
        host: pen.small(4),
        node: pen.node(),
        port: pen.small(2),
        lu: pen.small(4),
    };
    let other = Way {
        host: way.host.wrapping_add(1),
        ..way
    };
    let first = pen.wait();
    let mut push = |wait, act| to.push(Timed { wait, act });
    // What was asked for comes late.
    let held = may("link") && !pen.one_in(3);
    match held {
        true => push(first, Act::Hold { from: way.node ^ 1 }),
        false if may("disk") => push(
            first,
            Act::DiskFault {
                lu: way.lu,
                fault: DiskFault::everywhere(
                    DiskFaultKind::Slow(Duration::from_millis(pen.of(&[1, 3, 1000]))),
                    1 + pen.small(3) as u32,
                ),
            },
        ),
        false => {}
    }
    for _ in 0..1 + pen.below(2) {
        let command = some_command(pen);
        push(short(pen), way.command(command));
    }
    // It is given up: by the host that waits, or by another one on either node.
    let wait = moment(pen);
    let given_up = match pen.below(4) {
        0 => Act::Logout {
            host: way.host,
            node: way.node,
            port: way.port,
        },
        _ => Act::Manage {
            host: pen.of(&[way, other]).host,
            node: way.node ^ u8::from(pen.one_in(3)),
            port: way.port,
            lu: way.lu,
            function: pen.of(&[
                LUN_RESET,
                LUN_RESET,
                ABORT_TASK,
                ABORT_TASK_SET,
                TARGET_RESET,
            ]),
        },
    };
    if may("door") && pen.one_in(3) {
        let node = pen.node();
        push(wait, slow_answer(pen, node));
    }
    push(moment(pen), given_up);
    // The kernel is busy with telling its peer something.
    if pen.flip() {
        let wait = moment(pen);
        if may("door") {
            push(wait, slow_answer(pen, way.node));
        }
        let busy = match may("operator") && pen.flip() {
            true => Act::AddPort {
                node: way.node,
                buffer_size: 128 << 10,
            },
            false => Act::Logout {
                host: pen.of(&[way, other]).host,
                node: way.node,
                port: way.port,
            },
        };
        push(Duration::ZERO, busy);
    }
    if held {
        push(moment(pen), Act::Release { from: way.node ^ 1 });
    }
    for _ in 0..1 + pen.below(2) {
        let (way, command) = (pen.of(&[way, other]), some_command(pen));
        push(moment(pen), way.command(command));
    }
}

fn some_command(pen: &mut Pen) -> Scsi {
    match pen.flip() {
        true => scsi_data(pen),
        false => scsi_discovery(pen),
    }
}

fn short(pen: &mut Pen) -> Duration {
    pen.micros(100)
}

/// About as long as it takes to hear from the peer.
fn moment(pen: &mut Pen) -> Duration {
    pen.micros(1_500)
}
