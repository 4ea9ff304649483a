// SPDX-License-Identifier: MPL-2.0
//! What came of a replay.

use super::divergence::Divergence;
use crate::report::{bytes, thousands};
use std::fmt;
use stmf_proxy::time::Time;

/// How much was compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Compared {
    /// Upcalls.
    pub upcalls: u64,
    /// Ends of posts.
    pub posts: u64,
    /// Ends of commands and task management functions.
    pub commands: u64,
    /// Ends of operations.
    pub operations: u64,
    /// Bytes of data that were compared.
    pub data: u64,
    /// Bytes that were put onto the disks from the recording before they were read: they agree
    /// because of that.
    pub learned: u64,
    /// Bytes of data that were not, because they are not in the recording.
    pub data_not_compared: u64,
    /// Outcomes that were not, because what a command was given is not in the recording.
    pub outcomes_not_compared: u64,
    /// Answers about a LU that differ in data only.
    pub differ_in_data_only: u64,
}

/// The simulated kernel has panicked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodePanic {
    /// The trap that was sprung, 0 for none of the known ones.
    pub trap: u8,
    /// What happened.
    pub reason: String,
    /// When, in virtual time.
    pub time: Time,
    /// Sequence number of the recorded event that was being played.
    pub sequence: u64,
    /// Whether the recording tells of it too.
    pub recorded: bool,
}

/// Something in the simulated kernel waits without end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HangReport {
    /// Posts that have not returned: sequence numbers of the recorded events.
    pub posts: Vec<u64>,
    /// Operations that have not returned.
    pub operations: Vec<String>,
    /// Who waits for what.
    pub blocked: Vec<String>,
}

/// What came of a replay.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeRun {
    /// The first thing that differs from the recording; none also if nothing was compared.
    pub divergence: Option<Divergence>,
    /// The last panic of the simulated kernel.
    pub panic: Option<NodePanic>,
    /// What still waits at the end.
    pub hang: Option<HangReport>,
    /// The run was given up: it took more steps than it may.
    pub exhausted: bool,
    /// What was compared.
    pub compared: Compared,
    /// What was assumed, and whatever else one should know.
    pub notes: Vec<String>,
    /// A hash of everything that the kernel did, in order, with its times: two runs with the same
    /// hash are the same.
    pub hash: u64,
}

impl NodeRun {
    /// Whether the kernel did what was recorded.
    pub fn agrees(&self) -> bool {
        self.divergence.is_none() && !self.exhausted
    }
}

impl fmt::Display for NodeRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compared = &self.compared;
        match &self.divergence {
            Some(divergence) => write!(f, "{divergence}")?,
            None if self.exhausted => writeln!(f, "given up: the kernel does not come to rest")?,
            None => writeln!(f, "no divergence")?,
        }
        writeln!(
            f,
            "\ncompared: {} upcalls, {} posts, {} commands, {} operations, {} of data",
            thousands(compared.upcalls),
            thousands(compared.posts),
            thousands(compared.commands),
            thousands(compared.operations),
            bytes(compared.data)
        )?;
        let remarks = [
            (
                compared.learned,
                "of data taken from the recording before it was read",
            ),
            (
                compared.data_not_compared,
                "of data not compared: not in the recording",
            ),
        ];
        for (count, what) in remarks {
            if count > 0 {
                writeln!(f, "  {} {what}", bytes(count))?;
            }
        }
        let remarks = [
            (
                compared.outcomes_not_compared,
                "outcomes not compared: what the command was given is not in the recording",
            ),
            (
                compared.differ_in_data_only,
                "answers about a LU differ in data only",
            ),
        ];
        for (count, what) in remarks {
            if count > 0 {
                writeln!(f, "  {} {what}", thousands(count))?;
            }
        }
        if let Some(panic) = &self.panic {
            let recorded = if panic.recorded { ", as recorded" } else { "" };
            writeln!(
                f,
                "the node panics at {} s (event {}){recorded}: {}",
                panic.time, panic.sequence, panic.reason
            )?;
        }
        if let Some(hang) = &self.hang {
            writeln!(f, "still waiting at the end:")?;
            for post in &hang.posts {
                writeln!(f, "  the post of event {post}")?;
            }
            for line in hang.operations.iter().chain(&hang.blocked) {
                writeln!(f, "  {line}")?;
            }
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}
