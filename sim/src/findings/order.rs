// SPDX-License-Identifier: MPL-2.0
//! What becomes of messages between door and post: a relay hands on each one that it has
//! answered with 0, byte for byte, once, and in order with those about the same object.
//!
//! Messages that were on their way when a link broke, a relay ended or a node went down may be
//! lost; that is no finding. But once one of a later link has been posted, none of an earlier link
//! may be: it is stale. (After an orderly goodbye what came before it is still posted.) Those for a
//! node that stands still (an injected fault) arrive late.

use super::describe::{Summary, describe, seconds};
use super::standstill::Standstill;
use super::{Finding, Found, Kind, Seen, Watcher};
use crate::world::trace::{Event, NodeId, Record};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use stmf_proxy::link::frame::{HEADER_LENGTH, Kind as FrameKind};
use stmf_proxy::message::MessageType;
use stmf_proxy::relay::Lane;
use stmf_proxy::relay::classify::by_object;
use stmf_proxy::time::Time;
use xxhash_rust::xxh3::xxh3_128;

/// Messages on their way from one node that are remembered; the oldest are forgotten first.
const MOST_PENDING: usize = 16_384;

/// Messages of one node that were posted and are remembered, to know them again.
const MOST_POSTED: usize = 4_096;

/// Messages of one node that are told as lost, and as made up; the first ones say it all.
const MOST_TOLD: usize = 5;

/// A message that is not posted so long after it was sent is overdue at the end of a run.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest frame that says goodbye, in bytes.
const GOODBYE_FRAME: usize = HEADER_LENGTH + 2;

/// A message that a kernel has sent and that the other one has not been given.
struct Sent {
    call: u64,
    digest: u128,
    lane: Lane,
    message: Summary,
    time: Time,
    /// Its place in the trace.
    sequence: u64,
    /// Where in the trace the relay has answered it with 0.
    answered: Option<u64>,
    /// It may be lost: the link has broken since.
    excused: bool,
}

/// What one node has sent.
#[derive(Default)]
struct Direction {
    pending: VecDeque<Sent>,
    posted: VecDeque<u128>,
    /// The posts of its messages that are in progress.
    posting: BTreeSet<u64>,
    /// Messages that were told as made up.
    invented: usize,
    /// Where in the trace the last link ended by which its messages came, for good.
    ended: u64,
    /// The same of the last link before the one by which a message came that has been posted.
    earlier: u64,
}

/// What is known of a node's connections.
#[derive(Default)]
struct Ends {
    open: BTreeSet<u32>,
    /// It has said goodbye on one of them.
    goodbye: bool,
}

impl Direction {
    fn of_call(&mut self, call: u64) -> Option<usize> {
        self.pending.iter().rposition(|sent| sent.call == call)
    }

    /// What is on its way may be lost from here on.
    fn excuse(&mut self) {
        self.pending.iter_mut().for_each(|sent| sent.excused = true);
    }
}

#[derive(Default)]
pub(super) struct Order {
    directions: BTreeMap<NodeId, Direction>,
    /// Nodes that are down.
    down: BTreeSet<NodeId>,
    ends: BTreeMap<NodeId, Ends>,
    still: Standstill,
}

impl Order {
    /// Follows connections: what `node` sent before its peer's last one ended does not arrive any
    /// more, unless it came before a goodbye.
    fn connections(&mut self, record: &Seen<'_>, node: NodeId) {
        let ends = self.ends.entry(node).or_default();
        let over = match record.event {
            Event::Connected { connection } => {
                ends.open.insert(connection);
                ends.goodbye = false;
                return;
            }
            Event::Disconnected { connection, .. } => {
                ends.open.remove(&connection) && ends.open.is_empty()
            }
            Event::Sent { connection, bytes } => {
                let first = bytes.first();
                ends.goodbye |=
                    bytes.len() <= GOODBYE_FRAME && first == Some(&FrameKind::Goodbye.code());
                // Whoever sends messages on a connection has given up those before.
                if bytes.len() >= HEADER_LENGTH && first == Some(&FrameKind::Message.code()) {
                    ends.open.retain(|other| *other >= connection);
                }
                return;
            }
            _ => {
                ends.open.clear();
                true
            }
        };
        let sender = node ^ 1;
        let goodbye = self.ends.get(&sender).is_some_and(|ends| ends.goodbye);
        if over && !goodbye {
            self.directions.entry(sender).or_default().ended = record.sequence;
        }
    }

    /// Whether the peer has made a new connection and the relay has not changed over to it yet:
    /// what it sends on the old one may reach nobody.
    fn is_between_links(&self, node: NodeId) -> bool {
        let ends = self.ends.get(&node);
        ends.is_some_and(|ends| ends.open.len() > 1)
    }

    fn upcall(&mut self, record: &Seen<'_>, node: NodeId, call: u64) {
        let Some(message) = record.message() else {
            return;
        };
        // The relay may take a while to notice.
        let excused = self.down.contains(&(node ^ 1)) || self.is_between_links(node);
        let direction = self.directions.entry(node).or_default();
        if direction.of_call(call).is_some() {
            return; // The kernel tries the same one again.
        }
        if direction.pending.len() >= MOST_PENDING {
            direction.pending.pop_front();
        }
        direction.pending.push_back(Sent {
            call,
            digest: xxh3_128(message),
            lane: by_object(message),
            message: describe(record),
            time: record.time,
            sequence: record.sequence,
            answered: None,
            excused,
        });
    }

    fn upcall_done(&mut self, record: &Record<'_>, node: NodeId, call: u64, taken: bool) {
        let direction = self.directions.entry(node).or_default();
        let Some(place) = direction.of_call(call) else {
            return;
        };
        if taken {
            direction.pending[place].answered = Some(record.sequence);
        } else {
            direction.pending.remove(place);
        }
    }

    fn post(&mut self, record: &Seen<'_>, node: NodeId, post: u64, found: Found<'_>) {
        let Some(message) = record.message() else {
            return;
        };
        let sender = node ^ 1;
        let direction = self.directions.entry(sender).or_default();
        if direction.posting.len() < MOST_POSTED {
            direction.posting.insert(post);
        }
        let digest = xxh3_128(message);
        // The same bytes may have been sent by an earlier kernel, and lost.
        let is_it = |sent: &Sent| sent.digest == digest;
        let mut pending = direction.pending.iter();
        let place = pending.position(|sent| !sent.excused && is_it(sent));
        let place = place.or_else(|| direction.pending.iter().position(is_it));
        let Some(place) = place else {
            let text = describe(record);
            let text = match direction.posted.contains(&digest) {
                true => format!(
                    "node {node} was given {text} a second time; node {sender} has sent it once"
                ),
                false => format!("node {node} was given {text}, which node {sender} has not sent"),
            };
            direction.invented += 1;
            if direction.invented <= MOST_TOLD {
                found.push(finding(Kind::Invented, record.time, node, text));
            }
            return;
        };
        // Whichever of several that say the same it was, nobody knows.
        let alike = direction.pending.iter().filter(|sent| is_it(sent)).count();
        let Some(sent) = direction.pending.remove(place) else {
            return;
        };
        if sent.sequence > direction.ended {
            direction.earlier = direction.ended;
        }
        if alike == 1 && sent.answered.is_some_and(|at| at < direction.earlier) {
            let text = format!(
                "node {node} was given {}, which node {sender} had sent at {} over an earlier \
                 link, after what came over a later one",
                sent.message,
                seconds(sent.time)
            );
            found.push(finding(Kind::Stale, record.time, node, text));
        }
        let overtaken = direction.pending.iter().take(place).find(|earlier| {
            !earlier.excused
                && earlier
                    .answered
                    .is_some_and(|answered| answered < sent.sequence)
                && earlier.lane.conflicts_with(&sent.lane)
        });
        if let Some(earlier) = overtaken {
            let came_back = (
                earlier.message.message_type() == Some(MessageType::DeregisterProxyPort),
                sent.message.message_type() == Some(MessageType::RegisterProxyPort),
            );
            let consequence = match came_back {
                (true, true) => "; the port is gone there",
                _ => "",
            };
            let text = format!(
                "node {node} was given {} before {}, which node {sender} had sent first{consequence}",
                sent.message, earlier.message
            );
            found.push(finding(Kind::Misordered, record.time, node, text));
        }
        if direction.posted.len() >= MOST_POSTED {
            direction.posted.pop_front();
        }
        direction.posted.push_back(digest);
    }

    fn link_broke(&mut self, node: NodeId) {
        for node in [node, node ^ 1] {
            self.directions.entry(node).or_default().excuse();
        }
    }
}

fn finding(kind: Kind, time: Time, node: NodeId, text: String) -> Finding {
    Finding {
        kind,
        time,
        node: Some(node),
        text,
    }
}

impl Watcher for Order {
    fn hears_bytes(&self) -> bool {
        true
    }

    fn event(&mut self, record: &Seen<'_>, found: Found<'_>) {
        let Some(node) = record.node else { return };
        match record.event {
            Event::Upcall { call, .. } => self.upcall(record, node, call),
            Event::UpcallDone { call, outcome } => {
                self.upcall_done(record, node, call, outcome == Ok(0));
            }
            Event::Post { post, .. } => self.post(record, node, post, found),
            Event::Fault(text) => {
                self.still.paused(node, record.time, text);
            }
            Event::PostDone { post, .. } => {
                let direction = self.directions.entry(node ^ 1).or_default();
                direction.posting.remove(&post);
            }
            // Whoever ends a connection is not told that it has ended; the next one tells.
            Event::Connect { .. } => self.link_broke(node),
            Event::Disconnected { .. } | Event::Connected { .. } | Event::RelayEnded => {
                self.link_broke(node);
                self.connections(record, node);
            }
            Event::Sent { .. } => self.connections(record, node),
            Event::PowerOff | Event::Panic { .. } | Event::Boot { .. } => {
                self.still.over(node);
                self.link_broke(node);
                self.connections(record, node);
                match record.event {
                    Event::Boot { .. } => self.down.remove(&node),
                    _ => self.down.insert(node),
                };
                let given = self.directions.entry(node ^ 1).or_default();
                given.posting.clear();
                // The next kernel numbers its calls from 1 again.
                let direction = self.directions.entry(node).or_default();
                direction.pending.retain(|sent| sent.answered.is_some());
                direction.pending.iter_mut().for_each(|sent| sent.call = 0);
            }
            _ => {}
        }
    }

    fn end(&mut self, now: Time, found: Found<'_>) {
        for (&node, direction) in &self.directions {
            if !direction.posting.is_empty() {
                continue; // They wait for a post that does not come back, which is told elsewhere.
            }
            // Messages wait while one of the nodes stands still.
            let still = self.still.until_of_both(node);
            let lost = direction.pending.iter().filter(|sent| {
                let since = sent.time.max(still);
                sent.answered.is_some() && !sent.excused && now.saturating_since(since) >= PATIENCE
            });
            for sent in lost.take(MOST_TOLD) {
                let text = format!(
                    "node {} was never given {}, which the relay of node {node} had answered \
                     with 0 at {}, though the link stood",
                    node ^ 1,
                    sent.message,
                    seconds(sent.time)
                );
                found.push(finding(Kind::LostMessage, now, node, text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use stmf_proxy::trace::ConnectionEnd;

    fn bench() -> Bench<Order> {
        Bench::new(Order::default())
    }

    #[test]
    fn what_is_carried_in_order_is_no_finding() {
        let mut bench = bench();
        bench.carry(0, &register_port(1, "wwn.21"));
        // Other objects may overtake each other.
        bench.send(0, &register_port(2, "wwn.22"), 0);
        bench.send(0, &register_port(3, "wwn.23"), 0);
        bench.post(1, &register_port(3, "wwn.23"));
        bench.post(1, &register_port(2, "wwn.22"));
        // The same bytes, sent twice.
        bench.carry(1, &data(4, 1));
        bench.carry(1, &data(4, 1));
        bench.wait(60_000);
        assert!(bench.finish().is_empty());
    }

    #[test]
    fn a_message_that_overtakes_another_one_about_its_object_is_found() {
        let mut bench = bench();
        let (remove, add) = (deregister_port(6, "wwn.21"), register_port(7, "wwn.21"));
        bench.send(0, &remove, 0);
        bench.send(0, &add, 0);
        bench.post(1, &add);
        bench.post(1, &remove);
        assert_eq!(
            bench.finish(),
            [
                "misordered: node 1 was given register_proxy_port (msgid 7) of port wwn.21 before \
              deregister_proxy_port (msgid 6) of port wwn.21, which node 0 had sent first; the \
              port is gone there"
            ]
        );
    }

    #[test]
    fn a_message_that_is_posted_twice_or_made_up_is_found() {
        let mut bench = bench();
        bench.carry(0, &command(5, 1, "wwn.21", 9));
        bench.post(1, &command(5, 1, "wwn.21", 9));
        bench.post(1, &command(6, 1, "wwn.21", 9));
        assert_eq!(
            bench.finish(),
            [
                "invented: node 1 was given scsi_cmd (task 5, session 1) a second time; node 0 has \
                 sent it once",
                "invented: node 1 was given scsi_cmd (task 6, session 1), which node 0 has not sent"
            ]
        );
    }

    #[test]
    fn a_message_that_is_lost_on_a_link_that_stands_is_found() {
        let mut bench = bench();
        bench.send(0, &command(5, 1, "wwn.21", 9), 0);
        bench.wait(10_000);
        assert_eq!(
            bench.finish(),
            [
                "lost-message: node 1 was never given scsi_cmd (task 5, session 1), which the relay of \
              node 0 had answered with 0 at 0.000 s, though the link stood"
            ]
        );
    }

    /// A link ends, and another one begins; the first node may say goodbye.
    fn new_link(bench: &mut Bench<Order>, goodbye: bool) {
        let mut header = [0; HEADER_LENGTH];
        header[0] = FrameKind::Goodbye.code();
        if goodbye {
            let (connection, bytes) = (1, &header[..]);
            bench.event(0, Event::Sent { connection, bytes });
        }
        let (connection, end) = (1, ConnectionEnd::Reset);
        bench.event(1, Event::Disconnected { connection, end });
        bench.event(0, Event::Disconnected { connection, end });
        for node in [0, 1] {
            bench.event(node, Event::Connected { connection: 2 });
        }
    }

    #[test]
    fn a_message_of_an_earlier_link_after_one_of_a_later_is_stale() {
        for (goodbye, expected) in [(false, 1), (true, 0)] {
            let mut bench = bench();
            for node in [0, 1] {
                bench.event(node, Event::Connected { connection: 1 });
            }
            let (old, new) = (command(5, 1, "wwn.21", 9), command(6, 2, "wwn.22", 8));
            bench.send(0, &old, 0);
            new_link(&mut bench, goodbye);
            bench.carry(0, &new);
            bench.post(1, &old);
            let found = bench.finish();
            assert_eq!(found.len(), expected, "{found:?}");
            let stale = "stale: node 1 was given scsi_cmd (task 5, session 1), which node 0 had \
                         sent at 0.000 s over an earlier link, after what came over a later one";
            assert!(found.iter().all(|text| text == stale), "{found:?}");
        }
    }

    #[test]
    fn what_is_still_posted_when_its_link_has_ended_is_not_stale() {
        let mut bench = bench();
        bench.event(1, Event::Connected { connection: 1 });
        let old = command(5, 1, "wwn.21", 9);
        bench.send(0, &old, 0);
        new_link(&mut bench, false);
        bench.post(1, &old);
        // A later kernel sends the same bytes as an earlier one, whose message is lost.
        bench.send(0, &register_port(1, "wwn.21"), 0);
        new_link(&mut bench, false);
        bench.carry(0, &register_port(1, "wwn.21"));
        assert!(bench.finish().is_empty());
    }

    #[test]
    fn a_message_for_a_node_that_stands_still_may_come_late() {
        let mut bench = bench();
        bench.event(1, Event::Fault("pause: for 30000 ms"));
        bench.send(0, &command(5, 1, "wwn.21", 9), 0);
        bench.wait(39_999);
        assert!(bench.finish().is_empty());
        let mut bench = self::bench();
        bench.event(1, Event::Fault("pause: for 30000 ms"));
        bench.send(0, &command(5, 1, "wwn.21", 9), 0);
        bench.wait(40_000);
        assert_eq!(bench.finish().len(), 1);
    }

    #[test]
    fn what_waits_behind_a_post_is_not_lost() {
        let mut bench = bench();
        let (first, second) = (deregister_port(6, "wwn.21"), register_port(7, "wwn.21"));
        bench.send(0, &first, 0);
        bench.send(0, &second, 0);
        bench.post_begins(1, &first);
        bench.wait(60_000);
        assert!(bench.finish().is_empty());
    }

    #[test]
    fn only_the_first_made_up_messages_are_told() {
        let mut bench = bench();
        for task in 0..100 {
            bench.post(1, &command(task, 1, "wwn.21", 9));
        }
        assert_eq!(bench.finish().len(), MOST_TOLD);
    }

    #[test]
    fn what_a_broken_link_loses_is_no_finding() {
        let mut bench = bench();
        bench.send(0, &command(5, 1, "wwn.21", 9), 0);
        let (connection, end) = (1, ConnectionEnd::Reset);
        bench.event(1, Event::Disconnected { connection, end });
        // What was refused was not sent at all.
        bench.send(0, &command(6, 1, "wwn.21", 9), 134);
        // The relays have said goodbye, and both have closed.
        bench.send(0, &command(7, 1, "wwn.21", 9), 0);
        bench.event(0, Event::Connect { connection: 2 });
        bench.carry(0, &command(8, 1, "wwn.21", 9));
        // Nobody is there.
        bench.event(1, Event::PowerOff);
        bench.send(0, &command(9, 1, "wwn.21", 9), 0);
        bench.wait(60_000);
        assert!(bench.finish().is_empty());
    }
}
