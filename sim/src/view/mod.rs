// SPDX-License-Identifier: MPL-2.0
//! Traces for people to look at, and their figures. Knows events and messages, no world.
//!
//! Whatever stands in a trace comes from outside: text of it is shown without its control
//! characters, and tables that remember something of it are bounded.

mod bounded;
pub mod describe;
pub mod divergence;
#[cfg(test)]
mod example;
mod fields;
pub mod filter;
mod follow;
pub mod histogram;
mod json;
pub mod ladder;
mod line;
pub mod show;
pub mod stats;
pub mod story;
mod text;
pub mod wireshark;

pub use bounded::TABLE_LIMIT;
pub use describe::{describe, details};
pub use line::LEAST_WIDTH;

/// The name of a command, as [`opcode::name`](crate::scsi::opcode::name) has it.
pub(crate) fn opcode_name(cdb: &[u8]) -> &'static str {
    crate::scsi::opcode::name(cdb)
}
