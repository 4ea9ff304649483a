// SPDX-License-Identifier: MPL-2.0
//! The options with which every command that runs a world records it.

use clap::Args;
use std::path::PathBuf;
use stmf_proxy::trace::{RingSettings, Snap};
use stmf_sim::recording::{RecordingReport, Settings};

/// Options of a recording.
#[derive(Args, Clone)]
#[command(next_help_heading = "Recording")]
pub struct RecordArguments {
    /// Record the run into this file (pcapng); with --files or --max-bytes, into a ring of files
    /// in this directory.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// The most files of a ring; the oldest is deleted before there would be one more
    /// [default: 16].
    #[arg(long, value_name = "K", requires = "record")]
    files: Option<u32>,
    /// The most bytes of a file of a ring [default: 67108864].
    #[arg(long, value_name = "N", requires = "record")]
    max_bytes: Option<u64>,
    /// Keep this many bytes of the data of each event and leave the rest out. Headers of
    /// messages, CDBs and sense data are always whole. Such a recording cannot be replayed as a
    /// whole if the hosts wrote more than that.
    #[arg(long, value_name = "BYTES", requires = "record")]
    snap: Option<u32>,
    /// Put a digest in place of the data that is left out.
    #[arg(long, requires = "snap")]
    digest: bool,
    /// Record the events of this node alone, as a recorder on it would.
    #[arg(long, value_name = "N", requires = "record")]
    only_node: Option<u8>,
}

impl RecordArguments {
    /// What they ask for; none if nothing is to be recorded.
    pub fn settings(&self, scenario: &str) -> Result<Option<Settings>, String> {
        let Some(path) = &self.record else {
            return Ok(None);
        };
        let mut ring = RingSettings::default();
        if let Some(bytes) = self.max_bytes {
            ring = ring.with_max_bytes(bytes).map_err(|e| e.to_string())?;
        }
        if let Some(files) = self.files {
            ring = ring.with_files(files).map_err(|e| e.to_string())?;
        }
        let is_ring = self.files.is_some() || self.max_bytes.is_some();
        Ok(Some(Settings {
            ring: is_ring.then_some(ring),
            snap: Snap {
                keep: self.snap,
                digest: self.digest,
            },
            scenario: Some(scenario.to_string()),
            only_node: self.only_node,
            ..Settings::file(path)
        }))
    }
}

/// Says on standard error what was recorded. False if not all of it was.
pub fn say(command: &str, report: &RecordingReport) -> bool {
    eprintln!("stmf-sim {command}: {report}");
    report.failure.is_none()
}
