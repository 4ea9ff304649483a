// SPDX-License-Identifier: MPL-2.0
//! The relay's traffic: upcalls to the peer, messages from the peer to posts.
//!
//! Invariants: every upcall is answered in the same step, with 0 only if its message stands in
//! the send queue of a link that stands; a message from the peer is taken in whatever posts do,
//! and if the queue has no room for it the link goes.

use bytes::Bytes;

use super::event::{Event, Misuse};
use super::io::{Action, CallFailure, CallId, PostId, UpcallRefusal};
use super::{Phase, Relay};
use crate::link::BreakReason;
use crate::time::Time;

impl Relay {
    pub(super) fn upcall(&mut self, call: CallId, message: Bytes) {
        let length = message.len();
        let result = match self.accept(message) {
            Ok(()) => {
                self.statistics.upcalls_accepted += 1;
                self.statistics.upcall_bytes += length as u64;
                0
            }
            Err(refusal) => {
                self.statistics.upcalls_refused += 1;
                self.say_refusal(refusal, length);
                refusal.errno()
            }
        };
        self.act(Action::AnswerUpcall { call, result });
    }

    fn accept(&mut self, message: Bytes) -> Result<(), UpcallRefusal> {
        if matches!(self.phase, Phase::Stopping(_) | Phase::Stopped) {
            return Err(UpcallRefusal::Stopping);
        }
        if message.is_empty() {
            return Err(UpcallRefusal::Empty);
        }
        if message.len() > self.config.max_message {
            return Err(UpcallRefusal::TooLong);
        }
        let now = self.now;
        let bound = self.config.send_queue_bytes;
        let connection = self
            .links
            .established_mut()
            .ok_or(UpcallRefusal::LinkDown)?;
        if message.len() > connection.max_message() {
            return Err(UpcallRefusal::TooLong);
        }
        let Some(frame) = connection.message(now, message) else {
            self.break_link(BreakReason::SendQueueFull { bound });
            self.advance();
            return Err(UpcallRefusal::SendQueueFull);
        };
        let unsent = connection.unsent() as u64;
        let connection = connection.id;
        let high = &mut self.statistics.send_queue_bytes_high;
        *high = (*high).max(unsent);
        self.act(Action::Send { connection, frame });
        Ok(())
    }

    fn say_refusal(&mut self, refusal: UpcallRefusal, length: usize) {
        match refusal {
            UpcallRefusal::Empty => self.log(Event::UpcallEmpty),
            UpcallRefusal::TooLong => {
                let here = self.config.max_message;
                let bound = self
                    .links
                    .established()
                    .map_or(here, |link| link.max_message());
                self.log(Event::UpcallTooLong { length, bound });
            }
            UpcallRefusal::LinkDown | UpcallRefusal::SendQueueFull | UpcallRefusal::Stopping => {
                self.refused += 1;
                if !self.refusal_said {
                    self.refusal_said = true;
                    self.log(Event::UpcallsRefused { refusal });
                }
            }
        }
    }

    /// A message from the peer. On the demo link it may come before ALUA is set; it waits then.
    pub(super) fn message_received(&mut self, message: Bytes) {
        self.statistics.messages_received += 1;
        self.statistics.received_bytes += message.len() as u64;
        let count_bound = self.config.post_queue_messages;
        let byte_bound = self.config.post_queue_bytes;
        if self.lanes.len() >= count_bound {
            self.statistics.messages_discarded += 1;
            return self.break_link(BreakReason::PostQueueCount { bound: count_bound });
        }
        if message.len() > byte_bound - self.lanes.bytes() {
            self.statistics.messages_discarded += 1;
            return self.break_link(BreakReason::PostQueueBytes { bound: byte_bound });
        }
        let lane = (self.config.classifier)(&message);
        self.lanes.push(lane, message);
        let statistics = &mut self.statistics;
        let (messages, bytes) = (self.lanes.len() as u64, self.lanes.bytes() as u64);
        statistics.post_queue_messages_high = statistics.post_queue_messages_high.max(messages);
        statistics.post_queue_bytes_high = statistics.post_queue_bytes_high.max(bytes);
        self.start_posts();
    }

    /// Begins all posts that may begin.
    pub(super) fn start_posts(&mut self) {
        let allowed = self.phase == Phase::Running
            && self.door.takes_posts()
            && (self.draining || self.links.is_alua_set());
        if !allowed {
            return;
        }
        while let Some((post, lane, message)) = self.lanes.next(self.now) {
            self.statistics.posts_started += 1;
            self.arm_patience();
            self.act(Action::Post {
                post,
                lane,
                message,
            });
        }
        let in_flight = self.lanes.in_flight() as u64;
        let high = &mut self.statistics.posts_in_flight_high;
        *high = (*high).max(in_flight);
    }

    pub(super) fn post_finished(&mut self, post: PostId, result: Result<(), CallFailure>) {
        if !self.lanes.finish(post) {
            return self.misuse(Misuse::UnknownPost(post));
        }
        match result {
            Ok(()) => self.statistics.posts_succeeded += 1,
            Err(failure) => {
                self.statistics.posts_failed += 1;
                self.log(Event::PostFailed { post, failure });
            }
        }
        self.start_posts();
        if self.lanes.in_flight() == 0 {
            self.advance();
        }
    }

    /// Sees to it that somebody looks for posts and calls that take long.
    pub(super) fn arm_patience(&mut self) {
        if self.patience_at == Time::MAX {
            self.patience_at = self.now + self.config.post_patience;
        }
    }

    /// Reports what takes long, once each. The look comes at most one more patience late.
    pub(super) fn look_for_slow_posts(&mut self) {
        for (post, since) in self.lanes.overdue(self.now, self.config.post_patience) {
            self.log(Event::PostSlow { post, since });
        }
        let more = self.look_for_slow_door_calls() || self.lanes.in_flight() > 0;
        self.patience_at = Time::MAX;
        if more {
            self.arm_patience();
        }
    }

    /// Drops what waits for posting, with a line if that is anything.
    pub(super) fn discard_waiting(&mut self) {
        let count = self.discard_silently();
        if count > 0 {
            self.log(Event::MessagesDiscarded { count });
        }
    }

    /// Drops what waits for posting, for somebody who says so.
    pub(super) fn discard_silently(&mut self) -> u64 {
        self.draining = false;
        let count = self.lanes.discard_waiting();
        self.statistics.messages_discarded += count;
        count
    }
}
