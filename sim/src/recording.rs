// SPDX-License-Identifier: MPL-2.0
//! Recording the run of a world into trace files, from its very beginning.
//!
//! A recording has the events of the world, what was done to it and, where the choices do not
//! follow from a seed, what was drawn: enough to make the run again ([`crate::replay`]). It
//! numbers its records by itself, so a run has the same hash whether it is recorded or not.

use crate::kernel::Profile;
use crate::report;
use crate::world::Builder;
use crate::world::choices::{Choice, ChoiceLog};
use crate::world::operation::{Placed, Plan, Recorder};
use crate::world::trace::{Event, NodeId, Record, Sink};
use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::rc::Rc;
use stmf_proxy::time::Time;
use stmf_proxy::trace::{Ring, RingSettings, Section, Snap, WriteError, Writer, Written};

/// The note of a section in which the [`Plan`] of a world stands, as JSON.
pub const PLAN_NOTE: &str = "world";

/// The note in which the trace of one simulated node has the configuration of its kernel, as JSON.
pub const KERNEL_NOTE: &str = "simulated-kernel";

/// Choices are written in pieces of about this many bytes.
const PIECE: usize = 16 << 10;

/// Where and how a run is recorded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A file, or the directory of a ring.
    pub path: PathBuf,
    /// Bounds of a ring; none for one file that grows as long as the run goes on.
    pub ring: Option<RingSettings>,
    /// How much of the data is recorded.
    pub snap: Snap,
    /// The scenario, by a name that tells a person what was run.
    pub scenario: Option<String>,
    /// Of which node alone events are recorded; none for all. What was done to the world is then
    /// not recorded either: the trace is what a recorder on that node would have written.
    pub only_node: Option<NodeId>,
}

impl Settings {
    /// Everything, into one file.
    pub fn file(path: impl Into<PathBuf>) -> Settings {
        Settings {
            path: path.into(),
            ring: None,
            snap: Snap::ALL,
            scenario: None,
            only_node: None,
        }
    }
}

/// Why nothing can be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file or the ring cannot be made.
    #[error("cannot record into {}: {error}", .path.display())]
    Create {
        /// Where.
        path: PathBuf,
        /// Why.
        error: WriteError,
    },
}

enum Target {
    File(Box<Writer<File>>),
    Ring(Box<Ring>),
}

/// Writes the run of a world into files.
pub struct TraceRecorder {
    path: PathBuf,
    target: Target,
    only_node: Option<NodeId>,
    sequence: u64,
    operations: u64,
    choices: ChoiceLog,
    now: Time,
}

/// What came of a recording. Prints as a sentence.
#[derive(Clone, Debug)]
pub struct RecordingReport {
    /// Where it was recorded.
    pub path: PathBuf,
    /// What was written.
    pub written: Written,
    /// Why not everything was.
    pub failure: Option<String>,
}

impl fmt::Display for RecordingReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Written { records, bytes, .. } = self.written;
        let (records, size) = (report::thousands(records), report::bytes(bytes));
        let path = self.path.display();
        write!(f, "recorded {records} events ({size}) into {path}")?;
        match &self.failure {
            None => Ok(()),
            Some(failure) => write!(f, "; {failure}"),
        }
    }
}

/// What a section says of a world that is made of this.
pub fn section(plan: &Plan, scenario: Option<&str>) -> Section {
    let nodes = (0..plan.nodes).map(|node| (node, Some(plan.kernel_of(node).dialect)));
    let mut section = Section {
        nodes: nodes.collect(),
        seed: plan.seed,
        scenario: scenario.map(String::from),
        ..Section::new(concat!("stmf-sim ", env!("CARGO_PKG_VERSION")))
    };
    // A plan is numbers, names and maps with text keys: it always has a JSON form.
    let text = serde_json::to_string(plan).unwrap_or_default();
    section.notes.insert(PLAN_NOTE.to_string(), text);
    section
}

/// Begins to record the world that `builder` is going to make.
///
/// # Errors
///
/// If the file cannot be made.
pub fn record(
    builder: Builder,
    settings: &Settings,
) -> Result<(Builder, Rc<RefCell<TraceRecorder>>), RecordingError> {
    let recorder = TraceRecorder::create(&builder.plan(), settings)?;
    let recorder = Rc::new(RefCell::new(recorder));
    Ok((builder.recorder(recorder.clone()), recorder))
}

impl TraceRecorder {
    /// Makes the file or the ring for a world that is made of this.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn create(plan: &Plan, settings: &Settings) -> Result<TraceRecorder, RecordingError> {
        let mut section = section(plan, settings.scenario.as_deref());
        section.snap = settings.snap;
        if let Some(only) = settings.only_node {
            section.nodes.retain(|node, _| *node == only);
            section.notes.remove(PLAN_NOTE);
            let profile = match plan.kernel_of(only).profile {
                Profile::Illumos => "illumos",
                Profile::Hardened => "hardened",
            };
            section.notes.insert("profile".into(), profile.into());
            let kernel = serde_json::to_string(plan.kernel_of(only)).unwrap_or_default();
            section.notes.insert(KERNEL_NOTE.into(), kernel);
        }
        let failed = |error| RecordingError::Create {
            path: settings.path.clone(),
            error,
        };
        let target = match settings.ring {
            None => {
                let writer = Writer::create(&settings.path, section);
                Target::File(Box::new(writer.map_err(failed)?))
            }
            Some(ring) => {
                let ring = Ring::create(&settings.path, section, ring);
                Target::Ring(Box::new(ring.map_err(failed)?))
            }
        };
        Ok(TraceRecorder {
            path: settings.path.clone(),
            target,
            only_node: settings.only_node,
            sequence: 0,
            operations: 0,
            choices: ChoiceLog::default(),
            now: Time::ZERO,
        })
    }

    fn sink(&mut self) -> &mut dyn Sink {
        match &mut self.target {
            Target::File(writer) => &mut **writer,
            Target::Ring(ring) => &mut **ring,
        }
    }

    fn write(&mut self, record: Record<'_>) {
        self.sequence += 1;
        let sequence = self.sequence;
        self.sink().record(&Record { sequence, ..record });
    }

    fn write_choices(&mut self) {
        if self.choices.is_empty() {
            return;
        }
        let piece = std::mem::take(&mut self.choices).to_bytes();
        self.write(Record::new(0, self.now, None, Event::Choices(&piece)));
    }

    /// Writes what is still to be written.
    pub fn flush(&mut self) {
        self.write_choices();
        self.sink().flush();
    }

    /// Writes what is still to be written, and tells how it went.
    pub fn report(&mut self) -> RecordingReport {
        self.flush();
        let (written, failure) = match &self.target {
            Target::File(writer) => (writer.written(), writer.failure()),
            Target::Ring(ring) => (ring.written(), ring.failure()),
        };
        RecordingReport {
            path: self.path.clone(),
            written,
            failure: failure.map(|failure| failure.to_string()),
        }
    }
}

impl Drop for TraceRecorder {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Sink for TraceRecorder {
    fn record(&mut self, record: &Record<'_>) {
        self.now = record.time;
        if self.only_node.is_some() && record.node != self.only_node {
            return;
        }
        if record.event.trouble().is_some() {
            // What went wrong is handed to the file at once, and what led to it with it.
            self.write_choices();
        }
        self.write(*record);
    }

    fn flush(&mut self) {
        TraceRecorder::flush(self);
    }
}

impl Recorder for TraceRecorder {
    fn begin(&mut self, _: &Plan) {}

    fn operation(&mut self, placed: Placed<'_>) {
        if self.only_node.is_some() {
            return;
        }
        self.now = placed.time;
        self.operations += 1;
        let text = serde_json::to_string(placed.operation).unwrap_or_default();
        let operation = self.operations;
        let event = Event::Operation {
            operation,
            steps: placed.steps,
            ended: placed.ended,
            text: &text,
            data: placed.data,
        };
        self.write(Record::new(0, placed.time, None, event));
    }

    fn choice(&mut self, time: Time, choice: Choice) {
        if self.only_node.is_some() {
            return;
        }
        self.now = self.now.max(time);
        self.choices.push(choice);
        if self.choices.packed_length() >= PIECE {
            self.write_choices();
        }
    }
}
