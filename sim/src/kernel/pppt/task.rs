// SPDX-License-Identifier: MPL-2.0
//! Commands that run here for the peer: tasks of stmf on a proxy port, whose data and status go
//! out through the door.

use super::Pppt;
use super::counters::count;
use super::session::ProxySession;
use super::target::{Target, TargetEvent};
use crate::kernel::stmf::types::{
    AbortOutcome, Command, DataBuffer, Pending, PortCommand, PortProvider, Task,
};
use crate::kernel::{Allocation, Kernel};
use std::cell::{Cell, OnceCell, RefCell};
use std::cmp::Ordering;
use std::rc::{Rc, Weak};
use stmf_proxy::message::status::{self, residual_flags, task_flags};
use stmf_proxy::message::{Body, Message, ScsiCommand, ScsiData, ScsiStatus};

/// The SCSI status GOOD.
const GOOD: u8 = 0;

/// How far a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskState {
    /// Being made.
    Init,
    /// With stmf.
    Active,
    /// Its status is being sent.
    Done,
    /// Its status was sent, or could not be.
    SentStatus,
    /// Given up.
    Aborted,
}

/// A command of the peer's.
pub(crate) struct ProxyTask {
    /// The id that the peer gave it.
    pub(super) msgid: u64,
    pub(super) state: Cell<TaskState>,
    lun_id: [u8; 16],
    session: Weak<ProxySession>,
    stmf: OnceCell<Weak<Task>>,
    /// Read data that was sent and is to be confirmed. It stays when it has been, until the next.
    buffer: RefCell<Option<Rc<DataBuffer>>>,
    /// That data did not arrive (small reads only: others are aborted then).
    transfer_failed: Cell<bool>,
    /// Freed while somebody was still at work on it: only where tasks are not held.
    freed_in_use: Cell<bool>,
}

impl ProxyTask {
    /// The task as stmf knows it, unless it is gone.
    pub(super) fn stmf_task(&self) -> Option<Rc<Task>> {
        self.stmf.get()?.upgrade()
    }

    /// Whether read data was sent; if so, whether it is that of a small read, which the status
    /// follows by itself.
    pub(super) fn data_sent(&self) -> Option<bool> {
        let buffer = self.buffer.borrow();
        buffer
            .as_ref()
            .map(|buffer| buffer.status_good_follows.get())
    }

    /// The task is not found by its id any more.
    fn leave_session(self: &Rc<ProxyTask>) {
        if let Some(session) = self.session.upgrade() {
            let mut tasks = session.tasks.borrow_mut();
            // Another command may have come with the same id.
            if tasks
                .get(&self.msgid)
                .is_some_and(|task| Rc::ptr_eq(task, self))
            {
                tasks.remove(&self.msgid);
            }
        }
    }

    fn session_id(&self) -> u64 {
        self.session.upgrade().map_or(0, |session| session.id)
    }
}

/// What pppt keeps with a task of stmf.
fn proxy_task(task: &Task) -> Option<Rc<ProxyTask>> {
    task.port_private.borrow().clone()?.downcast().ok()
}

impl Pppt<'_> {
    /// Starts a command of the peer's. The status is for the peer; there is none if the command
    /// was started or has to be dropped silently.
    pub(super) async fn start_command(&self, command: ScsiCommand) -> Result<(), u64> {
        let counters = &self.state().counters;
        let session = self.session_for(&command).await?;
        if self.0.allocation_fails(Allocation::ProxyTask) {
            count(&counters.scmd_ptask_alloc_fail);
            session.release();
            return Ok(());
        }
        if session.tasks.borrow().contains_key(&command.task_msgid) {
            count(&counters.scmd_dup_task_count);
            if self.0.defects().unheld_tasks {
                let reason = format!(
                    "bad mutex: task {:#x} of the peer is freed twice: its id is in use",
                    command.task_msgid
                );
                return self.0.panic(None, reason).await;
            }
            session.release();
            return Err(status::ALREADY);
        }
        let burst_without_data =
            command.task_flags & task_flags::INITIAL_BURST != 0 && command.immed_data.is_empty();
        if burst_without_data && !self.0.has_traps() {
            self.0
                .warn("pppt: command refused: initial burst announced, but no data came");
            session.release();
            return Err(status::INVALID_ARG);
        }
        let task = Rc::new(ProxyTask {
            msgid: command.task_msgid,
            state: Cell::new(TaskState::Init),
            lun_id: command.lun_id,
            session: Rc::downgrade(&session),
            stmf: OnceCell::new(),
            buffer: RefCell::new(None),
            transfer_failed: Cell::new(false),
            freed_in_use: Cell::new(false),
        });
        // The caller's hold on the session is the task's from now on.
        session.tasks.borrow_mut().insert(task.msgid, task.clone());
        let to_stmf = Command {
            lun: command.task_lun_no,
            cdb: command.task_cdb,
            expected_length: command.task_expected_xfer_length,
            flags: command.task_flags,
            management_function: command.task_mgmt_function,
        };
        let stmf_task = match self.0.allocation_fails(Allocation::StmfTask) {
            true => None,
            false => self.0.stmf().allocate_task(&session.stmf, to_stmf),
        };
        let Some(stmf_task) = stmf_task else {
            count(&counters.scmd_stask_alloc_fail);
            task.leave_session();
            session.release();
            return Ok(());
        };
        let _ = task.stmf.set(Rc::downgrade(&stmf_task));
        *stmf_task.port_private.borrow_mut() = Some(task.clone());
        task.state.set(TaskState::Active);
        if burst_without_data {
            let reason = "a command announces an initial burst, and brings no data buffer";
            self.0.panic(9, reason).await
        }
        let initial = match command.immed_data {
            none if none.is_empty() => None,
            data => Some(DataBuffer::new(data, 0, false)),
        };
        self.0.stmf().post_task(&stmf_task, initial);
        Ok(())
    }

    /// The task with this id: in the order of targets, then of sessions, whatever session it
    /// belongs to. The global lock is held.
    pub(super) fn find_task(&self, msgid: u64) -> Option<Rc<ProxyTask>> {
        let targets = self.state().targets.borrow();
        targets.iter().find_map(|target| {
            let sessions = target.sessions.borrow();
            sessions
                .values()
                .find_map(|session| session.tasks.borrow().get(&msgid).cloned())
        })
    }

    /// The peer says what became of the read data of a task.
    pub(super) async fn read_transfer_done(&self, task: &Rc<ProxyTask>, outcome: u64) {
        let Some(stmf_task) = task.stmf_task() else {
            return;
        };
        let Some(buffer) = task.buffer.borrow().clone() else {
            return self.unexpected(task, "no read data is outstanding").await;
        };
        let small = buffer.status_good_follows.get();
        match (small, outcome) {
            _ if task.state.get() == TaskState::Done => {
                // The status is on its way: a duplicate.
                if !(small && outcome == status::SUCCESS) {
                    self.unexpected(task, "its status is being sent").await;
                }
            }
            (false, _) => {
                buffer.status.set(outcome);
                self.0.stmf().transfer_done(&stmf_task, buffer);
            }
            (true, status::SUCCESS) => {
                stmf_task.status.set(GOOD);
                if self.send_status(task, &stmf_task).await != status::SUCCESS {
                    let reason = "a task is used after it was freed: the status of a small read \
                                  could not be sent";
                    if self.0.has_traps() {
                        self.0.panic(7, reason).await
                    }
                    self.0
                        .warn("pppt: the status of a small read could not be sent");
                }
                self.status_sent(task, &stmf_task);
                self.0.stmf().status_done(&stmf_task, status::SUCCESS);
            }
            (true, _) if task.transfer_failed.replace(true) => {
                self.unexpected(task, "its read data has failed already")
                    .await;
            }
            // Nobody is told: the task stays.
            (true, _) => {}
        }
    }

    async fn unexpected(&self, task: &ProxyTask, why: &str) {
        let reason = format!(
            "unexpected completion of a transfer for task {}: {why}",
            task.msgid
        );
        if self.0.has_traps() {
            return self.0.panic(3, reason).await;
        }
        self.0.warn(format!("pppt: {reason}"));
    }

    /// Sends status and sense of a task to the peer; after that the task is not found by its id
    /// any more, whether they went out or not.
    async fn send_status(&self, task: &Rc<ProxyTask>, stmf_task: &Rc<Task>) -> u64 {
        task.state.set(TaskState::Done);
        let expected = stmf_task.command.expected_length;
        let length = stmf_task.command_length.get();
        let (flags, resid) = match length.cmp(&expected) {
            Ordering::Equal => (0, 0),
            Ordering::Greater => (residual_flags::OVERFLOW, length - expected),
            Ordering::Less => (residual_flags::UNDERFLOW, expected - length),
        };
        let body = ScsiStatus {
            task_msgid: task.msgid,
            session_id: task.session_id(),
            lun_id: task.lun_id,
            response: 0,
            status: stmf_task.status.get(),
            flags,
            resid,
            sense: stmf_task.sense.take(),
        };
        let message = Message {
            msgid: 0,
            body: Body::ScsiStatus(body),
        };
        let outcome = self.0.stmf().transmit(&message).await;
        task.leave_session();
        outcome
    }

    /// The status has gone out. Where tasks are not held for those who are at work on them, one
    /// that is being aborted is freed here.
    fn status_sent(&self, task: &ProxyTask, stmf_task: &Task) {
        task.state.set(TaskState::SentStatus);
        if self.0.defects().unheld_tasks && stmf_task.flags.get().aborting {
            task.freed_in_use.set(true);
        }
    }

    async fn transfer(&self, task: &Rc<Task>, buffer: Rc<DataBuffer>) -> u64 {
        let Some(proxy) = proxy_task(task) else {
            return status::FAILURE;
        };
        if proxy.state.get() != TaskState::Active {
            return status::ABORTED;
        }
        if !buffer.to_initiator {
            // There is no way to ask the peer for more write data: this never ends.
            return status::SUCCESS;
        }
        *proxy.buffer.borrow_mut() = Some(buffer.clone());
        proxy.transfer_failed.set(false);
        let body = ScsiData {
            task_msgid: proxy.msgid,
            session_id: proxy.session_id(),
            lun_id: proxy.lun_id,
            data: buffer.data.take(),
        };
        let message = Message {
            msgid: 0,
            body: Body::ScsiData(body),
        };
        let outcome = self.0.stmf().transmit(&message).await;
        if let Body::ScsiData(ScsiData { data, .. }) = message.body {
            *buffer.data.borrow_mut() = data;
        }
        if outcome != status::SUCCESS && buffer.status_good_follows.get() {
            // As when the peer says that the data of a small read did not arrive.
            proxy.transfer_failed.set(true);
            return status::SUCCESS;
        }
        outcome
    }
}

/// A proxy port as stmf drives it.
pub(super) struct ProxyPort(pub(super) Rc<Target>);

impl PortProvider for ProxyPort {
    fn transfer<'a>(
        &'a self,
        kernel: &'a Kernel,
        task: &'a Rc<Task>,
        buffer: Rc<DataBuffer>,
    ) -> Pending<'a, u64> {
        Box::pin(async move { kernel.pppt().transfer(task, buffer).await })
    }

    fn send_status<'a>(&'a self, kernel: &'a Kernel, task: &'a Rc<Task>) -> Pending<'a, u64> {
        Box::pin(async move {
            let Some(proxy) = proxy_task(task) else {
                return status::FAILURE;
            };
            if proxy.state.get() != TaskState::Active {
                return status::ABORTED;
            }
            // A task whose status cannot be sent is over all the same.
            let outcome = kernel.pppt().send_status(&proxy, task).await;
            kernel.pppt().status_sent(&proxy, task);
            kernel.stmf().status_done(task, outcome);
            status::SUCCESS
        })
    }

    fn abort<'a>(&'a self, kernel: &'a Kernel, task: &'a Rc<Task>) -> Pending<'a, AbortOutcome> {
        Box::pin(async move {
            let Some(proxy) = proxy_task(task) else {
                return AbortOutcome::NotFound;
            };
            if proxy.freed_in_use.get() {
                let reason = format!(
                    "bad mutex: task {:#x} of the peer was freed when its status had gone out, \
                     and the thread that aborts it still uses it",
                    proxy.msgid
                );
                return kernel.panic(None, reason).await;
            }
            match proxy.state.get() {
                TaskState::Init | TaskState::Active => {
                    proxy.state.set(TaskState::Aborted);
                    proxy.leave_session();
                    AbortOutcome::Done
                }
                TaskState::Done => AbortOutcome::Busy,
                TaskState::SentStatus => AbortOutcome::Done,
                TaskState::Aborted => AbortOutcome::NotFound,
            }
        })
    }

    fn task_freed(&self, _: &Kernel, task: &Rc<Task>) {
        if let Some(proxy) = proxy_task(task) {
            proxy.leave_session();
            if let Some(session) = proxy.session.upgrade() {
                session.release();
            }
        }
    }

    fn control<'a>(&'a self, kernel: &'a Kernel, command: PortCommand) -> Pending<'a, ()> {
        Box::pin(async move {
            kernel
                .pppt()
                .dispatch(&self.0, TargetEvent::Control(command));
        })
    }
}
