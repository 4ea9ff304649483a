// SPDX-License-Identifier: MPL-2.0
//! Making recorded runs happen again.
//!
//! The run of a world is replayed whole: [`Script`] is what was done to it, read from a trace or
//! taken down as it happens; [`play()`] does it again, and [`replay_file`] compares what comes of
//! it event by event. The trace of one node, or of real ones, is replayed node by node
//! ([`node`]): a fresh kernel is given what came to the recorded one.

pub(crate) mod caught;
pub mod compare;
pub mod diff;
pub mod file;
pub mod node;
pub mod script;
pub mod to_test;
pub mod world;

pub use compare::Divergence;
pub use file::{FileError, Replayed, replay_file};
pub use script::{Oracle, Script, ScriptError, ScriptRecorder};
pub use world::{Mode, Outcome, ReplayError, Settings, play};
