// SPDX-License-Identifier: MPL-2.0
//! The promise: a program that is written once against the door API, for any platform that
//! blocks, runs with its own threads on a simulated STMF proxy service.

use proptest::prelude::*;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use stmf_proxy::platform::{BlockingPlatform, DoorServer};
use stmf_proxy::proxy_door::{Door, Error, ProxyDoor};
use stmf_proxy::status::{Errno, Step};
use stmf_sim::kernel::doors::DoorError;
use stmf_sim::kernel::sbd::{Disk, Fill, MemoryStore};
use stmf_sim::scsi::inquiry::StandardInquiry;
use stmf_sim::scsi::{Completion, Sense, cdb};
use stmf_sim::service::{DoorCall, ProxyService};
use stmf_sim::world::{Outcome, PortConfig, Reply, Transfer, World};

/// The program under test: what a relay is in its simplest form. It knows nothing of simulators.
struct Program<P: BlockingPlatform> {
    proxy: Arc<ProxyDoor<P>>,
    poster: JoinHandle<Result<(), Error>>,
}

impl<P> Program<P>
where
    P: BlockingPlatform<Server = Arc<dyn DoorServer>> + 'static,
{
    fn start(
        platform: &P,
        node: u32,
        to_peer: Sender<Vec<u8>>,
        from_peer: Receiver<Vec<u8>>,
    ) -> Result<Program<P>, Error> {
        let to_peer = Mutex::new(Some(to_peer));
        let door = Door::create(platform, move |message: &[u8]| {
            const ENOTCONN: u32 = 134;
            match &*to_peer.lock().unwrap() {
                Some(peer) => peer.send(message.to_vec()).map_or(ENOTCONN, |()| 0),
                None => ENOTCONN,
            }
        })?;
        let proxy = Arc::new(ProxyDoor::init(door)?);
        proxy.set_alua_state(true, node)?;
        let posting = proxy.clone();
        let poster = thread::spawn(move || {
            from_peer
                .into_iter()
                .try_for_each(|message| posting.post(&message))
        });
        Ok(Program { proxy, poster })
    }

    /// Ends when the peer has nothing more to send.
    fn stop(self) -> Result<(), Error> {
        self.poster.join().unwrap()?;
        Arc::into_inner(self.proxy)
            .expect("the poster has ended")
            .destroy()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the kernel sends reaches the peer, and whatever the peer sends is posted: whole,
    /// and in order.
    #[test]
    fn everything_passes_whole_and_in_order(
        upcalls in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..200), 0..12),
        posts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..200), 0..12),
    ) {
        let service = ProxyService::start();
        let (to_peer, at_peer) = channel();
        let (peer, from_peer) = channel();
        let program = Program::start(&service.platform(), 0, to_peer, from_peer).unwrap();
        for message in &upcalls {
            prop_assert_eq!(service.call_door(message), Ok(0));
        }
        for message in &posts {
            peer.send(message.clone()).unwrap();
        }
        drop(peer);
        program.stop().unwrap();
        prop_assert_eq!(at_peer.try_iter().collect::<Vec<_>>(), upcalls.clone());
        prop_assert_eq!(service.posted(), posts);
        let calls: Vec<DoorCall> = upcalls
            .into_iter()
            .map(|message| DoorCall { message, outcome: Some(Ok(0)) })
            .collect();
        prop_assert_eq!(service.calls(), calls);
        // The program has gone in order: nobody is there to call.
        prop_assert_eq!(service.call_door(b"late"), Err(DoorError::NoDoor));
    }
}

#[test]
fn a_relay_without_a_peer_says_so_and_a_second_one_is_refused() {
    let service = ProxyService::start();
    let (to_peer, at_peer) = channel();
    let (_peer, from_peer) = channel();
    let program = Program::start(&service.platform(), 0, to_peer, from_peer).unwrap();
    drop(at_peer);
    assert_eq!(service.call_door(b"message"), Ok(134));
    let (to_peer, _at_peer) = channel();
    let (_other, from_peer) = channel();
    let refused = Program::start(&service.platform(), 0, to_peer, from_peer)
        .err()
        .unwrap();
    assert_eq!(
        refused.system(),
        Some((Step::OpenProxyService, Errno::EBUSY))
    );
    drop(_peer);
    program.stop().unwrap();
}

#[test]
fn a_server_that_panics_is_answered_for() {
    let service = ProxyService::start();
    let door = Door::create(&service.platform(), |message: &[u8]| -> u32 {
        std::panic::resume_unwind(Box::new(message.len()))
    });
    let proxy = ProxyDoor::init(door.unwrap()).unwrap();
    assert_eq!(service.call_door(b"message"), Ok(5), "EIO");
    assert!(matches!(proxy.post(&[]), Err(Error::EmptyMessage)));
    let refused = proxy.with_post_limit(3).post(b"four");
    assert!(matches!(
        refused,
        Err(Error::MessageTooLong {
            length: 4,
            limit: 3
        })
    ));
}

#[test]
fn calls_in_progress_are_served_side_by_side() {
    let service = ProxyService::start();
    let (arrived, arrivals) = channel();
    let arrived = Mutex::new(arrived);
    let barrier = Arc::new(std::sync::Barrier::new(3));
    let waits = barrier.clone();
    let door = Door::create(&service.platform(), move |message: &[u8]| {
        arrived.lock().unwrap().send(message.to_vec()).unwrap();
        // Passes only when three calls are here at once.
        waits.wait();
        0
    });
    let proxy = ProxyDoor::init(door.unwrap()).unwrap();
    let calls: Vec<_> = [b"one", b"two", b"six"]
        .map(|message| {
            let service = service.clone();
            thread::spawn(move || service.call_door(message))
        })
        .into_iter()
        .collect();
    for call in calls {
        assert_eq!(call.join().unwrap(), Ok(0));
    }
    assert_eq!(arrivals.try_iter().count(), 3);
    proxy.destroy().unwrap();
}

/// What a host does with the disk, once there is one.
async fn use_disk(world: World) -> Option<(Reply, Reply, Reply)> {
    let path = world.node(0).login(&world.initiator(), 0).await.unwrap();
    let inquiry = path
        .command([0; 8], &cdb::inquiry(96), Transfer::Read(96))
        .await;
    if StandardInquiry::parse(&inquiry.good().ok()?)?.qualifier != 0 {
        return None;
    }
    let ready = path
        .command([0; 8], &cdb::test_unit_ready(), Transfer::None)
        .await;
    let read = path
        .command([0; 8], &cdb::read_10(0, 8), Transfer::Read(4096))
        .await;
    let write = cdb::write_10(0, 1);
    let write = path
        .command([0; 8], &write, Transfer::Write(&[0; 512]))
        .await;
    Some((ready, read, write))
}

/// Two nodes in one test process, joined by the program: a host finds a disk of the one through
/// the other.
#[test]
fn two_services_make_a_pair() {
    const LU: [u8; 16] = [0x60; 16];
    let services = [ProxyService::start(), ProxyService::start()];
    for (number, service) in services.iter().enumerate() {
        // Each world calls its only node 0: what must differ between the two is said here.
        service.run(async move |world: World| {
            let node = world.node(0);
            let name = Some(format!("wwn.500100000000000{number}"));
            node.add_port(PortConfig {
                name,
                ..PortConfig::default()
            })
            .await
            .unwrap();
            world
                .disks()
                .insert(LU, Disk::shared(MemoryStore::new(1 << 20, Fill::RECORDED)));
        });
    }
    let (to_zero, at_zero) = channel();
    let (to_one, at_one) = channel();
    let one = thread::spawn({
        let platform = services[1].platform();
        move || Program::start(&platform, 1, to_zero, at_one)
    });
    let zero = Program::start(&services[0].platform(), 0, to_one, at_zero).unwrap();
    let one = one.join().unwrap().unwrap();
    services[1].run(async |world: World| world.node(0).add_lu(LU, true).await.unwrap());
    // The registrations are on their way, carried by real threads: look until they are there.
    let found = (0..10_000).find_map(|_| {
        thread::sleep(Duration::from_millis(1));
        services[0].run(use_disk)
    });
    let (ready, read, write) = found.expect("the pair does not find together");
    assert!(ready.outcome.is_good(), "{}", ready.outcome);
    let expected: Vec<u8> = (0..4096u64)
        .map(|offset| (offset ^ (offset >> 9)) as u8)
        .collect();
    assert_eq!(read.good().unwrap(), expected);
    assert_eq!(
        write.outcome,
        Outcome::Status(Completion::check(Sense::STANDBY))
    );
    assert!(services.iter().all(|service| service.panics().is_empty()));
    drop((zero, one));
}
