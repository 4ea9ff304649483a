// SPDX-License-Identifier: MPL-2.0
//! The figures of a trace, in one pass and bounded memory: how much of what passed, how long
//! commands took, what was not answered, what went wrong.

mod report;

use super::bounded::TABLE_LIMIT;
use super::follow::{CommandKey, Context, Follower, Way};
use super::histogram::Histogram;
use super::line;
use super::opcode_name;
use super::show::Clock;
use super::text::id;
use crate::scsi;
use std::collections::BTreeMap;
use stmf_proxy::message::MessageType;
use stmf_proxy::status::Errno;
use stmf_proxy::trace::{Entry, Event, Files, FilesError, NodeId, Section};

/// How many of the longest gaps are told.
pub const GAPS: usize = 5;
/// How many unanswered commands are told of one by one.
pub const UNANSWERED: usize = 10;
/// How many different kinds of trouble are counted apart; those after it are counted together.
pub const TROUBLES: usize = 256;

/// A message goes from the kernel to the relay.
const UP: bool = false;
/// A message goes from the relay to the kernel.
const DOWN: bool = true;

/// How the time of a command was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measured {
    /// From the initiator's command to its end.
    Initiator,
    /// On the node that hands commands over: from the upcall of the `scsi_cmd` to the post of the
    /// `scsi_status`.
    HandedOver,
    /// On the node that serves them: from the post of the `scsi_cmd` to the upcall of the
    /// `scsi_status`.
    Served,
}

impl Measured {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Measured::Initiator => "initiator",
            Measured::HandedOver => "handed-over",
            Measured::Served => "served",
        }
    }
}

/// Messages of one type that passed one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many; an attempt of the kernel to hand one over again is not counted.
    pub count: u64,
    /// Their bytes, whether they are in the trace or not.
    pub bytes: u64,
    /// How often handing one over ended badly.
    pub not_taken: u64,
}

/// A time in which nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// How long, in nanoseconds.
    pub length: u64,
    /// When it began, in nanoseconds since the first event.
    pub from: i128,
    /// The event before it, by its sequence number.
    pub after: u64,
}

/// A command that was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// On which node.
    pub node: Option<NodeId>,
    /// Which, in words.
    pub what: String,
    /// When it began, in nanoseconds since the first event; `None` if that was not seen.
    pub since: Option<i128>,
    /// How it was given up, and after how many nanoseconds, if its beginning was seen; `None` if
    /// it was still waiting at the end.
    pub given_up: Option<(&'static str, Option<u64>)>,
}

/// What became of the commands of initiators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// Commands and task management functions that began.
    pub begun: u64,
    /// How they ended, by SCSI status.
    pub ended: BTreeMap<u8, u64>,
    /// Task management functions that ended.
    pub management: u64,
    /// Given up by the initiator.
    pub timed_out: u64,
    /// Given up by the target.
    pub aborted: u64,
}

/// Kinds of trouble, by node and in words.
type Troubles = BTreeMap<(Option<NodeId>, String), u64>;

/// The figures of a trace.
#[derive(Debug)]
pub struct Stats {
    /// Events.
    pub events: u64,
    /// Sections.
    pub sections: u64,
    /// From the earliest event to the latest, in nanoseconds.
    pub span: u64,
    /// The time of the latest event, in nanoseconds since the first one.
    pub end: i128,
    /// By node, direction (false: upcalls, true: posts) and type; no type for what is
    /// none of the fifteen messages.
    pub messages: BTreeMap<(Option<NodeId>, bool, Option<MessageType>), Traffic>,
    /// Bytes on the peer link by node: sent, received.
    pub link: BTreeMap<Option<NodeId>, (u64, u64)>,
    /// How long commands took, by how it was measured and by command.
    pub latency: BTreeMap<(Measured, &'static str), Histogram>,
    /// The longest times without an event, longest first.
    pub gaps: Vec<Gap>,
    /// Commands of initiators.
    pub commands: Commands,
    /// The first commands that were not answered, in the order in which they began.
    pub unanswered: Vec<Unanswered>,
    /// How many there were.
    pub unanswered_count: u64,
    /// Calls of the door that had not ended, and posts.
    pub open_calls: (u64, u64),
    /// What went wrong, counted.
    pub troubles: Troubles,
    /// Events that happened and are not in the trace.
    pub lost: u64,
    /// Things under way that were forgotten because there were too many.
    pub forgotten: u64,
    /// Oddities of the files.
    pub notices: u64,
    /// What keeps files from being read, or read to their end.
    pub broken: Vec<String>,
}

/// Counts what is in a trace. Nothing that is wrong with the files ends it early but their end:
/// see [`Stats::broken`].
pub fn collect(files: &mut Files) -> Stats {
    collect_within(files, TABLE_LIMIT)
}

fn collect_within(files: &mut Files, limit: usize) -> Stats {
    let mut collector = Collector {
        follower: Follower::with_limit(limit),
        clock: Clock::default(),
        last: None,
        ends: None,
        lost_before: BTreeMap::new(),
        given_up: Vec::new(),
        stats: Stats::empty(),
    };
    let end = loop {
        let more = files.advance();
        files.take_notices();
        match more {
            Ok(true) => {
                let sections = files.sections();
                if let (Some(entry), Some(section)) = (files.entry(), files.section()) {
                    collector.event(&entry, section, sections);
                }
            }
            Ok(false) => break None,
            Err(error) => break Some(error),
        }
    };
    let mut stats = collector.finish();
    stats.events = files.records();
    stats.sections = files.sections();
    stats.notices = files.notice_count();
    let broken = files.broken().iter().chain(&end);
    stats.broken = broken.map(FilesError::to_string).collect();
    stats
}

struct Collector {
    follower: Follower,
    clock: Clock,
    /// Number, section and time of the event before.
    last: Option<(u64, u64, i128)>,
    /// The earliest and the latest time.
    ends: Option<(i128, i128)>,
    /// Events that sections say were lost before them.
    lost_before: BTreeMap<u64, u64>,
    given_up: Vec<Unanswered>,
    stats: Stats,
}

impl Collector {
    fn event(&mut self, entry: &Entry<'_>, section: &Section, section_number: u64) {
        let record = &entry.record;
        let (time, now) = self.clock.read(entry, section);
        self.time_goes_on(record.sequence, section_number, time);
        if section.lost > 0 && !self.lost_before.contains_key(&section_number) {
            // Only the last one can come again.
            self.lost_before.clear();
            self.lost_before.insert(section_number, section.lost);
            self.stats.lost = self.stats.lost.saturating_add(section.lost);
        }
        let node = record.node;
        let dialect = node.and_then(|node| section.nodes.get(&node).copied().flatten());
        let context = self.follower.follow(record, dialect, now);
        let took = context.began.map(|began| now.saturating_sub(began));
        let errno = |number| Errno::from_number(number).to_string();
        let length = record.original_length() as u64;
        match record.event {
            Event::Upcall { attempt, .. } => {
                if attempt > 1 {
                    self.trouble(node, "upcalls tried again");
                } else {
                    self.message(node, UP, &context, length);
                }
                if let Some(took) = took
                    && context.message_type == Some(MessageType::ScsiStatus)
                {
                    self.latency(Measured::Served, &context, took);
                }
            }
            Event::Post { .. } => {
                self.message(node, DOWN, &context, length);
                if let Some(took) = took
                    && context.message_type == Some(MessageType::ScsiStatus)
                {
                    self.latency(Measured::HandedOver, &context, took);
                }
            }
            Event::UpcallDone { outcome, .. } => {
                let wrong = match outcome {
                    Ok(0) => return,
                    Ok(number) => match i32::try_from(number) {
                        Ok(number) => format!("upcalls answered {}", errno(number)),
                        Err(_) => "upcalls answered with no error number".to_owned(),
                    },
                    Err(number) => format!("upcalls failed: {}", errno(number)),
                };
                self.not_taken(node, UP, &context);
                self.trouble(node, &wrong);
            }
            Event::PostDone {
                outcome: Err(number),
                ..
            } => {
                self.not_taken(node, DOWN, &context);
                self.trouble(node, &format!("posts refused: {}", errno(number)));
            }
            Event::CallDone {
                outcome: Err(number),
                ..
            } => self.trouble(node, &format!("door API calls failed: {}", errno(number))),
            Event::Sent { .. } => self.stats.link.entry(node).or_default().0 += length,
            Event::Received { .. } => self.stats.link.entry(node).or_default().1 += length,
            Event::Command { .. } | Event::Management { .. } => self.stats.commands.begun += 1,
            Event::CommandDone { status, .. } => {
                *self.stats.commands.ended.entry(status).or_default() += 1;
                if let Some(took) = took {
                    self.latency(Measured::Initiator, &context, took);
                }
                if status != 0 {
                    let status = scsi::Status(status);
                    self.trouble(node, &format!("commands ended with {status}"));
                }
            }
            Event::ManagementDone { status, .. } => {
                self.stats.commands.management += 1;
                if let Some(took) = took {
                    self.latency(Measured::Initiator, &context, took);
                }
                if status != 0 {
                    self.trouble(node, "task management functions that failed");
                }
            }
            Event::TimedOut { .. } => {
                self.stats.commands.timed_out += 1;
                self.give_up(&context, "timed out", took, time);
                self.trouble(node, "commands timed out");
            }
            Event::Aborted { .. } => {
                self.stats.commands.aborted += 1;
                self.give_up(&context, "given up by the target", took, time);
                self.trouble(node, "commands given up by the target");
            }
            Event::KernelLog(text) => {
                let what = match tells_of_a_loss(text) {
                    true => "kernel log lines of refused or dropped messages",
                    false => "other kernel log lines",
                };
                self.trouble(node, what);
            }
            Event::Panic { .. } => self.trouble(node, "panics"),
            Event::Lost { events } => {
                self.stats.lost = self.stats.lost.saturating_add(events);
            }
            Event::Fault(_) => self.trouble(node, "injected faults"),
            Event::Disconnected { .. } => self.trouble(node, "connections ended or not made"),
            Event::PowerOff => self.trouble(node, "times without power"),
            event if event.trouble().is_some() => self.trouble(node, "other refusals"),
            _ => {}
        }
    }

    fn time_goes_on(&mut self, sequence: u64, section: u64, time: i128) {
        if let Some((before, of_section, from)) = self.last
            && of_section == section
        {
            let length = u64::try_from(time.saturating_sub(from)).unwrap_or(0);
            let gaps = &mut self.stats.gaps;
            // Equal gaps stand in the order in which they came.
            let place = gaps.partition_point(|gap| gap.length >= length);
            if length > 0 && place < GAPS {
                let after = before;
                gaps.truncate(GAPS - 1);
                gaps.insert(
                    place,
                    Gap {
                        length,
                        from,
                        after,
                    },
                );
            }
        }
        self.last = Some((sequence, section, time));
        let (first, last) = self.ends.unwrap_or((time, time));
        self.ends = Some((first.min(time), last.max(time)));
    }

    fn trouble(&mut self, node: Option<NodeId>, what: &str) {
        let troubles = &mut self.stats.troubles;
        let known = troubles.len() < TROUBLES || troubles.contains_key(&(node, what.to_owned()));
        let what = if known { what } else { "other trouble" };
        *troubles.entry((node, what.to_owned())).or_default() += 1;
    }

    fn message(&mut self, node: Option<NodeId>, posted: bool, context: &Context, length: u64) {
        let key = (node, posted, context.message_type);
        let traffic = self.stats.messages.entry(key).or_default();
        traffic.count += 1;
        traffic.bytes = traffic.bytes.saturating_add(length);
        if context.message_type.is_none() {
            self.trouble(node, "damaged messages");
        }
    }

    fn not_taken(&mut self, node: Option<NodeId>, posted: bool, context: &Context) {
        let key = (node, posted, context.message_type);
        // An end whose beginning is not in the trace is of no type that is known.
        self.stats.messages.entry(key).or_default().not_taken += 1;
    }

    fn latency(&mut self, measured: Measured, context: &Context, took: u64) {
        let name = command_name(context);
        let histogram = self.stats.latency.entry((measured, name));
        histogram.or_default().add(took);
    }

    fn give_up(&mut self, context: &Context, how: &'static str, took: Option<u64>, time: i128) {
        self.stats.unanswered_count += 1;
        let unanswered = Unanswered {
            node: context.command.and_then(|key| key.node),
            what: command_words(context),
            since: took.map(|took| time - i128::from(took)),
            given_up: Some((how, took)),
        };
        // Those that end first have not always begun first: the list is put in order, and what
        // is in it too many goes.
        let place = self
            .given_up
            .partition_point(|known| known.since <= unanswered.since);
        self.given_up.insert(place, unanswered);
        self.given_up.truncate(UNANSWERED);
    }

    fn finish(self) -> Stats {
        let mut stats = self.stats;
        let (first, last) = self.ends.unwrap_or_default();
        stats.span = u64::try_from(last.saturating_sub(first)).unwrap_or(u64::MAX);
        stats.end = last;
        stats.forgotten = self.follower.forgotten();
        stats.open_calls = (
            self.follower.open_calls(Way::Up) as u64,
            self.follower.open_calls(Way::Down) as u64,
        );
        let clock = &self.clock;
        let waiting = |node, what, context: &Context| Unanswered {
            node,
            what,
            since: context.began.map(|began| clock.since(began)),
            given_up: None,
        };
        let mut open = Vec::new();
        let mut count = 0;
        for (key, context) in self.follower.open_commands() {
            count += 1;
            open.push(waiting(key.node, command_words(context), context));
            open.truncate(UNANSWERED);
        }
        // Where initiators were recorded, their commands say the same as the tasks do.
        if stats.commands.begun == 0 {
            for ((node, way, _, task), context) in self.follower.open_tasks() {
                count += 1;
                let which = match way {
                    Way::Up => "handed over",
                    _ => "of the peer",
                };
                let name = command_name(context);
                let what = format!("task {} {which}: {name}", id(*task));
                open.push(waiting(*node, what, context));
                open.truncate(UNANSWERED);
            }
        }
        stats.unanswered_count += count;
        stats.unanswered = self.given_up;
        stats.unanswered.extend(open);
        stats.unanswered.sort_by_key(|unanswered| unanswered.since);
        stats.unanswered.truncate(UNANSWERED);
        stats
    }
}

fn command_name(context: &Context) -> &'static str {
    match context.cdb {
        None => "command",
        Some(cdb) if cdb.bytes().is_empty() => "task management",
        Some(cdb) => opcode_name(cdb.bytes()),
    }
}

fn command_words(context: &Context) -> String {
    match context.command {
        Some(CommandKey { .. }) => line::of_command(context),
        None => command_name(context).to_owned(),
    }
}

/// Whether a line of a kernel's log tells that a message was refused or dropped. Kernels word
/// this in many ways, and not all of them are known.
fn tells_of_a_loss(text: &str) -> bool {
    const WORDS: [&str; 9] = [
        "dropped",
        "refused",
        "failed",
        "lost",
        "bad result",
        "not sent",
        "could not be sent",
        "unmarshal",
        "not registered",
    ];
    let text = text.to_ascii_lowercase();
    WORDS.iter().any(|word| text.contains(word))
}

impl Stats {
    fn empty() -> Stats {
        Stats {
            events: 0,
            sections: 0,
            span: 0,
            end: 0,
            messages: BTreeMap::new(),
            link: BTreeMap::new(),
            latency: BTreeMap::new(),
            gaps: Vec::new(),
            commands: Commands::default(),
            unanswered: Vec::new(),
            unanswered_count: 0,
            open_calls: (0, 0),
            troubles: Troubles::new(),
            lost: 0,
            forgotten: 0,
            notices: 0,
            broken: Vec::new(),
        }
    }

    /// Whether everything in the files could be read.
    pub fn complete(&self) -> bool {
        self.notices == 0 && self.broken.is_empty()
    }
}

#[cfg(test)]
mod tests;
