// SPDX-License-Identifier: MPL-2.0
//! The messages that two STMF kernels exchange through their proxy doors: fifteen types, in two
//! dialects, each one packed list ([`crate::nvlist`]).
//!
//! The format is told in `docs/wire-format.md`. What [`Message::decode`] accepts a kernel
//! accepts, and with the same values; what it refuses although a kernel accepts it is only what
//! [`NvlistProblem::is_own_bound`](crate::nvlist::NvlistProblem::is_own_bound) says. This module
//! knows nothing of what a message does to a kernel.
//!
//! ```
//! use stmf_proxy::message::{Body, Dialect, EchoRequest, Message};
//!
//! let message = Message {
//!     msgid: 7,
//!     body: Body::EchoRequest(EchoRequest { data: b"hello".to_vec() }),
//! };
//! let wire = message.encode(Dialect::Current)?;
//! assert_eq!(Message::decode(&wire, Dialect::Current)?, message);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod body;
mod canonical;
mod data;
mod decode;
mod encode;
mod error;
mod fields;
pub mod hex;
mod json;
mod peek;
pub mod status;

#[cfg(test)]
mod examples;
#[cfg(test)]
mod properties;
#[cfg(any(test, feature = "proptest"))]
pub mod strategies;
#[cfg(test)]
mod text;

pub use crate::nvlist::{Limits, NvlistError, NvlistProblem};
pub use body::{
    Body, DeregisterProxyPort, DeviceId, EchoReply, EchoRequest, LunMessage, MessageType,
    ReadyToTransfer, RegisterProxyPort, ScsiCommand, ScsiData, ScsiDataTransferDone, ScsiStatus,
    SessionMessage, Status,
};
pub use data::{DataRange, data_range};
pub use error::{DecodeError, EncodeError, FieldError, FieldProblem};
pub use peek::{Peek, Route, Subject, peek};

/// One message.
///
/// Its JSON form (serde) is that of the recorded messages in `fixtures/golden`: an object with
/// `type` and `msgid` first, byte strings as lower-case hexadecimal, integers as numbers (64
/// bits, exactly), lengths left out. Reading it is strict: unknown, missing, repeated and
/// ill-typed fields are refused by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The sender's number for this message. Kernels count up from 1 and answer with it; 0 is in
    /// messages that no answer is expected to.
    pub msgid: u64,
    /// What the message says.
    pub body: Body,
}

impl Message {
    /// Which of the fifteen messages this is.
    pub fn message_type(&self) -> MessageType {
        self.body.message_type()
    }
}

/// Which kernels speak like this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// Since mid-2010: commands and session messages carry the transport id of the initiator's
    /// port (`rport`).
    #[default]
    Current,
    /// Before that: no transport ids, and a receiver refuses a SCSI command whose CDB is empty
    /// (a task management function).
    Y2009,
}

impl Dialect {
    /// The name on command lines: `current` or `2009`.
    pub const fn name(self) -> &'static str {
        match self {
            Dialect::Current => "current",
            Dialect::Y2009 => "2009",
        }
    }
}

impl std::fmt::Display for Dialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
