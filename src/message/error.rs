// SPDX-License-Identifier: MPL-2.0
//! Why a message was not decoded, or cannot be encoded.

use super::MessageType;
use crate::nvlist::{DataType, NvlistError, NvlistProblem};
use thiserror::Error;

/// A message was not decoded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The packed list that a message is was refused as a whole.
    #[error(transparent)]
    Unpack(#[from] NvlistError),
    /// The list is sound, but it is not a message.
    #[error(transparent)]
    Field(#[from] FieldError),
}

impl DecodeError {
    /// Where the problem is, in bytes from the start of the message, if it is at one place.
    pub fn offset(&self) -> Option<usize> {
        match self {
            DecodeError::Unpack(error) => Some(error.offset),
            DecodeError::Field(error) => error.offset,
        }
    }

    /// Whether this was refused although a kernel takes it; see
    /// [`NvlistProblem::is_own_bound`].
    pub fn is_own_bound(&self) -> bool {
        matches!(self, DecodeError::Unpack(NvlistError { problem, .. }) if problem.is_own_bound())
    }

    /// The field that was refused, unless unpacking failed already.
    pub fn field(&self) -> Option<&FieldError> {
        match self {
            DecodeError::Unpack(_) => None,
            DecodeError::Field(error) => Some(error),
        }
    }

    /// What was wrong with the packed list, if that was it.
    pub fn unpack_problem(&self) -> Option<&NvlistProblem> {
        match self {
            DecodeError::Unpack(error) => Some(&error.problem),
            DecodeError::Field(_) => None,
        }
    }
}

/// The first field of a message that was refused, in the order in which kernels look fields up:
/// for a SCSI command task_msgid, session_id, task_expected_xfer_length, task_cdb_length,
/// task_flags, task_mgmt_function, immed_data_len, ini_devid, tgt_devid, rport, and only then
/// lun_id, task_lun_no, task_cdb, immed_data; for session messages session_id, ini_devid,
/// tgt_devid, rport. (What a kernel does about it depends on how far it came.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The type of the message; `None` when that is what could not be read.
    pub message_type: Option<MessageType>,
    /// The field, by its name in the message, as `icsc_rport`.
    pub field: &'static str,
    /// The field inside that one, if it is an embedded list and the problem is in there.
    pub inner: Option<&'static str>,
    /// What is wrong with it.
    pub problem: FieldProblem,
    /// Where, in bytes from the start of the message; `None` for what is missing.
    pub offset: Option<usize>,
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.message_type {
            Some(message_type) => write!(f, "{message_type}: {}", self.field)?,
            None => write!(f, "message: {}", self.field)?,
        }
        if let Some(inner) = self.inner {
            write!(f, ".{inner}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " (byte {offset})")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for FieldError {}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FieldProblem {
    /// There is none of that name.
    #[error("missing")]
    Missing,
    /// It has another type.
    #[error("type {found}; expected {expected}")]
    WrongType {
        /// The type that it should have.
        expected: DataType,
        /// The type of the first field of that name.
        found: DataType,
    },
    /// The flags of the list that should hold it forbid looking anything up.
    #[error("the flags of its list are {flags:#x}; expected bit 0 or bit 1 to be set")]
    ListFlags {
        /// The flag word.
        flags: u32,
    },
    /// It has not the length that its length field says, or that is fixed for it.
    #[error("{found} bytes; expected {expected}")]
    WrongLength {
        /// The length that it should have.
        expected: u64,
        /// The length that it has.
        found: u64,
    },
    /// There are fifteen message types.
    #[error("unknown message type {found}; expected 0 to 14")]
    UnknownMessageType {
        /// The number.
        found: u8,
    },
    /// SCSI data without a byte of data.
    #[error("no data; expected at least 1 byte")]
    NoData,
    /// A transport id too short to be one.
    #[error("transport id of {found} bytes; expected at least 2")]
    ShortTransportId {
        /// Its length.
        found: u16,
    },
    /// An empty command descriptor block, which the dialect of 2009 refuses.
    #[error("empty; the dialect of 2009 expects at least 1 byte")]
    EmptyCommand,
}

/// A message cannot be encoded: it says what no message can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// More bytes than the length field of a byte string can say.
    #[error("{field}: {length} bytes; the most is {limit}")]
    TooLong {
        /// The field, by its name in the message.
        field: &'static str,
        /// Its length.
        length: usize,
        /// The most that it can be.
        limit: usize,
    },
    /// A number with more bits than its field has.
    #[error("{field}: {value} does not fit in {bits} bits")]
    TooWide {
        /// The field, by its name in the message.
        field: &'static str,
        /// Its value.
        value: u8,
        /// Bits that there are.
        bits: u32,
    },
    /// The current dialect needs a transport id.
    #[error("{field}: missing; only the dialect of 2009 does without")]
    MissingTransportId {
        /// The field, by its name in the message.
        field: &'static str,
    },
    /// A transport id has at least 2 bytes.
    #[error("{field}: {length} bytes; a transport id has at least 2")]
    ShortTransportId {
        /// The field, by its name in the message.
        field: &'static str,
        /// Its length.
        length: usize,
    },
    /// A NUL byte in a string.
    #[error("{field}: NUL at byte {offset}; a name has none")]
    StringWithNul {
        /// The field, by its name in the message.
        field: &'static str,
        /// Where in the string.
        offset: usize,
    },
    /// Sizes in the packed form are signed 32-bit words.
    #[error("{size} bytes when encoded; the most is {limit}")]
    TooLarge {
        /// What it would come to.
        size: u64,
        /// The most that it can be.
        limit: usize,
    },
}
