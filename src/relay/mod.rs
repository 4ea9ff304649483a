// SPDX-License-Identifier: MPL-2.0
//! The relay: carries messages between this node's kernel and its peer's, as a pure state machine.
//!
//! # How to call it
//!
//! Tell it one thing with [`Relay::handle`], take what it wants done with [`Relay::poll_action`]
//! until that says `None`, wait for the next thing to happen or for [`Relay::next_timer`], repeat.
//! It reads no clock and no device, takes no lock and never blocks. Any sequence of inputs is
//! survived.
//!
//! # What it promises
//!
//! The rules that a relay must keep, and the file that keeps each (more in `docs/relay.md`):
//!
//! 1. What the kernel was answered 0 for reaches the peer kernel's post unless the link breaks:
//!    byte for byte, once, in order (`link/connection.rs`, `lanes.rs`).
//! 2. 0 is answered only for a message accepted into the bounded send queue of a link that stands;
//!    every other upcall is answered at once with an errno (`traffic.rs`).
//! 3. Nothing that posting does ever holds up taking in bytes from the peer (`traffic.rs`).
//! 4. Every queue is bounded; when a bound is passed the link goes (`traffic.rs`, `links.rs`).
//! 5. Order is kept for each object and only there (`subject.rs`, `lanes.rs`).
//! 6. The proxy door handle is closed and opened again before anything of a new boot of the peer
//!    is posted, or taken from the kernel for it (`door.rs`).
//! 7. To stop: no new posts, wait for those in progress, close the handle, revoke the door;
//!    upcalls are answered all the while (`door.rs`).
//! 8. Nothing is posted before ALUA has been enabled on this link, and ALUA is not enabled before
//!    peer and node numbers are agreed (`door.rs`).
//!
//! Nothing here but `classify.rs` knows what stands in a message: a [`Classifier`] tells its lane.

mod agreement;
pub mod classify;
pub mod config;
mod dialing;
mod door;
pub mod event;
mod event_text;
pub mod io;
mod lanes;
mod links;
pub mod stats;
pub mod subject;
#[cfg(test)]
mod tests;
mod traffic;

use std::collections::VecDeque;

pub use config::{Config, ConfigError, HandlePolicy, LinkConfig};
pub use event::{CloseReason, Event, Misuse, Severity};
pub use io::{
    Action, CallFailure, CallId, ConnectFailure, Input, OpenedDoor, PostId, StopCause,
    UpcallRefusal,
};
pub use links::CANDIDATES_MAX;
pub use stats::{Filling, Occupancy, Statistics};
pub use subject::{Claim, Classifier, Lane, Mode, Object, Subject};

use crate::time::Time;
use door::Door;
use lanes::Lanes;
use links::Links;

/// The life of a relay.
#[derive(Clone, Debug, PartialEq)]
enum Phase {
    /// Not told to start.
    Created,
    /// The proxy door is being opened for the first time.
    Starting,
    /// In service.
    Running,
    /// On the way down.
    Stopping(StopCause),
    /// Down.
    Stopped,
}

/// One relay. See the [module](self) for how to call it.
#[derive(Debug)]
pub struct Relay {
    config: Config,
    now: Time,
    phase: Phase,
    door: Door,
    links: Links,
    lanes: Lanes,
    /// Posts may go on without a link: the peer said goodbye in order, what it sent before counts.
    draining: bool,
    /// When to look for posts that take long.
    patience_at: Time,
    /// Upcalls refused since a link last stood, and whether that was said.
    refused: u64,
    refusal_said: bool,
    actions: VecDeque<Action>,
    statistics: Statistics,
}

impl Relay {
    /// A relay that waits for [`Input::Start`].
    pub fn new(config: Config) -> Result<Relay, ConfigError> {
        config.check()?;
        Ok(Relay {
            now: Time::ZERO,
            phase: Phase::Created,
            door: Door::default(),
            links: Links::new(&config),
            lanes: Lanes::new(config.posts_in_flight, config.slow_posts_in_flight),
            draining: false,
            patience_at: Time::MAX,
            refused: 0,
            refusal_said: false,
            actions: VecDeque::new(),
            statistics: Statistics::default(),
            config,
        })
    }

    /// Takes one input. A `now` before an earlier one counts as the earlier one.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::Start => self.start(),
            Input::Stop => self.stop(StopCause::Asked),
            Input::Upcall { call, message } => self.upcall(call, message),
            Input::PostFinished { post, result } => self.post_finished(post, result),
            Input::ProxyDoorOpened(result) => self.door_opened(result),
            Input::ProxyDoorClosed => self.door_closed(),
            Input::AluaSet(result) => self.alua_done(result),
            Input::Connected {
                connection,
                address,
            } => self.connected(connection, address),
            Input::ConnectFailed(failure) => self.connect_failed(failure),
            Input::ListenFailed(errno) => self.listen_failed(errno),
            Input::Received { connection, bytes } => self.received(connection, bytes),
            Input::Sent { connection, bytes } => self.sent(connection, bytes),
            Input::Disconnected { connection, end } => self.disconnected(connection, end),
            Input::DoorUnreferenced => self.log(Event::DoorUnreferenced),
            Input::Timer => self.timer(),
        }
    }

    /// The next thing to do; `None` when all has been said.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Input::Timer`] is due; `None` if nothing waits for time. Changes with every input.
    pub fn next_timer(&self) -> Option<Time> {
        let next = match self.phase {
            Phase::Created | Phase::Stopped => return None,
            Phase::Starting | Phase::Stopping(_) => self.patience_at,
            Phase::Running => self
                .patience_at
                .min(self.door_timer())
                .min(self.links.next_timer()),
        };
        Some(next).filter(|at| *at != Time::MAX)
    }

    /// Counters.
    pub fn statistics(&self) -> Statistics {
        let mut statistics = self.statistics;
        statistics.send_queue_bytes_now = self.links.unsent() as u64;
        statistics.post_queue_messages_now = self.lanes.len() as u64;
        statistics.post_queue_bytes_now = self.lanes.bytes() as u64;
        statistics.posts_in_flight_now = self.lanes.in_flight() as u64;
        statistics
    }

    /// What it keeps now, beside its bounds.
    pub fn occupancy(&self) -> Occupancy {
        let filling = |now, most| Filling { now, most };
        let config = &self.config;
        Occupancy {
            // Frames of the link's own may stand behind a queue that is full of messages, and the
            // greetings of candidates beside that.
            send_bytes: filling(
                self.links.unsent(),
                config.send_queue_bytes + CANDIDATES_MAX * config::SEND_QUEUE_SLACK,
            ),
            post_bytes: filling(self.lanes.bytes(), config.post_queue_bytes),
            post_messages: filling(self.lanes.len(), config.post_queue_messages),
            posts_in_flight: filling(self.lanes.in_flight(), config.posts_in_flight),
        }
    }

    /// Whether a link stands: upcalls are accepted.
    pub fn is_link_up(&self) -> bool {
        self.links.established().is_some()
    }

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn log(&mut self, event: Event) {
        self.act(Action::Log(event));
    }

    fn misuse(&mut self, misuse: Misuse) {
        self.statistics.misuses += 1;
        self.log(Event::Misuse(misuse));
    }

    fn start(&mut self) {
        if self.phase != Phase::Created {
            return self.misuse(Misuse::StartedTwice);
        }
        self.phase = Phase::Starting;
        let link = match self.config.link {
            LinkConfig::Default { .. } => "default",
            LinkConfig::Demo(_) => "demo",
        };
        let (node, role) = (self.config.node(), self.config.role());
        self.log(Event::Started { node, role, link });
        self.open_door();
    }

    fn timer(&mut self) {
        if self.patience_at <= self.now {
            self.look_for_slow_posts();
        }
        if self.phase == Phase::Running {
            self.links_timer();
        }
        self.advance();
    }

    /// Does whatever the present state asks for. Called after everything but plain traffic.
    fn advance(&mut self) {
        match self.phase {
            Phase::Created | Phase::Starting | Phase::Stopped => {}
            Phase::Running => {
                self.advance_door();
                self.advance_link();
                self.start_posts();
            }
            Phase::Stopping(_) => self.advance_stop(),
        }
    }
}
