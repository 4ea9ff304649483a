// SPDX-License-Identifier: MPL-2.0
//! stmf, the framework: local ports, LUs, sessions, tasks, the ALUA state, and the standby side
//! of the proxy service (commands turned into messages for the peer).
//!
//! It drives port providers and LU providers through the traits of [`types`] and knows neither
//! what a port is made of nor what a LU does with a command.

pub mod types;

use super::Kernel;
use crate::executor::sync::Mutex;
use crate::executor::{Executor, GroupId};
use std::rc::Rc;
use stmf_proxy::message::Message;
use types::*;

/// What stmf keeps.
pub(crate) struct StmfState {
    pub(crate) lock: Mutex,
}

impl StmfState {
    pub(crate) fn new(executor: &Executor, group: GroupId) -> StmfState {
        StmfState { lock: Mutex::new(executor, group, "stmf lock") }
    }
}

/// stmf of a kernel.
#[derive(Clone, Copy)]
pub struct Stmf<'a>(pub(crate) &'a Kernel);

impl Stmf<'_> {
    /// Registers a local port and, if the service runs, begins to bring it online: the
    /// provider's `control` is called in a thread of stmf.
    pub async fn register_port(&self, _port: Rc<LocalPort>) -> Result<(), u64> {
        Ok(())
    }
    /// Forgets a local port. Fails with BUSY while it has sessions.
    pub async fn deregister_port(&self, _port: &Rc<LocalPort>) -> Result<(), u64> {
        Ok(())
    }
    /// Asks that the port goes [`PortCommand::Online`] or [`PortCommand::Offline`]; the
    /// provider's `control` is called in a thread of stmf.
    pub fn request_port_state(&self, _port: &Rc<LocalPort>, _command: PortCommand) {}
    /// A provider says that its port is online; stmf acknowledges through `control`.
    pub async fn port_online_done(&self, _port: &Rc<LocalPort>) {}
    /// A provider says that its port is offline; stmf acknowledges through `control`.
    pub async fn port_offline_done(&self, _port: &Rc<LocalPort>) {}
    /// Adds a session to its port. Fails when the TransportID is refused.
    pub async fn register_session(&self, _session: &Rc<Session>) -> Result<(), u64> {
        Ok(())
    }
    /// Ends a session (its tasks are gone already).
    pub async fn deregister_session(&self, _session: &Rc<Session>) {}
    /// Makes a task. The LU is looked up by `command.lun`; a number without LU makes a task
    /// that stmf answers itself. None: no memory.
    pub fn allocate_task(&self, _session: &Rc<Session>, _command: Command) -> Option<Rc<Task>> {
        None
    }
    /// Gives a task to the framework: its worker thread takes it to the LU.
    pub fn post_task(&self, _task: &Rc<Task>, _initial: Option<Rc<DataBuffer>>) {}
    /// A transfer has ended (`buffer.status` tells how); the LU hears of it in the task's
    /// worker thread.
    pub fn transfer_done(&self, _task: &Rc<Task>, _buffer: Rc<DataBuffer>) {}
    /// The status has reached the initiator, or never will; the task is freed.
    pub fn status_done(&self, _task: &Rc<Task>, _status: u64) {}
    /// Begins to abort a task: in its worker thread the LU, then the port are told until both
    /// have let go; then the port's `task_freed` is called.
    pub fn abort_task(&self, _task: &Rc<Task>) {}
    /// A message from the peer that is for stmf.
    pub async fn message_received(&self, _message: &Message) {}
    /// Sends a message through the door: three attempts a second apart while it answers
    /// EAGAIN. The status (64 bits) is 0 on success; it also is 0 if the door server refused.
    pub async fn transmit(&self, _message: &Message) -> u64 {
        0
    }
}
