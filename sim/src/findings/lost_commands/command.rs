// SPDX-License-Identifier: MPL-2.0
//! What is kept of a command, and of the link that its messages take.

use super::super::describe::Summary;
use crate::world::trace::{InitiatorId, NodeId};
use std::collections::BTreeSet;
use std::time::Duration;
use stmf_proxy::message::MessageType;
use stmf_proxy::time::Time;

/// A relay may refuse messages for so long after a connection was made: it greets, and opens its
/// door.
const SETTLED: Duration = Duration::from_secs(5);

/// How far the last message of a command has come.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The kernel calls its door.
    Called(u64),
    /// The relay has answered.
    Answered(u32),
    /// The call failed.
    Failed(i32),
    /// The other kernel was given it.
    Posted,
    /// It has handled it.
    Handled,
}

/// The last message of a command.
pub(super) struct Trail {
    /// Who sent it.
    pub(super) from: NodeId,
    pub(super) message_type: MessageType,
    pub(super) message: Summary,
    pub(super) step: Step,
}

pub(super) struct Command {
    pub(super) node: NodeId,
    pub(super) initiator: InitiatorId,
    pub(super) tag: u64,
    pub(super) session: u64,
    pub(super) lun: [u8; 8],
    pub(super) cdb: Vec<u8>,
    pub(super) began: Time,
    /// When the initiator or the target gave it up.
    pub(super) given_up: Option<Time>,
    pub(super) task: Option<u64>,
    pub(super) trail: Option<Trail>,
    /// Why the peer refuses it, as far as is known.
    pub(super) refused: Option<String>,
    /// Something has happened that explains it.
    pub(super) excused: bool,
}

impl Command {
    /// Whether what was sent last may be on its way still.
    pub(super) fn is_on_its_way(&self) -> bool {
        let step = self.trail.as_ref().map(|trail| &trail.step);
        matches!(step, Some(Step::Called(_) | Step::Answered(0)))
    }

    /// Whether their messages cannot be told apart.
    pub(super) fn looks_like(&self, other: &Command) -> bool {
        (self.node, self.session, self.lun) == (other.node, other.session, other.lun)
            && self.cdb == other.cdb
    }

    pub(super) fn swap_messages(&mut self, other: &mut Command) {
        std::mem::swap(&mut self.task, &mut other.task);
        std::mem::swap(&mut self.trail, &mut other.trail);
        std::mem::swap(&mut self.refused, &mut other.refused);
        // What has happened to the messages of the one may be what excuses the other.
        let excused = self.excused || other.excused;
        (self.excused, other.excused) = (excused, excused);
    }

    /// The status was handed to its node: if it has not ended it, or only late, no message is
    /// missing.
    pub(super) fn has_its_status(&self) -> bool {
        self.trail.as_ref().is_some_and(|trail| {
            trail.message_type == MessageType::ScsiStatus
                && matches!(trail.step, Step::Posted | Step::Handled)
        })
    }

    pub(super) fn reason(&self) -> String {
        let Some(trail) = &self.trail else {
            return format!("node {} sent no message for it", self.node);
        };
        let (from, text) = (trail.from, &trail.message);
        let to = from ^ 1;
        match trail.step {
            Step::Handled | Step::Posted if trail.message_type == MessageType::Status => {
                let why = self.refused.as_deref().unwrap_or("a failure");
                format!("node {from} refused it with {why}, which arrives as 0")
            }
            Step::Called(_) => format!("the relay of node {from} has not answered {text}"),
            Step::Answered(0) => format!(
                "the relay of node {from} answered its {text} with 0, and node {to} was never \
                 given it"
            ),
            Step::Answered(result) => format!(
                "the relay of node {from} answered its {text} with {result} though the link \
                 stood; the kernel logs that, takes the message for sent and forgets it"
            ),
            Step::Failed(errno) => {
                format!("the call of node {from} with its {text} failed with errno {errno}")
            }
            Step::Posted => {
                format!("node {to} has not come back from the post of its {text}")
            }
            Step::Handled => format!("node {to} was given its {text}, and no more followed"),
        }
    }
}

/// What is known of the link between two nodes.
#[derive(Default)]
pub(super) struct Link {
    /// Ends of connections that are open.
    pub(super) open: BTreeSet<(NodeId, u32)>,
    /// Since when both nodes have had the same one.
    pub(super) since: Option<Time>,
}

impl Link {
    pub(super) fn changed(&mut self, now: Time) {
        let both = self
            .open
            .iter()
            .any(|(node, connection)| self.open.contains(&(node ^ 1, *connection)));
        self.since = both.then_some(now);
    }

    pub(super) fn has_settled(&self, now: Time) -> bool {
        self.since.is_some_and(|since| now - since >= SETTLED)
    }
}
