// SPDX-License-Identifier: MPL-2.0
//! Replay of one node: what came from outside in a recording is done to a fresh simulated kernel,
//! the peer is played from the recording, and what the kernel does is compared with what was
//! recorded.
//!
//! [`NodeScript`] makes of the records of one node a list of steps: what came from outside
//! ([`Input`]), and between them what the kernel is expected to do. [`NodeScript::run`] walks
//! along it. A command that a recording does not tell of is derived from the message that it
//! caused; what was there before the recording began is derived from where it is first mentioned
//! ([`Assumption`]); `docs/replaying-a-node.md` has the rules.
//!
//! # How time and order are kept
//!
//! Virtual time is the time of the records. Between two instants the kernel runs until it is at
//! rest; within one instant its threads run only as far as the next recorded event needs them, and
//! the thread that an input wakes goes first. Every new command waits in the framework until the
//! first thing that it is recorded to have caused: so a disk is as slow as it was. What the kernel
//! does is looked for by lane ([`Lane`]), in the order of each lane.
//!
//! Invariants: a run is a function of its script and settings; nothing that a recording says makes
//! this panic, and steps, events and bytes are bounded ([`Limits`], [`NodeSettings::steps`]).
//! Nothing here knows relays and links; only `file.rs` knows files.

mod choices;
mod compare;
mod describe;
mod disk;
mod divergence;
mod door;
mod extract;
pub mod file;
mod geometry;
mod happening;
mod input;
mod lane;
mod machine;
mod port;
mod run;
mod script;
mod settings;
mod tape;
#[cfg(test)]
mod tests;
mod walk;

pub use divergence::{Divergence, DivergenceKind, Field};
pub use file::{NodeFileError, NodeScripts, read_node_scripts, replay_node};
pub use input::{Assumption, Input, TimedInput};
pub use lane::Lane;
pub use run::{Compared, HangReport, NodePanic, NodeRun};
pub use script::{Limits, NodeScript, ScriptBuilder, ScriptError};
pub use settings::{NodeSettings, RecordedBy};
