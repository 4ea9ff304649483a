// SPDX-License-Identifier: MPL-2.0
//! A node: a kernel that boots and goes down, its ports and LUs, and the relay process on it.

mod faults;

use super::disks::Disks;
use super::initiator::{Exchange, Initiator, Path, fibre_channel_name};
use super::network::Network;
use super::node_error::NodeError;
use super::observer::NodeObserver;
use super::operation::{Operation, PathNumber};
use super::platform::SimPlatform;
use super::relay::{Host, RelayProgram};
use super::trace::{self, Event, LuOperation, NodeId, Trace};
use crate::executor::sync::Promise;
use crate::executor::{Executor, GroupId};
use crate::kernel::coverage::Coverage;
use crate::kernel::port::{DEFAULT_BUFFER_SIZE, TargetPort};
use crate::kernel::sbd_provider::SbdProvider;
use crate::kernel::stmf::types::LuId;
use crate::kernel::{Kernel, KernelConfig, Panic};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::{Rc, Weak};
use std::time::Duration;
use stmf_proxy::message::DeviceId;
use stmf_proxy::proxy_door::{AluaState, Stmf};
use stmf_proxy::time::Time;

/// A target port that a node is to have.
#[derive(Clone, Debug)]
pub struct PortConfig {
    /// Takes part in ALUA. Default true.
    pub alua: bool,
    /// Largest data buffer in bytes. Default 131,072.
    pub buffer_size: u32,
    /// The port's name. Default: one that no other port of the world has; of ports that are
    /// added at once, at most one should be left without a name.
    pub name: Option<String>,
}

impl Default for PortConfig {
    fn default() -> PortConfig {
        PortConfig {
            alua: true,
            buffer_size: DEFAULT_BUFFER_SIZE,
            name: None,
        }
    }
}

/// What a node is while it is up.
struct Running {
    kernel: Kernel,
    sbd: Rc<SbdProvider>,
    exchange: Rc<Exchange>,
    ports: Vec<(DeviceId, Rc<TargetPort>)>,
    next_session: u64,
    relay: Option<Host>,
    /// The process in which an operator types commands.
    operator: GroupId,
}

/// What all nodes of a world have in common.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) executor: Executor,
    pub(super) world: GroupId,
    pub(super) trace: Trace,
    pub(super) network: Network,
    pub(super) disks: Disks,
    pub(super) handles: Rc<Cell<u64>>,
    /// Counts what messages meet in the kernels.
    pub(super) coverage: Option<Rc<Coverage>>,
    /// How many paths there were.
    pub(super) paths: Rc<Cell<PathNumber>>,
}

/// The session id that a node gives out first after each boot, unless told otherwise: kernels
/// count from 1.
pub const FIRST_SESSION_ID: u64 = 1;

/// A node of a world.
pub struct Node {
    id: NodeId,
    peer: NodeId,
    around: Surroundings,
    kernel_config: RefCell<KernelConfig>,
    program: RefCell<Rc<dyn RelayProgram>>,
    boots: Cell<u64>,
    first_session: Cell<u64>,
    /// The boot on which the service is being switched.
    switching: Cell<Option<u64>>,
    running: RefCell<Option<Running>>,
    /// Until when the node stands still, if it does.
    paused: Cell<Option<Time>>,
    /// Its relay is to be killed when it goes on.
    kill_later: Cell<bool>,
    panics: RefCell<Vec<Panic>>,
    this: Weak<Node>,
}

impl Node {
    pub(super) fn new(
        (id, peer): (NodeId, NodeId),
        around: Surroundings,
        kernel_config: KernelConfig,
        program: Rc<dyn RelayProgram>,
    ) -> Rc<Node> {
        Rc::new_cyclic(|this| Node {
            id,
            peer,
            around,
            kernel_config: RefCell::new(kernel_config),
            program: RefCell::new(program),
            boots: Cell::new(0),
            first_session: Cell::new(FIRST_SESSION_ID),
            switching: Cell::new(None),
            running: RefCell::new(None),
            paused: Cell::new(None),
            kill_later: Cell::new(false),
            panics: RefCell::default(),
            this: this.clone(),
        })
    }

    /// Its number.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Whether its kernel runs.
    pub fn is_up(&self) -> bool {
        self.running.borrow().is_some()
    }

    /// How often it was booted.
    pub fn boots(&self) -> u64 {
        self.boots.get()
    }

    /// The panics of its kernels so far.
    pub fn panics(&self) -> Vec<Panic> {
        self.panics.borrow().clone()
    }

    /// The kernel, while the node is up.
    pub fn kernel(&self) -> Option<Kernel> {
        self.running
            .borrow()
            .as_ref()
            .map(|running| running.kernel.clone())
    }

    /// sbd of the kernel, while the node is up.
    pub fn sbd(&self) -> Option<Rc<SbdProvider>> {
        self.running
            .borrow()
            .as_ref()
            .map(|running| running.sbd.clone())
    }

    /// Commands of initiators on this node that have not ended.
    pub fn outstanding(&self) -> usize {
        self.running
            .borrow()
            .as_ref()
            .map_or(0, |running| running.exchange.outstanding())
    }

    /// Gives the next boot another kernel.
    pub fn set_kernel_config(&self, config: KernelConfig) {
        let (node, kernel) = (self.id, Box::new(config.clone()));
        let _running = self.operation(|| Operation::SetKernel { node, kernel });
        *self.kernel_config.borrow_mut() = config;
    }

    /// Sets the session id that the node gives out first after each boot from now on.
    pub fn set_first_session_id(&self, id: u64) {
        let (node, session) = (self.id, id);
        let _running = self.operation(|| Operation::FirstSession { node, session });
        self.first_session.set(id);
    }

    /// Gives the next start of the relay another program.
    pub fn set_relay(&self, program: Rc<dyn RelayProgram>) {
        let (node, relay) = (self.id, program.name());
        let _running = self.operation(|| Operation::SetRelay { node, relay });
        *self.program.borrow_mut() = program;
    }

    /// Boots the node, if it is down: a fresh kernel without ports, LUs and relay.
    pub fn boot(&self) {
        let node = self.id;
        let _running = self.operation(|| Operation::Boot { node });
        self.start_kernel();
    }

    pub(super) fn start_kernel(&self) {
        if self.is_up() {
            return;
        }
        let Surroundings {
            executor,
            trace,
            network,
            disks,
            ..
        } = &self.around;
        let boot = self.boots.get() + 1;
        self.boots.set(boot);
        self.tell(Event::Boot { boot });
        network.node_on(self.id);
        let this = self.this.clone();
        let panicked = Rc::new(move || {
            if let Some(node) = this.upgrade() {
                node.after_panic();
            }
        });
        let observer = NodeObserver::new(self.id, executor, trace.clone(), panicked)
            .counting(self.around.coverage.clone());
        let mut config = self.kernel_config.borrow().clone();
        config.name = format!("node {}", self.id);
        let kernel = Kernel::boot(executor, config, Rc::new(observer));
        let sbd = SbdProvider::attach(&kernel, Rc::new(disks.clone()));
        *self.running.borrow_mut() = Some(Running {
            kernel,
            sbd,
            exchange: Exchange::new(self.id, executor, trace.clone()),
            ports: Vec::new(),
            next_session: self.first_session.get(),
            relay: None,
            operator: executor.new_group(format!("operator {}", self.id)),
        });
    }

    /// Cuts the power: everything on the node is gone at once.
    pub fn power_off(&self) {
        let node = self.id;
        let _running = self.operation(|| Operation::PowerOff { node });
        if self.is_up() {
            self.tell(Event::PowerOff);
            self.go_down();
        }
    }

    /// The kernel has panicked, in the middle of one of its threads; the node goes down in a
    /// thread of the world.
    fn after_panic(&self) {
        let Some(node) = self.this.upgrade() else {
            return;
        };
        self.around
            .executor
            .spawn(self.around.world, "panic", async move {
                let panic = node.kernel().and_then(|kernel| kernel.panicked());
                if let Some(panic) = panic {
                    node.panics.borrow_mut().push(panic);
                    node.go_down();
                }
            });
    }

    fn go_down(&self) {
        let Some(running) = self.running.take() else {
            return;
        };
        let executor = &self.around.executor;
        self.around.network.node_off(self.id);
        self.forget_pause();
        executor.end_group(running.kernel.group());
        if let Some(relay) = &running.relay {
            relay.exit();
        }
        executor.end_group(running.operator);
        running.exchange.node_gone();
        running.ports.iter().for_each(|(_, port)| port.take_apart());
        running.sbd.take_apart();
        running.kernel.take_apart();
    }

    /// Starts the relay, unless it runs.
    pub fn start_relay(&self) -> Result<(), NodeError> {
        let node = self.id;
        let _running = self.operation(|| Operation::StartRelay { node });
        let mut running = self.running.borrow_mut();
        let running = running.as_mut().ok_or(NodeError::Down(self.id))?;
        if running
            .relay
            .as_ref()
            .is_some_and(|relay| !relay.has_ended())
        {
            return Ok(());
        }
        let Surroundings {
            executor,
            trace,
            network,
            handles,
            ..
        } = &self.around;
        let platform = self.platform(running);
        let host = Host::new(
            (self.id, self.peer),
            self.boots.get(),
            executor,
            trace.clone(),
            network.clone(),
            platform,
            handles.clone(),
        );
        running.relay = Some(host.clone());
        if self.is_paused() {
            executor.pause_group(host.group());
        }
        let program = self.program.borrow().clone();
        program.start(host);
        Ok(())
    }

    /// Asks the relay to stop in order (SIGTERM).
    pub fn stop_relay(&self) {
        let node = self.id;
        let _running = self.operation(|| Operation::StopRelay { node });
        if let Some(relay) = self.relay() {
            relay.request_stop();
        }
    }

    /// The relay process, while it runs.
    pub fn relay(&self) -> Option<Host> {
        let running = self.running.borrow();
        let relay = running.as_ref()?.relay.clone()?;
        (!relay.has_ended()).then_some(relay)
    }

    /// The system for a process that is none of the world's own, while the node is up. What such
    /// a process does is not recorded: a run with it cannot be replayed.
    pub fn process(&self) -> Option<SimPlatform> {
        let running = self.running.borrow();
        Some(self.platform(running.as_ref()?))
    }

    fn platform(&self, running: &Running) -> SimPlatform {
        let (kernel, sbd) = (running.kernel.clone(), running.sbd.clone());
        SimPlatform::new(self.id, kernel, sbd, self.around.trace.clone())
    }

    /// Adds a target port; the answer is its number, from 0.
    pub async fn add_port(&self, config: PortConfig) -> Result<usize, NodeError> {
        let _running = self.operation(|| Operation::AddPort {
            node: self.id,
            name: config.name.clone(),
            alua: config.alua,
            buffer_size: config.buffer_size,
        });
        let (kernel, exchange, place) = {
            let running = self.running.borrow();
            let running = running.as_ref().ok_or(NodeError::Down(self.id))?;
            (
                running.kernel.clone(),
                running.exchange.clone(),
                running.ports.len(),
            )
        };
        let name = config.name.clone();
        let name = name.unwrap_or_else(|| format!("wwn.50010000{:04x}{place:04x}", self.id));
        let name = fibre_channel_name(&name);
        let id = name.clone();
        let (alua, buffer_size) = (config.alua, config.buffer_size);
        let added = self
            .kernel_thread("addition of a port", async move {
                TargetPort::add(&kernel, id, alua, buffer_size, exchange).await
            })
            .await?;
        let port = added.map_err(NodeError::Refused)?;
        self.tell(Event::PortAdded {
            port: &name.ident,
            alua,
            buffer_size,
        });
        let mut running = self.running.borrow_mut();
        let running = running.as_mut().ok_or(NodeError::WentDown(self.id))?;
        running.ports.push((name, port));
        Ok(running.ports.len() - 1)
    }

    /// Takes a port away from stmf. It keeps its number; fails with BUSY while it has sessions.
    pub async fn remove_port(&self, port: usize) -> Result<(), NodeError> {
        let node = self.id;
        let _running = self.operation(|| Operation::RemovePort { node, port });
        let (kernel, name, target) = {
            let running = self.running.borrow();
            let running = running.as_ref().ok_or(NodeError::Down(node))?;
            let port = running.ports.get(port);
            let (name, target) = port.cloned().ok_or(NodeError::NoPort {
                node,
                port: running.ports.len(),
            })?;
            (running.kernel.clone(), name, target)
        };
        let remove = async move { target.remove(&kernel).await };
        self.kernel_thread("removal of a port", remove)
            .await?
            .map_err(NodeError::Refused)?;
        self.tell(Event::PortRemoved { port: &name.ident });
        Ok(())
    }

    /// Adds the LU of a disk of the world, as an administrator does.
    pub async fn add_lu(&self, lu: LuId, active: bool) -> Result<(), NodeError> {
        let node = self.id;
        let _running = self.operation(|| Operation::AddLu { node, lu, active });
        let operation = match active {
            true => LuOperation::Create,
            false => LuOperation::ImportStandby,
        };
        let result = self.add_lu_now(lu, active).await;
        self.tell_lu_operation(lu, operation, result)
    }

    async fn add_lu_now(&self, lu: LuId, active: bool) -> Result<(), NodeError> {
        let disk = self.around.disks.get(lu).ok_or(NodeError::NoDisk)?;
        let (kernel, sbd) = self.parts()?;
        // What real kernels pass is the path of the disk's device.
        let argument = b"/dev/rdsk/c1t0d0s0".to_vec();
        self.kernel_thread("addition of a LU", async move {
            sbd.add(&kernel, lu, argument, disk, active).await
        })
        .await?
        .map_err(NodeError::from)
    }

    /// Removes a LU from this node.
    pub async fn remove_lu(&self, lu: LuId) -> Result<(), NodeError> {
        let node = self.id;
        let _running = self.operation(|| Operation::RemoveLu { node, lu });
        let (kernel, sbd) = self.parts()?;
        let remove = async move { sbd.remove(&kernel, lu).await };
        let result = self.kernel_thread("removal of a LU", remove).await;
        let result = result.and_then(|result| result.map_err(NodeError::from));
        self.tell_lu_operation(lu, LuOperation::Delete, result)
    }

    /// Imports a LU over the standby one: this node serves it from now on.
    pub async fn import_lu(&self, lu: LuId) -> Result<(), NodeError> {
        let node = self.id;
        let _running = self.operation(|| Operation::ImportLu { node, lu });
        let (kernel, sbd) = self.parts()?;
        let import = async move { sbd.make_active(&kernel, lu).await };
        let result = self.kernel_thread("import of a LU", import).await;
        let result = result.and_then(|result| result.map_err(NodeError::from));
        self.tell_lu_operation(lu, LuOperation::Import, result)
    }

    /// Gives a LU up, with stmfLuStandby: it is in transition until the peer says that it serves
    /// it.
    pub async fn lu_standby(&self, lu: LuId) -> Result<(), NodeError> {
        let node = self.id;
        let _running = self.operation(|| Operation::LuStandby { node, lu });
        let platform = self.process().ok_or(NodeError::Down(node))?;
        let result = self
            .operator(async move { Stmf::new(platform).set_lu_standby_async(lu).await })
            .await;
        let result = result.and_then(|result| result.map_err(NodeError::from));
        self.tell_lu_operation(lu, LuOperation::MakeStandby, result)
    }

    /// Sets the ALUA state, as an administrator does with stmfSetAluaState. As a rule the relay
    /// does that.
    pub async fn set_alua_state(&self, enabled: bool, number: u32) -> Result<(), NodeError> {
        let node = self.id;
        let _running = self.operation(|| Operation::SetAlua {
            node,
            enabled,
            number,
        });
        let platform = self.process().ok_or(NodeError::Down(node))?;
        let set = async move {
            Stmf::new(platform)
                .set_alua_state_async(enabled, number)
                .await
        };
        self.operator(set).await?.map_err(NodeError::from)
    }

    /// The ALUA state, as stmfGetAluaState tells it.
    pub async fn alua_state(&self) -> Result<AluaState, NodeError> {
        let node = self.id;
        let _running = self.operation(|| Operation::GetAlua { node });
        let platform = self.process().ok_or(NodeError::Down(node))?;
        self.operator(async move { Stmf::new(platform).alua_state_async().await })
            .await?
            .map_err(NodeError::from)
    }

    /// Waits until ALUA is on, which is when the relay has found its peer; false if that takes
    /// longer than `patience`.
    pub async fn wait_for_alua(&self, patience: Duration) -> Result<bool, NodeError> {
        /// How often an operator looks.
        const PAUSE: Duration = Duration::from_millis(10);
        let executor = &self.around.executor;
        let end = executor.now() + patience;
        loop {
            let kernel = self.kernel().ok_or(NodeError::Down(self.id))?;
            if kernel.stmf().alua().0 {
                return Ok(true);
            }
            if executor.now() >= end {
                return Ok(false);
            }
            executor.sleep(PAUSE).await;
        }
    }

    /// Opens a session of an initiator to a port.
    pub async fn login(&self, initiator: &Initiator, port: usize) -> Result<Path, NodeError> {
        let path = self.around.paths.get();
        self.around.paths.set(path + 1);
        let _running = self.operation(|| Operation::Login {
            node: self.id,
            port,
            initiator: initiator.id(),
            path,
        });
        let (kernel, exchange, port_name, target, id) = {
            let mut running = self.running.borrow_mut();
            let running = running.as_mut().ok_or(NodeError::Down(self.id))?;
            let Some((port_name, target)) = running.ports.get(port) else {
                return Err(NodeError::NoPort {
                    node: self.id,
                    port,
                });
            };
            let id = running.next_session;
            running.next_session += 1;
            (
                running.kernel.clone(),
                running.exchange.clone(),
                port_name.clone(),
                target.clone(),
                id,
            )
        };
        let login = {
            let (kernel, target) = (kernel.clone(), target.clone());
            let (name, transport) = (initiator.device_id(), initiator.transport_id());
            async move { target.login(&kernel, id, name, transport).await }
        };
        let session = self.kernel_thread("login", login).await?;
        let number = session.as_ref().map_or(0, |session| session.id);
        self.tell(Event::SessionOpened {
            initiator: initiator.id(),
            session: number,
            port: &port_name.ident,
            name: &initiator.device_id().ident,
        });
        let session = session.map_err(NodeError::Refused)?;
        Ok(initiator.path(path, kernel, exchange, target, session))
    }

    fn parts(&self) -> Result<(Kernel, Rc<SbdProvider>), NodeError> {
        let running = self.running.borrow();
        let running = running.as_ref().ok_or(NodeError::Down(self.id))?;
        Ok((running.kernel.clone(), running.sbd.clone()))
    }

    fn operation(&self, operation: impl FnOnce() -> Operation) -> trace::Running {
        self.around
            .trace
            .operation(&self.around.executor, &[], operation)
    }

    fn tell_lu_operation(
        &self,
        lu: LuId,
        operation: LuOperation,
        result: Result<(), NodeError>,
    ) -> Result<(), NodeError> {
        let outcome = match &result {
            Ok(()) => Ok(()),
            Err(NodeError::Lu(error)) => Err(error.errno().number()),
            Err(NodeError::Library(error)) => Err(error.errno().map_or(0, |errno| errno.number())),
            // Nobody was there to be asked, or to answer.
            Err(_) => return result,
        };
        self.tell(Event::LuOperation {
            lu,
            operation,
            outcome,
        });
        result
    }

    /// Runs something in a thread of the kernel and waits for it. A trace cannot hold what it
    /// does: the run cannot be replayed.
    pub async fn in_kernel<T: 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + 'static,
    ) -> Result<T, NodeError> {
        let (node, what) = (self.id, name.to_string());
        let _running = self.operation(|| Operation::Direct { node, what });
        self.kernel_thread(name, work).await
    }

    async fn kernel_thread<T: 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + 'static,
    ) -> Result<T, NodeError> {
        let group = {
            let running = self.running.borrow();
            running
                .as_ref()
                .ok_or(NodeError::Down(self.id))?
                .kernel
                .group()
        };
        self.in_group(group, name, work).await
    }

    /// Runs something in the process in which an operator types commands, and waits for it. A
    /// trace cannot hold what it does: the run cannot be replayed.
    pub async fn as_operator<T: 'static>(
        &self,
        work: impl Future<Output = T> + 'static,
    ) -> Result<T, NodeError> {
        let (node, what) = (self.id, "command".to_string());
        let _running = self.operation(|| Operation::Direct { node, what });
        self.operator(work).await
    }

    async fn operator<T: 'static>(
        &self,
        work: impl Future<Output = T> + 'static,
    ) -> Result<T, NodeError> {
        let group = {
            let running = self.running.borrow();
            running.as_ref().ok_or(NodeError::Down(self.id))?.operator
        };
        self.in_group(group, "command", work).await
    }

    async fn in_group<T: 'static>(
        &self,
        group: GroupId,
        name: &'static str,
        work: impl Future<Output = T> + 'static,
    ) -> Result<T, NodeError> {
        let promise = Promise::new(&self.around.executor, name);
        // Told also when the thread is ended with its node, wherever it stands.
        let told = Told(promise.clone());
        self.around.executor.spawn(group, name, async move {
            let told = told;
            let result = work.await;
            told.0.set(Some(result));
        });
        promise.take().await.ok_or(NodeError::WentDown(self.id))
    }

    fn tell(&self, event: Event<'_>) {
        self.around
            .trace
            .record(self.around.executor.now(), Some(self.id), event);
    }
}

/// Keeps its promise whatever happens: with nothing, if nothing else was promised before.
struct Told<T>(Promise<Option<T>>);

impl<T> Drop for Told<T> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}
