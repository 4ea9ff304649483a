// SPDX-License-Identifier: MPL-2.0
//! Comparing a run with a recording of it, event by event, while it happens.

use crate::world::trace::{Event, Record, Sink};
use std::collections::VecDeque;
use stmf_proxy::trace::RecordBuf;

/// How many events before a divergence are kept.
pub const BEFORE: usize = 5;

/// How many events of the recording are shown after it.
pub const AFTER: usize = 5;

/// Where a run and its recording part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Divergence {
    /// Number of the event, from 1, operations and choices not counted.
    pub number: u64,
    /// What was recorded; none if the recording had ended.
    pub recorded: Option<RecordBuf>,
    /// What happened; none if the run had ended.
    pub happened: Option<RecordBuf>,
    /// The events before it, in which both agree.
    pub before: Vec<RecordBuf>,
    /// What the recording has after it.
    pub after: Vec<RecordBuf>,
}

/// Gives the records of a recording one after the other; none at its end.
pub type Recorded = Box<dyn FnMut() -> Option<RecordBuf>>;

/// Compares what it is told with a recording.
pub struct Comparer {
    recorded: Recorded,
    equal: u64,
    before: VecDeque<RecordBuf>,
    divergence: Option<Divergence>,
    data_missing: u64,
    breaks_off: bool,
    ended: bool,
}

/// Whether a record tells of something that happened, and not of how to make it happen again.
pub fn is_event(record: &Record<'_>) -> bool {
    !matches!(record.event, Event::Choices(_) | Event::Operation { .. })
}

impl Comparer {
    /// Compares with what `recorded` gives.
    pub fn new(mut recorded: Recorded) -> Comparer {
        let events = move || loop {
            let record = recorded()?;
            if is_event(&record.get()) {
                return Some(record);
            }
        };
        Comparer {
            recorded: Box::new(events),
            equal: 0,
            before: VecDeque::new(),
            divergence: None,
            data_missing: 0,
            breaks_off: false,
            ended: false,
        }
    }

    /// The recording breaks off somewhere: that the run goes on is no difference.
    pub fn breaking_off(mut self, breaks_off: bool) -> Comparer {
        self.breaks_off = breaks_off;
        self
    }

    /// Whether there is nothing left to compare: run and recording have parted, or the recording
    /// broke off.
    pub fn is_over(&self) -> bool {
        self.divergence.is_some() || self.ended
    }

    /// How many events were the same.
    pub fn equal(&self) -> u64 {
        self.equal
    }

    /// How many of those were compared without data that was left out of the recording.
    pub fn data_missing(&self) -> u64 {
        self.data_missing
    }

    /// The run is over: where it parted from the recording, if it did.
    pub fn finish(&mut self) -> Option<Divergence> {
        if self.divergence.is_none()
            && let Some(recorded) = (self.recorded)()
        {
            self.diverge(Some(recorded), None);
        }
        self.divergence.take()
    }

    fn diverge(&mut self, recorded: Option<RecordBuf>, happened: Option<RecordBuf>) {
        let mut after = Vec::new();
        if recorded.is_some() {
            after.extend(std::iter::from_fn(|| (self.recorded)()).take(AFTER));
        }
        self.divergence = Some(Divergence {
            number: self.equal + 1,
            recorded,
            happened,
            before: self.before.drain(..).collect(),
            after,
        });
    }
}

/// Whether two records tell of the same event. Hashes cover everything, data that was left out of
/// a recording included.
fn same(recorded: &Record<'_>, happened: &Record<'_>) -> bool {
    match (recorded.hash, happened.hash) {
        (Some(recorded), Some(happened)) => recorded == happened,
        _ => {
            recorded.time == happened.time
                && recorded.node == happened.node
                && recorded.event == happened.event
        }
    }
}

impl Sink for Comparer {
    fn record(&mut self, record: &Record<'_>) {
        if self.is_over() {
            return;
        }
        match (self.recorded)() {
            Some(recorded) if same(&recorded.get(), record) => {
                self.equal += 1;
                self.data_missing += u64::from(recorded.get().cut.is_some());
                if self.before.len() == BEFORE {
                    self.before.pop_front();
                }
                self.before.push_back(recorded);
            }
            None if self.breaks_off => self.ended = true,
            recorded => self.diverge(recorded, Some(RecordBuf::from(record))),
        }
    }
}
