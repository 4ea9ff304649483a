// SPDX-License-Identifier: MPL-2.0
//! What can happen on a node or in a world of them, as traces tell it.
//!
//! The events of the simulator and those of the recorder for real platforms are these; nothing
//! here knows of files.

use super::kind::{Channel, EventKind};
use crate::status::Step;

/// Number of a node, from 0. 255 stands for "no node" in files.
pub type NodeId = u8;

/// How an end of a call reads: done, or refused with an illumos error number.
pub type Outcome = Result<(), i32>;

/// Something that happened. It borrows what it tells of; [`RecordBuf`](super::RecordBuf) owns.
///
/// An event that carries bytes of bulk ([`Event::bulk`]: a message, data of a command, bytes of a
/// link) may have been recorded without some of them: then the record says so
/// ([`Record::cut`](super::Record::cut)), and the bytes here are those that were kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// An attempt of the kernel to call the door begins.
    Upcall {
        /// Tells the calls of a node apart, from 1. A call that the kernel tries again keeps its
        /// number.
        call: u64,
        /// Which attempt this is, from 1. 0 where that cannot be known (a real kernel).
        attempt: u8,
        /// Whether the calling thread holds the stmf lock; false where that cannot be known.
        lock_held: bool,
        /// The message.
        message: &'a [u8],
    },
    /// It has ended: with the result of the door server, or an illumos error number.
    UpcallDone {
        /// The call.
        call: u64,
        /// How it ended.
        outcome: Result<u32, i32>,
    },
    /// A message enters the kernel.
    Post {
        /// Tells the posts of a node apart, from 1.
        post: u64,
        /// The message.
        message: &'a [u8],
    },
    /// The kernel has handled it, or refused it.
    PostDone {
        /// The post.
        post: u64,
        /// How it ended.
        outcome: Outcome,
    },
    /// A line of the kernel's log.
    KernelLog(&'a str),
    /// The kernel panics.
    Panic {
        /// The trap that was sprung, 0 for none of the known ones.
        trap: u8,
        /// What happened.
        reason: &'a str,
    },
    /// A line of the relay's log.
    RelayLog(&'a str),
    /// A relay process starts.
    RelayStarted,
    /// A relay process is gone.
    RelayEnded,
    /// The node boots.
    Boot {
        /// Its `boot`th kernel, from 1.
        boot: u64,
    },
    /// The node loses its power.
    PowerOff,
    /// The ALUA state of the node was set, or that was refused.
    AluaState {
        /// Whether ALUA was to be on.
        enabled: bool,
        /// The node number that was to be set.
        number: u32,
        /// How it ended.
        outcome: Outcome,
    },
    /// A LU of the node has changed its access state, as the kernel tells it.
    LuAccess {
        /// The LU's id.
        lu: [u8; 16],
        /// What it is now.
        access: LuAccess,
    },
    /// A relay asks for a connection.
    Connect {
        /// Which; never used twice in a trace.
        connection: u32,
    },
    /// The connection stands, as this node sees it.
    Connected {
        /// Which.
        connection: u32,
    },
    /// The connection ended or could not be made, as this node sees it.
    Disconnected {
        /// Which.
        connection: u32,
        /// How.
        end: ConnectionEnd,
    },
    /// The node sends bytes to its peer.
    Sent {
        /// On which connection.
        connection: u32,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// Bytes of the peer arrive at the node.
    Received {
        /// On which connection.
        connection: u32,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// An initiator opens a session to a port of the node.
    SessionOpened {
        /// Which initiator, from 0.
        initiator: u32,
        /// The session id that stmf gave out; 0 if it was refused.
        session: u64,
        /// The target port, by the `ident` of its device id.
        port: &'a [u8],
        /// The initiator port, by the `ident` of its device id.
        name: &'a [u8],
    },
    /// The session is gone.
    SessionClosed {
        /// Which initiator.
        initiator: u32,
        /// The session.
        session: u64,
    },
    /// An initiator sends a command to the node.
    Command {
        /// Which initiator.
        initiator: u32,
        /// Tells the commands of an initiator apart.
        tag: u64,
        /// In which session.
        session: u64,
        /// The logical unit number.
        lun: [u8; 8],
        /// Bits of [`status::task_flags`](crate::message::status::task_flags): reads, writes,
        /// whether the data comes with the command, attribute.
        flags: u8,
        /// Bytes that the initiator expects to move.
        expected: u32,
        /// The command descriptor block.
        cdb: &'a [u8],
        /// What it writes.
        data: &'a [u8],
    },
    /// The command has ended, as the initiator sees it.
    CommandDone {
        /// Which initiator.
        initiator: u32,
        /// Which command.
        tag: u64,
        /// The SCSI status.
        status: u8,
        /// Bits of [`status::residual_flags`](crate::message::status::residual_flags).
        residual_flags: u8,
        /// Bytes too many or too few.
        residual: u32,
        /// Sense data.
        sense: &'a [u8],
        /// What was read.
        data: &'a [u8],
    },
    /// An initiator sends a task management function to the node.
    Management {
        /// Which initiator.
        initiator: u32,
        /// Tells it apart.
        tag: u64,
        /// In which session.
        session: u64,
        /// The logical unit number.
        lun: [u8; 8],
        /// See [`status::task_management`](crate::message::status::task_management).
        function: u8,
    },
    /// The task management function has ended.
    ManagementDone {
        /// Which initiator.
        initiator: u32,
        /// Which function.
        tag: u64,
        /// The status that came.
        status: u8,
    },
    /// The target gave the command up without a status.
    Aborted {
        /// Which initiator.
        initiator: u32,
        /// Which command.
        tag: u64,
    },
    /// The initiator has waited long enough and gives the command up.
    TimedOut {
        /// Which initiator.
        initiator: u32,
        /// Which command.
        tag: u64,
    },
    /// A fault was injected.
    Fault(&'a str),
    /// A step of the scenario begins.
    Step(&'a str),
    /// A system call of the door API begins. Posts are told as [`Event::Post`].
    Call {
        /// Tells the calls of a relay process apart, from 1.
        call: u64,
        /// What it is for.
        step: Step,
    },
    /// It has ended.
    CallDone {
        /// The call.
        call: u64,
        /// What it was for.
        step: Step,
        /// How it ended.
        outcome: Outcome,
    },
    /// The kernel has let go of the door.
    Unreferenced,
    /// Events happened that are not in the trace, because they could not be written in time or
    /// at all.
    Lost {
        /// How many.
        events: u64,
    },
    /// A target port was added to the node.
    PortAdded {
        /// Its name: the `ident` of its device id.
        port: &'a [u8],
        /// Whether it takes part in ALUA.
        alua: bool,
        /// The longest transfer that its buffers hold, in bytes.
        buffer_size: u32,
    },
    /// A target port was removed.
    PortRemoved {
        /// Its name.
        port: &'a [u8],
    },
    /// Somebody asked the disk provider of the node to do something with a LU.
    LuOperation {
        /// The LU's id.
        lu: [u8; 16],
        /// What.
        operation: LuOperation,
        /// How it ended.
        outcome: Outcome,
    },
    /// A piece of the choices that a simulated run was made of, in the simulator's own form.
    Choices(&'a [u8]),
    /// Something was done to a simulated world from outside: what its replay does again. It is
    /// told before it is done.
    Operation {
        /// Tells the operations of a world apart, from 1.
        operation: u64,
        /// How many steps of the world's own threads came before it since the clock last moved.
        steps: u64,
        /// How many operations had ended before it began.
        ended: u64,
        /// What was done, in the simulator's own form; at most 65,535 bytes.
        text: &'a str,
        /// Data that goes with it: what is written, a message.
        data: &'a [u8],
    },
    /// An event of a kind that a later minor version has and this one does not know.
    Other {
        /// The number of the kind.
        kind: u8,
        /// What tells it apart, as the header says.
        number: u64,
        /// Its fields.
        fields: &'a [u8],
        /// Its bulk.
        bulk: &'a [u8],
    },
}

/// The access state of a LU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LuAccess {
    /// Commands go to the peer.
    Standby = 0,
    /// Commands are served here.
    Active = 1,
    /// There is no such LU any more.
    Gone = 2,
}

/// What an operator, or cluster software, asks for about a LU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LuOperation {
    /// Create it; it is active here.
    Create = 0,
    /// Import it while the peer serves it; it is standby here.
    ImportStandby = 1,
    /// Import it over the standby one; it becomes active here.
    Import = 2,
    /// Make it standby (stmfLuStandby(3STMF)).
    MakeStandby = 3,
    /// Delete it.
    Delete = 4,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ConnectionEnd {
    /// Closed by the peer.
    Closed = 0,
    /// Reset.
    Reset = 1,
    /// Refused.
    Refused = 2,
    /// No answer.
    NoAnswer = 3,
}

impl Event<'_> {
    /// The kind; `None` for one that this version does not know.
    pub fn kind(&self) -> Option<EventKind> {
        EventKind::from_number(self.kind_number())
    }

    /// The number of the kind.
    pub fn kind_number(&self) -> u8 {
        let kind = match self {
            Event::Upcall { .. } => EventKind::Upcall,
            Event::UpcallDone { .. } => EventKind::UpcallDone,
            Event::Post { .. } => EventKind::Post,
            Event::PostDone { .. } => EventKind::PostDone,
            Event::KernelLog(_) => EventKind::KernelLog,
            Event::Panic { .. } => EventKind::Panic,
            Event::RelayLog(_) => EventKind::RelayLog,
            Event::RelayStarted => EventKind::RelayStarted,
            Event::RelayEnded => EventKind::RelayEnded,
            Event::Boot { .. } => EventKind::Boot,
            Event::PowerOff => EventKind::PowerOff,
            Event::AluaState { .. } => EventKind::AluaState,
            Event::LuAccess { .. } => EventKind::LuAccess,
            Event::Connect { .. } => EventKind::Connect,
            Event::Connected { .. } => EventKind::Connected,
            Event::Disconnected { .. } => EventKind::Disconnected,
            Event::Sent { .. } => EventKind::Sent,
            Event::Received { .. } => EventKind::Received,
            Event::SessionOpened { .. } => EventKind::SessionOpened,
            Event::SessionClosed { .. } => EventKind::SessionClosed,
            Event::Command { .. } => EventKind::Command,
            Event::CommandDone { .. } => EventKind::CommandDone,
            Event::Management { .. } => EventKind::Management,
            Event::ManagementDone { .. } => EventKind::ManagementDone,
            Event::Aborted { .. } => EventKind::Aborted,
            Event::TimedOut { .. } => EventKind::TimedOut,
            Event::Fault(_) => EventKind::Fault,
            Event::Step(_) => EventKind::Step,
            Event::Call { .. } => EventKind::Call,
            Event::CallDone { .. } => EventKind::CallDone,
            Event::Unreferenced => EventKind::Unreferenced,
            Event::Lost { .. } => EventKind::Lost,
            Event::PortAdded { .. } => EventKind::PortAdded,
            Event::PortRemoved { .. } => EventKind::PortRemoved,
            Event::LuOperation { .. } => EventKind::LuOperation,
            Event::Choices(_) => EventKind::Choices,
            Event::Operation { .. } => EventKind::Operation,
            Event::Other { kind, .. } => return *kind,
        };
        kind.number()
    }

    /// Where it is recorded.
    pub fn channel(&self) -> Channel {
        self.kind().map_or(Channel::Events, EventKind::channel)
    }
}

impl<'a> Event<'a> {
    /// The message, if the event hands one over between kernel and relay.
    pub fn message(&self) -> Option<&'a [u8]> {
        match *self {
            Event::Upcall { message, .. } | Event::Post { message, .. } => Some(message),
            _ => None,
        }
    }

    /// The bytes that stand last in the record and that a snap length may cut.
    pub fn bulk(&self) -> &'a [u8] {
        match *self {
            Event::Upcall { message, .. } | Event::Post { message, .. } => message,
            Event::Sent { bytes, .. } | Event::Received { bytes, .. } => bytes,
            Event::Command { data, .. } | Event::CommandDone { data, .. } => data,
            Event::KernelLog(text)
            | Event::RelayLog(text)
            | Event::Fault(text)
            | Event::Step(text)
            | Event::Panic { reason: text, .. } => text.as_bytes(),
            Event::Choices(bytes) => bytes,
            Event::Operation { data, .. } => data,
            Event::Other { bulk, .. } => bulk,
            _ => &[],
        }
    }
}
