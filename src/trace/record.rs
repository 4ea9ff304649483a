// SPDX-License-Identifier: MPL-2.0
//! An event with its place in the trace, borrowed and owned, and who takes such records.

use super::encoder::MAX_BULK;
use super::event::{Event, NodeId};
use super::packet;
use super::snap::{Kept, Snap};
use crate::time::Time;
use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// An event with its place in the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Number of the event, from 1, in the order of recording. Events that were lost have none.
    pub sequence: u64,
    /// When it happened, since the origin that the section names.
    pub time: Time,
    /// Where; `None` for a world as a whole. 255 cannot be written.
    pub node: Option<NodeId>,
    /// The hash of the run up to and including this event, where the recorder keeps one (the
    /// simulator does).
    pub hash: Option<u64>,
    /// What of the event's bulk was not recorded.
    pub cut: Option<Cut>,
    /// What happened.
    pub event: Event<'a>,
}

impl<'a> Record<'a> {
    /// A record of which everything is there.
    pub fn new(sequence: u64, time: Time, node: Option<NodeId>, event: Event<'a>) -> Record<'a> {
        Record {
            sequence,
            time,
            node,
            hash: None,
            cut: None,
            event,
        }
    }

    /// The message that the event hands over, in a form that can be decoded: zeros stand for what
    /// was cut. `None` if there is no message, or if it was longer than [`MAX_BULK`].
    pub fn message(&self) -> Option<Cow<'a, [u8]>> {
        let kept = self.event.message()?;
        match self.cut {
            None => Some(Cow::Borrowed(kept)),
            Some(cut) => cut.fill(kept, MAX_BULK).map(Cow::Owned),
        }
    }

    /// How long the event's bulk was before anything was cut from it.
    pub fn original_length(&self) -> usize {
        let cut = self.cut.map_or(0, |cut| cut.length as usize);
        self.event.bulk().len().saturating_add(cut)
    }
}

/// A gap in the bulk of an event: bytes that were left out of the trace on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Before which of the bytes that were kept the gap is.
    pub offset: u32,
    /// How many bytes are missing, 1 or more.
    pub length: u32,
    /// Whether the gap is whole words of a byte array in a message, each of which stands for one
    /// byte of data.
    pub words: bool,
    /// The first 16 bytes of the SHA-256 of what is missing: of the data bytes if
    /// [`words`](Self::words), else of the bytes themselves.
    pub digest: Option<[u8; 16]>,
}

impl Cut {
    /// The bytes that were kept with zeros in the gap, so that a message can be decoded. The
    /// data in it is *not* what was.
    ///
    /// `None` if that would be more than `limit` bytes.
    pub fn fill(&self, kept: &[u8], limit: usize) -> Option<Vec<u8>> {
        let length = kept.len().checked_add(self.length as usize)?;
        if length > limit {
            return None;
        }
        let (before, after) = kept.split_at_checked(self.offset as usize)?;
        let mut filled = Vec::with_capacity(length);
        filled.extend_from_slice(before);
        filled.resize(length - after.len(), 0);
        filled.extend_from_slice(after);
        Some(filled)
    }
}

/// Somebody who wants to hear of every event: a file, a ring of files, a counter, a diagram.
pub trait Sink {
    /// Told in the order of the sequence, in the middle of things: look, do not act. What goes
    /// wrong is the sink's own affair.
    fn record(&mut self, record: &Record<'_>);

    /// Nothing comes for a while: a sink that collects hands on what it has.
    fn flush(&mut self) {}
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn record(&mut self, record: &Record<'_>) {
        (**self).record(record);
    }
    fn flush(&mut self) {
        (**self).flush();
    }
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn record(&mut self, record: &Record<'_>) {
        (**self).record(record);
    }
    fn flush(&mut self) {
        (**self).flush();
    }
}

impl<S: Sink + ?Sized> Sink for Rc<RefCell<S>> {
    fn record(&mut self, record: &Record<'_>) {
        self.borrow_mut().record(record);
    }
    fn flush(&mut self) {
        self.borrow_mut().flush();
    }
}

/// Keeps everything.
impl Sink for Vec<RecordBuf> {
    fn record(&mut self, record: &Record<'_>) {
        self.push(RecordBuf::from(record));
    }
}

/// A record that owns what it tells of, in the packed form of files.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordBuf {
    time: Time,
    packet: Vec<u8>,
}

impl RecordBuf {
    /// `packet` was unpacked without error.
    pub(super) fn from_packet(time: Time, packet: Vec<u8>) -> RecordBuf {
        RecordBuf { time, packet }
    }

    /// The record in a packet of at most `max` bytes, for tools that take no longer ones: as it is
    /// if it fits, else without the data that `snap` leaves out, else cut at its end. `None` if
    /// what cannot be cut is longer.
    pub fn within(record: &Record<'_>, snap: Snap, max: usize) -> Option<RecordBuf> {
        let packed = |kept: &Kept<'_>| {
            let mut bytes = Vec::new();
            packet::pack(record, kept, &mut bytes);
            RecordBuf::from_packet(record.time, bytes)
        };
        let whole = packed(&Kept::of(record, Snap::ALL));
        if whole.size() <= max {
            return Some(whole);
        }
        let snapped = packed(&Kept::of(record, snap));
        if snapped.size() <= max {
            return Some(snapped);
        }
        let bulk = record.event.bulk().len();
        let gap = record.cut.map_or(packet::GAP_LENGTH, |_| 0);
        let limit = max.checked_sub((whole.size() - bulk).checked_add(gap)?)?;
        Some(packed(&Kept::within(record, snap, limit)))
    }

    /// Gives it another place in a trace.
    pub(super) fn place(&mut self, sequence: u64, time: Time) {
        self.time = time;
        packet::renumber(&mut self.packet, sequence);
    }

    /// How many bytes it has.
    pub(super) fn size(&self) -> usize {
        self.packet.len()
    }

    /// How many bytes the record of an event will have, or more.
    pub(super) fn size_of(event: &Event<'_>) -> usize {
        packet::size_bound(event)
    }

    /// The record.
    pub fn get(&self) -> Record<'_> {
        // The bytes were unpacked before, or packed here, so an error cannot come.
        packet::unpack(&self.packet, self.time)
            .unwrap_or_else(|_| Record::new(0, self.time, None, Event::Unreferenced))
    }
}

impl From<&Record<'_>> for RecordBuf {
    fn from(record: &Record<'_>) -> RecordBuf {
        let mut bytes = Vec::new();
        packet::pack(record, &Kept::of(record, Snap::ALL), &mut bytes);
        RecordBuf::from_packet(record.time, bytes)
    }
}

impl fmt::Debug for RecordBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_cut_to_fit_a_packet() {
        let bytes = vec![7; 1000];
        let cut = Cut {
            offset: 900,
            length: 5,
            words: false,
            digest: None,
        };
        for cut in [None, Some(cut)] {
            let connection = 1;
            let bytes = &bytes;
            let event = Event::Sent { connection, bytes };
            let mut record = Record::new(1, Time::ZERO, None, event);
            record.cut = cut;
            let size = RecordBuf::from(&record).size();
            let within = |snap, max| RecordBuf::within(&record, snap, max);
            assert_eq!(within(Snap::NO_DATA, size), Some(RecordBuf::from(&record)));
            for max in [size - 1, size - 500, 100, 88] {
                let fitted = within(Snap::ALL, max).expect("there is room for the header");
                assert!(fitted.size() <= max, "{max}");
                assert!(fitted.size() > max.min(size - 101) - 25, "{max}");
                let original = record.original_length();
                assert_eq!(fitted.get().original_length(), original, "{max}");
            }
            assert_eq!(within(Snap::ALL, 87), None);
        }
        let text = Event::PortRemoved { port: &bytes };
        let record = Record::new(1, Time::ZERO, None, text);
        assert_eq!(RecordBuf::within(&record, Snap::NO_DATA, 1000), None);
    }

    #[test]
    fn a_gap_is_filled_with_zeros() {
        let cut = Cut {
            offset: 2,
            length: 3,
            words: false,
            digest: None,
        };
        assert_eq!(cut.fill(b"abcd", 7), Some(b"ab\0\0\0cd".to_vec()));
        assert_eq!(cut.fill(b"abcd", 6), None, "over the limit");
        assert_eq!(cut.fill(b"a", 100), None, "the gap is outside");
    }
}
