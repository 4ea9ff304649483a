// SPDX-License-Identifier: MPL-2.0
//! Counters of a relay.

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
