// SPDX-License-Identifier: MPL-2.0
//! Initiators that send reads down the long path though they use the short one too.
//!
//! An initiator that reads through the standby node because it has no other path, or has chosen
//! it, is no finding; one that spreads its reads over both, back and forth, is.

use super::text::{lu_name, peer};
use super::units::{Access, LuId, Units, extent};
use super::{Finding, Found, Kind, Seen, Watcher};
use crate::world::trace::{Event, LuAccess, NodeId};
use std::collections::BTreeMap;
use std::time::Duration;
use stmf_proxy::time::Time;

/// So many changes of the path are no accident.
const ENOUGH_CHANGES: u64 = 8;

/// Commands and pairs of initiator and LU that are remembered at most, each.
const MOST_KEPT: usize = 65_536;

struct Reading {
    lu: LuId,
    long: bool,
    since: Time,
}

#[derive(Default)]
struct Way {
    reads: u64,
    took: Duration,
}

impl Way {
    fn mean(&self) -> Duration {
        self.took / u32::try_from(self.reads.max(1)).unwrap_or(u32::MAX)
    }
}

#[derive(Default)]
struct Habit {
    standby: NodeId,
    long: Way,
    short: Way,
    last_was_long: Option<bool>,
    changes: u64,
    last: Time,
}

#[derive(Default)]
pub(super) struct Paths {
    units: Units,
    reads: BTreeMap<(u32, u64), Reading>,
    habits: BTreeMap<(u32, LuId), Habit>,
}

impl Watcher for Paths {
    fn event(&mut self, record: &Seen<'_>, _: Found<'_>) {
        let Some(node) = record.node else { return };
        match record.event {
            Event::Boot { .. } | Event::LuAccess { .. } => self.units.event(record),
            Event::Command {
                initiator,
                tag,
                lun,
                cdb,
                ..
            } if self.reads.len() < MOST_KEPT => {
                let reads = extent(cdb).is_some_and(|extent| extent.access == Access::Read);
                let Some(lu) = self.units.lu(node, lun).filter(|_| reads) else {
                    return;
                };
                let long = match self.units.access(node, lu) {
                    Some(LuAccess::Active) => false,
                    Some(LuAccess::Standby)
                        if self.units.access(peer(node), lu) == Some(LuAccess::Active) =>
                    {
                        true
                    }
                    _ => return,
                };
                let since = record.time;
                let reading = Reading { lu, long, since };
                self.reads.insert((initiator, tag), reading);
            }
            Event::CommandDone {
                initiator,
                tag,
                status,
                ..
            } => {
                if let Some(reading) = self.reads.remove(&(initiator, tag))
                    && status == 0
                {
                    self.done(record.time, node, initiator, &reading);
                }
            }
            Event::Aborted { initiator, tag } | Event::TimedOut { initiator, tag } => {
                self.reads.remove(&(initiator, tag));
            }
            _ => {}
        }
    }

    fn end(&mut self, _: Time, found: Found<'_>) {
        for ((initiator, lu), habit) in &self.habits {
            if habit.changes < ENOUGH_CHANGES {
                continue;
            }
            let standby = habit.standby;
            found.push(Finding {
                kind: Kind::SlowPath,
                time: habit.last,
                node: Some(standby),
                text: format!(
                    "initiator {initiator} sends reads of {} down both paths: {} of {} went the \
                     long way round through standby node {standby} and took {} us in the mean, \
                     those to active node {} took {} us; with the proxying of reads switched off \
                     they are refused (02/04/0B), and the initiator keeps to the active node",
                    lu_name(lu),
                    habit.long.reads,
                    habit.long.reads + habit.short.reads,
                    habit.long.mean().as_micros(),
                    peer(standby),
                    habit.short.mean().as_micros(),
                ),
            });
        }
    }
}

impl Paths {
    fn done(&mut self, time: Time, node: NodeId, initiator: u32, reading: &Reading) {
        if self.habits.len() >= MOST_KEPT {
            return;
        }
        let habit = self.habits.entry((initiator, reading.lu)).or_default();
        let way = match reading.long {
            true => &mut habit.long,
            false => &mut habit.short,
        };
        way.reads += 1;
        way.took += time - reading.since;
        if reading.long {
            habit.standby = node;
        }
        if habit.last_was_long.replace(reading.long) == Some(!reading.long) {
            habit.changes += 1;
        }
        habit.last = time;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{findings, only};
    use super::*;
    use crate::scsi::cdb;

    /// Reads through these nodes, one after the other; node 1 is active.
    fn reads<'a>(nodes: &[NodeId], cdb: &'a [u8]) -> Vec<(NodeId, Event<'a>)> {
        let lu = [0x60; 16];
        let told = |access| Event::LuAccess { lu, access };
        let mut events = vec![(1, told(LuAccess::Active)), (0, told(LuAccess::Standby))];
        for (tag, node) in (1..).zip(nodes) {
            let command = Event::Command {
                initiator: 0,
                tag,
                session: 1,
                lun: [0; 8],
                flags: 0x41,
                expected: 512,
                cdb,
                data: &[],
            };
            let done = Event::CommandDone {
                initiator: 0,
                tag,
                status: 0,
                residual_flags: 0,
                residual: 0,
                sense: &[],
                data: &[0; 512],
            };
            events.extend([(*node, command), (*node, done)]);
        }
        events
    }

    #[test]
    fn reads_back_and_forth_are_told() {
        let cdb = cdb::read_10(0, 1);
        let events = reads(&[0, 1, 0, 1, 0, 1, 0, 1, 0], &cdb);
        let text = only(Paths::default(), &events).to_string();
        assert!(text.contains("5 of 9 went the long way round"), "{text}");
        assert!(text.contains("standby node 0"), "{text}");
    }

    #[test]
    fn one_path_after_the_other_is_nothing() {
        let cdb = cdb::read_10(0, 1);
        let events = reads(&[0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0], &cdb);
        assert!(findings(Paths::default(), &events).is_empty());
    }
}
