// SPDX-License-Identifier: MPL-2.0
//! Ports that the peer does not know though it should, and ports that it has refused though they
//! count as registered. What an injected fault has taken away is no finding.

use super::text::{peer, port_name};
use super::{Finding, Found, Kind, SETTLED, Seen, Watcher};
use crate::kernel::faults::Allocation;
use crate::kernel::pppt::PORT_REFUSED;
use crate::world::faults;
use crate::world::trace::{Event, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use stmf_proxy::message::{Body, MessageType, Subject};
use stmf_proxy::status::Errno;
use stmf_proxy::time::Time;

/// Registrations that are remembered of each node, at most: who has more has other trouble.
const MOST_KEPT: usize = 4096;

/// Why a registration did not go out.
#[derive(Clone, Copy)]
enum Failure {
    Errno(i32, u8),
    Result(u32),
}

/// What is known of a node.
#[derive(Default)]
struct Side {
    alua: bool,
    relay: bool,
    connections: BTreeSet<u32>,
    /// Registrations in the door, by call.
    calls: BTreeMap<u64, (Vec<u8>, u8)>,
    /// The call that an injected fault has hit.
    hit: Option<u64>,
    /// Ports whose last registration did not go out.
    failed: BTreeMap<Vec<u8>, (Time, Failure)>,
    /// Registrations of the peer's ports that are being posted here, by post.
    posts: BTreeMap<u64, (u64, Vec<u8>)>,
    /// Those that were refused, by message id.
    refused: BTreeMap<u64, Vec<u8>>,
}

#[derive(Default)]
pub(super) struct Ports {
    sides: BTreeMap<NodeId, Side>,
}

impl Watcher for Ports {
    fn event(&mut self, record: &Seen<'_>, found: Found<'_>) {
        if matches!(record.event, Event::Step(text) if text == SETTLED) {
            // From here on an operator mends what kernels do not.
            self.end(record.time, found);
            self.sides.values_mut().for_each(|side| side.failed.clear());
        }
        let Some(node) = record.node else { return };
        if let Event::Post { post, .. } = record.event {
            return self.posted(record, node, post, found);
        }
        let side = self.sides.entry(node).or_default();
        match record.event {
            Event::Boot { .. } | Event::PowerOff | Event::Panic { .. } => *side = Side::default(),
            Event::RelayStarted => side.relay = true,
            Event::RelayEnded => {
                side.relay = false;
                side.connections.clear();
            }
            Event::Connected { connection } => {
                side.connections.insert(connection);
            }
            Event::Disconnected { connection, .. } => {
                side.connections.remove(&connection);
            }
            Event::AluaState {
                enabled,
                outcome: Ok(()),
                ..
            } => side.alua = enabled,
            Event::Upcall { call, attempt, .. } => side.called(call, attempt, record),
            Event::UpcallDone { call, outcome } => side.call_done(record.time, call, outcome),
            Event::Fault(text) => side.hit(text),
            Event::PortRemoved { port } => {
                side.failed.remove(port);
            }
            Event::KernelLog(line) => {
                if let Some(name) = line.strip_prefix(PORT_REFUSED) {
                    side.refuse(name);
                }
            }
            Event::PostDone { post, .. } => {
                side.posts.remove(&post);
            }
            _ => {}
        }
    }

    fn end(&mut self, _: Time, found: Found<'_>) {
        for (&node, side) in &self.sides {
            let other = self.sides.get(&peer(node));
            if !side.alua || !side.is_linked() || !other.is_some_and(Side::is_linked) {
                continue;
            }
            for (port, (time, failure)) in &side.failed {
                found.push(missing(node, port, *time, *failure));
            }
        }
    }
}

impl Ports {
    fn posted(&mut self, record: &Seen<'_>, node: NodeId, post: u64, found: Found<'_>) {
        let Some(peeked) = record.peek() else { return };
        match (peeked.message_type, &peeked.subject) {
            (MessageType::RegisterProxyPort, Subject::Port(ident)) => {
                let side = self.sides.entry(node).or_default();
                if side.posts.len() < MOST_KEPT {
                    side.posts.insert(post, (peeked.msgid, ident.to_vec()));
                }
            }
            (MessageType::Status, Subject::Answer { .. }) => {
                let Some(other) = self.sides.get_mut(&peer(node)) else {
                    return;
                };
                let Some(Body::Status(reply)) = record.decoded().map(|message| &message.body)
                else {
                    return;
                };
                let registration = MessageType::RegisterProxyPort.number();
                if reply.status_msg_type != registration || reply.status != 0 {
                    return;
                }
                if let Some(port) = other.refused.remove(&reply.status_msgid) {
                    found.push(falsely_registered(node, &port, record.time));
                }
            }
            _ => {}
        }
    }
}

impl Side {
    fn is_linked(&self) -> bool {
        self.relay && !self.connections.is_empty()
    }

    fn called(&mut self, call: u64, attempt: u8, record: &Seen<'_>) {
        let Some(peeked) = record.peek() else { return };
        let Subject::Port(ident) = &peeked.subject else {
            return;
        };
        if peeked.message_type == MessageType::DeregisterProxyPort {
            // Nobody wants it registered any more.
            self.failed.remove(&ident.to_vec());
        } else if self.calls.len() < MOST_KEPT {
            self.calls.insert(call, (ident.to_vec(), attempt));
        }
    }

    fn call_done(&mut self, time: Time, call: u64, outcome: Result<u32, i32>) {
        let Some((port, attempt)) = self.calls.remove(&call) else {
            return;
        };
        // That EAGAIN is not tried again after the third attempt is a mistake of the kernel all the
        // same, and the port is missed.
        let injected = self.hit.take() == Some(call) && outcome != Err(Errno::EAGAIN.number());
        let failure = match outcome {
            _ if injected => {
                self.failed.remove(&port);
                return;
            }
            Ok(0) => {
                self.failed.remove(&port);
                return;
            }
            Ok(result) => Failure::Result(result),
            Err(errno) => Failure::Errno(errno, attempt),
        };
        if self.failed.len() < MOST_KEPT {
            self.failed.insert(port, (time, failure));
        }
    }

    /// An injected fault has hit a call, or has had a registration refused.
    fn hit(&mut self, text: &str) {
        self.hit = faults::failed_call(text).or(self.hit);
        if faults::name(text) == Allocation::ProxyPort.fault_name()
            && let Some(post) = faults::number(text, "post")
        {
            self.posts.remove(&post);
        }
    }

    fn refuse(&mut self, name: &str) {
        let post = self
            .posts
            .values()
            .find(|(_, port)| port_name(port) == name);
        if let Some((msgid, port)) = post
            && self.refused.len() < MOST_KEPT
        {
            self.refused.insert(*msgid, port.clone());
        }
    }
}

fn missing(node: NodeId, port: &[u8], time: Time, failure: Failure) -> Finding {
    let (port, other) = (port_name(port), peer(node));
    let how = match failure {
        Failure::Errno(errno, attempts) => {
            let errno = Errno::from_number(errno);
            let attempts = match attempts {
                0 | 1 => String::new(),
                attempts => format!(" ({attempts} attempts)"),
            };
            format!("failed with {errno}{attempts}")
        }
        Failure::Result(result) => {
            let result = i32::try_from(result).map(Errno::from_number);
            let result = result.map_or_else(|_| "an unknown result".into(), |e| e.to_string());
            format!("was answered by the relay with {result}")
        }
    };
    Finding {
        kind: Kind::PortMissing,
        time,
        node: Some(node),
        text: format!(
            "port {port} of node {node} is not registered with node {other}: its registration \
             {how} and nothing tried again; set the ALUA state of node {node} once more"
        ),
    }
}

fn falsely_registered(node: NodeId, port: &[u8], time: Time) -> Finding {
    let (port, other) = (port_name(port), peer(node));
    Finding {
        kind: Kind::PortFalselyRegistered,
        time,
        node: Some(node),
        text: format!(
            "port {port} of node {node} counts as registered, but node {other} has refused it \
             (TARGET_FAILURE): of the 64 bits of a status only the low 8 travel, and they are 0; \
             commands through that port go to one that is not there, and hang"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{findings, only};
    use super::*;
    use stmf_proxy::message::{DeviceId, Dialect, Message, RegisterProxyPort, Status};

    fn register() -> Vec<u8> {
        let port_id = DeviceId {
            code_set: 2,
            ident: b"wwn.1".to_vec(),
            ..DeviceId::default()
        };
        let body = Body::RegisterProxyPort(RegisterProxyPort {
            port_id,
            relative_port_id: 1,
            cb_arg: Vec::new(),
        });
        let message = Message { msgid: 4, body };
        message.encode(Dialect::Current).unwrap()
    }

    fn status() -> Vec<u8> {
        let body = Body::Status(Status {
            status_msg_type: 0,
            status_msgid: 4,
            status: 0,
        });
        let message = Message { msgid: 4, body };
        message.encode(Dialect::Current).unwrap()
    }

    const ON: Event<'static> = Event::AluaState {
        enabled: true,
        number: 0,
        outcome: Ok(()),
    };

    fn linked() -> Vec<(NodeId, Event<'static>)> {
        let both = |event| [(0, event), (1, event)];
        let mut events = both(Event::RelayStarted).to_vec();
        events.extend(both(Event::Connected { connection: 1 }));
        events
    }

    fn call(message: &[u8], outcome: Result<u32, i32>) -> [(NodeId, Event<'_>); 2] {
        let upcall = Event::Upcall {
            call: 1,
            attempt: 3,
            lock_held: true,
            message,
        };
        [(0, upcall), (0, Event::UpcallDone { call: 1, outcome })]
    }

    #[test]
    fn a_registration_that_nobody_tries_again_is_missed() {
        let register = register();
        let mut events = linked();
        events.extend(call(&register, Err(Errno::EAGAIN.number())));
        events.push((0, ON));
        assert_eq!(
            only(Ports::default(), &events).to_string(),
            "port-missing: port wwn.1 of node 0 is not registered with node 1: its registration \
             failed with EAGAIN (11) (3 attempts) and nothing tried again; set the ALUA state of \
             node 0 once more"
        );
        events.extend(call(&register, Ok(0)));
        assert!(findings(Ports::default(), &events).is_empty());
    }

    #[test]
    fn a_registration_that_a_fault_loses_is_not_missed() {
        let register = register();
        let mut events = linked();
        let [upcall, done] = call(&register, Ok(134));
        let fault = (0, Event::Fault("door-result: call 1, result 134"));
        events.extend([upcall, fault, done, (0, ON)]);
        assert!(findings(Ports::default(), &events).is_empty());
        events.extend(call(&register, Ok(134)));
        only(Ports::default(), &events);
    }

    #[test]
    fn without_a_link_no_port_is_missed() {
        let register = register();
        let mut events = linked();
        events.extend(call(&register, Ok(134)));
        events.push((0, ON));
        events.push((1, Event::RelayEnded));
        assert!(findings(Ports::default(), &events).is_empty());
    }

    #[test]
    fn a_refusal_that_arrives_as_success_is_told() {
        let (register, status) = (register(), status());
        let line = format!("{PORT_REFUSED}wwn.1");
        let post = |message| Event::Post { post: 9, message };
        let events = [
            (1, post(&register)),
            (1, Event::KernelLog(&line)),
            (0, post(&status)),
        ];
        let text = only(Ports::default(), &events).to_string();
        assert!(
            text.contains("port wwn.1 of node 0 counts as registered"),
            "{text}"
        );
        let fault = Event::Fault("memory-proxy-port: post 9");
        let short = [events[0], (1, fault), events[1], events[2]];
        assert!(findings(Ports::default(), &short).is_empty());
        let taken = [events[0], events[2]];
        assert!(findings(Ports::default(), &taken).is_empty());
    }
}
