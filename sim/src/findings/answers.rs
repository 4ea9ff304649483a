// SPDX-License-Identifier: MPL-2.0
//! Commands that are ended with the status of another one.
//!
//! A command for a standby LU that never went to the peer, and yet ends with what only the peer
//! can say, while the status of another command is being posted that says just that. A post that
//! waits for a lock lasts long, and what a node says by itself meanwhile may be the same: so what
//! ends in the very moment in which it begins, when an earlier post has still to wait, is not told.
//! (On a node that stands still that moment lasts until the node goes on.)

use super::standstill::Standstill;
use super::text::{completion, peer};
use super::units::{LuId, Units};
use super::{Finding, Found, Kind, Seen, Watcher};
use crate::scsi::opcode;
use crate::world::trace::{Event, LuAccess, NodeId};
use std::collections::BTreeMap;
use stmf_proxy::message::{Body, MessageType};
use stmf_proxy::time::Time;

/// Commands, tasks and posts that are remembered at most, each.
const MOST_KEPT: usize = 65_536;

struct Command {
    /// Where in the trace it begins, and when.
    began: (u64, Time),
    session: u64,
    lun: [u8; 8],
    cdb: Vec<u8>,
    lu: Option<LuId>,
    /// It has gone to the peer, or one that looks like it.
    sent: bool,
    /// A message is known to be its own.
    has_task: bool,
}

/// Which command a task of messages is.
struct Owner {
    initiator: u32,
    tag: u64,
    cdb: Vec<u8>,
}

struct PostedStatus {
    /// Where in the trace the post begins.
    began: u64,
    task: u64,
    status: u8,
    sense: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Answers {
    units: Units,
    commands: BTreeMap<(NodeId, u32, u64), Command>,
    tasks: BTreeMap<(NodeId, u64), Owner>,
    posts: BTreeMap<(NodeId, u64), PostedStatus>,
    still: Standstill,
}

impl Watcher for Answers {
    fn event(&mut self, record: &Seen<'_>, found: Found<'_>) {
        let Some(node) = record.node else { return };
        match record.event {
            Event::Boot { .. } => {
                self.commands.retain(|(of, ..), _| *of != node);
                self.tasks.retain(|(of, _), _| *of != node);
                self.posts.retain(|(of, _), _| *of != node);
                self.still.over(node);
                self.units.event(record);
            }
            Event::Fault(text) => {
                self.still.paused(node, record.time, text);
            }
            Event::LuAccess { .. } => self.units.event(record),
            Event::Command {
                initiator,
                tag,
                session,
                lun,
                cdb,
                ..
            } if self.commands.len() < MOST_KEPT => {
                let lu = self.units.lu(node, lun);
                let lu = lu.filter(|lu| self.is_standby(node, *lu));
                let command = Command {
                    began: (record.sequence, record.time),
                    session,
                    lun,
                    cdb: cdb.to_vec(),
                    lu,
                    sent: false,
                    has_task: false,
                };
                self.commands.insert((node, initiator, tag), command);
            }
            Event::Upcall { .. } => self.called(node, record),
            Event::Post { post, .. } => {
                if record.is_a(MessageType::ScsiStatus)
                    && let Some(Body::ScsiStatus(status)) = record.decoded().map(|m| &m.body)
                    && self.posts.len() < MOST_KEPT
                {
                    let posted = PostedStatus {
                        began: record.sequence,
                        task: status.task_msgid,
                        status: status.status,
                        sense: status.sense.clone(),
                    };
                    self.posts.insert((node, post), posted);
                }
            }
            Event::PostDone { post, .. } => {
                self.posts.remove(&(node, post));
            }
            Event::CommandDone {
                initiator,
                tag,
                status,
                sense,
                ..
            } => {
                if let Some(command) = self.commands.remove(&(node, initiator, tag)) {
                    let key = (node, initiator, tag);
                    found.extend(self.judge(record.time, key, &command, status, sense));
                }
            }
            Event::Aborted { initiator, tag } | Event::TimedOut { initiator, tag } => {
                self.commands.remove(&(node, initiator, tag));
            }
            _ => {}
        }
    }

    fn end(&mut self, _: Time, _: Found<'_>) {}
}

impl Answers {
    fn is_standby(&self, node: NodeId, lu: LuId) -> bool {
        self.units.access(node, lu) == Some(LuAccess::Standby)
    }

    fn called(&mut self, node: NodeId, record: &Seen<'_>) {
        if !record.is_a(MessageType::ScsiCommand) {
            return;
        }
        let Some(Body::ScsiCommand(sent)) = record.decoded().map(|m| &m.body) else {
            return;
        };
        if sent.task_mgmt_function != 0 {
            return;
        }
        let of_node = (node, 0, 0)..=(node, u32::MAX, u64::MAX);
        if self.tasks.contains_key(&(node, sent.task_msgid)) {
            return; // It is tried again.
        }
        let mut alike = self.commands.range_mut(of_node).filter(|(_, command)| {
            !command.has_task
                && command.session == sent.session_id
                && command.lun == sent.task_lun_no
                && command.cdb == sent.task_cdb
        });
        if let Some(((_, initiator, tag), command)) = alike.next() {
            command.sent = true;
            command.has_task = true;
            // Their messages cannot be told apart: any of them may be the one.
            alike.for_each(|(_, twin)| twin.sent = true);
            let owner = Owner {
                initiator: *initiator,
                tag: *tag,
                cdb: command.cdb.clone(),
            };
            if self.tasks.len() >= MOST_KEPT {
                self.tasks.pop_first();
            }
            self.tasks.insert((node, sent.task_msgid), owner);
        }
    }

    fn judge(
        &self,
        time: Time,
        (node, initiator, tag): (NodeId, u32, u64),
        command: &Command,
        status: u8,
        sense: &[u8],
    ) -> Option<Finding> {
        const NOT_READY: u8 = 2;
        const UNIT_ATTENTION: u8 = 6;
        let lu = command.lu.filter(|_| !command.sent)?;
        // What a standby node says by itself.
        let own = matches!(
            command.cdb.first(),
            Some(&(opcode::REPORT_LUNS | opcode::MODE_SELECT_6 | opcode::MODE_SELECT_10))
        );
        let key = sense.get(2).map(|byte| byte & 0x0f);
        if own || matches!(key, Some(NOT_READY | UNIT_ATTENTION)) || !self.is_standby(node, lu) {
            return None;
        }
        let posts = self.posts.range((node, 0)..=(node, u64::MAX));
        let (task, owner) = posts.into_iter().find_map(|(_, posted)| {
            let owner = self.tasks.get(&(node, posted.task))?;
            let other = (owner.initiator, owner.tag) != (initiator, tag);
            let (place, began) = command.began;
            let was_out = posted.began > place || time > began.max(self.still.until(node));
            (other && was_out && posted.status == status && posted.sense == sense)
                .then_some((posted.task, owner))
        })?;
        Some(Finding {
            kind: Kind::WrongAnswer,
            time,
            node: Some(node),
            text: format!(
                "command {tag} of initiator {initiator} at node {node} ({}) was ended with the \
                 status of task {task:#x}, {}, which was meant for command {} of initiator {} \
                 ({}) that is over; command {tag} itself has never gone to node {}",
                opcode::name(&command.cdb),
                completion(status, sense),
                owner.tag,
                owner.initiator,
                opcode::name(&owner.cdb),
                peer(node),
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::findings_apart;
    use super::*;
    use crate::scsi::{Sense, cdb};
    use stmf_proxy::message::{DeviceId, Dialect, Message, ScsiCommand, ScsiStatus};

    fn encoded(body: Body) -> Vec<u8> {
        let message = Message { msgid: 7, body };
        message.encode(Dialect::Current).unwrap()
    }

    fn command(tag: u64, session: u64, cdb: &[u8]) -> Event<'_> {
        Event::Command {
            initiator: 0,
            tag,
            session,
            lun: [0; 8],
            flags: 1,
            expected: 0,
            cdb,
            data: &[],
        }
    }

    /// When the command begins that the status of another one may end.
    #[derive(Clone, Copy)]
    enum Begins {
        /// Before that status is posted.
        Before,
        /// Meanwhile, and ends so many nanoseconds later.
        Meanwhile(u64),
        /// Meanwhile, at a node that stands still until after its end.
        StandingStill,
    }

    fn story(sent_too: bool) -> Vec<Finding> {
        let read = cdb::read_10(9, 1);
        told(
            (&read, 1),
            (&cdb::test_unit_ready(), 2),
            sent_too,
            Begins::Before,
        )
    }

    /// A command is aborted after it has gone to the peer; its status comes, and ends another one,
    /// that begins when `begins` says.
    fn told(
        (read, session): (&[u8], u64),
        (ready, other_session): (&[u8], u64),
        sent_too: bool,
        begins: Begins,
    ) -> Vec<Finding> {
        let sense = Sense::LBA_OUT_OF_RANGE.to_bytes();
        let scsi_cmd = |session_id, task_msgid, cdb: &[u8]| {
            encoded(Body::ScsiCommand(ScsiCommand {
                task_msgid,
                ini_devid: DeviceId::default(),
                tgt_devid: DeviceId::default(),
                rport: Some(vec![0; 24]),
                lun_id: [0x60; 16],
                session_id,
                task_lun_no: [0; 8],
                task_expected_xfer_length: 0,
                task_cdb: cdb.to_vec(),
                task_flags: 1,
                task_priority: 0,
                task_mgmt_function: 0,
                immed_data: Vec::new(),
            }))
        };
        let (first, second) = (
            scsi_cmd(session, 7, read),
            scsi_cmd(other_session, 8, ready),
        );
        let status = encoded(Body::ScsiStatus(ScsiStatus {
            task_msgid: 7,
            session_id: 1,
            lun_id: [0x60; 16],
            response: 0,
            status: 2,
            flags: 0,
            resid: 0,
            sense: sense.to_vec(),
        }));
        let upcall = |message| Event::Upcall {
            call: 1,
            attempt: 1,
            lock_held: false,
            message,
        };
        let standby = Event::LuAccess {
            lu: [0x60; 16],
            access: LuAccess::Standby,
        };
        let (initiator, tag) = (0, 1);
        let mut events = vec![
            (0, standby),
            (0, command(1, session, read)),
            (0, upcall(&first)),
            (0, Event::Aborted { initiator, tag }),
            (0, command(2, other_session, ready)),
        ];
        // Both are out when the message goes: it may be of either.
        if read == ready {
            events[2..].rotate_right(1);
        }
        if sent_too {
            events.push((0, upcall(&second)));
        }
        let post = Event::Post {
            post: 3,
            message: &status,
        };
        match begins {
            Begins::Before => events.push((0, post)),
            Begins::Meanwhile(_) | Begins::StandingStill => events.insert(4, (0, post)),
        }
        if matches!(begins, Begins::StandingStill) {
            events.insert(4, (0, Event::Fault("pause: for 1 ms")));
        }
        let done = Event::CommandDone {
            initiator,
            tag: 2,
            status: 2,
            residual_flags: 0,
            residual: 0,
            sense: &sense,
            data: &[],
        };
        events.push((0, done));
        let apart = match begins {
            Begins::Meanwhile(nanoseconds) => nanoseconds,
            Begins::Before | Begins::StandingStill => 1000,
        };
        findings_apart(apart, Answers::default(), &events)
    }

    #[test]
    fn a_status_of_another_command_is_told() {
        let found = story(false);
        assert_eq!(found.len(), 1);
        let text = found[0].to_string();
        assert!(
            text.starts_with("wrong-answer: command 2 of initiator 0 at node 0 (TEST UNIT READY)"),
            "{text}"
        );
        assert!(text.contains("status of task 0x7"), "{text}");
    }

    #[test]
    fn of_two_commands_that_look_alike_either_may_have_gone() {
        let read = cdb::read_10(9, 1);
        assert!(told((&read, 1), (&read, 1), false, Begins::Before).is_empty());
        assert_eq!(told((&read, 1), (&read, 2), false, Begins::Before).len(), 1);
    }

    #[test]
    fn a_post_that_lasts_ends_no_command_in_the_moment_in_which_it_begins() {
        let (read, ready) = (cdb::read_10(9, 1), cdb::test_unit_ready());
        let told = |begins| told((&read, 1), (&ready, 2), false, begins).len();
        assert_eq!(told(Begins::Meanwhile(0)), 0);
        assert_eq!(
            told(Begins::Meanwhile(1)),
            1,
            "it was out while the post waited"
        );
        assert_eq!(told(Begins::StandingStill), 0);
    }

    #[test]
    fn a_command_that_the_peer_had_may_say_the_same() {
        assert!(story(true).is_empty());
    }
}
