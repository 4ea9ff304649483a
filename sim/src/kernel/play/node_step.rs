// SPDX-License-Identifier: MPL-2.0
//! Steps that only a whole node knows, as lines of a recording say them.

use crate::kernel::port::Tag;
use crate::kernel::stmf::types::LuId;
use crate::scsi::reports::lun_bytes;
use serde::Deserialize;
use std::time::Duration;
use stmf_proxy::message::hex::{self, HexError};

/// The most simulated seconds that one step may pass: a year.
pub const ADVANCE_MAX: u64 = 365 * 24 * 3600;

/// A step that only a whole node knows. Fields that are not known are passed over.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum NodeStep {
    /// Set the ALUA state.
    Alua {
        /// Whether it is to be on.
        #[serde(default)]
        enabled: Option<bool>,
        /// A raw value in its place.
        #[serde(default)]
        state: Option<u8>,
        /// Which node this is.
        node: u16,
    },
    /// Add a local port.
    AddPort {
        /// Its name.
        port: String,
        /// Whether it takes part in ALUA.
        alua: bool,
    },
    /// Remove a local port.
    RemovePort {
        /// Its name.
        port: String,
    },
    /// Add a LU.
    AddLu {
        /// Its id, 32 hex digits.
        guid: String,
        /// Active or standby.
        state: LuState,
        /// Its number, if it is not to be the next one.
        #[serde(default)]
        lun: Option<u16>,
        /// Its callback argument, if it is not to be made from the id.
        #[serde(default)]
        arg: Option<String>,
        /// Whose rule it follows; there is but sbd's.
        #[serde(default)]
        rule: Option<String>,
    },
    /// Remove a LU.
    RemoveLu {
        /// Its id.
        guid: String,
    },
    /// The end of an import of a LU.
    LuActive {
        /// Its id.
        guid: String,
    },
    /// What stmfLuStandby does.
    LuStandby {
        /// Its id.
        guid: String,
        /// The LU stays in transition until the peer's message, which is what it does anyway.
        #[serde(default)]
        transition: Option<bool>,
    },
    /// A session of an initiator.
    Session {
        /// The port.
        port: String,
        /// The initiator's name.
        initiator: String,
        /// The id that stmf gives out.
        id: u64,
    },
    /// The session ends.
    EndSession {
        /// The port.
        port: String,
        /// The initiator's name.
        initiator: String,
        /// Tasks are not aborted first.
        #[serde(default)]
        no_abort: bool,
    },
    /// A command from an initiator.
    Scsi {
        /// The port.
        port: String,
        /// The initiator's name.
        initiator: String,
        /// The initiator's number for it.
        tag: Tag,
        /// The logical unit number.
        lun: u16,
        /// The CDB in hex.
        cdb: String,
        /// The bytes that the initiator expects to move.
        expected: u32,
        /// What the initiator would send, in hex.
        #[serde(default)]
        data: Option<String>,
        /// The data comes with the command.
        #[serde(default)]
        immediate: bool,
        /// Task flags, if they are not to be the port's own.
        #[serde(default)]
        flags: Option<u8>,
    },
    /// A task management function.
    Tm {
        /// The port.
        port: String,
        /// The initiator's name.
        initiator: String,
        /// The initiator's number for it.
        tag: Tag,
        /// The logical unit number.
        lun: u16,
        /// The function.
        function: u8,
    },
    /// The port gives a command up.
    Abort {
        /// The initiator's number for it.
        tag: Tag,
    },
    /// Time passes.
    Advance {
        /// So many seconds, [`ADVANCE_MAX`] at the most.
        seconds: u64,
    },
    /// The port finishes nothing while on.
    PortHold {
        /// On or off.
        on: bool,
    },
}

impl NodeStep {
    /// The values of "op" that only a whole node knows.
    pub const OPERATIONS: [&'static str; 14] = [
        "alua",
        "add_port",
        "remove_port",
        "add_lu",
        "remove_lu",
        "lu_active",
        "lu_standby",
        "session",
        "end_session",
        "scsi",
        "tm",
        "abort",
        "advance",
        "port_hold",
    ];

    /// Looks whether the step makes sense at all, before anything is done.
    pub fn check(&self) -> Result<(), StepError> {
        match self {
            NodeStep::AddLu { guid, lun, .. } => {
                lun.map_or(Ok(()), |lun| {
                    lun_bytes(lun).map(drop).ok_or(StepError::Lun(lun))
                })?;
                parse_guid(guid).map(drop)
            }
            NodeStep::RemoveLu { guid }
            | NodeStep::LuActive { guid }
            | NodeStep::LuStandby { guid, .. } => parse_guid(guid).map(drop),
            NodeStep::Scsi { lun, cdb, data, .. } => {
                lun_bytes(*lun).ok_or(StepError::Lun(*lun))?;
                parse_hex("cdb", cdb)?;
                parse_hex("data", data.as_deref().unwrap_or("")).map(drop)
            }
            NodeStep::Tm { lun, .. } => lun_bytes(*lun).map(drop).ok_or(StepError::Lun(*lun)),
            NodeStep::Advance { seconds } if *seconds > ADVANCE_MAX => {
                Err(StepError::Advance(*seconds))
            }
            _ => Ok(()),
        }
    }

    /// How long the step lets time pass after it was begun.
    pub fn duration(&self) -> Duration {
        match self {
            NodeStep::Advance { seconds } => Duration::from_secs(*seconds),
            _ => Duration::ZERO,
        }
    }
}

/// The state in which a LU is added.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LuState {
    /// Served here.
    Active,
    /// Served by the peer.
    Standby,
}

/// A value of a step that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StepError {
    /// Not hexadecimal.
    #[error("{field:?} is not hexadecimal: {error}")]
    Hex {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: HexError,
    },
    /// Not the id of a LU.
    #[error("\"guid\" has {length} bytes; the id of a LU has 16")]
    Guid {
        /// How many bytes there are.
        length: usize,
    },
    /// A logical unit number over 16383.
    #[error("lun: {0} is more than 16383, the most that two bytes can say")]
    Lun(u16),
    /// Too long a time.
    #[error("seconds: {0} is more than {ADVANCE_MAX}, a year")]
    Advance(u64),
}

pub(super) fn parse_guid(text: &str) -> Result<LuId, StepError> {
    let bytes = parse_hex("guid", text)?;
    let length = bytes.len();
    bytes.try_into().map_err(|_| StepError::Guid { length })
}

pub(super) fn parse_hex(field: &'static str, text: &str) -> Result<Vec<u8>, StepError> {
    hex::decode(text.as_bytes()).map_err(|error| StepError::Hex { field, error })
}
