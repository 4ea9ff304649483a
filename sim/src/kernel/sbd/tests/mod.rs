// SPDX-License-Identifier: MPL-2.0
//! Tests of the logical unit as a whole, and what they share.

mod commands;
mod model;
mod persistent;
mod properties;
mod recorded;
mod states;

use super::*;
use crate::scsi::{Sense, Status};

/// The nexus of session `session_id`: each its own initiator, all on one port.
pub(super) fn nexus(session_id: u64) -> Nexus {
    let name = format!("iqn.1993-08.org.debian:01:i{session_id}");
    Nexus {
        session_id,
        id: NexusId {
            initiator: crate::scsi::transport::iscsi(&name).unwrap().into(),
            target_port: b"iqn.2010-08.org.illumos:t1"[..].into(),
        },
        relative_port_id: 1,
        through_proxy: false,
    }
}

pub(super) const GUID: [u8; 16] = [0x60, 1, 0x44, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// A node with ALUA on, whose number is its target port group.
struct Node(u16);

impl Environment for Node {
    fn alua_enabled(&self) -> bool {
        true
    }
    fn target_port_group(&self, nexus: &Nexus) -> u16 {
        if nexus.through_proxy {
            1 - self.0
        } else {
            self.0
        }
    }
    fn target_port_groups(&self) -> Vec<TargetPortGroup> {
        TargetPortGroup::of_two_nodes(self.0, vec![1], 1 - self.0, vec![256])
    }
}

/// A disk of 2,048 blocks of 512 bytes with the content of the recordings.
fn disk() -> SharedDisk {
    Disk::shared(MemoryStore::new(2048 * 512, Fill::RECORDED))
}

fn unit(disk: &SharedDisk, access: AccessState) -> LogicalUnit {
    LogicalUnit::new(Config::new(GUID), disk.clone(), access).unwrap()
}

/// An active unit on a new disk that the sessions 1 to 4 have already heard "power on" from.
fn quiet_unit() -> LogicalUnit {
    let mut unit = unit(&disk(), AccessState::Active);
    for session in 1..=4 {
        assert_eq!(
            sense_of(run(&mut unit, session, &[0; 6], &[]).0),
            Sense::POWER_ON
        );
    }
    unit
}

fn sense_of(completion: Completion) -> Sense {
    assert_eq!(completion.status, Status::CHECK_CONDITION);
    completion.sense.unwrap()
}

/// How a command ended: status, and the data that it returned.
type Ended = (Completion, Vec<u8>);

fn run_as(unit: &mut LogicalUnit, nexus: &Nexus, cdb: &[u8], data: &[u8]) -> Ended {
    let (outcome, data) = run_fully(unit, nexus, cdb, data).expect("a command that is not proxied");
    (outcome.completion, data)
}

fn run(unit: &mut LogicalUnit, session: u64, cdb: &[u8], data: &[u8]) -> Ended {
    run_as(unit, &nexus(session), cdb, data)
}

/// Runs a command as the framework would, in pieces of 1,000 bytes; `Err` if it is for the other
/// node, with the length of data to send along.
fn run_fully(
    unit: &mut LogicalUnit,
    nexus: &Nexus,
    cdb: &[u8],
    data: &[u8],
) -> Result<(Outcome, Vec<u8>), u32> {
    const PIECE: u64 = 1000;
    match unit.begin(nexus, cdb, data.len() as u64, &Node(0)) {
        Execution::Done(completion) => Ok((completion.into(), Vec::new())),
        Execution::Proxy { data_out } => Err(data_out),
        Execution::DataIn(transfer) => {
            let mut received = vec![0; transfer.length() as usize];
            for (at, piece) in (0..).step_by(PIECE as usize).zip(received.chunks_mut(1000)) {
                if let Err(completion) = unit.read(&transfer, at, piece) {
                    return Ok((completion.into(), Vec::new()));
                }
            }
            Ok((Completion::GOOD.into(), received))
        }
        Execution::DataOut(mut transfer) => {
            for (at, piece) in (0..).step_by(PIECE as usize).zip(data.chunks(1000)) {
                if let Err(completion) = unit.write(&mut transfer, at, piece) {
                    return Ok((completion.into(), Vec::new()));
                }
            }
            Ok((unit.finish(transfer), Vec::new()))
        }
    }
}

/// What a sound disk of the recordings holds in `blocks` blocks from `lba` on.
fn recorded_blocks(lba: u64, blocks: u64) -> Vec<u8> {
    (lba * 512..(lba + blocks) * 512)
        .map(|o| (o ^ (o >> 9)) as u8)
        .collect()
}
