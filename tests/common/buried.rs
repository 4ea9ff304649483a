// SPDX-License-Identifier: MPL-2.0
//! A hang that is buried among the commands of several hosts, link breaks and other noise.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::status::Errno;
use stmf_sim::kernel::doors::DoorFault;
use stmf_sim::kernel::sbd::{Disk, Fill, MemoryStore};
use stmf_sim::recording::{self, Settings};
use stmf_sim::scsi::cdb;
use stmf_sim::world::random::Random;
use stmf_sim::world::{NodeError, PortConfig, Stuck, Transfer, World};

/// The LU.
pub const LU: [u8; 16] = [0x60; 16];

/// For how long nothing may go on.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How many hosts there are; the even ones use the standby path.
pub const HOSTS: u64 = 4;

/// So many commands of random kinds and sizes from one host.
async fn host(world: World, number: u64, commands: u64) -> Result<(), NodeError> {
    let mut random = Random::stream(77, number);
    let host = world.initiator();
    host.set_timeout(Duration::from_millis(200));
    let node = world.node((number % 2) as u8);
    let path = node.login(&host, 0).await?;
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
        match random.below(6) {
            0 => world.network().break_connections(0, 1),
            1 => {
                world.network().hold(0, 1);
                world.sleep(Duration::from_millis(5)).await;
                world.network().release(0, 1);
            }
            2 | 3 => world.node(1).fail_door_calls(DoorFault::Errno {
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
pub async fn scenario(world: World, commands: u64) -> Result<(), NodeError> {
    for node in world.nodes() {
        node.add_port(PortConfig::default()).await?;
        node.start_relay()?;
    }
    world.node(1).add_lu(LU, true).await?;
    for node in world.nodes() {
        node.wait_for_alua(Duration::from_secs(60)).await?;
    }
    let done = Rc::new(Cell::new(0));
    for number in 0..HOSTS {
        let (this, done) = (world.clone(), done.clone());
        world.spawn("host", async move {
            let _ = host(this, number, commands / HOSTS).await;
            done.set(done.get() + 1);
        });
    }
    let this = world.clone();
    world.spawn("noise", async move {
        let _ = noise(this, commands / 100).await;
    });
    // When the hosts have done their work, and the link has found itself again.
    for _ in 0..600 {
        if done.get() < HOSTS {
            world.sleep(Duration::from_millis(100)).await;
        }
    }
    world.sleep(Duration::from_secs(10)).await;
    let last = world.initiator();
    let path = world.node(0).login(&last, 0).await?;
    world.network().hold(1, 0);
    let read = cdb::read_10(3, 8);
    path.command([0; 8], &read, Transfer::Read(4096)).await;
    Ok(())
}

/// Records such a run; what the world says if it got stuck.
pub fn record(path: &Path, seed: u64, commands: u64) -> Option<Stuck> {
    let builder = World::builder().seed(seed).patience(PATIENCE);
    let (builder, recorder) = recording::record(builder, &Settings::file(path)).unwrap();
    let world = builder.build();
    let disk = Disk::shared(MemoryStore::new(1 << 20, Fill::RECORDED));
    world.disks().insert(LU, disk);
    let ended = world.run(async move |world| scenario(world, commands).await);
    let report = recorder.borrow_mut().report();
    assert_eq!(report.failure, None);
    // The scenario's own end is of no interest: a node may be down.
    ended.err()
}
