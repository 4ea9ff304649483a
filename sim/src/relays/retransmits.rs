// SPDX-License-Identifier: MPL-2.0
//! A relay that does not want to lose anything: when the link stands again it sends once more
//! what it had sent last, whether that had arrived or not.
//!
//! Breaks the rule that nothing is posted twice. A link with an epoch for each connection, and
//! with none of the messages of an earlier one on the next, cannot do this.

use super::altered::{Alteration, AlteredRelay, More};
use crate::world::StandardRelay;
use bytes::Bytes;
use std::collections::VecDeque;
use stmf_proxy::relay::{Action, CallId, Event, Input};
use stmf_proxy::time::Time;

pub(super) const NAME: &str = "retransmits";

/// How many messages are sent once more.
const KEPT: usize = 32;

/// Calls from here on are of its own making: the kernel waits for no answer.
const FIRST_OWN_CALL: u64 = 1 << 63;

#[derive(Default)]
pub(super) struct Retransmission {
    sent: VecDeque<Bytes>,
    links: u64,
    own_calls: u64,
}

impl Alteration for Retransmission {
    fn input(&mut self, _: Time, input: Input, _: &mut More) -> Option<Input> {
        if let Input::Upcall { message, .. } = &input {
            if self.sent.len() == KEPT {
                self.sent.pop_front();
            }
            self.sent.push_back(message.clone());
        }
        Some(input)
    }

    fn action(&mut self, _: Time, action: Action, more: &mut More) -> Option<Action> {
        match &action {
            Action::AnswerUpcall { call, .. } if call.0 >= FIRST_OWN_CALL => return None,
            Action::Log(Event::LinkUp { .. }) => {
                self.links += 1;
                if self.links > 1 {
                    for message in &self.sent {
                        let call = CallId(FIRST_OWN_CALL + self.own_calls);
                        self.own_calls += 1;
                        let message = message.clone();
                        more.inputs.push_back(Input::Upcall { call, message });
                    }
                }
            }
            _ => {}
        }
        Some(action)
    }
}

pub(super) fn relay() -> AlteredRelay<Retransmission> {
    AlteredRelay {
        name: NAME,
        standard: StandardRelay::new(),
        alteration: |_| Retransmission::default(),
    }
}
