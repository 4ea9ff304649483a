// SPDX-License-Identifier: MPL-2.0
//! Posts that never come back: a thread of the kernel waits for ever, and with it whatever needs
//! the locks that it holds.

use super::describe::{Summary, describe, seconds};
use super::proxied::Proxied;
use super::standstill::Standstill;
use super::{Finding, Found, Kind, Seen, Watcher};
use crate::world::trace::{Event, NodeId};
use std::collections::BTreeMap;
use std::time::Duration;
use stmf_proxy::time::Time;

/// A post that has not come back after so long does not come back. (The kernel itself gives
/// nothing that a post waits for more than a few seconds.)
const PATIENCE: Duration = Duration::from_secs(30);

/// Posts of one run that are told: those after the first wait for it.
const MOST_TOLD: usize = 3;

/// Posts in progress that are remembered; a relay has a few dozen.
const MOST: usize = 4_096;

#[derive(Default)]
pub(super) struct HangingPosts {
    posts: BTreeMap<(NodeId, u64), (Time, Summary)>,
    nodes: BTreeMap<NodeId, Proxied>,
    still: Standstill,
}

impl Watcher for HangingPosts {
    fn event(&mut self, record: &Seen<'_>, _: Found<'_>) {
        let Some(node) = record.node else { return };
        match record.event {
            Event::Post { post, .. } => {
                if record.message().is_none() {
                    return;
                }
                let proxied = self.nodes.entry(node).or_default();
                proxied.given(record);
                if self.posts.len() < MOST {
                    let what = (record.time, describe(record));
                    self.posts.insert((node, post), what);
                }
            }
            Event::PostDone { post, .. } => {
                self.posts.remove(&(node, post));
            }
            Event::Fault(text) => {
                self.still.held_up(node, record.time, text);
            }
            Event::RelayLog(line) => self.nodes.entry(node).or_default().relay_log(line),
            Event::RelayEnded => self.nodes.entry(node).or_default().forget(),
            Event::PowerOff | Event::Panic { .. } | Event::Boot { .. } => {
                self.nodes.entry(node).or_default().forget();
                self.posts.retain(|(other, _), _| *other != node);
                self.still.over(node);
            }
            _ => {}
        }
    }

    fn end(&mut self, now: Time, found: Found<'_>) {
        let hanging = self.posts.iter().filter(|((node, _), (since, _))| {
            let since = (*since).max(self.still.until(*node));
            now - since >= PATIENCE
        });
        for (&(node, _), (since, what)) in hanging.take(MOST_TOLD) {
            let leak = self.nodes.get(&node).and_then(Proxied::leak);
            let why = leak.map_or(String::new(), |why| format!(": {why}"));
            found.push(Finding {
                kind: Kind::Hang,
                time: now,
                node: Some(node),
                text: format!(
                    "the kernel of node {node} has not come back from the post of {what} since {}{why}",
                    seconds(*since)
                ),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_post_that_does_not_come_back_is_found_with_its_cause() {
        let mut bench = Bench::new(HangingPosts::default());
        bench.post(1, &register_port(1, "wwn.21"));
        bench.post(1, &command(2, 1, "wwn.21", 8));
        bench.post(1, &command(3, 1, "wwn.21", 9));
        bench.wait(2_000);
        bench.post_begins(1, &command(4, 2, "wwn.21", 8));
        bench.wait(30_000);
        assert_eq!(
            bench.finish(),
            [
                "hang: the kernel of node 1 has not come back from the post of scsi_cmd (task 4, \
              session 2) since 2.000 s: it waits for session 1 there to be let go, and one hold on \
              it was never given back: a command of initiator port wwn.initiator9 came with that \
              session id at 0.000 s, when it was the one of wwn.initiator8 (trap 1)"
            ]
        );
    }

    #[test]
    fn posts_that_come_back_or_end_with_their_node_are_fine() {
        let mut bench = Bench::new(HangingPosts::default());
        bench.post(1, &register_port(1, "wwn.21"));
        bench.post_begins(1, &deregister_port(2, "wwn.21"));
        bench.event(1, Event::PowerOff);
        bench.wait(29_999);
        bench.post_begins(0, &register_port(1, "wwn.22"));
        bench.wait(29_999);
        assert!(bench.finish().is_empty());
    }

    #[test]
    fn posts_at_a_node_that_stands_still_come_back_later() {
        let lasting = |milliseconds| {
            let mut bench = Bench::new(HangingPosts::default());
            bench.post_begins(1, &register_port(1, "wwn.21"));
            bench.event(1, Event::Fault("pause: for 20000 ms"));
            bench.wait(milliseconds);
            bench.finish().len()
        };
        assert_eq!((lasting(49_999), lasting(50_000)), (0, 1));
    }
}
