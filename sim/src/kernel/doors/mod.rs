// SPDX-License-Identifier: MPL-2.0
//! Doors, as far as the proxy service needs them: processes that serve them, the kernel's calls
//! through them, and everything that can go wrong on the way (door_create(3C), door_call(3C)).
//!
//! A call hands the server exactly what the kernel's upcall carries: one run of bytes in, one
//! 32-bit result out, no descriptors. It occupies a server thread of the process until it is
//! answered; when every thread is busy the caller *waits*. What the server does with the bytes
//! is behind the trait [`DoorServer`]: this module knows nothing of messages.

mod faults;
mod server;
#[cfg(test)]
mod tests;

pub use faults::DoorFault;
pub use server::{DoorReply, DoorServer, ServerThreads};

use super::{Kernel, KernelEvent};
use crate::executor::Executor;
use bytes::Bytes;
use faults::Faults;
use server::{Call, Process};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::message::MessageType;
use stmf_proxy::status::Errno;

/// Attributes of a door: those of `door_create(3C)`, and those that `door_info(3C)` reports.
pub mod attributes {
    /// Tell the server once when the last reference of others is gone.
    pub const UNREF: u32 = 0x01;
    /// The door has server threads of its own.
    pub const PRIVATE: u32 = 0x02;
    /// Reported: the server is the asking process itself.
    pub const LOCAL: u32 = 0x04;
    /// Reported: the door was revoked.
    pub const REVOKED: u32 = 0x08;
    /// Tell the server each time that the last reference of others is gone.
    pub const UNREF_MULTI: u32 = 0x10;
    /// Reported: nobody but the server refers to the door.
    pub const IS_UNREF: u32 = 0x20;
    /// Callers that pass descriptors are refused.
    pub const REFUSE_DESC: u32 = 0x40;
    /// A caller that gives up does not cancel the server thread.
    pub const NO_CANCEL: u32 = 0x80;
    /// Do not call back when no server thread is left.
    pub const NO_DEPLETION_CB: u32 = 0x100;

    pub(super) const CREATE: u32 =
        UNREF | PRIVATE | UNREF_MULTI | REFUSE_DESC | NO_CANCEL | NO_DEPLETION_CB;
}

/// Descriptors that one process may have open, as the default limit of a shell sets it.
pub const MAX_DESCRIPTORS: usize = 256;

/// A process that serves doors. Never used again within one kernel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ProcessId(u32);

/// Why a call through a door brought no result.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DoorError {
    /// No door is installed: there was no call at all.
    #[error("no door is installed")]
    NoDoor,
    /// The door was revoked before the call.
    #[error("the door is revoked (EBADF)")]
    Revoked,
    /// The server exited before the call.
    #[error("the server of the door is gone (EBADF)")]
    ServerGone,
    /// The server, or the thread that served the call, ended during the call.
    #[error("the server exited while it served the call (EINTR)")]
    ServerDied,
    /// The wait for a free server thread was interrupted.
    #[error("the wait for a server thread was interrupted (EAGAIN)")]
    WaitInterrupted,
    /// The argument does not fit the stack of a server thread.
    #[error("{size} bytes do not fit the {room} that a server thread's stack has room for (E2BIG)")]
    StackTooSmall {
        /// Size of the argument in bytes.
        size: usize,
        /// The largest that would fit.
        room: usize,
    },
    /// The size of the argument is outside the limits of the door.
    #[error("{size} bytes are outside the door's limits of {least} to {most} (ENOBUFS)")]
    SizeRefused {
        /// Size of the argument in bytes.
        size: usize,
        /// DOOR_PARAM_DATA_MIN.
        least: usize,
        /// DOOR_PARAM_DATA_MAX.
        most: usize,
    },
    /// A fault that the scenario asked for.
    #[error("injected: {0}")]
    Injected(Errno),
}

impl DoorError {
    /// Whether the kernel tries the same call again.
    pub fn is_try_again(self) -> bool {
        self.errno() == Errno::EAGAIN
    }

    /// The error number that the kernel sees; ENXIO, which no call ends with, for no door.
    pub fn errno(self) -> Errno {
        match self {
            DoorError::NoDoor => Errno::ENXIO,
            DoorError::Revoked | DoorError::ServerGone => Errno::EBADF,
            DoorError::ServerDied => Errno::EINTR,
            DoorError::WaitInterrupted => Errno::EAGAIN,
            DoorError::StackTooSmall { .. } => Errno::E2BIG,
            DoorError::SizeRefused { .. } => Errno::ENOBUFS,
            DoorError::Injected(errno) => errno,
        }
    }
}

/// What `door_info(3C)` tells of a door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DoorInfo {
    /// The process that serves it.
    pub process: ProcessId,
    /// Its [`attributes`], the reported ones included. ([`attributes::LOCAL`] depends on who
    /// asks and is left to the caller.)
    pub attributes: u32,
    /// Tells doors apart that had the same descriptor.
    pub uniquifier: u64,
}

/// A door.
pub(crate) struct Door {
    descriptor: i32,
    process: Rc<Process>,
    /// The threads that serve it: the process's, or its own (DOOR_PRIVATE).
    threads: Rc<server::ThreadPool>,
    server: Rc<dyn DoorServer>,
    attributes: u32,
    uniquifier: u64,
    revoked: Cell<bool>,
    /// References of the kernel.
    holds: Cell<u32>,
    unref_told: Cell<bool>,
    data_limits: Cell<(usize, usize)>,
}

/// What the kernel keeps about doors.
pub(crate) struct DoorState {
    processes: RefCell<BTreeMap<ProcessId, Rc<Process>>>,
    doors: RefCell<BTreeMap<i32, Rc<Door>>>,
    next_process: Cell<u32>,
    next_uniquifier: Cell<u64>,
    faults: Faults,
}

impl DoorState {
    pub(crate) fn new(_: &Executor) -> DoorState {
        DoorState {
            processes: RefCell::default(),
            doors: RefCell::default(),
            next_process: Cell::new(1),
            next_uniquifier: Cell::new(1),
            faults: Faults::default(),
        }
    }
}

/// The doors of a node.
#[derive(Clone, Copy)]
pub struct Doors<'a>(pub(crate) &'a Kernel);

impl Doors<'_> {
    fn state(&self) -> &DoorState {
        self.0.door_state()
    }

    /// A new process that may serve doors; `threads` is how it makes server threads.
    pub fn start_process(&self, threads: ServerThreads) -> ProcessId {
        let id = ProcessId(self.state().next_process.get());
        self.state().next_process.set(id.0 + 1);
        let process = Process::new(self.0.executor(), threads);
        self.state()
            .processes
            .borrow_mut()
            .insert(id, Rc::new(process));
        id
    }

    /// The process has exited or was killed: its calls in progress fail with EINTR, later ones
    /// with EBADF. Nothing happens to one that is gone already.
    pub fn end_process(&self, process: ProcessId) {
        let Some(process) = self.state().processes.borrow_mut().remove(&process) else {
            return;
        };
        self.state()
            .doors
            .borrow_mut()
            .retain(|_, door| !Rc::ptr_eq(&door.process, &process));
        process.end();
    }

    /// Callers that wait for a server thread of the process are interrupted: their calls fail
    /// with EAGAIN.
    pub fn interrupt_waiting_calls(&self, process: ProcessId) {
        if let Some(process) = self.state().processes.borrow().get(&process) {
            process.interrupt_waiting();
        }
    }

    /// Makes a door and gives the number of its descriptor. Descriptors are numbered for the
    /// whole node, so one names its process too.
    ///
    /// # Errors
    ///
    /// EINVAL for unknown attributes, EMFILE for more than [`MAX_DESCRIPTORS`], ESRCH for a
    /// process that is gone.
    pub fn create(
        &self,
        process: ProcessId,
        attributes: u32,
        server: Rc<dyn DoorServer>,
    ) -> Result<i32, Errno> {
        if attributes & !attributes::CREATE != 0 {
            return Err(Errno::EINVAL);
        }
        let state = self.state();
        let owner = state
            .processes
            .borrow()
            .get(&process)
            .cloned()
            .ok_or(Errno::ESRCH)?;
        let mut doors = state.doors.borrow_mut();
        if doors
            .values()
            .filter(|door| Rc::ptr_eq(&door.process, &owner))
            .count()
            >= MAX_DESCRIPTORS
        {
            return Err(Errno::EMFILE);
        }
        // 0 to 2 are the standard streams.
        let descriptor = (3..)
            .find(|number| !doors.contains_key(number))
            .ok_or(Errno::EMFILE)?;
        let uniquifier = state.next_uniquifier.get();
        state.next_uniquifier.set(uniquifier + 1);
        let threads = match attributes & attributes::PRIVATE {
            0 => owner.threads().clone(),
            _ => owner.new_pool(self.0.executor()),
        };
        let door = Door {
            descriptor,
            process: owner,
            threads,
            server,
            attributes,
            uniquifier,
            revoked: Cell::new(false),
            holds: Cell::new(0),
            unref_told: Cell::new(false),
            data_limits: Cell::new((0, usize::MAX)),
        };
        doors.insert(descriptor, Rc::new(door));
        Ok(descriptor)
    }

    /// Revokes a door and closes its descriptor: later calls fail with EBADF, calls in progress
    /// finish.
    ///
    /// # Errors
    ///
    /// EBADF if the descriptor is not an open door.
    pub fn revoke(&self, descriptor: i32) -> Result<(), Errno> {
        let door = self
            .state()
            .doors
            .borrow_mut()
            .remove(&descriptor)
            .ok_or(Errno::EBADF)?;
        door.revoked.set(true);
        Ok(())
    }

    /// Sets DOOR_PARAM_DATA_MIN and DOOR_PARAM_DATA_MAX, in bytes.
    ///
    /// # Errors
    ///
    /// EBADF if the descriptor is not an open door, EINVAL if `least` is above `most`.
    pub fn set_data_limits(&self, descriptor: i32, least: usize, most: usize) -> Result<(), Errno> {
        let door = self.door(descriptor)?;
        if least > most {
            return Err(Errno::EINVAL);
        }
        door.data_limits.set((least, most));
        Ok(())
    }

    /// What is known of a door.
    ///
    /// # Errors
    ///
    /// EBADF if the descriptor is not an open door.
    pub fn info(&self, descriptor: i32) -> Result<DoorInfo, Errno> {
        let door = self.door(descriptor)?;
        let processes = self.state().processes.borrow();
        let (process, _) = processes
            .iter()
            .find(|(_, process)| Rc::ptr_eq(process, &door.process))
            .ok_or(Errno::EBADF)?;
        let mut reported = door.attributes;
        if door.holds.get() == 0 {
            reported |= attributes::IS_UNREF;
        }
        Ok(DoorInfo {
            process: *process,
            attributes: reported,
            uniquifier: door.uniquifier,
        })
    }

    /// Has something go wrong with the calls to come; see [`DoorFault`].
    pub fn inject(&self, fault: DoorFault) {
        self.state().faults.add(fault, None);
    }

    /// The same for calls with messages of one type only.
    pub fn inject_only(&self, fault: DoorFault, message_type: MessageType) {
        self.state().faults.add(fault, Some(message_type));
    }

    /// Forgets injected faults that have not been used up, and says how many calls they would
    /// still have hit.
    pub fn clear_faults(&self) -> u64 {
        self.state().faults.clear()
    }

    /// How many references the kernel has to the door of this descriptor, if that is one, and to
    /// all others together. Doors that were revoked are not counted: nobody knows them any more.
    pub fn references(&self, descriptor: Option<i32>) -> (Option<u32>, u32) {
        let doors = self.state().doors.borrow();
        let one = descriptor.and_then(|descriptor| doors.get(&descriptor));
        let others = doors
            .iter()
            .filter(|(other, _)| Some(**other) != descriptor);
        let others = others.map(|(_, door)| door.holds.get()).sum();
        (one.map(|door| door.holds.get()), others)
    }

    fn door(&self, descriptor: i32) -> Result<Rc<Door>, Errno> {
        self.state()
            .doors
            .borrow()
            .get(&descriptor)
            .cloned()
            .ok_or(Errno::EBADF)
    }

    /// Takes a reference for the kernel.
    ///
    /// # Errors
    ///
    /// EBADF if the descriptor is not an open door.
    pub(crate) fn hold(&self, descriptor: i32) -> Result<Rc<Door>, Errno> {
        let door = self.door(descriptor)?;
        door.holds.set(door.holds.get() + 1);
        Ok(door)
    }

    /// Takes another reference to a door that the kernel holds already.
    pub(crate) fn hold_again(&self, door: &Rc<Door>) {
        door.holds.set(door.holds.get() + 1);
    }

    /// Gives a reference of the kernel back; after the last one the server is told, if it wants
    /// to know.
    pub(crate) fn release(&self, door: &Rc<Door>) {
        door.holds.set(door.holds.get() - 1);
        let every_time = door.attributes & attributes::UNREF_MULTI != 0;
        let once = door.attributes & attributes::UNREF != 0 && !door.unref_told.get();
        if door.holds.get() > 0 || !(every_time || once) {
            return;
        }
        let door = door.clone();
        self.0.spawn("door unref", async move {
            // The last reference may have been taken anew meanwhile.
            let Ok(thread) = door.threads.take(&door.process).await else {
                return;
            };
            if door.holds.get() == 0 && !door.revoked.get() {
                door.unref_told.set(true);
                door.server.unreferenced();
            }
            drop(thread);
        });
    }

    /// Calls a door with `message` and waits for the answer, in the calling thread.
    pub(crate) async fn call(&self, door: &Rc<Door>, message: &Bytes) -> Result<u32, DoorError> {
        self.0.tell(KernelEvent::Upcall {
            bytes: message,
            lock_held: self.0.stmf_state().lock.held_by_current(),
        });
        let outcome = self.attempt(door, message).await;
        self.0.tell(KernelEvent::UpcallDone {
            bytes: message,
            outcome,
        });
        outcome
    }

    /// Every thread that serves the door is busy for so long.
    fn occupy_all(&self, door: &Door, delay: Duration) {
        let (threads, executor) = (door.threads.clone(), self.0.executor().clone());
        threads.occupy_all();
        self.0.spawn("busy door threads", async move {
            executor.sleep(delay).await;
            threads.free_all();
        });
    }

    async fn attempt(&self, door: &Rc<Door>, message: &Bytes) -> Result<u32, DoorError> {
        let fault = self.state().faults.next(message);
        if let Some(fault) = &fault {
            self.0.tell_fault(fault.name(), &fault.detail());
        }
        match fault {
            Some(DoorFault::Errno { errno, .. }) => return Err(DoorError::Injected(errno)),
            Some(DoorFault::Result { result, .. }) => return Ok(result),
            Some(DoorFault::NoThread { delay, .. }) => self.occupy_all(door, delay),
            None => {}
        }
        if door.process.has_ended() {
            return Err(DoorError::ServerGone);
        }
        if door.revoked.get() {
            return Err(DoorError::Revoked);
        }
        let size = message.len();
        let (least, most) = door.data_limits.get();
        if !(least..=most).contains(&size) {
            return Err(DoorError::SizeRefused { size, least, most });
        }
        let room = door.threads.room();
        if size > room {
            return Err(DoorError::StackTooSmall { size, room });
        }
        let thread = door.threads.take(&door.process).await?;
        if door.revoked.get() {
            return Err(DoorError::Revoked);
        }
        let call = Call::begin(&door.process, thread);
        door.server.call(message, DoorReply::new(call.clone()));
        call.wait(self.0.executor()).await
    }
}

impl Door {
    /// The number of its descriptor, for reports.
    pub(crate) fn descriptor(&self) -> i32 {
        self.descriptor
    }
}
