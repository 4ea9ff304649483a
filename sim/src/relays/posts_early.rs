// SPDX-License-Identifier: MPL-2.0
//! A relay that is slow to enable ALUA, and posts what its peer sends in the meantime.
//!
//! Breaks the rule that ALUA is enabled before the first post.

use super::altered::{Alteration, AlteredRelay, More};
use crate::world::StandardRelay;
use std::collections::VecDeque;
use std::time::Duration;
use stmf_proxy::relay::{Action, Input};
use stmf_proxy::time::Time;

pub(super) const NAME: &str = "posts-early";

/// How much later than it believes it enables ALUA.
const LATE_BY: Duration = Duration::from_millis(20);

#[derive(Default)]
pub(super) struct AluaLater {
    waiting: VecDeque<(Time, Action)>,
}

impl Alteration for AluaLater {
    fn input(&mut self, now: Time, input: Input, more: &mut More) -> Option<Input> {
        while self.waiting.front().is_some_and(|(time, _)| *time <= now) {
            let first = self.waiting.pop_front();
            more.actions.extend(first.map(|(_, action)| action));
        }
        // The relay was told so long ago.
        (!matches!(input, Input::AluaSet(_))).then_some(input)
    }

    fn action(&mut self, now: Time, action: Action, more: &mut More) -> Option<Action> {
        if !matches!(action, Action::SetAlua { .. }) {
            return Some(action);
        }
        self.waiting.push_back((now + LATE_BY, action));
        more.inputs.push_back(Input::AluaSet(Ok(())));
        None
    }

    fn next_timer(&self) -> Option<Time> {
        self.waiting.front().map(|(time, _)| *time)
    }
}

pub(super) fn relay() -> AlteredRelay<AluaLater> {
    AlteredRelay {
        name: NAME,
        standard: StandardRelay::new(),
        alteration: |_| AluaLater::default(),
    }
}
