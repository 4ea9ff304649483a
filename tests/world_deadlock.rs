// SPDX-License-Identifier: MPL-2.0
//! The promise: a world in which nothing goes on is found out, and the report says who holds
//! what and who waits for what.

use bytes::Bytes;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::platform::DoorSettings;
use stmf_proxy::proxy_door::{Door, ProxyDoor, Stmf};
use stmf_sim::executor::sync::Queue;
use stmf_sim::kernel::doors::{DoorReply, DoorServer};
use stmf_sim::world::network::{Accept, Connection, End, Endpoint};
use stmf_sim::world::platform::SimPlatform;
use stmf_sim::world::{Host, PortConfig, RelayProgram, World};

/// A door server that never answers.
struct Silent(RefCell<Vec<DoorReply>>);

impl DoorServer for Silent {
    fn call(&self, _: &Bytes, reply: DoorReply) {
        self.0.borrow_mut().push(reply);
    }
}

/// A relay that takes every message and answers none.
struct SilentRelay;

impl RelayProgram for SilentRelay {
    fn start(&self, host: Host) {
        host.clone().spawn("main", async move {
            let platform = host.platform();
            let server = Rc::new(Silent(RefCell::default()));
            let door = Door::create_async(&platform, DoorSettings::default(), server);
            let proxy = ProxyDoor::init_async(door.await.unwrap()).await.unwrap();
            proxy
                .set_alua_state_async(true, host.node().into())
                .await
                .unwrap();
        });
    }
}

#[test]
fn an_upcall_that_is_never_answered_is_told() {
    let world = World::builder().relay(SilentRelay).build();
    let stuck = world.run(async |world| {
        let node = world.node(0);
        node.add_port(PortConfig::default()).await.unwrap();
        node.start_relay().unwrap();
        world.sleep(Duration::from_secs(1)).await;
        // Needs the stmf lock, which the upcall holds.
        node.add_port(PortConfig::default()).await.unwrap();
    });
    let stuck = stuck.unwrap_err();
    assert!(stuck.is_deadlock());
    insta::assert_snapshot!(stuck, @r"
    deadlock: node 0 holds the stmf lock in an upcall
      nothing has happened since 1.000000000 s; given up at 1.000000000 s
      node 0, set of the ALUA state: waits for the answer of the door server; holds the stmf lock
      node 0, addition of a port: waits for the stmf lock of node 0, held by set of the ALUA state (node 0)
      scenario, scenario: waits for addition of a port
      relay 0, main: waits for set of the ALUA state
    ");
}

/// A relay as one would first write it: it answers an upcall when the peer has posted the
/// message, so that the kernel learns of every failure.
struct SynchronousRelay;

/// What the first byte of a frame says: a message, or the word that one was posted.
const MESSAGE: u8 = 0;
const POSTED: u8 = 1;

struct Shared {
    calls: RefCell<VecDeque<DoorReply>>,
    waiting: RefCell<Vec<Vec<u8>>>,
    line: RefCell<Option<Connection>>,
    arrived: Queue<Bytes>,
    received: RefCell<Vec<u8>>,
}

fn frame(kind: u8, bytes: &[u8]) -> Bytes {
    let mut frame = vec![kind];
    frame.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    frame.extend_from_slice(bytes);
    frame.into()
}

struct Server(Rc<Shared>);

impl DoorServer for Server {
    fn call(&self, message: &Bytes, reply: DoorReply) {
        self.0.calls.borrow_mut().push_back(reply);
        match &*self.0.line.borrow() {
            Some(line) => line.send(frame(MESSAGE, message)),
            None => self.0.waiting.borrow_mut().push(message.to_vec()),
        }
    }
}

struct LineEnd(Rc<Shared>);

impl Endpoint for LineEnd {
    fn connected(&self, connection: &Connection) {
        for message in self.0.waiting.take() {
            connection.send(frame(MESSAGE, &message));
        }
        *self.0.line.borrow_mut() = Some(connection.clone());
    }
    fn received(&self, _: &Connection, bytes: Bytes) {
        let mut received = self.0.received.borrow_mut();
        received.extend_from_slice(&bytes);
        while received.len() >= 5 {
            let length = u32::from_be_bytes(received[1..5].try_into().unwrap()) as usize;
            if received.len() < 5 + length {
                break;
            }
            let frame: Vec<u8> = received.drain(..5 + length).collect();
            if frame[0] == POSTED {
                self.0.calls.borrow_mut().pop_front().unwrap().answer(0);
            } else {
                self.0.arrived.push(Bytes::copy_from_slice(&frame[5..]));
            }
        }
    }
    fn taken(&self, _: &Connection, _: usize) {}
    fn ended(&self, _: &Connection, _: End) {}
}

impl RelayProgram for SynchronousRelay {
    fn start(&self, host: Host) {
        let shared = Rc::new(Shared {
            calls: RefCell::default(),
            waiting: RefCell::default(),
            line: RefCell::default(),
            arrived: Queue::new(host.executor(), "a message of the peer"),
            received: RefCell::default(),
        });
        host.clone().spawn("main", async move {
            let platform: SimPlatform = host.platform();
            let server = Rc::new(Server(shared.clone()));
            let door = Door::create_async(&platform, DoorSettings::default(), server);
            let proxy = ProxyDoor::init_async(door.await.unwrap()).await.unwrap();
            let end = shared.clone();
            if host.node() == 0 {
                host.sleep(Duration::from_millis(1)).await;
                host.connect(6543, Rc::new(LineEnd(end)));
            } else {
                let accept: Accept = Rc::new(move |_| Rc::new(LineEnd(end.clone())));
                host.listen(6543, accept).unwrap();
            }
            let node = host.node().into();
            host.spawn("ALUA", async move {
                Stmf::new(platform)
                    .set_alua_state_async(true, node)
                    .await
                    .unwrap();
            });
            loop {
                let message = shared.arrived.pop().await;
                proxy.post_async(&message).await.unwrap();
                let line = shared.line.borrow().clone().unwrap();
                line.send(frame(POSTED, &[]));
            }
        });
    }
}

/// Each kernel waits, its lock held, for the other one to take a message that needs that lock.
#[test]
fn two_nodes_that_wait_for_each_other_are_told() {
    let world = World::builder().seed(3).relay(SynchronousRelay).build();
    let stuck = world.run(async |world| {
        for node in world.nodes() {
            node.add_port(PortConfig::default()).await.unwrap();
            node.start_relay().unwrap();
        }
        for node in world.nodes() {
            node.wait_for_alua(Duration::from_secs(1000)).await.unwrap();
        }
        world.sleep(Duration::from_secs(1)).await;
        world.node(0).add_port(PortConfig::default()).await.unwrap();
    });
    let stuck = stuck.unwrap_err();
    assert!(stuck.is_deadlock());
    insta::assert_snapshot!(stuck, @r"
    deadlock: node 0 holds the stmf lock in an upcall; node 1 holds the stmf lock in an upcall
      nothing has happened since 1.010000000 s; given up at 60.001000000 s
      node 0, post: waits for the stmf lock of node 0, held by set of the ALUA state (node 0); holds the pppt global lock
      node 1, post: waits for the stmf lock of node 1, held by set of the ALUA state (node 1); holds the pppt global lock
      node 0, set of the ALUA state: waits for the answer of the door server; holds the stmf lock
      node 1, set of the ALUA state: waits for the answer of the door server; holds the stmf lock
      node 0, addition of a port: waits for the stmf lock of node 0, held by set of the ALUA state (node 0)
      scenario, scenario: waits for addition of a port
      relay 0, main: waits for post
      relay 1, ALUA: waits for set of the ALUA state
      relay 1, main: waits for post
      relay 0, ALUA: waits for set of the ALUA state
    ");
}

/// A scenario that waits for something that nobody will do.
#[test]
fn a_scenario_that_waits_for_nothing_is_told() {
    let world = World::builder().build();
    let stuck = world.run(async |world| {
        Queue::<()>::new(world.executor(), "Godot").pop().await;
    });
    let stuck = stuck.unwrap_err();
    assert!(!stuck.is_deadlock());
    insta::assert_snapshot!(stuck, @r"
    nothing goes on
      nothing has happened since 0.000000000 s; given up at 0.000000000 s
      scenario, scenario: waits for Godot
    ");
}

/// The keepalives of a link that stands do not count as going on.
#[test]
fn signs_of_life_do_not_hide_that_nothing_goes_on() {
    let world = World::builder().build();
    let stuck = world.run(async |world| {
        for node in world.nodes() {
            node.start_relay().unwrap();
        }
        for node in world.nodes() {
            assert!(node.wait_for_alua(Duration::from_secs(60)).await.unwrap());
        }
        Queue::<()>::new(world.executor(), "Godot").pop().await;
    });
    let stuck = stuck.unwrap_err();
    assert!(
        stuck.time - stuck.since > Duration::from_secs(190),
        "{stuck}"
    );
    assert!(
        stuck.time - stuck.since <= Duration::from_secs(200),
        "{stuck}"
    );
}
