// SPDX-License-Identifier: MPL-2.0
//! A record as the data of one packet of a trace file: a header, the fields of the event, its
//! bulk. Told byte for byte in `docs/trace-format.md`; knows nothing of pcapng.

mod pack;
mod unpack;

pub(super) use pack::{pack, renumber, size_bound};
pub(super) use unpack::unpack;

/// The version of the format that is written, and the highest that can be read.
pub const FORMAT_VERSION: u8 = 1;

/// Length of the header of a record from which nothing was cut.
pub const HEADER_LENGTH: usize = 64;
/// Length of what follows the header where something was cut.
pub const GAP_LENGTH: usize = 24;
/// The node number that says "no node".
pub const NO_NODE: u8 = 255;
/// The message type that says "no message".
const NO_MESSAGE_TYPE: u8 = 255;

/// The longest that a CDB, a name or sense data is recorded, in bytes: what messages can carry.
pub const MAX_SHORT: usize = 65_535;

/// Bits of the flags in the header.
pub mod flags {
    /// The outcome means something.
    pub const OUTCOME: u8 = 0x01;
    /// The outcome is an illumos error number, not a result.
    pub const ERRNO: u8 = 0x02;
    /// Session, task and lane mean something.
    pub const LANE: u8 = 0x04;
    /// Bytes of the bulk were left out: the header is followed by the description of the gap.
    pub const GAP: u8 = 0x08;
    /// The gap is whole words of a byte array.
    pub const GAP_WORDS: u8 = 0x10;
    /// The description of the gap has a digest.
    pub const DIGEST: u8 = 0x20;
    /// The hash means something.
    pub const HASH: u8 = 0x40;
    /// Something went wrong.
    pub const TROUBLE: u8 = 0x80;
}

/// Why the data of a packet is not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// It ends too early.
    #[error("{what} needs {needed} bytes, {left} are left")]
    Short {
        /// In what.
        what: &'static str,
        /// Bytes that it takes.
        needed: usize,
        /// Bytes that there are.
        left: usize,
    },
    /// It was written by a later version.
    #[error(
        "format version {found}, this program reads up to {FORMAT_VERSION}; \
         use a newer stmf-proxy to read it"
    )]
    FutureVersion {
        /// The version that it names.
        found: u8,
    },
    /// A value that no version writes.
    #[error("{field} cannot be {found}")]
    Value {
        /// What it is the value of.
        field: &'static str,
        /// The value.
        found: u32,
    },
    /// Text that is not UTF-8.
    #[error("text that is not UTF-8, from its byte {valid_up_to}")]
    Text {
        /// The bytes before are text.
        valid_up_to: usize,
    },
}

#[cfg(test)]
mod tests;
