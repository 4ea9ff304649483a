// SPDX-License-Identifier: MPL-2.0
use super::*;
use crate::kernel::sbd::{Disk, Fill, MemoryStore};
use crate::scsi::cdb;

const LU: [u8; 16] = [0x60; 16];

#[test]
fn a_read_goes_through_the_standby_path() {
    let world = World::builder().seed(1).build();
    world
        .disks()
        .insert(LU, Disk::shared(MemoryStore::new(1 << 20, Fill::RECORDED)));
    let host = world.initiator();
    let data = world
        .run(async move |world| {
            for node in world.nodes() {
                node.add_port(PortConfig::default()).await.unwrap();
                node.start_relay().unwrap();
            }
            world.node(1).add_lu(LU, true).await.unwrap();
            world.sleep(Duration::from_secs(5)).await;
            let path = world.node(0).login(&host, 0).await.unwrap();
            let reply = path
                .command([0; 8], &cdb::read_10(1, 8), Transfer::Read(4096))
                .await;
            reply.good()
        })
        .unwrap()
        .unwrap();
    let expected: Vec<u8> = (512..512 + 4096u64)
        .map(|offset| (offset ^ (offset >> 9)) as u8)
        .collect();
    assert_eq!(data, expected);
}

/// Threads hold the world that holds them: it has to end all the same.
#[test]
fn a_world_that_is_dropped_is_gone() {
    let world = World::builder().build();
    let remains = Rc::downgrade(&world.inner);
    let trace = world.trace().clone();
    let stuck = world.run(async |world| {
        let held = world.clone();
        world.spawn("helper", async move {
            held.sleep(Duration::from_secs(1000)).await;
        });
        world.node(0).start_relay().unwrap();
        crate::executor::sync::Queue::<()>::new(world.executor(), "nothing")
            .pop()
            .await;
    });
    assert!(stuck.is_err());
    let hash = trace.hash();
    drop(world);
    assert!(remains.upgrade().is_none());
    assert_ne!(
        trace.hash(),
        hash,
        "the end of the relay is told, but to nobody"
    );
}

/// Three operators add ports at the same moment: each gets the number of its own.
#[test]
fn ports_that_are_added_at_once_have_numbers_of_their_own() {
    let world = World::builder().build();
    let numbers = Rc::new(RefCell::new(Vec::new()));
    let got = numbers.clone();
    world
        .run(async move |world| {
            for port in 0..3 {
                let (operator, got) = (world.clone(), got.clone());
                world.spawn("operator", async move {
                    let config = PortConfig {
                        name: Some(format!("wwn.500100000000000{port}")),
                        ..PortConfig::default()
                    };
                    let port = operator.node(0).add_port(config).await;
                    got.borrow_mut().push(port.unwrap());
                });
            }
            world.sleep(Duration::from_secs(1)).await;
            let host = world.initiator();
            for port in 0..3 {
                world.node(0).login(&host, port).await.unwrap();
            }
        })
        .unwrap();
    numbers.borrow_mut().sort_unstable();
    assert_eq!(*numbers.borrow(), [0, 1, 2]);
}

/// Holds the stmf lock of node 1 for so long, once its turn has come.
fn hold_stmf_lock(world: &World, time: Duration) {
    let world = world.clone();
    world.clone().spawn("holds", async move {
        let kernel = world.node(1).kernel().unwrap();
        let hold = async move {
            let _lock = kernel.stmf_state().lock.lock().await;
            kernel.executor().sleep(time).await;
        };
        world.node(1).in_kernel("holds", hold).await.unwrap();
    });
}

/// A LU is removed before its registration had the stmf lock: commands that come between the two
/// end with the LU.
#[test]
fn a_lu_that_goes_before_it_has_come_leaves_no_command_behind() {
    let world = World::builder().build();
    world
        .disks()
        .insert(LU, Disk::shared(MemoryStore::new(1 << 20, Fill::RECORDED)));
    let host = world.initiator();
    let (outcome, lu) = world
        .run(async move |world| {
            let node = world.node(1);
            node.add_port(PortConfig::default()).await.unwrap();
            let path = node.login(&host, 0).await.unwrap();
            let slow = DiskFaultKind::Slow(Duration::from_secs(3));
            world.disks().fail(LU, DiskFault::everywhere(slow, 1));
            // Who waits for the lock has it in the order in which it came.
            let moment = Duration::from_millis(1);
            hold_stmf_lock(&world, Duration::from_secs(1));
            world.sleep(moment).await;
            let operator = world.clone();
            world.spawn("adds", async move {
                operator.node(1).add_lu(LU, true).await.unwrap();
            });
            world.sleep(moment).await;
            hold_stmf_lock(&world, Duration::from_millis(100));
            world.sleep(moment).await;
            let operator = world.clone();
            world.spawn("removes", async move {
                operator.node(1).remove_lu(LU).await.unwrap();
            });
            world.sleep(Duration::from_millis(1050)).await;
            let lu = node.kernel().unwrap().stmf().lus().remove(0);
            // It hears of what happened before: that it is new here, and of the new LU.
            for _ in 0..2 {
                path.command([0; 8], &[0; 6], Transfer::None).await;
            }
            let read = cdb::read_10(0, 1);
            let reply = path.command([0; 8], &read, Transfer::Read(512)).await;
            world.sleep(Duration::from_secs(1)).await;
            assert!(node.kernel().unwrap().stmf().lus().is_empty());
            (reply.outcome, lu)
        })
        .unwrap();
    assert!(matches!(outcome, Outcome::Aborted), "{outcome:?}");
    assert!(lu.tasks.borrow().is_empty());
}

/// Two operators remove a LU, and the faster one adds it again before the other one's removal has
/// the stmf lock: the new one stays, and answers.
#[test]
fn a_removal_that_comes_late_takes_no_newer_lu_away() {
    let world = World::builder().build();
    world
        .disks()
        .insert(LU, Disk::shared(MemoryStore::new(1 << 20, Fill::RECORDED)));
    let host = world.initiator();
    let outcome = world
        .run(async move |world| {
            let node = world.node(1);
            node.add_port(PortConfig::default()).await.unwrap();
            node.add_lu(LU, true).await.unwrap();
            let path = node.login(&host, 0).await.unwrap();
            // Who waits for the lock has it in the order in which it came: a removal, whoever holds
            // it for a while, the other removal, the addition.
            let (moment, while_held) = (Duration::from_millis(1), Duration::from_millis(100));
            hold_stmf_lock(&world, while_held);
            world.sleep(moment).await;
            let operator = world.clone();
            world.spawn("removes and adds", async move {
                operator.node(1).remove_lu(LU).await.unwrap();
                operator.node(1).add_lu(LU, true).await.unwrap();
            });
            world.sleep(moment).await;
            hold_stmf_lock(&world, while_held);
            world.sleep(moment).await;
            let operator = world.clone();
            world.spawn("removes", async move {
                operator.node(1).remove_lu(LU).await.unwrap();
            });
            world.sleep(3 * while_held).await;
            // It hears of what happened before first.
            for _ in 0..3 {
                path.command([0; 8], &cdb::test_unit_ready(), Transfer::None)
                    .await;
            }
            let ready = cdb::test_unit_ready();
            path.command([0; 8], &ready, Transfer::None).await.outcome
        })
        .unwrap();
    assert!(outcome.is_good(), "{outcome:?}");
}
