// SPDX-License-Identifier: MPL-2.0
//! A relay that ends in the wrong order: told to stop, it revokes its door at once, so that the
//! kernel sends nothing more, and then lets its posts come to an end.
//!
//! Breaks the rule that no post may be in progress when the door goes away.

use super::altered::{Alteration, AlteredRelay, More};
use crate::world::StandardRelay;
use std::time::Duration;
use stmf_proxy::relay::{Action, Input};
use stmf_proxy::time::Time;

pub(super) const NAME: &str = "revokes-first";

/// How long it goes on posting after that.
const GOES_ON: Duration = Duration::from_millis(1);

#[derive(Default)]
pub(super) struct RevokedFirst {
    stop_at: Option<Time>,
    stopped: bool,
}

impl Alteration for RevokedFirst {
    fn input(&mut self, now: Time, input: Input, more: &mut More) -> Option<Input> {
        if self.stop_at.is_some_and(|time| time <= now) {
            self.stop_at = None;
            more.inputs.push_back(Input::Stop);
        }
        if matches!(input, Input::Stop) && !self.stopped {
            self.stopped = true;
            self.stop_at = Some(now + GOES_ON);
            more.actions.push_back(Action::RevokeDoor);
            return None;
        }
        Some(input)
    }

    fn next_timer(&self) -> Option<Time> {
        self.stop_at
    }
}

pub(super) fn relay() -> AlteredRelay<RevokedFirst> {
    AlteredRelay {
        name: NAME,
        standard: StandardRelay::new(),
        alteration: |_| RevokedFirst::default(),
    }
}
