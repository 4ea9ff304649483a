// SPDX-License-Identifier: MPL-2.0
//! The relay's connections: making them, choosing among them, and giving them up.
//!
//! A connection begins as a *candidate*. One whose greeting is accepted becomes the *current* one
//! (there is at most one), and once both welcomes have passed it is a *link that stands*.
//! Invariants: a candidate changes nothing for the current link before its greeting has been
//! checked; whatever ends, this module decides what is tried next and when.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;

use super::config::{Config, LinkConfig};
use super::door::PeerKernel;
use super::event::{Event, Misuse};
use super::io::{Action, ConnectFailure, StopCause};
use super::{Phase, Relay};
use crate::link::backoff::{Backoff, Random};
use crate::link::connection::{Connection, Incoming, Limits, Ours};
use crate::link::greeting::{VERSION_HIGH, VERSION_LOW};
use crate::link::{
    BootIdentity, BreakReason, ConnectionId, GoodbyeReason, Greeting, HandleIdentity, Node,
    Refusal, Role, TransportEnd, Welcome, demo,
};
use crate::time::Time;

/// So many connections may wait for their greeting at once, so that strangers who connect and
/// say nothing cost little and leave room for the peer.
pub const CANDIDATES_MAX: usize = 4;

/// What is done to get a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dial {
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
struct Current {
    connection: Connection,
    /// Number of the link in the life of this relay.
    number: u64,
    kernel: PeerKernel,
    node: Node,
    host: String,
    /// The peer's relay and attempt numbers, to know an older connection from a newer one.
    relay: u64,
    attempt: u64,
    /// Since when the link stands.
    up_since: Option<Time>,
    alua_set: bool,
}

#[derive(Debug)]
pub(super) struct Links {
    limits: Limits,
    random: Random,
    relay: u64,
    attempts: u64,
    numbers: u64,
    backoff: Backoff,
    dial: Dial,
    candidates: BTreeMap<ConnectionId, Connection>,
    current: Option<Current>,
    /// Boot and handle of the peer on the last link.
    last_peer: Option<(BootIdentity, HandleIdentity)>,
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

    fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        match &mut self.current {
            Some(link) if link.connection.id == id => Some(&mut link.connection),
            _ => self.candidates.get_mut(&id),
        }
    }
}

impl Relay {
    fn demo(&self) -> Option<&demo::DemoConfig> {
        match &self.config.link {
            LinkConfig::Demo(demo) => Some(demo),
            LinkConfig::Default { .. } => None,
        }
    }

    // ---- getting a connection ----

    /// Connects or listens, if there is need.
    pub(super) fn dial(&mut self) {
        match self.config.role() {
            Role::Listen => {
                self.links.dial = Dial::Listening;
                self.log(Event::Listening);
                self.act(Action::Listen);
            }
            Role::Connect if self.links.current.is_none() && self.links.candidates.is_empty() => {
                self.statistics.connection_attempts += 1;
                let attempt = self.statistics.connection_attempts;
                let until = self.now + self.config.times.connect_timeout;
                self.links.dial = Dial::Trying { until };
                self.log(Event::Connecting { attempt });
                self.act(Action::Connect);
            }
            Role::Connect => self.links.dial = Dial::Idle,
        }
    }

    /// Sets the time of the next attempt.
    fn dial_later(&mut self) -> std::time::Duration {
        let delay = match self.demo() {
            Some(_) => demo::RETRY,
            None => self.links.backoff.next(&mut self.links.random),
        };
        self.links.dial = Dial::Waiting {
            until: self.now + delay,
        };
        delay
    }

    pub(super) fn connect_failed(&mut self, failure: ConnectFailure) {
        if !matches!(self.links.dial, Dial::Trying { .. }) || self.phase != Phase::Running {
            // After a stop, or after patience ended, the answer may still be on its way.
            return;
        }
        if self.demo().is_some_and(|demo| !demo.reconnect) && failure != ConnectFailure::Refused {
            self.links.dial = Dial::Idle;
            return self.stop(StopCause::DemoLinkNotMade(failure));
        }
        let retry_in = self.dial_later();
        self.log(Event::NotConnected { failure, retry_in });
    }

    pub(super) fn listen_failed(&mut self, errno: i32) {
        if self.phase != Phase::Running {
            return;
        }
        if self.links.dial != Dial::Listening {
            return self.misuse(Misuse::NotListening);
        }
        let retry_in = self.dial_later();
        self.log(Event::NotListening { errno, retry_in });
    }

    pub(super) fn connected(&mut self, id: ConnectionId, address: Option<SocketAddr>) {
        if self.links.connection_mut(id).is_some() {
            return self.misuse(Misuse::ConnectionTwice(id));
        }
        let links = &self.links;
        let refusal = match (&self.phase, self.config.role(), self.door.boot()) {
            (Phase::Stopping(_) | Phase::Stopped, ..) => Some(BreakReason::Stopping),
            (Phase::Running, Role::Connect, Some(_)) => match links.dial {
                Dial::Trying { .. } => None,
                _ => Some(BreakReason::NotExpected),
            },
            (Phase::Running, Role::Listen, Some(_)) => {
                // A field daemon never connects twice, so on a demo link that must not be made
                // anew a second connection is a stranger's.
                let taken = links.current.is_some() || !links.candidates.is_empty();
                let once = self.demo().is_some_and(|demo| !demo.reconnect);
                if once && taken {
                    Some(BreakReason::NotExpected)
                } else if links.candidates.len() >= CANDIDATES_MAX {
                    Some(BreakReason::TooMany(CANDIDATES_MAX))
                } else {
                    None
                }
            }
            _ => Some(BreakReason::NotExpected),
        };
        if let Some(reason) = refusal {
            return self.act(Action::Disconnect {
                connection: id,
                flush: false,
                reason,
            });
        }
        if self.config.role() == Role::Connect {
            self.links.dial = Dial::Idle;
        }
        self.log(Event::Connected {
            connection: id,
            address,
        });
        let ours = self.greeting();
        let (connection, frame) = Connection::open(self.now, id, ours, self.links.limits);
        self.links.candidates.insert(id, connection);
        self.act(Action::Send {
            connection: id,
            frame,
        });
    }

    fn greeting(&mut self) -> Ours {
        let handle = self.door.handle();
        let boot = self.door.boot().unwrap_or(BootIdentity(0));
        self.links.attempts += 1;
        let session = self.links.random.next();
        match &self.config.link {
            LinkConfig::Demo(demo) => Ours::Demo {
                host: demo.host.clone(),
            },
            LinkConfig::Default {
                pair, host, node, ..
            } => Ours::Default(Greeting {
                version_low: VERSION_LOW,
                version_high: VERSION_HIGH,
                node: *node,
                max_message: self.links.limits.max_message,
                keepalive_ms: self.config.times.keepalive_interval.as_millis() as u32,
                boot,
                handle,
                session,
                relay: self.links.relay,
                attempt: self.links.attempts,
                pair: pair.clone(),
                host: host.clone(),
            }),
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
                Some(Ok(Incoming::Greeting(greeting))) => self.promote(candidate, Some(greeting)),
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

    // ---- greetings and welcomes ----

    fn promote(&mut self, mut candidate: Connection, greeting: Option<Greeting>) {
        let Some(greeting) = greeting else { return };
        let kernel = PeerKernel::Boot(greeting.boot);
        if let Some(link) = &self.links.current {
            let same = link.kernel == kernel && link.relay == greeting.relay;
            if same && greeting.attempt <= link.attempt {
                let (attempt, current) = (greeting.attempt, link.attempt);
                let refusal = Refusal::OutOfDate { attempt, current };
                return self.drop_candidate(candidate, refusal.into());
            }
            self.break_link(BreakReason::Superseded(candidate.id));
        }
        if self.phase != Phase::Running {
            return self.end_connection(&mut candidate, BreakReason::Stopping);
        }
        self.log(Event::PeerGreeted {
            connection: candidate.id,
            host: greeting.host.clone(),
            node: Some(greeting.node),
            boot: Some(greeting.boot),
        });
        let (node, host) = (greeting.node, greeting.host);
        self.take(
            candidate,
            kernel,
            node,
            host,
            greeting.relay,
            greeting.attempt,
        );
    }

    fn promote_demo(&mut self, mut candidate: Connection, host: String) {
        if self.links.current.is_some() {
            self.break_link(BreakReason::Superseded(candidate.id));
        }
        if self.phase != Phase::Running {
            return self.end_connection(&mut candidate, BreakReason::Stopping);
        }
        let connection = candidate.id;
        self.log(Event::PeerGreeted {
            connection,
            host: host.clone(),
            node: None,
            boot: None,
        });
        let kernel = PeerKernel::OfLink(self.links.numbers + 1);
        let node = self.config.node().peer();
        self.take(candidate, kernel, node, host, 0, 0);
    }

    fn take(
        &mut self,
        connection: Connection,
        kernel: PeerKernel,
        node: Node,
        host: String,
        relay: u64,
        attempt: u64,
    ) {
        if !self.door.may_serve(kernel) {
            // What an earlier kernel sent is nothing for a handle that serves this one.
            self.discard_waiting();
        }
        self.draining = false;
        self.set_alone(false);
        self.links.dial = match self.links.dial {
            Dial::Listening => Dial::Listening,
            _ => Dial::Idle,
        };
        self.links.numbers += 1;
        self.links.current = Some(Current {
            connection,
            number: self.links.numbers,
            kernel,
            node,
            host,
            relay,
            attempt,
            up_since: None,
            alua_set: false,
        });
        self.advance();
    }

    fn welcomed(&mut self, welcome: Welcome) {
        if let (Some(PeerKernel::Boot(boot)), Some(new)) =
            (self.links.peer_kernel(), welcome.handle)
        {
            let before = self.links.last_peer.replace((boot, new));
            if let Some((old_boot, old)) = before
                && old_boot == boot
                && old != new
            {
                self.log(Event::PeerRelayRestarted { old, new });
            }
        }
        self.advance();
    }

    /// Takes the current connection as far as door and welcomes allow.
    pub(super) fn advance_link(&mut self) {
        let ready = self.is_door_ready();
        let (now, handle) = (self.now, self.door.handle());
        let Some(link) = &mut self.links.current else {
            return;
        };
        let connection = link.connection.id;
        if ready && !link.connection.is_welcomed() {
            let version = link.connection.welcome_version();
            let frame = link.connection.welcome(now, Welcome { version, handle });
            self.actions
                .extend(frame.map(|frame| Action::Send { connection, frame }));
        }
        let number = link.number;
        if link.connection.is_established() && link.up_since.is_none() {
            link.up_since = Some(now);
            let up = Event::LinkUp {
                connection,
                host: link.host.clone(),
                peer: link.node,
                version: link.connection.version(),
            };
            self.statistics.links_up += 1;
            self.log(up);
            self.refusal_said = false;
            let count = std::mem::take(&mut self.refused);
            if count > 0 {
                self.log(Event::UpcallsRefusedWhileDown { count });
            }
        }
        if self.links.established().is_some() && !self.links.is_alua_set() {
            self.set_alua(number);
        }
    }

    // ---- giving up ----

    /// Says goodbye if that makes sense, and drops the connection.
    fn end_connection(&mut self, connection: &mut Connection, reason: BreakReason) {
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
    fn drop_candidate(&mut self, mut candidate: Connection, reason: BreakReason) {
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
