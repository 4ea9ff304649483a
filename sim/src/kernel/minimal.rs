// SPDX-License-Identifier: MPL-2.0
//! A LU provider that does the least that commands through a proxy port need: the one behind the
//! recordings of the active side.
//!
//! It knows TEST UNIT READY, READ(10), WRITE(10) from the data that comes with the command, and
//! task management; everything else is an invalid operation code. It has no unit attentions, no
//! reservations and no part in ALUA, so messages of the peer about LUs never reach it.

use super::Kernel;
use super::stmf::types::{AbortOutcome, Access, DataBuffer, Lu, LuId, LuProvider, Pending, Task};
use crate::scsi::{Sense, Status, be, opcode};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use stmf_proxy::message::status::task_flags;

/// Bytes of a block.
pub const BLOCK: u64 = 512;

/// The largest transfer whose status the port is asked to send along, in bytes.
const SMALL_READ_MAX: usize = 128 << 10;

/// Where a read has got to.
struct Transfer {
    /// Byte of the LU at which the command begins.
    start: u64,
    /// Bytes to move in all.
    length: usize,
    /// Bytes moved, or on their way.
    given: Cell<usize>,
}

/// A command that waits, and the data that came with it.
type HeldCommand = (Rc<Task>, Option<Rc<DataBuffer>>);

/// A LU in memory, and the provider that serves it.
pub struct MinimalLu {
    name: String,
    data: RefCell<Vec<u8>>,
    on_hold: Cell<bool>,
    held: RefCell<VecDeque<HeldCommand>>,
}

/// The byte at `offset` of a LU of the recordings that nobody has written to.
pub fn pattern(offset: u64) -> u8 {
    (offset ^ (offset >> 9)) as u8
}

impl MinimalLu {
    /// A LU of so many blocks, filled with [`pattern`], and its provider of this name.
    pub fn new(name: &str, blocks: u64) -> Rc<MinimalLu> {
        Rc::new(MinimalLu {
            name: name.into(),
            data: RefCell::new((0..blocks * BLOCK).map(pattern).collect()),
            on_hold: Cell::new(false),
            held: RefCell::default(),
        })
    }

    /// Registers the LU with stmf under this id, active.
    pub async fn register(self: &Rc<MinimalLu>, kernel: &Kernel, id: LuId) {
        let stmf = kernel.stmf();
        stmf.register_provider(self.clone());
        let lu = Lu {
            id,
            number: stmf.number_for(id),
            access: Cell::new(Access::Active),
            online: Cell::new(true),
            alua: false,
            callback_argument: Vec::new(),
            provider: self.clone(),
            tasks: RefCell::default(),
        };
        stmf.register_lu(Rc::new(lu)).await;
    }

    /// While on, commands wait; task management does not.
    pub fn hold(&self, on: bool) {
        self.on_hold.set(on);
    }

    /// Carries out the commands that wait, in the order in which they came.
    pub async fn release(&self, kernel: &Kernel) {
        while !self.on_hold.get() {
            let Some((task, initial)) = self.held.borrow_mut().pop_front() else {
                break;
            };
            self.execute(kernel, &task, initial).await;
        }
    }

    async fn execute(&self, kernel: &Kernel, task: &Rc<Task>, initial: Option<Rc<DataBuffer>>) {
        match task.command.cdb.first() {
            None | Some(&opcode::TEST_UNIT_READY) => good(kernel, task).await,
            Some(&opcode::READ_10) => self.read(kernel, task, initial).await,
            Some(&opcode::WRITE_10) => self.write(kernel, task, initial).await,
            Some(_) => check(kernel, task, Sense::INVALID_OPCODE).await,
        }
    }

    /// What a READ(10) or WRITE(10) is about; none if that is beyond the end, which is answered.
    async fn range(&self, kernel: &Kernel, task: &Rc<Task>) -> Option<Transfer> {
        let cdb = &task.command.cdb;
        let start = be(cdb, 2, 4) * BLOCK;
        let asked = be(cdb, 7, 2) * BLOCK;
        if start + asked > self.data.borrow().len() as u64 {
            check(kernel, task, Sense::LBA_OUT_OF_RANGE).await;
            return None;
        }
        // At most 65,535 blocks.
        task.command_length.set(asked as u32);
        let length = (task.command.expected_length as usize).min(asked as usize);
        Some(Transfer {
            start,
            length,
            given: Cell::new(0),
        })
    }

    async fn read(&self, kernel: &Kernel, task: &Rc<Task>, initial: Option<Rc<DataBuffer>>) {
        let Some(transfer) = self.range(kernel, task).await else {
            return;
        };
        if transfer.length == 0 {
            return good(kernel, task).await;
        }
        // Data that came with the command is the buffer for the first piece, whatever its size.
        let buffer = initial.map(|initial| initial.data.take());
        *task.lu_private.borrow_mut() = Some(Rc::new(transfer));
        self.send_next(kernel, task, buffer).await;
    }

    /// Sends the next piece of a read, in `buffer` if there is one already: that goes out as a
    /// whole, so what stands behind a short last piece goes with it.
    async fn send_next(&self, kernel: &Kernel, task: &Rc<Task>, buffer: Option<Vec<u8>>) {
        let Some(transfer) = transfer_of(task) else {
            return;
        };
        let (given, length) = (transfer.given.get(), transfer.length);
        let size = match &buffer {
            Some(buffer) => buffer.len(),
            None => (length - given).min(task.port.buffer_size as usize),
        };
        let piece = size.min(length - given);
        let mut bytes = buffer.unwrap_or_default();
        bytes.resize(size, 0);
        let from = transfer.start as usize + given;
        bytes[..piece].copy_from_slice(&self.data.borrow()[from..from + piece]);
        transfer.given.set(given + piece);
        let buffer = DataBuffer::new(bytes, given as u32, true);
        let small = piece == length && length <= SMALL_READ_MAX;
        if small && task.command.expected_length == task.command_length.get() {
            buffer.status_good_follows.set(true);
        }
        kernel.stmf().transfer(task, buffer).await;
    }

    async fn write(&self, kernel: &Kernel, task: &Rc<Task>, initial: Option<Rc<DataBuffer>>) {
        let Some(transfer) = self.range(kernel, task).await else {
            return;
        };
        if transfer.length == 0 {
            return good(kernel, task).await;
        }
        let bytes = initial
            .map(|initial| initial.data.take())
            .unwrap_or_default();
        if bytes.len() > transfer.length {
            return kernel.stmf().abort_task(task);
        }
        let from = transfer.start as usize;
        self.data.borrow_mut()[from..from + bytes.len()].copy_from_slice(&bytes);
        task.transferred.set(bytes.len() as u32);
        let complete = bytes.len() == transfer.length;
        if complete && task.command.flags & task_flags::INITIAL_BURST != 0 {
            return good(kernel, task).await;
        }
        // The rest has to be asked for; a proxy port cannot, and the task stays.
        let rest = DataBuffer::new(
            vec![0; transfer.length - bytes.len()],
            bytes.len() as u32,
            false,
        );
        kernel.stmf().transfer(task, rest).await;
    }
}

fn transfer_of(task: &Task) -> Option<Rc<Transfer>> {
    task.lu_private.borrow().clone()?.downcast().ok()
}

async fn good(kernel: &Kernel, task: &Rc<Task>) {
    kernel.stmf().send_status(task, Status::GOOD.0, &[]).await;
}

async fn check(kernel: &Kernel, task: &Rc<Task>, sense: Sense) {
    kernel.stmf().send_check_condition(task, sense).await;
}

impl LuProvider for MinimalLu {
    fn name(&self) -> &str {
        &self.name
    }

    fn new_task<'a>(
        &'a self,
        kernel: &'a Kernel,
        task: &'a Rc<Task>,
        initial: Option<Rc<DataBuffer>>,
    ) -> Pending<'a, ()> {
        Box::pin(async move {
            if task.command.management_function != 0 {
                kernel.stmf().manage(task).await;
            } else if self.on_hold.get() || !self.held.borrow().is_empty() {
                self.held.borrow_mut().push_back((task.clone(), initial));
            } else {
                self.execute(kernel, task, initial).await;
            }
        })
    }

    fn transfer_done<'a>(
        &'a self,
        kernel: &'a Kernel,
        task: &'a Rc<Task>,
        buffer: Rc<DataBuffer>,
    ) -> Pending<'a, ()> {
        Box::pin(async move {
            if buffer.status.get() != 0 {
                return kernel.stmf().abort_task(task);
            }
            let Some(transfer) = transfer_of(task) else {
                return;
            };
            task.transferred.set(transfer.given.get() as u32);
            if transfer.given.get() < transfer.length {
                self.send_next(kernel, task, Some(buffer.data.take())).await;
            } else {
                good(kernel, task).await;
            }
        })
    }

    fn abort<'a>(&'a self, _: &'a Kernel, task: &'a Rc<Task>) -> Pending<'a, AbortOutcome> {
        Box::pin(async move {
            self.held
                .borrow_mut()
                .retain(|(held, _)| !Rc::ptr_eq(held, task));
            AbortOutcome::Done
        })
    }

    fn task_freed(&self, _: &Kernel, task: &Rc<Task>) {
        self.held
            .borrow_mut()
            .retain(|(held, _)| !Rc::ptr_eq(held, task));
    }

    fn peer_registered<'a>(&'a self, _: &'a Kernel, _: LuId, _: &'a [u8]) -> Pending<'a, ()> {
        Box::pin(async {})
    }

    fn peer_deregistered<'a>(&'a self, _: &'a Kernel, _: LuId, _: &'a [u8]) -> Pending<'a, ()> {
        Box::pin(async {})
    }
}
