// SPDX-License-Identifier: MPL-2.0
//! The promise: a world at rest takes less than 1 MiB, and one that is dropped leaves nothing in
//! memory, wherever it stood. Millions of them are made in one process.

#[path = "common/pair.rs"]
mod pair;

use allocation_counter::measure;
use pair::{insert_disk, set_up};
use std::time::Duration;
use stmf_sim::findings::Watch;
use stmf_sim::kernel::sbd::Fill;
use stmf_sim::scsi::cdb;
use stmf_sim::world::{Path, Transfer, World};

const MOST: i64 = 1 << 20;

/// A LU of 1 MiB of which only what is written takes memory, and nothing is.
fn world(watched: bool) -> World {
    let world = World::builder().seed(1).build();
    if watched {
        Watch::over(&world);
    }
    insert_disk(&world, Fill::Zeros);
    world
}

async fn start(world: &World) -> Path {
    set_up(world).await.unwrap();
    let path = world.node(0).login(&world.initiator(), 0).await.unwrap();
    while !read(&path).await {
        world.sleep(Duration::from_millis(1)).await;
    }
    path
}

async fn read(path: &Path) -> bool {
    let cdb = cdb::read_10(0, 8);
    let reply = path.command([0; 8], &cdb, Transfer::Read(4096)).await;
    reply.outcome.is_good()
}

/// Bytes that a world holds after it was started and has read so often, and come to rest.
fn at_rest(reads: u32, watched: bool) -> i64 {
    let mut kept = None;
    let used = measure(|| {
        let world = world(watched);
        let ended = world.run(async move |world| {
            let path = start(&world).await;
            for _ in 0..reads {
                assert!(read(&path).await);
            }
        });
        ended.unwrap();
        world.run_for(Duration::from_secs(10));
        kept = Some(world);
    });
    used.bytes_current
}

#[test]
fn a_world_at_rest_takes_less_than_a_mebibyte() {
    for watched in [false, true] {
        let (started, later) = (at_rest(0, watched), at_rest(1000, watched));
        println!("with watchers: {watched}; started {started} bytes, after 1000 reads {later}");
        assert!(started > 0 && started < MOST, "{started} bytes");
        assert!(later < MOST, "{later} bytes");
    }
}

/// Bytes that are left when a world was made, was led somewhere, and was dropped.
fn left_behind(scenario: impl AsyncFnOnce(World, Path) + 'static) -> i64 {
    let used = measure(|| {
        let world = world(true);
        let ended = world.run(async move |world| {
            let path = start(&world).await;
            scenario(world, path).await;
        });
        ended.unwrap();
    });
    used.bytes_current
}

#[test]
fn a_world_that_is_dropped_leaves_nothing() {
    // What is made once in a process is made here.
    left_behind(async |_, _| {});
    let at_rest = left_behind(async |_, _| {});
    let reading = left_behind(async |world, path| {
        for _ in 0..4 {
            let path = path.clone();
            world.spawn("reader", async move { while read(&path).await {} });
        }
        world.sleep(Duration::from_millis(7)).await;
    });
    let rebooted = left_behind(async |world, path| {
        for node in [1, 0] {
            let path = path.clone();
            world.spawn("reader", async move {
                read(&path).await;
            });
            world.sleep(Duration::from_micros(300)).await;
            world.node(node).power_off();
            world.node(node).boot();
        }
    });
    assert_eq!([at_rest, reading, rebooted], [0, 0, 0]);
}
