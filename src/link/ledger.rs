// SPDX-License-Identifier: MPL-2.0
//! What one connection has sent, and how far it got: taken by the transport, confirmed by the
//! peer, and since when neither has moved.

use std::collections::VecDeque;

use super::error::LinkError;
use crate::time::Time;

/// A point in what was sent: so many messages lie before so many bytes.
#[derive(Clone, Copy, Debug)]
struct Mark {
    bytes: u64,
    messages: u64,
}

/// A mark is made at most every so many bytes ...
const MARK_EVERY: u64 = 1 << 16;
/// ... and so many are kept; beyond, the newest is moved, which only makes the count of
/// unconfirmed messages a less tight bound.
const MARKS_MAX: usize = 4096;

#[derive(Debug)]
pub(crate) struct Ledger {
    bytes: u64,
    messages: u64,
    unsent: usize,
    taken_at: Time,
    confirmed: u64,
    confirmed_messages: u64,
    confirmed_at: Time,
    marks: VecDeque<Mark>,
}

impl Ledger {
    pub(crate) fn new(now: Time) -> Ledger {
        Ledger {
            bytes: 0,
            messages: 0,
            unsent: 0,
            taken_at: now,
            confirmed: 0,
            confirmed_messages: 0,
            confirmed_at: now,
            marks: VecDeque::new(),
        }
    }

    /// From now on confirmations can be expected.
    pub(crate) fn begin(&mut self, now: Time) {
        self.confirmed_at = now;
    }

    /// A frame was handed over.
    pub(crate) fn add(&mut self, now: Time, length: usize) {
        if self.unsent == 0 {
            self.taken_at = now;
        }
        if self.confirmed == self.bytes {
            self.confirmed_at = now;
        }
        self.unsent += length;
        self.bytes += length as u64;
    }

    /// The frame just added was a message.
    pub(crate) fn add_message(&mut self) {
        self.messages += 1;
        let mark = Mark {
            bytes: self.bytes,
            messages: self.messages,
        };
        let full = self.marks.len() >= MARKS_MAX;
        match self.marks.back_mut() {
            Some(last) if full => *last = mark,
            Some(last) if mark.bytes - last.bytes < MARK_EVERY => {}
            _ => self.marks.push_back(mark),
        }
    }

    /// The transport took bytes. An error says how many were waiting.
    pub(crate) fn take(&mut self, now: Time, bytes: usize) -> Result<(), usize> {
        if bytes > self.unsent {
            return Err(self.unsent);
        }
        if bytes > 0 {
            self.unsent -= bytes;
            self.taken_at = now;
        }
        Ok(())
    }

    /// The peer has so many bytes.
    pub(crate) fn confirm(&mut self, now: Time, bytes: u64) -> Result<(), LinkError> {
        if bytes > self.bytes {
            return Err(LinkError::ConfirmedUnsent {
                confirmed: bytes,
                sent: self.bytes,
            });
        }
        if bytes > self.confirmed {
            self.confirmed = bytes;
            self.confirmed_at = now;
            while let Some(mark) = self.marks.front().filter(|mark| mark.bytes <= bytes) {
                self.confirmed_messages = mark.messages;
                self.marks.pop_front();
            }
        }
        if bytes == self.bytes {
            self.confirmed_messages = self.messages;
            self.marks.clear();
        }
        Ok(())
    }

    /// Takes for confirmed what the transport took: all that a link without confirmations knows.
    pub(crate) fn confirm_taken(&mut self, now: Time) {
        let taken = self.bytes - self.unsent as u64;
        let _ = self.confirm(now, taken); // never more than was sent
    }

    /// Bytes that the transport has not taken.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent
    }

    /// At most so many messages did not reach the peer.
    pub(crate) fn unconfirmed_messages(&self) -> u64 {
        self.messages - self.confirmed_messages
    }

    /// Since when the transport has taken nothing of what waits, if anything waits.
    pub(crate) fn stalled_since(&self) -> Option<Time> {
        (self.unsent > 0).then_some(self.taken_at)
    }

    /// Since when the peer has confirmed nothing of what was sent, if anything is unconfirmed.
    pub(crate) fn unconfirmed_since(&self) -> Option<Time> {
        (self.confirmed < self.bytes).then_some(self.confirmed_at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn waiting_counts_from_the_last_thing_that_moved() {
        let mut ledger = Ledger::new(at(0));
        assert_eq!(
            (ledger.stalled_since(), ledger.unconfirmed_since()),
            (None, None)
        );
        ledger.add(at(1), 10);
        ledger.add(at(2), 10);
        assert_eq!(
            (ledger.stalled_since(), ledger.unconfirmed_since()),
            (Some(at(1)), Some(at(1)))
        );
        assert_eq!(ledger.take(at(3), 15), Ok(()));
        assert_eq!(ledger.stalled_since(), Some(at(3)));
        assert_eq!(ledger.take(at(4), 6), Err(5));
        assert_eq!(ledger.take(at(4), 5), Ok(()));
        assert_eq!(ledger.stalled_since(), None);
        assert_eq!(ledger.confirm(at(5), 12), Ok(()));
        assert_eq!(ledger.confirm(at(6), 12), Ok(()));
        assert_eq!(
            ledger.unconfirmed_since(),
            Some(at(5)),
            "a repeated number is no news"
        );
        assert_eq!(ledger.confirm(at(7), 20), Ok(()));
        assert_eq!(ledger.unconfirmed_since(), None);
        let error = LinkError::ConfirmedUnsent {
            confirmed: 21,
            sent: 20,
        };
        assert_eq!(ledger.confirm(at(8), 21), Err(error));
    }

    proptest! {
        /// The count of unconfirmed messages is never too small, and right when all is confirmed.
        #[test]
        fn unconfirmed_messages_are_an_upper_bound(
            lengths in prop::collection::vec(1usize..60_000, 1..60), part in 0u64..=100,
        ) {
            let mut ledger = Ledger::new(at(0));
            let mut ends = Vec::new();
            for length in lengths {
                ledger.add(at(0), length);
                ledger.add_message();
                ends.push(ledger.bytes);
            }
            let all = ledger.bytes;
            let confirmed = all * part / 100;
            ledger.confirm(at(0), confirmed).expect("not more than sent");
            let lost = ends.iter().filter(|end| **end > confirmed).count() as u64;
            prop_assert!(ledger.unconfirmed_messages() >= lost);
            ledger.confirm(at(0), all).expect("all");
            prop_assert_eq!(ledger.unconfirmed_messages(), 0);
        }
    }
}
