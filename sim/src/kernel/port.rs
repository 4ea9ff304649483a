// SPDX-License-Identifier: MPL-2.0
//! A target port of this node as initiators see it: a fibre channel or iSCSI target reduced to
//! what the proxy door is about.
//!
//! It is a port provider of stmf. What initiators see goes to a [`PortListener`] in the order in
//! which it happens. The transport in between takes no time and loses nothing; it can be told to
//! hold its completions back ([`TargetPort::hold`]), as a slow initiator does.

use super::Kernel;
use super::stmf::types::*;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use stmf_proxy::message::{DeviceId, status};

/// Largest data buffer of a port, in bytes, unless said otherwise.
pub const DEFAULT_BUFFER_SIZE: u32 = 131_072;

/// What an initiator calls one of its commands: its own number for it, unique among those of a
/// session that are outstanding, if the initiator keeps the rules.
pub type Tag = u64;

/// How many bytes less or more were moved than the initiator expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Residual {
    /// As many as expected.
    None,
    /// So many less.
    Under(u32),
    /// So many more were there than could be moved.
    Over(u32),
}

impl Residual {
    fn of(task: &Task) -> Residual {
        let (expected, length) = (task.command.expected_length, task.command_length.get());
        match expected.cmp(&length) {
            std::cmp::Ordering::Equal => Residual::None,
            std::cmp::Ordering::Greater => Residual::Under(expected - length),
            std::cmp::Ordering::Less => Residual::Over(length - expected),
        }
    }
}

/// What an initiator sees of its command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PortEvent<'a> {
    /// The target asks for data: `length` bytes at `offset`.
    ReadyToTransfer {
        /// Where in the command's data.
        offset: u32,
        /// How many bytes.
        length: u32,
    },
    /// Data came; with status GOOD in the same transfer if `good_with` says so.
    Data {
        /// Where in the command's data.
        offset: u32,
        /// The bytes, cut to what the initiator expects.
        data: &'a [u8],
        /// Status GOOD came along, with this residual.
        good_with: Option<Residual>,
    },
    /// The command is over.
    Status {
        /// The SCSI status byte.
        status: u8,
        /// Sense data, empty if there was none.
        sense: &'a [u8],
        /// What was not moved.
        residual: Residual,
    },
    /// The target has given the command up without a status.
    Aborted,
}

/// Somebody who hears what initiators see at a port.
pub trait PortListener {
    /// `event` happened to the command `tag` of `session`. Called in the middle of things: it
    /// may note and wake, not act.
    fn port_event(&self, session: &Rc<Session>, command: &Command, tag: Tag, event: PortEvent<'_>);
}

/// What the port keeps with a task.
struct PortTask {
    tag: Tag,
    /// What the initiator would send.
    data: Vec<u8>,
}

enum Completion {
    Transfer(Rc<Task>, Rc<DataBuffer>),
    Status(Rc<Task>),
}

/// The port. It lives as long as stmf or its owner holds on to it.
pub struct TargetPort {
    port: RefCell<Weak<LocalPort>>,
    listener: Rc<dyn PortListener>,
    holding: Cell<bool>,
    held: RefCell<Vec<Completion>>,
    /// Tasks in the order in which they came.
    outstanding: RefCell<Vec<Rc<Task>>>,
}

/// A command as an initiator sends it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The initiator's number for it.
    pub tag: Tag,
    /// The command.
    pub command: Command,
    /// What the initiator has to send.
    pub data: Vec<u8>,
    /// The data comes with the command (at most one buffer of the port), not when asked for; see
    /// [`Request::with_immediate_data`].
    pub immediate: bool,
}

/// Task attribute "simple", in the low bits of the task flags.
const SIMPLE: u8 = 1;

impl Request {
    /// A command that reads, writes or does neither, as the port flags it: with attribute simple.
    pub fn new(tag: Tag, lun: [u8; 8], cdb: Vec<u8>, expected_length: u32) -> Request {
        use stmf_proxy::message::status::task_flags::READ_DATA;
        let flags = if expected_length > 0 {
            READ_DATA | SIMPLE
        } else {
            SIMPLE
        };
        let command = Command {
            lun,
            cdb,
            expected_length,
            flags,
            management_function: 0,
        };
        Request {
            tag,
            command,
            ..Request::default()
        }
    }

    /// The same with data for the target.
    pub fn with_data(mut self, data: Vec<u8>) -> Request {
        use stmf_proxy::message::status::task_flags::WRITE_DATA;
        if self.command.expected_length > 0 {
            self.command.flags = WRITE_DATA | SIMPLE;
        }
        self.data = data;
        self
    }

    /// The same with data that comes along with the command, which its flags say: an initial burst.
    pub fn with_immediate_data(self, data: Vec<u8>) -> Request {
        use stmf_proxy::message::status::task_flags::INITIAL_BURST;
        let mut request = self.with_data(data);
        request.immediate = true;
        if !request.data.is_empty() {
            request.command.flags |= INITIAL_BURST;
        }
        request
    }

    /// A task management function.
    pub fn management(tag: Tag, lun: [u8; 8], function: u8) -> Request {
        let command = Command {
            lun,
            flags: SIMPLE,
            management_function: function,
            ..Command::default()
        };
        Request {
            tag,
            command,
            ..Request::default()
        }
    }
}

impl TargetPort {
    /// Makes a port and registers it with stmf, which brings it online.
    pub async fn add(
        kernel: &Kernel,
        id: DeviceId,
        alua: bool,
        buffer_size: u32,
        listener: Rc<dyn PortListener>,
    ) -> Result<Rc<TargetPort>, u64> {
        let provider = Rc::new(TargetPort {
            port: RefCell::new(Weak::new()),
            listener,
            holding: Cell::new(false),
            held: RefCell::default(),
            outstanding: RefCell::default(),
        });
        let port = LocalPort::new(id, PortKind::Local { alua }, buffer_size, provider.clone());
        *provider.port.borrow_mut() = Rc::downgrade(&port);
        kernel.stmf().register_port(port).await?;
        Ok(provider)
    }

    /// Takes the port away. Fails with BUSY while it has sessions.
    pub async fn remove(&self, kernel: &Kernel) -> Result<(), u64> {
        match self.local_port() {
            Some(port) => kernel.stmf().deregister_port(&port).await,
            None => Err(status::NOT_FOUND),
        }
    }

    /// The port as stmf knows it, while it does.
    pub fn local_port(&self) -> Option<Rc<LocalPort>> {
        self.port.borrow().upgrade()
    }

    /// Opens a session for an initiator. Fails when its TransportID is refused.
    pub async fn login(
        &self,
        kernel: &Kernel,
        id: u64,
        initiator: DeviceId,
        rport: Vec<u8>,
    ) -> Result<Rc<Session>, u64> {
        let port = self.local_port().ok_or(status::NOT_FOUND)?;
        let session = Session::new(id, initiator, rport, &port);
        kernel.stmf().register_session(&session).await?;
        Ok(session)
    }

    /// Ends a session; its tasks are aborted first, unless the port forgets to
    /// (`abort_tasks` false).
    pub async fn logout(&self, kernel: &Kernel, session: &Rc<Session>, abort_tasks: bool) {
        if abort_tasks {
            let tasks = self.tasks_of(session);
            tasks.iter().for_each(|task| kernel.stmf().abort_task(task));
            for task in tasks {
                kernel.stmf().wait_for_end(&task).await;
            }
        }
        kernel.stmf().deregister_session(session).await;
    }

    fn tasks_of(&self, session: &Rc<Session>) -> Vec<Rc<Task>> {
        let outstanding = self.outstanding.borrow();
        outstanding
            .iter()
            .filter(|task| Rc::ptr_eq(&task.session, session))
            .cloned()
            .collect()
    }

    /// A command arrives from an initiator. False: the port takes no commands; it is offline or
    /// gone.
    pub fn submit(&self, kernel: &Kernel, session: &Rc<Session>, request: Request) -> bool {
        let Request {
            tag,
            command,
            data,
            immediate,
        } = request;
        if !kernel.stmf().service_enabled() {
            return false;
        }
        let initial = immediate && !data.is_empty();
        let limit = session
            .port
            .upgrade()
            .map_or(0, |port| port.buffer_size as usize);
        let wanted = data.len().min(limit).min(command.expected_length as usize);
        let Some(task) = kernel.stmf().allocate_task(session, command) else {
            return false;
        };
        let buffer = initial.then(|| DataBuffer::new(data[..wanted].to_vec(), 0, false));
        *task.port_private.borrow_mut() = Some(Rc::new(PortTask { tag, data }));
        self.outstanding.borrow_mut().push(task.clone());
        kernel.stmf().post_task(&task, buffer);
        true
    }

    /// The initiator's transport gives a command up: the newest one of that tag. False if there
    /// is none.
    pub fn abort(&self, kernel: &Kernel, tag: Tag) -> bool {
        let found = {
            let outstanding = self.outstanding.borrow();
            outstanding
                .iter()
                .rev()
                .find(|task| tag_of(task) == Some(tag))
                .cloned()
        };
        match found {
            Some(task) => {
                kernel.stmf().abort_task(&task);
                true
            }
            None => false,
        }
    }

    /// Tags of the commands that are not over, oldest first.
    pub fn outstanding(&self) -> Vec<Tag> {
        self.outstanding
            .borrow()
            .iter()
            .filter_map(|task| tag_of(task))
            .collect()
    }

    /// The same with the number of each task, by which they can be put in order over ports.
    pub fn outstanding_tasks(&self) -> Vec<(u64, Tag)> {
        let outstanding = self.outstanding.borrow();
        outstanding
            .iter()
            .filter_map(|task| Some((task.number, tag_of(task)?)))
            .collect()
    }

    /// While `on`, the port finishes no transfer and no status; switched off it finishes what
    /// waits, in order.
    pub fn hold(&self, kernel: &Kernel, on: bool) {
        self.holding.set(on);
        if !on {
            for completion in self.held.take() {
                self.complete(kernel, completion);
            }
        }
    }

    /// Lets go of its commands, with the kernel ([`Kernel::take_apart`]).
    pub(crate) fn take_apart(&self) {
        drop((self.outstanding.take(), self.held.take()));
    }

    fn finish(&self, kernel: &Kernel, completion: Completion) {
        if self.holding.get() {
            self.held.borrow_mut().push(completion);
        } else {
            self.complete(kernel, completion);
        }
    }

    fn complete(&self, kernel: &Kernel, completion: Completion) {
        match completion {
            Completion::Transfer(task, buffer) => kernel.stmf().transfer_done(&task, buffer),
            Completion::Status(task) => kernel.stmf().status_done(&task, status::SUCCESS),
        }
    }

    fn tell(&self, task: &Task, event: PortEvent<'_>) {
        if let Some(tag) = tag_of(task) {
            self.listener
                .port_event(&task.session, &task.command, tag, event);
        }
    }
}

fn private(task: &Task) -> Option<Rc<PortTask>> {
    task.port_private.borrow().clone()?.downcast().ok()
}

fn tag_of(task: &Task) -> Option<Tag> {
    private(task).map(|private| private.tag)
}

impl PortProvider for TargetPort {
    fn transfer<'a>(
        &'a self,
        kernel: &'a Kernel,
        task: &'a Rc<Task>,
        buffer: Rc<DataBuffer>,
    ) -> Pending<'a, u64> {
        Box::pin(async move {
            let offset = buffer.offset.get();
            if buffer.to_initiator {
                let good = buffer.status_good_follows.get();
                {
                    let data = buffer.data.borrow();
                    let cut = data.len().min(task.command.expected_length as usize);
                    let good_with = good.then(|| Residual::of(task));
                    self.tell(
                        task,
                        PortEvent::Data {
                            offset,
                            data: &data[..cut],
                            good_with,
                        },
                    );
                }
                let completion = match good {
                    true => Completion::Status(task.clone()),
                    false => Completion::Transfer(task.clone(), buffer),
                };
                self.finish(kernel, completion);
                return status::SUCCESS;
            }
            let length = buffer.data.borrow().len();
            self.tell(
                task,
                PortEvent::ReadyToTransfer {
                    offset,
                    length: length as u32,
                },
            );
            let Some(private) = private(task) else {
                return status::FAILURE;
            };
            let start = offset as usize;
            match private.data.get(start..start + length) {
                Some(data) => {
                    buffer.data.borrow_mut().copy_from_slice(data);
                    self.finish(kernel, Completion::Transfer(task.clone(), buffer));
                }
                // An initiator that has announced more than it sends: the target waits for it.
                None => kernel.warn("an initiator sends less data than it was asked for"),
            }
            status::SUCCESS
        })
    }

    fn send_status<'a>(&'a self, kernel: &'a Kernel, task: &'a Rc<Task>) -> Pending<'a, u64> {
        Box::pin(async move {
            {
                let sense = task.sense.borrow();
                let residual = Residual::of(task);
                let status = task.status.get();
                self.tell(
                    task,
                    PortEvent::Status {
                        status,
                        sense: &sense,
                        residual,
                    },
                );
            }
            self.finish(kernel, Completion::Status(task.clone()));
            status::SUCCESS
        })
    }

    fn abort<'a>(&'a self, _: &'a Kernel, task: &'a Rc<Task>) -> Pending<'a, AbortOutcome> {
        Box::pin(async move {
            self.held
                .borrow_mut()
                .retain(|completion| match completion {
                    Completion::Transfer(held, _) | Completion::Status(held) => {
                        !Rc::ptr_eq(held, task)
                    }
                });
            self.tell(task, PortEvent::Aborted);
            AbortOutcome::Done
        })
    }

    fn task_freed(&self, _: &Kernel, task: &Rc<Task>) {
        self.outstanding
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, task));
    }

    fn control<'a>(&'a self, kernel: &'a Kernel, command: PortCommand) -> Pending<'a, ()> {
        Box::pin(async move {
            let Some(port) = self.local_port() else {
                return;
            };
            match command {
                // Too late: it is to go offline.
                PortCommand::Online if !kernel.stmf().service_enabled() => {}
                PortCommand::Online => kernel.stmf().port_online_done(&port).await,
                PortCommand::Offline => {
                    let tasks = self.outstanding.borrow().clone();
                    tasks.iter().for_each(|task| kernel.stmf().abort_task(task));
                    for task in &tasks {
                        kernel.stmf().wait_for_end(task).await;
                    }
                    kernel.stmf().port_offline_done(&port).await;
                }
                PortCommand::OnlineAcknowledged | PortCommand::OfflineAcknowledged => {}
            }
        })
    }
}
