// SPDX-License-Identifier: MPL-2.0
//! The script of one node as something to cut.
//!
//! A candidate is driven: what is left of the inputs is given to a fresh kernel. If the failure
//! shows, what happened is recorded anew, and the candidate counts only if that recording replays
//! and shows the failure too. So whatever the search ends with can be written as an ordinary
//! trace.

use super::report::{Report, Size};
use super::search::{Over, Search, Shown, Subject, Watching};
use super::{Proof, Settings, ShrinkError, proof, smallest};
use crate::findings::Finding;
use crate::recording::KERNEL_NOTE;
use crate::replay::node::file::read_node_scripts;
use crate::replay::node::{
    Input, Limits, NodeRun, NodeScript, NodeSettings, RecordedBy, ScriptBuilder,
};
use std::collections::BTreeSet;
use std::mem::{Discriminant, discriminant};
use std::path::Path;
use std::rc::Rc;
use stmf_proxy::message::{Body, Message, MessageType};
use stmf_proxy::time::Time;
use stmf_proxy::trace::{Files, RecordBuf, Section, Sink, WriteError, Writer};
use xxhash_rust::xxh3::Xxh3;

/// Candidates that keep only so many of the last commands and posts.
const LAST: [usize; 3] = [1, 8, 64];

/// What a candidate may take: so many times the steps of the whole run, and some more.
const STEPS_FACTOR: u64 = 4;
const STEPS_MORE: u64 = 10_000;

/// What an input is, as far as groups of them go.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sort {
    input: Discriminant<Input>,
    posted: Option<MessageType>,
}

/// What is known of each input of the script that was read, by its number.
struct Facts {
    sorts: Vec<Option<Sort>>,
    answers: BTreeSet<usize>,
    /// Commands and posts: what there may be many of.
    many: BTreeSet<usize>,
}

/// A script of one node.
#[derive(Clone)]
struct CuttableNode {
    script: NodeScript,
    facts: Rc<Facts>,
}

impl CuttableNode {
    fn new(script: NodeScript) -> CuttableNode {
        let mut facts = Facts {
            sorts: Vec::new(),
            answers: BTreeSet::new(),
            many: BTreeSet::new(),
        };
        for (number, timed) in script.input_numbers().zip(script.inputs()) {
            if facts.sorts.len() <= number {
                facts.sorts.resize(number + 1, None);
            }
            let mut posted = None;
            match &timed.input {
                Input::Answer { .. } => {
                    facts.answers.insert(number);
                }
                Input::Post { post } => {
                    posted = message(&script, *post).map(|message| message.message_type());
                    facts.many.insert(number);
                }
                Input::Command { .. } | Input::Management { .. } => {
                    facts.many.insert(number);
                }
                _ => {}
            }
            let input = discriminant(&timed.input);
            facts.sorts[number] = Some(Sort { input, posted });
        }
        CuttableNode {
            script,
            facts: Rc::new(facts),
        }
    }
}

fn message(script: &NodeScript, record: usize) -> Option<Message> {
    let record = script.record(record)?;
    Message::decode(&record.message()?, script.settings().dialect).ok()
}

impl Subject for CuttableNode {
    fn inputs(&self) -> usize {
        self.script.input_count()
    }

    fn retain(&self, keep: &[bool]) -> CuttableNode {
        CuttableNode {
            script: self.script.retain(keep),
            facts: self.facts.clone(),
        }
    }

    fn truncate(&self, inputs: usize) -> CuttableNode {
        let keep: Vec<bool> = (0..self.inputs()).map(|place| place < inputs).collect();
        self.retain(&keep)
    }

    fn groups(&self) -> Vec<Vec<bool>> {
        let numbers: Vec<usize> = self.script.input_numbers().collect();
        let facts = &*self.facts;
        let with = |stays: &dyn Fn(usize) -> bool| -> Vec<bool> {
            numbers.iter().map(|number| stays(*number)).collect()
        };
        // A call that nobody answers otherwise is answered with 0.
        let mut groups = vec![with(&|number| !facts.answers.contains(&number))];
        let many: Vec<usize> = numbers
            .iter()
            .copied()
            .filter(|number| facts.many.contains(number))
            .collect();
        for last in LAST.into_iter().filter(|last| *last < many.len()) {
            let first = many[many.len() - last];
            groups.push(with(&|number| {
                number >= first || !facts.many.contains(&number)
            }));
        }
        let mut sorts = Vec::new();
        for number in &numbers {
            let sort = facts.sorts.get(*number).copied().flatten();
            if !sorts.contains(&sort) {
                sorts.push(sort);
            }
        }
        for sort in sorts {
            groups.push(with(&|number| {
                facts.sorts.get(number).copied().flatten() != sort
            }));
        }
        groups
    }

    fn fingerprint(&self) -> u128 {
        let mut hash = Xxh3::new();
        for number in self.script.input_numbers() {
            hash.update(&(number as u64).to_le_bytes());
        }
        hash.digest128()
    }

    fn simplify<E>(_: &mut Search<'_, CuttableNode, E>) -> Result<(), Over<E>> {
        Ok(())
    }

    fn otherwise(&self) -> Vec<CuttableNode> {
        // Nothing is drawn in the replay of a node.
        Vec::new()
    }
}

struct Shrinker<'a> {
    settings: &'a Settings,
    /// How candidates are driven.
    drive: NodeSettings,
    /// How what they leave is replayed.
    again: NodeSettings,
    section: Section,
    proof: Proof,
}

/// What a candidate that counts has left.
struct Counted {
    shown: Shown,
    records: Vec<RecordBuf>,
    finding: Option<Finding>,
}

/// Cuts the trace of one node down.
pub(super) fn shrink(
    settings: &Settings,
    watching: Rc<dyn Watching>,
) -> Result<Report, ShrinkError> {
    let read = read_node_scripts(&settings.input, settings.node)?;
    if read.scripts.len() > 1 {
        let nodes = read.scripts.iter().map(|script| script.settings().node);
        return Err(ShrinkError::SeveralNodes(nodes.collect()));
    }
    let mut scripts = read.scripts;
    let script = scripts.pop().ok_or(ShrinkError::Sound)?;
    let section = section(settings, &script)?;
    let node = script.settings().node;
    let mut drive = NodeSettings {
        compare: false,
        ..script.settings().clone()
    };
    let (whole, steps) = script.run_counting(&drive);
    drive.steps = steps
        .saturating_mul(STEPS_FACTOR)
        .saturating_add(STEPS_MORE)
        .min(drive.steps);
    // What a replay says that is held to the recording is nearer to what happened.
    let compared = script.run(script.settings());
    let findings = match compared.agrees() {
        true => compared.findings(node),
        false => whole.findings(node),
    };
    let proof = proof(settings, &findings)?;
    let again = NodeSettings::of_section(&section, node);
    let shrinker = Shrinker {
        settings,
        drive,
        again,
        section,
        proof,
    };
    let start = CuttableNode::new(script);
    // It has to be driven, recorded anew and replayed as a whole first.
    let counted = shrinker.test(&start)?.map_err(ShrinkError::NodeOnlyWhole)?;
    let before = shrinker.size(&start, start.script.records(), start.script.last_time());
    let mut tester = |candidate: &CuttableNode| {
        let counted = shrinker.test(candidate)?;
        Ok(counted.ok().map(|counted| counted.shown))
    };
    let smallest = smallest(start, counted.shown, &mut tester, settings, &*watching)?;
    let (after, finding) = shrinker.write(&smallest.best)?;
    Ok(smallest.report(settings, finding, (before, after), None))
}

/// What the smaller trace says of itself: as the larger one, and where it comes from.
fn section(settings: &Settings, script: &NodeScript) -> Result<Section, ShrinkError> {
    let files = Files::open(&settings.input)
        .map_err(|error| ShrinkError::Node(crate::replay::node::NodeFileError::Files(error)))?;
    let old = files.section().cloned().unwrap_or_default();
    let of = script.settings();
    let name = settings.input.file_name().unwrap_or_default();
    let from = name.to_string_lossy().into_owned();
    let mut section = Section {
        nodes: [(of.node, Some(of.dialect))].into(),
        origin: old.origin,
        ..Section::new(concat!("stmf-sim ", env!("CARGO_PKG_VERSION")))
    };
    let profile = old.notes.get("profile").cloned();
    section
        .notes
        .extend(profile.map(|profile| ("profile".to_string(), profile)));
    if let Some(kernel) = &of.kernel {
        let kernel = serde_json::to_string(kernel).unwrap_or_default();
        section.notes.insert(KERNEL_NOTE.to_string(), kernel);
    }
    match of.recorded_by {
        RecordedBy::Simulator => section.scenario = Some(format!("shrunk from {from}")),
        // A scenario would say that a simulator has recorded it.
        RecordedBy::Node => {
            section.notes.insert("shrunk-from".into(), from);
        }
    }
    Ok(section)
}

impl Shrinker<'_> {
    fn finding(&self, run: &NodeRun) -> Option<Finding> {
        let Proof::Finding(wanted) = &self.proof else {
            return None;
        };
        let mut findings = run.findings(self.drive.node).into_iter();
        findings.find(|finding| wanted.is_shown_by(finding))
    }

    fn other_than_wanted(&self, run: &NodeRun) -> String {
        let findings = run.findings(self.drive.node);
        let found: Vec<String> = findings.iter().map(|found| found.to_string()).collect();
        match found.is_empty() {
            true => "a replay of it shows no failure".into(),
            false => format!("a replay of it shows another failure: {}", found.join("; ")),
        }
    }

    /// Whether it is worth while to look closer. Threads may run in another order when nothing is
    /// compared, so words do not count here.
    fn may_show(&self, run: &NodeRun) -> bool {
        match &self.proof {
            Proof::Finding(wanted) => {
                let findings = run.findings(self.drive.node);
                findings.iter().any(|found| found.kind == wanted.kind())
            }
            Proof::Exec(_) => true,
        }
    }

    /// Drives a candidate; what it leaves, if it counts, or why it does not.
    fn test(&self, candidate: &CuttableNode) -> Result<Result<Counted, String>, ShrinkError> {
        let (run, records) = candidate.script.run_recorded(&self.drive);
        let by_finding = matches!(self.proof, Proof::Finding(_));
        if run.exhausted || !self.may_show(&run) {
            return Ok(Err(
                "the failure does not show when the node is driven".into()
            ));
        }
        let mut builder = ScriptBuilder::new(self.again.clone(), Limits::default());
        for record in &records {
            if let Err(error) = builder.push(&record.get()) {
                return Ok(Err(error.to_string()));
            }
        }
        let again = match builder.finish() {
            Ok(script) => script.run(&self.again),
            Err(error) => return Ok(Err(error.to_string())),
        };
        if !again.agrees() {
            return Ok(Err(match &again.divergence {
                Some(divergence) => divergence.to_string(),
                None => "the kernel does not come to rest".into(),
            }));
        }
        let finding = self.finding(&again);
        match &self.proof {
            Proof::Finding(_) if finding.is_none() => {
                return Ok(Err(self.other_than_wanted(&again)));
            }
            Proof::Finding(_) => {}
            Proof::Exec(exec) => {
                let folder = tempfile::tempdir().map_err(|error| ShrinkError::Output {
                    directory: std::env::temp_dir(),
                    error,
                })?;
                let path = folder.path().join("candidate.pcapng");
                self.record(&records, &path)?;
                if !exec.fails(&path)? {
                    return Ok(Err("the command does not fail for it".into()));
                }
            }
        }
        // What comes after the panic is of no use.
        let done = match (&run.panic, &run.hang) {
            (Some(panic), None) if by_finding => candidate.script.inputs_until(panic.sequence),
            _ => candidate.inputs(),
        };
        Ok(Ok(Counted {
            shown: Shown { done },
            records,
            finding,
        }))
    }

    fn record(&self, records: &[RecordBuf], path: &Path) -> Result<(), ShrinkError> {
        let failed = |error: WriteError| ShrinkError::Output {
            directory: path.to_path_buf(),
            error: std::io::Error::other(error),
        };
        let mut writer = Writer::create(path, self.section.clone()).map_err(failed)?;
        for record in records {
            writer.record(&record.get());
        }
        writer.finish().map(drop).map_err(failed)
    }

    /// Writes the trace of the smallest script, once it is sure that it replays.
    fn write(&self, best: &CuttableNode) -> Result<(Size, Option<Finding>), ShrinkError> {
        let counted = self.test(best)?.map_err(ShrinkError::NodeOnlyWhole)?;
        let folder = super::folder_beside(&self.settings.output)?;
        let path = folder.path().join("small.pcapng");
        self.record(&counted.records, &path)?;
        let read = read_node_scripts(&path, Some(self.drive.node))?;
        let script = read.scripts.first().ok_or(ShrinkError::NodeNotConfirmed)?;
        let run = script.run(script.settings());
        let finding = self.finding(&run);
        let shown = finding == counted.finding;
        if !run.agrees() || !shown || read.broken.is_some() {
            return Err(ShrinkError::NodeNotConfirmed);
        }
        let small = CuttableNode::new(script.clone());
        let size = self.size(&small, script.records(), script.last_time());
        let renamed = std::fs::rename(&path, &self.settings.output);
        renamed.map_err(|error| ShrinkError::Output {
            directory: self.settings.output.clone(),
            error,
        })?;
        Ok((size, finding))
    }

    fn size(&self, of: &CuttableNode, events: usize, last: Time) -> Size {
        let (mut commands, mut bytes) = (0, 0);
        for timed in of.script.inputs() {
            let asked = match timed.input {
                Input::Command { expected, .. } => Some(expected),
                Input::Management { .. } => Some(0),
                Input::Post { post } => match message(&of.script, post).map(|post| post.body) {
                    Some(Body::ScsiCommand(command)) => Some(command.task_expected_xfer_length),
                    _ => None,
                },
                _ => None,
            };
            commands += u64::from(asked.is_some());
            bytes += u64::from(asked.unwrap_or(0));
        }
        let first = of.script.record(0).map_or(Time::ZERO, |record| record.time);
        Size {
            inputs: of.inputs() as u64,
            commands,
            bytes,
            events: events as u64,
            time: Time::from_nanos(last.as_nanos().saturating_sub(first.as_nanos())),
        }
    }
}
