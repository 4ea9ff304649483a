// SPDX-License-Identifier: MPL-2.0
//! LUs that are gone from a node though nobody there removed them and the peer did not either.

use super::text::lu_name;
use super::{Finding, Found, Kind, Seen, Watcher};
use crate::world::trace::{Event, LuAccess, LuOperation, NodeId};
use std::collections::BTreeMap;
use stmf_proxy::message::{MessageType, Subject};
use stmf_proxy::time::Time;

/// What is remembered at most of either kind.
const MOST_KEPT: usize = 4096;

type LuId = [u8; 16];

#[derive(Default)]
pub(super) struct Lus {
    /// deregister_lun messages that are being posted.
    posts: BTreeMap<(NodeId, u64), LuId>,
    /// LUs that went and are not accounted for.
    gone: BTreeMap<(NodeId, LuId), Departure>,
}

struct Departure {
    time: Time,
    /// The ALUA state that was being set: on or off, and the node number.
    during: Option<(bool, u32)>,
}

impl Watcher for Lus {
    fn event(&mut self, record: &Seen<'_>, _: Found<'_>) {
        let Some(node) = record.node else { return };
        match record.event {
            Event::Boot { .. } | Event::PowerOff | Event::Panic { .. } => {
                self.posts.retain(|(of, _), _| *of != node);
            }
            Event::Post { post, .. } if self.posts.len() < MOST_KEPT => {
                if let Some(peeked) = record.peek()
                    && peeked.message_type == MessageType::DeregisterLun
                    && let Subject::Lun(lu) = peeked.subject
                {
                    self.posts.insert((node, post), lu);
                }
            }
            Event::PostDone { post, .. } => {
                self.posts.remove(&(node, post));
            }
            Event::LuAccess {
                lu,
                access: LuAccess::Gone,
            } => {
                let by_peer =
                    |((of, _), which): (&(NodeId, u64), &LuId)| *of == node && *which == lu;
                if !self.posts.iter().any(by_peer) && self.gone.len() < MOST_KEPT {
                    let departure = Departure {
                        time: record.time,
                        during: None,
                    };
                    self.gone.insert((node, lu), departure);
                }
            }
            // Told when it is done.
            Event::LuOperation {
                lu,
                operation: LuOperation::Delete,
                ..
            } => {
                self.gone.remove(&(node, lu));
            }
            Event::AluaState {
                enabled, number, ..
            } => {
                for ((of, _), departure) in &mut self.gone {
                    if *of == node {
                        departure.during.get_or_insert((enabled, number));
                    }
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, _: Time, found: Found<'_>) {
        for ((node, lu), departure) in std::mem::take(&mut self.gone) {
            let during = match departure.during {
                Some((enabled, number)) => {
                    let state = if enabled { "on" } else { "off" };
                    format!(" while the ALUA state was being set ({state}, node {number})")
                }
                None => String::new(),
            };
            found.push(Finding {
                kind: Kind::LuGone,
                time: departure.time,
                node: Some(node),
                text: format!(
                    "{} was deleted from node {node}{during}, though nobody removed it: this \
                     node cannot take it over any more until it is imported again",
                    lu_name(&lu)
                ),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{findings, only};
    use super::*;
    use stmf_proxy::message::{Body, Dialect, LunMessage, Message};

    const LU: LuId = [0x60; 16];
    const GONE: Event<'static> = Event::LuAccess {
        lu: LU,
        access: LuAccess::Gone,
    };

    #[test]
    fn a_lu_that_goes_by_itself_is_told() {
        let set = Event::AluaState {
            enabled: true,
            number: 0,
            outcome: Ok(()),
        };
        let text = only(Lus::default(), &[(0, GONE), (0, set)]).to_string();
        assert!(
            text.starts_with(
                "lu-gone: LU 60606060606060606060606060606060 was deleted from node 0 while the \
                 ALUA state was being set (on, node 0)"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_lu_that_somebody_removes_is_nothing() {
        let deleted = Event::LuOperation {
            lu: LU,
            operation: LuOperation::Delete,
            outcome: Ok(()),
        };
        let message = Message {
            msgid: 1,
            body: Body::DeregisterLun(LunMessage {
                lun_id: LU,
                lu_provider_name: b"sbd".to_vec(),
                cb_arg: Vec::new(),
            }),
        };
        let message = message.encode(Dialect::Current).unwrap();
        let post = Event::Post {
            post: 1,
            message: &message,
        };
        let events = [(1, GONE), (1, deleted), (0, post), (0, GONE)];
        assert!(findings(Lus::default(), &events).is_empty());
    }
}
