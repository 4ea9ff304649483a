// SPDX-License-Identifier: MPL-2.0
//! A relay that answers EAGAIN while its queue is full, and means "try again". The kernel tries a
//! *call* again that fails with EAGAIN; a *result* other than 0 it only logs.
//!
//! Breaks the rule that a message is refused only when no link stands.

use super::altered::{Alteration, AlteredRelay, More};
use crate::world::StandardRelay;
use std::collections::VecDeque;
use stmf_proxy::relay::{Action, Input};
use stmf_proxy::status::Errno;
use stmf_proxy::time::Time;

pub(super) const NAME: &str = "answers-busy";

/// How many messages may wait to be sent.
const ROOM: usize = 4;

/// A frame that was handed to the transport and is not taken over yet.
struct Frame {
    bytes: usize,
    /// Whether there is a message in it.
    message: bool,
}

#[derive(Default)]
pub(super) struct ShortQueue {
    unsent: VecDeque<Frame>,
}

impl Alteration for ShortQueue {
    fn input(&mut self, _: Time, input: Input, more: &mut More) -> Option<Input> {
        match &input {
            Input::Upcall { call, .. } => {
                let waiting = self.unsent.iter().filter(|frame| frame.message).count();
                if waiting >= ROOM {
                    more.actions.push_back(Action::AnswerUpcall {
                        call: *call,
                        result: Errno::EAGAIN.number() as u32,
                    });
                    return None;
                }
            }
            Input::Sent { bytes, .. } => {
                let mut bytes = *bytes;
                while let Some(frame) = self.unsent.front_mut() {
                    if frame.bytes > bytes {
                        frame.bytes -= bytes;
                        break;
                    }
                    bytes -= frame.bytes;
                    self.unsent.pop_front();
                }
            }
            Input::Disconnected { .. } => self.unsent.clear(),
            _ => {}
        }
        Some(input)
    }

    fn action(&mut self, _: Time, action: Action, _: &mut More) -> Option<Action> {
        match &action {
            Action::Send { frame, .. } => self.unsent.push_back(Frame {
                bytes: frame.len(),
                message: !frame.body().is_empty(),
            }),
            Action::Disconnect { .. } => self.unsent.clear(),
            _ => {}
        }
        Some(action)
    }
}

pub(super) fn relay() -> AlteredRelay<ShortQueue> {
    AlteredRelay {
        name: NAME,
        standard: StandardRelay::new(),
        alteration: |_| ShortQueue::default(),
    }
}
