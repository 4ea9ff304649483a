// SPDX-License-Identifier: MPL-2.0
//! A node of the simulator with ALUA on, to which anything is posted: messages sound, damaged and
//! random, one after the other and side by side, while its own initiators send commands, ports
//! and LUs come and go, upcalls wait or fail, and threads run in any order.
//!
//! On the profile hardened a node must neither panic nor hang, whatever is posted: when holds end
//! and upcalls are answered, every call returns, its lists are consistent, and closing the device
//! leaves nothing behind. On the profile illumos it may panic only in a trap that has a number,
//! and hang only for a hold on a session that trap 1 has leaked.

mod node;

use super::input::Input;
use super::sound;
use node::Node;
use std::time::Duration;
use stmf_proxy::message::Dialect;
use stmf_proxy::status::Errno;
use stmf_sim::kernel::doors::DoorFault;
use stmf_sim::kernel::play::NodeStep;
use stmf_sim::kernel::{KernelConfig, Profile};

/// So many things are done at most.
const STEPS_MOST: usize = 200;

/// When all holds have ended, whatever waits for time is over by then: proxied commands are given
/// up after 80 s.
const PATIENCE: Duration = Duration::from_secs(300);

/// The local port, and its initiator.
const PORT: &str = "iqn.2010-08.org.illumos:local";
const INITIATOR: &str = "iqn.2010-08.org.illumos:host";

/// Checks these bytes.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (config, how) = settings(&mut input);
    let hardened = config.profile == Profile::Hardened;
    let dialect = config.dialect;
    let schedule = input.byte();
    let mut node = Node::boot(config, schedule.into());
    set_up(&mut node, how);
    for _ in 0..STEPS_MOST {
        if input.is_empty() || node.panicked() {
            break;
        }
        step(&mut node, &mut input, dialect);
    }
    node.heal();
    node.pass(PATIENCE);
    if !node.panicked() {
        node.close();
        node.pass(PATIENCE);
    }
    node.judge(hardened);
}

/// The kernel, and the number of its node; over 1 nothing is set up.
fn settings(input: &mut Input<'_>) -> (KernelConfig, u8) {
    let byte = input.byte();
    let how = match byte >> 6 {
        3 => 2,
        number => number & 1,
    };
    let config = KernelConfig {
        profile: match byte & 1 {
            0 => Profile::Hardened,
            _ => Profile::Illumos,
        },
        dialect: match byte & 0x0e {
            0x0e => Dialect::Y2009,
            _ => Dialect::Current,
        },
        proxy_buffer: match byte & 0x10 {
            0 => KernelConfig::default().proxy_buffer,
            _ => 4096,
        },
        ..KernelConfig::default()
    };
    (config, how)
}

fn guid(number: u8) -> String {
    stmf_proxy::message::hex::encode(&sound::lu(number.max(1)))
}

fn add_lu(number: u8, active: bool) -> NodeStep {
    use stmf_sim::kernel::play::LuState;
    NodeStep::AddLu {
        guid: guid(number),
        state: if active {
            LuState::Active
        } else {
            LuState::Standby
        },
        lun: None,
        arg: None,
        rule: None,
    }
}

fn session(id: u64) -> NodeStep {
    NodeStep::Session {
        port: PORT.into(),
        initiator: INITIATOR.into(),
        id,
    }
}

/// The device open, a door, ALUA, a local port with an initiator, an active and a standby LU.
fn set_up(node: &mut Node, how: u8) {
    node.open();
    if how > 1 {
        return;
    }
    node.apply(NodeStep::Alua {
        enabled: Some(true),
        state: None,
        node: how.into(),
    });
    node.apply(NodeStep::AddPort {
        port: PORT.into(),
        alua: true,
    });
    node.apply(add_lu(1, true));
    node.apply(add_lu(2, false));
    node.apply(session(1));
    node.run();
}

/// One thing that the input says.
fn step(node: &mut Node, input: &mut Input<'_>, dialect: Dialect) {
    let what = input.byte();
    match what & 0x3f {
        0..=27 => {
            let wire = sound::wire(input, dialect);
            node.post(wire);
        }
        28 => node.post(input.run().to_vec()),
        29..=32 => node.apply(NodeStep::Scsi {
            port: PORT.into(),
            initiator: INITIATOR.into(),
            tag: input.below(8).into(),
            lun: u16::from(input.below(4)),
            cdb: stmf_proxy::message::hex::encode(&sound::cdb(input)),
            expected: u32::from(input.byte()) * 128,
            data: match input.byte() {
                0..=0x7f => None,
                length => Some("5a".repeat(usize::from(length & 0x7f) * 8)),
            },
            immediate: input.rarely(),
            flags: None,
        }),
        33 => node.apply(NodeStep::Tm {
            port: PORT.into(),
            initiator: INITIATOR.into(),
            tag: input.below(8).into(),
            lun: u16::from(input.below(4)),
            function: input.below(10),
        }),
        34 => node.apply(NodeStep::Abort {
            tag: input.below(8).into(),
        }),
        35 | 36 => {
            let milliseconds = match input.byte() {
                byte @ 0..=0xef => u64::from(byte) * 10,
                byte => u64::from(byte & 0xf) * 10_000,
            };
            return node.pass(Duration::from_millis(milliseconds));
        }
        37 => node.hold_lus(input.below(2) == 0),
        38 => node.apply(NodeStep::PortHold {
            on: input.below(2) == 0,
        }),
        39 => node.keep_upcalls(input.below(2) == 0),
        40 | 41 => node.answer_kept(u32::from(input.below(3))),
        42 => {
            let errno = [Errno::EAGAIN, Errno::EINTR, Errno::EBADF][usize::from(input.below(3))];
            let times = u64::from(input.below(5)) + 1;
            node.fail_door(DoorFault::Errno { errno, times });
        }
        43 => node.set_result(u32::from(input.below(2))),
        44 => node.apply(NodeStep::Alua {
            enabled: Some(input.below(2) == 0),
            state: None,
            node: input.below(2).into(),
        }),
        45 => node.close(),
        46 => node.open(),
        47 => {
            let port = PORT.into();
            node.apply(match input.below(2) {
                0 => NodeStep::RemovePort { port },
                _ => NodeStep::AddPort { port, alua: true },
            });
        }
        48 => {
            let number = input.below(4);
            node.apply(match input.below(3) {
                0 => NodeStep::RemoveLu { guid: guid(number) },
                1 => add_lu(number, true),
                _ => add_lu(number, false),
            });
        }
        49 => {
            let guid = guid(input.below(4));
            node.apply(match input.below(2) {
                0 => NodeStep::LuActive { guid },
                _ => NodeStep::LuStandby {
                    guid,
                    transition: None,
                },
            });
        }
        50 => node.apply(match input.below(2) {
            0 => NodeStep::EndSession {
                port: PORT.into(),
                initiator: INITIATOR.into(),
                no_abort: input.below(2) == 0,
            },
            _ => session(u64::from(input.below(8)) + 1),
        }),
        // The peer's ports and a command come often, because the rest needs them.
        51..=53 => node.post(sound::registration(input.below(sound::PORTS), dialect)),
        _ => node.run(),
    }
    // What begins runs as far as it comes, unless more is to begin beside it.
    if what & 0xc0 != 0xc0 {
        node.run();
    }
}
