// SPDX-License-Identifier: MPL-2.0
//! How a node is replayed.

use crate::kernel::{KernelConfig, Profile};
use crate::recording::{KERNEL_NOTE, PLAN_NOTE};
use crate::world::operation::Plan;
use std::collections::BTreeMap;
use std::time::Duration;
use stmf_proxy::message::Dialect;
use stmf_proxy::trace::{NodeId, Section};

/// Who made a recording, which says how much can be asked of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RecordedBy {
    /// The simulator: everything has to agree.
    #[default]
    Simulator,
    /// A real node: what LUs say of themselves may differ, and things take time.
    Node,
}

/// How a node is replayed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeSettings {
    /// Which node's records are played.
    pub node: NodeId,
    /// The dialect of its kernel.
    pub dialect: Dialect,
    /// Which mistakes its kernel makes.
    pub profile: Profile,
    /// What else its kernel was configured with, defects among it, if the trace tells (the
    /// simulator's do). Name, dialect and profile are those of these settings.
    pub kernel: Option<Box<KernelConfig>>,
    /// Who recorded.
    pub recorded_by: RecordedBy,
    /// Events of the recording that a divergence shows before and after its place. Default 5.
    pub around: usize,
    /// How much later than recorded something may come before it counts as never coming; also
    /// for how long before the end of a real recording the kernel may be ahead of it. Default 1 s.
    pub late: Duration,
    /// For how long a post must be out, at the end of a recording, to count as one that hangs.
    /// Default 60 s.
    pub hang: Duration,
    /// How often threads of the kernel are given the processor before the run is given up.
    /// Default 100,000,000.
    pub steps: u64,
    /// Whether the kernel is held to the recording. Otherwise it is only driven: door calls of
    /// which the recording knows nothing are answered with 0, and only a panic or a hang is told.
    /// A script of which something was cut is never compared. Default true.
    pub compare: bool,
}

impl Default for NodeSettings {
    fn default() -> NodeSettings {
        NodeSettings {
            node: 0,
            dialect: Dialect::Current,
            profile: Profile::Illumos,
            kernel: None,
            recorded_by: RecordedBy::Simulator,
            around: 5,
            late: Duration::from_secs(1),
            hang: Duration::from_secs(60),
            steps: 100_000_000,
            compare: true,
        }
    }
}

impl NodeSettings {
    /// What the description of a recording says of a node: its dialect (current, where that is
    /// not known), the note "profile" (`illumos` or `hardened`), what the simulator's notes say of
    /// its kernel, and that a simulator made it if
    /// it names a seed or a scenario.
    pub fn of_section(section: &Section, node: NodeId) -> NodeSettings {
        let notes: &BTreeMap<String, String> = &section.notes;
        let hardened = notes
            .get("profile")
            .is_some_and(|profile| profile.eq_ignore_ascii_case("hardened"));
        let kernel = kernel_of(section, node);
        let simulated = section.seed.is_some() || section.scenario.is_some();
        NodeSettings {
            node,
            dialect: section
                .nodes
                .get(&node)
                .copied()
                .flatten()
                .unwrap_or_default(),
            profile: match &kernel {
                Some(kernel) => kernel.profile,
                None if hardened => Profile::Hardened,
                None => Profile::Illumos,
            },
            kernel,
            recorded_by: if simulated {
                RecordedBy::Simulator
            } else {
                RecordedBy::Node
            },
            ..NodeSettings::default()
        }
    }
}

/// The configuration of a node's kernel, from the note of a trace of one node or of a whole run.
/// One that cannot be understood is as good as none: the replay shows what comes of it.
fn kernel_of(section: &Section, node: NodeId) -> Option<Box<KernelConfig>> {
    if let Some(note) = section.notes.get(KERNEL_NOTE) {
        return serde_json::from_str(note).ok();
    }
    let plan: Plan = serde_json::from_str(section.notes.get(PLAN_NOTE)?).ok()?;
    Some(Box::new(plan.kernel_of(node).clone()))
}
