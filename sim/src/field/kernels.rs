// SPDX-License-Identifier: MPL-2.0
//! Failures of kernels and their C library.
//!
//! | file | what |
//! | --- | --- |
//! | `dialects.rs` | kernels of two ages in one pair |
//! | `tasks.rs` | tasks and task management |
//! | `setup.rs` | the ALUA state, ports and the door |
//! | `data.rs` | reads and where their data goes |

use super::{Failure, Variant};
use crate::kernel::KernelConfig;
use crate::kernel::sbd::{Disk, Fill, MemoryStore};
use crate::scsi::cdb;
use crate::world::{Builder, Initiator, NodeError, Path, PortConfig, Reply, Transfer, World};
use std::time::Duration;

mod data;
mod dialects;
mod setup;
mod tasks;

pub(super) const FAILURES: &[Failure] = &[
    dialects::OLD_RESET,
    dialects::MIXED,
    tasks::GONE_LU,
    setup::REGISTRATION_FAILS,
    tasks::OLD_MESSAGE_ID,
    data::PIECES,
    setup::STANDBY_LUS,
    tasks::UNHELD,
    setup::RECURSIVE_LOCK,
    setup::BOTH_NODE_0,
    tasks::ASSERTION,
    data::SLOW_READS,
    setup::TRUNCATED,
    setup::INIT_LEAK,
    data::BIG_READ,
];

/// The LU of every scenario.
const LU: [u8; 16] = [
    0x60, 0x01, 0x44, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01,
];

/// How long relays may take to find each other.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long initiators wait for a command.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A moment: longer than a message travels.
const MOMENT: Duration = Duration::from_millis(10);

/// Both nodes with the kernel that `change` makes of an ordinary one, if it is to be broken.
fn both(variant: Variant, change: impl FnOnce(&mut KernelConfig)) -> Builder {
    World::builder().kernel(kernel(variant, change))
}

/// A kernel with a defect, or without.
fn kernel(variant: Variant, change: impl FnOnce(&mut KernelConfig)) -> KernelConfig {
    let mut config = KernelConfig::default();
    if variant == Variant::Broken {
        change(&mut config);
    }
    config
}

fn insert_disk(world: &World) {
    let disk = Disk::shared(MemoryStore::new(1 << 20, Fill::RECORDED));
    world.disks().insert(LU, disk);
}

/// An initiator that does not wait long.
fn host(world: &World) -> Initiator {
    let host = world.initiator();
    host.set_timeout(TIMEOUT);
    host
}

/// Both nodes up and linked, with a port each; the LU is active on node 1.
async fn start(world: &World, port: &PortConfig) -> Result<(), NodeError> {
    insert_disk(world);
    for node in world.nodes() {
        node.add_port(port.clone()).await?;
        node.start_relay()?;
    }
    world.node(1).add_lu(LU, true).await?;
    for node in world.nodes() {
        node.wait_for_alua(PATIENCE).await?;
    }
    world.sleep(MOMENT).await;
    Ok(())
}

/// The same with a host, and its path to the standby node 0.
async fn start_with_path(world: &World) -> Result<(Initiator, Path), NodeError> {
    start(world, &PortConfig::default()).await?;
    let host = host(world);
    let path = world.node(0).login(&host, 0).await?;
    Ok((host, path))
}

async fn test_unit_ready(path: &Path) -> Reply {
    path.command([0; 8], &cdb::test_unit_ready(), Transfer::None)
        .await
}

async fn read(path: &Path, lba: u32, blocks: u16) -> Reply {
    let length = u32::from(blocks) * 512;
    path.command([0; 8], &cdb::read_10(lba, blocks), Transfer::Read(length))
        .await
}
