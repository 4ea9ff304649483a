// SPDX-License-Identifier: MPL-2.0
//! Getting a connection: connecting or listening, again and again, and whom to let greet.

use std::net::SocketAddr;
use std::time::Duration;

use super::config::LinkConfig;
use super::event::{Event, Misuse};
use super::io::{Action, ConnectFailure, StopCause};
use super::links::{CANDIDATES_MAX, Dial};
use super::{Phase, Relay};
use crate::link::connection::{Connection, Ours};
use crate::link::{BootIdentity, BreakReason, ConnectionId, Greeting, Role, demo};

impl Relay {
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
    pub(super) fn dial_later(&mut self) -> Duration {
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
                version_low: self.config.link_versions.0,
                version_high: self.config.link_versions.1,
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
}
