// SPDX-License-Identifier: MPL-2.0
//! Messages on their way: from kernel to relay, to the other relay, into the other kernel.

use super::choice::About;
use super::exchange::{Place, TABLE_LIMIT, remember};
use super::{Call, DELIVERED, Post, Side, Story, Travel, words};
use crate::report::ladder::{Arrow, Fate, Hold, Item, When};
use stmf_proxy::message::{MessageType, Subject, peek};
use stmf_proxy::trace::{EventKind, Record};
use xxhash_rust::xxh3::xxh3_64_with_seed;

impl Story {
    /// The kernel calls the door.
    pub(super) fn upcall(
        &mut self,
        side: Side,
        record: &Record<'_>,
        call: u64,
        attempt: u8,
        locked: bool,
    ) {
        // The attempt before has not told its end.
        if let Some(earlier) = self.calls.remove(&(side, call)) {
            self.call_failed(earlier, "tried again");
        }
        let bytes = record.message().unwrap_or_default();
        let peeked = peek(&bytes);
        let message = peeked.map(|peek| peek.message_type);
        let is_command = message == Some(MessageType::ScsiCommand);
        let cdb = is_command.then(|| words::cdb_of(&bytes)).flatten();
        let cdb = cdb.as_deref();
        let place = self
            .exchanges
            .message(side, peeked.as_ref(), cdb, attempt > 1);
        let (session, task) = subject(peeked.map(|peek| peek.subject));
        self.seen(place.exchange, session, task);
        let label = words::label(&bytes, cdb);
        let mut arrow = Arrow::new(side.kernel(), side.relay(), &label, self.now, self.now);
        arrow.fate = Fate::Open;
        if attempt > 1 {
            arrow.remark = format!("attempt {attempt}");
        }
        arrow.hold = Some(Hold {
            lane: side.kernel(),
            until: None,
            locked,
        });
        let about = About {
            exchange: Some(place.exchange),
            kind: EventKind::Upcall,
            message,
            notable: false,
        };
        let arrow = self.begin(Item::Arrow(arrow), about);
        let digest = digest(record);
        let travel = self.next_travel;
        self.next_travel += 1;
        self.start_travel(
            travel,
            Travel {
                from: side,
                digest,
                label,
                message,
                place,
                called: self.now,
                call: arrow,
                arrow: None,
                cut: None,
            },
        );
        let call_entry = Call {
            arrow,
            travel,
            exchange: place.exchange,
            message,
        };
        remember(&mut self.calls, (side, call), call_entry);
    }

    fn start_travel(&mut self, number: u64, travel: Travel) {
        if self.travels.len() >= TABLE_LIMIT
            && let Some((oldest, _)) = self.travels.first_key_value()
        {
            let oldest = *oldest;
            self.end_travel(oldest);
        }
        let same = self.by_digest.entry((travel.from, travel.digest));
        same.or_default().push_back(number);
        self.travels.insert(number, travel);
    }

    fn end_travel(&mut self, number: u64) -> Option<Travel> {
        let travel = self.travels.remove(&number)?;
        let key = (travel.from, travel.digest);
        if let Some(same) = self.by_digest.get_mut(&key) {
            same.retain(|other| *other != number);
            if same.is_empty() {
                self.by_digest.remove(&key);
            }
        }
        Some(travel)
    }

    /// The door call has ended.
    pub(super) fn upcall_done(&mut self, side: Side, call: u64, outcome: Result<u32, i32>) {
        let Some(call) = self.calls.remove(&(side, call)) else {
            return;
        };
        match outcome {
            Ok(0) => {
                let now = self.now;
                if let Some(arrow) = self.arrow_of(call.arrow) {
                    if let Some(hold) = &mut arrow.hold {
                        hold.until = Some(now);
                    }
                    if arrow.ended.is_none() || arrow.fate == Fate::Open {
                        arrow.fate = Fate::Arrived;
                        arrow.ended = Some(now);
                    }
                }
                self.sent_on(side, &call);
            }
            Ok(result) => self.call_failed(call, &words::answer(result)),
            Err(number) => self.call_failed(call, &words::errno(number)),
        }
    }

    fn call_failed(&mut self, call: Call, reason: &str) {
        let delivered = !self.travels.contains_key(&call.travel);
        self.end_travel(call.travel);
        self.went_wrong(call.exchange);
        let now = self.now;
        if let Some(arrow) = self.arrow_of(call.arrow) {
            if let Some(hold) = &mut arrow.hold {
                hold.until = Some(now);
            }
            if !delivered {
                arrow.ended = Some(now);
            }
            arrow.fate = if delivered {
                Fate::Failed
            } else {
                Fate::Refused
            };
            arrow.remark = match arrow.remark.is_empty() {
                true => reason.to_owned(),
                false => format!("{}, {reason}", arrow.remark),
            };
        }
    }

    /// The relay has taken a message: it goes to the other relay, unless it was seen there.
    fn sent_on(&mut self, side: Side, call: &Call) {
        let Some(travel) = self.travels.get(&call.travel) else {
            return;
        };
        let arrow = self.between(side, &travel.label, travel.place, self.now);
        let about = About {
            exchange: Some(travel.place.exchange),
            kind: EventKind::Sent,
            message: call.message,
            notable: false,
        };
        let arrow = self.begin(Item::Arrow(arrow), about);
        if let Some(travel) = self.travels.get_mut(&call.travel) {
            travel.arrow = Some(arrow);
        }
    }

    /// An arrow from the relay of a side to the other, with an open end.
    fn between(&self, from: Side, label: &str, place: Place, began: When) -> Arrow {
        let to = from.other().relay();
        Arrow {
            fate: Fate::Open,
            stream: place.stream,
            ..Arrow::new(from.relay(), to, label, began, self.now)
        }
    }

    /// A message enters the kernel of a side.
    pub(super) fn post(&mut self, side: Side, record: &Record<'_>, post: u64) {
        let sender = side.other();
        let digest = digest(record);
        let waiting = self.by_digest.get(&(sender, digest));
        let found = waiting.and_then(|same| same.front().copied());
        let travel = match found.and_then(|number| self.end_travel(number)) {
            Some(travel) => {
                // The door call may still wait for its answer.
                let now = self.now;
                if let Some(call) = self.arrow_of(travel.call)
                    && call.fate == Fate::Open
                {
                    call.fate = Fate::Arrived;
                    call.ended = Some(now);
                }
                travel
            }
            None => self.unseen(sender, record, digest),
        };
        if self.delivered.len() >= DELIVERED {
            self.delivered.pop_front();
        }
        self.delivered.push_back((sender, digest));
        let about = |kind| About {
            exchange: Some(travel.place.exchange),
            kind,
            message: travel.message,
            notable: false,
        };
        let arrow = match travel.arrow {
            Some(arrow) => arrow,
            None => {
                let arrow = self.between(sender, &travel.label, travel.place, travel.called);
                self.begin(Item::Arrow(arrow), about(EventKind::Sent))
            }
        };
        let now = self.now;
        let again = travel.cut.is_some_and(|(_, why)| why == POSTED_AGAIN);
        if let Some(arrow) = self.arrow_of(arrow) {
            arrow.ended = Some(now);
            arrow.fate = Fate::Arrived;
            if let Some((_, why)) = travel.cut.filter(|_| again) {
                arrow.fate = Fate::Failed;
                arrow.remark = why.into();
            }
        }
        if again {
            self.went_wrong(travel.place.exchange);
        }
        let mut last = Arrow::new(side.relay(), side.kernel(), &travel.label, now, now);
        last.goes_on = true;
        last.hold = Some(Hold {
            lane: side.kernel(),
            until: None,
            locked: false,
        });
        let arrow = self.begin(Item::Arrow(last), about(EventKind::Post));
        let exchange = travel.place.exchange;
        let entry = Post { arrow, exchange };
        remember(&mut self.posts, (side, post), entry);
    }

    /// A message is posted that no call is known of.
    fn unseen(&mut self, sender: Side, record: &Record<'_>, digest: u64) -> Travel {
        let bytes = record.message().unwrap_or_default();
        let peeked = peek(&bytes);
        let message = peeked.map(|peek| peek.message_type);
        let is_command = message == Some(MessageType::ScsiCommand);
        let cdb = is_command.then(|| words::cdb_of(&bytes)).flatten();
        let again = self.delivered.contains(&(sender, digest));
        let place = self
            .exchanges
            .message(sender, peeked.as_ref(), cdb.as_deref(), again);
        let (session, task) = subject(peeked.map(|peek| peek.subject));
        self.seen(place.exchange, session, task);
        let why = if again { POSTED_AGAIN } else { "" };
        Travel {
            from: sender,
            digest,
            label: words::label(&bytes, cdb.as_deref()),
            message,
            place,
            called: self.now,
            call: None,
            arrow: None,
            cut: again.then_some((self.now, why)),
        }
    }

    pub(super) fn post_done(&mut self, side: Side, post: u64, outcome: Result<(), i32>) {
        let Some(post) = self.posts.remove(&(side, post)) else {
            return;
        };
        if outcome.is_err() {
            self.went_wrong(post.exchange);
        }
        let now = self.now;
        if let Some(arrow) = self.arrow_of(post.arrow) {
            if let Some(hold) = &mut arrow.hold {
                hold.until = Some(now);
            }
            if let Err(number) = outcome {
                arrow.fate = Fate::Refused;
                arrow.remark = words::errno(number);
            }
        }
    }

    /// Messages from (and to) a side that are under way now may be lost.
    pub(super) fn cut(&mut self, side: Side, both_ways: bool, why: &'static str) {
        let now = self.now;
        for travel in self.travels.values_mut() {
            let concerned = both_ways || travel.from == side;
            if concerned && travel.arrow.is_some() && travel.cut.is_none() {
                travel.cut = Some((now, why));
            }
        }
    }

    /// The kernel of a side is gone, and with it what it was doing.
    pub(super) fn kernel_gone(&mut self, side: Side, why: &'static str) {
        self.cut(side, true, why);
        let range = (side, 0)..=(side, u64::MAX);
        let calls: Vec<_> = self
            .calls
            .range(range.clone())
            .map(|(key, _)| *key)
            .collect();
        for key in calls {
            if let Some(call) = self.calls.remove(&key) {
                self.call_failed(call, why);
            }
        }
        let posts: Vec<_> = self.posts.range(range).map(|(key, _)| *key).collect();
        for key in posts {
            if let Some(post) = self.posts.remove(&key) {
                self.went_wrong(post.exchange);
                let now = self.now;
                if let Some(arrow) = self.arrow_of(post.arrow) {
                    arrow.fate = Fate::Failed;
                    arrow.remark = format!("{why} in it");
                    if let Some(hold) = &mut arrow.hold {
                        hold.until = Some(now);
                    }
                }
            }
        }
    }
}

/// Why a message is told that had been posted before.
const POSTED_AGAIN: &str = "posted again";

/// Session and task of a message.
fn subject(subject: Option<Subject<'_>>) -> (Option<u64>, Option<u64>) {
    match subject {
        Some(Subject::Task {
            session_id,
            task_msgid,
            ..
        }) => (Some(session_id), Some(task_msgid)),
        Some(Subject::Session { session_id, .. }) => (Some(session_id), None),
        _ => (None, None),
    }
}

/// What tells the message of an event from others, also where data was cut from it on both nodes.
fn digest(record: &Record<'_>) -> u64 {
    let seed = match record.cut {
        Some(cut) => {
            let digest = cut.digest.unwrap_or_default();
            let mut hash = u64::from(cut.length);
            for chunk in digest.chunks(8) {
                hash = xxh3_64_with_seed(chunk, hash);
            }
            hash
        }
        None => 0,
    };
    xxh3_64_with_seed(record.event.message().unwrap_or_default(), seed)
}
