// SPDX-License-Identifier: MPL-2.0
//! pppt, the STMF proxy service: the device behind the door API, and the proxy ports that stand
//! for the peer's ports.
//!
//! A message that is posted is handled in the thread that posts it, before the ioctl returns.
//! Commands become tasks of stmf on a proxy port; what the LU answers goes back through the
//! door. The traps of docs/kernel.md are here (1 to 7 and 9): on the profile illumos a message
//! that springs one panics the kernel or leaves a hold behind for which somebody waits for ever,
//! on the profile hardened it is refused with a line in the log.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | the device |
//! | `door.rs` | which door is installed |
//! | `message.rs` | where a posted message goes |
//! | `meeting.rs` | what state it meets |
//! | `target.rs` | proxy ports and their states |
//! | `session.rs` | sessions of proxy ports |
//! | `task.rs` | commands that run for the peer |
//! | `counters.rs`, `report.rs` | what can be seen from outside |
//!
//! # Locks
//!
//! In this order: the global lock (the lists of targets and sessions), the lock of a target, the
//! stmf lock. They are taken only where a thread can wait while it holds them, or wait for one
//! that does; the locks of sessions and tasks of the real thing are never held across a wait,
//! and threads switch nowhere else here.

mod counters;
mod door;
mod meeting;
mod message;
mod report;
mod session;
mod target;
mod task;
#[cfg(test)]
mod tests;

pub use counters::Counters;
pub use message::{MESSAGE_DROPPED, PORT_REFUSED};
pub use report::{SessionReport, TargetReport, TaskReport};
pub use target::{DEFAULT_BUFFER_SIZE, TargetState};
pub use task::TaskState;

use super::coverage::State;
use super::doors::Door;
use super::{Kernel, KernelEvent};
use crate::executor::sync::{Condition, Mutex};
use crate::executor::{Executor, GroupId};
use session::ProxySession;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use stmf_proxy::platform::IOCTL_VERSION;
use stmf_proxy::status::Errno;
use target::Target;

/// The state of the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServiceState {
    /// Nobody has it open.
    Disabled,
    /// It is being opened.
    Enabling,
    /// Somebody has it open.
    Enabled,
    /// It is being closed: proxy ports are being deleted.
    Disabling,
}

/// An open descriptor of the device. Never given out twice by one kernel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Handle(u64);

/// An ioctl on the device, with its arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command<'a> {
    /// PPPT_INSTALL_DOOR, with the number of a descriptor.
    InstallDoor(i32),
    /// PPPT_MESSAGE, with the bytes of the message.
    Message(&'a [u8]),
    /// Any other number.
    Other(u32),
}

/// An ioctl, and what the kernel checks before it looks at the command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ioctl<'a> {
    /// The version of the argument structure; only 1 is known.
    pub version: u32,
    /// Whether the caller has the privilege sys_devices.
    pub privileged: bool,
    /// What is to be done.
    pub command: Command<'a>,
}

impl<'a> Ioctl<'a> {
    /// As a privileged caller does it who knows the version.
    pub fn new(command: Command<'a>) -> Ioctl<'a> {
        Ioctl {
            version: IOCTL_VERSION,
            privileged: true,
            command,
        }
    }
}

/// What the service keeps.
pub(crate) struct PpptState {
    service: Cell<ServiceState>,
    handle: Cell<Option<Handle>>,
    opened: Cell<u64>,
    /// The pppt global lock.
    lock: Mutex,
    /// The pppt door lock.
    door_lock: Mutex,
    door: RefCell<Option<Rc<Door>>>,
    /// In the order of their names.
    targets: RefCell<Vec<Rc<Target>>>,
    sessions: RefCell<BTreeMap<u64, Rc<ProxySession>>>,
    counters: Counters,
    /// A target was deleted.
    target_deleted: Condition,
}

impl PpptState {
    pub(crate) fn new(executor: &Executor, group: GroupId) -> PpptState {
        PpptState {
            service: Cell::new(ServiceState::Disabled),
            handle: Cell::new(None),
            opened: Cell::new(0),
            lock: Mutex::new(executor, group, "pppt global lock"),
            door_lock: Mutex::new(executor, group, "pppt door lock"),
            door: RefCell::new(None),
            targets: RefCell::default(),
            sessions: RefCell::default(),
            counters: Counters::default(),
            target_deleted: Condition::new(executor, "the deletion of a proxy port"),
        }
    }
}

/// pppt of a kernel.
#[derive(Clone, Copy)]
pub struct Pppt<'a>(pub(crate) &'a Kernel);

impl<'a> Pppt<'a> {
    fn state(&self) -> &'a PpptState {
        self.0.pppt_state()
    }

    /// The state of the device.
    pub fn service_state(&self) -> ServiceState {
        self.state().service.get()
    }

    /// Opens the device, which enables the service.
    ///
    /// # Errors
    ///
    /// EBUSY while it is open, also in another process, or being closed.
    pub async fn open(&self) -> Result<Handle, Errno> {
        let state = self.state();
        let _lock = state.lock.lock().await;
        if state.service.get() != ServiceState::Disabled {
            return Err(Errno::EBUSY);
        }
        state.service.set(ServiceState::Enabling);
        state.opened.set(state.opened.get() + 1);
        let handle = Handle(state.opened.get());
        state.handle.set(Some(handle));
        state.service.set(ServiceState::Enabled);
        Ok(handle)
    }

    /// Closes the device: every proxy port is deleted, with its sessions and tasks, and when all
    /// are gone the kernel lets go of the door.
    ///
    /// # Errors
    ///
    /// EBADF for a handle that is closed.
    pub async fn close(&self, handle: Handle) -> Result<(), Errno> {
        let state = self.state();
        self.check(handle)?;
        state.handle.set(None);
        let lock = state.lock.lock().await;
        state.service.set(ServiceState::Disabling);
        let targets = state.targets.take();
        for target in &targets {
            self.begin_deletion(target);
        }
        drop(lock);
        for target in &targets {
            self.wait_for_deletion(target).await;
        }
        let lock = state.lock.lock().await;
        state.service.set(ServiceState::Disabled);
        drop(lock);
        self.uninstall().await;
        Ok(())
    }

    /// Whether the driver could be unloaded.
    ///
    /// # Errors
    ///
    /// EBUSY while the device is open.
    pub fn unload_check(&self) -> Result<(), Errno> {
        match self.state().service.get() {
            ServiceState::Disabled => Ok(()),
            _ => Err(Errno::EBUSY),
        }
    }

    /// An ioctl, carried out in the calling thread.
    ///
    /// # Errors
    ///
    /// EBADF for a handle that is closed, EPERM without the privilege, EINVAL for another
    /// version; for [`Command::InstallDoor`] EINVAL if the descriptor is not a door and EBUSY if
    /// a door is installed. A message that the kernel cannot understand is dropped with a
    /// warning, without an error; so is one of no bytes at all. Other commands do nothing.
    pub async fn ioctl(&self, handle: Handle, ioctl: Ioctl<'_>) -> Result<(), Errno> {
        if let (Err(_), Command::Message(bytes)) = (self.check(handle), ioctl.command) {
            self.tell_refused(bytes);
        }
        self.check(handle)?;
        if !ioctl.privileged {
            return Err(Errno::EPERM);
        }
        if ioctl.version != IOCTL_VERSION {
            return Err(Errno::EINVAL);
        }
        match ioctl.command {
            Command::InstallDoor(descriptor) => self.install(descriptor).await,
            Command::Message(bytes) => {
                self.0.tell(KernelEvent::Post { bytes });
                let outcome = match self.0.post_fails() {
                    Some(errno) => Err(errno),
                    None => {
                        self.receive(bytes).await;
                        Ok(())
                    }
                };
                self.0.tell(KernelEvent::PostDone { bytes, outcome });
                outcome
            }
            Command::Other(_) => Ok(()),
        }
    }

    /// A message came to a closed device.
    fn tell_refused(&self, bytes: &[u8]) {
        if self.0.counts_meetings()
            && let Some(peeked) = stmf_proxy::message::peek(bytes)
        {
            self.0.tell(KernelEvent::Met {
                message: peeked.message_type,
                states: &[State::DeviceClosed],
            });
        }
    }

    fn check(&self, handle: Handle) -> Result<(), Errno> {
        match self.state().handle.get() {
            Some(open) if open == handle => Ok(()),
            _ => Err(Errno::EBADF),
        }
    }

    /// The error counters.
    pub fn counters(&self) -> &'a Counters {
        &self.state().counters
    }
}
