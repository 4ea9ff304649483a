// SPDX-License-Identifier: MPL-2.0
//! What the fifteen messages say, field by field.

use std::fmt;

/// The types of messages, by their number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MessageType {
    /// [`RegisterProxyPort`]
    RegisterProxyPort = 0,
    /// [`DeregisterProxyPort`]
    DeregisterProxyPort = 1,
    /// [`LunMessage`]
    RegisterLun = 2,
    /// [`LunMessage`]
    DeregisterLun = 3,
    /// [`ScsiCommand`]
    ScsiCommand = 4,
    /// [`ScsiData`]
    ScsiData = 5,
    /// [`ScsiDataTransferDone`]
    ScsiDataTransferDone = 6,
    /// [`ScsiStatus`]
    ScsiStatus = 7,
    /// [`ReadyToTransfer`]
    ReadyToTransfer = 8,
    /// [`Status`]
    Status = 9,
    /// [`SessionMessage`]
    SessionCreate = 10,
    /// [`SessionMessage`]
    SessionDestroy = 11,
    /// [`EchoRequest`]
    EchoRequest = 12,
    /// [`EchoReply`]
    EchoReply = 13,
    /// [`LunMessage`]
    LunActive = 14,
}

impl MessageType {
    /// All of them, in the order of their numbers.
    pub const ALL: [MessageType; 15] = [
        MessageType::RegisterProxyPort,
        MessageType::DeregisterProxyPort,
        MessageType::RegisterLun,
        MessageType::DeregisterLun,
        MessageType::ScsiCommand,
        MessageType::ScsiData,
        MessageType::ScsiDataTransferDone,
        MessageType::ScsiStatus,
        MessageType::ReadyToTransfer,
        MessageType::Status,
        MessageType::SessionCreate,
        MessageType::SessionDestroy,
        MessageType::EchoRequest,
        MessageType::EchoReply,
        MessageType::LunActive,
    ];

    /// The type with this number, 0 to 14.
    pub fn from_number(number: u8) -> Option<MessageType> {
        MessageType::ALL.get(usize::from(number)).copied()
    }

    /// The number on the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name in the JSON form.
    pub const fn name(self) -> &'static str {
        match self {
            MessageType::RegisterProxyPort => "register_proxy_port",
            MessageType::DeregisterProxyPort => "deregister_proxy_port",
            MessageType::RegisterLun => "register_lun",
            MessageType::DeregisterLun => "deregister_lun",
            MessageType::ScsiCommand => "scsi_cmd",
            MessageType::ScsiData => "scsi_data",
            MessageType::ScsiDataTransferDone => "scsi_data_xfer_done",
            MessageType::ScsiStatus => "scsi_status",
            MessageType::ReadyToTransfer => "r2t",
            MessageType::Status => "status",
            MessageType::SessionCreate => "session_create",
            MessageType::SessionDestroy => "session_destroy",
            MessageType::EchoRequest => "echo_request",
            MessageType::EchoReply => "echo_reply",
            MessageType::LunActive => "lun_active",
        }
    }

    /// The type of this name.
    pub fn from_name(name: &str) -> Option<MessageType> {
        MessageType::ALL
            .into_iter()
            .find(|message_type| message_type.name() == name)
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A port of the sender is to be stood for by a proxy port.
    RegisterProxyPort(RegisterProxyPort),
    /// A port of the sender is gone.
    DeregisterProxyPort(DeregisterProxyPort),
    /// An LU is active on the sender; the receiver keeps it on standby.
    RegisterLun(LunMessage),
    /// An LU is gone from the sender.
    DeregisterLun(LunMessage),
    /// A command for an LU that is active on the receiver.
    ScsiCommand(ScsiCommand),
    /// Data of a command.
    ScsiData(ScsiData),
    /// Data was handed to the initiator, or could not be.
    ScsiDataTransferDone(ScsiDataTransferDone),
    /// A command has ended.
    ScsiStatus(ScsiStatus),
    /// Write data is wanted. Kernels drop this message unseen.
    ReadyToTransfer(ReadyToTransfer),
    /// The answer to a registration or a session message, or a failed command.
    Status(Status),
    /// A session began. Kernels make sessions from commands, not from this.
    SessionCreate(SessionMessage),
    /// A session ended.
    SessionDestroy(SessionMessage),
    /// Asks for the same bytes back.
    EchoRequest(EchoRequest),
    /// The bytes back. Kernels drop this message unseen.
    EchoReply(EchoReply),
    /// An LU that was on standby has become active on the sender.
    LunActive(LunMessage),
}

impl Body {
    /// Which of the fifteen this is.
    pub fn message_type(&self) -> MessageType {
        match self {
            Body::RegisterProxyPort(_) => MessageType::RegisterProxyPort,
            Body::DeregisterProxyPort(_) => MessageType::DeregisterProxyPort,
            Body::RegisterLun(_) => MessageType::RegisterLun,
            Body::DeregisterLun(_) => MessageType::DeregisterLun,
            Body::ScsiCommand(_) => MessageType::ScsiCommand,
            Body::ScsiData(_) => MessageType::ScsiData,
            Body::ScsiDataTransferDone(_) => MessageType::ScsiDataTransferDone,
            Body::ScsiStatus(_) => MessageType::ScsiStatus,
            Body::ReadyToTransfer(_) => MessageType::ReadyToTransfer,
            Body::Status(_) => MessageType::Status,
            Body::SessionCreate(_) => MessageType::SessionCreate,
            Body::SessionDestroy(_) => MessageType::SessionDestroy,
            Body::EchoRequest(_) => MessageType::EchoRequest,
            Body::EchoReply(_) => MessageType::EchoReply,
            Body::LunActive(_) => MessageType::LunActive,
        }
    }
}

/// The SCSI name of a port: the fields of a device identification descriptor (INQUIRY page 83h
/// of SPC-4).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId {
    /// 4 bits: which protocol, as 5 for iSCSI.
    pub protocol_id: u8,
    /// 4 bits: 1 binary, 2 ASCII, 3 UTF-8.
    pub code_set: u8,
    /// 1 bit: whether `protocol_id` means something.
    pub piv: u8,
    /// 2 bits: what is named; 1 is a port.
    pub association: u8,
    /// 4 bits: what kind of name, as 8 for a SCSI name string.
    pub ident_type: u8,
    /// The name, at most 255 bytes.
    pub ident: Vec<u8>,
}

/// A port of the sender, to be stood for by a proxy port on the receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterProxyPort {
    /// The port.
    pub port_id: DeviceId,
    /// Its relative target port identifier.
    pub relative_port_id: u16,
    /// Bytes that belong to the sender's callback; at most 65,535.
    pub cb_arg: Vec<u8>,
}

/// A port of the sender that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeregisterProxyPort {
    /// The port.
    pub port_id: DeviceId,
    /// Bytes that belong to the sender's callback; at most 65,535.
    pub cb_arg: Vec<u8>,
}

/// About an LU: registered, deregistered, become active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LunMessage {
    /// The LU's NAA identifier.
    pub lun_id: [u8; 16],
    /// Which LU provider it belongs to, as `sbd`. Bytes without NUL; JSON maps byte N to the
    /// character U+00NN.
    pub lu_provider_name: Vec<u8>,
    /// Bytes for that provider; at most 65,535.
    pub cb_arg: Vec<u8>,
}

/// A SCSI command, or a task management function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScsiCommand {
    /// The sender's number for the task.
    pub task_msgid: u64,
    /// The initiator port.
    pub ini_devid: DeviceId,
    /// The target port, which is one of the sender's.
    pub tgt_devid: DeviceId,
    /// The SCSI TransportID of the initiator port, 2 to 65,535 bytes; `None` only in the dialect
    /// of 2009.
    pub rport: Option<Vec<u8>>,
    /// The LU. Kernels only echo it; which LU is meant is said by `task_lun_no`.
    pub lun_id: [u8; 16],
    /// The sender's number for the session.
    pub session_id: u64,
    /// The logical unit number as the initiator gave it.
    pub task_lun_no: [u8; 8],
    /// How many bytes the initiator expects to be transferred.
    pub task_expected_xfer_length: u32,
    /// The command descriptor block, at most 65,535 bytes; empty for task management.
    pub task_cdb: Vec<u8>,
    /// See [`status::task_flags`](super::status::task_flags).
    pub task_flags: u8,
    /// Sent, but never read: decodes as 0.
    pub task_priority: u8,
    /// See [`status::task_management`](super::status::task_management).
    pub task_mgmt_function: u8,
    /// Write data that came with the command.
    pub immed_data: Vec<u8>,
}

/// Data of a command: read data to the node of the initiator, or write data from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScsiData {
    /// The task, as the node of the initiator numbers it.
    pub task_msgid: u64,
    /// The session, as the node of the initiator numbers it.
    pub session_id: u64,
    /// The LU.
    pub lun_id: [u8; 16],
    /// The bytes. None at all can be sent, but is refused by the receiver.
    pub data: Vec<u8>,
}

/// What became of the data of a [`ScsiData`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScsiDataTransferDone {
    /// The task, as the node of the initiator numbers it.
    pub task_msgid: u64,
    /// The session, as the node of the initiator numbers it.
    pub session_id: u64,
    /// 0, or why it failed; see [`status`](super::status).
    pub status: u64,
}

/// The end of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScsiStatus {
    /// The task, as the node of the initiator numbers it.
    pub task_msgid: u64,
    /// The session, as the node of the initiator numbers it.
    pub session_id: u64,
    /// The LU.
    pub lun_id: [u8; 16],
    /// 0 when `status` is one that the LU gave.
    pub response: u8,
    /// The SCSI status byte.
    pub status: u8,
    /// Whether `resid` counts, and what; see
    /// [`status::residual_flags`](super::status::residual_flags).
    pub flags: u8,
    /// Bytes too many or too few.
    pub resid: u32,
    /// Sense data, at most 255 bytes.
    pub sense: Vec<u8>,
}

/// Write data is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyToTransfer {
    /// The task, as the node of the initiator numbers it.
    pub task_msgid: u64,
    /// The session, as the node of the initiator numbers it.
    pub session_id: u64,
    /// From which byte of the command's data.
    pub offset: u32,
    /// How many bytes.
    pub length: u32,
}

/// The outcome of an earlier message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The type of that message, a [`MessageType`] number; nothing checks it.
    pub status_msg_type: u8,
    /// The number of that message.
    pub status_msgid: u64,
    /// 0, or why it failed; see [`status`](super::status). **Only the low 8 bits travel**, so
    /// every failure arrives as 0; decoding gives the 8 bits that came.
    pub status: u64,
}

/// A session began or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionMessage {
    /// The initiator port.
    pub ini_devid: DeviceId,
    /// The target port, which is one of the sender's.
    pub tgt_devid: DeviceId,
    /// The SCSI TransportID of the initiator port, 2 to 65,535 bytes; `None` only in the dialect
    /// of 2009.
    pub rport: Option<Vec<u8>>,
    /// The sender's number for the session.
    pub session_id: u64,
}

/// Asks for the same bytes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EchoRequest {
    /// The bytes.
    pub data: Vec<u8>,
}

/// The bytes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EchoReply {
    /// The bytes.
    pub data: Vec<u8>,
}
