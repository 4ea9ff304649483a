// SPDX-License-Identifier: MPL-2.0
//! Which nodes stand still, and until when: what lasts meanwhile does not hang and is not lost.

use crate::world::faults::{busy_of, pause_of};
use crate::world::trace::NodeId;
use std::collections::BTreeMap;
use std::time::Duration;
use stmf_proxy::time::Time;

/// Until when nodes stand still, by the faults that a watcher has passed on.
#[derive(Default)]
pub(super) struct Standstill(BTreeMap<NodeId, Time>);

impl Standstill {
    /// A fault of a node: whether it stands still by it.
    pub(super) fn paused(&mut self, node: NodeId, now: Time, text: &str) -> bool {
        self.extend(node, now, pause_of(text))
    }

    /// The same, where a call that waits for a thread of the door counts too: it may hold the stmf
    /// lock, and so hold up everything.
    pub(super) fn held_up(&mut self, node: NodeId, now: Time, text: &str) -> bool {
        self.extend(node, now, pause_of(text).or_else(|| busy_of(text)))
    }

    fn extend(&mut self, node: NodeId, now: Time, lasts: Option<Duration>) -> bool {
        let Some(lasts) = lasts else { return false };
        let until = self.0.entry(node).or_default();
        *until = (*until).max(now + lasts);
        true
    }

    /// When the node went on, or will; 0 if it never stood still.
    pub(super) fn until(&self, node: NodeId) -> Time {
        self.0.get(&node).copied().unwrap_or_default()
    }

    /// The same of both nodes: what goes from one to the other waits for the later one.
    pub(super) fn until_of_both(&self, node: NodeId) -> Time {
        self.until(node).max(self.until(node ^ 1))
    }

    /// The node has gone down: the next kernel stands still no more.
    pub(super) fn over(&mut self, node: NodeId) {
        self.0.remove(&node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_of_what_holds_up_a_node_counts() {
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let busy = "door-no-thread: call 3, 9000 ms";
        let mut still = Standstill::default();
        assert!(still.paused(1, at(2), "pause: for 5000 ms"));
        assert!(still.paused(1, at(3), "pause: for 1000 ms"));
        assert!(!still.paused(1, at(4), busy));
        assert_eq!((still.until(1), still.until(0)), (at(7), at(0)));
        assert!(still.held_up(0, at(1), busy));
        assert!(!still.held_up(0, at(1), "post-failed: post 3"));
        assert_eq!(
            (still.until_of_both(0), still.until_of_both(1)),
            (at(10), at(10))
        );
        still.over(0);
        assert_eq!(still.until_of_both(0), at(7));
    }
}
