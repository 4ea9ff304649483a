// SPDX-License-Identifier: MPL-2.0
//! A command on its way through sbd: begun, its data moved buffer by buffer, answered or handed
//! to the standby side of stmf.

use super::{Neighbourhood, SbdLu, SbdProvider};
use crate::kernel::Kernel;
use crate::kernel::sbd::{
    Execution, Nexus, NexusId, ReadTransfer, WriteTransfer, parameter_list_length,
};
use crate::kernel::stmf::types::*;
use crate::scsi::Completion;
use std::cell::RefCell;
use std::rc::Rc;

/// The largest read that is answered with its status in the same breath, in bytes.
const SMALL_READ_MAX: u32 = 131_072;

/// What sbd keeps with a task.
pub(super) enum Progress {
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

impl SbdProvider {
    pub(super) async fn execute(
        &self,
        kernel: &Kernel,
        task: &Rc<Task>,
        initial: Option<Rc<DataBuffer>>,
    ) {
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
        tell_disk_fault(kernel, &unit);
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
    pub(super) async fn send_piece(
        &self,
        kernel: &Kernel,
        unit: &SbdLu,
        task: &Rc<Task>,
        buffer: Option<Rc<DataBuffer>>,
    ) {
        wait_for_disk(kernel, unit, task).await;
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
        tell_disk_fault(kernel, unit);
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
    pub(super) async fn received(
        &self,
        kernel: &Kernel,
        unit: &SbdLu,
        task: &Rc<Task>,
        buffer: &Rc<DataBuffer>,
    ) {
        wait_for_disk(kernel, unit, task).await;
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
                tell_disk_fault(kernel, unit);
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

/// A slow disk takes its time for the next piece of a command.
async fn wait_for_disk(kernel: &Kernel, unit: &SbdLu, task: &Task) {
    let delay = {
        let unit = unit.unit.borrow();
        let mut disk = unit.disk().borrow_mut();
        if !disk.has_faults() {
            return;
        }
        let (start, done, length) = match &*progress_cell(task).borrow() {
            Some(Progress::Read { transfer, length }) => {
                (transfer.disk_offset(), task.transferred.get(), *length)
            }
            Some(Progress::Write {
                transfer,
                length,
                received,
                ..
            }) => (transfer.disk_offset(), *received, *length),
            _ => return,
        };
        let piece = length.saturating_sub(done).min(task.port.buffer_size);
        match start {
            Some(start) if piece > 0 => disk.delay(start + u64::from(done), piece.into()),
            _ => None,
        }
    };
    if let Some(delay) = delay {
        tell_disk_fault(kernel, unit);
        kernel.executor().sleep(delay).await;
    }
}

/// Tells of the damaged place that the disk has just met, if it has.
fn tell_disk_fault(kernel: &Kernel, unit: &SbdLu) {
    let met = unit.unit.borrow().disk().borrow_mut().take_untold();
    if let Some((kind, offset)) = met {
        kernel.tell_fault(kind.name(), &format!("byte {offset}"));
    }
}

/// Whether the LU takes commands of this nexus. A task that was made before the LU knew the
/// nexus, when it has come to know it since, is answered BUSY: its nexus cannot be made twice.
pub(super) fn admit(unit: &SbdLu, task: &Rc<Task>, nexus: &Nexus) -> Result<(), Completion> {
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

pub(super) async fn send(kernel: &Kernel, task: &Rc<Task>, completion: Completion) {
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

pub(super) fn nexus_of(task: &Task) -> Nexus {
    nexus_between(&task.session, &task.port)
}

pub(super) fn nexus_between(session: &Session, port: &LocalPort) -> Nexus {
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
pub(super) type ProgressCell = RefCell<Option<Progress>>;

pub(super) fn progress_cell(task: &Task) -> Rc<ProgressCell> {
    let mut private = task.lu_private.borrow_mut();
    if let Some(cell) = private.clone().and_then(|private| private.downcast().ok()) {
        return cell;
    }
    let cell = Rc::new(ProgressCell::default());
    *private = Some(cell.clone());
    cell
}

pub(super) fn set_progress(task: &Task, progress: Progress) {
    *progress_cell(task).borrow_mut() = Some(progress);
}

pub(super) fn take_progress(task: &Task) -> Option<Progress> {
    progress_cell(task).borrow_mut().take()
}
