// SPDX-License-Identifier: MPL-2.0
//! Commands that have no status in time, and the last that is known of their messages.
//!
//! SCSI leaves much room: a command may be aborted by a reset, the end of its session or a LU that
//! moves, and a command that is under way when the link breaks or a node goes down is lost. None
//! of that is a finding, nor is one that ends late. What is left had both nodes, both relays and
//! the link all the time, and nobody ended it. What an injected fault has hit is excused, and
//! nothing else (`lost_commands/faults.rs`).

mod command;
mod faults;

use super::describe::describe;
use super::proxied::Proxied;
use super::{Finding, Found, Kind, Seen, Watcher};
use crate::kernel::stmf::MANAGEMENT_ID;
use crate::scsi::opcode;
use crate::world::trace::{Event, InitiatorId, NodeId, Record};
use command::{Command, Link, Step, Trail};
use faults::Faults;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use stmf_proxy::message::{Body, MessageType, Subject};
use stmf_proxy::relay::UpcallRefusal;
use stmf_proxy::time::Time;

/// A command that the target gives up without a status is one whose proxying took too long if it
/// is as old as this: stmf's time-out.
const PROXY_TIMEOUT: Duration = Duration::from_secs(75);

/// A command that is still out at the end of a run is lost if it is as old as this: the longest
/// that stmf lets one run, with 5 s between its looks at the clock.
const LONGEST: Duration = Duration::from_secs(80);

/// Commands that are followed at once, and messages of theirs that wait for an answer.
const MOST: usize = 16_384;

/// How a relay begins to say that it stops.
const STOPPING: &str = "stopping: ";

/// Lost commands of one run that are told.
const MOST_TOLD: usize = 20;

/// Whether a message is of task management: what the peer carries out, and that it has done so.
/// Both end commands, of other initiators too.
fn is_management(record: &Seen<'_>) -> bool {
    let subject = record.peek().map(|seen| &seen.subject);
    matches!(subject, Some(Subject::Task { task_msgid, .. }) if task_msgid & MANAGEMENT_ID != 0)
}

#[derive(Default)]
pub(super) struct LostCommands {
    next: u64,
    /// Those that are out or were given up, by number in the order in which they began.
    commands: BTreeMap<u64, Command>,
    out: BTreeMap<(NodeId, InitiatorId, u64), u64>,
    /// By node and message id.
    tasks: BTreeMap<(NodeId, u64), u64>,
    calls: BTreeMap<(NodeId, u64), u64>,
    posts: BTreeMap<(NodeId, u64), u64>,
    proxied: BTreeMap<NodeId, Proxied>,
    links: BTreeMap<NodeId, Link>,
    /// Nodes that are down.
    down: BTreeSet<NodeId>,
    /// Nodes whose relay has said that it stops, for whatever reason: it lets go of the link, and
    /// may take long to end while the kernel does not return from a post.
    stopping: BTreeSet<NodeId>,
    faults: Faults,
}

impl LostCommands {
    fn link(&mut self, node: NodeId) -> &mut Link {
        self.links.entry(node & !1).or_default()
    }

    fn forget(&mut self, number: u64) {
        let Some(command) = self.commands.remove(&number) else {
            return;
        };
        self.out
            .remove(&(command.node, command.initiator, command.tag));
        if let Some(task) = command.task {
            self.tasks.remove(&(command.node, task));
        }
        self.calls.retain(|_, other| *other != number);
        self.posts.retain(|_, other| *other != number);
    }

    /// Something has happened to the pair of `node` that loses commands.
    fn disturb(&mut self, node: NodeId) {
        let pair = node & !1;
        for command in self.commands.values_mut() {
            let given_up = command.given_up.is_some();
            // What was given up before was lost by something else, unless it was on its way.
            if command.node & !1 == pair && (!given_up || command.is_on_its_way()) {
                command.excused = true;
            }
        }
        // Nothing more is heard of those.
        let over = |(number, command): (&u64, &Command)| {
            (command.excused && command.given_up.is_some()).then_some(*number)
        };
        let over: Vec<u64> = self.commands.iter().filter_map(over).collect();
        over.into_iter().for_each(|number| self.forget(number));
    }

    /// The kernel of `node` is gone, with all that it knew.
    fn node_gone(&mut self, node: NodeId) {
        self.disturb(node);
        self.faults.node_gone(node);
        self.proxied.entry(node).or_default().forget();
        let of_node = |(_, command): (&u64, &Command)| command.node == node;
        let numbers: Vec<u64> = self
            .commands
            .iter()
            .filter(|entry| of_node(*entry) && entry.1.given_up.is_none())
            .map(|(number, _)| *number)
            .collect();
        numbers.into_iter().for_each(|number| self.forget(number));
        // The next kernel numbers anew.
        self.tasks.retain(|(other, _), _| *other != node);
        self.calls.retain(|(other, _), _| *other != node);
        self.posts.retain(|(other, _), _| *other != node);
    }

    /// Which command a message is about, that `node` sends or is given. Where the initiator is,
    /// tells what kind of message it is.
    fn about(&self, node: NodeId, sent: bool, record: &Seen<'_>) -> Option<(u64, MessageType)> {
        let seen = record.peek()?;
        let task = match seen.subject {
            Subject::Task { task_msgid, .. } => task_msgid,
            Subject::Answer {
                message_type,
                msgid,
            } if message_type == MessageType::ScsiCommand.number() => msgid,
            _ => return None,
        };
        let from_initiator = matches!(
            seen.message_type,
            MessageType::ScsiCommand | MessageType::ScsiDataTransferDone
        );
        let home = if from_initiator == sent {
            node
        } else {
            node ^ 1
        };
        let number = self.tasks.get(&(home, task))?;
        Some((*number, seen.message_type))
    }

    /// A command goes to the peer: it is the first one that looks like it.
    fn proxied_command(&mut self, node: NodeId, record: &Seen<'_>) {
        let Some(Body::ScsiCommand(sent)) = record.decoded().map(|message| &message.body) else {
            return;
        };
        if self.tasks.contains_key(&(node, sent.task_msgid)) {
            return; // It is tried again.
        }
        let found = self.commands.iter_mut().find(|(_, command)| {
            command.node == node
                && command.task.is_none()
                && command.given_up.is_none()
                && command.session == sent.session_id
                && command.lun == sent.task_lun_no
                && command.cdb == sent.task_cdb
        });
        if let Some((number, command)) = found {
            command.task = Some(sent.task_msgid);
            self.tasks.insert((node, sent.task_msgid), *number);
        }
    }

    fn upcall(&mut self, node: NodeId, call: u64, record: &Seen<'_>) {
        if record.is_a(MessageType::ScsiCommand) {
            self.proxied_command(node, record);
        }
        self.faults.called(node, call, record);
        if is_management(record) {
            self.disturb(node);
        }
        let Some((number, message_type)) = self.about(node, true, record) else {
            return;
        };
        if self.calls.len() < MOST {
            self.calls.insert((node, call), number);
        }
        if let Some(command) = self.commands.get_mut(&number) {
            command.trail = Some(Trail {
                from: node,
                message_type,
                message: describe(record),
                step: Step::Called(call),
            });
        }
    }

    fn upcall_done(&mut self, node: NodeId, call: u64, outcome: Result<u32, i32>, now: Time) {
        let injected = self.faults.call_done(node, call, outcome);
        let Some(number) = self.calls.remove(&(node, call)) else {
            return;
        };
        // A relay without a link has to refuse, and so has one that stops.
        let no_link = outcome == Ok(UpcallRefusal::LinkDown.errno());
        let stops = outcome == Ok(UpcallRefusal::Stopping.errno()) && self.stopping.contains(&node);
        let excused = no_link || stops || injected || !self.link(node).has_settled(now);
        let Some(command) = self.commands.get_mut(&number) else {
            return;
        };
        let Some(trail) = &mut command.trail else {
            return;
        };
        if trail.from != node || trail.step != Step::Called(call) {
            return; // It has gone further meanwhile.
        }
        trail.step = match outcome {
            Ok(result) => Step::Answered(result),
            Err(errno) => Step::Failed(errno),
        };
        if outcome != Ok(0) && excused {
            command.excused = true;
        }
    }

    fn post(&mut self, record: &Seen<'_>, node: NodeId, post: u64) {
        let proxied = self.proxied.entry(node).or_default();
        let refused = proxied.given(record);
        let refuses = self.faults.posted(node, post, record);
        // A port is closed here, and its commands end, before it is asked at home whether it has
        // sessions.
        if is_management(record) || record.is_a(MessageType::DeregisterProxyPort) {
            self.disturb(node);
        }
        let Some((number, message_type)) = self.about(node, false, record) else {
            return;
        };
        if self.posts.len() < MOST {
            self.posts.insert((node, post), number);
        }
        if let Some(command) = self.commands.get_mut(&number) {
            if message_type == MessageType::ScsiCommand {
                command.refused = refused;
                command.excused |= refuses;
            }
            command.trail = Some(Trail {
                from: node ^ 1,
                message_type,
                message: describe(record),
                step: Step::Posted,
            });
        }
    }

    /// An injected fault hits something.
    fn fault(&mut self, record: &Record<'_>, node: NodeId, text: &str) {
        if self.faults.hit(record.time, node, text) {
            self.disturb(node);
        }
        let post = crate::world::faults::number(text, "post");
        let number = post.and_then(|post| self.posts.get(&(node, post)));
        if let Some(command) = number.and_then(|number| self.commands.get_mut(number)) {
            command.excused = true;
        }
    }

    fn post_done(&mut self, node: NodeId, post: u64, now: Time) {
        self.faults.post_done(node, post, now);
        let number = self.posts.remove(&(node, post));
        let command = number.and_then(|number| self.commands.get_mut(&number));
        if let Some(trail) = command.and_then(|command| command.trail.as_mut())
            && trail.from != node
            && trail.step == Step::Posted
        {
            trail.step = Step::Handled;
        }
    }

    fn began(&mut self, record: &Record<'_>, node: NodeId) {
        let Event::Command {
            initiator,
            tag,
            session,
            lun,
            cdb,
            ..
        } = record.event
        else {
            return;
        };
        if self.commands.len() >= MOST {
            return;
        }
        let number = self.next;
        self.next += 1;
        self.out.insert((node, initiator, tag), number);
        self.commands.insert(
            number,
            Command {
                node,
                initiator,
                tag,
                session,
                lun,
                cdb: cdb.to_vec(),
                began: record.time,
                given_up: None,
                task: None,
                trail: None,
                refused: None,
                // Its relay may take a while to notice.
                excused: self.down.contains(&(node ^ 1))
                    || self.faults.excuses_all(node, record.time),
            },
        );
    }

    /// A command has ended, or was given up.
    fn ended(&mut self, key: (NodeId, InitiatorId, u64), now: Time, without_status: bool) {
        let Some(number) = self.out.remove(&key) else {
            return;
        };
        match self.commands.get_mut(&number) {
            Some(command) if without_status && !command.excused => command.given_up = Some(now),
            _ => {
                self.swap_with_twin(number);
                self.forget(number);
            }
        }
    }

    /// Which message belongs to which of several commands that look alike is a guess. When one of
    /// them ends whose messages say otherwise, its messages are those of a twin.
    fn swap_with_twin(&mut self, number: u64) {
        let Some(command) = self.commands.get(&number) else {
            return;
        };
        if command.task.is_none() || command.has_its_status() {
            return;
        }
        let twin = self.commands.iter().find(|(other, twin)| {
            **other != number && twin.has_its_status() && twin.looks_like(command)
        });
        let Some((&other, _)) = twin else { return };
        let (Some(mut one), Some(mut two)) =
            (self.commands.remove(&number), self.commands.remove(&other))
        else {
            return;
        };
        one.swap_messages(&mut two);
        for (number, command) in [(number, &one), (other, &two)] {
            if let Some(task) = command.task {
                self.tasks.insert((command.node, task), number);
            }
        }
        for holder in self.calls.values_mut().chain(self.posts.values_mut()) {
            if *holder == number {
                *holder = other;
            } else if *holder == other {
                *holder = number;
            }
        }
        self.commands.insert(number, one);
        self.commands.insert(other, two);
    }

    fn age(&self, key: (NodeId, InitiatorId, u64), now: Time) -> Duration {
        let number = self.out.get(&key);
        let command = number.and_then(|number| self.commands.get(number));
        command.map_or(Duration::ZERO, |command| now - command.began)
    }
}

impl Watcher for LostCommands {
    fn event(&mut self, record: &Seen<'_>, _: Found<'_>) {
        let (Some(node), now) = (record.node, record.time) else {
            return;
        };
        match record.event {
            Event::Command { .. } => self.began(record, node),
            Event::CommandDone { initiator, tag, .. } => {
                self.ended((node, initiator, tag), now, false);
            }
            Event::TimedOut { initiator, tag } => self.ended((node, initiator, tag), now, true),
            Event::Aborted { initiator, tag } => {
                let key = (node, initiator, tag);
                let timed_out = self.age(key, now) >= PROXY_TIMEOUT;
                self.ended(key, now, timed_out);
            }
            Event::Upcall { call, .. } => self.upcall(node, call, record),
            Event::UpcallDone { call, outcome } => self.upcall_done(node, call, outcome, now),
            Event::Post { post, .. } => self.post(record, node, post),
            Event::PostDone { post, .. } => self.post_done(node, post, now),
            Event::Fault(text) => self.fault(record, node, text),
            Event::RelayLog(line) => {
                // After the level.
                let text = line.split_once(": ").map_or(line, |(_, text)| text);
                if text.starts_with(STOPPING) {
                    self.stopping.insert(node);
                }
                self.proxied.entry(node).or_default().relay_log(line);
            }
            // Whoever ends a connection is not told that it has ended; the next one tells.
            Event::Connect { .. } => self.disturb(node),
            Event::Connected { connection } => {
                let link = self.link(node);
                link.open.retain(|(other, _)| *other != node);
                link.open.insert((node, connection));
                link.changed(now);
                self.disturb(node);
            }
            Event::Disconnected { connection, .. } => {
                let link = self.link(node);
                link.open.remove(&(node, connection));
                link.changed(now);
                self.disturb(node);
            }
            Event::RelayStarted | Event::RelayEnded => {
                let link = self.link(node);
                link.open.retain(|(other, _)| *other != node);
                link.changed(now);
                self.proxied.entry(node).or_default().forget();
                self.stopping.remove(&node);
                self.disturb(node);
            }
            Event::PowerOff | Event::Panic { .. } | Event::Boot { .. } => {
                let link = self.link(node);
                link.open.retain(|(other, _)| *other != node);
                link.changed(now);
                match record.event {
                    Event::Boot { .. } => self.down.remove(&node),
                    _ => self.down.insert(node),
                };
                self.stopping.remove(&node);
                self.node_gone(node);
            }
            // Resets, LUs that move, sessions and ports that end: all of them abort commands.
            Event::Management { .. }
            | Event::AluaState { .. }
            | Event::LuAccess { .. }
            | Event::LuOperation { .. }
            | Event::SessionClosed { .. }
            | Event::PortRemoved { .. } => self.disturb(node),
            _ => {}
        }
    }

    fn end(&mut self, now: Time, found: Found<'_>) {
        let mut told = 0;
        for command in self.commands.values() {
            let waited = command.given_up.unwrap_or(now) - command.began;
            let overdue = command.given_up.is_some() || waited >= LONGEST;
            if !overdue || command.excused || command.has_its_status() || told == MOST_TOLD {
                continue;
            }
            told += 1;
            let text = format!(
                "initiator {}'s {} tag {} at node {} had no status in {} s: {}",
                command.initiator,
                opcode::name(&command.cdb),
                command.tag,
                command.node,
                waited.as_secs(),
                command.reason()
            );
            found.push(Finding {
                kind: Kind::LostCommand,
                time: command.given_up.unwrap_or(now),
                node: Some(command.node),
                text,
            });
        }
    }
}

#[cfg(test)]
mod tests;
