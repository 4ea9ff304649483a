// SPDX-License-Identifier: MPL-2.0
//! The relay's connections: what it knows of them, their bytes and clocks, and giving them up.
//! (How they are made is `dialing.rs`, how they become links `agreement.rs`.)
//!
//! A connection begins as a *candidate*. One whose greeting is accepted becomes the *current* one
//! (there is at most one), and once both welcomes have passed it is a *link that stands*.
//! Invariants: a candidate changes nothing for the current link before its greeting has been
//! checked; whatever ends, this module decides what is tried next and when.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::config::{Config, LinkConfig};
use super::door::PeerKernel;
use super::event::{Event, Misuse};
use super::io::{Action, ConnectFailure, StopCause};
use super::{Phase, Relay};
use crate::link::backoff::{Backoff, Random};
use crate::link::connection::{Connection, Incoming, Limits};
use crate::link::{
    BootIdentity, BreakReason, ConnectionId, GoodbyeReason, HandleIdentity, Node, Role,
    TransportEnd, demo,
};
use crate::time::Time;

/// So many connections may wait for their greeting at once, so that strangers who connect and
/// say nothing cost little and leave room for the peer.
pub const CANDIDATES_MAX: usize = 4;

/// What is done to get a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dial {
    /// Nothing: there is one, or the relay is not in service.
    Idle,
    /// An attempt is in progress; patience ends then.
    Trying { until: Time },
    /// The next attempt is made then.
    Waiting { until: Time },
    /// Whoever connects is welcome to greet.
    Listening,
}

/// The connection whose greeting was accepted.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) connection: Connection,
    /// Number of the link in the life of this relay.
    pub(super) number: u64,
    pub(super) kernel: PeerKernel,
    pub(super) node: Node,
    pub(super) host: String,
    /// The peer's relay and attempt numbers, to know an older connection from a newer one.
    pub(super) relay: u64,
    pub(super) attempt: u64,
    /// When our welcome was sent.
    pub(super) welcomed_at: Option<Time>,
    /// Since when the link stands.
    pub(super) up_since: Option<Time>,
    pub(super) alua_set: bool,
}

#[derive(Debug)]
pub(super) struct Links {
    pub(super) limits: Limits,
    pub(super) random: Random,
    pub(super) relay: u64,
    pub(super) attempts: u64,
    pub(super) numbers: u64,
    pub(super) backoff: Backoff,
    pub(super) dial: Dial,
    pub(super) candidates: BTreeMap<ConnectionId, Connection>,
    pub(super) current: Option<Current>,
    /// Boot and handle of the peer on the last link.
    pub(super) last_peer: Option<(BootIdentity, HandleIdentity)>,
}

impl Links {
    pub(super) fn new(config: &Config) -> Links {
        let mut random = Random::new(config.seed);
        Links {
            limits: Limits {
                max_message: config.max_message as u32,
                send_queue_bytes: config.send_queue_bytes,
                times: config.times,
            },
            relay: random.next(),
            random,
            attempts: 0,
            numbers: 0,
            backoff: Backoff::new(config.times.backoff_first, config.times.backoff_max),
            dial: Dial::Idle,
            candidates: BTreeMap::new(),
            current: None,
            last_peer: None,
        }
    }

    /// The connection of the link that stands.
    pub(super) fn established(&self) -> Option<&Connection> {
        self.current
            .as_ref()
            .filter(|link| link.up_since.is_some())
            .map(|link| &link.connection)
    }

    pub(super) fn established_mut(&mut self) -> Option<&mut Connection> {
        self.current
            .as_mut()
            .filter(|link| link.up_since.is_some())
            .map(|link| &mut link.connection)
    }

    /// Number of the link that stands.
    pub(super) fn established_number(&self) -> Option<u64> {
        self.current
            .as_ref()
            .filter(|link| link.up_since.is_some())
            .map(|link| link.number)
    }

    /// Kernel of the peer whose greeting was accepted.
    pub(super) fn peer_kernel(&self) -> Option<PeerKernel> {
        self.current.as_ref().map(|link| link.kernel)
    }

    /// Since when our welcome waits for the peer's.
    pub(super) fn waits_for_welcome_since(&self) -> Option<Time> {
        let link = self.current.as_ref()?;
        link.welcomed_at
            .filter(|_| !link.connection.has_peers_welcome())
    }

    pub(super) fn is_alua_set(&self) -> bool {
        self.current.as_ref().is_some_and(|link| link.alua_set)
    }

    pub(super) fn alua_is_set(&mut self) {
        if let Some(link) = &mut self.current {
            link.alua_set = true;
        }
    }

    /// Bytes that wait to be sent on all connections.
    pub(super) fn unsent(&self) -> usize {
        let current = self
            .current
            .as_ref()
            .map_or(0, |link| link.connection.unsent());
        current
            + self
                .candidates
                .values()
                .map(Connection::unsent)
                .sum::<usize>()
    }

    /// When a connection, or the want of one, needs something of time.
    pub(super) fn next_timer(&self) -> Time {
        let dial = match self.dial {
            Dial::Trying { until } | Dial::Waiting { until } => until,
            Dial::Idle | Dial::Listening => Time::MAX,
        };
        let current = self
            .current
            .as_ref()
            .map_or(Time::MAX, |link| link.connection.next_timer());
        let candidates = self.candidates.values().map(Connection::next_timer).min();
        dial.min(current).min(candidates.unwrap_or(Time::MAX))
    }

    pub(super) fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        match &mut self.current {
            Some(link) if link.connection.id == id => Some(&mut link.connection),
            _ => self.candidates.get_mut(&id),
        }
    }
}

impl Relay {
    pub(super) fn demo(&self) -> Option<&demo::DemoConfig> {
        match &self.config.link {
            LinkConfig::Demo(demo) => Some(demo),
            LinkConfig::Default { .. } => None,
        }
    }

    // ---- bytes ----

    pub(super) fn received(&mut self, id: ConnectionId, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let now = self.now;
        if let Some(mut candidate) = self.links.candidates.remove(&id) {
            candidate.receive(now, bytes);
            match candidate.next(now) {
                None => {
                    self.links.candidates.insert(id, candidate);
                    return;
                }
                Some(Ok(Incoming::Greeting(greeting))) => self.promote(candidate, greeting),
                Some(Ok(Incoming::DemoGreeting(host))) => self.promote_demo(candidate, host),
                Some(Ok(_)) => self.drop_candidate(candidate, BreakReason::NotExpected),
                Some(Err(reason)) => self.drop_candidate(candidate, reason),
            }
        } else if let Some(connection) = self.links.connection_mut(id) {
            connection.receive(now, bytes);
        }
        while let Some(link) = self
            .links
            .current
            .as_mut()
            .filter(|link| link.connection.id == id)
        {
            match link.connection.next(now) {
                None => break,
                Some(Ok(Incoming::Message(message))) => self.message_received(message),
                Some(Ok(Incoming::Welcome(welcome))) => self.welcomed(welcome),
                Some(Ok(Incoming::Goodbye(reason))) => {
                    self.break_link(BreakReason::Goodbye(reason));
                }
                Some(Ok(Incoming::Greeting(_) | Incoming::DemoGreeting(_))) => {
                    self.break_link(BreakReason::NotExpected);
                }
                Some(Err(reason)) => self.break_link(reason),
            }
        }
    }

    pub(super) fn sent(&mut self, id: ConnectionId, bytes: usize) {
        let now = self.now;
        let Some(connection) = self.links.connection_mut(id) else {
            return;
        };
        if let Err(waiting) = connection.sent(now, bytes) {
            self.misuse(Misuse::SentTooMuch {
                connection: id,
                reported: bytes,
                waiting,
            });
        }
    }

    pub(super) fn disconnected(&mut self, id: ConnectionId, end: TransportEnd) {
        let reason = BreakReason::Transport(end);
        if let Some(candidate) = self.links.candidates.remove(&id) {
            self.drop_candidate(candidate, reason);
        } else if self.links.connection_mut(id).is_some() {
            self.break_link(reason);
        }
    }

    pub(super) fn links_timer(&mut self) {
        match self.links.dial {
            Dial::Trying { until } if until <= self.now => {
                self.act(Action::AbandonConnect);
                self.connect_failed(ConnectFailure::TimedOut);
            }
            Dial::Waiting { until } if until <= self.now => self.dial(),
            _ => {}
        }
        let now = self.now;
        let late: Vec<_> = (self.links.candidates.iter_mut())
            .filter_map(|(id, candidate)| candidate.timer(now).err().map(|reason| (*id, reason)))
            .collect();
        for (id, reason) in late {
            if let Some(candidate) = self.links.candidates.remove(&id) {
                self.drop_candidate(candidate, reason);
            }
        }
        let Some(link) = &mut self.links.current else {
            return;
        };
        let connection = link.connection.id;
        match link.connection.timer(now) {
            Ok(None) => {}
            Ok(Some(frame)) => self.act(Action::Send { connection, frame }),
            Err(reason) => self.break_link(reason),
        }
    }

    // ---- giving up ----

    /// Says goodbye if that makes sense, and drops the connection.
    pub(super) fn end_connection(&mut self, connection: &mut Connection, reason: BreakReason) {
        let id = connection.id;
        let goodbye = reason
            .goodbye()
            .and_then(|why| connection.goodbye(self.now, why));
        let flush = goodbye.is_some() || reason.goodbye() == Some(GoodbyeReason::Stopping);
        self.actions.extend(goodbye.map(|frame| Action::Send {
            connection: id,
            frame,
        }));
        if !matches!(reason, BreakReason::Transport(_)) {
            self.act(Action::Disconnect {
                connection: id,
                flush,
                reason,
            });
        }
    }

    /// Gives up a connection that was none yet.
    pub(super) fn drop_candidate(&mut self, mut candidate: Connection, reason: BreakReason) {
        self.statistics.handshakes_failed += 1;
        self.log(Event::HandshakeFailed {
            connection: candidate.id,
            reason: reason.clone(),
        });
        self.end_connection(&mut candidate, reason.clone());
        if self.config.role() == Role::Connect {
            self.try_again(reason);
        }
    }

    /// Gives up the current connection, and with it what came over it and is not yet posted: that
    /// is lost with the link, and the next one begins with nothing of this one. Only after an
    /// orderly goodbye of the peer it is still posted.
    pub(super) fn break_link(&mut self, reason: BreakReason) {
        let Some(mut link) = self.links.current.take() else {
            return;
        };
        let id = link.connection.id;
        let unconfirmed = link.connection.unconfirmed();
        let orderly = reason == BreakReason::Goodbye(GoodbyeReason::Stopping);
        let discarded = if orderly && link.alua_set {
            self.draining = true;
            0
        } else {
            self.discard_silently()
        };
        if let Some(up_since) = link.up_since {
            let lasted = self.now - up_since;
            self.statistics.links_down += 1;
            self.statistics.messages_unconfirmed += unconfirmed;
            if lasted >= self.config.times.stable_after {
                self.links.backoff.reset();
            }
            let reason = reason.clone();
            self.log(Event::LinkDown {
                connection: id,
                reason,
                unconfirmed,
                discarded,
                lasted,
            });
        } else {
            self.statistics.handshakes_failed += 1;
            self.log(Event::HandshakeFailed {
                connection: id,
                reason: reason.clone(),
            });
        }
        self.end_connection(&mut link.connection, reason.clone());
        self.set_alone(true);
        self.try_again(reason);
    }

    /// What comes after a connection was given up.
    fn try_again(&mut self, reason: BreakReason) {
        if self.phase != Phase::Running {
            return;
        }
        if self.demo().is_some_and(|demo| !demo.reconnect) {
            return self.stop(StopCause::DemoLinkEnded(reason));
        }
        if self.config.role() == Role::Connect {
            let retry_in = self.dial_later();
            self.log(Event::Reconnecting { retry_in });
        }
        self.advance();
    }

    /// Ends every connection because the relay stops.
    pub(super) fn end_all_links(&mut self) {
        if matches!(self.links.dial, Dial::Trying { .. }) {
            self.act(Action::AbandonConnect);
        }
        self.links.dial = Dial::Idle;
        for (_, mut candidate) in std::mem::take(&mut self.links.candidates) {
            self.end_connection(&mut candidate, BreakReason::Stopping);
        }
        self.break_link(BreakReason::Stopping);
    }
}
