// SPDX-License-Identifier: MPL-2.0
//! Replaying a trace file: its script is played and what happens is compared with what was
//! recorded, read a second time beside it.

use super::compare::{Comparer, Divergence};
use super::script::{Builder, Script, ScriptError};
use super::world::{Mode, ReplayError, Settings, play};
use crate::findings::Finding;
use crate::world::trace::TraceHash;
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use stmf_proxy::trace::{Files, FilesError};

/// Why a file cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// It has no event at all.
    #[error("the trace has no event that could be replayed")]
    Empty,
    /// It is not the trace of a world.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The world cannot be made again.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

/// What came of a replay.
pub struct Replayed {
    /// Where the run parted from the recording, if it did.
    pub divergence: Option<Divergence>,
    /// How many events were the same.
    pub equal: u64,
    /// How many of those were compared without data that was left out of the recording.
    pub data_missing: u64,
    /// The hash of the run.
    pub hash: TraceHash,
    /// What went wrong in the run.
    pub findings: Vec<Finding>,
    /// Whether the recording says how it ended (it does not after a crash or on a full disk).
    pub complete: bool,
    /// Why the recording could not be read to its end, if it could not.
    pub broken: Option<String>,
}

/// Reads the script of a trace, and why it could not be read to its end, if it could not: a
/// recording that a crash or a full disk has ended is good up to there.
///
/// # Errors
///
/// See [`FileError`].
pub fn read_script(path: &Path) -> Result<(Script, Option<String>), FileError> {
    let mut files = Files::open(path)?;
    let mut builder = Builder::new(files.section().ok_or(FileError::Empty)?)?;
    let broken = loop {
        match files.next_entry() {
            Ok(Some(entry)) => builder.event(&entry.record)?,
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        }
    };
    Ok((builder.finish()?, broken))
}

/// Replays the trace of a world.
///
/// # Errors
///
/// See [`FileError`]. That the run was another one is no error, but what there is to tell.
pub fn replay_file(path: &Path, mut settings: Settings) -> Result<Replayed, FileError> {
    let (script, broken) = read_script(path)?;
    let mut files = Files::open(path)?;
    let recorded = move || match files.next_entry() {
        Ok(entry) => entry.map(|entry| entry.to_owned()),
        // What cannot be read was told when the script was read.
        Err(_) => None,
    };
    let comparer = Comparer::new(Box::new(recorded)).breaking_off(script.end.is_none());
    let comparer = Rc::new(RefCell::new(comparer));
    settings.sinks.push(comparer.clone());
    let diverged = comparer.clone();
    settings.stop = Some(Box::new(move || diverged.borrow().is_over()));
    let outcome = play(&script, Mode::Exact, settings)?;
    let mut comparer = comparer.borrow_mut();
    let divergence = comparer.finish();
    Ok(Replayed {
        divergence,
        equal: comparer.equal(),
        data_missing: comparer.data_missing(),
        hash: outcome.world.hash(),
        findings: outcome.findings,
        complete: script.end.is_some(),
        broken,
    })
}
