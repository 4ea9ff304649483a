// SPDX-License-Identifier: MPL-2.0
//! Door calls that fail while the relay is there to answer them.
//!
//! A call that fails because the relay has ended is no finding, nor is EAGAIN that the kernel
//! tries again, nor a call that an injected fault has hit. Messages that can be sent again (about
//! LUs and sessions) are judged at the end.
//! Registrations of ports are left to the watcher of ports.

use super::describe::{Summary, describe};
use super::text::message_name;
use super::{Finding, Found, Kind, Seen, Watcher};
use crate::kernel::stmf::ATTEMPTS;
use crate::world::faults;
use crate::world::trace::{Event, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use stmf_proxy::message::MessageType;
use stmf_proxy::status::Errno;
use stmf_proxy::time::Time;

/// Calls in progress that are remembered at most.
const MOST_CALLS: usize = 65_536;

struct Call {
    message: Summary,
    bytes: usize,
    attempt: u8,
    /// A fault that was injected has hit it.
    injected: bool,
}

#[derive(Default)]
pub(super) struct Upcalls {
    calls: BTreeMap<(NodeId, u64), Call>,
    /// Nodes whose relay has ended, and none has answered a call since: the kernel goes on
    /// calling the door of the old one until it has closed its handle.
    without_relay: BTreeSet<NodeId>,
    /// What may be made up for yet, by the message that was not sent.
    pending: BTreeMap<(NodeId, String), Finding>,
}

impl Watcher for Upcalls {
    fn event(&mut self, record: &Seen<'_>, found: Found<'_>) {
        let Some(node) = record.node else { return };
        match record.event {
            Event::RelayEnded => {
                self.without_relay.insert(node);
            }
            Event::Boot { .. } | Event::PowerOff | Event::Panic { .. } => {
                self.without_relay.remove(&node);
                self.calls.retain(|(of, _), _| *of != node);
                self.pending.retain(|(of, _), _| *of != node);
            }
            Event::Upcall { call, attempt, .. } if self.calls.len() < MOST_CALLS => {
                let call_now = Call {
                    message: describe(record),
                    bytes: record.original_length(),
                    attempt,
                    injected: false,
                };
                self.calls.insert((node, call), call_now);
            }
            Event::Fault(text) => {
                let call = faults::failed_call(text).unwrap_or(0);
                if let Some(call) = self.calls.get_mut(&(node, call)) {
                    call.injected = true;
                }
            }
            Event::UpcallDone { call, outcome } => {
                if let Some(call) = self.calls.remove(&(node, call)) {
                    self.done(record.time, node, call, outcome, found);
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, _: Time, found: Found<'_>) {
        found.extend(std::mem::take(&mut self.pending).into_values());
    }
}

impl Upcalls {
    fn done(
        &mut self,
        time: Time,
        node: NodeId,
        call: Call,
        outcome: Result<u32, i32>,
        found: Found<'_>,
    ) {
        use MessageType::{DeregisterLun, LunActive, RegisterLun, RegisterProxyPort};
        let errno = match outcome {
            Ok(_) => {
                if !self.pending.is_empty() {
                    self.pending.remove(&(node, message_name(&call.message)));
                }
                return;
            }
            Err(errno) => Errno::from_number(errno),
        };
        // An attempt whose number is not known is a call of a real kernel, which goes on by
        // itself where that makes sense.
        let again = errno == Errno::EAGAIN && u32::from(call.attempt) < ATTEMPTS;
        if again || call.injected || self.without_relay.contains(&node) {
            return;
        }
        let why = match errno {
            Errno::E2BIG => ": it does not fit the stack of a server thread of the door",
            Errno::EAGAIN => " (three attempts)",
            _ => "",
        };
        let name = message_name(&call.message);
        let finding = Finding {
            kind: Kind::FailedUpcall,
            time,
            node: Some(node),
            text: format!(
                "node {node} could not hand a {name} of {} bytes to its door: {errno}{why}; the \
                 message is lost, and who needs it waits in vain",
                call.bytes
            ),
        };
        match call.message.message_type() {
            Some(RegisterProxyPort) => {}
            Some(RegisterLun | DeregisterLun | LunActive) => {
                self.pending.insert((node, name), finding);
            }
            _ => found.push(finding),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{findings, only};
    use super::*;
    use stmf_proxy::message::{Body, Dialect, LunMessage, Message, ScsiData};

    fn encoded(body: Body) -> Vec<u8> {
        let message = Message { msgid: 1, body };
        message.encode(Dialect::Current).unwrap()
    }

    fn data() -> Vec<u8> {
        encoded(Body::ScsiData(ScsiData {
            task_msgid: 3,
            session_id: 1,
            lun_id: [0x60; 16],
            data: vec![0; 512],
        }))
    }

    fn call(message: &[u8], call: u64, attempt: u8) -> Event<'_> {
        Event::Upcall {
            call,
            attempt,
            lock_held: false,
            message,
        }
    }

    fn done(call: u64, outcome: Result<u32, Errno>) -> Event<'static> {
        let outcome = outcome.map_err(Errno::number);
        Event::UpcallDone { call, outcome }
    }

    #[test]
    fn data_that_does_not_fit_is_told() {
        let data = data();
        let events = [(1, call(&data, 1, 1)), (1, done(1, Err(Errno::E2BIG)))];
        let text = only(Upcalls::default(), &events).to_string();
        assert!(text.contains("scsi_data (task 0x3)"), "{text}");
        assert!(
            text.contains("E2BIG (7)") && text.contains("stack"),
            "{text}"
        );
    }

    #[test]
    fn what_a_fault_has_hit_is_nothing() {
        let data = data();
        let mut events = vec![
            (1, call(&data, 7, 1)),
            (1, Event::Fault("door-e2big: call 7, E2BIG (7)")),
            (1, done(7, Err(Errno::E2BIG))),
        ];
        assert!(findings(Upcalls::default(), &events).is_empty());
        // The next one was not hit.
        events.extend([(1, call(&data, 8, 1)), (1, done(8, Err(Errno::E2BIG)))]);
        assert_eq!(findings(Upcalls::default(), &events).len(), 1);
    }

    #[test]
    fn what_is_tried_again_and_what_a_dead_relay_leaves_is_nothing() {
        let data = data();
        let lun = encoded(Body::RegisterLun(LunMessage {
            lun_id: [0x60; 16],
            lu_provider_name: b"sbd".to_vec(),
            cb_arg: Vec::new(),
        }));
        let events = [
            (1, call(&data, 1, 1)),
            (1, done(1, Err(Errno::EAGAIN))),
            (1, call(&data, 1, 2)),
            (1, done(1, Ok(0))),
            (1, call(&lun, 2, 1)),
            (1, done(2, Err(Errno::EINTR))),
            (1, call(&lun, 3, 1)),
            (1, done(3, Ok(0))),
            (1, Event::RelayEnded),
            (1, call(&data, 4, 1)),
            (1, done(4, Err(Errno::EBADF))),
        ];
        let found = findings(Upcalls::default(), &events);
        assert!(found.is_empty(), "{found:?}");
        let found = findings(Upcalls::default(), &events[4..6]);
        assert_eq!(found.len(), 1, "nothing made up for it");
    }
}
