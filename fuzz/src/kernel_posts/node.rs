// SPDX-License-Identifier: MPL-2.0
//! A kernel, a process with its device and a door, and calls that run side by side.

use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;
use stmf_sim::executor::{ChoiceKind, Choices, Executor, GroupId};
use stmf_sim::kernel::doors::{DoorFault, DoorReply, DoorServer, ServerThreads, attributes};
use stmf_sim::kernel::play::{self, NodeStep};
use stmf_sim::kernel::pppt::{Command, Handle, Ioctl};
use stmf_sim::kernel::{Kernel, KernelConfig, NoObserver};

/// Which of the threads that are ready runs next: the first, or by chance.
struct Chance(u64);

impl Choices for Chance {
    fn choose(&mut self, _: ChoiceKind, alternatives: u64) -> u64 {
        if self.0 == 0 {
            return 0;
        }
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % alternatives
    }
}

/// The relay: answers upcalls at once, or keeps them for later.
#[derive(Default)]
struct Server {
    result: Cell<u32>,
    keeps: Cell<bool>,
    kept: RefCell<Vec<DoorReply>>,
}

impl DoorServer for Server {
    fn call(&self, _: &Bytes, reply: DoorReply) {
        if self.keeps.get() {
            self.kept.borrow_mut().push(reply);
        } else {
            reply.answer(self.result.get());
        }
    }
}

/// A node.
pub struct Node {
    executor: Executor,
    kernel: Kernel,
    /// Ports, initiators and LUs.
    node: Rc<play::Node>,
    process: GroupId,
    server: Rc<Server>,
    door: i32,
    handle: Rc<Cell<Option<Handle>>>,
    /// Calls that have not returned.
    waiting: Rc<RefCell<BTreeMap<u64, &'static str>>>,
    calls: u64,
}

impl Node {
    /// Boots it. The threads that are ready run in an order that `schedule` says; 0 is in turn.
    pub fn boot(config: KernelConfig, schedule: u64) -> Node {
        let executor = Executor::new(Box::new(Chance(schedule)));
        let process = executor.new_group("relay");
        let kernel = Kernel::boot(&executor, config, Rc::new(NoObserver));
        let threads = ServerThreads {
            most: None,
            stack_bytes: usize::MAX,
        };
        let door_process = kernel.doors().start_process(threads);
        let server = Rc::new(Server::default());
        let door = kernel
            .doors()
            .create(door_process, attributes::REFUSE_DESC, server.clone())
            .expect("a new process can make a door");
        let node = Rc::new(play::Node::attach(&kernel, Rc::default()));
        Node {
            executor,
            kernel,
            node,
            process,
            server,
            door,
            handle: Rc::default(),
            waiting: Rc::default(),
            calls: 0,
        }
    }

    /// Whether the kernel has panicked.
    pub fn panicked(&self) -> bool {
        self.kernel.panicked().is_some()
    }

    /// Begins a call in a thread of its own.
    fn begin(&mut self, name: &'static str, call: impl Future<Output = ()> + 'static) {
        self.calls += 1;
        let number = self.calls;
        self.waiting.borrow_mut().insert(number, name);
        let waiting = self.waiting.clone();
        self.executor.spawn(self.process, name, async move {
            call.await;
            waiting.borrow_mut().remove(&number);
        });
    }

    /// Runs whatever is ready.
    pub fn run(&self) {
        self.executor.run_ready();
    }

    /// Lets time pass.
    pub fn pass(&self, duration: Duration) {
        self.executor.run_until(self.executor.now() + duration);
    }

    /// Opens the device and installs the door.
    pub fn open(&mut self) {
        let (kernel, handle, door) = (self.kernel.clone(), self.handle.clone(), self.door);
        self.begin("open", async move {
            let pppt = kernel.pppt();
            if let Ok(open) = pppt.open().await {
                handle.set(Some(open));
                let _ = pppt
                    .ioctl(open, Ioctl::new(Command::InstallDoor(door)))
                    .await;
            }
        });
    }

    /// Closes the device.
    pub fn close(&mut self) {
        let Some(handle) = self.handle.take() else {
            return;
        };
        let kernel = self.kernel.clone();
        self.begin("close", async move {
            let closed = kernel.pppt().close(handle).await;
            assert_eq!(closed, Ok(()), "it was open");
        });
    }

    /// Posts a message.
    pub fn post(&mut self, bytes: Vec<u8>) {
        let Some(handle) = self.handle.get() else {
            return;
        };
        let kernel = self.kernel.clone();
        self.begin("post", async move {
            let command = Ioctl::new(Command::Message(&bytes));
            let _ = kernel.pppt().ioctl(handle, command).await;
        });
    }

    /// Does something to the node.
    pub fn apply(&mut self, step: NodeStep) {
        let (kernel, node) = (self.kernel.clone(), self.node.clone());
        self.begin("step", async move {
            node.apply(&kernel, &step).await;
        });
    }

    /// Commands wait in their LUs.
    pub fn hold_lus(&self, on: bool) {
        if !self.panicked() {
            self.node.hold_lus(&self.kernel, on);
        }
    }

    /// Upcalls wait in the relay.
    pub fn keep_upcalls(&self, on: bool) {
        self.server.keeps.set(on);
    }

    /// Answers the upcall that waits longest.
    pub fn answer_kept(&self, result: u32) {
        let mut kept = self.server.kept.borrow_mut();
        if !kept.is_empty() {
            kept.remove(0).answer(result);
        }
    }

    /// Calls of the door fail.
    pub fn fail_door(&self, fault: DoorFault) {
        self.kernel.doors().clear_faults();
        self.kernel.doors().inject(fault);
    }

    /// What the relay answers at once.
    pub fn set_result(&self, result: u32) {
        self.server.result.set(result);
    }

    /// Nothing is held any more, and the relay answers.
    pub fn heal(&mut self) {
        self.kernel.doors().clear_faults();
        self.server.keeps.set(false);
        self.server.result.set(0);
        for reply in self.server.kept.take() {
            reply.answer(0);
        }
        self.hold_lus(false);
        self.apply(NodeStep::PortHold { on: false });
        self.run();
    }

    /// Whether the node may be where it is, with nothing held and the device closed.
    pub fn judge(&self, hardened: bool) {
        if let Some(panic) = self.kernel.panicked() {
            assert!(!hardened, "a hardened node panicked: {panic:?}");
            assert!(panic.trap.is_some(), "not one of the traps: {panic:?}");
            return;
        }
        let pppt = self.kernel.pppt();
        let waiting = self.waiting.borrow();
        let stuck: Vec<_> = waiting.values().collect();
        let sessions = pppt.sessions();
        if !hardened {
            let leaked = |session: &stmf_sim::kernel::pppt::SessionReport| {
                session.holds as usize > session.tasks.len()
            };
            let excused = sessions.iter().any(leaked);
            assert!(stuck.is_empty() || excused, "{}", self.told(&stuck));
            return;
        }
        assert!(stuck.is_empty(), "{}", self.told(&stuck));
        assert_eq!(pppt.inconsistencies(), Vec::<String>::new());
        assert!(pppt.targets().is_empty() && sessions.is_empty());
        assert_eq!(pppt.unload_check(), Ok(()), "the device is closed");
    }

    fn told(&self, stuck: &[&&str]) -> String {
        let blocked = self.executor.blocked_threads();
        let blocked: Vec<_> = blocked.iter().map(|thread| thread.to_string()).collect();
        format!("{stuck:?} do not return:\n{}", blocked.join("\n"))
    }
}

/// Threads that wait hold their kernel, and it them.
impl Drop for Node {
    fn drop(&mut self) {
        self.executor.end_group(self.process);
        self.executor.end_group(self.kernel.group());
        self.node.take_apart(&self.kernel);
    }
}
