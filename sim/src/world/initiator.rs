// SPDX-License-Identifier: MPL-2.0
//! Initiators: hosts with sessions to ports of any node, that send commands and task management
//! functions and wait for what comes back.

use super::operation::{Movement, Operation, PathNumber, nanoseconds};
use super::trace::{Event, InitiatorId, NodeId, Running, Trace};
use crate::executor::Executor;
use crate::executor::sync::Condition;
use crate::kernel::Kernel;
use crate::kernel::port::{PortEvent, PortListener, Request, Residual, Tag, TargetPort};
use crate::kernel::stmf::types::{Command, Session};
use crate::scsi::{Completion, Sense, Status};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use stmf_proxy::message::DeviceId;

/// How long an initiator waits for a command unless told otherwise: longer than the 80 s after
/// which stmf gives a proxied command up.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(100);

/// What a command moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transfer<'a> {
    /// Nothing.
    None,
    /// So many bytes at most come from the target.
    Read(u32),
    /// These bytes go to the target, when it asks for them.
    Write(&'a [u8]),
    /// These bytes go to the target with the command.
    WriteImmediate(&'a [u8]),
}

impl<'a> Transfer<'a> {
    fn movement(self) -> Movement {
        match self {
            Transfer::None => Movement::None,
            Transfer::Read(length) => Movement::Read(length),
            Transfer::Write(_) => Movement::Write,
            Transfer::WriteImmediate(_) => Movement::WriteImmediate,
        }
    }

    fn data(self) -> &'a [u8] {
        match self {
            Transfer::None | Transfer::Read(_) => &[],
            Transfer::Write(data) | Transfer::WriteImmediate(data) => data,
        }
    }
}

/// How a command ended, as its initiator sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// With a status.
    Status(Completion),
    /// The target gave it up without a status.
    Aborted,
    /// Nothing came in time. The initiator forgets the command.
    TimedOut,
    /// The port took no command, or the node went away.
    Lost,
}

impl Outcome {
    /// Whether the command ended with status GOOD.
    pub fn is_good(&self) -> bool {
        matches!(self, Outcome::Status(completion) if completion.is_good())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Status(completion) => completion.fmt(f),
            Outcome::Aborted => f.write_str("aborted by the target without a status"),
            Outcome::TimedOut => f.write_str("timed out"),
            Outcome::Lost => f.write_str("the path is gone"),
        }
    }
}

/// What came of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// How it ended.
    pub outcome: Outcome,
    /// What was read: as many bytes as came, at the offsets at which they came.
    pub data: Vec<u8>,
    /// What was not moved, where a status came.
    pub residual: Residual,
}

impl Reply {
    /// The data, if the command ended with status GOOD.
    pub fn good(self) -> Result<Vec<u8>, Outcome> {
        if self.outcome.is_good() {
            Ok(self.data)
        } else {
            Err(self.outcome)
        }
    }
}

/// A command that is out.
struct Outstanding {
    initiator: InitiatorId,
    data: RefCell<Vec<u8>>,
    end: RefCell<Option<(Outcome, Residual)>>,
    changed: Condition,
    management: bool,
}

/// Hears what happens at the ports of one boot of a node, and finds whose it is.
pub(super) struct Exchange {
    node: NodeId,
    executor: Executor,
    trace: Trace,
    outstanding: RefCell<BTreeMap<(u64, Tag), Rc<Outstanding>>>,
}

impl Exchange {
    pub(super) fn new(node: NodeId, executor: &Executor, trace: Trace) -> Rc<Exchange> {
        let executor = executor.clone();
        Rc::new(Exchange {
            node,
            executor,
            trace,
            outstanding: RefCell::default(),
        })
    }

    /// The node is gone: so is every command on it.
    pub(super) fn node_gone(&self) {
        for (_, command) in self.outstanding.take() {
            *command.end.borrow_mut() = Some((Outcome::Lost, Residual::None));
            command.changed.notify_all();
        }
    }

    /// Commands that are out.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.borrow().len()
    }

    fn tell(&self, event: Event<'_>) {
        self.trace
            .record(self.executor.now(), Some(self.node), event);
    }

    fn end(&self, key: (u64, Tag), outcome: Outcome, residual: Residual) {
        let command = self.outstanding.borrow_mut().remove(&key);
        if let Some(command) = command {
            *command.end.borrow_mut() = Some((outcome, residual));
            command.changed.notify_all();
        }
    }
}

impl PortListener for Exchange {
    fn port_event(&self, session: &Rc<Session>, _: &Command, tag: Tag, event: PortEvent<'_>) {
        let key = (session.id, tag);
        // What comes for a command that the initiator has forgotten falls on the floor.
        let Some(command) = self.outstanding.borrow().get(&key).cloned() else {
            return;
        };
        let initiator = command.initiator;
        match event {
            PortEvent::ReadyToTransfer { .. } => {}
            PortEvent::Data {
                offset,
                data,
                good_with,
            } => {
                let start = offset as usize;
                let mut read = command.data.borrow_mut();
                if read.len() == start {
                    read.extend_from_slice(data);
                } else {
                    let length = read.len().max(start + data.len());
                    read.resize(length, 0);
                    read[start..start + data.len()].copy_from_slice(data);
                }
                if let Some(residual) = good_with {
                    self.tell(Event::CommandDone {
                        initiator,
                        tag,
                        status: 0,
                        residual_flags: residual_flags(residual).0,
                        residual: residual_flags(residual).1,
                        sense: &[],
                        data: &read,
                    });
                    drop(read);
                    self.end(key, Outcome::Status(Completion::GOOD), residual);
                }
            }
            PortEvent::Status {
                status,
                sense,
                residual,
            } => {
                if command.management {
                    self.tell(Event::ManagementDone {
                        initiator,
                        tag,
                        status,
                    });
                } else {
                    let data = command.data.borrow();
                    self.tell(Event::CommandDone {
                        initiator,
                        tag,
                        status,
                        residual_flags: residual_flags(residual).0,
                        residual: residual_flags(residual).1,
                        sense,
                        data: &data,
                    });
                }
                let sense = Sense::from_bytes(sense);
                let completion = Completion {
                    status: Status(status),
                    sense,
                };
                self.end(key, Outcome::Status(completion), residual);
            }
            PortEvent::Aborted => {
                self.tell(Event::Aborted { initiator, tag });
                self.end(key, Outcome::Aborted, Residual::None);
            }
        }
    }
}

/// A residual as messages give it: flags and bytes.
fn residual_flags(residual: Residual) -> (u8, u32) {
    use stmf_proxy::message::status::residual_flags::{OVERFLOW, UNDERFLOW};
    match residual {
        Residual::None => (0, 0),
        Residual::Over(bytes) => (OVERFLOW, bytes),
        Residual::Under(bytes) => (UNDERFLOW, bytes),
    }
}

/// A host that sends commands.
#[derive(Clone)]
pub struct Initiator(Rc<InitiatorInner>);

struct InitiatorInner {
    id: InitiatorId,
    timeout: Cell<Duration>,
    next_tag: Cell<Tag>,
}

impl Initiator {
    pub(crate) fn new(id: InitiatorId) -> Initiator {
        Initiator(Rc::new(InitiatorInner {
            id,
            timeout: Cell::new(DEFAULT_TIMEOUT),
            next_tag: Cell::new(1),
        }))
    }

    /// Its number in the trace.
    pub fn id(&self) -> InitiatorId {
        self.0.id
    }

    /// How long it waits for a command from now on.
    pub fn set_timeout(&self, timeout: Duration) {
        self.0.timeout.set(timeout);
    }

    /// The tag of its next command.
    pub(crate) fn set_next_tag(&self, tag: Tag) {
        self.0.next_tag.set(tag);
    }

    /// Its name: a fibre channel port name.
    pub fn device_id(&self) -> DeviceId {
        fibre_channel_name(&format!("wwn.21000000000001{:02x}", self.0.id & 0xff))
    }

    /// Its TransportID (SPC-4, 7.6.4.2), 24 bytes.
    pub fn transport_id(&self) -> Vec<u8> {
        let mut bytes = vec![0; 24];
        bytes[8..16].copy_from_slice(&(0x2100_0000_0000_0100 | u64::from(self.0.id)).to_be_bytes());
        bytes
    }

    pub(super) fn path(
        &self,
        number: PathNumber,
        kernel: Kernel,
        exchange: Rc<Exchange>,
        port: Rc<TargetPort>,
        session: Rc<Session>,
    ) -> Path {
        Path {
            number,
            initiator: self.clone(),
            kernel,
            exchange,
            port,
            session,
        }
    }
}

/// A name of a fibre channel port, as the target drivers of illumos give them.
pub(super) fn fibre_channel_name(name: &str) -> DeviceId {
    DeviceId {
        protocol_id: 0,
        code_set: 2,
        piv: 1,
        association: 1,
        ident_type: 3,
        ident: name.as_bytes().to_vec(),
    }
}

/// A session of an initiator with a port of a node.
#[derive(Clone)]
pub struct Path {
    number: PathNumber,
    initiator: Initiator,
    kernel: Kernel,
    exchange: Rc<Exchange>,
    port: Rc<TargetPort>,
    session: Rc<Session>,
}

impl Path {
    /// The node that it leads to.
    pub fn node(&self) -> NodeId {
        self.exchange.node
    }

    /// Its number in the world.
    pub fn number(&self) -> PathNumber {
        self.number
    }

    /// The initiator.
    pub fn initiator(&self) -> &Initiator {
        &self.initiator
    }

    /// The session.
    pub fn session(&self) -> &Rc<Session> {
        &self.session
    }

    /// Sends a command to a logical unit and waits for its end.
    pub async fn command(&self, lun: [u8; 8], cdb: &[u8], transfer: Transfer<'_>) -> Reply {
        let expected = match transfer {
            Transfer::Read(length) => length,
            _ => u32::try_from(transfer.data().len()).unwrap_or(u32::MAX),
        };
        let tag = self.new_tag();
        let mut request = Request::new(tag, lun, cdb.to_vec(), expected);
        let mut written: &[u8] = &[];
        let _running = self.operation(transfer.data(), || Operation::Command {
            path: self.number,
            tag,
            lun,
            cdb: cdb.to_vec(),
            transfer: transfer.movement(),
            timeout: nanoseconds(self.initiator.0.timeout.get()),
        });
        match transfer {
            Transfer::None | Transfer::Read(_) => {}
            Transfer::Write(data) => {
                written = data;
                request = request.with_data(data.to_vec());
            }
            Transfer::WriteImmediate(data) => {
                written = data;
                request = request.with_immediate_data(data.to_vec());
            }
        }
        self.exchange.tell(Event::Command {
            initiator: self.initiator.id(),
            tag,
            session: self.session.id,
            lun,
            flags: request.command.flags,
            expected,
            cdb,
            data: written,
        });
        self.submit(request, expected, false).await
    }

    /// Sends a task management function, numbered as in messages, and waits for its end.
    pub async fn manage(&self, lun: [u8; 8], function: u8) -> Reply {
        let (initiator, tag) = (self.initiator.id(), self.new_tag());
        let _running = self.operation(&[], || Operation::Manage {
            path: self.number,
            tag,
            lun,
            function,
            timeout: nanoseconds(self.initiator.0.timeout.get()),
        });
        self.exchange.tell(Event::Management {
            initiator,
            tag,
            session: self.session.id,
            lun,
            function,
        });
        self.submit(Request::management(tag, lun, function), 0, true)
            .await
    }

    /// Ends the session; its commands are aborted.
    pub async fn logout(&self) {
        let path = self.number;
        let _running = self.operation(&[], || Operation::Logout { path });
        self.port.logout(&self.kernel, &self.session, true).await;
        let (initiator, session) = (self.initiator.id(), self.session.id);
        self.exchange
            .tell(Event::SessionClosed { initiator, session });
    }

    fn operation(&self, data: &[u8], operation: impl FnOnce() -> Operation) -> Running {
        let exchange = &self.exchange;
        exchange
            .trace
            .operation(&exchange.executor, data, operation)
    }

    fn new_tag(&self) -> Tag {
        let tags = &self.initiator.0.next_tag;
        tags.set(tags.get() + 1);
        tags.get() - 1
    }

    async fn submit(&self, request: Request, expected: u32, management: bool) -> Reply {
        let executor = &self.exchange.executor;
        let (tag, key) = (request.tag, (self.session.id, request.tag));
        let reading = request.data.is_empty();
        let command = Rc::new(Outstanding {
            initiator: self.initiator.id(),
            // Room for all that is expected, within reason.
            data: RefCell::new(Vec::with_capacity(if reading {
                expected.min(8 << 20) as usize
            } else {
                0
            })),
            end: RefCell::new(None),
            changed: Condition::new(executor, "the end of its command"),
            management,
        });
        self.exchange
            .outstanding
            .borrow_mut()
            .insert(key, command.clone());
        let alive = executor.group_alive(self.kernel.group());
        if !alive || !self.port.submit(&self.kernel, &self.session, request) {
            self.exchange.end(key, Outcome::Lost, Residual::None);
        }
        if !self.ended_in_time(&command).await {
            self.exchange.tell(Event::TimedOut {
                initiator: self.initiator.id(),
                tag,
            });
            self.exchange.end(key, Outcome::TimedOut, Residual::None);
        }
        let end = command.end.take();
        let (outcome, residual) = end.unwrap_or((Outcome::Lost, Residual::None));
        Reply {
            outcome,
            data: command.data.take(),
            residual,
        }
    }

    /// Waits for the end of a command, but not for ever.
    async fn ended_in_time(&self, command: &Outstanding) -> bool {
        let executor = &self.exchange.executor;
        if command.end.borrow().is_some() {
            return true;
        }
        let patience = executor.now() + self.initiator.0.timeout.get();
        let mut sleep = pin!(executor.sleep_in_background(patience));
        let mut wait = pin!(command.changed.wait());
        std::future::poll_fn(|context| {
            if command.end.borrow().is_some() {
                return Poll::Ready(true);
            }
            if sleep.as_mut().poll(context).is_ready() {
                return Poll::Ready(false);
            }
            // Last, so that a report says what is waited for.
            wait.as_mut().poll(context).map(|()| true)
        })
        .await
    }
}
