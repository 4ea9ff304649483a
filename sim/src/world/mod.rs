// SPDX-License-Identifier: MPL-2.0
//! Worlds: two or more simulated nodes with kernels, relays, disks and initiators, in virtual
//! time, from one seed.
//!
//! # The promise
//!
//! A run is a function of its seed and its scenario. Everything that is not determined by the
//! scenario is drawn through one [`Choices`], which can be recorded,
//! replayed and edited ([`choices`]); everything that happens is told to one [`trace`], whose
//! hash is the same for the same run on every machine. Nothing here reads a clock, starts a
//! thread, asks the environment or walks a hash table.
//!
//! # The parts
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | the world: building it, running a scenario in it |
//! | `node.rs` | nodes: boot, power, ports, LUs, relay processes |
//! | `disks.rs` | the disks that the nodes share |
//! | `initiator.rs` | hosts that send commands |
//! | `relay.rs` | relay processes, and what their system gives them |
//! | `driver.rs` | the relay of `stmf-proxy` as such a process |
//! | `platform.rs` | the door API's seam over a simulated kernel |
//! | `network.rs` | byte streams between nodes, and what goes wrong with them |
//! | `trace.rs`, `observer.rs` | what happens, in order, and its hash |
//! | `choices.rs`, `random.rs`, `ratio.rs` | who decides |
//! | `faults.rs` | what injected faults are called |
//! | `operation.rs` | what is done to a world, as values to do again |
//! | `stuck.rs` | the report on a world in which nothing goes on |
//!
//! # A scenario
//!
//! ```
//! use stmf_sim::kernel::sbd::{Disk, Fill, MemoryStore};
//! use stmf_sim::scsi::cdb;
//! use stmf_sim::world::{PortConfig, Transfer, World};
//!
//! let world = World::builder().seed(7).build();
//! let lu = [0x60; 16];
//! world.disks().insert(lu, Disk::shared(MemoryStore::new(1 << 20, Fill::RECORDED)));
//! let host = world.initiator();
//! let reply = world.run(async move |world| {
//!     let node = world.node(0);
//!     node.add_port(PortConfig::default()).await?;
//!     node.add_lu(lu, true).await?;
//!     let path = node.login(&host, 0).await?;
//!     Ok::<_, stmf_sim::world::NodeError>(
//!         path.command([0; 8], &cdb::inquiry(36), Transfer::Read(36)).await,
//!     )
//! });
//! assert!(reply.unwrap().unwrap().outcome.is_good());
//! ```

mod alarm;
pub mod choices;
mod disks;
pub mod driver;
pub mod faults;
pub mod initiator;
pub mod network;
pub mod node;
mod node_error;
mod observer;
pub mod operation;
pub mod platform;
pub mod random;
mod ratio;
pub mod relay;
pub mod statistics;
mod stuck;
pub mod trace;

pub use disks::{DiskFault, DiskFaultKind, DiskListener, Disks, SharedDiskListener};
pub use driver::StandardRelay;
pub use initiator::{Initiator, Outcome, Path, Reply, Transfer};
pub use node::{Node, PortConfig};
pub use node_error::NodeError;
pub use ratio::Ratio;
pub use relay::{Host, RelayProgram};
pub use stuck::Stuck;

use crate::executor::{Choices, Executor, GroupId, ThreadName};
use crate::kernel::KernelConfig;
use crate::kernel::coverage::Coverage;
use crate::relays::UnknownRelay;
use choices::Drawn;
use network::{Network, NetworkConfig};
use node::Surroundings;
use operation::{Operation, Plan, SharedRecorder, Tapped};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::time::Time;
use trace::{Event, NodeId, Record, Sink, Trace, TraceHash};

/// How a world is made. Everything has a default: two nodes, seed 0, the relay of `stmf-proxy`.
pub struct Builder {
    choices: Option<Box<dyn Choices>>,
    seed: u64,
    nodes: NodeId,
    kernel: KernelConfig,
    kernels: BTreeMap<NodeId, KernelConfig>,
    network: NetworkConfig,
    relay: Rc<dyn RelayProgram>,
    patience: Duration,
    most_steps: u64,
    recorder: Option<SharedRecorder>,
    coverage: Option<Rc<Coverage>>,
    sinks: Vec<Rc<RefCell<dyn Sink>>>,
}

impl Builder {
    /// Draws every choice from this seed. Default 0.
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = seed;
        self
    }

    /// Takes every choice from this oracle, and none from a seed.
    pub fn choices(mut self, choices: Box<dyn Choices>) -> Builder {
        self.choices = Some(choices);
        self
    }

    /// How many nodes there are, 1 to 254. Default 2; node n of an even number of nodes is the
    /// peer of n xor 1.
    pub fn nodes(mut self, nodes: NodeId) -> Builder {
        self.nodes = nodes.clamp(1, 254);
        self
    }

    /// What kernels the nodes boot.
    pub fn kernel(mut self, kernel: KernelConfig) -> Builder {
        self.kernel = kernel;
        self
    }

    /// What kernel one of the nodes boots first, in place of that.
    pub fn kernel_of(mut self, node: NodeId, kernel: KernelConfig) -> Builder {
        self.kernels.insert(node, kernel);
        self
    }

    /// Writes the run down from its very beginning.
    pub fn recorder(mut self, recorder: SharedRecorder) -> Builder {
        self.recorder = Some(recorder);
        self
    }

    /// Counts which messages met which states of the kernels. No part of the run.
    pub fn coverage(mut self, coverage: Rc<Coverage>) -> Builder {
        self.coverage = Some(coverage);
        self
    }

    /// Tells every event to this sink, from the very beginning (the boots of the nodes).
    pub fn sink(mut self, sink: Rc<RefCell<dyn Sink>>) -> Builder {
        self.sinks.push(sink);
        self
    }

    /// How bytes travel.
    pub fn network(mut self, network: NetworkConfig) -> Builder {
        self.network = network;
        self
    }

    /// What the nodes run for a relay. Default [`StandardRelay`].
    pub fn relay(mut self, relay: impl RelayProgram + 'static) -> Builder {
        self.relay = Rc::new(relay);
        self
    }

    /// For how long nothing may go on before a run is given up as [`Stuck`], in virtual time.
    /// Default 200 s: twice the time-out of an initiator, and longer than any in the kernel.
    pub fn patience(mut self, patience: Duration) -> Builder {
        self.patience = patience;
        self
    }

    /// How many steps its threads may take all in all before a run is given up as [`Stuck`]: a
    /// program that tries something again and again without a pause would go on for ever. Default:
    /// any number.
    pub fn most_steps(mut self, steps: u64) -> Builder {
        self.most_steps = steps;
        self
    }

    /// Makes the world and boots its nodes.
    pub fn build(self) -> World {
        let plan = self.plan();
        let trace = Trace::new();
        if let Some(recorder) = &self.recorder {
            recorder.borrow_mut().begin(&plan);
            trace.set_recorder(recorder.clone());
        }
        self.sinks.into_iter().for_each(|sink| trace.add_sink(sink));
        let choices: Box<dyn Choices> = match (self.choices, self.recorder) {
            (None, _) => Box::new(Drawn::new(self.seed)),
            (Some(oracle), None) => oracle,
            // What does not follow from a seed is written down.
            (Some(oracle), Some(recorder)) => {
                let now = Rc::new(Cell::new(Time::ZERO));
                trace.add_sink(Rc::new(RefCell::new(ClockSink(now.clone()))));
                Box::new(Tapped {
                    oracle,
                    recorder,
                    now,
                })
            }
        };
        let executor = Executor::new(choices);
        let group = executor.new_group("world");
        let network = Network::new(&executor, group, trace.clone(), self.network);
        let around = Surroundings {
            executor: executor.clone(),
            world: group,
            network,
            disks: Disks::new(&executor, &trace),
            trace,
            handles: Rc::new(Cell::new(0)),
            coverage: self.coverage,
            paths: Rc::new(Cell::new(0)),
        };
        let node = |id: NodeId| {
            let ids = (id, id ^ 1);
            let kernel = plan.kernel_of(id).clone();
            Node::new(ids, around.clone(), kernel, self.relay.clone())
        };
        let nodes: Vec<Rc<Node>> = (0..self.nodes).map(node).collect();
        nodes.iter().for_each(|node| node.start_kernel());
        let inner = Rc::new(Inner {
            scenario: executor.new_outside_group("scenario"),
            around,
            nodes,
            initiators: Cell::new(0),
            patience: self.patience,
            most_steps: self.most_steps,
        });
        let _root = Some(Rc::new(Root(inner.clone())));
        World { inner, _root }
    }
}

impl Builder {
    /// Begins to make a world of what a trace says. Oracle and seed are those of the plan.
    ///
    /// # Errors
    ///
    /// If the relay of the plan has no name, or one that nobody knows.
    pub fn from_plan(plan: &Plan) -> Result<Builder, UnknownRelay> {
        let relay = crate::relays::find(plan.relay.as_deref())?;
        let mut builder = World::builder()
            .seed(plan.seed.unwrap_or(0))
            .nodes(plan.nodes)
            .kernel(plan.kernel.clone())
            .network(plan.network.clone())
            .patience(Duration::from_nanos(plan.patience));
        builder.relay = relay;
        builder.kernels = plan.kernels.clone();
        Ok(builder)
    }

    /// What the world is going to be made of.
    pub fn plan(&self) -> Plan {
        Plan {
            nodes: self.nodes,
            kernel: self.kernel.clone(),
            kernels: self.kernels.clone(),
            network: self.network.clone(),
            relay: self.relay.name(),
            patience: operation::nanoseconds(self.patience),
            seed: self.choices.is_none().then_some(self.seed),
        }
    }
}

/// Knows when the last event was.
struct ClockSink(Rc<Cell<Time>>);

impl Sink for ClockSink {
    fn record(&mut self, record: &Record<'_>) {
        self.0.set(record.time);
    }
}

struct Inner {
    around: Surroundings,
    scenario: GroupId,
    nodes: Vec<Rc<Node>>,
    initiators: Cell<u32>,
    patience: Duration,
    most_steps: u64,
}

/// What those who made a world hold, and its own threads do not: when the last of them lets go,
/// the world ends, whatever its threads still hold of it.
struct Root(Rc<Inner>);

impl Drop for Root {
    fn drop(&mut self) {
        let inner = &self.0;
        let executor = &inner.around.executor;
        // How it comes down is no part of the run.
        inner.around.trace.detach_sinks();
        inner.nodes.iter().for_each(|node| node.power_off());
        executor.end_group(inner.scenario);
        executor.end_group(inner.around.world);
    }
}

/// A world. Clones are the same world.
#[derive(Clone)]
pub struct World {
    inner: Rc<Inner>,
    /// Held, never read: the last one ends the world.
    _root: Option<Rc<Root>>,
}

impl World {
    /// Begins to make a world.
    pub fn builder() -> Builder {
        Builder {
            choices: None,
            seed: 0,
            nodes: 2,
            kernel: KernelConfig::default(),
            kernels: BTreeMap::new(),
            network: NetworkConfig::default(),
            relay: Rc::new(StandardRelay::default()),
            patience: Duration::from_secs(200),
            most_steps: u64::MAX,
            recorder: None,
            coverage: None,
            sinks: Vec::new(),
        }
    }

    /// The world as its own threads hold it: it does not keep the world going.
    pub(crate) fn within(&self) -> World {
        World {
            inner: self.inner.clone(),
            _root: None,
        }
    }

    /// The virtual time.
    pub fn now(&self) -> Time {
        self.inner.around.executor.now()
    }

    /// The executor that runs everything.
    pub fn executor(&self) -> &Executor {
        &self.inner.around.executor
    }

    /// The trace.
    pub fn trace(&self) -> &Trace {
        &self.inner.around.trace
    }

    /// The hash of the trace so far.
    pub fn hash(&self) -> TraceHash {
        self.inner.around.trace.hash()
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.inner.around.network
    }

    /// The disks that the nodes share.
    pub fn disks(&self) -> &Disks {
        &self.inner.around.disks
    }

    /// A node.
    ///
    /// # Panics
    ///
    /// If the world has no node of this number.
    pub fn node(&self, node: NodeId) -> &Rc<Node> {
        &self.inner.nodes[usize::from(node)]
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Rc<Node>] {
        &self.inner.nodes
    }

    /// A new host.
    pub fn initiator(&self) -> Initiator {
        let number = self.inner.initiators.get();
        self.inner.initiators.set(number + 1);
        Initiator::new(number)
    }

    /// Says in the trace that a step of the scenario begins.
    pub fn step(&self, what: &str) {
        let around = &self.inner.around;
        let text = || Operation::Step { text: what.into() };
        let _running = around.trace.operation(self.executor(), &[], text);
        around.trace.record(self.now(), None, Event::Step(what));
    }

    /// Blocks the calling thread of a scenario for a while.
    pub async fn sleep(&self, duration: Duration) {
        self.executor().sleep(duration).await;
    }

    /// Starts a thread beside the scenario.
    pub fn spawn(&self, name: impl Into<ThreadName>, body: impl Future<Output = ()> + 'static) {
        self.executor().spawn(self.inner.scenario, name, body);
    }

    /// For how long nothing may go on.
    pub(crate) fn patience(&self) -> Duration {
        self.inner.patience
    }

    /// How many proxy handles were numbered so far.
    pub(crate) fn handles(&self) -> u64 {
        self.inner.around.handles.get()
    }

    /// When something last went on.
    pub(crate) fn last_progress(&self) -> Time {
        self.trace().last_progress()
    }

    /// Something will go on at this time, as far as those know who act from outside.
    pub(crate) fn expect_progress(&self, time: Time) {
        self.trace().progress_made(time);
    }

    /// The report on this world, in which nothing goes on.
    pub(crate) fn stuck(&self) -> Stuck {
        Stuck::new(self, self.last_progress())
    }

    /// Gives the world up if its threads have taken more steps than they may.
    pub(crate) fn check_steps(&self) -> Result<(), Stuck> {
        if self.executor().steps() <= self.inner.most_steps {
            return Ok(());
        }
        let last = self.last_progress();
        self.ended(true);
        Err(Stuck::endless(self, last))
    }

    /// Runs a scenario to its end, as one thread among those of the world.
    ///
    /// # Errors
    ///
    /// [`Stuck`] when nothing goes on while the scenario waits.
    pub fn run<T: 'static>(
        &self,
        scenario: impl AsyncFnOnce(World) -> T + 'static,
    ) -> Result<T, Stuck> {
        self.run_watched(scenario, |_| ())
    }

    /// As [`World::run`]; `watch` is called now and then while the world runs, for a progress
    /// line. It can look at the world and change nothing.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn run_watched<T: 'static>(
        &self,
        scenario: impl AsyncFnOnce(World) -> T + 'static,
        mut watch: impl FnMut(&World),
    ) -> Result<T, Stuck> {
        /// Steps between two calls of `watch`.
        const WATCH_EVERY: u64 = 256;
        let result = Rc::new(RefCell::new(None));
        let (told, world) = (result.clone(), self.within());
        let executor = self.executor();
        executor.spawn(self.inner.scenario, "scenario", async move {
            let outcome = scenario(world).await;
            *told.borrow_mut() = Some(outcome);
        });
        self.trace().progress_made(self.now());
        loop {
            let mut steps = 0;
            self.check_steps()?;
            while result.borrow().is_none() && executor.step() {
                steps += 1;
                if steps % WATCH_EVERY == 0 {
                    watch(self);
                }
                if steps > self.inner.most_steps {
                    break;
                }
            }
            if let Some(result) = result.take() {
                self.ended(false);
                return Ok(result);
            }
            let last = self.trace().last_progress();
            let end = last + self.inner.patience;
            // Foreground timers count as going on: somebody waits for a time to come.
            if let Some(time) = executor.next_timer(false) {
                self.trace().progress_made(time);
            }
            match executor.next_timer(true) {
                Some(time) if time <= end.max(self.trace().last_progress()) => {
                    executor.advance(time)
                }
                _ => {
                    self.ended(true);
                    return Err(Stuck::new(self, last));
                }
            }
        }
    }

    /// The report on threads that wait for locks in a ring, if there are such: a scenario can end
    /// without having met them. `None` does not mean that nobody waits in vain for something else.
    pub fn deadlock(&self) -> Option<Stuck> {
        let last = self.trace().last_progress();
        self.executor()
            .has_deadlock()
            .then(|| Stuck::new(self, last))
    }

    pub(crate) fn ended(&self, stuck: bool) {
        let trace = &self.inner.around.trace;
        trace.operation(self.executor(), &[], || Operation::End { stuck });
    }

    /// Lets the world go on for a while with no scenario.
    pub fn run_for(&self, duration: Duration) {
        self.executor().run_until(self.now() + duration);
    }
}

#[cfg(test)]
mod tests;
