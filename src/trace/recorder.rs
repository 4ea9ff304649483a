// SPDX-License-Identifier: MPL-2.0
//! From things as they happen, in any thread, to records in order.
//!
//! A [`Recorder`] gives each event its number and time. [`Direct`] hands it on at once, in the
//! caller's thread; a [`Recording`] puts it into a bounded queue that a thread of its own
//! empties, so that a kernel that waits in a door call never waits for a disk.

use super::event::{Event, NodeId};
use super::record::{Record, RecordBuf, Sink};
use super::section::Origin;
use crate::time::Time;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time of events. A closure will do.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Time;
}

impl<F: Fn() -> Time + Send + Sync> Clock for F {
    fn now(&self) -> Time {
        self()
    }
}

/// The clock of the system: begins at the real time, and goes on without ever going back.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
    origin: u64,
}

impl SystemClock {
    /// A clock that starts now.
    pub fn start() -> SystemClock {
        // A system that believes to live before 1970 records as if it were 1970.
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let origin = since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0));
        SystemClock {
            start: Instant::now(),
            origin,
        }
    }

    /// What its times count from.
    pub fn origin(&self) -> Origin {
        Origin::Unix(self.origin)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }
}

/// Takes events as they happen, from any thread.
pub trait Recorder: Send + Sync {
    /// Something happened, on that node or to the world as a whole. Never waits for long, and
    /// never fails.
    fn tell(&self, node: Option<NodeId>, event: Event<'_>);
}

impl<R: Recorder + ?Sized> Recorder for Arc<R> {
    fn tell(&self, node: Option<NodeId>, event: Event<'_>) {
        (**self).tell(node, event);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind the locks here is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands events to a sink at once, one after the other.
pub struct Direct<S> {
    sink: Mutex<(S, u64)>,
    clock: Box<dyn Clock>,
}

impl<S: Sink + Send> Direct<S> {
    /// Hands events to `sink`, stamped by `clock`.
    pub fn new(sink: S, clock: impl Clock + 'static) -> Direct<S> {
        Direct {
            sink: Mutex::new((sink, 0)),
            clock: Box::new(clock),
        }
    }

    /// The sink.
    pub fn into_sink(self) -> S {
        let inner = self.sink.into_inner();
        inner.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl<S: Sink + Send> Recorder for Direct<S> {
    fn tell(&self, node: Option<NodeId>, event: Event<'_>) {
        let mut guard = locked(&self.sink);
        let (sink, sequence) = &mut *guard;
        *sequence += 1;
        sink.record(&Record::new(*sequence, self.clock.now(), node, event));
    }
}

/// What may wait to be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// How many events. Default [`QueueSettings::DEFAULT_EVENTS`].
    pub events: usize,
    /// How many bytes of them, in their packed form. An event that is longer is lost. Default
    /// [`QueueSettings::DEFAULT_BYTES`].
    pub bytes: usize,
}

impl QueueSettings {
    /// 65,536.
    pub const DEFAULT_EVENTS: usize = 65_536;
    /// 128 MiB: two of the longest messages.
    pub const DEFAULT_BYTES: usize = 128 << 20;
}

impl Default for QueueSettings {
    fn default() -> QueueSettings {
        QueueSettings {
            events: Self::DEFAULT_EVENTS,
            bytes: Self::DEFAULT_BYTES,
        }
    }
}

/// A queue of events for a [`Recording`]. When it is full, events are dropped and counted; the
/// first that fits again is preceded by an [`Event::Lost`].
///
/// Clones are the same queue.
#[derive(Clone)]
pub struct Queue(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    clock: Box<dyn Clock>,
    settings: QueueSettings,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<RecordBuf>,
    /// Events that wait, are being packed, or are being written, and their bytes.
    events: usize,
    bytes: usize,
    sequence: u64,
    /// Events that were lost, and how many of them no record has told of yet.
    lost: u64,
    untold: u64,
    closed: bool,
}

impl State {
    fn push(&mut self, mut record: RecordBuf, time: Time) {
        self.sequence += 1;
        record.place(self.sequence, time);
        self.waiting.push_back(record);
    }

    /// Says how many events were lost, if any were since it was said last.
    fn push_lost(&mut self, time: Time) {
        let events = std::mem::take(&mut self.untold);
        if events > 0 {
            let lost = Record::new(0, time, None, Event::Lost { events });
            let record = RecordBuf::from(&lost);
            // Beyond the bounds, by one small event for each that fits.
            self.events += 1;
            self.bytes += record.size();
            self.push(record, time);
        }
    }
}

impl Queue {
    fn new(clock: Box<dyn Clock>, settings: QueueSettings) -> Queue {
        Queue(Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            clock,
            settings,
        }))
    }

    /// How many events were lost because the queue was full.
    pub fn lost(&self) -> u64 {
        locked(&self.0.state).lost
    }

    /// Takes the next event, waiting for one; `None` when the queue is closed and empty.
    fn take(&self, sink: &mut dyn Sink) -> Option<RecordBuf> {
        let mut state = locked(&self.0.state);
        loop {
            if let Some(record) = state.waiting.pop_front() {
                return Some(record);
            }
            if state.closed {
                return None;
            }
            // Nothing to do for now: what was collected is handed on.
            drop(state);
            sink.flush();
            state = locked(&self.0.state);
            if state.waiting.is_empty() && !state.closed {
                let woken = self.0.changed.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn taken(&self, size: usize) {
        let mut state = locked(&self.0.state);
        state.events -= 1;
        state.bytes -= size;
    }

    fn close(&self) {
        let mut state = locked(&self.0.state);
        state.push_lost(self.0.clock.now());
        state.closed = true;
        self.0.changed.notify_all();
    }
}

impl Recorder for Queue {
    fn tell(&self, node: Option<NodeId>, event: Event<'_>) {
        // The place is taken before the event is copied, so that what is lost costs nothing and
        // the bounds hold with any number of threads.
        let size = RecordBuf::size_of(&event);
        {
            let mut state = locked(&self.0.state);
            let settings = self.0.settings;
            let fits = !state.closed
                && state.events < settings.events
                && settings.bytes.saturating_sub(state.bytes) >= size;
            if !fits {
                state.lost += 1;
                state.untold += 1;
                return;
            }
            state.events += 1;
            state.bytes += size;
        }
        let record = RecordBuf::from(&Record::new(0, Time::ZERO, node, event));
        let mut state = locked(&self.0.state);
        state.bytes -= size;
        state.bytes += record.size();
        // Under the lock, so that times go the way of the numbers.
        let time = self.0.clock.now();
        state.push_lost(time);
        state.push(record, time);
        drop(state);
        self.0.changed.notify_one();
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}

/// The sink of a recording has panicked; what it had written before is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the recording ended early, because what it was written to has panicked")]
pub struct SinkPanicked;

/// Events on their way into a sink, in a thread of its own. Dropping it ends the recording when
/// all that was told before is written.
#[derive(Debug)]
pub struct Recording<S> {
    queue: Queue,
    thread: Option<JoinHandle<S>>,
}

impl<S: Sink + Send + 'static> Recording<S> {
    /// Starts recording into `sink`, stamped by `clock`.
    ///
    /// # Errors
    ///
    /// If no thread can be had.
    pub fn start(
        mut sink: S,
        clock: impl Clock + 'static,
        settings: QueueSettings,
    ) -> io::Result<Recording<S>> {
        let queue = Queue::new(Box::new(clock), settings);
        let source = queue.clone();
        let thread = thread::Builder::new()
            .name("trace".to_owned())
            .spawn(move || {
                while let Some(record) = source.take(&mut sink) {
                    sink.record(&record.get());
                    let size = record.size();
                    drop(record);
                    source.taken(size);
                }
                sink.flush();
                sink
            })?;
        Ok(Recording {
            queue,
            thread: Some(thread),
        })
    }

    /// Where to tell events.
    pub fn recorder(&self) -> Queue {
        self.queue.clone()
    }

    /// Ends the recording when all that was told before is written, and gives the sink back.
    /// What is told later is lost.
    ///
    /// # Errors
    ///
    /// If the sink has panicked.
    pub fn finish(mut self) -> Result<S, SinkPanicked> {
        self.queue.close();
        let thread = self.thread.take().ok_or(SinkPanicked)?;
        thread.join().map_err(|_| SinkPanicked)
    }
}

impl<S> Drop for Recording<S> {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.queue.close();
            // Whoever drops a recording does not want to hear how it went.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
