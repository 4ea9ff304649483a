// SPDX-License-Identifier: MPL-2.0
//! What an explored scenario does: commands of hosts, deeds of an operator, faults.
//!
//! Acts are plain values that hold in any state of the world: numbers of hosts, ports and LUs are
//! taken modulo how many there are, and what cannot be done at the moment is passed over. So a
//! scenario can be cut, mixed and shrunk, and what is left is a scenario.

use crate::kernel::doors::DoorFault;
use crate::kernel::faults::KernelFault;
use crate::scsi::reservation::{OutAction, ReservationType};
use crate::world::DiskFault;
use crate::world::network::NetworkConfig;
use crate::world::trace::NodeId;
use std::fmt;
use std::time::Duration;
use stmf_proxy::message::MessageType;

/// A SCSI command, without the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scsi {
    /// TEST UNIT READY.
    TestUnitReady,
    /// INQUIRY, standard data.
    Inquiry,
    /// INQUIRY of a page of vital product data.
    InquiryPage(u8),
    /// REQUEST SENSE.
    RequestSense,
    /// READ CAPACITY (16).
    ReadCapacity,
    /// REPORT LUNS.
    ReportLuns,
    /// REPORT TARGET PORT GROUPS.
    ReportTargetPortGroups,
    /// MODE SENSE (6) of a page.
    ModeSense(u8),
    /// MODE SELECT (6) of the caching page: WCE.
    ModeSelect {
        /// Write cache enabled.
        write_cache: bool,
    },
    /// START STOP UNIT.
    StartStopUnit {
        /// Start it, or stop it.
        start: bool,
    },
    /// RESERVE (6).
    Reserve,
    /// RELEASE (6).
    Release,
    /// PERSISTENT RESERVE IN with this service action.
    PersistentReserveIn(u8),
    /// PERSISTENT RESERVE OUT. Each host has one key.
    PersistentReserveOut {
        /// What.
        action: OutAction,
        /// Type of the reservation.
        kind: ReservationType,
        /// The host whose key is meant where the action names one (PREEMPT).
        other: u8,
        /// Registers with APTPL.
        persistent: bool,
    },
    /// READ (10).
    Read {
        /// First block.
        lba: u32,
        /// How many blocks of 512 bytes.
        blocks: u16,
    },
    /// READ (10) beyond the end of the disk.
    ReadBeyond,
    /// WRITE (10) of bytes that nothing else writes.
    Write {
        /// First block.
        lba: u32,
        /// How many blocks of 512 bytes.
        blocks: u16,
        /// The data comes with the command.
        immediate: bool,
    },
    /// SYNCHRONIZE CACHE (10).
    Synchronize,
    /// An operation code that nothing serves.
    Unknown,
}

/// Something that is done. Numbers are taken modulo what is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// A host sends a command down a path; it logs in first if it has to.
    Command {
        /// Which host.
        host: u8,
        /// Through which node.
        node: NodeId,
        /// Through which of its ports.
        port: u8,
        /// Which LU.
        lu: u8,
        /// What.
        command: Scsi,
    },
    /// A host sends a task management function.
    Manage {
        /// Which host.
        host: u8,
        /// Through which node.
        node: NodeId,
        /// Through which of its ports.
        port: u8,
        /// Which LU.
        lu: u8,
        /// Its number in messages (1 to 9).
        function: u8,
    },
    /// A host logs out and in again, or only out.
    Logout {
        /// Which host.
        host: u8,
        /// From which node.
        node: NodeId,
        /// From which of its ports.
        port: u8,
    },
    /// A port is added.
    AddPort {
        /// To which node.
        node: NodeId,
        /// Its largest data buffer in bytes.
        buffer_size: u32,
    },
    /// A port is removed; it comes back under its name if `again`.
    RemovePort {
        /// From which node.
        node: NodeId,
        /// Which.
        port: u8,
        /// Whether it is added again at once.
        again: bool,
    },
    /// A LU is removed from a node.
    RemoveLu {
        /// From which.
        node: NodeId,
        /// Which.
        lu: u8,
    },
    /// A LU is added to a node, active or as standby.
    AddLu {
        /// To which.
        node: NodeId,
        /// Which.
        lu: u8,
        /// Active.
        active: bool,
    },
    /// A LU moves to a node: stmfLuStandby on the other one if `orderly`, then the import.
    FailOver {
        /// To which.
        to: NodeId,
        /// Which.
        lu: u8,
        /// The old active node gives it up first.
        orderly: bool,
    },
    /// stmfLuStandby, and nobody imports.
    Standby {
        /// On which node.
        node: NodeId,
        /// Which.
        lu: u8,
    },
    /// The ALUA state is set by hand.
    SetAlua {
        /// On which node.
        node: NodeId,
        /// On or off.
        enabled: bool,
        /// As which node.
        number: u32,
    },
    /// The relay is started, if it does not run.
    StartRelay {
        /// On which node.
        node: NodeId,
    },
    /// The relay is stopped in order.
    StopRelay {
        /// On which node.
        node: NodeId,
    },
    /// The relay is killed.
    KillRelay {
        /// On which node.
        node: NodeId,
    },
    /// The node loses its power.
    PowerOff {
        /// Which.
        node: NodeId,
    },
    /// The node is booted and equipped as before, if it is down.
    Boot {
        /// Which.
        node: NodeId,
    },
    /// Both ends of every connection between the nodes are reset.
    Break,
    /// Connections break, and one end does not hear of it.
    HalfOpen {
        /// Who hears of it.
        hears: NodeId,
    },
    /// Nothing arrives from this node any more.
    Hold {
        /// The sender.
        from: NodeId,
    },
    /// What was held arrives.
    Release {
        /// The sender.
        from: NodeId,
    },
    /// A bit of the next longer run of bytes is turned over.
    Damage {
        /// The sender.
        from: NodeId,
        /// Of at least this many bytes.
        at_least: u32,
        /// Which bit, modulo their number.
        bit: u64,
    },
    /// Bytes travel otherwise from now on.
    Network(NetworkConfig),
    /// A node takes in slowly what this one sends.
    SlowReader {
        /// The sender.
        from: NodeId,
        /// How slowly; none: as fast as it comes.
        bytes_per_second: Option<u64>,
    },
    /// Something goes wrong with calls of the door.
    DoorFault {
        /// On which node.
        node: NodeId,
        /// What.
        fault: DoorFault,
        /// With messages of this type only.
        only: Option<MessageType>,
    },
    /// Something goes wrong in the proxy service of a kernel.
    KernelFault {
        /// On which node.
        node: NodeId,
        /// What.
        fault: KernelFault,
    },
    /// The service stmf is switched off, or on.
    SetService {
        /// On which node.
        node: NodeId,
        /// On or off.
        enabled: bool,
    },
    /// A node stands still for a while.
    Pause {
        /// Which.
        node: NodeId,
        /// How long.
        duration: Duration,
    },
    /// Accesses to a disk fail, or take long.
    DiskFault {
        /// Of which LU.
        lu: u8,
        /// What.
        fault: DiskFault,
    },
    /// The relay is killed and another program takes its place.
    ReplaceRelay {
        /// On which node.
        node: NodeId,
        /// The name of the program.
        relay: &'static str,
    },
}

/// An act and how long after the one before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timed {
    /// The wait.
    pub wait: Duration,
    /// What is done then.
    pub act: Act,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
