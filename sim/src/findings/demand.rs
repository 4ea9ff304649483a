// SPDX-License-Identifier: MPL-2.0
//! After trouble: when faults have stopped and everything is healed, everything must work again.
//!
//! A scenario marks the moment with the step [`DEMAND`]. From then on it asks only for what its
//! paths can serve (no write to a standby LU, no LUN that is not there, no reservation of somebody
//! else in the way) and repeats what is answered with something else than GOOD, as a host does: a
//! unit attention is told once, a LU may be in transition. What counts is the last command of its
//! kind in each session to each LU: that one ended with GOOD.

use super::describe::seconds;
use super::{Finding, Found, Kind, Seen, Watcher};
use crate::scsi::{Completion, Sense, Status, opcode};
use crate::world::trace::{Event, InitiatorId, NodeId};
use std::collections::BTreeMap;
use stmf_proxy::message::hex;
use stmf_proxy::time::Time;

/// The step of a scenario after which everything must work.
pub const DEMAND: &str = "demand: everything works again";

/// Sessions, LUs and kinds of commands that are followed at most.
const MOST: usize = 4_096;

/// Of those, the ones that are told.
const MOST_TOLD: usize = 10;

/// Who asks for what: node, initiator, session, LUN, operation code.
type Demanded = (NodeId, InitiatorId, u64, [u8; 8], u8);

/// The last command of its kind.
struct Last {
    tag: u64,
    cdb: Vec<u8>,
    began: Time,
    end: End,
}

enum End {
    Out,
    Good,
    Bad(Time, String),
}

/// See the module.
#[derive(Default)]
pub(super) struct Demand {
    since: Option<Time>,
    last: BTreeMap<Demanded, Last>,
    /// By initiator and tag: the commands that are the last of their kind.
    tags: BTreeMap<(NodeId, InitiatorId, u64), Demanded>,
}

impl Demand {
    fn ended(&mut self, node: NodeId, initiator: InitiatorId, tag: u64, end: End) {
        let Some(demanded) = self.tags.remove(&(node, initiator, tag)) else {
            return;
        };
        if let Some(last) = self.last.get_mut(&demanded) {
            last.end = end;
        }
    }
}

impl Watcher for Demand {
    fn event(&mut self, record: &Seen<'_>, _: Found<'_>) {
        if let Event::Step(text) = record.event {
            if text == DEMAND {
                self.since.get_or_insert(record.time);
            }
            return;
        }
        let (Some(node), Some(_), now) = (record.node, self.since, record.time) else {
            return;
        };
        match record.event {
            Event::Command {
                initiator,
                tag,
                session,
                lun,
                cdb,
                ..
            } => {
                let opcode = cdb.first().copied().unwrap_or(0);
                let demanded = (node, initiator, session, lun, opcode);
                if self.last.len() >= MOST && !self.last.contains_key(&demanded) {
                    return;
                }
                let (cdb, end) = (cdb.to_vec(), End::Out);
                let last = Last {
                    tag,
                    cdb,
                    began: now,
                    end,
                };
                if let Some(before) = self.last.insert(demanded, last) {
                    self.tags.remove(&(node, initiator, before.tag));
                }
                self.tags.insert((node, initiator, tag), demanded);
            }
            Event::CommandDone {
                initiator,
                tag,
                status,
                sense,
                ..
            } => {
                let end = match status {
                    0 => End::Good,
                    status => {
                        let (status, sense) = (Status(status), Sense::from_bytes(sense));
                        let completion = Completion { status, sense };
                        End::Bad(now, format!("was answered {completion}"))
                    }
                };
                self.ended(node, initiator, tag, end);
            }
            Event::Aborted { initiator, tag } => {
                let end = End::Bad(now, "was given up by the target without a status".into());
                self.ended(node, initiator, tag, end);
            }
            Event::TimedOut { initiator, tag } => {
                let end = End::Bad(now, "had no answer in its initiator's time".into());
                self.ended(node, initiator, tag, end);
            }
            // Its sessions are no more; the next ones are others.
            Event::Boot { .. } | Event::PowerOff => {
                self.last.retain(|demanded, _| demanded.0 != node);
                self.tags.retain(|(of, ..), _| *of != node);
            }
            _ => {}
        }
    }

    fn end(&mut self, now: Time, found: Found<'_>) {
        let Some(since) = self.since else { return };
        let bad = self.last.iter().filter_map(|(demanded, last)| {
            let (time, how) = match &last.end {
                End::Good => return None,
                End::Bad(time, how) => (*time, how.as_str()),
                End::Out => (now, "has not ended"),
            };
            Some((demanded, last, time, how))
        });
        for (&(node, initiator, session, lun, _), last, time, how) in bad.take(MOST_TOLD) {
            found.push(Finding {
                kind: Kind::NotServed,
                time,
                node: Some(node),
                text: format!(
                    "everything should work since {}, but the last {} of initiator {initiator} at \
                     node {node} (session {session}, LUN {}, tag {}, sent at {}) {how}",
                    seconds(since),
                    opcode::name(&last.cdb),
                    hex::encode(&lun),
                    last.tag,
                    seconds(last.began),
                ),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;
    use crate::scsi::cdb;

    fn send(bench: &mut Bench<Demand>, node: NodeId, tag: u64, cdb: &[u8]) {
        let event = Event::Command {
            initiator: 1,
            tag,
            session: 3,
            lun: [0; 8],
            flags: 1,
            expected: 0,
            cdb,
            data: &[],
        };
        bench.event(node, event);
    }

    fn done(bench: &mut Bench<Demand>, node: NodeId, tag: u64, sense: Option<Sense>) {
        let bytes = sense.map(Sense::to_bytes);
        let event = Event::CommandDone {
            initiator: 1,
            tag,
            status: if sense.is_some() { 2 } else { 0 },
            residual_flags: 0,
            residual: 0,
            sense: bytes.as_ref().map_or(&[], |bytes| bytes),
            data: &[],
        };
        bench.event(node, event);
    }

    #[test]
    fn who_is_served_in_the_end_is_served() {
        let mut bench = Bench::new(Demand::default());
        let ready = cdb::test_unit_ready();
        // What came before does not count.
        send(&mut bench, 0, 1, &ready);
        bench.event(0, Event::Step(DEMAND));
        send(&mut bench, 0, 2, &ready);
        done(&mut bench, 0, 2, Some(Sense::POWER_ON));
        send(&mut bench, 0, 3, &ready);
        done(&mut bench, 0, 3, Some(Sense::TRANSITION));
        send(&mut bench, 0, 4, &ready);
        done(&mut bench, 0, 4, None);
        assert!(bench.finish().is_empty());
    }

    #[test]
    fn who_is_not_served_is_found() {
        let mut bench = Bench::new(Demand::default());
        let (ready, read) = (cdb::test_unit_ready(), cdb::read_10(0, 1));
        bench.event(0, Event::Step(DEMAND));
        bench.wait(2_000);
        send(&mut bench, 0, 1, &read);
        done(&mut bench, 0, 1, Some(Sense::UNAVAILABLE));
        // Another kind of command does not make up for it.
        send(&mut bench, 0, 2, &ready);
        done(&mut bench, 0, 2, None);
        let (initiator, tag) = (1, 3);
        send(&mut bench, 1, tag, &read);
        bench.event(1, Event::Aborted { initiator, tag });
        send(&mut bench, 1, 4, &ready);
        insta::assert_snapshot!(bench.finish().join("\n"));
    }

    #[test]
    fn without_the_mark_nothing_is_demanded() {
        let mut bench = Bench::new(Demand::default());
        send(&mut bench, 0, 1, &cdb::test_unit_ready());
        assert!(bench.finish().is_empty());
    }
}
