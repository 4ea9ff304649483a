// SPDX-License-Identifier: MPL-2.0
//! What happens in the failures of relays. Node 1 serves the LU; node 0 is the standby path.
//!
//! Only calls that traces hold are used here, so that each run can be made again from its trace.

use crate::kernel::sbd::{Disk, Fill, MemoryStore};
use crate::relays;
use crate::scsi::cdb;
use crate::world::{Initiator, NodeError, Path, PortConfig, StandardRelay, Transfer, World};
use std::time::Duration;

const LU: [u8; 16] = [0x60; 16];

/// Bytes of the disk.
const SIZE: u64 = 64 << 10;

/// How long an operator waits for the relays to find each other.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was begun has come to an end after that, but for time-outs.
const MOMENT: Duration = Duration::from_secs(1);

/// How long hosts wait that do not want to know about the kernel's own time-out of 75 s.
const SHORT: Duration = Duration::from_secs(5);

type Played = Result<(), NodeError>;

/// Ports on both nodes, the LU on node 1.
async fn equip(world: &World) -> Played {
    let disk = Disk::shared(MemoryStore::new(SIZE, Fill::RECORDED));
    world.disks().insert(LU, disk);
    for node in world.nodes() {
        node.add_port(PortConfig::default()).await?;
    }
    world.node(1).add_lu(LU, true).await
}

async fn start_relays(world: &World) -> Played {
    world.step("start the relays");
    for node in world.nodes() {
        node.start_relay()?;
    }
    for node in world.nodes() {
        node.wait_for_alua(PATIENCE).await?;
    }
    world.sleep(MOMENT).await;
    Ok(())
}

/// Reads one block; whether that went well.
async fn read(path: &Path) -> bool {
    let reply = path
        .command([0; 8], &cdb::read_10(0, 1), Transfer::Read(512))
        .await;
    reply.outcome.is_good()
}

/// While a LU does not know a host it answers all but the first of its commands with BUSY.
async fn log_in(world: &World, host: &Initiator) -> Result<Path, NodeError> {
    let path = world.node(0).login(host, 0).await?;
    read(&path).await;
    Ok(path)
}

fn host(world: &World, timeout: Duration) -> Initiator {
    let host = world.initiator();
    host.set_timeout(timeout);
    host
}

/// Node 0 loses its power and comes back as it was.
async fn reboot(world: &World) -> Played {
    world.step("reboot node 0");
    let node = world.node(0);
    node.power_off();
    node.boot();
    node.add_port(PortConfig::default()).await?;
    node.start_relay()?;
    node.wait_for_alua(PATIENCE).await?;
    world.sleep(MOMENT).await;
    Ok(())
}

pub(super) async fn reorder(world: World) -> Played {
    let port = || PortConfig {
        name: Some("wwn.2100000000000001".into()),
        ..PortConfig::default()
    };
    equip(&world).await?;
    world.node(0).add_port(port()).await?;
    start_relays(&world).await?;
    world.step("remove a port of node 0 and add it again");
    world.node(0).remove_port(1).await?;
    let port = world.node(0).add_port(port()).await?;
    world.sleep(MOMENT).await;
    world.step("read through it");
    let host = host(&world, SHORT);
    let path = world.node(0).login(&host, port).await?;
    read(&path).await;
    Ok(())
}

pub(super) async fn back_pressure(world: World) -> Played {
    equip(&world).await?;
    for node in world.nodes() {
        for _ in 0..2 {
            node.add_port(PortConfig::default()).await?;
        }
    }
    start_relays(&world).await?;
    world.step("read");
    let host = host(&world, SHORT);
    let path = world.node(0).login(&host, 0).await?;
    read(&path).await;
    Ok(())
}

pub(super) async fn ghost_session(world: World) -> Played {
    equip(&world).await?;
    start_relays(&world).await?;
    world.step("two hosts log in, the second one reads");
    let (first, second) = (world.initiator(), world.initiator());
    world.node(0).login(&first, 0).await?;
    let path = world.node(0).login(&second, 0).await?;
    read(&path).await;
    reboot(&world).await?;
    world.step("the second host comes first now, and reads");
    let path = world.node(0).login(&second, 0).await?;
    read(&path).await;
    Ok(())
}

pub(super) async fn reboot_panic(world: World) -> Played {
    equip(&world).await?;
    start_relays(&world).await?;
    world.step("one host reads");
    let (one, other) = (host(&world, SHORT), host(&world, SHORT));
    let path = world.node(0).login(&one, 0).await?;
    read(&path).await;
    reboot(&world).await?;
    world.step("another host comes first now, and reads");
    let path = world.node(0).login(&other, 0).await?;
    read(&path).await;
    Ok(())
}

pub(super) async fn leaked_hold(world: World) -> Played {
    equip(&world).await?;
    start_relays(&world).await?;
    let hosts = [host(&world, SHORT), host(&world, SHORT)];
    world.step("two hosts read");
    for host in &hosts {
        let path = world.node(0).login(host, 0).await?;
        read(&path).await;
    }
    reboot(&world).await?;
    world.step("they come back in another order, and read");
    for host in hosts.iter().rev() {
        let path = world.node(0).login(host, 0).await?;
        read(&path).await;
    }
    Ok(())
}

pub(super) async fn double_done(world: World) -> Played {
    /// As many as the relay remembers: which of them brings the node down is a matter of chance.
    const READS: usize = 16;
    equip(&world).await?;
    start_relays(&world).await?;
    let host = host(&world, SHORT);
    let path = world.node(0).login(&host, 0).await?;
    world.step("read");
    for _ in 0..READS {
        read(&path).await;
    }
    world.step("the link breaks and comes back");
    world.network().break_connections(0, 1);
    world.sleep(SHORT).await;
    read(&path).await;
    Ok(())
}

pub(super) async fn stop_panic(world: World) -> Played {
    /// Hosts that read at the same time, and how often each does.
    const READERS: usize = 4;
    const READS: usize = 10;
    /// Less than the time of a read, so that some data is on its way at any time.
    const APART: Duration = Duration::from_micros(200);
    equip(&world).await?;
    start_relays(&world).await?;
    world.step("hosts read");
    for _ in 0..READERS {
        let path = log_in(&world, &host(&world, SHORT)).await?;
        world.spawn("reader", async move {
            for _ in 0..READS {
                if !read(&path).await {
                    return;
                }
            }
        });
        world.sleep(APART).await;
    }
    world.sleep(Duration::from_millis(2)).await;
    world.step("stop the relay of node 1");
    world.node(1).stop_relay();
    world.sleep(SHORT).await;
    Ok(())
}

pub(super) async fn bad_message(world: World) -> Played {
    /// Longer than anything on the link but commands.
    const LEAST: usize = 1024;
    /// In the name of the first field of a command that is looked up before its rport: byte 100 of
    /// the message, which stands behind its length.
    const BIT: u64 = 8 * (4 + 100);
    equip(&world).await?;
    start_relays(&world).await?;
    let host = host(&world, SHORT);
    let path = world.node(0).login(&host, 0).await?;
    read(&path).await;
    world.step("a bit of the next command is turned over");
    world.network().damage(0, 1, LEAST, BIT);
    read(&path).await;
    world.sleep(SHORT).await;
    read(&path).await;
    Ok(())
}

pub(super) async fn early_post(world: World) -> Played {
    equip(&world).await?;
    if let Some(quick) = relays::by_name(StandardRelay::NAME) {
        world.node(1).set_relay(quick);
    }
    world.step("start the relays");
    for node in world.nodes() {
        node.start_relay()?;
    }
    world.sleep(SHORT).await;
    Ok(())
}

pub(super) async fn lost_result(world: World) -> Played {
    /// More than the short queue has room for.
    const READS: usize = 6;
    equip(&world).await?;
    start_relays(&world).await?;
    world.sleep(PATIENCE).await;
    let path = log_in(&world, &world.initiator()).await?;
    world.step("a burst of reads");
    for _ in 0..READS {
        let path = path.clone();
        world.spawn("reader", async move {
            read(&path).await;
        });
    }
    world.sleep(MOMENT).await;
    Ok(())
}

pub(super) async fn same_node(world: World) -> Played {
    equip(&world).await?;
    world.step("start the relays");
    for node in world.nodes() {
        node.start_relay()?;
    }
    world.sleep(SHORT).await;
    Ok(())
}
