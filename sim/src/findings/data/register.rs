// SPDX-License-Identifier: MPL-2.0
//! One block as an atomic register: which of its values a read may return.
//!
//! Every value that the block may hold has been written by one write (or was there at first). A
//! value, its write and the reads that returned it make a *cluster*, of which two times matter:
//! when its first operation ended (`ended`), and when its last one began (`began`). In between the
//! block must have held the value, if they stand in that order. Two clusters contradict each other
//! if something of the one ended before something of the other began, and the other way round
//! too: then neither value can have come first. For values that differ that is the whole truth (a
//! history of a register is linearizable if no two clusters contradict each other: Gibbons and
//! Korach, Testing Shared Memories, 1997), at the cost of one comparison a value. Equal values
//! that were written twice are told apart where only one of them fits; otherwise such a read
//! teaches nothing, so that a run may be taken for sound that is not, never the other way round.
//!
//! A write whose end nobody saw never ends: its value may appear at any time, or never. But once a
//! read has returned it, no later read may return what came before.
//!
//! Values that no read can return any more are forgotten; a few of them are kept by name.

use crate::world::trace::InitiatorId;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a block.
pub(super) const BLOCK: usize = 512;

/// Pieces of a block by which a mixture is known.
const PIECES: usize = 8;

/// Values of one block that are kept at most. With more, the block is not watched any more.
pub(super) const MOST_VALUES: usize = 64;

/// Forgotten values of one block that are known again.
const MOST_GONE: usize = 4;

/// A time that does not come: the place of an event in the trace.
const NEVER: u64 = u64::MAX;

/// An initiator and the tag of one of its commands.
pub(super) type CommandId = (InitiatorId, u64);

/// What a block holds, for short.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Digest {
    whole: u64,
    pieces: [u16; PIECES],
}

impl Digest {
    /// Of the bytes of one block.
    pub(super) fn of(block: &[u8]) -> Digest {
        let mut pieces = [0; PIECES];
        for (piece, bytes) in pieces.iter_mut().zip(block.chunks(BLOCK / PIECES)) {
            *piece = xxh3_64(bytes) as u16;
        }
        let whole = xxh3_64(block);
        Digest { whole, pieces }
    }
}

/// What became of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It is under way.
    Out,
    /// It has ended with GOOD: the value was there.
    Done,
    /// Nobody knows: it failed, or its end was never seen.
    Unknown,
}

/// A value, its write and its reads.
#[derive(Clone, Copy, Debug)]
struct Value {
    /// None: not known, because nobody knows what the block held at first.
    digest: Option<Digest>,
    /// None: it was there at first.
    writer: Option<CommandId>,
    fate: Fate,
    /// A read has returned it.
    seen: bool,
    began: u64,
    ended: u64,
}

impl Value {
    /// Whether the block has held it for certain.
    fn counts(&self) -> bool {
        self.seen || self.fate == Fate::Done
    }

    /// Whether it cannot have come before nor after the other one, were it also read between
    /// these times.
    fn contradicts(&self, other: &Value, began: u64, ended: u64) -> bool {
        self.ended.min(ended) < other.began && other.ended < self.began.max(began)
    }
}

/// Why a read cannot have returned what it did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wrong {
    /// That was overwritten by this write, which had ended with GOOD.
    Lost(Option<CommandId>),
    /// That was overwritten by this write, as an earlier read had shown.
    WentBack(Option<CommandId>),
    /// Part of it is what this write wrote, part what that one did.
    Torn(Option<CommandId>, Option<CommandId>),
    /// The block never held the like.
    Foreign,
}

/// A block.
#[derive(Debug)]
pub(super) struct Register {
    values: Vec<Value>,
    gone: Vec<(Digest, Option<CommandId>)>,
    /// Anything is possible: it is not watched any more.
    given_up: bool,
}

impl Register {
    /// A block that held this at first, if that is known.
    pub(super) fn new(first: Option<Digest>) -> Register {
        let value = Value {
            digest: first,
            writer: None,
            fate: Fate::Done,
            seen: false,
            began: 0,
            ended: 0,
        };
        Register {
            values: vec![value],
            gone: Vec::new(),
            given_up: false,
        }
    }

    /// Anything may be in it from now on.
    pub(super) fn give_up(&mut self) {
        self.given_up = true;
        self.values = Vec::new();
        self.gone = Vec::new();
    }

    /// A write begins.
    pub(super) fn write(&mut self, writer: CommandId, digest: Digest, now: u64) {
        if self.given_up {
            return;
        }
        if self.values.len() >= MOST_VALUES {
            return self.give_up();
        }
        self.values.push(Value {
            digest: Some(digest),
            writer: Some(writer),
            fate: Fate::Out,
            seen: false,
            began: now,
            ended: NEVER,
        });
    }

    fn of_writer(&mut self, writer: CommandId) -> Option<&mut Value> {
        let mut values = self.values.iter_mut();
        values.find(|value| value.writer == Some(writer) && value.fate == Fate::Out)
    }

    /// A write has ended, with this fate; `ended` is when, if it can have done nothing after that.
    pub(super) fn written(&mut self, writer: CommandId, fate: Fate, ended: Option<u64>) {
        if let Some(value) = self.of_writer(writer) {
            value.fate = fate;
            value.ended = value.ended.min(ended.unwrap_or(NEVER));
        }
    }

    /// A write was refused: it has written nothing.
    pub(super) fn refused(&mut self, writer: CommandId) {
        let unseen = |value: &Value| !value.seen && value.fate == Fate::Out;
        self.values
            .retain(|value| !(value.writer == Some(writer) && unseen(value)));
        // If it was read all the same, the finding is made when it is read again.
        self.written(writer, Fate::Unknown, None);
    }

    /// Forgets what no read can return any more that begins at `since` or later.
    pub(super) fn forget(&mut self, since: u64) {
        if self.values.len() < 2 {
            return;
        }
        let values = &self.values;
        let is_over = |(place, value): (usize, &Value)| {
            let overwritten = |(at, other): (usize, &Value)| {
                at != place && other.counts() && value.ended < other.began && other.ended < since
            };
            value.fate != Fate::Out
                && value.ended < since
                && values.iter().enumerate().any(overwritten)
        };
        let over: Vec<bool> = values.iter().enumerate().map(is_over).collect();
        let mut over = over.into_iter();
        let gone = &mut self.gone;
        self.values.retain(|value| {
            let is_over = over.next().unwrap_or(false);
            if let (true, Some(digest)) = (is_over, value.digest) {
                if gone.len() >= MOST_GONE {
                    gone.remove(0);
                }
                gone.push((digest, value.writer));
            }
            !is_over
        });
    }

    /// Whether the block may hold this now, as far as is known.
    pub(super) fn may_hold(&self, digest: &Digest) -> bool {
        let mut values = self.values.iter();
        values.any(|value| {
            value
                .digest
                .is_some_and(|known| known.whole == digest.whole)
        })
    }

    /// A read that began and ended at these times has returned this.
    pub(super) fn read(&mut self, digest: &Digest, began: u64, ended: u64) -> Result<(), Wrong> {
        if self.given_up {
            return Ok(());
        }
        let mut fits = None;
        let mut others_fit = false;
        let mut overwritten = None;
        for (place, value) in self.values.iter().enumerate() {
            if value
                .digest
                .is_some_and(|known| known.whole != digest.whole)
            {
                continue;
            }
            let other = self.values.iter().enumerate().find(|(at, other)| {
                *at != place && other.counts() && value.contradicts(other, began, ended)
            });
            match other {
                None => others_fit |= fits.replace(place).is_some(),
                // What the block held at first may have been anything.
                Some((_, other)) if value.digest.is_some() => overwritten = Some(*other),
                Some(_) => {}
            }
        }
        match fits {
            None => Err(self.wrong(digest, overwritten)),
            Some(_) if others_fit => Ok(()),
            Some(place) => {
                let value = &mut self.values[place];
                value.digest.get_or_insert(*digest);
                value.seen = true;
                value.began = value.began.max(began);
                value.ended = value.ended.min(ended);
                Ok(())
            }
        }
    }

    fn wrong(&self, digest: &Digest, overwritten: Option<Value>) -> Wrong {
        if let Some(by) = overwritten {
            return match by.fate {
                Fate::Done => Wrong::Lost(by.writer),
                Fate::Out | Fate::Unknown => Wrong::WentBack(by.writer),
            };
        }
        if self.gone.iter().any(|(gone, _)| gone.whole == digest.whole) {
            // It was forgotten because something else was there for certain.
            let last = self.values.iter().filter(|value| value.counts());
            return match last.max_by_key(|value| value.began) {
                Some(by) if by.fate == Fate::Done => Wrong::Lost(by.writer),
                Some(by) => Wrong::WentBack(by.writer),
                None => Wrong::Foreign,
            };
        }
        let known = self.known();
        for (at, (one, writer)) in known.iter().enumerate() {
            for (two, other) in &known[at + 1..] {
                if is_mixture(digest, one, two) {
                    return Wrong::Torn(*writer, *other);
                }
            }
        }
        Wrong::Foreign
    }

    /// Values that are known, those that were forgotten last.
    fn known(&self) -> Vec<(Digest, Option<CommandId>)> {
        let values = self.values.iter();
        let values = values.filter_map(|value| Some((value.digest?, value.writer)));
        let mut known: Vec<_> = values.collect();
        known.extend(self.gone.iter().copied());
        known
    }
}

/// Whether every piece but at most one (where the cut is) is that of one of them, and each of
/// them has one that the other has not.
fn is_mixture(digest: &Digest, one: &Digest, two: &Digest) -> bool {
    let (mut of_one, mut of_two, mut of_neither) = (0, 0, 0);
    for place in 0..PIECES {
        let piece = digest.pieces[place];
        match (piece == one.pieces[place], piece == two.pieces[place]) {
            (true, true) => {}
            (true, false) => of_one += 1,
            (false, true) => of_two += 1,
            (false, false) => of_neither += 1,
        }
    }
    of_one > 0 && of_two > 0 && of_neither <= 1
}

#[cfg(test)]
mod tests;
