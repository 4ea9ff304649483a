// SPDX-License-Identifier: MPL-2.0
//! What of a trace is drawn.

use super::exchange::TABLE_LIMIT;
use crate::view::filter::TypeChoice;
use std::collections::BTreeSet;
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
    pub from: Option<i128>,
    /// What begins up to this time.
    pub to: Option<i128>,
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
        let now = i128::from(now);
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
    fn the_first_troubles_are_kept() {
        let mut survey = Survey::default();
        for exchange in 0..=TABLE_LIMIT as u64 {
            survey.went_wrong(exchange);
        }
        assert_eq!(survey.wrong.len(), TABLE_LIMIT);
        assert!(survey.wrong.contains(&0));
    }
}
