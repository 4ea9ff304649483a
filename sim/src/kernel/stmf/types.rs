// SPDX-License-Identifier: MPL-2.0
//! What port providers, the framework and LU providers hand each other: local ports, sessions,
//! LUs, tasks and data buffers.
//!
//! Simulated threads switch only where they wait, so everything here lives in cells; the locks
//! of the framework are there to make threads wait, not to guard memory.

use super::super::Kernel;
use crate::kernel::in_order::InOrder;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use stmf_proxy::message::DeviceId;
use stmf_proxy::time::Time;

/// A future that a provider returns through a trait object.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The 16-byte id of a LU (an NAA identifier).
pub type LuId = [u8; 16];

/// What stmf asks a port provider to do with a port, and what it tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortCommand {
    /// Bring the port online; answer with [`super::Stmf::port_online_done`].
    Online,
    /// stmf has taken note that the port is online.
    OnlineAcknowledged,
    /// Take the port offline; answer with [`super::Stmf::port_offline_done`].
    Offline,
    /// stmf has taken note that the port is offline.
    OfflineAcknowledged,
}

/// How an attempt to abort a task ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AbortOutcome {
    /// The provider has let go of the task.
    Done,
    /// The provider never had it, or has let go of it before.
    NotFound,
    /// Not now: ask again later.
    Busy,
}

/// A port provider: what carries commands in and data and status out (a fibre channel or iSCSI
/// target, or a proxy port of pppt).
pub trait PortProvider {
    /// Moves the buffer to or from the initiator (`buffer.to_initiator`). Completion is told by
    /// [`super::Stmf::transfer_done`], possibly before this returns; a status other than 0
    /// means that the transfer did not begin.
    fn transfer<'a>(
        &'a self,
        kernel: &'a Kernel,
        task: &'a Rc<Task>,
        buffer: Rc<DataBuffer>,
    ) -> Pending<'a, u64>;

    /// Sends the task's status and sense to the initiator. Completion is told by
    /// [`super::Stmf::status_done`]; a status other than 0 means that it did not begin.
    fn send_status<'a>(&'a self, kernel: &'a Kernel, task: &'a Rc<Task>) -> Pending<'a, u64>;

    /// Gives the task up. Called again while it answers [`AbortOutcome::Busy`].
    fn abort<'a>(&'a self, kernel: &'a Kernel, task: &'a Rc<Task>) -> Pending<'a, AbortOutcome>;

    /// The task is over: what the port keeps for it can go.
    fn task_freed(&self, kernel: &Kernel, task: &Rc<Task>);

    /// Changes the state of the port. Called in a thread of stmf, without the stmf lock.
    fn control<'a>(&'a self, kernel: &'a Kernel, command: PortCommand) -> Pending<'a, ()>;
}

/// A LU provider: what serves the commands for a kind of LU (sbd; the minimal one of the
/// recordings).
pub trait LuProvider {
    /// The provider's name, as messages about LUs carry it.
    fn name(&self) -> &str;

    /// A task for the LU `task.lu` was made, and is on its way to [`LuProvider::new_task`].
    fn task_allocated(&self, kernel: &Kernel, task: &Rc<Task>) {
        let _ = (kernel, task);
    }

    /// A new command or task management function for the LU `task.lu`. Called in the task's
    /// worker thread.
    fn new_task<'a>(
        &'a self,
        kernel: &'a Kernel,
        task: &'a Rc<Task>,
        initial: Option<Rc<DataBuffer>>,
    ) -> Pending<'a, ()>;

    /// A transfer of the task has ended, well or badly (`buffer.status`).
    fn transfer_done<'a>(
        &'a self,
        kernel: &'a Kernel,
        task: &'a Rc<Task>,
        buffer: Rc<DataBuffer>,
    ) -> Pending<'a, ()>;

    /// Gives the task up.
    fn abort<'a>(&'a self, kernel: &'a Kernel, task: &'a Rc<Task>) -> Pending<'a, AbortOutcome>;

    /// The task is over: what the LU keeps for it can go.
    fn task_freed(&self, kernel: &Kernel, task: &Rc<Task>);

    /// Whether the LU was given up and the peer has not said yet that it serves it.
    fn in_transition(&self, lu: LuId) -> bool {
        let _ = lu;
        false
    }

    /// The LU is reset, at the wish of a session: its tasks are gone already.
    fn reset(&self, kernel: &Kernel, lu: &Rc<Lu>, by: &Rc<Session>) {
        let _ = (kernel, lu, by);
    }

    /// A session has ended: what the LU keeps for its nexus can go.
    fn session_ended(&self, kernel: &Kernel, lu: &Rc<Lu>, session: &Rc<Session>) {
        let _ = (kernel, lu, session);
    }

    /// The peer has an LU of this provider active (register_lun, lun_active).
    fn peer_registered<'a>(
        &'a self,
        kernel: &'a Kernel,
        lu: LuId,
        callback_argument: &'a [u8],
    ) -> Pending<'a, ()>;

    /// The peer took the LU away (deregister_lun).
    fn peer_deregistered<'a>(
        &'a self,
        kernel: &'a Kernel,
        lu: LuId,
        callback_argument: &'a [u8],
    ) -> Pending<'a, ()>;
}

/// The state of a local port as stmf sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortState {
    /// Takes no commands.
    Offline,
    /// Asked to come online.
    Onlining,
    /// Takes commands.
    Online,
    /// Asked to go offline.
    Offlining,
}

/// A local port: a SCSI target port of this node, or a proxy port that stands for one of the
/// peer's.
pub struct LocalPort {
    /// The port's device id.
    pub id: DeviceId,
    /// Takes part in ALUA: it is registered with the peer, its commands are proxied.
    pub alua: bool,
    /// A proxy port: it stands for a port of the peer.
    pub proxy: bool,
    /// The relative target port identifier.
    pub relative_port_id: Cell<u16>,
    /// Who drives the port.
    pub provider: Rc<dyn PortProvider>,
    /// State as stmf sees it.
    pub state: Cell<PortState>,
    /// The message id of the last registration message sent for this port; 0 before the first.
    pub registration_msgid: Cell<u64>,
    /// The peer has confirmed a registration.
    pub proxy_registered: Cell<bool>,
    /// Largest data buffer of the port, in bytes (131,072 in the recordings).
    pub buffer_size: u32,
    /// Somebody has tried to remove it: it takes no new sessions.
    pub removing: Cell<bool>,
    /// Its sessions, newest first.
    pub sessions: RefCell<Vec<Rc<Session>>>,
    /// What its provider is to be told, oldest first.
    pub(super) commands: InOrder<PortCommand>,
}

impl LocalPort {
    /// A port that is not registered yet.
    pub fn new(
        id: DeviceId,
        kind: PortKind,
        buffer_size: u32,
        provider: Rc<dyn PortProvider>,
    ) -> Rc<LocalPort> {
        let (alua, proxy, relative_port_id) = match kind {
            PortKind::Local { alua } => (alua, false, 0),
            PortKind::Proxy { relative_port_id } => (true, true, relative_port_id),
        };
        Rc::new(LocalPort {
            id,
            alua,
            proxy,
            relative_port_id: Cell::new(relative_port_id),
            provider,
            state: Cell::new(PortState::Offline),
            registration_msgid: Cell::new(0),
            proxy_registered: Cell::new(false),
            buffer_size,
            removing: Cell::new(false),
            sessions: RefCell::default(),
            commands: InOrder::default(),
        })
    }
}

/// What a local port stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortKind {
    /// A port of this node; stmf gives it its relative port id when it is registered.
    Local {
        /// Whether it takes part in ALUA.
        alua: bool,
    },
    /// A port of the peer.
    Proxy {
        /// The relative port id of the registration message.
        relative_port_id: u16,
    },
}

/// A session: an I_T nexus of a local port.
pub struct Session {
    /// The id that stmf gave out.
    pub id: u64,
    /// The initiator's device id.
    pub initiator: DeviceId,
    /// The initiator's TransportID.
    pub rport: Vec<u8>,
    /// The port that the session belongs to.
    pub port: Weak<LocalPort>,
    /// The list of LUs has changed, and the initiator was not told yet.
    pub inventory_changed: Cell<bool>,
}

impl Session {
    /// A session of `port`, not yet registered.
    pub fn new(id: u64, initiator: DeviceId, rport: Vec<u8>, port: &Rc<LocalPort>) -> Rc<Session> {
        Rc::new(Session {
            id,
            initiator,
            rport,
            port: Rc::downgrade(port),
            inventory_changed: Cell::new(false),
        })
    }
}

/// Whether a LU is served here, as stmf sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// This node serves it.
    Active,
    /// The peer serves it.
    Standby,
}

/// A logical unit.
pub struct Lu {
    /// Its id.
    pub id: LuId,
    /// Its logical unit number, in the 8-byte form of SAM.
    pub number: [u8; 8],
    /// stmf's idea of the access state (a provider may have another).
    pub access: Cell<Access>,
    /// Whether the LU takes commands.
    pub online: Cell<bool>,
    /// Takes part in ALUA: its provider can.
    pub alua: bool,
    /// The callback argument that messages about the LU carry.
    pub callback_argument: Vec<u8>,
    /// Who serves it.
    pub provider: Rc<dyn LuProvider>,
    /// Tasks on it, newest first.
    pub tasks: RefCell<Vec<Rc<Task>>>,
}

/// A piece of data on its way to or from an initiator.
pub struct DataBuffer {
    /// The bytes.
    pub data: RefCell<Vec<u8>>,
    /// Where in the command's data they belong.
    pub offset: Cell<u32>,
    /// To the initiator (read), or from it (write).
    pub to_initiator: bool,
    /// The port is to send status GOOD itself when this transfer has ended well.
    pub status_good_follows: Cell<bool>,
    /// How the transfer ended: a 64-bit status, 0 for success.
    pub status: Cell<u64>,
    /// What is left of the message that this is a piece of, where the peer sent the data.
    pub(crate) rest: RefCell<Option<Remainder>>,
}

/// The part of a scsi_data message that has not been given to the port yet.
pub(crate) struct Remainder {
    /// The data of the whole message.
    pub(crate) message: Vec<u8>,
    /// How much of it has gone to the port.
    pub(crate) given: usize,
    /// Where in the command's data the message begins.
    pub(crate) start: u32,
}

impl DataBuffer {
    /// A buffer for the bytes at `offset` of the command's data.
    pub fn new(data: Vec<u8>, offset: u32, to_initiator: bool) -> Rc<DataBuffer> {
        Rc::new(DataBuffer {
            data: RefCell::new(data),
            offset: Cell::new(offset),
            to_initiator,
            status_good_follows: Cell::new(false),
            status: Cell::new(0),
            rest: RefCell::new(None),
        })
    }
}

/// What a task's worker thread has to do.
pub(crate) enum Work {
    New(Option<Rc<DataBuffer>>),
    TransferDone(Rc<DataBuffer>),
    Abort,
}

/// How far a task has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TaskFlags {
    /// It is being aborted.
    pub aborting: bool,
    /// Its status is on the way to the initiator.
    pub status_sent: bool,
    /// It is over.
    pub freed: bool,
}

/// What a task was made from.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// The logical unit number, in the 8-byte form of SAM.
    pub lun: [u8; 8],
    /// The command descriptor block; empty for task management.
    pub cdb: Vec<u8>,
    /// Bytes that the initiator expects to move.
    pub expected_length: u32,
    /// Task flags, as in the message scsi_cmd.
    pub flags: u8,
    /// Task management function; 0 for a command.
    pub management_function: u8,
}

/// A SCSI command or task management function in flight.
pub struct Task {
    /// Number of the task on this node, for reports.
    pub number: u64,
    /// What is to be done.
    pub command: Command,
    /// The port through which it came.
    pub port: Rc<LocalPort>,
    /// The session to which it belongs.
    pub session: Rc<Session>,
    /// The LU that serves it; none where the number names no LU.
    pub lu: Option<Rc<Lu>>,
    /// When it came.
    pub started: Time,
    /// The id under which it is proxied; 0 while it is not.
    pub proxy_msgid: Cell<u64>,
    /// How far it has come.
    pub flags: Cell<TaskFlags>,
    /// Bytes moved to or from the initiator so far.
    pub transferred: Cell<u32>,
    /// Bytes that the command itself asks for; what the residual is computed from.
    pub command_length: Cell<u32>,
    /// Buffers with data of the peer that the port has not finished with.
    pub(crate) proxied_buffers: Cell<u32>,
    /// Messages with data that came from the peer for this task.
    pub(crate) proxied_messages: Cell<u32>,
    /// SCSI status, set before it is sent.
    pub status: Cell<u8>,
    /// Sense data, set before the status is sent.
    pub sense: RefCell<Vec<u8>>,
    /// What the port provider keeps with the task.
    pub port_private: RefCell<Option<Rc<dyn Any>>>,
    /// What the LU provider keeps with the task.
    pub lu_private: RefCell<Option<Rc<dyn Any>>>,
    pub(crate) work: RefCell<VecDeque<Work>>,
    pub(crate) worker: Cell<bool>,
}

impl Task {
    /// A task that nobody knows yet.
    pub(crate) fn new(
        number: u64,
        command: Command,
        port: Rc<LocalPort>,
        session: Rc<Session>,
        lu: Option<Rc<Lu>>,
        started: Time,
    ) -> Rc<Task> {
        Rc::new(Task {
            number,
            command,
            port,
            session,
            lu,
            started,
            proxy_msgid: Cell::new(0),
            flags: Cell::default(),
            transferred: Cell::new(0),
            command_length: Cell::new(0),
            proxied_buffers: Cell::new(0),
            proxied_messages: Cell::new(0),
            status: Cell::new(0),
            sense: RefCell::default(),
            port_private: RefCell::new(None),
            lu_private: RefCell::new(None),
            work: RefCell::default(),
            worker: Cell::new(false),
        })
    }

    /// Changes the flags in place.
    pub(crate) fn update(&self, change: impl FnOnce(&mut TaskFlags)) {
        let mut flags = self.flags.get();
        change(&mut flags);
        self.flags.set(flags);
    }
}

impl fmt::Display for Task {
    /// As `task 7 (cdb 28000000000000000100)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.command.management_function {
            0 => {
                let cdb = stmf_proxy::message::hex::encode(&self.command.cdb);
                write!(f, "task {} (cdb {cdb})", self.number)
            }
            function => write!(f, "task {} (task management {function})", self.number),
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("number", &self.number)
            .field("command", &self.command)
            .field("proxy_msgid", &self.proxy_msgid.get())
            .field("flags", &self.flags.get())
            .finish_non_exhaustive()
    }
}
