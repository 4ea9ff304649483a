// SPDX-License-Identifier: MPL-2.0
//! From a greeting to a link that stands: whether the peer's connection becomes the current one,
//! when it is welcomed, and what follows when both welcomes have passed.

use super::door::PeerKernel;
use super::event::Event;
use super::io::Action;
use super::links::{Current, Dial};
use super::{Phase, Relay};
use crate::link::connection::Connection;
use crate::link::{BreakReason, Greeting, Refusal, Role, Welcome};

impl Relay {
    /// A candidate has greeted as the peer does.
    pub(super) fn promote(&mut self, mut candidate: Connection, greeting: Greeting) {
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
        self.take(Current {
            connection: candidate,
            number: self.links.numbers + 1,
            kernel,
            node: greeting.node,
            host: greeting.host,
            relay: greeting.relay,
            attempt: greeting.attempt,
            welcomed_at: None,
            up_since: None,
            alua_set: false,
        });
    }

    /// The same on the demo link, where a greeting is a host name and nothing is checked.
    pub(super) fn promote_demo(&mut self, mut candidate: Connection, host: String) {
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
        let number = self.links.numbers + 1;
        self.take(Current {
            connection: candidate,
            number,
            kernel: PeerKernel::OfLink(number),
            node: self.config.node().peer(),
            host,
            relay: 0,
            attempt: 0,
            welcomed_at: None,
            up_since: None,
            alua_set: false,
        });
    }

    /// Makes it the current connection; the door follows.
    fn take(&mut self, current: Current) {
        if !self.door.may_serve(current.kernel) {
            // What an earlier kernel sent is nothing for a handle that serves this one.
            self.discard_waiting();
        }
        self.draining = false;
        self.set_alone(false);
        // Who listens goes on to, or to try to: one connection more or less changes nothing there.
        if self.config.role() == Role::Connect {
            self.links.dial = Dial::Idle;
        }
        self.links.numbers = current.number;
        self.links.current = Some(current);
        self.advance();
    }

    pub(super) fn welcomed(&mut self, welcome: Welcome) {
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
            link.welcomed_at = Some(now);
            let version = link.connection.welcome_version();
            let frame = link.connection.welcome(now, Welcome { version, handle });
            self.actions
                .extend(frame.map(|frame| Action::Send { connection, frame }));
        }
        let number = link.number;
        if ready && link.connection.is_established() && link.up_since.is_none() {
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
}
