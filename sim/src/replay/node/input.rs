// SPDX-License-Identifier: MPL-2.0
//! What comes from outside, and what is taken for granted: as values.

use crate::kernel::stmf::types::LuId;
use std::fmt;
use stmf_proxy::message::DeviceId;
use stmf_proxy::message::hex;
use stmf_proxy::time::Time;

/// Number of a record in its script, from 0.
pub type RecordIndex = usize;

/// What a replay calls a command of an initiator of this node: unique in its script.
pub type CommandNumber = u64;

/// Something that comes from outside the kernel. Messages and data stand in the record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// The node boots: a fresh kernel.
    Boot,
    /// The node loses its power.
    PowerOff,
    /// A process opens the proxy service.
    OpenDevice,
    /// It installs its door.
    InstallDoor,
    /// It revokes the door.
    RevokeDoor,
    /// It closes the proxy service, or dies.
    CloseDevice,
    /// It posts the message of the record.
    Post {
        /// The record with its beginning.
        post: RecordIndex,
    },
    /// The door server answers a call, or the call fails.
    Answer {
        /// The record with the beginning of the call.
        call: RecordIndex,
        /// The result, or an error number of illumos.
        outcome: Result<u32, i32>,
    },
    /// The ALUA state is set.
    SetAlua {
        /// Whether ALUA is to be on.
        enabled: bool,
        /// Which node this is.
        node: u16,
    },
    /// A local port is added.
    AddPort {
        /// Its device id.
        id: DeviceId,
        /// Whether it takes part in ALUA.
        alua: bool,
        /// Largest data buffer in bytes.
        buffer_size: u32,
        /// The relative port id that it was given, if the recording tells.
        relative_id: Option<u16>,
    },
    /// Somebody tries to remove a local port.
    RemovePort {
        /// The `ident` of its device id.
        port: Vec<u8>,
    },
    /// A LU is added.
    AddLu {
        /// Its id.
        lu: LuId,
        /// Whether it is served here.
        active: bool,
        /// Its callback argument.
        argument: Vec<u8>,
    },
    /// A LU is removed.
    RemoveLu {
        /// Its id.
        lu: LuId,
    },
    /// A LU is imported over the standby one.
    ImportLu {
        /// Its id.
        lu: LuId,
    },
    /// A LU is given up.
    MakeStandby {
        /// Its id.
        lu: LuId,
    },
    /// An initiator opens a session.
    Login {
        /// The id that stmf gives out.
        session: u64,
        /// The `ident` of the port.
        port: Vec<u8>,
        /// The initiator's device id.
        initiator: DeviceId,
        /// Its TransportID.
        transport_id: Vec<u8>,
    },
    /// A session ends.
    Logout {
        /// Its id.
        session: u64,
    },
    /// An initiator sends a command. Written data stands in the record.
    Command {
        /// The command.
        command: CommandNumber,
        /// Its session.
        session: u64,
        /// The logical unit number.
        lun: [u8; 8],
        /// Task flags.
        flags: u8,
        /// Bytes that the initiator expects to move.
        expected: u32,
        /// The CDB.
        cdb: Vec<u8>,
    },
    /// An initiator sends a task management function.
    Management {
        /// It.
        command: CommandNumber,
        /// Its session.
        session: u64,
        /// The logical unit number.
        lun: [u8; 8],
        /// Task flags.
        flags: u8,
        /// The function.
        function: u8,
    },
    /// The initiator gives a command up.
    Forget {
        /// The command.
        command: CommandNumber,
    },
    /// The kernel uses a message id up for something that happened for a task from before the
    /// recording.
    UseMessageId,
}

impl Input {
    /// What it does, in a word or two.
    pub const fn name(&self) -> &'static str {
        match self {
            Input::Boot => "boot",
            Input::PowerOff => "power off",
            Input::OpenDevice => "open the proxy service",
            Input::InstallDoor => "install the door",
            Input::RevokeDoor => "revoke the door",
            Input::CloseDevice => "close the proxy service",
            Input::Post { .. } => "post",
            Input::Answer { .. } => "answer an upcall",
            Input::SetAlua { .. } => "set the ALUA state",
            Input::AddPort { .. } => "add a port",
            Input::RemovePort { .. } => "remove a port",
            Input::AddLu { .. } => "add a LU",
            Input::RemoveLu { .. } => "remove a LU",
            Input::ImportLu { .. } => "import a LU",
            Input::MakeStandby { .. } => "give a LU up",
            Input::Login { .. } => "open a session",
            Input::Logout { .. } => "end a session",
            Input::Command { .. } => "command",
            Input::Management { .. } => "task management",
            Input::Forget { .. } => "give a command up",
            Input::UseMessageId => "use a message id up",
        }
    }
}

/// An input with its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimedInput {
    /// When it comes.
    pub time: Time,
    /// Sequence number of the record that it was made of.
    pub sequence: u64,
    /// Whether the recording tells of it; otherwise it was derived from what it caused.
    pub recorded: bool,
    /// What it is.
    pub input: Input,
}

/// Something that a recording presupposes without telling of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Assumption {
    /// A local port was there.
    Port {
        /// Its device id.
        id: DeviceId,
        /// Its relative port id, if the recording tells.
        relative_id: Option<u16>,
        /// Its buffers.
        buffer_size: u32,
        /// Whether it took part in ALUA: the recording has messages about it.
        alua: bool,
    },
    /// A LU was there.
    Lu {
        /// Its id.
        lu: LuId,
        /// Whether it was served here.
        active: bool,
        /// Its callback argument.
        argument: Vec<u8>,
    },
    /// ALUA was on.
    AluaOn {
        /// Which node this is.
        node: u16,
    },
    /// The peer had confirmed the registration of a local port.
    Confirmed {
        /// The `ident` of the port.
        port: Vec<u8>,
    },
    /// The proxy service was open.
    DeviceOpen,
    /// Its door was installed.
    DoorInstalled,
    /// The peer had registered a port here.
    PeerPort {
        /// Its device id.
        id: DeviceId,
    },
    /// A session was open.
    Session {
        /// Its id.
        session: u64,
        /// The `ident` of its port.
        port: Vec<u8>,
        /// The initiator's device id.
        initiator: DeviceId,
        /// Its TransportID.
        transport_id: Vec<u8>,
    },
    /// The peer had used a session here.
    PeerSession {
        /// Its id.
        session: u64,
        /// The proxy port.
        port: DeviceId,
        /// The initiator's device id.
        initiator: DeviceId,
        /// Its TransportID.
        transport_id: Option<Vec<u8>>,
    },
    /// The kernel had used message ids up to this one.
    MessageIds {
        /// The first that the recording needs.
        next: u64,
    },
}

fn text(ident: &[u8]) -> String {
    ident.escape_ascii().to_string()
}

impl fmt::Display for Assumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Assumption::Port { id, .. } => write!(f, "port {} was there", text(&id.ident)),
            Assumption::Lu { lu, active, .. } => {
                let access = if *active { "active" } else { "standby" };
                write!(f, "LU {} was there, {access}", hex::encode(lu))
            }
            Assumption::AluaOn { node } => write!(f, "ALUA was on, as node {node}"),
            Assumption::Confirmed { port } => {
                write!(f, "the peer had confirmed port {}", text(port))
            }
            Assumption::DeviceOpen => f.write_str("the proxy service was open"),
            Assumption::DoorInstalled => f.write_str("the door was installed"),
            Assumption::PeerPort { id } => {
                write!(f, "the peer had registered port {}", text(&id.ident))
            }
            Assumption::Session { session, port, .. } => {
                write!(f, "session {session} was open on port {}", text(port))
            }
            Assumption::PeerSession { session, port, .. } => write!(
                f,
                "session {session} of the peer was open on port {}",
                text(&port.ident)
            ),
            Assumption::MessageIds { next } => {
                write!(f, "message ids below {next} were used up")
            }
        }
    }
}

/// A task that waits until it is released.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum TaskName {
    /// A command of an initiator of this node.
    Local(CommandNumber),
    /// A command of the peer: session and task as the peer numbers them.
    Peer(u64, u64),
}

/// Data that a command has read, which the disk is to hold before the command runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    /// Where in the command's data it begins, in bytes.
    pub(super) offset: u64,
    /// The record that has it: an upcall with scsi_data, or the end of a command.
    pub(super) record: RecordIndex,
}

/// The medium that a command reads or writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extent {
    /// First block.
    pub(super) lba: u64,
    /// How many.
    pub(super) blocks: u64,
    /// Written, not read.
    pub(super) write: bool,
}

/// How strictly what comes of a command is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Strictness {
    /// It returns facts about the LU, not blocks.
    pub(super) facts: bool,
    /// Part of what it was given is not in the recording: its outcome says nothing.
    pub(super) cut: bool,
    /// What a command before it was given is not in the recording: what the LU says of itself may
    /// differ since.
    pub(super) after_cut: bool,
}

/// What a kernel is expected to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Expect {
    /// The upcall of the record.
    Upcall { strictness: Strictness },
    /// A post returns.
    PostDone {
        post: RecordIndex,
        outcome: Result<(), i32>,
    },
    /// An operation returns: the number of the input that began it.
    OperationDone {
        number: usize,
        outcome: Result<(), i32>,
    },
    /// A command ends as the record says.
    CommandDone {
        command: CommandNumber,
        strictness: Strictness,
    },
    /// The node gives a command up.
    Aborted { command: CommandNumber },
    /// The node panics.
    Panic { trap: u8 },
}

/// A step of a script.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// Is so from the beginning.
    Assume(Assumption),
    /// Comes from outside.
    Input {
        input: Input,
        recorded: bool,
        /// Tells the inputs of a script apart.
        number: usize,
    },
    /// A task begins.
    Release {
        task: TaskName,
        extent: Option<(Extent, [u8; 8])>,
        pieces: Vec<Piece>,
    },
    /// The kernel does something.
    Expect(Expect),
}

/// A step with the record that it belongs to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Step {
    pub(super) record: RecordIndex,
    pub(super) action: Action,
}
