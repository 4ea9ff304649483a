// SPDX-License-Identifier: MPL-2.0
//! The relay's side towards its own kernel: opening and closing the proxy door handle, setting
//! ALUA, and the end.
//!
//! Invariants: at most one of opening, closing and setting ALUA of each kind is asked for at a
//! time; the handle is closed only with no post in progress; one opening of the handle serves one
//! boot of one peer kernel.

use std::time::Duration;

use super::config::HandlePolicy;
use super::event::{CloseReason, DoorCall, Event, Misuse};
use super::io::{Action, CallFailure, OpenedDoor, StopCause};
use super::{Phase, Relay};
use crate::link::{BootIdentity, BreakReason, HandleIdentity};
use crate::time::Time;

/// Whose messages were posted through a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerKernel {
    Boot(BootIdentity),
    /// On the demo link: the peer of this one link, whatever its boot.
    OfLink(u64),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    Opening,
    Open(HandleIdentity),
    Closing,
}

#[derive(Debug)]
pub(super) struct Door {
    state: State,
    /// Known from the first opening on.
    boot: Option<BootIdentity>,
    /// The one peer kernel that this opening of the handle serves.
    serves: Option<PeerKernel>,
    /// The handle is to be closed as soon as nothing is in progress; why was said.
    to_close: bool,
    /// A failed opening is tried again then.
    reopen_at: Time,
    /// No link has stood, or been on the way, since then.
    alone_since: Option<Time>,
    /// ALUA is being set for this link (by its number).
    alua_setting: Option<u64>,
    /// Calls in progress that were not yet reported as slow, and since when each is.
    calls: Vec<(DoorCall, Time)>,
}

impl Default for Door {
    fn default() -> Door {
        Door {
            state: State::Closed,
            boot: None,
            serves: None,
            to_close: false,
            reopen_at: Time::ZERO,
            alone_since: None,
            alua_setting: None,
            calls: Vec::new(),
        }
    }
}

impl Door {
    pub(super) fn boot(&self) -> Option<BootIdentity> {
        self.boot
    }

    pub(super) fn handle(&self) -> Option<HandleIdentity> {
        match self.state {
            State::Open(handle) => Some(handle),
            _ => None,
        }
    }

    /// Whether this opening of the handle may serve that kernel.
    pub(super) fn may_serve(&self, kernel: PeerKernel) -> bool {
        self.serves.is_none_or(|served| served == kernel)
    }

    /// Whether messages may be posted as far as the handle is concerned.
    pub(super) fn takes_posts(&self) -> bool {
        self.handle().is_some() && self.serves.is_some() && !self.to_close
    }
}

impl Relay {
    pub(super) fn open_door(&mut self) {
        self.door.state = State::Opening;
        self.door_call_begins(DoorCall::Open);
        self.act(Action::OpenProxyDoor);
    }

    fn door_call_begins(&mut self, call: DoorCall) {
        self.door.calls.push((call, self.now));
        self.arm_patience();
    }

    fn door_call_ends(&mut self, call: DoorCall) {
        self.door.calls.retain(|other| other.0 != call);
    }

    /// Reports each call in progress that takes long, once. True if others may still come to.
    pub(super) fn look_for_slow_door_calls(&mut self) -> bool {
        let (now, patience) = (self.now, self.config.post_patience);
        let slow: Vec<_> = self
            .door
            .calls
            .extract_if(.., |(_, since)| now - *since >= patience)
            .collect();
        for (call, since) in slow {
            self.log(Event::DoorSlow {
                call,
                since: now - since,
            });
        }
        !self.door.calls.is_empty()
    }

    pub(super) fn door_opened(&mut self, result: Result<OpenedDoor, CallFailure>) {
        if self.door.state != State::Opening {
            return self.misuse(Misuse::DoorNotOpening);
        }
        self.door_call_ends(DoorCall::Open);
        let first = self.phase == Phase::Starting;
        match result {
            Ok(OpenedDoor { boot, handle }) => {
                self.door.state = State::Open(handle);
                self.door.boot = Some(boot);
                self.statistics.doors_opened += 1;
                self.log(Event::DoorOpened { boot, handle });
                if first {
                    self.phase = Phase::Running;
                    self.door.alone_since = Some(self.now);
                    self.dial();
                }
            }
            Err(failure) => {
                self.door.state = State::Closed;
                let retry_in = (self.phase == Phase::Running).then_some(self.config.reopen_delay);
                self.log(Event::DoorNotOpened { failure, retry_in });
                self.door.reopen_at = self.now + self.config.reopen_delay;
                if first {
                    self.stop(StopCause::DoorNotOpened(failure));
                }
            }
        }
        self.advance();
    }

    pub(super) fn door_closed(&mut self) {
        if self.door.state != State::Closing {
            return self.misuse(Misuse::DoorNotClosing);
        }
        self.door_call_ends(DoorCall::Close);
        self.door.state = State::Closed;
        self.door.serves = None;
        self.door.to_close = false;
        self.door.reopen_at = self.now;
        self.log(Event::DoorClosed);
        self.advance();
    }

    /// Nothing that the handle must outlive is in progress.
    fn is_quiet(&self) -> bool {
        self.lanes.in_flight() == 0 && self.door.alua_setting.is_none()
    }

    /// Says why the handle will be closed; no post begins from now on.
    fn decide_to_close(&mut self, reason: CloseReason) {
        if !self.door.to_close {
            self.door.to_close = true;
            let posts_in_flight = self.lanes.in_flight();
            self.log(Event::DoorClosing {
                reason,
                posts_in_flight,
            });
        }
    }

    fn close_if_quiet(&mut self) {
        if self.is_quiet() {
            self.door.state = State::Closing;
            self.door_call_begins(DoorCall::Close);
            self.act(Action::CloseProxyDoor);
        }
    }

    /// A connection has greeted, or the last one has gone.
    pub(super) fn set_alone(&mut self, alone: bool) {
        self.door.alone_since = alone.then_some(self.now);
    }

    /// Brings the handle to where the present link, or the lack of one, wants it.
    pub(super) fn advance_door(&mut self) {
        let peer = self.links.peer_kernel();
        match (self.door.state, peer) {
            (State::Opening | State::Closing, _) => {}
            (State::Closed, None) => {}
            (State::Closed, Some(_)) => {
                let wanted = self.links.waits_for_welcome_since().is_none();
                if wanted && self.door.reopen_at <= self.now {
                    self.open_door();
                }
            }
            (State::Open(_), _) if self.door.to_close => self.close_if_quiet(),
            (State::Open(_), Some(peer)) => match self.door.serves {
                None => self.door.serves = Some(peer),
                Some(served) if served == peer => {
                    let patience = self.welcome_patience();
                    if self.welcome_due() <= self.now {
                        self.discard_waiting();
                        self.decide_to_close(CloseReason::PeerNotReady(patience));
                        self.close_if_quiet();
                    }
                }
                Some(served) => {
                    let reason = match (served, peer) {
                        (PeerKernel::Boot(old), PeerKernel::Boot(new)) => {
                            CloseReason::PeerRebooted { old, new }
                        }
                        _ => CloseReason::PeerUnknown,
                    };
                    self.decide_to_close(reason);
                    self.close_if_quiet();
                }
            },
            (State::Open(_), None) => {
                // What came before an orderly goodbye is posted first.
                let drained = !self.draining || self.lanes.len() == 0;
                if let HandlePolicy::CloseAfter(grace) = self.config.handle_without_link
                    && self.alone_until(grace) <= self.now
                    && drained
                {
                    self.discard_waiting();
                    self.decide_to_close(CloseReason::NoLink(grace));
                    self.close_if_quiet();
                }
            }
        }
    }

    fn alone_until(&self, grace: Duration) -> Time {
        self.door
            .alone_since
            .map_or(Time::MAX, |since| since + grace)
    }

    /// How long the handle stays open for a peer that has greeted and does not welcome: as long as
    /// without a link, but a peer whose greeting has come gets the time of a greeting.
    fn welcome_patience(&self) -> Duration {
        match self.config.handle_without_link {
            HandlePolicy::Keep => Duration::MAX,
            HandlePolicy::CloseAfter(grace) => grace.max(self.config.times.greeting_timeout),
        }
    }

    fn welcome_due(&self) -> Time {
        self.links
            .waits_for_welcome_since()
            .map_or(Time::MAX, |since| since + self.welcome_patience())
    }

    /// When the handle wants something of time.
    pub(super) fn door_timer(&self) -> Time {
        let peer = self.links.peer_kernel().is_some();
        let waits = self.links.waits_for_welcome_since().is_some();
        match (self.door.state, self.config.handle_without_link) {
            (State::Closed, _) if peer && !waits => self.door.reopen_at,
            (State::Open(_), HandlePolicy::CloseAfter(grace)) if !self.door.to_close => {
                let alone = if self.draining && self.lanes.len() > 0 {
                    Time::MAX // The end of the last post is what is waited for.
                } else {
                    self.alone_until(grace)
                };
                alone.min(self.welcome_due())
            }
            _ => Time::MAX,
        }
    }

    /// Whether the handle is ready for the peer that has greeted.
    pub(super) fn is_door_ready(&self) -> bool {
        self.door.takes_posts() && self.door.serves == self.links.peer_kernel()
    }

    /// Enables ALUA for the link that stands. One that is still being set for a link that is gone
    /// is waited for and then set again: its registrations may have been refused.
    pub(super) fn set_alua(&mut self, link: u64) {
        if self.door.alua_setting.is_none() {
            self.door.alua_setting = Some(link);
            let node = self.config.node();
            self.log(Event::AluaSetting { node });
            self.door_call_begins(DoorCall::SetAlua);
            self.act(Action::SetAlua {
                enabled: true,
                node,
            });
        }
    }

    pub(super) fn alua_done(&mut self, result: Result<(), CallFailure>) {
        let Some(link) = self.door.alua_setting.take() else {
            return self.misuse(Misuse::AluaNotSetting);
        };
        self.door_call_ends(DoorCall::SetAlua);
        let current = self.links.established_number() == Some(link);
        match result {
            Ok(()) => {
                self.statistics.alua_set += 1;
                if current {
                    self.links.alua_is_set();
                    self.log(Event::AluaSet {
                        node: self.config.node(),
                    });
                }
            }
            Err(failure) => {
                self.log(Event::AluaNotSet { failure });
                if current {
                    self.break_link(BreakReason::AluaFailed);
                }
            }
        }
        self.advance();
    }

    /// Begins the end. The link goes first, after what was queued for it and a goodbye.
    pub(super) fn stop(&mut self, cause: StopCause) {
        if matches!(self.phase, Phase::Stopping(_) | Phase::Stopped) {
            return;
        }
        let posts_in_flight = self.lanes.in_flight();
        self.log(Event::Stopping {
            cause: cause.clone(),
            posts_in_flight,
        });
        self.phase = Phase::Stopping(cause);
        self.refusal_said = false;
        self.end_all_links();
        self.discard_waiting();
        self.advance();
    }

    /// The order of the end: posts in progress, then the handle, then the door.
    pub(super) fn advance_stop(&mut self) {
        let Phase::Stopping(cause) = &self.phase else {
            return;
        };
        match self.door.state {
            State::Opening | State::Closing => {}
            State::Open(_) if !self.is_quiet() => {}
            State::Open(_) => {
                self.decide_to_close(CloseReason::Stopping);
                self.close_if_quiet();
            }
            State::Closed if !self.is_quiet() => {}
            State::Closed => {
                let cause = cause.clone();
                self.phase = Phase::Stopped;
                self.act(Action::RevokeDoor);
                self.log(Event::DoorRevoked);
                self.log(Event::Stopped);
                self.act(Action::Stopped(cause));
            }
        }
    }
}
