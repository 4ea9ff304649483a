// SPDX-License-Identifier: MPL-2.0
//! The trace of a run: everything that happened, in order, and a hash of it.
//!
//! Whatever happens in a world (door calls and their results, posts, the link, commands and
//! what initiators get, logs, panics, what operators do) is told to the [`Trace`] as an
//! [`Event`]. The trace numbers it, hashes it and hands it to its sinks: counters, the ladder
//! diagram, a recorder. It keeps no event itself, so a run of any length takes bounded memory.
//!
//! # The hash
//!
//! 64 bits, a chain over the events: `hash(n) = XXH3-64(encoding(event n), seed = hash(n-1))`,
//! with `hash(0) = 0`. XXH3-64 is the published function of xxHash 0.8. The encoding is, all
//! integers little-endian:
//!
//! ```text
//! u64 virtual time in nanoseconds | u8 node (255: no node) | u8 kind | fields
//! ```
//!
//! with the fields in the order in which [`Event`] declares them: integers in their width,
//! booleans as one byte, outcomes as one byte (1 for an errno) and the number, short byte strings and texts as u64 length and the bytes, and bulk data
//! (messages, SCSI data) as u64 length and u64 XXH3-64 of the bytes with seed 0. The number of a
//! kind is its place in [`Event`], from 0. Each event's record carries the hash up to and
//! including it, so that two runs can be compared event by event: the first record whose hash
//! differs is the first divergence. Real time, addresses and the order of hash tables never
//! enter.

use super::operation::{Operation, Placed, SharedRecorder};
use crate::executor::Executor;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use stmf_proxy::time::Time;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

pub use stmf_proxy::trace::{Event, LuAccess, LuOperation, NodeId, Record, Sink};

/// How a trace names a connection of the network: never used twice in a world.
pub type ConnectionNumber = u32;

/// Number of an initiator of the world, from 0.
pub type InitiatorId = u32;

/// The hash of a trace. Prints as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceHash(pub u64);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceHash({self})")
    }
}

/// The trace of a world. Clones are the same trace.
#[derive(Clone, Default)]
pub struct Trace(Rc<Inner>);

#[derive(Default)]
struct Inner {
    recorder: RefCell<Option<SharedRecorder>>,
    operations_ended: Rc<Cell<u64>>,
    sequence: Cell<u64>,
    hash: Cell<TraceHash>,
    progress: Cell<Time>,
    encoding: RefCell<Vec<u8>>,
    sinks: RefCell<Vec<Rc<RefCell<dyn Sink>>>>,
}

impl Trace {
    /// An empty trace.
    pub fn new() -> Trace {
        Trace::default()
    }

    /// Hands every event from now on to `sink`.
    pub fn add_sink(&self, sink: Rc<RefCell<dyn Sink>>) {
        self.0.sinks.borrow_mut().push(sink);
    }

    /// Tells the sinks nothing more.
    pub(super) fn detach_sinks(&self) {
        let sinks = self.0.sinks.take();
        let recorder = self.0.recorder.take();
        drop((sinks, recorder));
    }

    /// Tells every event and operation from now on to `recorder`.
    pub(super) fn set_recorder(&self, recorder: SharedRecorder) {
        *self.0.recorder.borrow_mut() = Some(recorder);
    }

    /// Something is about to be done from outside; it has ended when the answer is dropped.
    pub(super) fn operation(
        &self,
        executor: &Executor,
        data: &[u8],
        operation: impl FnOnce() -> Operation,
    ) -> Running {
        if let Some(recorder) = &*self.0.recorder.borrow() {
            recorder.borrow_mut().operation(Placed {
                time: executor.now(),
                steps: executor.steps_at_this_time(),
                ended: self.0.operations_ended.get(),
                operation: &operation(),
                data,
            });
        }
        Running(self.0.operations_ended.clone())
    }

    /// How many operations have ended.
    pub fn operations_ended(&self) -> u64 {
        self.0.operations_ended.get()
    }

    /// Something happened.
    pub fn record(&self, time: Time, node: Option<NodeId>, event: Event<'_>) {
        let inner = &*self.0;
        let mut encoding = inner.encoding.borrow_mut();
        encoding.clear();
        encode(&mut encoding, time, node, &event);
        let hash = TraceHash(xxh3_64_with_seed(&encoding, inner.hash.get().0));
        let sequence = inner.sequence.get() + 1;
        inner.hash.set(hash);
        inner.sequence.set(sequence);
        drop(encoding);
        if is_progress(&event) {
            self.progress_made(time);
        }
        let sinks = inner.sinks.borrow();
        let recorder = inner.recorder.borrow();
        if sinks.is_empty() && recorder.is_none() {
            return;
        }
        let record = Record {
            hash: Some(hash.0),
            ..Record::new(sequence, time, node, event)
        };
        for sink in sinks.iter() {
            sink.borrow_mut().record(&record);
        }
        if let Some(recorder) = &*recorder {
            recorder.borrow_mut().record(&record);
        }
    }

    /// The hash of all events so far.
    pub fn hash(&self) -> TraceHash {
        self.0.hash.get()
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.0.sequence.get()
    }

    /// When something last went on, or will: anything but the signs of life of the link, which go
    /// on for ever.
    pub(super) fn last_progress(&self) -> Time {
        self.0.progress.get()
    }

    /// Something goes on at this time.
    pub(super) fn progress_made(&self, time: Time) {
        self.0.progress.set(self.0.progress.get().max(time));
    }
}

fn is_progress(event: &Event<'_>) -> bool {
    !matches!(
        event,
        Event::Sent { .. }
            | Event::Received { .. }
            | Event::Connect { .. }
            | Event::Connected { .. }
            | Event::Disconnected { .. }
            | Event::KernelLog(_)
            | Event::RelayLog(_)
    )
}

/// An operation that goes on.
pub(super) struct Running(Rc<Cell<u64>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Writes the fields of an event.
struct Encoder<'a>(&'a mut Vec<u8>);

impl Encoder<'_> {
    fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }
    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
    fn i32(&mut self, value: i32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
    fn short(&mut self, bytes: &[u8]) -> &mut Self {
        self.u64(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }
    fn outcome(&mut self, outcome: Result<(), i32>) -> &mut Self {
        match outcome {
            Ok(()) => self.u8(0).i32(0),
            Err(errno) => self.u8(1).i32(errno),
        }
    }
    fn bulk(&mut self, bytes: &[u8]) -> &mut Self {
        self.u64(bytes.len() as u64).u64(xxh3_64(bytes))
    }
}

fn encode(into: &mut Vec<u8>, time: Time, node: Option<NodeId>, event: &Event<'_>) {
    let mut out = Encoder(into);
    out.u64(time.as_nanos())
        .u8(node.unwrap_or(255))
        .u8(event.kind_number());
    match *event {
        Event::Upcall {
            call,
            attempt,
            lock_held,
            message,
        } => out
            .u64(call)
            .u8(attempt)
            .u8(u8::from(lock_held))
            .bulk(message),
        Event::UpcallDone { call, outcome } => match outcome {
            Ok(result) => out.u64(call).u8(0).u32(result),
            Err(errno) => out.u64(call).u8(1).i32(errno),
        },
        Event::Post { post, message } => out.u64(post).bulk(message),
        Event::PostDone { post, outcome } => out.u64(post).outcome(outcome),
        Event::KernelLog(text) | Event::RelayLog(text) => out.short(text.as_bytes()),
        Event::Panic { trap, reason } => out.u8(trap).short(reason.as_bytes()),
        Event::RelayStarted | Event::RelayEnded | Event::PowerOff => &mut out,
        Event::Boot { boot } => out.u64(boot),
        Event::AluaState {
            enabled,
            number,
            outcome,
        } => out.u8(u8::from(enabled)).u32(number).outcome(outcome),
        Event::LuAccess { lu, access } => out.short(&lu).u8(access as u8),
        Event::Connect { connection } | Event::Connected { connection } => out.u32(connection),
        Event::Disconnected { connection, end } => out.u32(connection).u8(end as u8),
        Event::Sent { connection, bytes } => out
            .u32(connection)
            .u64(bytes.len() as u64)
            .u64(xxh3_64(&bytes[..bytes.len().min(64)])),
        Event::Received { connection, bytes } => out.u32(connection).u64(bytes.len() as u64),
        Event::SessionOpened {
            initiator,
            session,
            port,
            name,
        } => out.u32(initiator).u64(session).short(port).short(name),
        Event::SessionClosed { initiator, session } => out.u32(initiator).u64(session),
        Event::Command {
            initiator,
            tag,
            session,
            lun,
            flags,
            expected,
            cdb,
            data,
        } => out
            .u32(initiator)
            .u64(tag)
            .u64(session)
            .short(&lun)
            .u8(flags)
            .u32(expected)
            .short(cdb)
            .bulk(data),
        Event::CommandDone {
            initiator,
            tag,
            status,
            residual_flags,
            residual,
            sense,
            data,
        } => out
            .u32(initiator)
            .u64(tag)
            .u8(status)
            .u8(residual_flags)
            .u32(residual)
            .short(sense)
            .bulk(data),
        Event::Management {
            initiator,
            tag,
            session,
            lun,
            function,
        } => out
            .u32(initiator)
            .u64(tag)
            .u64(session)
            .short(&lun)
            .u8(function),
        Event::ManagementDone {
            initiator,
            tag,
            status,
        } => out.u32(initiator).u64(tag).u8(status),
        Event::Aborted { initiator, tag } | Event::TimedOut { initiator, tag } => {
            out.u32(initiator).u64(tag)
        }
        Event::Fault(text) | Event::Step(text) => out.short(text.as_bytes()),
        Event::Call { call, step } => out.u64(call).u8(step as u8),
        Event::CallDone {
            call,
            step,
            outcome,
        } => out.u64(call).u8(step as u8).outcome(outcome),
        Event::Unreferenced => &mut out,
        Event::Lost { events } => out.u64(events),
        Event::PortAdded {
            port,
            alua,
            buffer_size,
        } => out.short(port).u8(u8::from(alua)).u32(buffer_size),
        Event::PortRemoved { port } => out.short(port),
        Event::LuOperation {
            lu,
            operation,
            outcome,
        } => out.short(&lu).u8(operation as u8).outcome(outcome),
        // Told to recorders only, beside the events: how a run is made again is no part of it.
        Event::Choices(_) | Event::Operation { .. } => &mut out,
        Event::Other {
            number,
            fields,
            bulk,
            ..
        } => out.u64(number).short(fields).bulk(bulk),
    };
}

#[cfg(test)]
mod tests;
