// SPDX-License-Identifier: MPL-2.0
//! The relay, surface only so far.

pub mod config;
pub mod event;
pub mod io;
pub mod stats;
pub mod subject;

use crate::time::Time;
pub use config::{Config, ConfigError, HandlePolicy, LinkConfig};
pub use event::{CloseReason, Event, Misuse, Severity};
pub use io::{
    Action, CallFailure, CallId, ConnectFailure, Input, OpenedDoor, PostId, StopCause,
    UpcallRefusal,
};
pub use stats::Statistics;
pub use subject::{Claim, Classifier, Lane, Mode, Object, Subject};

/// One relay.
#[derive(Debug)]
pub struct Relay {
    statistics: Statistics,
}

impl Relay {
    /// A relay that waits for [`Input::Start`].
    pub fn new(config: Config) -> Result<Relay, ConfigError> {
        config.check()?;
        Ok(Relay {
            statistics: Statistics::default(),
        })
    }

    /// Takes one input. Then drain [`poll_action`](Relay::poll_action).
    pub fn handle(&mut self, _now: Time, _input: Input) {}

    /// The next thing to do; `None` when all has been said.
    pub fn poll_action(&mut self) -> Option<Action> {
        None
    }

    /// When [`Input::Timer`] is due.
    pub fn next_timer(&self) -> Option<Time> {
        None
    }

    /// Counters.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }
}
