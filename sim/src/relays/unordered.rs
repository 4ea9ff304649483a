// SPDX-License-Identifier: MPL-2.0
//! A relay that posts out of order, as the field's daemon does: each message waits for one of
//! many threads, and the threads run when the system lets them.
//!
//! Breaks the rule that messages about the same object are posted in the order in which they were
//! sent.

use super::altered::{Alteration, AlteredRelay, More};
use crate::world::random::Random;
use crate::world::{Host, StandardRelay};
use std::time::Duration;
use stmf_proxy::relay::{Action, Input, Lane};
use stmf_proxy::time::Time;

pub(super) const NAME: &str = "unordered";

/// The longest that a thread waits for a processor.
const LONGEST_WAIT: Duration = Duration::from_micros(500);

pub(super) struct Threads {
    random: Random,
    /// Posts whose threads do not run yet.
    waiting: Vec<(Time, Action)>,
}

impl Alteration for Threads {
    fn input(&mut self, now: Time, input: Input, more: &mut More) -> Option<Input> {
        let mut due: Vec<_> = self
            .waiting
            .extract_if(.., |(time, _)| *time <= now)
            .collect();
        due.sort_by_key(|(time, _)| *time);
        more.actions
            .extend(due.into_iter().map(|(_, action)| action));
        Some(input)
    }

    fn action(&mut self, now: Time, action: Action, _: &mut More) -> Option<Action> {
        if !matches!(action, Action::Post { .. }) {
            return Some(action);
        }
        let wait = self.random.below(LONGEST_WAIT.as_micros() as u64 + 1);
        self.waiting
            .push((now + Duration::from_micros(wait), action));
        None
    }

    fn next_timer(&self) -> Option<Time> {
        self.waiting.iter().map(|(time, _)| *time).min()
    }
}

pub(super) fn relay() -> AlteredRelay<Threads> {
    AlteredRelay {
        name: NAME,
        standard: StandardRelay::new().adjusted(|config| config.classifier = |_| Lane::free()),
        alteration: |host: &Host| Threads {
            random: Random::new(host.random()),
            waiting: Vec::new(),
        },
    }
}
