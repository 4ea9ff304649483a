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
