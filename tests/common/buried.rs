// SPDX-License-Identifier: MPL-2.0
//! A failure buried among the commands of several hosts, link breaks and other noise.

use std::path::Path;
use std::time::Duration;
use stmf_proxy::status::Errno;
use stmf_sim::kernel::doors::DoorFault;
use stmf_sim::kernel::sbd::{Disk, Fill, MemoryStore};
use stmf_sim::recording::{self, Settings};
use stmf_sim::scsi::cdb;
use stmf_sim::world::random::Random;
use stmf_sim::world::{Builder, NodeError, PortConfig, Transfer, World};

pub const LU: [u8; 16] = [0x60; 16];
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How many hosts there are; the even ones use the standby path.
pub const HOSTS: u64 = 4;

/// Two nodes that are given up soon when nothing goes on.
pub fn impatient_world(seed: u64) -> Builder {
    World::builder().seed(seed).patience(PATIENCE)
}

/// So many commands of random kinds and sizes from one host.
async fn host(world: World, number: u64, commands: u64) -> Result<(), NodeError> {
    let mut random = Random::stream(77, number);
    let host = world.initiator();
    host.set_timeout(Duration::from_secs(2));
    let node = world.node((number % 2) as u8);
    let mut path = node.login(&host, 0).await?;
    for round in 0..commands {
        let blocks = 1 + random.below(16) as u16;
        let (lba, length) = (random.below(1000) as u32, usize::from(blocks) * 512);
        let data = vec![round as u8; length];
        let (read, write) = (cdb::read_10(lba, blocks), cdb::write_10(lba, blocks));
        let (cdb, transfer): (&[u8], _) = match random.below(6) {
            0 => (&[0; 6], Transfer::None),
            1 => (&[0x12, 0, 0, 0, 36, 0], Transfer::Read(36)),
            2 | 3 => (&read, Transfer::Read(length as u32)),
            4 => (&write, Transfer::Write(&data)),
            _ => (&write, Transfer::WriteImmediate(&data)),
        };
        path.command([0; 8], cdb, transfer).await;
        if random.below(40) == 0 {
            path.manage([0; 8], 5).await;
        }
        if random.below(100) == 0 {
            path.logout().await;
            path = node.login(&host, 0).await?;
        }
        world.sleep(Duration::from_micros(random.below(3000))).await;
    }
    Ok(())
}

/// What goes wrong meanwhile, and is no failure.
async fn noise(world: World, rounds: u64) -> Result<(), NodeError> {
    let mut random = Random::stream(78, 0);
    for round in 0..rounds {
        world
            .sleep(Duration::from_millis(50 + random.below(100)))
            .await;
        world.step(&format!("noise {round}"));
        match random.below(4) {
            0 => world.network().break_connections(0, 1),
            1 => {
                world.network().hold(0, 1);
                world.sleep(Duration::from_millis(5)).await;
                world.network().release(0, 1);
            }
            2 => world.node(1).fail_door_calls(DoorFault::Errno {
                errno: Errno::EAGAIN,
                times: 2,
            })?,
            _ => {
                let port = world.node(0).add_port(PortConfig::default()).await?;
                world.sleep(Duration::from_millis(1)).await;
                world.node(0).remove_port(port).await?;
            }
        }
    }
    Ok(())
}

/// Both nodes, their relays and the LU; then so many commands beside noise; then the failure: the
/// link holds what comes back, and a host waits for it.
pub async fn hang_among(world: World, commands: u64) -> Result<(), NodeError> {
    for node in world.nodes() {
        node.add_port(PortConfig::default()).await?;
        node.start_relay()?;
    }
    world.node(1).add_lu(LU, true).await?;
    for node in world.nodes() {
        node.wait_for_alua(Duration::from_secs(60)).await?;
    }
    for number in 0..HOSTS {
        let this = world.clone();
        world.spawn("host", async move {
            host(this, number, commands / HOSTS).await.unwrap();
        });
    }
    let this = world.clone();
    world.spawn("noise", async move {
        noise(this, commands / 100).await.unwrap()
    });
    world
        .sleep(Duration::from_millis(20) * commands as u32)
        .await;
    let last = world.initiator();
    let path = world.node(0).login(&last, 0).await?;
    world.sleep(Duration::from_secs(5)).await;
    world.network().hold(1, 0);
    path.command([0; 8], &cdb::read_10(3, 8), Transfer::Read(4096))
        .await;
    Ok(())
}

/// Records the run of `hang_among`; whether it hung.
pub fn record_hang(path: &Path, seed: u64, commands: u64) -> bool {
    let builder = impatient_world(seed);
    let (builder, recorder) = recording::record(builder, &Settings::file(path)).unwrap();
    let world = builder.build();
    let disk = Disk::shared(MemoryStore::new(1 << 20, Fill::RECORDED));
    world.disks().insert(LU, disk);
    let ended = world.run(async move |world| hang_among(world, commands).await);
    let report = recorder.borrow_mut().report();
    assert_eq!(report.failure, None);
    match ended {
        Ok(result) => {
            result.unwrap();
            false
        }
        Err(stuck) => {
            eprintln!("{stuck}");
            true
        }
    }
}
