// SPDX-License-Identifier: MPL-2.0
//! A relay with bounded queues that block: while it posts a message it does not read the next one
//! from its peer, and while a message waits to be sent the next door call waits too.
//!
//! Breaks the rule that a post may never hold up reading from the peer. It is the simplest relay
//! that one can write, and keeps its memory bounded; the relay of `stmf-proxy` cannot be bent into
//! it, so it is a program of its own. It greets nobody and ends with its link.

use crate::executor::sync::Queue;
use crate::kernel::doors::{DoorReply, DoorServer};
use crate::world::driver::LINK_PORT;
use crate::world::network::{Accept, Connection, End, Endpoint};
use crate::world::{Host, RelayProgram};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::platform::DoorSettings;
use stmf_proxy::proxy_door::{Door, Error, ProxyDoor, Stmf};

pub(super) const NAME: &str = "stops-reading";

/// Messages that may wait to be sent; the door call that brings one more waits itself.
const ROOM: usize = 1;

/// How long it waits before it tries again to connect.
const CONNECT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Bytes of the length before each message.
const HEAD: usize = 4;

pub(super) struct StopsReading;

struct Relay {
    host: Host,
    line: RefCell<Option<Connection>>,
    /// Bytes of each frame that the peer has not taken.
    unsent: RefCell<VecDeque<usize>>,
    /// Door calls that wait for room.
    calls: RefCell<VecDeque<(Bytes, DoorReply)>>,
    received: RefCell<Vec<u8>>,
    posting: Cell<bool>,
    arrived: Queue<Vec<u8>>,
    connected: Queue<()>,
}

impl Relay {
    /// Lets door calls go for whose message there is room.
    fn send(&self) {
        let Some(line) = self.line.borrow().clone() else {
            return;
        };
        while self.unsent.borrow().len() < ROOM {
            let Some((message, reply)) = self.calls.borrow_mut().pop_front() else {
                return;
            };
            let head = Bytes::copy_from_slice(&(message.len() as u32).to_be_bytes());
            self.unsent.borrow_mut().push_back(HEAD + message.len());
            line.send_all([head, message]);
            reply.answer(0);
        }
    }

    fn taken(&self, mut bytes: usize) {
        let mut unsent = self.unsent.borrow_mut();
        while let Some(first) = unsent.front_mut() {
            if *first > bytes {
                *first -= bytes;
                break;
            }
            bytes -= *first;
            unsent.pop_front();
        }
        drop(unsent);
        self.send();
    }

    /// Takes the next message, unless one is being posted; reads on only if there is none.
    fn read(&self) {
        if self.posting.get() {
            return;
        }
        let message = self.next_message();
        let Some(line) = self.line.borrow().clone() else {
            return;
        };
        line.pause(message.is_some());
        if let Some(message) = message {
            self.posting.set(true);
            self.arrived.push(message);
        }
    }

    fn next_message(&self) -> Option<Vec<u8>> {
        let mut received = self.received.borrow_mut();
        let head: [u8; HEAD] = received.get(..HEAD)?.try_into().ok()?;
        let end = HEAD + u32::from_be_bytes(head) as usize;
        if received.len() < end {
            return None;
        }
        let mut frame: Vec<u8> = received.drain(..end).collect();
        frame.drain(..HEAD);
        Some(frame)
    }

    async fn run(self: &Rc<Relay>) -> Result<(), Error> {
        let platform = self.host.platform();
        let server = Rc::new(Server(self.clone()));
        let door = Door::create_async(&platform, DoorSettings::default(), server).await?;
        let proxy = ProxyDoor::init_async(door).await?;
        if self.host.node() == 0 {
            self.host.connect(LINK_PORT, Rc::new(LinkEnd(self.clone())));
        } else {
            let relay = self.clone();
            let accept: Accept = Rc::new(move |_| Rc::new(LinkEnd(relay.clone())));
            if self.host.listen(LINK_PORT, accept).is_err() {
                self.host.exit();
            }
        }
        self.connected.pop().await;
        let node = self.host.node().into();
        let host = self.host.clone();
        self.host.spawn("setting of ALUA", async move {
            let set = Stmf::new(platform).set_alua_state_async(true, node).await;
            if let Err(error) = set {
                host.log(&format!("error: {error}"));
            }
        });
        loop {
            let message = self.arrived.pop().await;
            proxy.post_async(&message).await?;
            self.posting.set(false);
            self.read();
        }
    }
}

struct Server(Rc<Relay>);

impl DoorServer for Server {
    fn call(&self, message: &Bytes, reply: DoorReply) {
        let call = (message.clone(), reply);
        self.0.calls.borrow_mut().push_back(call);
        self.0.send();
    }
}

struct LinkEnd(Rc<Relay>);

impl Endpoint for LinkEnd {
    fn connected(&self, connection: &Connection) {
        *self.0.line.borrow_mut() = Some(connection.clone());
        self.0.connected.push(());
        self.0.send();
    }

    fn received(&self, _: &Connection, bytes: Bytes) {
        self.0.received.borrow_mut().extend_from_slice(&bytes);
        self.0.read();
    }

    fn taken(&self, _: &Connection, bytes: usize) {
        self.0.taken(bytes);
    }

    fn ended(&self, _: &Connection, _: End) {
        let relay = self.0.clone();
        if relay.line.take().is_some() {
            return relay.host.exit();
        }
        relay.clone().host.spawn("connecting", async move {
            relay.host.sleep(CONNECT_AGAIN_AFTER).await;
            let end = Rc::new(LinkEnd(relay.clone()));
            relay.host.connect(LINK_PORT, end);
        });
    }
}

impl RelayProgram for StopsReading {
    fn start(&self, host: Host) {
        let relay = Rc::new(Relay {
            line: RefCell::default(),
            unsent: RefCell::default(),
            calls: RefCell::default(),
            received: RefCell::default(),
            posting: Cell::new(false),
            arrived: Queue::new(host.executor(), "a message of the peer"),
            connected: Queue::new(host.executor(), "the link"),
            host: host.clone(),
        });
        let main = relay.clone();
        host.spawn("main", async move {
            if let Err(error) = main.run().await {
                main.host.log(&format!("error: {error}"));
            }
            main.host.exit();
        });
        host.spawn("signals", async move {
            relay.host.stop_requested().await;
            relay.host.exit();
        });
    }

    fn name(&self) -> Option<String> {
        Some(NAME.into())
    }
}
