// SPDX-License-Identifier: MPL-2.0
//! A trace as a ladder diagram, from its file.
//!
//! The trace is read once, and once more before that if the choice is about exchanges: whether
//! something will go wrong in one is not known when it begins. Memory is bounded by what is
//! drawn and by the tables of a [`Story`].

use super::story::{Cast, Choice, Story};
use crate::report::ladder::Ladder;
use crate::report::thousands;
use std::collections::BTreeSet;
use std::path::Path;
use stmf_proxy::message::Dialect;
use stmf_proxy::trace::{Files, FilesError, NodeId, Section, Sink};

/// How a trace is drawn.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The nodes of the diagram: none for those that the trace has (the first two), one for what
    /// that node saw, two for both and what goes between them. More are not looked at.
    pub nodes: Vec<NodeId>,
    /// What of the trace.
    pub choice: Choice,
    /// The most arrows and notes.
    pub lines: usize,
}

/// A diagram, and what is to be said about the files it was drawn from.
#[derive(Debug)]
pub struct Drawn {
    /// The diagram.
    pub ladder: Ladder,
    /// How many events were read.
    pub events: u64,
    /// What could not be read.
    pub troubles: Vec<String>,
}

/// Draws the trace in a file, or in the directory of a ring.
///
/// # Errors
///
/// If nothing of it can be read. A trace that breaks off is drawn as far as it goes.
pub fn draw(path: &Path, settings: &Settings) -> Result<Drawn, FilesError> {
    let mut files = Files::open(path)?;
    let section = files.section().cloned().unwrap_or_default();
    let cast = cast(path, &section, &settings.nodes)?;
    let choice = &settings.choice;
    let mut story = Story::new(cast, settings.lines, choice.clone());
    if choice.needs_survey() {
        let mut surveyor = Story::surveyor(cast, choice.clone());
        // What cannot be read is told by the second reading.
        let _ = read(&mut Files::open(path)?, &mut surveyor);
        story = story.with_survey(surveyor.into_survey());
    }
    let mut troubles = Vec::new();
    let broke_off = read(&mut files, &mut story).err();
    let others = story.others();
    let mut ladder = story.finish();
    if others > 0 {
        ladder.remarks.push(format!(
            "{} events of other nodes are not drawn: choose one node or two with --node",
            thousands(others)
        ));
    }
    let name = path.file_name().unwrap_or(path.as_os_str());
    let scenario = section.scenario.as_deref();
    ladder.title = match scenario {
        Some(scenario) => format!("{scenario}: {}", name.to_string_lossy()),
        None => name.to_string_lossy().into_owned(),
    };
    ladder.subtitle = subtitle(&section);
    let events = files.records();
    let broken = files.broken().iter().map(ToString::to_string);
    for trouble in broken.chain(broke_off.map(|error| error.to_string())) {
        ladder
            .remarks
            .push(format!("not all could be read: {trouble}"));
        troubles.push(trouble);
    }
    ladder.clean_heading();
    Ok(Drawn {
        ladder,
        events,
        troubles,
    })
}

fn read(files: &mut Files, story: &mut Story) -> Result<(), FilesError> {
    while let Some(entry) = files.next_entry()? {
        story.record(&entry.record);
    }
    Ok(())
}

/// The nodes that are drawn: those asked for, those that the file says it has, or those of the
/// first events.
fn cast(path: &Path, section: &Section, nodes: &[NodeId]) -> Result<Cast, FilesError> {
    let mut found: BTreeSet<NodeId> = nodes.iter().copied().take(2).collect();
    if found.is_empty() {
        found.extend(section.nodes.keys().take(2));
    }
    if found.is_empty() {
        let mut files = Files::open(path)?;
        // A trace that breaks off has the nodes that it had before.
        while let Ok(Some(entry)) = files.next_entry()
            && found.len() < 2
        {
            found.extend(entry.record.node);
        }
    }
    let mut found = found.into_iter();
    Ok(Cast {
        left: found.next().unwrap_or(0),
        right: found.next(),
    })
}

fn subtitle(section: &Section) -> Vec<String> {
    let mut of = Vec::new();
    if !section.recorder.is_empty() {
        of.push(format!("recorded by {}", section.recorder));
    }
    if let Some(scenario) = &section.scenario {
        of.push(format!("scenario {scenario}"));
    }
    if let Some(seed) = section.seed {
        of.push(format!("seed {seed}"));
    }
    for (node, dialect) in &section.nodes {
        of.push(match dialect {
            Some(Dialect::Current) => format!("node {node}: current dialect"),
            Some(Dialect::Y2009) => format!("node {node}: dialect of 2009"),
            None => format!("node {node}"),
        });
    }
    if section.snap.keep.is_some() {
        of.push("data was cut".to_owned());
    }
    match of.is_empty() {
        true => Vec::new(),
        false => vec![of.join(", ")],
    }
}
