// SPDX-License-Identifier: MPL-2.0
//! What is done to a world from outside, as values: enough to do it again.
//!
//! Scenarios act through [`World`](super::World), its nodes, network and paths; each of those
//! calls is told to the world's [`Recorder`] as an [`Operation`] before it takes effect. With
//! what the world was made of ([`Plan`]) and what was drawn in it, the operations are the run:
//! [`crate::replay`] does them again.
//!
//! What goes around these calls (a closure in the kernel, a fault put into a door by hand) is
//! told as [`Operation::Direct`], and cannot be done again.

use super::network::NetworkConfig;
use super::trace::{InitiatorId, NodeId, Sink};
use crate::executor::Choices;
use crate::kernel::doors::DoorFault;
use crate::kernel::sbd::Content;
use crate::kernel::{KernelConfig, KernelFault};
use crate::world::DiskFault;
use crate::world::choices::Choice;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::time::Time;

/// Number of a path ([`Path`](super::Path)) in its world, from 0 in the order of the logins.
pub type PathNumber = u32;

/// Something that was done to a world from outside. In files it is JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[allow(
    missing_docs,
    reason = "the fields are those of the calls that are named"
)]
pub enum Operation {
    /// A disk was put into the world ([`Disks::insert`](super::Disks::insert)).
    Disk {
        #[serde(with = "hexadecimal")]
        lu: [u8; 16],
        /// Bytes.
        size: u64,
        /// What it holds at first; none if that cannot be said in a word.
        content: Option<Content>,
    },
    /// [`Node::add_port`](super::Node::add_port).
    AddPort {
        node: NodeId,
        name: Option<String>,
        alua: bool,
        buffer_size: u32,
    },
    /// [`Node::remove_port`](super::Node::remove_port).
    RemovePort { node: NodeId, port: usize },
    /// [`Node::add_lu`](super::Node::add_lu).
    AddLu {
        node: NodeId,
        #[serde(with = "hexadecimal")]
        lu: [u8; 16],
        active: bool,
    },
    /// [`Node::remove_lu`](super::Node::remove_lu).
    RemoveLu {
        node: NodeId,
        #[serde(with = "hexadecimal")]
        lu: [u8; 16],
    },
    /// [`Node::import_lu`](super::Node::import_lu).
    ImportLu {
        node: NodeId,
        #[serde(with = "hexadecimal")]
        lu: [u8; 16],
    },
    /// [`Node::lu_standby`](super::Node::lu_standby).
    LuStandby {
        node: NodeId,
        #[serde(with = "hexadecimal")]
        lu: [u8; 16],
    },
    /// [`Node::set_alua_state`](super::Node::set_alua_state).
    SetAlua {
        node: NodeId,
        enabled: bool,
        number: u32,
    },
    /// [`Node::alua_state`](super::Node::alua_state).
    GetAlua { node: NodeId },
    /// [`Node::login`](super::Node::login).
    Login {
        node: NodeId,
        port: usize,
        initiator: InitiatorId,
        path: PathNumber,
    },
    /// [`Path::logout`](super::Path::logout).
    Logout { path: PathNumber },
    /// [`Path::command`](super::Path::command). What is written stands beside it.
    Command {
        path: PathNumber,
        tag: u64,
        #[serde(with = "hexadecimal")]
        lun: [u8; 8],
        #[serde(with = "hexadecimal")]
        cdb: Vec<u8>,
        transfer: Movement,
        /// Nanoseconds.
        timeout: u64,
    },
    /// [`Path::manage`](super::Path::manage).
    Manage {
        path: PathNumber,
        tag: u64,
        #[serde(with = "hexadecimal")]
        lun: [u8; 8],
        function: u8,
        /// Nanoseconds.
        timeout: u64,
    },
    /// [`Node::boot`](super::Node::boot).
    Boot { node: NodeId },
    /// [`Node::power_off`](super::Node::power_off).
    PowerOff { node: NodeId },
    /// [`Node::start_relay`](super::Node::start_relay).
    StartRelay { node: NodeId },
    /// [`Node::stop_relay`](super::Node::stop_relay).
    StopRelay { node: NodeId },
    /// [`Node::kill_relay`](super::Node::kill_relay).
    KillRelay { node: NodeId },
    /// [`Node::set_relay`](super::Node::set_relay), with the program's name if it has one.
    SetRelay { node: NodeId, relay: Option<String> },
    /// [`Node::set_kernel_config`](super::Node::set_kernel_config).
    SetKernel {
        node: NodeId,
        kernel: Box<KernelConfig>,
    },
    /// [`Node::set_first_session_id`](super::Node::set_first_session_id).
    FirstSession { node: NodeId, session: u64 },
    /// [`Node::pause`](super::Node::pause).
    Pause { node: NodeId, nanoseconds: u64 },
    /// [`Node::fail_door_calls`](super::Node::fail_door_calls), or
    /// [`Node::fail_door_calls_with`](super::Node::fail_door_calls_with).
    DoorFault {
        node: NodeId,
        fault: DoorFault,
        /// The name of the type of message that it hits; none for all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<String>,
    },
    /// [`Node::inject`](super::Node::inject).
    KernelFault { node: NodeId, fault: KernelFault },
    /// [`Node::clear_faults`](super::Node::clear_faults).
    ClearFaults { node: NodeId },
    /// [`Node::set_service`](super::Node::set_service).
    SetService { node: NodeId, enabled: bool },
    /// [`Disks::fail`](super::Disks::fail).
    DiskFault {
        #[serde(with = "hexadecimal")]
        lu: [u8; 16],
        fault: DiskFault,
    },
    /// [`Disks::repair`](super::Disks::repair).
    RepairDisk {
        #[serde(with = "hexadecimal")]
        lu: [u8; 16],
    },
    /// [`Network::break_connections`](super::network::Network::break_connections).
    Break { one: NodeId, other: NodeId },
    /// [`Network::half_open`](super::network::Network::half_open).
    HalfOpen { hears: NodeId, other: NodeId },
    /// [`Network::hold`](super::network::Network::hold).
    Hold { from: NodeId, to: NodeId },
    /// [`Network::release`](super::network::Network::release).
    Release { from: NodeId, to: NodeId },
    /// [`Network::damage`](super::network::Network::damage).
    Damage {
        from: NodeId,
        to: NodeId,
        at_least: usize,
        bit: u64,
    },
    /// [`Network::slow_reader`](super::network::Network::slow_reader).
    SlowReader {
        from: NodeId,
        to: NodeId,
        bytes_per_second: Option<u64>,
    },
    /// [`Network::set_config`](super::network::Network::set_config).
    SetNetwork { config: NetworkConfig },
    /// [`World::step`](super::World::step).
    Step { text: String },
    /// Something that cannot be done again from a trace.
    Direct { node: NodeId, what: String },
    /// The scenario ended; `stuck` if it was given up.
    End { stuck: bool },
}

/// Which way the data of a command goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Movement {
    /// There is none.
    None,
    /// So many bytes at most come from the target.
    Read(u32),
    /// It goes to the target when it asks for it.
    Write,
    /// It goes to the target with the command.
    WriteImmediate,
}

/// What a world is made of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// How many nodes.
    pub nodes: NodeId,
    /// The kernels of the nodes.
    pub kernel: KernelConfig,
    /// Nodes with another one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kernels: BTreeMap<NodeId, KernelConfig>,
    /// How bytes travel.
    pub network: NetworkConfig,
    /// The name of the relay program ([`crate::relays`]); none if it has none.
    pub relay: Option<String>,
    /// Nanoseconds after which a world in which nothing goes on is given up.
    pub patience: u64,
    /// The seed that everything was drawn from; none if the choices came from elsewhere.
    pub seed: Option<u64>,
}

impl Plan {
    /// The kernel that a node boots first.
    pub fn kernel_of(&self, node: NodeId) -> &KernelConfig {
        self.kernels.get(&node).unwrap_or(&self.kernel)
    }
}

/// An operation with its place in the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed<'a> {
    /// When, in virtual time.
    pub time: Time,
    /// How many steps of the world's own threads came before it since the clock last moved.
    pub steps: u64,
    /// How many operations had ended before it began.
    pub ended: u64,
    /// What.
    pub operation: &'a Operation,
    /// What is written.
    pub data: &'a [u8],
}

/// Somebody who writes a run down so that it can be made again: besides the events, what the
/// world was made of, what was done to it and, where that does not follow from a seed, what was
/// drawn.
pub trait Recorder: Sink {
    /// A world was made of this. Comes first, and once.
    fn begin(&mut self, plan: &Plan);
    /// Something is about to be done.
    fn operation(&mut self, placed: Placed<'_>);
    /// Something was drawn.
    fn choice(&mut self, time: Time, choice: Choice);
}

/// A recorder of a world.
pub type SharedRecorder = Rc<RefCell<dyn Recorder>>;

/// Lets another oracle decide and tells the recorder.
pub(super) struct Tapped {
    pub(super) oracle: Box<dyn Choices>,
    pub(super) recorder: SharedRecorder,
    pub(super) now: Rc<std::cell::Cell<Time>>,
}

impl Choices for Tapped {
    fn choose(&mut self, kind: crate::executor::ChoiceKind, alternatives: u64) -> u64 {
        let chosen = self.oracle.choose(kind, alternatives);
        let choice = Choice {
            kind,
            alternatives,
            chosen,
        };
        self.recorder.borrow_mut().choice(self.now.get(), choice);
        chosen
    }

    fn schedule(&mut self, ready: &[crate::executor::ThreadId]) -> usize {
        let chosen = self.oracle.schedule(ready);
        let choice = Choice::schedule(ready.len(), chosen);
        self.recorder.borrow_mut().choice(self.now.get(), choice);
        chosen
    }
}

/// Nanoseconds, as many as fit.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Bytes as hexadecimal text.
pub(crate) mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use stmf_proxy::message::hex;

    pub(crate) fn serialize<S: Serializer>(
        bytes: &impl AsRef<[u8]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes.as_ref()))
    }

    pub(crate) fn deserialize<'de, D, B>(deserializer: D) -> Result<B, D::Error>
    where
        D: Deserializer<'de>,
        B: TryFrom<Vec<u8>>,
    {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let mut bytes = Vec::new();
        hex::decode_into(text.as_bytes(), &mut bytes).map_err(D::Error::custom)?;
        let length = bytes.len();
        B::try_from(bytes)
            .map_err(|_| D::Error::custom(format!("{length} bytes are too few or too many")))
    }
}
