// SPDX-License-Identifier: MPL-2.0
//! Which message may be posted when.
//!
//! Every message from the peer enters in the order in which it was sent, and is handed out for
//! posting once all earlier messages that it [conflicts](Lane::conflicts_with) with have been
//! posted. Invariants:
//!
//! * two messages that conflict are never in progress at once, and are handed out in the order in
//!   which they entered;
//! * a message that conflicts with no earlier one unfinished is held back by nothing but the
//!   bounds on posts in progress; among those that may go, the oldest goes first;
//! * each is handed out once, or discarded, never both.
//!
//! A step costs O(log n) for each claim of the message. Nothing is allocated for a message that
//! finds its objects free but the entries in the maps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::io::PostId;
use super::subject::{Lane, Mode, Object};
use crate::time::Time;

/// One message between its arrival and the end of its post.
#[derive(Debug)]
struct Entry {
    lane: Lane,
    /// `None` once handed out.
    message: Option<Bytes>,
    length: usize,
    /// Claims that earlier messages still stand before.
    blocked_by: u32,
}

/// Those that wait behind the front of a queue and may go together.
#[derive(Debug)]
enum Group {
    One(PostId),
    Many(Vec<PostId>),
}

/// All unfinished claims on one object: the front is granted, the rest waits.
#[derive(Debug)]
struct Queue {
    /// Messages whose claim is granted and that are unfinished; never 0.
    front: u32,
    front_mode: Mode,
    rest: VecDeque<Group>,
}

impl Queue {
    /// Adds a claim; whether it is granted at once.
    fn join(slot: &mut Option<Queue>, post: PostId, mode: Mode) -> bool {
        let Some(queue) = slot else {
            *slot = Some(Queue {
                front: 1,
                front_mode: mode,
                rest: VecDeque::new(),
            });
            return true;
        };
        match (mode, queue.rest.back_mut()) {
            (Mode::Shared, None) if queue.front_mode == Mode::Shared => {
                queue.front += 1;
                return true;
            }
            (Mode::Shared, Some(Group::Many(members))) => members.push(post),
            (Mode::Shared, _) => queue.rest.push_back(Group::Many(vec![post])),
            (Mode::Exclusive, _) => queue.rest.push_back(Group::One(post)),
        }
        false
    }

    /// Ends one granted claim. The next group if it is granted now; the slot is emptied if none.
    fn leave(slot: &mut Option<Queue>) -> Option<Group> {
        let queue = slot.as_mut()?;
        queue.front -= 1;
        if queue.front > 0 {
            return None;
        }
        let group = queue.rest.pop_front();
        match &group {
            None => *slot = None,
            Some(Group::One(_)) => (queue.front, queue.front_mode) = (1, Mode::Exclusive),
            Some(Group::Many(members)) => {
                (queue.front, queue.front_mode) = (members.len() as u32, Mode::Shared);
            }
        }
        group
    }
}

/// One post in progress.
#[derive(Debug)]
struct Flight {
    since: Time,
    reported: bool,
}

/// The scheduler.
#[derive(Debug)]
pub(crate) struct Lanes {
    bound: usize,
    slow_bound: usize,
    next: u64,
    entries: BTreeMap<PostId, Entry>,
    objects: BTreeMap<Object, Option<Queue>>,
    /// The object that barriers claim exclusively and all others share.
    everything: Option<Queue>,
    ready: BTreeSet<PostId>,
    ready_slow: BTreeSet<PostId>,
    in_flight: BTreeMap<PostId, Flight>,
    slow_in_flight: usize,
    bytes: usize,
}

impl Lanes {
    /// At most `bound` in progress at once, `slow_bound` of them slow ones.
    pub(crate) fn new(bound: usize, slow_bound: usize) -> Lanes {
        Lanes {
            bound,
            slow_bound,
            next: 1,
            entries: BTreeMap::new(),
            objects: BTreeMap::new(),
            everything: None,
            ready: BTreeSet::new(),
            ready_slow: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            slow_in_flight: 0,
            bytes: 0,
        }
    }

    /// Messages that wait or are in progress.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages in progress.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Enters a message behind all earlier ones.
    pub(crate) fn push(&mut self, lane: Lane, message: Bytes) -> PostId {
        let post = PostId(self.next);
        self.next += 1;
        self.bytes += message.len();
        let length = message.len();
        let blocked_by = self.claim(post, &lane);
        self.entries.insert(
            post,
            Entry {
                lane,
                message: Some(message),
                length,
                blocked_by,
            },
        );
        if blocked_by == 0 {
            self.make_ready(post, lane.is_slow());
        }
        post
    }

    /// Queues all claims; how many are not granted.
    fn claim(&mut self, post: PostId, lane: &Lane) -> u32 {
        let mode = if lane.is_barrier() {
            Mode::Exclusive
        } else {
            Mode::Shared
        };
        let mut blocked_by = u32::from(!Queue::join(&mut self.everything, post, mode));
        for claim in lane.claims() {
            let slot = self.objects.entry(claim.object).or_default();
            blocked_by += u32::from(!Queue::join(slot, post, claim.mode));
        }
        blocked_by
    }

    fn make_ready(&mut self, post: PostId, slow: bool) {
        if slow {
            self.ready_slow.insert(post);
        } else {
            self.ready.insert(post);
        }
    }

    /// The next message to post, if one may go and the bounds allow it.
    pub(crate) fn next(&mut self, now: Time) -> Option<(PostId, Lane, Bytes)> {
        if self.in_flight.len() >= self.bound {
            return None;
        }
        let slow = match (self.ready.first(), self.ready_slow.first()) {
            (_, None) => false,
            (fast, Some(slow)) => {
                self.slow_in_flight < self.slow_bound && fast.is_none_or(|fast| slow < fast)
            }
        };
        let post = if slow {
            self.ready_slow.pop_first()
        } else {
            self.ready.pop_first()
        }?;
        let entry = self.entries.get_mut(&post)?;
        let message = entry.message.take()?;
        let lane = entry.lane;
        self.in_flight.insert(
            post,
            Flight {
                since: now,
                reported: false,
            },
        );
        self.slow_in_flight += usize::from(slow);
        Some((post, lane, message))
    }

    /// Ends a post, letting those behind it go. False if it is not in progress.
    pub(crate) fn finish(&mut self, post: PostId) -> bool {
        if self.in_flight.remove(&post).is_none() {
            return false;
        }
        let Some(entry) = self.entries.remove(&post) else {
            return false;
        };
        self.bytes -= entry.length;
        self.slow_in_flight -= usize::from(entry.lane.is_slow());
        let group = Queue::leave(&mut self.everything);
        self.grant(group);
        for claim in entry.lane.claims() {
            let Some(slot) = self.objects.get_mut(&claim.object) else {
                continue;
            };
            let group = Queue::leave(slot);
            if slot.is_none() {
                self.objects.remove(&claim.object);
            }
            self.grant(group);
        }
        true
    }

    fn grant(&mut self, group: Option<Group>) {
        match group {
            None => {}
            Some(Group::One(post)) => self.unblock(post),
            Some(Group::Many(posts)) => posts.into_iter().for_each(|post| self.unblock(post)),
        }
    }

    fn unblock(&mut self, post: PostId) {
        let Some(entry) = self.entries.get_mut(&post) else {
            return;
        };
        entry.blocked_by -= 1;
        if entry.blocked_by == 0 {
            let slow = entry.lane.is_slow();
            self.make_ready(post, slow);
        }
    }

    /// Drops all messages that are not in progress; how many. Those in progress keep their
    /// claims until they finish.
    pub(crate) fn discard_waiting(&mut self) -> u64 {
        let before = self.entries.len();
        self.entries.retain(|_, entry| entry.message.is_none());
        self.bytes = self.entries.values().map(|entry| entry.length).sum();
        self.ready.clear();
        self.ready_slow.clear();
        self.objects.clear();
        self.everything = None;
        let lanes: Vec<_> = self
            .entries
            .iter()
            .map(|(post, entry)| (*post, entry.lane))
            .collect();
        for (post, lane) in lanes {
            // All of these are in progress together, so they do not conflict and each is granted.
            self.claim(post, &lane);
        }
        (before - self.entries.len()) as u64
    }

    /// Messages that have been in progress for at least `patience` and were not named before,
    /// with how long each has been.
    pub(crate) fn overdue(&mut self, now: Time, patience: Duration) -> Vec<(PostId, Duration)> {
        let overdue = |(post, flight): (&PostId, &mut Flight)| {
            let since = now - flight.since;
            if flight.reported || since < patience {
                return None;
            }
            flight.reported = true;
            Some((*post, since))
        };
        self.in_flight.iter_mut().filter_map(overdue).collect()
    }
}

#[cfg(test)]
mod tests;
