// SPDX-License-Identifier: MPL-2.0
//! A simulated STMF proxy service for the tests of ordinary programs: threads, blocking calls,
//! no storage node.
//!
//! A program that is written against [`ProxyDoor`](stmf_proxy::proxy_door::ProxyDoor) for any
//! [`BlockingPlatform`](stmf_proxy::platform::BlockingPlatform) runs on it unchanged, with its
//! own threads:
//!
//! ```
//! use stmf_proxy::proxy_door::{Door, ProxyDoor};
//! use stmf_sim::service::ProxyService;
//!
//! let service = ProxyService::start();
//! let door = Door::create(&service.platform(), |message: &[u8]| (message.len() > 3).into())?;
//! let proxy = ProxyDoor::init(door)?;
//!
//! // The kernel calls the door ...
//! assert_eq!(service.call_door(b"abc"), Ok(0));
//! assert_eq!(service.call_door(b"abcd"), Ok(1));
//! // ... and is handed what the program posts.
//! proxy.post(b"from the peer")?;
//! assert_eq!(service.posted(), [b"from the peer"]);
//! # Ok::<(), stmf_proxy::proxy_door::Error>(())
//! ```
//!
//! Behind it stands a [`World`] of one node in a thread of its own: the same kernel as everywhere
//! in this crate. [`ProxyService::run`] does anything in it that a scenario can do: add ports and
//! LUs, send commands to a standby LU so that the kernel calls the door, look at what became of
//! them. The kernel's side is as deterministic as ever, but the program's threads are the host's:
//! a test on it sees what real threads do.
//!
//! Virtual time stands still while the program is at work and jumps when the kernel waits for a
//! time and nothing else can happen, so that no test sleeps.

mod platform;

pub use platform::{ServiceDevice, ServiceDoor, ServicePlatform};

use crate::kernel::doors::{DoorError, DoorReply};
use crate::kernel::{KernelConfig, Panic};
use crate::world::platform::{SimDevice, SimDoor, SimPlatform};
use crate::world::trace::{Event, Record, Sink};
use crate::world::{Host, RelayProgram, World};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::thread;

/// Something to be done in the thread of the kernel.
type Job = Box<dyn FnOnce(&Rc<Inside>) + Send>;

/// What lives in the thread of the kernel.
struct Inside {
    world: World,
    platform: SimPlatform,
    devices: RefCell<BTreeMap<u64, Rc<SimDevice>>>,
    doors: RefCell<BTreeMap<u64, SimDoor>>,
    next: Cell<u64>,
    /// Calls through doors that threads of the program serve, with the count of the busy threads
    /// of each door.
    calls: RefCell<BTreeMap<u64, ServedCall>>,
    records: Rc<RefCell<Records>>,
}

/// A call that a thread of the program serves, and how many of the door's threads are busy.
type ServedCall = (DoorReply, Rc<Cell<usize>>);

impl Inside {
    fn next(&self) -> u64 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    /// Runs something in a simulated thread; the answer goes to whoever waits for it.
    fn answer<T: Send + 'static>(&self, to: Sender<T>, work: impl Future<Output = T> + 'static) {
        // Whoever does not wait any more does not want to know.
        self.world
            .spawn("program", async move { drop(to.send(work.await)) });
    }
}

/// A call of the kernel through the door, and what came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DoorCall {
    /// The message.
    pub message: Vec<u8>,
    /// The server's result, or the errno of illumos with which the call failed; none while it is
    /// in progress.
    pub outcome: Option<Result<u32, i32>>,
}

/// What happened at the kernel's side of the door.
#[derive(Default)]
struct Records {
    calls: Vec<(u64, DoorCall)>,
    posted: Vec<Vec<u8>>,
    log: Vec<String>,
}

impl Sink for Records {
    fn record(&mut self, record: &Record<'_>) {
        match record.event {
            Event::Upcall { call, message, .. } => {
                let record = DoorCall {
                    message: message.to_vec(),
                    outcome: None,
                };
                self.calls.push((call, record));
            }
            Event::UpcallDone { call, outcome } => {
                let mut calls = self.calls.iter_mut().rev();
                if let Some((_, record)) =
                    calls.find(|(other, record)| *other == call && record.outcome.is_none())
                {
                    record.outcome = Some(outcome);
                }
            }
            Event::Post { message, .. } => self.posted.push(message.to_vec()),
            Event::KernelLog(line) => self.log.push(line.to_string()),
            Event::Panic { reason, .. } => self.log.push(format!("panic: {reason}")),
            _ => {}
        }
    }
}

/// The node's own relay is the program under test, outside.
struct Nobody;

impl RelayProgram for Nobody {
    fn start(&self, _: Host) {}
}

/// A node with the STMF proxy service, in a thread of its own. Clones are the same node. It ends
/// with the last clone, platform, device and door.
#[derive(Clone)]
pub struct ProxyService {
    jobs: Sender<Job>,
}

impl Default for ProxyService {
    fn default() -> ProxyService {
        ProxyService::start()
    }
}

impl ProxyService {
    /// Boots a node with an ordinary kernel.
    pub fn start() -> ProxyService {
        ProxyService::start_with(KernelConfig::default(), 0)
    }

    /// Boots a node with this kernel; `seed` decides in what order its threads run.
    pub fn start_with(kernel: KernelConfig, seed: u64) -> ProxyService {
        let (jobs, work) = unbounded();
        thread::Builder::new()
            .name("simulated kernel".into())
            .spawn(move || serve(kernel, seed, &work))
            .expect("the host has no room for another thread");
        ProxyService { jobs }
    }

    /// The system under the program, for [`stmf_proxy::proxy_door`].
    pub fn platform(&self) -> ServicePlatform {
        ServicePlatform::new(self.jobs.clone())
    }

    /// The kernel calls the installed door with `message`, whatever that is, and waits for the
    /// result, as [`Pppt::upcall`](crate::kernel::pppt::Pppt::upcall) does.
    ///
    /// # Errors
    ///
    /// As that.
    pub fn call_door(&self, message: &[u8]) -> Result<u32, DoorError> {
        let message = Bytes::copy_from_slice(message);
        self.run(async move |world| match world.node(0).kernel() {
            Some(kernel) => kernel.pppt().upcall(&message).await,
            None => Err(DoorError::NoDoor),
        })
    }

    /// Does something on the node, as a scenario would, and waits for it. It runs in a simulated
    /// thread; the calling thread blocks. Use node 0: there is no other.
    ///
    /// # Panics
    ///
    /// If `scenario` does.
    pub fn run<T: Send + 'static, F>(&self, scenario: F) -> T
    where
        F: AsyncFnOnce(World) -> T + Send + 'static,
    {
        self.begin(scenario).wait()
    }

    /// As [`ProxyService::run`], but does not wait: a command on a standby LU ends only when the
    /// program has posted its answer.
    pub fn begin<T: Send + 'static, F>(&self, scenario: F) -> Begun<T>
    where
        F: AsyncFnOnce(World) -> T + Send + 'static,
    {
        let (tell, told) = unbounded();
        self.submit(Box::new(move |inside| {
            let world = inside.world.within();
            inside.answer(tell, async move { scenario(world).await });
        }));
        Begun(told)
    }

    /// Every call of the kernel through a door so far, in order.
    pub fn calls(&self) -> Vec<DoorCall> {
        self.look(|inside| {
            let records = inside.records.borrow();
            records.calls.iter().map(|(_, call)| call.clone()).collect()
        })
    }

    /// Every message that was posted so far, in order.
    pub fn posted(&self) -> Vec<Vec<u8>> {
        self.look(|inside| inside.records.borrow().posted.clone())
    }

    /// The lines of the kernel's log so far.
    pub fn log(&self) -> Vec<String> {
        self.look(|inside| inside.records.borrow().log.clone())
    }

    /// The panics of the kernel so far. After one, calls of the program fail with ENXIO.
    pub fn panics(&self) -> Vec<Panic> {
        self.look(|inside| inside.world.node(0).panics())
    }

    fn look<T: Send + 'static>(&self, look: impl FnOnce(&Inside) -> T + Send + 'static) -> T {
        let (tell, told) = unbounded();
        self.submit(Box::new(move |inside| drop(tell.send(look(inside)))));
        told.recv()
            .expect("the simulated kernel's thread is there as long as its service")
    }

    fn submit(&self, job: Job) {
        // The thread ends only after the last sender is gone, unless it panicked; then whoever
        // waits for an answer finds out.
        drop(self.jobs.send(job));
    }
}

/// Something that was begun on the node.
pub struct Begun<T>(Receiver<T>);

impl<T> Begun<T> {
    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// If the scenario panicked.
    pub fn wait(self) -> T {
        self.0
            .recv()
            .expect("the scenario in the simulated kernel panicked; see its message")
    }

    /// The result, if it has ended.
    pub fn try_wait(&self) -> Option<T> {
        self.0.try_recv().ok()
    }
}

/// The thread of the kernel.
fn serve(kernel: KernelConfig, seed: u64, work: &Receiver<Job>) {
    let world = World::builder()
        .seed(seed)
        .nodes(1)
        .kernel(kernel)
        .relay(Nobody)
        .build();
    let records = Rc::new(RefCell::new(Records::default()));
    world.trace().add_sink(records.clone());
    let platform = world
        .node(0)
        .process()
        .expect("the node was booted just now");
    let executor = world.executor().clone();
    let inside = Rc::new(Inside {
        world,
        platform,
        devices: RefCell::default(),
        doors: RefCell::default(),
        next: Cell::new(0),
        calls: RefCell::default(),
        records,
    });
    loop {
        executor.run_ready();
        match work.try_recv() {
            Ok(job) => job(&inside),
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {
                // The program is at work on a call: it may take as long as it likes.
                let waits = inside.calls.borrow().is_empty();
                match executor.next_timer(false) {
                    Some(time) if waits => executor.advance(time),
                    _ => match work.recv() {
                        Ok(job) => job(&inside),
                        Err(_) => return,
                    },
                }
            }
        }
    }
}
