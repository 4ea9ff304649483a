// SPDX-License-Identifier: MPL-2.0
//! What injected faults take from commands: the message that they hit, every command to a port
//! whose registration they have lost, and commands while a node stands still or its service is
//! off.

use super::super::Seen;
use super::super::standstill::Standstill;
use crate::kernel::Allocation;
use crate::kernel::faults::POST_FAILED;
use crate::kernel::stmf::ATTEMPTS;
use crate::world::faults::{self, SERVICE_DISABLED, SERVICE_ENABLED};
use crate::world::trace::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use stmf_proxy::message::{Body, MessageType, Subject};
use stmf_proxy::status::Errno;
use stmf_proxy::time::Time;

/// Calls, posts and ports that are remembered. No pair of nodes has as many.
const MOST: usize = 4_096;

/// The kernel answers a registration before the port is online, and nothing tells when it is: a
/// command that comes at once is refused, and no relay can know.
const COMES_ONLINE: Duration = Duration::from_millis(1);

/// A call or a post in progress.
#[derive(Default)]
struct Carried {
    /// The port that it registers, if it does.
    registers: Option<Vec<u8>>,
    /// How often it was tried.
    attempts: u32,
    hit: bool,
}

#[derive(Default)]
pub(super) struct Faults {
    calls: BTreeMap<(NodeId, u64), Carried>,
    posts: BTreeMap<(NodeId, u64), Carried>,
    /// Ports of the peer whose registration was lost, or that were taken away (which the peer's
    /// kernel tells even when the port then stays, because it has sessions), by the node that does
    /// not know them.
    unknown: BTreeSet<(NodeId, Vec<u8>)>,
    /// Ports of the peer whose registration has just ended well, by node, with when it did.
    fresh: BTreeMap<(NodeId, Vec<u8>), Time>,
    still: Standstill,
    /// Nodes whose service is off.
    off: BTreeSet<NodeId>,
}

fn registered(record: &Seen<'_>) -> Option<Vec<u8>> {
    let seen = record.peek()?;
    match (seen.message_type, &seen.subject) {
        (MessageType::RegisterProxyPort, Subject::Port(ident)) => Some(ident.to_vec()),
        _ => None,
    }
}

impl Faults {
    pub(super) fn called(&mut self, node: NodeId, call: u64, record: &Seen<'_>) {
        if self.calls.len() >= MOST {
            return;
        }
        let carried = self.calls.entry((node, call)).or_default();
        carried.registers = registered(record);
        carried.attempts += 1;
        carried.hit = false;
    }

    /// Whether a fault has lost the message.
    pub(super) fn call_done(&mut self, node: NodeId, call: u64, outcome: Result<u32, i32>) -> bool {
        let again = outcome == Err(Errno::EAGAIN.number());
        let attempts = self.calls.get(&(node, call)).map(|call| call.attempts);
        if again && attempts.is_some_and(|attempts| attempts < ATTEMPTS) {
            return false; // It is tried again.
        }
        let Some(carried) = self.calls.remove(&(node, call)) else {
            return false;
        };
        let lost = carried.hit && outcome != Ok(0);
        if lost && let Some(port) = carried.registers {
            self.lose_port(node ^ 1, port);
        }
        lost
    }

    /// A message is posted. Whether it is a command that the kernel refuses, for a registration
    /// was lost, the port is not online yet, or the service is off.
    pub(super) fn posted(&mut self, node: NodeId, post: u64, record: &Seen<'_>) -> bool {
        let registers = registered(record);
        if let Some(port) = &registers {
            self.unknown.remove(&(node, port.clone()));
        }
        if let Some(seen) = record.peek()
            && let (MessageType::DeregisterProxyPort, Subject::Port(port)) =
                (seen.message_type, &seen.subject)
            && self.unknown.len() < MOST
        {
            self.unknown.insert((node, port.to_vec()));
        }
        if self.posts.len() < MOST {
            let carried = Carried {
                registers,
                ..Carried::default()
            };
            self.posts.insert((node, post), carried);
        }
        if self.off.contains(&node) {
            return true;
        }
        self.fresh
            .retain(|_, since| record.time - *since <= COMES_ONLINE);
        if self.unknown.is_empty() && self.fresh.is_empty() {
            return false;
        }
        match record.decoded().map(|message| &message.body) {
            Some(Body::ScsiCommand(command)) => {
                let port = (node, command.tgt_devid.ident.clone());
                self.unknown.contains(&port) || self.fresh.contains_key(&port)
            }
            _ => false,
        }
    }

    pub(super) fn post_done(&mut self, node: NodeId, post: u64, now: Time) {
        let carried = self.posts.remove(&(node, post)).unwrap_or_default();
        let Some(port) = carried.registers else {
            return;
        };
        if carried.hit {
            self.lose_port(node, port);
        } else if self.fresh.len() < MOST {
            self.fresh.insert((node, port), now);
        }
    }

    fn lose_port(&mut self, node: NodeId, port: Vec<u8>) {
        if self.unknown.len() < MOST {
            self.unknown.insert((node, port));
        }
    }

    /// A fault hits something. True: every command of the pair may suffer.
    pub(super) fn hit(&mut self, now: Time, node: NodeId, text: &str) -> bool {
        let is_proxy_port = faults::name(text) == Allocation::ProxyPort.fault_name();
        if let Some(call) = faults::failed_call(text)
            && let Some(carried) = self.calls.get_mut(&(node, call))
        {
            carried.hit = true;
        }
        if let Some(post) = faults::number(text, "post")
            && let Some(carried) = self.posts.get_mut(&(node, post))
        {
            carried.hit |= lost_whole(text) || is_proxy_port;
        }
        if self.still.held_up(node, now, text) {
            return true;
        }
        match faults::name(text) {
            // Longer than a host waits, for a command that takes many accesses.
            faults::DISK_SLOW => true,
            SERVICE_DISABLED => self.off.insert(node),
            SERVICE_ENABLED => self.off.remove(&node),
            _ => false,
        }
    }

    /// Whether every command that begins now at this node may suffer: its pair stands still.
    pub(super) fn excuses_all(&self, node: NodeId, now: Time) -> bool {
        now < self.still.until_of_both(node)
    }

    /// The kernel of the node is gone, with all that it knew.
    pub(super) fn node_gone(&mut self, node: NodeId) {
        self.calls.retain(|(other, _), _| *other != node);
        self.posts.retain(|(other, _), _| *other != node);
        self.unknown.retain(|(other, _)| *other != node);
        self.fresh.retain(|(other, _), _| *other != node);
        self.still.over(node);
        self.off.remove(&node);
    }
}

/// Whether the message that is being posted reaches nobody.
fn lost_whole(text: &str) -> bool {
    let name = faults::name(text);
    name == POST_FAILED || name == Allocation::IoctlBuffer.fault_name()
}
