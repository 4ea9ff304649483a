// SPDX-License-Identifier: MPL-2.0
//! Relay processes: what stands on a node between its door and the link, and what the node's
//! system gives it.
//!
//! A world runs any implementation of [`RelayProgram`]: an ordinary program in simulated time,
//! with the door API of `stmf-proxy` on one side and a byte stream on the other. The relay of
//! `stmf-proxy` itself is one ([`super::driver`]); a relay that somebody wants to test is another.

use super::network::{Accept, Address, AddressInUse, Connection, Endpoint, Network};
use super::platform::SimPlatform;
use super::trace::{Event, NodeId, Trace};
use crate::executor::sync::Promise;
use crate::executor::{ChoiceKind, Executor, GroupId, Sleep};
use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::link::{BootIdentity, HandleIdentity};
use stmf_proxy::time::Time;

/// A relay: what a node starts to carry messages between its door and its peer.
pub trait RelayProgram {
    /// Starts the process: makes its first threads with [`Host::spawn`] and returns. Everything
    /// that a process keeps lives in those threads, so that it is gone when the process dies.
    fn start(&self, host: Host);

    /// What traces call the program, so that it can be started again in a replay
    /// ([`crate::relays::by_name`] knows it); none if it has no name there.
    fn name(&self) -> Option<String> {
        None
    }
}

/// A program that several worlds or nodes share.
impl<P: RelayProgram + ?Sized> RelayProgram for Rc<P> {
    fn start(&self, host: Host) {
        (**self).start(host);
    }

    fn name(&self) -> Option<String> {
        (**self).name()
    }
}

/// What the system of a node gives to one process. Clones belong to the same process.
#[derive(Clone)]
pub struct Host(Rc<Inner>);

struct Inner {
    node: NodeId,
    peer: NodeId,
    boot: u64,
    executor: Executor,
    group: GroupId,
    trace: Trace,
    network: Network,
    platform: SimPlatform,
    stop: Promise<()>,
    stopping: Cell<bool>,
    ended: Cell<bool>,
    handles: Rc<Cell<u64>>,
}

impl Host {
    pub(super) fn new(
        (node, peer): (NodeId, NodeId),
        boot: u64,
        executor: &Executor,
        trace: Trace,
        network: Network,
        platform: SimPlatform,
        handles: Rc<Cell<u64>>,
    ) -> Host {
        trace.record(executor.now(), Some(node), Event::RelayStarted);
        Host(Rc::new(Inner {
            node,
            peer,
            boot,
            group: executor.new_group(format!("relay {node}")),
            stop: Promise::new(executor, "the order to stop"),
            executor: executor.clone(),
            trace,
            network,
            platform,
            stopping: Cell::new(false),
            ended: Cell::new(false),
            handles,
        }))
    }

    /// The number of the node that the process runs on.
    pub fn node(&self) -> NodeId {
        self.0.node
    }

    /// The number of the node's peer.
    pub fn peer(&self) -> NodeId {
        self.0.peer
    }

    /// The virtual time.
    pub fn now(&self) -> Time {
        self.0.executor.now()
    }

    /// The executor, for the primitives of [`crate::executor::sync`].
    pub fn executor(&self) -> &Executor {
        &self.0.executor
    }

    /// The operating system, for [`stmf_proxy::proxy_door`].
    pub fn platform(&self) -> SimPlatform {
        self.0.platform.clone()
    }

    /// What tells this boot of this node from every other.
    pub fn boot_identity(&self) -> BootIdentity {
        BootIdentity(((u128::from(self.0.node) + 1) << 64) | u128::from(self.0.boot))
    }

    /// A number for a proxy handle that is about to be opened, never given out twice in a world.
    pub fn new_handle_identity(&self) -> HandleIdentity {
        let handles = &self.0.handles;
        handles.set(handles.get() + 1);
        HandleIdentity(u128::from(handles.get()))
    }

    /// A number drawn by the world.
    pub fn random(&self) -> u64 {
        self.0.executor.choose(ChoiceKind::Workload, u64::MAX)
    }

    /// Starts a thread of the process. Nothing happens if the process has ended.
    pub fn spawn(&self, name: &'static str, body: impl Future<Output = ()> + 'static) {
        self.0.executor.spawn(self.0.group, name, body);
    }

    /// Blocks the calling thread for a while.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.0.executor.sleep(duration)
    }

    /// The same for housekeeping (trying to connect again, signs of life): such a sleep does not
    /// count as something that goes on. A program that always sleeps otherwise keeps a world in
    /// which nothing goes on from being found [`Stuck`](super::Stuck).
    pub fn sleep_in_background(&self, duration: Duration) -> Sleep {
        let executor = &self.0.executor;
        executor.sleep_in_background(executor.now() + duration)
    }

    /// Writes a line to the log of the relay.
    pub fn log(&self, line: &str) {
        self.tell(Event::RelayLog(line));
    }

    /// Listens at a port of this node.
    pub fn listen(&self, port: u16, accept: Accept) -> Result<(), AddressInUse> {
        let address = Address {
            node: self.0.node,
            port,
        };
        self.0.network.listen(address, self.0.group, accept)
    }

    /// Begins to connect to a port of the peer.
    pub fn connect(&self, port: u16, endpoint: Rc<dyn Endpoint>) -> Connection {
        let target = Address {
            node: self.0.peer,
            port,
        };
        self.0
            .network
            .connect(self.0.node, target, self.0.group, endpoint)
    }

    /// Waits until somebody wants the relay to stop (SIGTERM). One thread may wait.
    pub async fn stop_requested(&self) {
        self.0.stop.take().await
    }

    /// Ends the process, from within or from without: its threads are no more, its connections
    /// are closed, the calls through its doors fail, its devices are closed. Called by a thread
    /// of the process, it takes effect when that thread next waits.
    pub fn exit(&self) {
        if self.0.ended.replace(true) {
            return;
        }
        self.tell(Event::RelayEnded);
        self.0.platform.process_ended();
        self.0.network.process_ended(self.0.group);
        self.0.executor.end_group(self.0.group);
    }

    /// The group of its threads.
    pub(super) fn group(&self) -> GroupId {
        self.0.group
    }

    /// Whether the process is no more.
    pub fn has_ended(&self) -> bool {
        self.0.ended.get()
    }

    /// Asks the relay to stop.
    pub(super) fn request_stop(&self) {
        if !self.0.stopping.replace(true) {
            self.0.stop.set(());
        }
    }

    fn tell(&self, event: Event<'_>) {
        self.0
            .trace
            .record(self.0.executor.now(), Some(self.0.node), event);
    }
}
