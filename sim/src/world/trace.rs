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
//! booleans as one byte, short byte strings and texts as u64 length and the bytes, and bulk data
//! (messages, SCSI data) as u64 length and u64 XXH3-64 of the bytes with seed 0. The number of a
//! kind is its place in [`Event`], from 0. Each event's record carries the hash up to and
//! including it, so that two runs can be compared event by event: the first record whose hash
//! differs is the first divergence. Real time, addresses and the order of hash tables never
//! enter.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use stmf_proxy::time::Time;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Number of a node of the world, from 0.
pub type NodeId = u8;

/// How a trace names a connection of the network: never used twice in a world.
pub type ConnectionNumber = u32;

/// Number of an initiator of the world, from 0.
pub type InitiatorId = u32;

/// Something that happened.
///
/// New kinds are added at the end: the numbers of the kinds are part of the hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// An attempt of the kernel to call the door begins.
    Upcall {
        /// Tells the calls of a node apart, from 1. A call that the kernel tries again keeps its
        /// number.
        call: u64,
        /// Which attempt this is, from 1.
        attempt: u8,
        /// Whether the calling thread holds the stmf lock.
        lock_held: bool,
        /// The message.
        message: &'a [u8],
    },
    /// It has ended: with the result of the door server, or an errno of illumos.
    UpcallDone {
        /// The call.
        call: u64,
        /// How it ended.
        outcome: Result<u32, i32>,
    },
    /// A message enters the kernel.
    Post {
        /// Tells the posts of a node apart, from 1.
        post: u64,
        /// The message.
        message: &'a [u8],
    },
    /// The kernel has handled it, or refused it with an errno of illumos.
    PostDone {
        /// The post.
        post: u64,
        /// How it ended.
        outcome: Result<(), i32>,
    },
    /// A line of the kernel's log.
    KernelLog(&'a str),
    /// The kernel panics.
    Panic {
        /// The trap that was sprung, 0 for none of the known ones.
        trap: u8,
        /// What happened.
        reason: &'a str,
    },
    /// A line of the relay's log.
    RelayLog(&'a str),
    /// A relay process starts.
    RelayStarted,
    /// A relay process is gone.
    RelayEnded,
    /// The node boots: its `boot`th kernel, from 1.
    Boot {
        /// Which.
        boot: u64,
    },
    /// The node loses its power.
    PowerOff,
    /// The ALUA state of the node was set.
    AluaState {
        /// Whether ALUA is on.
        enabled: bool,
        /// The node number that was set.
        number: u32,
        /// 0, or the errno with which it was refused.
        errno: i32,
    },
    /// A LU of the node changes its access state, or is asked to.
    LuAccess {
        /// The LU's id.
        lu: [u8; 16],
        /// What it becomes: 0 standby, 1 active, 2 gone.
        access: u8,
    },
    /// A relay asks for a connection.
    Connect {
        /// Which.
        connection: ConnectionNumber,
    },
    /// The connection stands, as this node sees it.
    Connected {
        /// Which.
        connection: ConnectionNumber,
    },
    /// The connection ended or could not be made, as this node sees it.
    Disconnected {
        /// Which.
        connection: ConnectionNumber,
        /// 0 closed by the peer, 1 reset, 2 refused, 3 no answer.
        end: u8,
    },
    /// The node sends bytes. The hash has their length and the first 64 of them: what is longer
    /// is a message, which stands in other events, behind a header with a checksum.
    Sent {
        /// On which connection.
        connection: ConnectionNumber,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// Bytes arrive at the node. The hash has their length only: what they are follows from
    /// what was sent.
    Received {
        /// On which connection.
        connection: ConnectionNumber,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// An initiator opens a session to a port of the node.
    SessionOpened {
        /// Which initiator.
        initiator: InitiatorId,
        /// The session id that stmf gave out; 0 if it was refused.
        session: u64,
    },
    /// The session is gone.
    SessionClosed {
        /// Which initiator.
        initiator: InitiatorId,
        /// The session.
        session: u64,
    },
    /// An initiator sends a command to the node.
    Command {
        /// Which initiator.
        initiator: InitiatorId,
        /// Tells the commands of an initiator apart.
        tag: u64,
        /// The logical unit number.
        lun: [u8; 8],
        /// The command descriptor block.
        cdb: &'a [u8],
        /// Bytes that the initiator expects to move.
        expected: u32,
        /// What it writes.
        data: &'a [u8],
    },
    /// The command has ended, as the initiator sees it.
    CommandDone {
        /// Which initiator.
        initiator: InitiatorId,
        /// Which command.
        tag: u64,
        /// The SCSI status.
        status: u8,
        /// Sense data.
        sense: &'a [u8],
        /// What was read.
        data: &'a [u8],
    },
    /// An initiator sends a task management function to the node.
    Management {
        /// Which initiator.
        initiator: InitiatorId,
        /// Tells it apart.
        tag: u64,
        /// The logical unit number.
        lun: [u8; 8],
        /// The function, as messages number them.
        function: u8,
    },
    /// The task management function has ended.
    ManagementDone {
        /// Which initiator.
        initiator: InitiatorId,
        /// Which function.
        tag: u64,
        /// The status that came.
        status: u8,
    },
    /// The target gave the command up without a status.
    Aborted {
        /// Which initiator.
        initiator: InitiatorId,
        /// Which command.
        tag: u64,
    },
    /// The initiator has waited long enough and gives the command up.
    TimedOut {
        /// Which initiator.
        initiator: InitiatorId,
        /// Which command.
        tag: u64,
    },
    /// A fault was injected.
    Fault(&'a str),
    /// A step of the scenario begins.
    Step(&'a str),
}

/// An event with its place in the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// Number of the event, from 1.
    pub sequence: u64,
    /// When it happened, in virtual time.
    pub time: Time,
    /// Where; none for the world as a whole.
    pub node: Option<NodeId>,
    /// What happened.
    pub event: Event<'a>,
    /// The hash of the run up to here.
    pub hash: TraceHash,
}

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

/// Somebody who wants to hear of every event.
pub trait Sink {
    /// Told in the order of the sequence, in the middle of things: look, do not act.
    fn record(&mut self, record: &Record<'_>);
}

/// The trace of a world. Clones are the same trace.
#[derive(Clone, Default)]
pub struct Trace(Rc<Inner>);

#[derive(Default)]
struct Inner {
    sequence: Cell<u64>,
    hash: Cell<TraceHash>,
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
        drop(sinks);
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
        let sinks = inner.sinks.borrow();
        if sinks.is_empty() {
            return;
        }
        let record = Record {
            sequence,
            time,
            node,
            event,
            hash,
        };
        for sink in sinks.iter() {
            sink.borrow_mut().record(&record);
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
    fn bulk(&mut self, bytes: &[u8]) -> &mut Self {
        self.u64(bytes.len() as u64).u64(xxh3_64(bytes))
    }
}

fn encode(into: &mut Vec<u8>, time: Time, node: Option<NodeId>, event: &Event<'_>) {
    let mut out = Encoder(into);
    out.u64(time.as_nanos())
        .u8(node.unwrap_or(255))
        .u8(kind(event));
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
        Event::PostDone { post, outcome } => match outcome {
            Ok(()) => out.u64(post).u8(0).i32(0),
            Err(errno) => out.u64(post).u8(1).i32(errno),
        },
        Event::KernelLog(text) | Event::RelayLog(text) => out.short(text.as_bytes()),
        Event::Panic { trap, reason } => out.u8(trap).short(reason.as_bytes()),
        Event::RelayStarted | Event::RelayEnded | Event::PowerOff => &mut out,
        Event::Boot { boot } => out.u64(boot),
        Event::AluaState {
            enabled,
            number,
            errno,
        } => out.u8(u8::from(enabled)).u32(number).i32(errno),
        Event::LuAccess { lu, access } => out.short(&lu).u8(access),
        Event::Connect { connection } | Event::Connected { connection } => out.u32(connection),
        Event::Disconnected { connection, end } => out.u32(connection).u8(end),
        Event::Sent { connection, bytes } => out
            .u32(connection)
            .u64(bytes.len() as u64)
            .u64(xxh3_64(&bytes[..bytes.len().min(64)])),
        Event::Received { connection, bytes } => out.u32(connection).u64(bytes.len() as u64),
        Event::SessionOpened { initiator, session }
        | Event::SessionClosed { initiator, session } => out.u32(initiator).u64(session),
        Event::Command {
            initiator,
            tag,
            lun,
            cdb,
            expected,
            data,
        } => out
            .u32(initiator)
            .u64(tag)
            .short(&lun)
            .short(cdb)
            .u32(expected)
            .bulk(data),
        Event::CommandDone {
            initiator,
            tag,
            status,
            sense,
            data,
        } => out
            .u32(initiator)
            .u64(tag)
            .u8(status)
            .short(sense)
            .bulk(data),
        Event::Management {
            initiator,
            tag,
            lun,
            function,
        } => out.u32(initiator).u64(tag).short(&lun).u8(function),
        Event::ManagementDone {
            initiator,
            tag,
            status,
        } => out.u32(initiator).u64(tag).u8(status),
        Event::Aborted { initiator, tag } | Event::TimedOut { initiator, tag } => {
            out.u32(initiator).u64(tag)
        }
        Event::Fault(text) | Event::Step(text) => out.short(text.as_bytes()),
    };
}

/// The number of an event's kind.
fn kind(event: &Event<'_>) -> u8 {
    match event {
        Event::Upcall { .. } => 0,
        Event::UpcallDone { .. } => 1,
        Event::Post { .. } => 2,
        Event::PostDone { .. } => 3,
        Event::KernelLog(_) => 4,
        Event::Panic { .. } => 5,
        Event::RelayLog(_) => 6,
        Event::RelayStarted => 7,
        Event::RelayEnded => 8,
        Event::Boot { .. } => 9,
        Event::PowerOff => 10,
        Event::AluaState { .. } => 11,
        Event::LuAccess { .. } => 12,
        Event::Connect { .. } => 13,
        Event::Connected { .. } => 14,
        Event::Disconnected { .. } => 15,
        Event::Sent { .. } => 16,
        Event::Received { .. } => 17,
        Event::SessionOpened { .. } => 18,
        Event::SessionClosed { .. } => 19,
        Event::Command { .. } => 20,
        Event::CommandDone { .. } => 21,
        Event::Management { .. } => 22,
        Event::ManagementDone { .. } => 23,
        Event::Aborted { .. } => 24,
        Event::TimedOut { .. } => 25,
        Event::Fault(_) => 26,
        Event::Step(_) => 27,
    }
}

#[cfg(test)]
mod tests;
