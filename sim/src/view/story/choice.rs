// SPDX-License-Identifier: MPL-2.0
//! What of a trace is drawn.

use super::exchange::TABLE_LIMIT;
use std::collections::BTreeSet;
use std::str::FromStr;
use stmf_proxy::message::MessageType;
use stmf_proxy::trace::EventKind;

/// What of a trace is drawn. A condition with several values is satisfied by any of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Exchanges about these tasks, by their message id.
    pub tasks: Vec<u64>,
    /// Exchanges in these sessions.
    pub sessions: Vec<u64>,
    /// Messages of these types, and events of these kinds.
    pub types: Vec<TypeChoice>,
    /// Exchanges in which something went wrong.
    pub errors: bool,
    /// What begins at this time or later, in nanoseconds since the first event.
    pub from: Option<u64>,
    /// What begins up to this time.
    pub to: Option<u64>,
}

/// A choice of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeChoice {
    /// Events of a kind.
    Kind(EventKind),
    /// Messages of a type.
    Message(MessageType),
}

/// What cannot be read as a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// Neither a decimal number nor a hexadecimal one.
    #[error("not a number: give it in decimal, or in hexadecimal with 0x before it")]
    Number,
    /// Neither a type of message nor a kind of event.
    #[error(
        "no message type or kind of event has that name; there are {}",
        names()
    )]
    Type,
    /// No time.
    #[error("give a time since the first event as 1.5s, 20ms, 250us or 1000ns")]
    Time,
}

fn names() -> String {
    let messages = MessageType::ALL.iter().map(|message| message.name());
    let kinds = EventKind::ALL.iter().map(|kind| kind.name());
    messages.chain(kinds).collect::<Vec<_>>().join(", ")
}

impl FromStr for TypeChoice {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<TypeChoice, ChoiceError> {
        if let Some(message) = MessageType::from_name(text) {
            return Ok(TypeChoice::Message(message));
        }
        let kind = EventKind::ALL.into_iter().find(|kind| kind.name() == text);
        kind.map(TypeChoice::Kind).ok_or(ChoiceError::Type)
    }
}

/// Reads a number, decimal or hexadecimal after `0x`.
///
/// # Errors
///
/// [`ChoiceError::Number`].
pub fn parse_number(text: &str) -> Result<u64, ChoiceError> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    }
    .map_err(|_| ChoiceError::Number)
}

/// Reads a time: a number with at most nine decimals and one of `s`, `ms`, `us`, `ns` after it
/// (`s` when there is none); in nanoseconds, fractions of which are dropped.
///
/// # Errors
///
/// [`ChoiceError::Time`].
pub fn parse_time(text: &str) -> Result<u64, ChoiceError> {
    let units = [
        ("ns", 1_u64),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("", 1_000_000_000),
    ];
    let (number, unit) = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))
        .ok_or(ChoiceError::Time)?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 9 {
        return Err(ChoiceError::Time);
    }
    let whole: u64 = whole.parse().map_err(|_| ChoiceError::Time)?;
    let fraction: u64 = decimals.parse().map_err(|_| ChoiceError::Time)?;
    let scale = 10_u64.pow(decimals.len() as u32);
    let fraction = u128::from(fraction) * u128::from(unit) / u128::from(scale);
    u64::try_from(u128::from(whole) * u128::from(unit) + fraction).map_err(|_| ChoiceError::Time)
}

/// What a thing in the diagram is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    /// Which exchange it belongs to; `None` for notes.
    pub(super) exchange: Option<u64>,
    pub(super) kind: EventKind,
    pub(super) message: Option<MessageType>,
    /// Worth telling whatever exchanges are drawn: a panic, a step of the scenario.
    pub(super) notable: bool,
}

impl Choice {
    /// Whether the trace must be read once before it is drawn.
    pub fn needs_survey(&self) -> bool {
        self.errors || !self.tasks.is_empty() || !self.sessions.is_empty()
    }

    /// Whether something is drawn that begins now, so many nanoseconds after the first event.
    pub(super) fn holds(&self, about: &About, now: u64, chosen: Option<&Survey>) -> bool {
        let of_type = self.types.iter().any(|choice| match choice {
            TypeChoice::Kind(kind) => *kind == about.kind,
            TypeChoice::Message(message) => Some(*message) == about.message,
        });
        let exchange = match (chosen, about.exchange) {
            (None, _) => true,
            (Some(_), None) => about.notable,
            (Some(survey), Some(exchange)) => survey.chosen(self, exchange),
        };
        (self.types.is_empty() || of_type)
            && self.from.is_none_or(|from| now >= from)
            && self.to.is_none_or(|to| now <= to)
            && exchange
    }
}

/// Which exchanges satisfy a choice: found in a first reading. Of each sort the first
/// [`TABLE_LIMIT`] are kept.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    wrong: BTreeSet<u64>,
    of_tasks: BTreeSet<u64>,
    of_sessions: BTreeSet<u64>,
}

impl Survey {
    /// Something went wrong in an exchange.
    pub(super) fn went_wrong(&mut self, exchange: u64) {
        enter(&mut self.wrong, exchange);
    }

    /// An exchange is about a task or in a session.
    pub(super) fn see(
        &mut self,
        choice: &Choice,
        exchange: u64,
        session: Option<u64>,
        task: Option<u64>,
    ) {
        if task.is_some_and(|task| choice.tasks.contains(&task)) {
            enter(&mut self.of_tasks, exchange);
        }
        if session.is_some_and(|session| choice.sessions.contains(&session)) {
            enter(&mut self.of_sessions, exchange);
        }
    }

    fn chosen(&self, choice: &Choice, exchange: u64) -> bool {
        (!choice.errors || self.wrong.contains(&exchange))
            && (choice.tasks.is_empty() || self.of_tasks.contains(&exchange))
            && (choice.sessions.is_empty() || self.of_sessions.contains(&exchange))
    }
}

fn enter(set: &mut BTreeSet<u64>, exchange: u64) {
    set.insert(exchange);
    if set.len() > TABLE_LIMIT {
        set.pop_last();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        assert_eq!(parse_number("12"), Ok(12));
        assert_eq!(parse_number("0xFF"), Ok(255));
        assert_eq!(parse_number("FF"), Err(ChoiceError::Number));
        for (text, nanoseconds) in [
            ("1.5s", 1_500_000_000),
            ("20ms", 20_000_000),
            ("1.25us", 1_250),
            ("7ns", 7),
            ("0.000000001", 1),
            ("2", 2_000_000_000),
            ("18446744073709551615ns", u64::MAX),
        ] {
            assert_eq!(parse_time(text), Ok(nanoseconds), "{text}");
        }
        for text in ["", "s", "1.s", ".5s", "-1", "1m", "1e3", "1.0000000001"] {
            assert_eq!(parse_time(text), Err(ChoiceError::Time), "{text}");
        }
        let over = parse_time("18446744073709551616ns");
        assert_eq!(over, Err(ChoiceError::Time));
        assert_eq!("panic".parse(), Ok(TypeChoice::Kind(EventKind::Panic)));
        let error = "scsi".parse::<TypeChoice>().unwrap_err().to_string();
        assert!(
            error.contains("scsi_cmd, ") && error.contains("post-done"),
            "{error}"
        );
    }

    #[test]
    fn the_first_troubles_are_kept() {
        let mut survey = Survey::default();
        for exchange in 0..=TABLE_LIMIT as u64 {
            survey.went_wrong(exchange);
        }
        assert_eq!(survey.wrong.len(), TABLE_LIMIT);
        assert!(survey.wrong.contains(&0));
    }
}
