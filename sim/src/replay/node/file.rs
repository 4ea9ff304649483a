// SPDX-License-Identifier: MPL-2.0
//! Replaying the nodes of a trace file, one by one.

use super::{Limits, NodeRun, NodeScript, NodeSettings, ScriptBuilder, ScriptError};
use crate::findings::{Finding, Kind};
use crate::world::trace::NodeId;
use std::path::Path;
use stmf_proxy::time::Time;
use stmf_proxy::trace::{Files, FilesError};

/// Why the nodes of a file cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum NodeFileError {
    /// It cannot be read.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// There is nothing of a node in it.
    #[error("the trace has no events of {}", match .0 {
        Some(node) => format!("node {node}"),
        None => "any node".to_string(),
    })]
    NoNode(Option<NodeId>),
    /// What is there cannot be played.
    #[error("node {node}: {error}")]
    Script {
        /// Which node.
        node: NodeId,
        /// Why.
        error: ScriptError,
    },
}

/// What was read of a file.
pub struct NodeScripts {
    /// The scripts, by node.
    pub scripts: Vec<NodeScript>,
    /// Why the file could not be read to its end, if it could not.
    pub broken: Option<String>,
}

/// Reads the scripts of the nodes in a trace, or of one of them.
///
/// # Errors
///
/// See [`NodeFileError`].
pub fn read_node_scripts(path: &Path, only: Option<NodeId>) -> Result<NodeScripts, NodeFileError> {
    let mut files = Files::open(path)?;
    let section = files.section().cloned().unwrap_or_default();
    let mut builders: Vec<(NodeId, ScriptBuilder)> = Vec::new();
    let broken = loop {
        let record = match files.next_entry() {
            Ok(Some(entry)) => entry.record,
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        };
        let Some(node) = record.node else { continue };
        if only.is_some_and(|only| only != node) {
            continue;
        }
        let place = builders.iter().position(|(other, _)| *other == node);
        let place = place.unwrap_or_else(|| {
            let settings = NodeSettings::of_section(&section, node);
            builders.push((node, ScriptBuilder::new(settings, Limits::default())));
            builders.len() - 1
        });
        let (_, builder) = &mut builders[place];
        builder
            .push(&record)
            .map_err(|error| NodeFileError::Script { node, error })?;
    };
    builders.sort_by_key(|(node, _)| *node);
    let scripts: Result<Vec<NodeScript>, NodeFileError> = builders
        .into_iter()
        .map(|(node, builder)| {
            let finished = builder.finish();
            finished.map_err(|error| NodeFileError::Script { node, error })
        })
        .collect();
    let scripts = scripts?;
    if scripts.is_empty() {
        return Err(NodeFileError::NoNode(only));
    }
    Ok(NodeScripts { scripts, broken })
}

/// Replays one node of a trace, for tests that were made of one.
///
/// # Errors
///
/// See [`NodeFileError`].
pub fn replay_node(path: &Path, node: NodeId) -> Result<NodeRun, NodeFileError> {
    let NodeScripts { scripts, .. } = read_node_scripts(path, Some(node))?;
    let script = scripts.first().ok_or(NodeFileError::NoNode(Some(node)))?;
    Ok(script.run(script.settings()))
}

impl NodeRun {
    /// What went wrong in the run, as findings: the node's panic, posts that never return.
    pub fn findings(&self, node: NodeId) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(panic) = &self.panic {
            let trap = match panic.trap {
                0 => String::new(),
                trap => format!(" (trap {trap})"),
            };
            findings.push(Finding {
                kind: Kind::NodePanic,
                time: panic.time,
                node: Some(node),
                text: format!("node {node} panicked: {}{trap}", panic.reason),
            });
        }
        if let Some(hang) = &self.hang {
            let waits: Vec<&str> = hang
                .operations
                .iter()
                .chain(&hang.blocked)
                .map(String::as_str)
                .collect();
            findings.push(Finding {
                kind: Kind::Hang,
                time: Time::ZERO,
                node: Some(node),
                text: format!(
                    "in the kernel of node {node} {} posts never return: {}",
                    hang.posts.len(),
                    waits.join("; ")
                ),
            });
        }
        findings
    }
}
