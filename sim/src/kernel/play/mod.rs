// SPDX-License-Identifier: MPL-2.0
//! Playing recordings: one step after the other is done to a fake kernel, and what came of it is
//! told, in the JSON form of the recordings in fixtures/golden.
//!
//! A recording of the active side ([`ServicePlayer`]) is played on a node whose STMF service
//! runs, with ALUA on and one LU of the minimal provider; one of a whole node ([`NodePlayer`]) on
//! a node on which nothing is set up. What is played and what comes of it is
//! a function of the steps alone.

mod input;
mod machinery;
mod node;
mod node_player;
mod node_step;
mod output;
mod recorder;
mod service;

pub use input::{Input, InputError};
pub use machinery::{Ending, Machinery, REST_LIMIT};
pub use node::{LU_SIZE, Node};
pub use node_player::{NodeOutput, NodePlayer};
pub use node_step::{ADVANCE_MAX, LuState, NodeStep, StepError};
pub use output::{Common, Output, TargetState};
pub use recorder::Recorder;
pub use service::ServicePlayer;

use std::io::{self, BufRead, Write};
use thiserror::Error;

/// Why a recording could not be played on.
#[derive(Debug, Error)]
pub enum PlayError {
    /// A step that cannot be understood or carried out.
    #[error("line {line}: {error}")]
    Step {
        /// The line of the input, from 1.
        line: u64,
        /// What is wrong with it.
        error: InputError,
    },
    /// The steps could not be read.
    #[error("cannot read the steps: {0}")]
    Read(io::Error),
    /// The outcome could not be written.
    #[error("cannot write the outcome: {0}")]
    Write(io::Error),
}

/// Somebody who does steps.
pub trait Player {
    /// What comes of a step.
    type Output: serde::Serialize;

    /// Does the step of this line, a JSON object.
    ///
    /// # Errors
    ///
    /// If the line is not a step; then nothing has been done.
    fn step(&mut self, line: &str) -> Result<Self::Output, InputError>;

    /// Whether the node has panicked or hangs: there are no more steps.
    fn has_ended(&self) -> bool;
}

/// Plays steps, one a line, and writes what came of each, one a line, as it goes. Empty lines are
/// passed over. Ends with the input, or with the node; what follows then is not read.
///
/// # Errors
///
/// At the first line that is not a step; the steps before it have been done and written.
pub fn play(
    player: &mut impl Player,
    input: impl BufRead,
    mut output: impl Write,
) -> Result<(), PlayError> {
    for (index, line) in input.lines().enumerate() {
        let line = line.map_err(PlayError::Read)?;
        if line.trim().is_empty() {
            continue;
        }
        let outcome = player.step(&line).map_err(|error| PlayError::Step {
            line: index as u64 + 1,
            error,
        })?;
        serde_json::to_writer(&mut output, &outcome)
            .map_err(|error| PlayError::Write(error.into()))?;
        output.write_all(b"\n").map_err(PlayError::Write)?;
        output.flush().map_err(PlayError::Write)?;
        if player.has_ended() {
            break;
        }
    }
    Ok(())
}
