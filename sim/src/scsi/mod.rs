// SPDX-License-Identifier: MPL-2.0
//! SCSI as both ends of a path see it: what initiators build and read, and what a device server
//! answers with.
//!
//! Nothing here has state or knows of nodes, ports or the kernel: bytes in, values out, and back.
//! Facts are those of the T10 standards SAM-5, SPC-4 and SBC-3 (command formats, sense codes).

pub mod cdb;
pub mod inquiry;
pub mod opcode;
pub mod reports;
pub mod reservation;
mod sense;
mod status;
pub mod transport;

pub use sense::{Sense, SenseKey};
pub use status::{Completion, Status};

/// Reads a big-endian number of up to eight bytes; bytes that are not there count as zero.
pub(crate) fn be(bytes: &[u8], at: usize, width: usize) -> u64 {
    (at..at + width).fold(0, |n, i| {
        n << 8 | u64::from(bytes.get(i).copied().unwrap_or(0))
    })
}
