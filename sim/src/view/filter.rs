// SPDX-License-Identifier: MPL-2.0
//! Which events are wanted.

use super::follow::Context;
use super::text;
use crate::replay::compare::is_event;
use stmf_proxy::message::{MessageType, hex};
use stmf_proxy::trace::{Event, EventKind, NodeId, Record};

/// Which events are wanted: those that satisfy every condition that is set. A condition with
/// several values is satisfied by any of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Nodes.
    pub nodes: Vec<NodeId>,
    /// Tasks, by their message id, and what belongs to them: all their messages, the ends of the
    /// calls that handed these over, and the initiator's command where there is one.
    pub tasks: Vec<u64>,
    /// Sessions, and what belongs to them.
    pub sessions: Vec<u64>,
    /// LUs, and what belongs to them.
    pub luns: Vec<LunChoice>,
    /// Kinds of events and types of messages.
    pub types: Vec<TypeChoice>,
    /// Only what went wrong.
    pub errors: bool,
    /// From this time on, in nanoseconds since the first event.
    pub from: Option<i128>,
    /// Up to this time, it included.
    pub to: Option<i128>,
}

/// A choice of LUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LunChoice {
    /// By the number that initiators use, in the usual forms of a LUN.
    Number(u16),
    /// By a LUN of any form.
    Lun([u8; 8]),
    /// By the LU's id.
    Lu([u8; 16]),
}

/// A choice of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeChoice {
    /// Events of a kind.
    Kind(EventKind),
    /// Events that hand over messages of a type, and the ends of these.
    Message(MessageType),
}

/// What cannot be read as a condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Neither a decimal number nor a hexadecimal one.
    #[error("not a number: give it in decimal, or in hexadecimal with 0x before it")]
    Number,
    /// No LUN and no id of a LU.
    #[error("give the number of a LUN (0 to 16383), its 16 hexadecimal digits, or the 32 of a LU")]
    Lun,
    /// Neither a type of message nor a kind of event.
    #[error("no message type or kind of event has that name; there are {all}", all = names())]
    Type,
    /// No time.
    #[error("give a time since the first event as 1.5s, 20ms, 250us or 1000ns")]
    Time,
}

fn names() -> String {
    let messages = MessageType::ALL.iter().map(|kind| kind.name());
    let kinds = EventKind::ALL.iter().map(|kind| kind.name());
    messages.chain(kinds).collect::<Vec<_>>().join(", ")
}

/// Reads a number, decimal or hexadecimal after `0x`.
///
/// # Errors
///
/// [`FilterError::Number`].
pub fn parse_number(text: &str) -> Result<u64, FilterError> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    }
    .map_err(|_| FilterError::Number)
}

/// Reads a time: a number with at most nine decimals and one of `s`, `ms`, `us`, `ns` after it
/// (`s` when there is none); in nanoseconds, fractions of which are dropped.
///
/// # Errors
///
/// [`FilterError::Time`].
pub fn parse_time(text: &str) -> Result<i128, FilterError> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let units = [
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("", 1_000_000_000),
    ];
    let (number, unit) = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))
        .ok_or(FilterError::Time)?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 9 {
        return Err(FilterError::Time);
    }
    let whole: u64 = whole.parse().map_err(|_| FilterError::Time)?;
    let fraction: i128 = decimals.parse().map_err(|_| FilterError::Time)?;
    let scale = 10_i128.pow(decimals.len() as u32);
    Ok(sign * (i128::from(whole) * unit + fraction * unit / scale))
}

impl std::str::FromStr for LunChoice {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<LunChoice, FilterError> {
        let bytes = || hex::decode(text.as_bytes()).map_err(|_| FilterError::Lun);
        match text.len() {
            16 => match <[u8; 8]>::try_from(bytes()?) {
                Ok(lun) => Ok(LunChoice::Lun(lun)),
                Err(_) => Err(FilterError::Lun),
            },
            32 => match <[u8; 16]>::try_from(bytes()?) {
                Ok(lu) => Ok(LunChoice::Lu(lu)),
                Err(_) => Err(FilterError::Lun),
            },
            _ => match parse_number(text) {
                Ok(number @ 0..=0x3FFF) => Ok(LunChoice::Number(number as u16)),
                _ => Err(FilterError::Lun),
            },
        }
    }
}

impl std::str::FromStr for TypeChoice {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<TypeChoice, FilterError> {
        if let Some(message) = MessageType::from_name(text) {
            return Ok(TypeChoice::Message(message));
        }
        let kind = EventKind::ALL.into_iter().find(|kind| kind.name() == text);
        kind.map(TypeChoice::Kind).ok_or(FilterError::Type)
    }
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Show,
    Skip,
    /// A command of which it is not known yet to which task or LU it will belong.
    Wait,
}

impl Filter {
    /// Whether an event is wanted. How a simulated run is made again (operations, choices) is
    /// wanted only by those who ask for it by name. `trouble` says whether something went wrong in
    /// it, `time` is in nanoseconds since the first event.
    pub(crate) fn verdict(
        &self,
        record: &Record<'_>,
        context: &Context,
        trouble: bool,
        time: i128,
    ) -> Verdict {
        let any = |empty: bool, holds: bool| empty || holds;
        let node = record.node.is_some_and(|node| self.nodes.contains(&node));
        let session = context
            .session
            .is_some_and(|session| self.sessions.contains(&session));
        let of_type = self.types.iter().any(|choice| match choice {
            TypeChoice::Kind(kind) => record.event.kind() == Some(*kind),
            TypeChoice::Message(message) => context.message_type == Some(*message),
        });
        let holds = any(self.nodes.is_empty(), node)
            && any(self.sessions.is_empty(), session)
            && any(self.types.is_empty() && is_event(record), of_type)
            && any(!self.errors, trouble)
            && self.from.is_none_or(|from| time >= from)
            && self.to.is_none_or(|to| time <= to);
        if !holds {
            return Verdict::Skip;
        }
        let may_wait = matches!(
            record.event,
            Event::Command { .. } | Event::Management { .. }
        );
        self.belongs(context, may_wait)
    }

    /// Whether the task and the LU are wanted.
    pub(crate) fn belongs(&self, context: &Context, may_wait: bool) -> Verdict {
        let task = match context.task {
            _ if self.tasks.is_empty() => Verdict::Show,
            Some(task) if self.tasks.contains(&task) => Verdict::Show,
            None if may_wait => Verdict::Wait,
            _ => Verdict::Skip,
        };
        let lun = self.luns.iter().any(|choice| match choice {
            LunChoice::Number(number) => {
                context.lun.as_ref().and_then(text::lun_number) == Some(*number)
            }
            LunChoice::Lun(lun) => context.lun == Some(*lun),
            LunChoice::Lu(lu) => context.lu == Some(*lu),
        });
        let by_id = |choice: &LunChoice| matches!(choice, LunChoice::Lu(_));
        let lun = match lun || self.luns.is_empty() {
            true => Verdict::Show,
            false if may_wait && context.lu.is_none() && self.luns.iter().any(by_id) => {
                Verdict::Wait
            }
            false => Verdict::Skip,
        };
        match (task, lun) {
            (Verdict::Skip, _) | (_, Verdict::Skip) => Verdict::Skip,
            (Verdict::Show, Verdict::Show) => Verdict::Show,
            _ => Verdict::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        assert_eq!(parse_number("12"), Ok(12));
        assert_eq!(parse_number("0xFF"), Ok(255));
        assert_eq!(parse_number("FF"), Err(FilterError::Number));
        assert_eq!(parse_number("-1"), Err(FilterError::Number));
        assert_eq!("3".parse(), Ok(LunChoice::Number(3)));
        assert_eq!("16383".parse(), Ok(LunChoice::Number(16_383)));
        assert_eq!("16384".parse::<LunChoice>(), Err(FilterError::Lun));
        let lun = [0, 3, 0, 0, 0, 0, 0, 0];
        assert_eq!("0003000000000000".parse(), Ok(LunChoice::Lun(lun)));
        let lu = "60".repeat(16);
        assert_eq!(lu.parse(), Ok(LunChoice::Lu([0x60; 16])));
        assert_eq!("zz".repeat(16).parse::<LunChoice>(), Err(FilterError::Lun));
        let scsi_cmd = TypeChoice::Message(MessageType::ScsiCommand);
        assert_eq!("scsi_cmd".parse(), Ok(scsi_cmd));
        assert_eq!("panic".parse(), Ok(TypeChoice::Kind(EventKind::Panic)));
        let error = "scsi".parse::<TypeChoice>().unwrap_err().to_string();
        assert!(
            error.contains("r2t, ") && error.contains(" post-done, "),
            "{error}"
        );
    }

    #[test]
    fn times_are_read_to_the_nanosecond() {
        for (text, nanoseconds) in [
            ("1.5s", 1_500_000_000),
            ("20ms", 20_000_000),
            ("0.000000001", 1),
            ("1.25us", 1_250),
            ("7ns", 7),
            ("-2", -2_000_000_000),
            (
                "18446744073709551615s",
                18_446_744_073_709_551_615_000_000_000,
            ),
        ] {
            assert_eq!(parse_time(text), Ok(nanoseconds), "{text}");
        }
        for text in [
            "",
            "s",
            "1.s",
            ".5s",
            "1m",
            "1e3",
            "1.0000000001",
            "18446744073709551616",
        ] {
            assert_eq!(parse_time(text), Err(FilterError::Time), "{text}");
        }
    }

    #[test]
    fn a_message_type_has_not_the_name_of_a_kind_of_event() {
        for message in MessageType::ALL {
            assert!(
                EventKind::ALL
                    .iter()
                    .all(|kind| kind.name() != message.name())
            );
        }
    }
}
