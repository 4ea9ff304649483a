// SPDX-License-Identifier: MPL-2.0
//! From a seed that failed to files: the run recorded, and cut down to the least that still fails.

use super::search::Search;
use super::summary::Failure;
use crate::findings::Kind;
use crate::shrink::{self, Keep, Watching};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// How many smaller runs are tried for a failure unless told otherwise.
pub const DEFAULT_TRIES: u64 = 2000;

/// What was written of a failure.
#[derive(Clone, Debug)]
pub struct Written {
    /// The run, as it was.
    pub trace: PathBuf,
    /// The smaller run; none if that was not wanted.
    pub small: Option<Result<shrink::Report, String>>,
}

impl Written {
    /// The file that shows the failure best.
    pub fn best(&self) -> &Path {
        match &self.small {
            Some(Ok(report)) => &report.output,
            _ => &self.trace,
        }
    }
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is no directory for it.
    #[error("cannot make the directory {}: {error}", .directory.display())]
    Directory {
        /// Which.
        directory: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The run cannot be recorded.
    #[error(transparent)]
    Recording(#[from] crate::recording::RecordingError),
    /// It was recorded in part.
    #[error("the run could not be recorded into {}: {failure}", .path.display())]
    Partly {
        /// Where.
        path: PathBuf,
        /// Why.
        failure: String,
    },
    /// The run was another one when it was recorded.
    #[error(
        "the run of seed {seed} was another one when it was recorded (into {}): look for what is \
         not deterministic with --check-determinism", .path.display()
    )]
    OtherRun {
        /// Of this seed.
        seed: u64,
        /// Where it is.
        path: PathBuf,
    },
}

/// Runs a seed that failed again, records it into `directory` as `explore-SEED.pcapng`, and cuts
/// it down, with so many tries at most, to `explore-SEED.small.pcapng`; 0 tries leave that out.
///
/// # Errors
///
/// See [`WriteError`]. That a run cannot be cut is none.
pub fn write(
    search: &Search,
    failure: &Failure,
    directory: &Path,
    tries: u64,
    watching: Rc<dyn Watching>,
) -> Result<Written, WriteError> {
    std::fs::create_dir_all(directory).map_err(|error| WriteError::Directory {
        directory: directory.to_path_buf(),
        error,
    })?;
    let seed = failure.seed;
    let trace = directory.join(format!("explore-{seed}.pcapng"));
    let (verdict, report) = search.record(seed, &trace)?;
    if let Some(failure) = report.failure {
        return Err(WriteError::Partly {
            path: trace,
            failure,
        });
    }
    let Some(first) = failure.findings.first() else {
        return Ok(Written { trace, small: None });
    };
    if first.kind == Kind::Nondeterminism {
        // There is no one run that could be cut.
        return Ok(Written { trace, small: None });
    }
    if verdict.hash != failure.hash {
        return Err(WriteError::OtherRun { seed, path: trace });
    }
    let small = (tries > 0).then(|| {
        let settings = shrink::Settings {
            output: shrink::default_output(&trace),
            input: trace.clone(),
            keep: Keep::Like(first.clone()),
            tries,
            disk: None,
            node: None,
        };
        shrink::shrink(&settings, watching).map_err(|error| error.to_string())
    });
    Ok(Written { trace, small })
}
