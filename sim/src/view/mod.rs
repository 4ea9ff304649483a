// SPDX-License-Identifier: MPL-2.0
//! Traces for people to look at, and their figures. Knows events and messages, no world.
//!
//! Whatever stands in a trace comes from outside: text of it is shown without its control
//! characters, and tables that remember something of it are bounded.

pub mod describe;
pub mod divergence;
#[allow(dead_code, reason = "listings use the rest")]
mod fields;
#[allow(dead_code, reason = "listings use the rest")]
mod text;
pub mod wireshark;

pub use describe::{describe, details};
