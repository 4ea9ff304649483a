// SPDX-License-Identifier: MPL-2.0
//! How fast worlds run: reads through the standby path, worlds made and dropped, idle time.
//! `cargo bench -p stmf-sim --bench world`. One core; the figures are for a person to read.

use std::time::{Duration, Instant};
use stmf_sim::kernel::sbd::{Disk, Fill, MemoryStore};
use stmf_sim::scsi::cdb;
use stmf_sim::world::{Path, PortConfig, Transfer, World};

const LU: [u8; 16] = [0x60; 16];

async fn start(world: &World) -> Path {
    for node in world.nodes() {
        node.add_port(PortConfig::default()).await.unwrap();
        node.start_relay().unwrap();
    }
    world.node(1).add_lu(LU, true).await.unwrap();
    for node in world.nodes() {
        assert!(node.wait_for_alua(Duration::from_secs(60)).await.unwrap());
    }
    let path = world.node(0).login(&world.initiator(), 0).await.unwrap();
    while !ready(&path).await {
        world.sleep(Duration::from_millis(1)).await;
    }
    path
}

async fn ready(path: &Path) -> bool {
    let reply = path
        .command([0; 8], &cdb::test_unit_ready(), Transfer::None)
        .await;
    reply.outcome.is_good()
}

fn world(seed: u64) -> World {
    let world = World::builder().seed(seed).build();
    world
        .disks()
        .insert(LU, Disk::shared(MemoryStore::new(1 << 20, Fill::Zeros)));
    world
}

fn reads(depth: u64) {
    const READS: u64 = 40_000;
    let world = world(1);
    let path = world.run(async |world| start(&world).await).unwrap();
    let begun = Instant::now();
    let executor = world.executor().clone();
    let steps = executor.steps();
    world
        .run(async move |world| {
            let done = stmf_sim::executor::sync::Queue::new(world.executor(), "a reader");
            for reader in 0..depth {
                let (path, done) = (path.clone(), done.clone());
                world.spawn("reader", async move {
                    for number in 0..READS / depth {
                        let lba = ((reader + number * depth) * 8 % 2040) as u32;
                        let cdb = cdb::read_10(lba, 8);
                        let reply = path.command([0; 8], &cdb, Transfer::Read(4096)).await;
                        assert_eq!(reply.data.len(), 4096);
                    }
                    done.push(());
                });
            }
            for _ in 0..depth {
                done.pop().await;
            }
        })
        .unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    let steps = (executor.steps() - steps) as f64 / READS as f64;
    println!(
        "standby path, 4 KiB reads, {depth:>2} at once: {:>8.0} reads/s, {:>8.0} messages/s, \
         {steps:.1} steps a read",
        READS as f64 / seconds,
        4.0 * READS as f64 / seconds
    );
}

fn worlds() {
    const WORLDS: u64 = 2000;
    let begun = Instant::now();
    for seed in 0..WORLDS {
        let ended = world(seed).run(async |world| {
            let path = start(&world).await;
            for _ in 0..10 {
                assert!(ready(&path).await);
            }
        });
        ended.unwrap();
    }
    println!(
        "worlds of ten TEST UNIT READY through the standby path: {:.0} a second",
        WORLDS as f64 / begun.elapsed().as_secs_f64()
    );
}

fn idle() {
    const SECONDS: u64 = 100_000;
    let world = world(1);
    world.run(async |world| drop(start(&world).await)).unwrap();
    let begun = Instant::now();
    world.run_for(Duration::from_secs(SECONDS));
    println!(
        "an idle pair: {:.0} simulated seconds a second",
        SECONDS as f64 / begun.elapsed().as_secs_f64()
    );
}

fn main() {
    reads(1);
    reads(32);
    worlds();
    idle();
}
