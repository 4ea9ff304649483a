// SPDX-License-Identifier: MPL-2.0
//! stmf, the framework: local ports, LUs, sessions, tasks, the ALUA state, and the standby side
//! of the proxy service (commands turned into messages for the peer).
//!
//! It drives port providers and LU providers through the traits of [`types`] and knows neither
//! what a port is made of nor what a LU does with a command.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | what stmf keeps; ports, sessions |
//! | `lu.rs` | LUs: their numbers, registering, removing, access states |
//! | `alua.rs` | the ALUA state, and messages about ports and LUs |
//! | `task.rs` | the life of a task |
//! | `service.rs` | the service, switched on and off |
//! | `target.rs` | what stmf answers itself: REPORT LUNS, numbers without LU, task management |
//! | `proxy.rs` | commands that are proxied to the peer, and its answers |
//! | `transmit.rs` | a message through the door |
//! | `inspect.rs` | what checkers look at |

mod alua;
mod inspect;
mod lu;
mod proxy;
mod service;
mod target;
mod task;
#[cfg(test)]
mod tests;
mod transmit;
pub mod types;

pub use proxy::{PROXIED_BUFFERS_MAX, PROXY_TIMEOUT, TIMEOUT_CHECK};
pub use target::MANAGEMENT_ID;
pub use transmit::{ATTEMPTS, RETRY_AFTER};

use super::{Kernel, transport_id};
use crate::executor::sync::{Condition, Mutex};
use crate::executor::{Executor, GroupId};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use stmf_proxy::message::status;
use types::*;

/// What stmf keeps.
pub(crate) struct StmfState {
    /// The stmf lock.
    pub(crate) lock: Mutex,
    ports: RefCell<Vec<Rc<LocalPort>>>,
    lus: RefCell<Vec<Rc<Lu>>>,
    numbers: RefCell<BTreeMap<LuId, u16>>,
    providers: RefCell<Vec<Rc<dyn LuProvider>>>,
    next_relative_port_id: Cell<u16>,
    next_msgid: Cell<u64>,
    alua_enabled: Cell<bool>,
    alua_node: Cell<u16>,
    alua_was_enabled: Cell<bool>,
    /// Tasks that are not over, by number: stmf holds every task until it is freed, also one that
    /// no LU has.
    tasks: RefCell<BTreeMap<u64, Rc<Task>>>,
    /// Structures of tasks that are over, newest last: the LU, and the message id that is left in
    /// it. Kept only by kernels that do not clear it.
    free_structures: RefCell<Vec<(LuId, u64)>>,
    /// Something was freed: who waits for the end of tasks looks again.
    task_freed: Condition,
    timeouts_watched: Cell<bool>,
    /// Whether new tasks wait until they are released.
    holding: Cell<bool>,
    held: RefCell<BTreeMap<u64, HeldTask>>,
    /// Whether the service runs: ports are brought online.
    service: Cell<bool>,
    /// Held by who switches the service.
    service_lock: Mutex,
    /// A port is online, offline, or gone.
    port_changed: Condition,
}

/// A task that nobody has looked at yet, with the data that came with it.
type HeldTask = (Rc<Task>, Option<Rc<DataBuffer>>);

impl StmfState {
    pub(crate) fn new(executor: &Executor, group: GroupId) -> StmfState {
        StmfState {
            lock: Mutex::new(executor, group, "stmf lock"),
            ports: RefCell::default(),
            lus: RefCell::default(),
            numbers: RefCell::default(),
            providers: RefCell::default(),
            next_relative_port_id: Cell::new(1),
            next_msgid: Cell::new(1),
            alua_enabled: Cell::new(false),
            alua_node: Cell::new(0),
            alua_was_enabled: Cell::new(false),
            tasks: RefCell::default(),
            free_structures: RefCell::default(),
            task_freed: Condition::new(executor, "the end of tasks"),
            timeouts_watched: Cell::new(false),
            holding: Cell::new(false),
            held: RefCell::default(),
            service: Cell::new(true),
            service_lock: Mutex::new(executor, group, "stmf service lock"),
            port_changed: Condition::new(executor, "ports to change their state"),
        }
    }
}

impl StmfState {
    /// Lets go of everything; see [`Kernel::take_apart`].
    pub(crate) fn take_apart(&self) {
        drop(self.lus.take());
        for (_, task) in self.tasks.take() {
            // A LU that goes is in the list no more, but has tasks until they are aborted.
            if let Some(lu) = &task.lu {
                drop(lu.tasks.take());
            }
            drop((task.port_private.take(), task.lu_private.take()));
            drop(task.work.take());
        }
        drop((self.held.take(), self.ports.take(), self.providers.take()));
    }
}

/// stmf of a kernel.
#[derive(Clone, Copy)]
pub struct Stmf<'a>(pub(crate) &'a Kernel);

impl<'a> Stmf<'a> {
    fn state(&self) -> &'a StmfState {
        self.0.stmf_state()
    }

    /// The local ports, proxy ports among them, newest first.
    pub fn ports(&self) -> Vec<Rc<LocalPort>> {
        self.state().ports.borrow().clone()
    }

    /// The LUs, newest first.
    pub fn lus(&self) -> Vec<Rc<Lu>> {
        self.state().lus.borrow().clone()
    }

    /// The id that the next message of stmf will have.
    pub fn next_msgid(&self) -> u64 {
        self.state().next_msgid.get()
    }

    /// Sets the id that the next message of stmf will have: the kernel has sent others before.
    pub fn set_next_msgid(&self, msgid: u64) {
        self.state().next_msgid.set(msgid);
    }

    /// Sets the relative port id that the next local port will have.
    pub fn set_next_relative_port_id(&self, id: u16) {
        self.state().next_relative_port_id.set(id);
    }

    /// Tasks that are not over.
    pub fn task_count(&self) -> u64 {
        self.state().tasks.borrow().len() as u64
    }

    /// Registers a local port and, if the service runs, begins to bring it online: the provider's `control` is called
    /// in a thread of stmf. While ALUA is on, the peer is told of a port that takes part in it.
    pub async fn register_port(&self, port: Rc<LocalPort>) -> Result<(), u64> {
        let state = self.state();
        let lock = state.lock.lock().await;
        if !port.proxy {
            let id = state.next_relative_port_id.get();
            state.next_relative_port_id.set(id.wrapping_add(1));
            port.relative_port_id.set(id);
        }
        state.ports.borrow_mut().insert(0, port.clone());
        if state.alua_enabled.get() {
            self.tell_peer_of_port(&port).await;
        }
        drop(lock);
        if state.service.get() {
            self.request_port_state(&port, PortCommand::Online);
        }
        Ok(())
    }

    /// Forgets a local port. Fails with BUSY while it has sessions; the peer is told all the
    /// same that the port is gone, every time.
    pub async fn deregister_port(&self, port: &Rc<LocalPort>) -> Result<(), u64> {
        let state = self.state();
        let _lock = state.lock.lock().await;
        if state.alua_enabled.get() {
            self.tell_peer_of_port_removal(port).await;
        }
        port.removing.set(true);
        if !port.sessions.borrow().is_empty() {
            return Err(status::BUSY);
        }
        state
            .ports
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, port));
        state.port_changed.notify_all();
        Ok(())
    }

    /// Asks that the port goes [`PortCommand::Online`] or [`PortCommand::Offline`]; the
    /// provider's `control` is called in a thread of stmf.
    pub fn request_port_state(&self, port: &Rc<LocalPort>, command: PortCommand) {
        match command {
            PortCommand::Online => port.state.set(PortState::Onlining),
            PortCommand::Offline => port.state.set(PortState::Offlining),
            PortCommand::OnlineAcknowledged | PortCommand::OfflineAcknowledged => {}
        }
        self.control(port, command);
    }

    /// A provider says that its port is online; stmf acknowledges through `control`.
    pub async fn port_online_done(&self, port: &Rc<LocalPort>) {
        let lock = self.state().lock.lock().await;
        port.state.set(PortState::Online);
        self.state().port_changed.notify_all();
        drop(lock);
        self.control(port, PortCommand::OnlineAcknowledged);
    }

    /// A provider says that its port is offline; stmf acknowledges through `control`.
    pub async fn port_offline_done(&self, port: &Rc<LocalPort>) {
        let lock = self.state().lock.lock().await;
        port.state.set(PortState::Offline);
        self.state().port_changed.notify_all();
        drop(lock);
        self.control(port, PortCommand::OfflineAcknowledged);
    }

    /// Tells the provider, one thing after the other: it must not hear of "offline" before
    /// "online".
    fn control(&self, port: &Rc<LocalPort>, command: PortCommand) {
        if !port.commands.push(command) {
            return;
        }
        let (kernel, port) = (self.0.clone(), port.clone());
        self.0.spawn("stmf service", async move {
            while let Some(command) = port.commands.next() {
                port.provider.control(&kernel, command).await;
            }
        });
    }

    /// Adds a session to its port. Fails with FAILURE when the TransportID is not one or somebody
    /// has tried to remove the port, and with NOT_FOUND when the port is gone.
    pub async fn register_session(&self, session: &Rc<Session>) -> Result<(), u64> {
        let _lock = self.state().lock.lock().await;
        let port = session.port.upgrade().ok_or(status::NOT_FOUND)?;
        if port.removing.get() || !transport_id::is_valid(&session.rport) {
            return Err(status::FAILURE);
        }
        port.sessions.borrow_mut().insert(0, session.clone());
        Ok(())
    }

    /// Ends a session (its tasks are gone, or go on without it). While ALUA is on, the peer is
    /// told of the end of a session on a port that takes part in it.
    pub async fn deregister_session(&self, session: &Rc<Session>) {
        let state = self.state();
        let _lock = state.lock.lock().await;
        let Some(port) = session.port.upgrade() else {
            return;
        };
        port.sessions
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, session));
        for lu in self.lus() {
            lu.provider.session_ended(self.0, &lu, session);
        }
        if state.alua_enabled.get() && port.alua && !port.proxy {
            self.tell_peer_of_session_end(session, &port).await;
        }
    }

    /// Every session of every port learns at its next command that the list of LUs has changed.
    fn inventory_changed(&self) {
        for port in self.state().ports.borrow().iter() {
            for session in port.sessions.borrow().iter() {
                session.inventory_changed.set(true);
            }
        }
    }
}
