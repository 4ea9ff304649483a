// SPDX-License-Identifier: MPL-2.0
//! sbd, the disk provider: the SCSI device server of one logical unit on one node.
//!
//! It is a synchronous state machine. It gets a CDB from an I_T nexus and says how the command
//! goes on; it never waits, moves no data on its own, and keeps nothing of a command between two
//! calls but what stands in the transfer that it handed out. A command is thus aborted by
//! dropping its transfer.
//!
//! What calls it is the framework (stmf): that owns sessions, LUNs, tasks, buffers, residual
//! counts, REPORT LUNS, and the unit attention of a changed LUN list. This module knows of ALUA
//! only the access state of its own logical unit and what [`Environment`] tells it; it knows
//! nothing of doors or messages.
//!
//! A command takes one of these ways:
//!
//! | [`Execution`] | the caller |
//! | --- | --- |
//! | `Done` | sends the status |
//! | `DataIn` | fetches pieces with [`LogicalUnit::read`], sends them, then status GOOD |
//! | `DataOut` | brings pieces to [`LogicalUnit::write`], then calls [`LogicalUnit::finish`] |
//! | `Proxy` | fetches so many bytes from the initiator and hands all to the other node |
//!
//! Order of judgement: a session id that belongs to another nexus (BUSY); a state transition
//! (02/04/0A); reservation conflict; unit attention; the standby rules; the command itself.
//!
//! The logical unit is active on one node at a time; its [`Disk`] is shared by both nodes.
//!
//! Over a failover the node that becomes standby forgets all reservations. Persistent ones that
//! were registered with APTPL are also stored in the disk's [`Metadata`], and the node that imports
//! the disk has them in force from then on; without APTPL they are lost, as in a loss of power. A
//! nexus is known by initiator port and target port, so a registration made through the proxy port
//! of a node is still that of the same path when the other node serves it.

mod attention;
mod cdb;
mod disk;
mod disposition;
mod execute;
mod inquiry;
mod mode;
mod persistent;
mod reservation;
mod store;
mod unit;

pub use disk::{Disk, Fault, FaultKind, Metadata, SharedDisk};
pub use disposition::parameter_list_length;
pub use persistent::{PersistentState, Registration, Reservation};
pub use store::{Content, FileStore, Fill, MemoryStore, Store, StoreError};
pub use unit::ConfigError;

use crate::scsi::Completion;
use crate::scsi::reports::{Capacity, TargetPortGroup};
use attention::Attentions;
use mode::ModePages;
use persistent::PersistentReservations;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Largest parameter list in bytes that a command may send (MODE SELECT, PERSISTENT RESERVE OUT);
/// a longer one is refused with 05/1A/00 before any of it is fetched.
pub const MAX_PARAMETER_LIST: u32 = 4096;

/// Most registrations for persistent reservations on one logical unit; one more is refused with
/// 05/55/04.
pub const MAX_REGISTRATIONS: usize = 1024;

/// Who an I_T nexus is, whatever session it has: the key of reservations.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NexusId {
    /// The initiator port's TransportID (SPC-4, 7.6.4).
    pub initiator: Rc<[u8]>,
    /// The target port's identifier: the bytes of its device id.
    pub target_port: Rc<[u8]>,
}

/// One session of an initiator port with a target port of this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Nexus {
    /// The framework's session id. The logical unit knows a nexus by it, and refuses commands
    /// (BUSY) of a session whose id another nexus has here.
    pub session_id: u64,
    /// Who the nexus is.
    pub id: NexusId,
    /// Relative port identifier of the target port.
    pub relative_port_id: u16,
    /// Whether the target port is a proxy port, one that stands for a port of the other node.
    /// Its commands see no unit attentions.
    pub through_proxy: bool,
}

/// What the logical unit has to know of the node it is on, asked for only by the few commands
/// that tell of it.
pub trait Environment {
    /// Whether ALUA is on; INQUIRY then announces implicit asymmetric access.
    fn alua_enabled(&self) -> bool;
    /// The target port group of the port behind `nexus`.
    fn target_port_group(&self, nexus: &Nexus) -> u16;
    /// All target port groups, as REPORT TARGET PORT GROUPS lists them.
    fn target_port_groups(&self) -> Vec<TargetPortGroup>;
}

/// The [`Environment`] of a node without ALUA: everything is in group 0, active.
#[derive(Clone, Debug, Default)]
pub struct SingleNode {
    /// Relative port identifiers of the node's ports.
    pub ports: Vec<u16>,
}

impl Environment for SingleNode {
    fn alua_enabled(&self) -> bool {
        false
    }

    fn target_port_group(&self, _nexus: &Nexus) -> u16 {
        0
    }

    fn target_port_groups(&self) -> Vec<TargetPortGroup> {
        vec![TargetPortGroup::active(0, self.ports.clone())]
    }
}

/// The access state of a logical unit on one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccessState {
    /// Commands are served here.
    Active,
    /// Commands are proxied or refused.
    Standby,
    /// On the way to standby: everything is refused with 02/04/0A.
    ToStandby,
    /// On the way to active: everything is refused with 02/04/0A.
    ToActive,
}

/// What a logical unit is and does not change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Its identifier, NAA format 6.
    pub guid: [u8; 16],
    /// Bytes in a block: a power of two from 512 to 32,768.
    pub block_size: u32,
    /// Whether READ on the standby path is refused with 02/04/0B instead of proxied: a tunable of
    /// the kernel, off by default.
    pub refuse_standby_reads: bool,
}

impl Config {
    /// A logical unit of 512-byte blocks with default tunables.
    pub fn new(guid: [u8; 16]) -> Config {
        Config {
            guid,
            block_size: 512,
            refuse_standby_reads: false,
        }
    }
}

/// How a command goes on; see the module.
#[derive(Debug)]
pub enum Execution {
    /// It is over.
    Done(Completion),
    /// It returns data; the status after the last piece is GOOD.
    DataIn(ReadTransfer),
    /// It takes data.
    DataOut(WriteTransfer),
    /// It is for the other node.
    Proxy {
        /// Bytes to fetch from the initiator and send along: the parameter list length, or the
        /// expected transfer length where that is less.
        data_out: u32,
    },
}

/// The data that a command returns.
#[derive(Debug)]
pub struct ReadTransfer {
    length: u64,
    source: ReadSource,
}

#[derive(Debug)]
enum ReadSource {
    Bytes(Vec<u8>),
    Disk { offset: u64 },
}

impl ReadTransfer {
    fn bytes(mut bytes: Vec<u8>, allocation_length: u64) -> ReadTransfer {
        bytes.truncate(usize::try_from(allocation_length).unwrap_or(usize::MAX));
        ReadTransfer {
            length: bytes.len() as u64,
            source: ReadSource::Bytes(bytes),
        }
    }

    fn disk(offset: u64, length: u64) -> ReadTransfer {
        ReadTransfer {
            length,
            source: ReadSource::Disk { offset },
        }
    }

    /// Bytes that the command returns, if the initiator expects as many.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where on the disk the data begin, in bytes, if they are blocks of the medium.
    pub fn disk_offset(&self) -> Option<u64> {
        match self.source {
            ReadSource::Disk { offset } => Some(offset),
            ReadSource::Bytes(_) => None,
        }
    }

    /// Whether the data are blocks of the medium (and not a short list of facts).
    pub fn is_medium(&self) -> bool {
        matches!(self.source, ReadSource::Disk { .. })
    }
}

/// The data that a command takes.
#[derive(Debug)]
pub struct WriteTransfer {
    length: u64,
    sink: WriteSink,
}

#[derive(Debug)]
enum WriteSink {
    Disk {
        offset: u64,
    },
    Compare {
        offset: u64,
    },
    List {
        nexus: Nexus,
        received: Vec<u8>,
        command: cdb::ListCommand,
    },
}

impl WriteTransfer {
    /// Bytes that the command wants, if the initiator has as many.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where on the disk the data begin, in bytes, if they are blocks for the medium.
    pub fn disk_offset(&self) -> Option<u64> {
        match self.sink {
            WriteSink::Disk { offset } | WriteSink::Compare { offset } => Some(offset),
            WriteSink::List { .. } => None,
        }
    }

    /// Whether the data are blocks for the medium (and not a parameter list).
    pub fn is_medium(&self) -> bool {
        !matches!(self.sink, WriteSink::List { .. })
    }
}

/// How a command that took data ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The status to send.
    pub completion: Completion,
    /// Nexuses whose other commands on this logical unit are to be aborted (PREEMPT AND ABORT):
    /// not the command itself, even if its own nexus is among them.
    pub abort: Vec<NexusId>,
}

impl From<Completion> for Outcome {
    fn from(completion: Completion) -> Outcome {
        Outcome {
            completion,
            abort: Vec::new(),
        }
    }
}

/// What the logical unit remembers of a session.
#[derive(Debug)]
struct NexusState {
    id: NexusId,
    through_proxy: bool,
    attentions: Attentions,
}

/// The device server of one logical unit on one node.
pub struct LogicalUnit {
    config: Config,
    capacity: Capacity,
    disk: SharedDisk,
    access: AccessState,
    nexuses: BTreeMap<u64, NexusState>,
    /// The session that holds a RESERVE.
    reserved_by: Option<u64>,
    persistent: PersistentReservations,
    mode: ModePages,
    stopped: bool,
}

#[cfg(test)]
mod tests;
