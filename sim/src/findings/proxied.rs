// SPDX-License-Identifier: MPL-2.0
//! What a node holds for its peer, as far as the messages that it was given tell: proxy ports and
//! their sessions. It explains what a kernel does without a word: commands that it refuses (the
//! status arrives as 0), and sessions that it waits for in vain (docs/kernel.md).

use super::Seen;
use super::describe::{port_name, seconds};
use std::collections::{BTreeMap, BTreeSet};
use stmf_proxy::message::{Body, MessageType, ScsiCommand};
use stmf_proxy::relay::Event as RelayEvent;
use stmf_proxy::time::Time;

/// Sessions and ports that are remembered of one node. No pair of nodes has as many.
const MOST: usize = 4_096;

/// A session, as the node that was given its commands knows it.
#[derive(Clone)]
struct Session {
    target: Vec<u8>,
    initiator: Vec<u8>,
    /// The TransportID; none in the dialect of 2009.
    rport: Option<Vec<u8>>,
    /// When a command came that left its hold behind, and what it was.
    leaked: Option<String>,
}

impl Session {
    fn is_of(&self, command: &ScsiCommand) -> bool {
        self.target == command.tgt_devid.ident
            && match (&self.rport, &command.rport) {
                (Some(ours), Some(theirs)) => ours == theirs,
                _ => self.initiator == command.ini_devid.ident,
            }
    }
}

/// What one node holds for its peer.
#[derive(Default)]
pub(super) struct Proxied {
    ports: BTreeSet<Vec<u8>>,
    sessions: BTreeMap<u64, Session>,
}

impl Proxied {
    /// The node was given a message. If that is a command that its kernel refuses: why.
    pub(super) fn given(&mut self, record: &Seen<'_>) -> Option<String> {
        use MessageType::{DeregisterProxyPort, RegisterProxyPort, ScsiCommand, SessionDestroy};
        // All others leave what the node holds as it is, and need not be decoded.
        if !matches!(
            record.peek()?.message_type,
            RegisterProxyPort | DeregisterProxyPort | SessionDestroy | ScsiCommand
        ) {
            return None;
        }
        match &record.decoded()?.body {
            Body::RegisterProxyPort(port) if self.ports.len() < MOST => {
                self.ports.insert(port.port_id.ident.clone());
            }
            Body::DeregisterProxyPort(port) => {
                self.ports.remove(&port.port_id.ident);
                self.sessions
                    .retain(|_, session| session.target != port.port_id.ident);
            }
            Body::SessionDestroy(ended) => {
                self.sessions.retain(|id, session| {
                    *id != ended.session_id
                        || session.target != ended.tgt_devid.ident
                        || session.leaked.is_some()
                });
            }
            Body::ScsiCommand(command) => return self.command(command, record.time),
            _ => {}
        }
        None
    }

    fn command(&mut self, command: &ScsiCommand, now: Time) -> Option<String> {
        let id = command.session_id;
        if let Some(known) = self.sessions.get_mut(&id) {
            if known.is_of(command) {
                return None;
            }
            // The kernel has found the session, and forgets to let it go.
            let (holder, other) = (&known.initiator, &command.ini_devid.ident);
            let what = format!(
                "a command of initiator port {} came with that session id at {}, when it was the \
                 one of {}",
                port_name(other),
                seconds(now),
                port_name(holder)
            );
            known.leaked.get_or_insert(what);
        }
        let target = &command.tgt_devid.ident;
        if !self.ports.contains(target) {
            return Some(format!(
                "NOT_FOUND (no port {} is registered there)",
                port_name(target)
            ));
        }
        let of_nexus = self
            .sessions
            .iter()
            .find(|(_, session)| session.is_of(command));
        let older = of_nexus.map(|(id, _)| *id);
        match older {
            Some(higher) if higher > id => {
                return Some(format!(
                    "INVALID_ARG (session {id} is lower than {higher} that the nexus has there)"
                ));
            }
            // Replaced, unless the kernel waits for it for ever.
            Some(lower) if self.sessions[&lower].leaked.is_none() => {
                self.sessions.remove(&lower);
            }
            _ => {}
        }
        if self.sessions.len() < MOST && !self.sessions.contains_key(&id) {
            self.sessions.insert(
                id,
                Session {
                    target: target.clone(),
                    initiator: command.ini_devid.ident.clone(),
                    rport: command.rport.clone(),
                    leaked: None,
                },
            );
        }
        None
    }

    /// A line of the node's relay: with its handle closed, the kernel holds nothing for the peer.
    pub(super) fn relay_log(&mut self, line: &str) {
        if line.ends_with(&RelayEvent::DoorClosed.to_string()) {
            self.forget();
        }
    }

    /// The node, its kernel or its relay is gone.
    pub(super) fn forget(&mut self) {
        *self = Proxied::default();
    }

    /// Why the kernel would wait for a session for ever, if there is one such.
    pub(super) fn leak(&self) -> Option<String> {
        self.sessions.iter().find_map(|(id, session)| {
            let what = session.leaked.as_ref()?;
            Some(format!(
                "it waits for session {id} there to be let go, and one hold on it was never given \
                 back: {what} (trap 1)"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::world::trace::{Event, Record};

    const NOW: Time = Time::from_nanos(1_500_000_000);

    fn given(proxied: &mut Proxied, message: &[u8]) -> Option<String> {
        let event = Event::Post { post: 1, message };
        let record = Record::new(1, NOW, Some(0), event);
        Seen::with(&record, |seen| proxied.given(seen))
    }

    fn with_port() -> Proxied {
        let mut proxied = Proxied::default();
        assert_eq!(given(&mut proxied, &register_port(1, "wwn.21")), None);
        proxied
    }

    #[test]
    fn commands_of_known_ports_and_rising_sessions_are_taken() {
        let mut proxied = with_port();
        assert_eq!(given(&mut proxied, &command(2, 1, "wwn.21", 9)), None);
        assert_eq!(given(&mut proxied, &command(3, 1, "wwn.21", 9)), None);
        assert_eq!(given(&mut proxied, &command(4, 2, "wwn.21", 9)), None);
        assert_eq!(proxied.leak(), None);
    }

    #[test]
    fn refusals_are_explained() {
        let mut proxied = with_port();
        given(&mut proxied, &command(2, 7, "wwn.21", 9));
        assert_eq!(
            given(&mut proxied, &command(3, 1, "wwn.21", 9)).unwrap(),
            "INVALID_ARG (session 1 is lower than 7 that the nexus has there)"
        );
        assert_eq!(
            given(&mut proxied, &command(4, 8, "wwn.22", 9)).unwrap(),
            "NOT_FOUND (no port wwn.22 is registered there)"
        );
        proxied.relay_log("info: proxy door handle closed");
        assert_eq!(
            given(&mut proxied, &command(5, 7, "wwn.21", 9)).unwrap(),
            "NOT_FOUND (no port wwn.21 is registered there)"
        );
    }

    #[test]
    fn a_hold_that_is_left_behind_is_remembered() {
        let mut proxied = with_port();
        given(&mut proxied, &command(2, 1, "wwn.21", 8));
        given(&mut proxied, &command(3, 1, "wwn.21", 9));
        assert_eq!(
            proxied.leak().unwrap(),
            "it waits for session 1 there to be let go, and one hold on it was never given back: a \
             command of initiator port wwn.initiator9 came with that session id at 1.500 s, when \
             it was the one of wwn.initiator8 (trap 1)"
        );
    }
}
