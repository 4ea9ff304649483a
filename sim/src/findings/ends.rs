// SPDX-License-Identifier: MPL-2.0
//! Commands that do not end at all: no status, not aborted by the target, not given up by the
//! initiator.
//!
//! Commands without a status are judged in [`super::lost_commands`], which knows what may lose
//! one. This is the last resort, which nothing excuses: a broken link or a relay that ended leaves
//! 80 s to the target, and the initiator has a time-out of its own.

use super::describe::seconds;
use super::{Finding, Found, Kind, Seen, Watcher};
use crate::scsi::opcode;
use crate::world::trace::{Event, InitiatorId, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use stmf_proxy::time::Time;

/// Nothing is older than this: twice the time-out of an initiator ([`DEFAULT_TIMEOUT`]).
///
/// [`DEFAULT_TIMEOUT`]: crate::world::initiator::DEFAULT_TIMEOUT
const LONGEST: Duration = Duration::from_secs(200);

/// Commands that are followed at once.
const MOST: usize = 16_384;

/// Commands of one run that are told.
const MOST_TOLD: usize = 10;

struct Command {
    session: u64,
    began: Time,
    cdb: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Ends {
    out: BTreeMap<(NodeId, InitiatorId, u64), Command>,
    /// The port of each session.
    ports: BTreeMap<(NodeId, u64), Vec<u8>>,
    /// Ports that were removed: they take commands and say nothing.
    removed: BTreeSet<(NodeId, Vec<u8>)>,
}

impl Ends {
    /// The commands of sessions of a node that are gone end without an event.
    fn gone(&mut self, node: NodeId, is_gone: impl Fn(u64) -> bool) {
        self.out
            .retain(|(of, ..), command| *of != node || !is_gone(command.session));
    }
}

impl Watcher for Ends {
    fn event(&mut self, record: &Seen<'_>, _: Found<'_>) {
        let Some(node) = record.node else { return };
        match record.event {
            Event::Command {
                initiator,
                tag,
                session,
                cdb,
                ..
            } => {
                let port = self.ports.get(&(node, session)).cloned();
                let known = port.is_some_and(|port| !self.removed.contains(&(node, port)));
                if known && self.out.len() < MOST {
                    let (began, cdb) = (record.time, cdb.to_vec());
                    let command = Command {
                        session,
                        began,
                        cdb,
                    };
                    self.out.insert((node, initiator, tag), command);
                }
            }
            Event::CommandDone { initiator, tag, .. }
            | Event::Aborted { initiator, tag }
            | Event::TimedOut { initiator, tag } => {
                self.out.remove(&(node, initiator, tag));
            }
            Event::SessionOpened { session, port, .. } => {
                self.ports.insert((node, session), port.to_vec());
            }
            Event::SessionClosed { session, .. } => {
                self.ports.remove(&(node, session));
                self.gone(node, |other| other == session);
            }
            Event::PortAdded { port, .. } => {
                self.removed.remove(&(node, port.to_vec()));
            }
            Event::PortRemoved { port } => {
                self.removed.insert((node, port.to_vec()));
                let of_port: BTreeSet<u64> = self
                    .ports
                    .iter()
                    .filter(|((of, _), name)| *of == node && name.as_slice() == port)
                    .map(|((_, session), _)| *session)
                    .collect();
                self.gone(node, |session| of_port.contains(&session));
            }
            Event::Boot { .. } | Event::PowerOff | Event::Panic { .. } => {
                self.gone(node, |_| true);
                self.ports.retain(|(of, _), _| *of != node);
                self.removed.retain(|(of, _)| *of != node);
            }
            _ => {}
        }
    }

    fn end(&mut self, now: Time, found: Found<'_>) {
        let overdue = self
            .out
            .iter()
            .filter(|(_, command)| now - command.began >= LONGEST);
        for (&(node, initiator, tag), command) in overdue.take(MOST_TOLD) {
            found.push(Finding {
                kind: Kind::NeverEnded,
                time: now,
                node: Some(node),
                text: format!(
                    "initiator {initiator}'s {} tag {tag} at node {node}, sent at {}, has not \
                     ended in any way",
                    opcode::name(&command.cdb),
                    seconds(command.began)
                ),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, CDB};
    use super::*;

    fn bench() -> Bench<Ends> {
        let mut bench = Bench::new(Ends::default());
        let (initiator, session) = (3, 1);
        let (port, name): (&[u8], &[u8]) = (b"port", b"host");
        let opened = Event::SessionOpened {
            initiator,
            session,
            port,
            name,
        };
        bench.event(0, opened);
        bench.event(
            0,
            Event::Command {
                initiator,
                tag: 7,
                session,
                lun: [0; 8],
                flags: 1,
                expected: 512,
                cdb: &CDB,
                data: &[],
            },
        );
        bench
    }

    #[test]
    fn a_command_that_nobody_ends_is_found() {
        let mut bench = bench();
        bench.event(1, Event::RelayEnded);
        bench.wait(200_000);
        assert_eq!(
            bench.finish(),
            [
                "never-ended: initiator 3's READ(10) tag 7 at node 0, sent at 0.000 s, has not \
                 ended in any way"
            ]
        );
    }

    #[test]
    fn whatever_ends_a_command_ends_it() {
        let (initiator, tag, session) = (3, 7, 1);
        let ends = [
            Event::Aborted { initiator, tag },
            Event::TimedOut { initiator, tag },
            Event::SessionClosed { initiator, session },
            Event::PortRemoved { port: b"port" },
            Event::PowerOff,
        ];
        for end in ends {
            let mut bench = bench();
            bench.event(0, end);
            bench.wait(1_000_000);
            assert!(bench.finish().is_empty(), "{end:?}");
        }
        let mut bench = bench();
        bench.wait(199_999);
        assert!(bench.finish().is_empty(), "there is time");
    }
}
