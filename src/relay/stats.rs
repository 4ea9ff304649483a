// SPDX-License-Identifier: MPL-2.0
//! Counters of a relay, and what it keeps at a moment beside the bounds on that.

use serde::Serialize;

/// What a relay has done since it was made. Counts only grow; `..._now` are present values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// Upcalls answered with 0: queued on a live link.
    pub upcalls_accepted: u64,
    /// Bytes of these messages.
    pub upcall_bytes: u64,
    /// Upcalls answered with an errno: messages lost at the door.
    pub upcalls_refused: u64,
    /// Messages that arrived whole from the peer.
    pub messages_received: u64,
    /// Bytes of these messages.
    pub received_bytes: u64,
    /// Posts begun.
    pub posts_started: u64,
    /// Posts that returned success.
    pub posts_succeeded: u64,
    /// Posts that returned an error: the kernel did not take the message.
    pub posts_failed: u64,
    /// Messages from the peer that were dropped unposted when their link or handle ended.
    pub messages_discarded: u64,
    /// Upper bound on the messages answered with 0 that were lost with a link: those that the
    /// peer had not confirmed when it ended. On the demo link nothing is ever confirmed, and
    /// those count that the transport had not taken.
    pub messages_unconfirmed: u64,
    /// Links that came up.
    pub links_up: u64,
    /// Links that ended, for whatever reason.
    pub links_down: u64,
    /// Connection attempts made.
    pub connection_attempts: u64,
    /// Connections refused or ended before a link stood.
    pub handshakes_failed: u64,
    /// Times that the proxy door was opened.
    pub doors_opened: u64,
    /// Times that the ALUA state was set.
    pub alua_set: u64,
    /// Inputs that made no sense.
    pub misuses: u64,
    /// Bytes handed over for sending and not taken by the transport yet.
    pub send_queue_bytes_now: u64,
    /// Highest value of that.
    pub send_queue_bytes_high: u64,
    /// Messages that wait for posting or are being posted.
    pub post_queue_messages_now: u64,
    /// Highest value of that.
    pub post_queue_messages_high: u64,
    /// Bytes of these messages.
    pub post_queue_bytes_now: u64,
    /// Highest value of that.
    pub post_queue_bytes_high: u64,
    /// Posts in progress.
    pub posts_in_flight_now: u64,
    /// Highest value of that.
    pub posts_in_flight_high: u64,
}

/// What a relay keeps at this moment, and the most that it may keep. Cheap to ask for after every
/// input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupancy {
    /// Bytes handed over for sending and not taken by the transport yet, of all connections.
    pub send_bytes: Filling,
    /// Bytes of messages that wait for posting or are being posted.
    pub post_bytes: Filling,
    /// The number of these messages.
    pub post_messages: Filling,
    /// Posts in progress.
    pub posts_in_flight: Filling,
}

/// How much there is of something, and how much there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filling {
    /// There is so much.
    pub now: usize,
    /// The bound.
    pub most: usize,
}

impl Occupancy {
    /// A bound that is passed, by the name of its setting. `None` is what a relay promises.
    pub fn passed(&self) -> Option<(&'static str, Filling)> {
        [
            ("send_queue_bytes", self.send_bytes),
            ("post_queue_bytes", self.post_bytes),
            ("post_queue_messages", self.post_messages),
            ("posts_in_flight", self.posts_in_flight),
        ]
        .into_iter()
        .find(|(_, filling)| filling.now > filling.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_passed_by_what_is_above_it() {
        let full = Filling { now: 7, most: 7 };
        let sound = Occupancy {
            send_bytes: full,
            post_bytes: full,
            post_messages: full,
            posts_in_flight: full,
        };
        assert_eq!(sound.passed(), None);
        let post_messages = Filling { now: 8, most: 7 };
        let passed = Occupancy {
            post_messages,
            ..sound
        };
        let expected = Some(("post_queue_messages", post_messages));
        assert_eq!(passed.passed(), expected);
    }
}
