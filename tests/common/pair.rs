// SPDX-License-Identifier: MPL-2.0
//! The pair of nodes that tests and benches of worlds start from: a port on each node, relays that
//! have found each other, and a LU that is active on node 1.

use std::time::Duration;
use stmf_sim::kernel::sbd::{Disk, Fill, MemoryStore};
use stmf_sim::world::{NodeError, PortConfig, World};

/// The LU.
pub const LU: [u8; 16] = [0x60; 16];

/// Puts its disk into the world: 1 MiB, of which only what is written takes memory.
pub fn insert_disk(world: &World, fill: Fill) {
    let disk = Disk::shared(MemoryStore::new(1 << 20, fill));
    world.disks().insert(LU, disk);
}

/// Sets up the pair, and waits until the relays have found each other.
pub async fn set_up(world: &World) -> Result<(), NodeError> {
    for node in world.nodes() {
        node.add_port(PortConfig::default()).await?;
        node.start_relay()?;
    }
    world.node(1).add_lu(LU, true).await?;
    for node in world.nodes() {
        assert!(node.wait_for_alua(Duration::from_secs(60)).await?);
    }
    Ok(())
}
