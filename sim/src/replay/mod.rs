// SPDX-License-Identifier: MPL-2.0
//! Making recorded runs happen again.
//!
//! The run of a world is replayed whole: [`Script`] is what was done to it, read from a trace or
//! taken down as it happens; [`play`](world::play) does it again, and [`world::replay`] compares
//! what comes of it event by event.

pub(crate) mod caught;
pub mod compare;
pub mod diff;
pub mod file;
pub mod script;
pub mod to_test;
pub mod world;

pub use compare::Divergence;
pub use file::{FileError, Replayed, replay_file};
pub use script::{Oracle, Script, ScriptError, ScriptRecorder};
pub use world::{Mode, Outcome, ReplayError, Settings, play};
