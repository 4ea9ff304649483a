// SPDX-License-Identifier: MPL-2.0
//! What each kind of event adds to the diagram.

use super::choice::About;
use super::exchange::CommandKey;
use super::{INITIATOR, Side, Story, about_note, words};
use crate::report::ladder::{Arrow, Fate, Item, Presence};
use crate::report::style::Tone;
use crate::report::thousands;
use crate::scsi::{Status, opcode};
use crate::view::filter::TypeChoice;
use stmf_proxy::trace::{ConnectionEnd, Event, EventKind, Record};

impl Story {
    pub(super) fn tell(&mut self, record: &Record<'_>) {
        let Some(side) = self.side(record.node) else {
            if record.node.is_none() {
                self.tell_of_world(record);
            } else {
                self.others += 1;
            }
            return;
        };
        let kind = record.event.kind().unwrap_or(EventKind::Choices);
        match record.event {
            Event::Upcall {
                call,
                attempt,
                lock_held,
                ..
            } => self.upcall(side, record, call, attempt, lock_held),
            Event::UpcallDone { call, outcome } => self.upcall_done(side, call, outcome),
            Event::Post { post, .. } => self.post(side, record, post),
            Event::PostDone { post, outcome } => self.post_done(side, post, outcome),
            Event::Command { .. }
            | Event::CommandDone { .. }
            | Event::Management { .. }
            | Event::ManagementDone { .. }
            | Event::Aborted { .. }
            | Event::TimedOut { .. }
            | Event::SessionOpened { .. }
            | Event::SessionClosed { .. } => self.tell_of_initiator(side, record, kind),
            _ => self.tell_of_node(side, record, kind),
        }
    }

    fn tell_of_world(&mut self, record: &Record<'_>) {
        let (text, tone) = match record.event {
            Event::Step(text) => (text.to_owned(), Tone::Heading),
            Event::Fault(text) => (format!("fault: {text}"), Tone::Bad),
            Event::Lost { events } => (lost(events), Tone::Bad),
            _ => return,
        };
        self.band(record.event.kind(), text, tone);
    }

    fn band(&mut self, kind: Option<EventKind>, text: String, tone: Tone) {
        let when = self.now;
        let item = Item::Band { text, tone, when };
        let kind = kind.unwrap_or(EventKind::Step);
        self.begin(item, about_note(kind, true));
    }

    fn tell_of_initiator(&mut self, side: Side, record: &Record<'_>, kind: EventKind) {
        let down = (INITIATOR, side.kernel());
        let up = (side.kernel(), INITIATOR);
        let key = |initiator, management, tag| CommandKey {
            side,
            initiator,
            management,
            tag,
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
                let label = format!("{} {}", opcode::name(cdb), words::tag(initiator, tag));
                let key = key(initiator, false, tag);
                self.command(side, kind, key, (session, lun, cdb), label);
            }
            Event::Management {
                initiator,
                tag,
                session,
                lun,
                function,
            } => {
                let label = format!("management {function} {}", words::tag(initiator, tag));
                let key = key(initiator, true, tag);
                self.command(side, kind, key, (session, lun, &[]), label);
            }
            Event::CommandDone {
                initiator,
                tag,
                status,
                sense,
                ..
            } => {
                let length = record.original_length() as u64;
                let (ending, good) = words::ending(status, sense, length);
                let label = format!("{ending} {}", words::tag(initiator, tag));
                let fate = if good { Fate::Arrived } else { Fate::Failed };
                self.ended(kind, &[key(initiator, false, tag)], up, &label, fate);
            }
            Event::ManagementDone {
                initiator,
                tag,
                status,
            } => {
                let label = format!("{} {}", Status(status), words::tag(initiator, tag));
                let fate = match status {
                    0 => Fate::Arrived,
                    _ => Fate::Failed,
                };
                self.ended(kind, &[key(initiator, true, tag)], up, &label, fate);
            }
            Event::Aborted { initiator, tag } => {
                let label = format!("aborted {}", words::tag(initiator, tag));
                let keys = [key(initiator, false, tag), key(initiator, true, tag)];
                self.ended(kind, &keys, up, &label, Fate::Failed);
            }
            Event::TimedOut { initiator, tag } => {
                let keys = [key(initiator, false, tag), key(initiator, true, tag)];
                let exchange = self.exchange_of(&keys);
                self.went_wrong_maybe(exchange);
                let text = format!("{} timed out", words::tag(initiator, tag));
                let item = Item::Note {
                    lane: INITIATOR,
                    text,
                    tone: Tone::Bad,
                    when: self.now,
                    presence: None,
                };
                let about = About {
                    exchange,
                    ..about_note(kind, true)
                };
                self.begin(item, about);
            }
            Event::SessionOpened { session, .. } => {
                let exchange = self.exchanges.begin();
                self.seen(exchange, Some(session), None);
                let mut arrow = Arrow::new(down.0, down.1, "login", self.now, self.now);
                if session == 0 {
                    arrow.fate = Fate::Refused;
                    arrow.remark = "refused".into();
                    self.went_wrong(exchange);
                } else {
                    arrow.label = format!("login: session {}", words::id(session));
                }
                let about = About {
                    exchange: Some(exchange),
                    ..about_note(kind, false)
                };
                self.begin(Item::Arrow(arrow), about);
            }
            Event::SessionClosed { session, .. } => {
                let exchange = self.exchanges.begin();
                self.seen(exchange, Some(session), None);
                let label = format!("logout: session {}", words::id(session));
                self.exchange_arrow(kind, down, &label, Fate::Arrived, Some(exchange));
            }
            _ => {}
        }
    }

    fn command(
        &mut self,
        side: Side,
        kind: EventKind,
        key: CommandKey,
        (session, lun, cdb): (u64, [u8; 8], &[u8]),
        label: String,
    ) {
        let exchange = self.exchanges.command(key, session, lun, cdb, None);
        self.seen(exchange, Some(session), None);
        let lanes = (INITIATOR, side.kernel());
        let drawn = self.exchange_arrow(kind, lanes, &label, Fate::Arrived, Some(exchange));
        if let Some(command) = self.exchanges.commands.get_mut(&key) {
            command.label = drawn.map(|_| label);
        }
    }

    fn exchange_of(&mut self, keys: &[CommandKey]) -> Option<u64> {
        keys.iter()
            .find_map(|key| self.exchanges.command_ended(key))
    }

    fn went_wrong_maybe(&mut self, exchange: Option<u64>) {
        if let Some(exchange) = exchange {
            self.went_wrong(exchange);
        }
    }

    /// A command or task management function has ended.
    fn ended(
        &mut self,
        kind: EventKind,
        keys: &[CommandKey],
        lanes: (usize, usize),
        label: &str,
        fate: Fate,
    ) {
        let exchange = self.exchange_of(keys);
        if fate == Fate::Failed {
            self.went_wrong_maybe(exchange);
        }
        let exchange = exchange.unwrap_or_else(|| self.exchanges.begin());
        self.exchange_arrow(kind, lanes, label, fate, Some(exchange));
    }

    fn tell_of_node(&mut self, side: Side, record: &Record<'_>, kind: EventKind) {
        let (kernel, relay) = (side.kernel(), side.relay());
        match record.event {
            Event::KernelLog(line) => {
                self.note(kind, kernel, &format!("log: {line}"), Tone::Bad);
            }
            Event::RelayLog(line) => self.relay_log(relay, line),
            Event::Panic { trap, reason } => {
                let text = match trap {
                    0 => format!("panic: {reason}"),
                    _ => format!("panic (trap {trap}): {reason}"),
                };
                self.kernel_gone(side, "panic");
                self.turn(kind, kernel, &text, Tone::Bad, Presence::Goes);
            }
            Event::PowerOff => {
                self.kernel_gone(side, "power off");
                self.turn(kind, kernel, "power off", Tone::Bad, Presence::Goes);
            }
            Event::Boot { boot } => {
                self.kernel_gone(side, "boot");
                let (text, tone) = match boot {
                    1 => ("boot".to_owned(), Tone::Faint),
                    _ => (format!("boot {}", words::id(boot)), Tone::Plain),
                };
                self.turn(kind, kernel, &text, tone, Presence::Comes);
            }
            Event::RelayStarted => {
                self.turn(kind, relay, "relay starts", Tone::Faint, Presence::Comes);
            }
            Event::RelayEnded => {
                self.cut(side, true, "relay gone");
                self.connected[side as usize] = false;
                self.turn(kind, relay, "relay gone", Tone::Bad, Presence::Goes);
            }
            Event::Connected { .. } => {
                self.connected[side as usize] = true;
                self.last_end[side as usize] = None;
                self.note(kind, relay, "link up", Tone::Faint);
            }
            Event::Disconnected { end, .. } => {
                self.cut(side, false, "link down");
                let was_connected = std::mem::replace(&mut self.connected[side as usize], false)
                    || matches!(end, ConnectionEnd::Closed | ConnectionEnd::Reset);
                let end = words::end(end);
                // A peer that is not there yet is asked again and again: told once.
                let last = self.last_end[side as usize].replace(end);
                if was_connected {
                    self.note(kind, relay, &format!("link down: {end}"), Tone::Bad);
                } else if last != Some(end) {
                    self.note(kind, relay, &format!("no link: {end}"), Tone::Warn);
                }
            }
            Event::AluaState {
                enabled,
                number,
                outcome,
            } => {
                let what = if enabled { "on" } else { "off" };
                let text = format!("ALUA {what}, node {number}");
                match outcome {
                    Ok(()) => self.note(kind, kernel, &text, Tone::Faint),
                    Err(errno) => {
                        let text = format!("{text}: {}", words::errno(errno));
                        self.note(kind, kernel, &text, Tone::Bad)
                    }
                };
            }
            Event::LuAccess { lu, access } => {
                let text = format!("{} {}", words::lu(lu), words::access(access));
                self.note(kind, kernel, &text, Tone::Plain);
            }
            Event::LuOperation {
                lu,
                operation,
                outcome: Err(errno),
            } => {
                let lu = words::lu(lu);
                let text = format!("{operation:?} of {lu}: {}", words::errno(errno));
                self.note(kind, kernel, &text, Tone::Bad);
            }
            Event::CallDone {
                step,
                outcome: Err(errno),
                ..
            } => {
                let text = format!("{step:?} failed: {}", words::errno(errno));
                self.note(kind, relay, &text, Tone::Bad);
            }
            Event::Fault(text) => {
                self.note(kind, kernel, &format!("fault: {text}"), Tone::Bad);
            }
            Event::Step(text) => self.band(Some(kind), text.to_owned(), Tone::Heading),
            Event::Lost { events } => self.band(Some(kind), lost(events), Tone::Bad),
            _ => {}
        }
    }

    /// Relays say much that the diagram shows anyway; that is told only to those who ask for it.
    fn relay_log(&mut self, relay: usize, line: &str) {
        let kind = EventKind::RelayLog;
        let quiet = ["info: ", "debug: ", "trace: "];
        if !quiet.iter().any(|level| line.starts_with(level)) {
            self.note(kind, relay, &format!("log: {line}"), Tone::Warn);
        } else if self.choice.types.contains(&TypeChoice::Kind(kind)) {
            self.note(kind, relay, &format!("log: {line}"), Tone::Faint);
        }
    }

    /// A party comes or goes.
    fn turn(&mut self, kind: EventKind, lane: usize, text: &str, tone: Tone, presence: Presence) {
        let drawn = self.note(kind, lane, text, tone);
        if let Some(Item::Note { presence: of, .. }) =
            drawn.and_then(|index| self.items.get_mut(index))
        {
            *of = Some(presence);
        }
    }
}

fn lost(events: u64) -> String {
    format!("{} events are not in the trace", thousands(events))
}
