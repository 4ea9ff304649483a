// SPDX-License-Identifier: MPL-2.0
//! A kernel, a process with a door, and steps done to them one after the other.

use super::output::Common;
use super::recorder::{Recorder, errno_name, status_name};
use crate::executor::sync::Promise;
use crate::executor::{Executor, FirstChoice, GroupId};
use crate::kernel::doors::{
    DoorFault, DoorReply, DoorServer, ProcessId, ServerThreads, attributes,
};
use crate::kernel::pppt::{Command, Handle, Ioctl};
use crate::kernel::{Kernel, KernelConfig};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::status::Errno;

/// How much virtual time a step may take before the node counts as hanging: what waits longer
/// tries again and again without end.
pub const REST_LIMIT: Duration = Duration::from_secs(600);

/// How a node came to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It panicked, for this reason.
    Panic(String),
    /// The step does not return: nothing can run, and these threads wait.
    Hang(Vec<String>),
}

/// The relay of a recording: answers every call at once, with one result.
struct Server {
    result: Cell<u32>,
}

impl DoorServer for Server {
    fn call(&self, _: &Bytes, reply: DoorReply) {
        reply.answer(self.result.get());
    }
}

/// A kernel, and a process that has its device and a door.
pub struct Machinery {
    executor: Executor,
    kernel: Kernel,
    recorder: Rc<Recorder>,
    /// The group of the threads of the process.
    process: GroupId,
    door_process: ProcessId,
    server: Rc<Server>,
    door: i32,
    handle: Rc<Cell<Option<Handle>>>,
    step: u64,
    ending: Option<Ending>,
}

impl Machinery {
    /// Boots a kernel.
    pub fn boot(config: KernelConfig) -> Machinery {
        let executor = Executor::new(Box::new(FirstChoice));
        let recorder = Rc::new(Recorder::new(config.dialect));
        let process = executor.new_group("relay");
        let kernel = Kernel::boot(&executor, config, recorder.clone());
        // Whatever a recording posts has to reach the server.
        let threads = ServerThreads {
            most: None,
            stack_bytes: usize::MAX,
        };
        let door_process = kernel.doors().start_process(threads);
        let server = Rc::new(Server {
            result: Cell::new(0),
        });
        let door = kernel
            .doors()
            .create(door_process, attributes::REFUSE_DESC, server.clone())
            .expect("a new process can make a door");
        Machinery {
            executor,
            kernel,
            recorder,
            process,
            door_process,
            server,
            door,
            handle: Rc::default(),
            step: 0,
            ending: None,
        }
    }

    /// The kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The process that serves the door.
    pub fn door_process(&self) -> ProcessId {
        self.door_process
    }

    /// How the node came to its end, if it did.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// Does `action` in a thread of the process and lets the node come to rest: every thread
    /// waits for something that is not time, but for housekeeping. None if the action did not
    /// return.
    pub fn perform<T: 'static>(&mut self, action: impl Future<Output = T> + 'static) -> Option<T> {
        let result = Promise::new(&self.executor, "the end of a step");
        let promise = result.clone();
        self.executor.spawn(
            self.process,
            "ioctl",
            async move { promise.set(action.await) },
        );
        self.settle();
        let result = result.try_take();
        if let Some(panic) = self.kernel.panicked() {
            self.ending = Some(Ending::Panic(panic.reason));
            return None;
        }
        if result.is_none() {
            let blocked = self.executor.blocked_threads();
            self.ending = Some(Ending::Hang(
                blocked.iter().map(|b| b.to_string()).collect(),
            ));
        }
        result
    }

    fn settle(&self) {
        let limit = self.executor.now() + REST_LIMIT;
        loop {
            self.executor.run_ready();
            match self.executor.next_timer(false) {
                Some(time) if time <= limit => self.executor.advance(time),
                _ => return,
            }
        }
    }

    /// Opens the device.
    pub fn open(&mut self) -> Option<Result<(), Errno>> {
        let (kernel, slot) = (self.kernel.clone(), self.handle.clone());
        self.perform(async move {
            slot.set(Some(kernel.pppt().open().await?));
            Ok(())
        })
    }

    /// Closes the device.
    pub fn close(&mut self) -> Option<Result<(), Errno>> {
        let Some(handle) = self.handle.take() else {
            return Some(Err(Errno::EBADF));
        };
        let kernel = self.kernel.clone();
        self.perform(async move { kernel.pppt().close(handle).await })
    }

    /// Does an ioctl on the device.
    pub fn ioctl(
        &mut self,
        version: u32,
        privileged: bool,
        command: OwnedCommand,
    ) -> Option<Result<(), Errno>> {
        let Some(handle) = self.handle.get() else {
            return Some(Err(Errno::EBADF));
        };
        let (kernel, door) = (self.kernel.clone(), self.door);
        self.perform(async move {
            let command = match &command {
                OwnedCommand::InstallDoor => Command::InstallDoor(door),
                OwnedCommand::InstallOther => Command::InstallDoor(-1),
                OwnedCommand::Message(bytes) => Command::Message(bytes),
                OwnedCommand::Other => Command::Other(0),
            };
            kernel
                .pppt()
                .ioctl(
                    handle,
                    Ioctl {
                        version,
                        privileged,
                        command,
                    },
                )
                .await
        })
    }

    /// From now on the door answers this.
    pub fn set_door_result(&self, result: u32) {
        self.server.result.set(result);
    }

    /// The next calls through the door fail. An earlier request for failures is forgotten.
    pub fn fail_door(&self, errno: Errno, times: u64) {
        self.kernel.doors().clear_faults();
        self.kernel
            .doors()
            .inject(DoorFault::Errno { errno, times });
    }

    /// Upcalls ("U"), and what others note between them, since it was last taken.
    pub fn order(&self) -> Rc<RefCell<String>> {
        self.recorder.order()
    }

    /// Lets virtual time pass, housekeeping and all.
    pub fn pass_time(&mut self, duration: Duration) {
        self.executor.run_until(self.executor.now() + duration);
    }

    /// What came of a step, as far as recordings of both kinds tell it.
    pub fn outcome(&mut self, result: Option<Result<(), Errno>>) -> Common {
        self.outcome_named(result.map(|result| match result {
            Ok(()) => "ok".into(),
            Err(errno) => errno_name(errno),
        }))
    }

    /// The same for a step whose result has a name of its own.
    pub fn outcome_named(&mut self, result: Option<String>) -> Common {
        self.step += 1;
        let notes = self.recorder.take();
        let pppt = self.kernel.pppt();
        let names = |errnos: &[Errno]| errnos.iter().copied().map(errno_name).collect();
        let (panic, hang, blocked) = match &self.ending {
            None => (None, false, Vec::new()),
            Some(Ending::Panic(reason)) => (Some(reason.clone()), false, Vec::new()),
            Some(Ending::Hang(blocked)) => (None, true, blocked.clone()),
        };
        let result = result.filter(|_| self.ending.is_none());
        Common {
            step: self.step,
            result,
            upcalls: notes.upcalls,
            door_failed: names(&notes.door_failed),
            status_before_wire: notes.statuses.iter().copied().map(status_name).collect(),
            counters: pppt
                .counters()
                .all()
                .into_iter()
                .filter(|(_, value)| *value > 0)
                .collect(),
            sessions: pppt.session_count(),
            targets: pppt.targets().into_iter().map(Into::into).collect(),
            tasks: pppt.task_count(),
            to_stmf: notes.to_stmf,
            log: notes.log,
            panic,
            hang,
            blocked,
            lock_held: notes.lock_held,
        }
    }
}

/// A [`Command`] that can be carried into another thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OwnedCommand {
    /// Install the door of the process.
    InstallDoor,
    /// Install a descriptor that is not a door.
    InstallOther,
    /// A message.
    Message(Vec<u8>),
    /// Any other number.
    Other,
}
