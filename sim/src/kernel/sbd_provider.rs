// SPDX-License-Identifier: MPL-2.0
//! sbd as a LU provider of stmf: tasks and buffers around the device server of [`super::sbd`].
//!
//! The device server says what a command needs; here the data is moved buffer by buffer, a
//! command for a standby LU is handed to the standby side of stmf, and LUs are made, removed and
//! moved between nodes. Nothing here knows what a CDB means.

use super::Kernel;
use super::sbd::{
    Config, Environment, Execution, LogicalUnit, Nexus, NexusId, ReadTransfer, SharedDisk,
    WriteTransfer, parameter_list_length,
};
use super::stmf::types::*;
use crate::scsi::Completion;
use crate::scsi::reports::TargetPortGroup;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

pub use super::sbd::AccessState;

/// The name of the provider, as messages about LUs carry it.
pub const PROVIDER_NAME: &str = "sbd";

/// The largest read that is answered with its status in the same breath, in bytes.
const SMALL_READ_MAX: u32 = 131_072;

/// Where the disk behind a LU is found, when the peer tells of a LU that is not known here.
pub trait DiskSource {
    /// The disk of a LU, by its id and the callback argument of its registration.
    fn disk(&self, id: LuId, callback_argument: &[u8]) -> Option<SharedDisk>;
}

/// Why something could not be done to a LU.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LuError {
    /// ENOENT.
    #[error("no LU of this id is known here")]
    Unknown,
    /// EALREADY.
    #[error("a LU of this id is known here already")]
    Exists,
    /// EINVAL.
    #[error("the disk makes no LU: {0}")]
    Disk(super::sbd::ConfigError),
}

struct SbdLu {
    lu: Rc<Lu>,
    unit: RefCell<LogicalUnit>,
}

/// What sbd keeps with a task.
enum Progress {
    /// Made, not begun; whether the nexus was known to the LU when the task was made.
    Allocated {
        nexus_known: bool,
    },
    Read {
        transfer: ReadTransfer,
        length: u32,
    },
    Write {
        transfer: WriteTransfer,
        length: u32,
        received: u32,
        answers: bool,
    },
    /// The initiator's data is fetched for the peer.
    Fetch {
        data: Vec<u8>,
        length: u32,
    },
    /// Handed to stmf's standby side.
    Proxied,
}

/// A command that waits, with the data that came with it.
type HeldCommand = (Rc<Task>, Option<Rc<DataBuffer>>);

/// The provider: one per kernel.
pub struct SbdProvider {
    lus: RefCell<BTreeMap<LuId, Rc<SbdLu>>>,
    disks: Rc<dyn DiskSource>,
    holding: Cell<bool>,
    held: RefCell<Vec<HeldCommand>>,
}

impl SbdProvider {
    /// Makes the provider known to stmf.
    pub fn attach(kernel: &Kernel, disks: Rc<dyn DiskSource>) -> Rc<SbdProvider> {
        let provider = Rc::new(SbdProvider {
            lus: RefCell::default(),
            disks,
            holding: Cell::new(false),
            held: RefCell::default(),
        });
        kernel.stmf().register_provider(provider.clone());
        provider
    }

    /// Adds a LU on `disk`, as an administrator does.
    pub async fn add(
        self: &Rc<Self>,
        kernel: &Kernel,
        id: LuId,
        callback_argument: Vec<u8>,
        disk: SharedDisk,
        active: bool,
    ) -> Result<(), LuError> {
        if self.lus.borrow().contains_key(&id) {
            return Err(LuError::Exists);
        }
        let provider: Rc<dyn LuProvider> = self.clone();
        let lu = self.make(kernel, provider, id, callback_argument, disk, active)?;
        kernel.stmf().register_lu(lu).await;
        Ok(())
    }

    fn make(
        &self,
        kernel: &Kernel,
        provider: Rc<dyn LuProvider>,
        id: LuId,
        callback_argument: Vec<u8>,
        disk: SharedDisk,
        active: bool,
    ) -> Result<Rc<Lu>, LuError> {
        let config = Config {
            refuse_standby_reads: !kernel.config().proxy_reads,
            ..Config::new(id)
        };
        let (access, state) = match active {
            true => (Access::Active, AccessState::Active),
            false => (Access::Standby, AccessState::Standby),
        };
        let lu = Rc::new(Lu {
            id,
            number: kernel.stmf().number_for(id),
            access: Cell::new(access),
            online: Cell::new(false),
            alua: true,
            callback_argument,
            provider,
            tasks: RefCell::default(),
        });
        let unit = LogicalUnit::new(config, disk, state).map_err(LuError::Disk)?;
        let unit = RefCell::new(unit);
        self.lus.borrow_mut().insert(
            id,
            Rc::new(SbdLu {
                lu: lu.clone(),
                unit,
            }),
        );
        Ok(lu)
    }

    /// Removes a LU: its tasks are aborted first.
    pub async fn remove(&self, kernel: &Kernel, id: LuId) -> Result<(), LuError> {
        let unit = self
            .lus
            .borrow()
            .get(&id)
            .cloned()
            .ok_or(LuError::Unknown)?;
        kernel.stmf().deregister_lu(&unit.lu).await;
        self.lus.borrow_mut().remove(&id);
        Ok(())
    }

    /// Serves the LU here from now on: the end of an import over the standby LU.
    pub async fn make_active(&self, kernel: &Kernel, id: LuId) -> Result<(), LuError> {
        let unit = self
            .lus
            .borrow()
            .get(&id)
            .cloned()
            .ok_or(LuError::Unknown)?;
        unit.unit.borrow_mut().become_active();
        kernel.stmf().lu_became_active(&unit.lu).await;
        Ok(())
    }

    /// Gives the LU up (stmfLuStandby): it stays in transition until the peer tells that it
    /// serves it.
    pub async fn make_standby(&self, kernel: &Kernel, id: LuId) -> Result<(), LuError> {
        let unit = self
            .lus
            .borrow()
            .get(&id)
            .cloned()
            .ok_or(LuError::Unknown)?;
        unit.unit.borrow_mut().begin_standby();
        kernel.stmf().lu_became_standby(&unit.lu).await;
        Ok(())
    }

    /// sbd's own idea of the state of a LU, which is not always stmf's.
    pub fn access_state(&self, id: LuId) -> Option<AccessState> {
        self.lus
            .borrow()
            .get(&id)
            .map(|unit| unit.unit.borrow().access())
    }

    /// Looks at a LU's device server, or changes it.
    pub fn with_unit<T>(&self, id: LuId, action: impl FnOnce(&mut LogicalUnit) -> T) -> Option<T> {
        let unit = self.lus.borrow().get(&id).cloned()?;
        let mut unit = unit.unit.borrow_mut();
        Some(action(&mut unit))
    }

    /// While `on`, commands that come to an active LU wait before it looks at them (task
    /// management does not); switched off, they go on in the order in which they came.
    pub fn hold(self: &Rc<Self>, kernel: &Kernel, on: bool) {
        self.holding.set(on);
        if on {
            return;
        }
        for (task, initial) in self.held.take() {
            let (provider, kernel_of_thread) = (self.clone(), kernel.clone());
            kernel.spawn("held command", async move {
                provider.execute(&kernel_of_thread, &task, initial).await;
            });
        }
    }

    fn unit_of(&self, task: &Task) -> Option<Rc<SbdLu>> {
        let lu = task.lu.as_ref()?;
        self.lus.borrow().get(&lu.id).cloned()
    }

    async fn execute(&self, kernel: &Kernel, task: &Rc<Task>, initial: Option<Rc<DataBuffer>>) {
        let Some(unit) = self.unit_of(task) else {
            return;
        };
        let flags = task.flags.get();
        if flags.aborting || flags.freed || flags.status_sent {
            return;
        }
        let nexus = nexus_of(task);
        if let Err(completion) = admit(&unit, task, &nexus) {
            return send(kernel, task, completion).await;
        }
        let environment = Neighbourhood(kernel.clone());
        let execution = unit.unit.borrow_mut().begin(
            &nexus,
            &task.command.cdb,
            u64::from(task.command.expected_length),
            &environment,
        );
        let expected = task.command.expected_length;
        match execution {
            Execution::Done(completion) => send(kernel, task, completion).await,
            Execution::DataIn(transfer) => {
                task.command_length.set(clamp(transfer.length()));
                let length = clamp(transfer.length()).min(expected);
                set_progress(task, Progress::Read { transfer, length });
                self.send_piece(kernel, &unit, task, initial).await;
            }
            Execution::DataOut(transfer) => {
                task.command_length.set(clamp(transfer.length()));
                let length = clamp(transfer.length()).min(expected);
                // Blocks that came with the command count only if the command says so; a write
                // whose data came without the flag is never answered.
                let burst = stmf_proxy::message::status::task_flags::INITIAL_BURST;
                let medium = transfer.is_medium();
                let answers = initial.is_none() || !medium || task.command.flags & burst != 0;
                set_progress(
                    task,
                    Progress::Write {
                        transfer,
                        length,
                        received: 0,
                        answers,
                    },
                );
                match initial {
                    // More blocks than the command moves: it is given up without an answer.
                    Some(buffer) if medium && buffer.data.borrow().len() > length as usize => {
                        kernel.stmf().abort_task(task);
                    }
                    Some(buffer) => self.received(kernel, &unit, task, &buffer).await,
                    None => self.fetch_piece(kernel, &unit, task).await,
                }
            }
            Execution::Proxy { data_out } => {
                task.command_length.set(0);
                if data_out == 0 {
                    set_progress(task, Progress::Proxied);
                    return kernel.stmf().proxy_command(task, Vec::new()).await;
                }
                set_progress(
                    task,
                    Progress::Fetch {
                        data: Vec::new(),
                        length: data_out,
                    },
                );
                match initial {
                    Some(buffer) => self.received(kernel, &unit, task, &buffer).await,
                    None => self.fetch_piece(kernel, &unit, task).await,
                }
            }
        }
    }

    /// Sends the next piece of what a command returns, or its status after the last.
    async fn send_piece(
        &self,
        kernel: &Kernel,
        unit: &SbdLu,
        task: &Rc<Task>,
        buffer: Option<Rc<DataBuffer>>,
    ) {
        let sent = task.transferred.get();
        let Some(Progress::Read { transfer, length }) = take_progress(task) else {
            return;
        };
        if sent >= length {
            set_progress(task, Progress::Proxied);
            return send(kernel, task, Completion::GOOD).await;
        }
        // Immediate data that comes with a read lends its buffer.
        let room = match &buffer {
            Some(buffer) => buffer.data.borrow().len() as u32,
            None => task.port.buffer_size,
        };
        let piece = room.min(length - sent);
        let mut bytes = vec![0; piece as usize];
        let read = unit
            .unit
            .borrow_mut()
            .read(&transfer, u64::from(sent), &mut bytes);
        if let Err(completion) = read {
            return send(kernel, task, completion).await;
        }
        let buffer = DataBuffer::new(bytes, sent, true);
        let small = transfer.is_medium()
            && piece == length
            && length <= SMALL_READ_MAX
            && task.command.expected_length == task.command_length.get();
        buffer.status_good_follows.set(small);
        set_progress(task, Progress::Read { transfer, length });
        if small {
            kernel.stmf().status_left_to_port(task);
        }
        kernel.stmf().transfer(task, buffer).await;
    }

    /// Asks the initiator for the next piece of what a command takes.
    async fn fetch_piece(&self, kernel: &Kernel, unit: &SbdLu, task: &Rc<Task>) {
        let (received, length) = match &*progress_cell(task).borrow() {
            Some(Progress::Write {
                length, received, ..
            }) => (*received, *length),
            Some(Progress::Fetch { data, length }) => (data.len() as u32, *length),
            _ => return,
        };
        if received >= length {
            return self.all_received(kernel, unit, task).await;
        }
        let piece = task.port.buffer_size.min(length - received);
        let buffer = DataBuffer::new(vec![0; piece as usize], received, false);
        kernel.stmf().transfer(task, buffer).await;
    }

    /// Data of the initiator has come.
    async fn received(
        &self,
        kernel: &Kernel,
        unit: &SbdLu,
        task: &Rc<Task>,
        buffer: &Rc<DataBuffer>,
    ) {
        let mut progress = take_progress(task);
        let mut failed = None;
        match &mut progress {
            Some(Progress::Write {
                transfer,
                length,
                received,
                ..
            }) => {
                let data = buffer.data.borrow();
                let piece = data.len().min((*length - *received) as usize);
                let written =
                    unit.unit
                        .borrow_mut()
                        .write(transfer, u64::from(*received), &data[..piece]);
                failed = written.err();
                *received += piece as u32;
                task.transferred.set(*received);
            }
            Some(Progress::Fetch { data, length }) => {
                let arrived = buffer.data.borrow();
                let piece = arrived.len().min(*length as usize - data.len());
                data.extend_from_slice(&arrived[..piece]);
                task.transferred.set(data.len() as u32);
            }
            _ => {}
        }
        if let Some(progress) = progress {
            set_progress(task, progress);
        }
        match failed {
            Some(completion) => send(kernel, task, completion).await,
            None => Box::pin(self.fetch_piece(kernel, unit, task)).await,
        }
    }

    async fn all_received(&self, kernel: &Kernel, unit: &SbdLu, task: &Rc<Task>) {
        match take_progress(task) {
            Some(Progress::Write { answers: false, .. }) => {}
            Some(Progress::Write { transfer, .. }) => {
                let outcome = unit.unit.borrow_mut().finish(transfer);
                for nexus in &outcome.abort {
                    let tasks = unit.lu.tasks.borrow().clone();
                    for other in tasks.iter().filter(|other| !Rc::ptr_eq(other, task)) {
                        if nexus_of(other).id == *nexus {
                            kernel.stmf().abort_task(other);
                        }
                    }
                }
                send(kernel, task, outcome.completion).await;
            }
            Some(Progress::Fetch { data, .. }) => {
                let length = parameter_list_length(&task.command.cdb);
                task.command_length.set(length.unwrap_or(data.len() as u32));
                set_progress(task, Progress::Proxied);
                kernel.stmf().proxy_command(task, data).await;
            }
            _ => {}
        }
    }
}

/// Whether the LU takes commands of this nexus. A task that was made before the LU knew the
/// nexus, when it has come to know it since, is answered BUSY: its nexus cannot be made twice.
fn admit(unit: &SbdLu, task: &Rc<Task>, nexus: &Nexus) -> Result<(), Completion> {
    let known_when_made = match take_progress(task) {
        Some(Progress::Allocated { nexus_known }) => nexus_known,
        _ => true,
    };
    let mut unit = unit.unit.borrow_mut();
    if !known_when_made && unit.knows(nexus) {
        return Err(Completion::BUSY);
    }
    if unit.admit(nexus) {
        Ok(())
    } else {
        Err(Completion::BUSY)
    }
}

async fn send(kernel: &Kernel, task: &Rc<Task>, completion: Completion) {
    let sense = completion.sense.map(|sense| sense.to_bytes());
    let sense = sense.as_ref().map_or(&[][..], |bytes| &bytes[..]);
    if !completion.is_good() && task.transferred.get() == 0 {
        task.command_length.set(0);
    }
    kernel
        .stmf()
        .send_status(task, completion.status.0, sense)
        .await;
}

fn clamp(length: u64) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn nexus_of(task: &Task) -> Nexus {
    nexus_between(&task.session, &task.port)
}

fn nexus_between(session: &Session, port: &LocalPort) -> Nexus {
    Nexus {
        session_id: session.id,
        id: NexusId {
            initiator: session.rport.as_slice().into(),
            target_port: port.id.ident.as_slice().into(),
        },
        relative_port_id: port.relative_port_id.get(),
        through_proxy: port.proxy,
    }
}

/// What sbd keeps with a task, behind the `Any` of the task.
type ProgressCell = RefCell<Option<Progress>>;

fn progress_cell(task: &Task) -> Rc<ProgressCell> {
    let mut private = task.lu_private.borrow_mut();
    if let Some(cell) = private.clone().and_then(|private| private.downcast().ok()) {
        return cell;
    }
    let cell = Rc::new(ProgressCell::default());
    *private = Some(cell.clone());
    cell
}

fn set_progress(task: &Task, progress: Progress) {
    *progress_cell(task).borrow_mut() = Some(progress);
}

fn take_progress(task: &Task) -> Option<Progress> {
    progress_cell(task).borrow_mut().take()
}

impl LuProvider for SbdProvider {
    fn name(&self) -> &str {
        PROVIDER_NAME
    }

    fn task_allocated(&self, _: &Kernel, task: &Rc<Task>) {
        let Some(unit) = self.unit_of(task) else {
            return;
        };
        let nexus_known = unit.unit.borrow().knows(&nexus_of(task));
        set_progress(task, Progress::Allocated { nexus_known });
    }

    fn new_task<'a>(
        &'a self,
        kernel: &'a Kernel,
        task: &'a Rc<Task>,
        initial: Option<Rc<DataBuffer>>,
    ) -> Pending<'a, ()> {
        Box::pin(async move {
            if task.command.management_function != 0 {
                let Some(unit) = self.unit_of(task) else {
                    return;
                };
                return match admit(&unit, task, &nexus_of(task)) {
                    Ok(()) => kernel.stmf().manage(task).await,
                    Err(completion) => send(kernel, task, completion).await,
                };
            }
            let active = task.lu.as_ref().and_then(|lu| self.access_state(lu.id))
                == Some(AccessState::Active);
            if self.holding.get() && active {
                self.held.borrow_mut().push((task.clone(), initial));
                return;
            }
            self.execute(kernel, task, initial).await;
        })
    }

    fn transfer_done<'a>(
        &'a self,
        kernel: &'a Kernel,
        task: &'a Rc<Task>,
        buffer: Rc<DataBuffer>,
    ) -> Pending<'a, ()> {
        Box::pin(async move {
            let Some(unit) = self.unit_of(task) else {
                return;
            };
            let ours = {
                let cell = progress_cell(task);
                let progress = cell.borrow();
                match &*progress {
                    Some(Progress::Read { .. }) => buffer.to_initiator,
                    Some(Progress::Write { .. } | Progress::Fetch { .. }) => !buffer.to_initiator,
                    _ => false,
                }
            };
            if !ours {
                if task.proxy_msgid.get() != 0 {
                    kernel.stmf().proxied_transfer_done(task, buffer).await;
                }
                return;
            }
            if buffer.status.get() != 0 {
                return kernel.stmf().abort_task(task);
            }
            if buffer.to_initiator {
                let sent = task.transferred.get() + buffer.data.borrow().len() as u32;
                task.transferred.set(sent);
                self.send_piece(kernel, &unit, task, None).await;
            } else {
                self.received(kernel, &unit, task, &buffer).await;
            }
        })
    }

    fn abort<'a>(&'a self, _: &'a Kernel, task: &'a Rc<Task>) -> Pending<'a, AbortOutcome> {
        Box::pin(async move {
            self.held
                .borrow_mut()
                .retain(|(held, _)| !Rc::ptr_eq(held, task));
            take_progress(task);
            AbortOutcome::Done
        })
    }

    fn task_freed(&self, _: &Kernel, task: &Rc<Task>) {
        self.held
            .borrow_mut()
            .retain(|(held, _)| !Rc::ptr_eq(held, task));
    }

    fn session_ended(&self, _: &Kernel, lu: &Rc<Lu>, session: &Rc<Session>) {
        let unit = self.lus.borrow().get(&lu.id).cloned();
        if let (Some(unit), Some(port)) = (unit, session.port.upgrade()) {
            let nexus = nexus_between(session, &port);
            let mut unit = unit.unit.borrow_mut();
            if unit.knows(&nexus) {
                unit.session_ended(session.id);
            }
        }
    }

    fn reset(&self, _: &Kernel, lu: &Rc<Lu>, by: &Rc<Session>) {
        if let Some(unit) = self.lus.borrow().get(&lu.id) {
            unit.unit.borrow_mut().reset(Some(by.id));
        }
    }

    fn peer_registered<'a>(
        &'a self,
        kernel: &'a Kernel,
        id: LuId,
        callback_argument: &'a [u8],
    ) -> Pending<'a, ()> {
        Box::pin(async move {
            let known = self.lus.borrow().get(&id).cloned();
            if let Some(unit) = known {
                unit.unit.borrow_mut().become_standby();
                return;
            }
            let Some(disk) = self.disks.disk(id, callback_argument) else {
                kernel.warn("the peer registers a LU whose disk is not found here");
                return;
            };
            let Some(provider) = kernel.stmf().provider(PROVIDER_NAME.as_bytes()) else {
                return;
            };
            match self.make(
                kernel,
                provider,
                id,
                callback_argument.to_vec(),
                disk,
                false,
            ) {
                Ok(lu) => kernel.stmf().register_lu(lu).await,
                Err(error) => kernel.warn(format!("the peer registers a LU: {error}")),
            }
        })
    }

    fn peer_deregistered<'a>(
        &'a self,
        kernel: &'a Kernel,
        id: LuId,
        _: &'a [u8],
    ) -> Pending<'a, ()> {
        Box::pin(async move {
            if self.remove(kernel, id).await.is_err() {
                kernel.warn("the peer takes away a LU that is not known here");
            }
        })
    }
}

/// The node around a LU, as REPORT TARGET PORT GROUPS tells of it.
struct Neighbourhood(Kernel);

impl Environment for Neighbourhood {
    fn alua_enabled(&self) -> bool {
        self.0.stmf().alua().0
    }

    fn target_port_group(&self, nexus: &Nexus) -> u16 {
        let (_, node) = self.0.stmf().alua();
        if nexus.through_proxy {
            1 - node.min(1)
        } else {
            node
        }
    }

    fn target_port_groups(&self) -> Vec<TargetPortGroup> {
        let (_, node) = self.0.stmf().alua();
        let ports = self.0.stmf().ports();
        let ids = |proxy: bool| {
            let group = ports.iter().filter(|port| port.proxy == proxy);
            let mut ids: Vec<u16> = group.map(|port| port.relative_port_id.get()).collect();
            ids.sort_unstable();
            ids
        };
        TargetPortGroup::of_two_nodes(node, ids(false), 1 - node.min(1), ids(true))
    }
}
