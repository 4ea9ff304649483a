// SPDX-License-Identifier: MPL-2.0
//! One event as one line of a listing.

use super::describe::{self, Undecoded};
use super::follow::{CommandKey, Context};
use super::text::{clean, duration, fit, id, width};
use super::{fields, opcode_name};
use crate::report::style::{Style, Tone};
use stmf_proxy::message::{Message, MessageType};
use stmf_proxy::trace::{Event, Record};

/// The narrowest that a listing can be.
pub const LEAST_WIDTH: usize = 60;
/// Columns of the time; longer ones take more.
const TIME: usize = 10;
/// Columns of the path.
const PATH: usize = 10;
/// Columns of how long something took.
const TOOK: usize = 7;

/// An event in the columns of a listing.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) time: String,
    pub(crate) node: String,
    pub(crate) path: &'static str,
    pub(crate) what: String,
    /// What of this is left when the rest gives way to an ellipsis.
    pub(crate) tail: String,
    pub(crate) took: Option<u64>,
    pub(crate) result: Option<String>,
    pub(crate) trouble: bool,
}

/// The line above all others.
pub(crate) fn heading() -> Line {
    Line {
        time: format!("{:<TIME$}", "# time"),
        node: "n".to_owned(),
        path: "path",
        what: "what".to_owned(),
        tail: String::new(),
        took: None,
        result: Some("result".to_owned()),
        trouble: false,
    }
}

impl Line {
    /// The line of an event; `took` nanoseconds have gone by since what it ends began.
    pub(crate) fn new(
        record: &Record<'_>,
        message: Option<&Result<Message, Undecoded>>,
        context: &Context,
        took: Option<u64>,
        time: String,
    ) -> Line {
        let (what, tail) = match record.event {
            Event::UpcallDone { call, .. } => of_message(context, "upcall", call),
            Event::PostDone { post, .. } => of_message(context, "post", post),
            _ => (what(record, message, context), String::new()),
        };
        Line {
            time,
            node: record
                .node
                .map_or_else(|| "-".to_owned(), |node| node.to_string()),
            path: path(&record.event),
            what,
            tail,
            took: took.filter(|_| record.event.message().is_none()),
            result: result(record),
            trouble: trouble(record, message),
        }
    }

    /// The line in at most `room` columns, without a line break.
    pub(crate) fn render(&self, room: usize, style: Style) -> String {
        let room = room.max(LEAST_WIDTH);
        let head = format!(
            "{:>TIME$} {:<1} {:<PATH$} ",
            self.time, self.node, self.path
        );
        let room = room.saturating_sub(width(&head));
        let body = match &self.result {
            None => fit(&format!("{}{}", self.what, self.tail), room),
            Some(result) => {
                // Half for what it is about and how long it took, half for the result. What is
                // not needed for a short result is for the words.
                let left = room.saturating_sub(1) / 2 + 3;
                let left = match self.took {
                    None => left
                        .max(room.saturating_sub(width(result) + 1))
                        .min(left.max(width(&self.what) + width(&self.tail))),
                    Some(_) => left,
                };
                let right = room.saturating_sub(left + 1);
                let (words, took) = match self.took {
                    None => (left, String::new()),
                    Some(took) => (left - TOOK - 1, format!(" {:>TOOK$}", duration(took))),
                };
                let tail = fit(&self.tail, words);
                let what = fit(&self.what, words - width(&tail)) + &tail;
                let padding = words.saturating_sub(width(&what));
                format!("{what}{:padding$}{took} {}", "", fit(result, right))
            }
        };
        let tone = if self.trouble { Tone::Bad } else { Tone::Plain };
        let body = style.paint(tone, body.trim_end());
        format!("{head}{body}").trim_end().to_owned()
    }
}

/// Between whom: initiator, kernel, relay, peer. A double line is a call with the stmf lock held, a
/// dot the end of a call or command.
fn path(event: &Event<'_>) -> &'static str {
    match event {
        Event::Upcall {
            lock_held: true, ..
        } => "   K=>R",
        Event::Upcall { .. } | Event::Unreferenced => "   K->R",
        Event::UpcallDone { .. } => "   K<.R",
        Event::Post { .. } | Event::Call { .. } => "   K<-R",
        Event::PostDone { .. } | Event::CallDone { .. } => "   K.>R",
        Event::Sent { .. } | Event::Connect { .. } => "      R->P",
        Event::Received { .. } => "      R<-P",
        Event::Connected { .. } => "      R--P",
        Event::Disconnected { .. } => "      R-xP",
        Event::Command { .. }
        | Event::Management { .. }
        | Event::SessionOpened { .. }
        | Event::SessionClosed { .. } => "I->K",
        Event::CommandDone { .. } | Event::ManagementDone { .. } => "I<.K",
        Event::Aborted { .. } | Event::TimedOut { .. } => "Ix.K",
        Event::KernelLog(_)
        | Event::Panic { .. }
        | Event::Boot { .. }
        | Event::PowerOff
        | Event::AluaState { .. }
        | Event::LuAccess { .. }
        | Event::LuOperation { .. }
        | Event::PortAdded { .. }
        | Event::PortRemoved { .. } => "   K",
        Event::RelayLog(_) | Event::RelayStarted | Event::RelayEnded => "      R",
        Event::Fault(_)
        | Event::Step(_)
        | Event::Lost { .. }
        | Event::Choices(_)
        | Event::Operation { .. }
        | Event::Other { .. } => "",
    }
}

/// What the line says. Where the path does not tell what kind of event it is, the words do.
fn what(
    record: &Record<'_>,
    message: Option<&Result<Message, Undecoded>>,
    context: &Context,
) -> String {
    let words = describe::what(record, message);
    match record.event {
        Event::Upcall { attempt, .. } => {
            let words = describe::message_words(record, message);
            match attempt {
                0 | 1 => words,
                _ => format!("attempt {attempt}: {words}"),
            }
        }
        Event::UpcallDone { .. } | Event::PostDone { .. } => String::new(),
        Event::Post { .. }
        | Event::Call { .. }
        | Event::CallDone { .. }
        | Event::SessionOpened { .. }
        | Event::AluaState { .. } => words,
        Event::Command { initiator, tag, .. } | Event::Management { initiator, tag, .. } => {
            format!("i{initiator}#{} {words}", id(tag))
        }
        Event::CommandDone { .. } | Event::ManagementDone { .. } => of_command(context),
        Event::Aborted { .. } => format!("{} given up by the target", of_command(context)),
        Event::TimedOut { .. } => format!("{} timed out", of_command(context)),
        Event::SessionClosed { .. } => format!("closed {words}"),
        Event::Sent { connection, .. } | Event::Received { connection, .. } => {
            format!("connection {connection}: {words}")
        }
        Event::Connect { connection }
        | Event::Connected { connection }
        | Event::Disconnected { connection, .. } => {
            format!("{} {connection}", describe::kind_name(&record.event))
        }
        Event::KernelLog(_) | Event::RelayLog(_) => format!("log: {words}"),
        Event::Panic { .. } => format!("PANIC: {words}"),
        Event::PowerOff => "power lost".to_owned(),
        Event::Boot { boot } => format!("boot {}", id(boot)),
        Event::RelayStarted => "relay started".to_owned(),
        Event::RelayEnded => "relay ended".to_owned(),
        Event::Unreferenced => "door unreferenced".to_owned(),
        Event::LuAccess { .. } | Event::LuOperation { .. } => format!("LU {words}"),
        Event::Lost { .. } => "not recorded".to_owned(),
        _ => match words.is_empty() {
            true => describe::kind_name(&record.event),
            false => format!("{}: {words}", describe::kind_name(&record.event)),
        },
    }
}

fn result(record: &Record<'_>) -> Option<String> {
    describe::result(record)
}

/// The message that a call handed over, or the number of the call: its type, and what tells it
/// apart.
fn of_message(context: &Context, name: &str, number: u64) -> (String, String) {
    match (context.message_type, context.task, context.session) {
        (Some(kind), Some(task), _) => (kind.to_string(), format!(" task {}", id(task))),
        (
            Some(kind @ (MessageType::SessionCreate | MessageType::SessionDestroy)),
            None,
            Some(session),
        ) => (kind.to_string(), format!(" {}", id(session))),
        (Some(kind), None, _) => (kind.to_string(), String::new()),
        (None, ..) => (format!("{name} {}", id(number)), String::new()),
    }
}

/// A command by who sent it and what it is, as far as that is known.
pub(crate) fn of_command(context: &Context) -> String {
    let Some(CommandKey {
        initiator,
        tag,
        management,
        ..
    }) = context.command
    else {
        return String::new();
    };
    let name = match (management, &context.cdb) {
        (true, _) => "task management".to_owned(),
        (false, Some(cdb)) => opcode_name(cdb.bytes()).to_owned(),
        (false, None) => "command".to_owned(),
    };
    format!("i{initiator}#{} {name}", id(tag))
}

/// Whether an event or the message in it tells that something went wrong.
pub(crate) fn trouble(record: &Record<'_>, message: Option<&Result<Message, Undecoded>>) -> bool {
    let in_message = match message {
        None => false,
        Some(Err(_)) => true,
        Some(Ok(message)) => fields::tells_of_failure(message),
    };
    let in_event = match record.event {
        Event::KernelLog(_) => true,
        Event::Upcall { attempt, .. } => attempt > 1,
        event => event.trouble().is_some(),
    };
    in_message || in_event
}

/// The text as it is when nothing of it can do harm, for lines that are not of events.
pub(crate) fn remark(text: &str) -> String {
    clean(text)
}
