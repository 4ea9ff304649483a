// SPDX-License-Identifier: MPL-2.0
//! The promise: what goes wrong in a world (a link that breaks, a relay that dies, a node that
//! loses its power) looks to initiators as it would outside, and the pair of nodes heals.

#[path = "common/pair.rs"]
mod pair;

use pair::{LU, insert_disk, set_up};
use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;
use stmf_sim::findings::Watch;
use stmf_sim::kernel::sbd::Fill;
use stmf_sim::scsi::{Completion, Sense, cdb};
use stmf_sim::world::{Initiator, NodeError, Outcome, Path, PortConfig, Transfer, World};

const PATIENCE: Duration = Duration::from_secs(60);

/// A world that is watched: when it ends, nothing may have gone wrong in it that a pair of sound
/// nodes does not do.
struct Watched {
    world: World,
    watch: Rc<RefCell<Watch>>,
}

impl Deref for Watched {
    type Target = World;
    fn deref(&self) -> &World {
        &self.world
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.world.run_for(Duration::from_secs(100));
        assert_eq!(self.world.deadlock(), None);
        let findings = self.watch.borrow_mut().finish(self.world.now());
        assert!(findings.is_empty(), "{findings:#?}");
    }
}

fn world(seed: u64) -> Watched {
    let world = World::builder().seed(seed).build();
    let watch = Watch::over(&world);
    insert_disk(&world, Fill::RECORDED);
    Watched { world, watch }
}

/// Both nodes up, the LU active on node 1, and the initiator's path to the standby node 0.
async fn start(world: &World, host: &Initiator) -> Result<Path, NodeError> {
    set_up(world).await?;
    let path = world.node(0).login(host, 0).await?;
    assert!(heals(world, &path).await);
    Ok(path)
}

/// A read of one block through the path; tells how it ended.
async fn read(path: &Path) -> Outcome {
    let reply = path
        .command([0; 8], &cdb::read_10(3, 1), Transfer::Read(512))
        .await;
    if reply.outcome.is_good() {
        let expected: Vec<u8> = (1536..2048u64)
            .map(|offset| (offset ^ (offset >> 9)) as u8)
            .collect();
        assert_eq!(reply.data, expected, "wrong data with status GOOD");
    }
    reply.outcome
}

/// Whether reads succeed again before long.
async fn heals(world: &World, path: &Path) -> bool {
    let end = world.now() + PATIENCE;
    while world.now() < end {
        if read(path).await.is_good() {
            return true;
        }
        world.sleep(Duration::from_millis(100)).await;
    }
    false
}

/// Whether the LU answers GOOD again before long.
async fn responds(world: &World, path: &Path) -> bool {
    let end = world.now() + PATIENCE;
    while world.now() < end {
        if path
            .command([0; 8], &[0; 6], Transfer::None)
            .await
            .outcome
            .is_good()
        {
            return true;
        }
        world.sleep(Duration::from_millis(100)).await;
    }
    false
}

#[test]
fn a_link_that_breaks_comes_back() {
    for seed in 0..20 {
        let world = world(seed);
        let host = world.initiator();
        host.set_timeout(Duration::from_secs(5));
        world
            .run(async move |world| {
                let path = start(&world, &host).await.unwrap();
                for _ in 0..3 {
                    world.network().break_connections(0, 1);
                    assert!(heals(&world, &path).await);
                }
            })
            .unwrap();
    }
}

#[test]
fn a_partition_heals() {
    let world = world(1);
    let host = world.initiator();
    host.set_timeout(Duration::from_secs(5));
    world
        .run(async move |world| {
            let path = start(&world, &host).await.unwrap();
            world.network().hold(0, 1);
            world.network().hold(1, 0);
            world.sleep(Duration::from_secs(30)).await;
            assert_ne!(read(&path).await, Outcome::Status(Completion::GOOD));
            world.network().release(0, 1);
            world.network().release(1, 0);
            assert!(heals(&world, &path).await);
        })
        .unwrap();
}

#[test]
fn a_half_open_connection_is_found() {
    for hears in [0, 1] {
        let world = world(1);
        let host = world.initiator();
        host.set_timeout(Duration::from_secs(5));
        world
            .run(async move |world| {
                let path = start(&world, &host).await.unwrap();
                world.network().half_open(hears, 1 - hears);
                assert!(heals(&world, &path).await);
            })
            .unwrap();
    }
}

#[test]
fn a_relay_that_is_killed_can_be_started_again() {
    for (seed, killed) in (0..10).flat_map(|seed| [(seed, 0), (seed, 1)]) {
        let world = world(seed);
        let host = world.initiator();
        host.set_timeout(Duration::from_secs(5));
        world
            .run(async move |world| {
                let path = start(&world, &host).await.unwrap();
                world.node(killed).kill_relay();
                assert!(world.node(killed).relay().is_none());
                assert!(!read(&path).await.is_good(), "nobody carries the command");
                // At once, it can find the handle of its forerunner still being closed, and end;
                // whoever looks after services starts it again a little later.
                world.node(killed).start_relay().unwrap();
                world.sleep(Duration::from_secs(1)).await;
                world.node(killed).start_relay().unwrap();
                assert!(heals(&world, &path).await);
            })
            .unwrap();
        assert!(world.nodes().iter().all(|node| node.panics().is_empty()));
    }
}

#[test]
fn a_relay_that_is_stopped_in_order_goes_and_comes_back() {
    let world = world(1);
    let host = world.initiator();
    host.set_timeout(Duration::from_secs(5));
    world
        .run(async move |world| {
            let path = start(&world, &host).await.unwrap();
            for node in [0, 1] {
                world.node(node).stop_relay();
                world.sleep(Duration::from_secs(5)).await;
                assert!(world.node(node).relay().is_none());
                world.node(node).start_relay().unwrap();
                assert!(heals(&world, &path).await);
            }
        })
        .unwrap();
}

/// The active node loses its power in the middle of a copy, and comes back.
#[test]
fn a_node_that_loses_power_and_boots_again() {
    for seed in 0..10 {
        let world = world(seed);
        let host = world.initiator();
        host.set_timeout(Duration::from_secs(5));
        world
            .run(async move |world| {
                let path = start(&world, &host).await.unwrap();
                let direct = world.node(1).login(&host, 0).await.unwrap();
                world.node(1).power_off();
                assert!(!world.node(1).is_up());
                assert_eq!(read(&direct).await, Outcome::Lost);
                assert!(!read(&path).await.is_good());
                assert_eq!(world.node(1).start_relay(), Err(NodeError::Down(1)));
                world.sleep(Duration::from_secs(30)).await;
                world.node(1).boot();
                let node = world.node(1);
                node.add_port(PortConfig::default()).await.unwrap();
                node.add_lu(LU, true).await.unwrap();
                node.start_relay().unwrap();
                assert!(node.wait_for_alua(PATIENCE).await.unwrap());
                assert!(heals(&world, &path).await);
                assert_eq!(node.boots(), 2);
            })
            .unwrap();
        assert!(world.nodes().iter().all(|node| node.panics().is_empty()));
    }
}

/// The standby node boots again, and its session ids begin anew (which brings a node down if its
/// peer still holds the old ones).
#[test]
fn the_standby_node_boots_again() {
    for seed in 0..10 {
        let world = world(seed);
        let host = world.initiator();
        host.set_timeout(Duration::from_secs(5));
        world
            .run(async move |world| {
                start(&world, &host).await.unwrap();
                world.node(0).power_off();
                world.node(0).boot();
                let node = world.node(0);
                node.add_port(PortConfig::default()).await.unwrap();
                node.start_relay().unwrap();
                assert!(node.wait_for_alua(PATIENCE).await.unwrap());
                // Another host comes first, and gets the session id that the first one had.
                let other = world.initiator();
                other.set_timeout(Duration::from_secs(5));
                let path = node.login(&other, 0).await.unwrap();
                assert!(heals(&world, &path).await);
                let path = node.login(&host, 0).await.unwrap();
                assert!(heals(&world, &path).await);
            })
            .unwrap();
        assert!(
            world.nodes().iter().all(|node| node.panics().is_empty()),
            "seed {seed}"
        );
    }
}

/// Failover when the active node is dead: the other one imports the LU.
#[test]
fn the_standby_node_takes_over_from_a_dead_one() {
    let world = world(1);
    let host = world.initiator();
    host.set_timeout(Duration::from_secs(5));
    world
        .run(async move |world| {
            let path = start(&world, &host).await.unwrap();
            world.node(1).power_off();
            assert_eq!(
                path.command([0; 8], &cdb::write_10(0, 1), Transfer::Write(&[1; 512]))
                    .await
                    .outcome,
                Outcome::Status(Completion::check(Sense::STANDBY))
            );
            world.node(0).import_lu(LU).await.unwrap();
            assert!(heals(&world, &path).await);
            let write = path
                .command([0; 8], &cdb::write_10(0, 1), Transfer::Write(&[1; 512]))
                .await;
            assert!(write.outcome.is_good(), "{}", write.outcome);
        })
        .unwrap();
}

/// Sends commands, each with a reset of the LU right behind it, and has every reset answered.
async fn resets(world: World, path: Path) {
    const LUN_RESET: u8 = 5;
    let data = [7; 512];
    for _ in 0..10 {
        let (same, written) = (path.clone(), data);
        world.spawn("writer", async move {
            let cdb = cdb::write_10(3, 1);
            same.command([0; 8], &cdb, Transfer::Write(&written)).await;
        });
        let reply = path.manage([0; 8], LUN_RESET).await;
        assert!(reply.outcome.is_good(), "{}", reply.outcome);
    }
}

#[test]
fn resets_of_several_hosts_at_once_are_all_answered_and_hold_no_session_up() {
    for seed in 0..20 {
        let world = world(seed);
        let hosts = [(); 4].map(|()| world.initiator());
        for host in &hosts {
            host.set_timeout(Duration::from_secs(5));
        }
        world
            .run(async move |world| {
                let path = start(&world, &hosts[0]).await.unwrap();
                let done = Rc::new(Cell::new(0));
                for (number, host) in hosts[1..].iter().enumerate() {
                    // Two on the node that serves the LU, one on the standby path.
                    let node = world.node(u8::from(number < 2));
                    let own = node.login(host, 0).await.unwrap();
                    assert!(responds(&world, &own).await);
                    let (this, done) = (world.clone(), done.clone());
                    world.spawn("host", async move {
                        resets(this, own.clone()).await;
                        own.logout().await;
                        done.set(done.get() + 1);
                    });
                }
                let end = world.now() + PATIENCE;
                while done.get() < 3 && world.now() < end {
                    world.sleep(Duration::from_millis(100)).await;
                }
                assert_eq!(done.get(), 3, "seed {seed}");
                // The peer's sessions could be closed, and its ports can be.
                path.logout().await;
                let path = world.node(0).login(&hosts[0], 0).await.unwrap();
                world.network().break_connections(0, 1);
                assert!(responds(&world, &path).await, "seed {seed}");
                world.node(1).stop_relay();
                world.sleep(Duration::from_secs(10)).await;
                world.node(1).start_relay().unwrap();
                assert!(responds(&world, &path).await, "seed {seed}");
            })
            .unwrap();
    }
}
