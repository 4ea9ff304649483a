// SPDX-License-Identifier: MPL-2.0
//! The life of a task: made, given to its LU, data and status on the way, aborted, freed.
//!
//! What happens to a task happens in its worker thread, one thing after the other; the thread
//! is there only while there is work. Who holds a task (LU, port) must let go before it is freed.

use super::Stmf;
use super::types::*;
use std::rc::Rc;
use std::time::Duration;

/// How long stmf waits before it asks a busy provider again to give a task up.
const ABORT_AGAIN_AFTER: Duration = Duration::from_millis(20);

impl Stmf<'_> {
    /// Makes a task. The LU is looked up by `command.lun`; a number without LU makes a task that
    /// stmf answers itself. None: the session's port is gone.
    pub fn allocate_task(&self, session: &Rc<Session>, command: Command) -> Option<Rc<Task>> {
        let port = session.port.upgrade()?;
        let lu = {
            let lus = self.state().lus.borrow();
            lus.iter()
                .find(|lu| lu.number == command.lun && lu.online.get())
                .cloned()
        };
        let now = self.0.executor().now();
        let number = self.0.next_number();
        let task = Task::new(number, command, port, session.clone(), lu, now);
        self.state().tasks.borrow_mut().insert(number, task.clone());
        if let Some(lu) = &task.lu {
            if self.0.defects().keep_message_ids {
                self.reuse_structure(lu, &task);
            }
            lu.tasks.borrow_mut().insert(0, task.clone());
            lu.provider.task_allocated(self.0, &task);
        }
        Some(task)
    }

    /// The new task is made of the structure of the last one that was freed on its LU, with the
    /// message id that is still in it.
    fn reuse_structure(&self, lu: &Lu, task: &Task) {
        let mut free = self.state().free_structures.borrow_mut();
        if let Some(place) = free.iter().rposition(|(of, _)| *of == lu.id) {
            task.proxy_msgid.set(free.remove(place).1);
        }
    }

    /// Gives a task to the framework: its worker thread takes it to the LU.
    pub fn post_task(&self, task: &Rc<Task>, initial: Option<Rc<DataBuffer>>) {
        if self.state().holding.get() {
            let mut held = self.state().held.borrow_mut();
            held.insert(task.number, (task.clone(), initial));
            return;
        }
        self.work(task, Work::New(initial));
    }

    /// While on, new tasks wait, each until it is released; they can be aborted meanwhile. So a
    /// replay lets each begin when the recorded one did.
    pub fn hold_tasks(&self, on: bool) {
        self.state().holding.set(on);
    }

    /// Lets a task that waits begin. False if none of that number waits.
    pub fn release_task(&self, number: u64) -> bool {
        let held = self.state().held.borrow_mut().remove(&number);
        let Some((task, initial)) = held else {
            return false;
        };
        self.work(&task, Work::New(initial));
        true
    }

    /// A transfer has ended (`buffer.status` tells how); the LU hears of it in the task's worker
    /// thread.
    pub fn transfer_done(&self, task: &Rc<Task>, buffer: Rc<DataBuffer>) {
        let flags = task.flags.get();
        if flags.freed && !flags.aborting {
            return self.finished_twice(task);
        }
        if !flags.aborting && !flags.freed && !flags.status_sent {
            self.work(task, Work::TransferDone(buffer));
        }
    }

    /// The status has reached the initiator, or never will (`status` tells): the task is over.
    pub fn status_done(&self, task: &Rc<Task>, _status: u64) {
        let flags = task.flags.get();
        if flags.freed && !flags.aborting {
            return self.finished_twice(task);
        }
        if !flags.aborting {
            self.free(task);
        }
    }

    /// The port has finished something for a task that was over before: it was completed twice
    /// (trap 11), which the real kernel does not survive.
    fn finished_twice(&self, task: &Rc<Task>) {
        let reason = format!("{task}: finished by its port after it was over");
        if !self.0.has_traps() {
            return self.0.warn(reason);
        }
        let kernel = self.0.clone();
        self.0
            .spawn("port", async move { kernel.panic(11, reason).await });
    }

    /// Begins to abort a task: in its worker thread the LU, then the port are told until both
    /// have let go; then the port's `task_freed` is called.
    pub fn abort_task(&self, task: &Rc<Task>) {
        let flags = task.flags.get();
        if flags.aborting || flags.freed {
            return;
        }
        task.update(|flags| flags.aborting = true);
        self.work(task, Work::Abort);
    }

    /// Hands a buffer to the port. A transfer that does not begin aborts the task.
    pub(crate) async fn transfer(&self, task: &Rc<Task>, buffer: Rc<DataBuffer>) {
        let flags = task.flags.get();
        if flags.aborting || flags.freed {
            return;
        }
        let port = task.port.clone();
        if port.provider.transfer(self.0, task, buffer).await != 0 {
            self.abort_task(task);
        }
    }

    /// Sends status and sense to the initiator, unless the task is being aborted or has had a
    /// status. A status that cannot be sent aborts the task.
    pub(crate) async fn send_status(&self, task: &Rc<Task>, status: u8, sense: &[u8]) {
        let flags = task.flags.get();
        if flags.aborting || flags.freed || flags.status_sent {
            return;
        }
        task.update(|flags| flags.status_sent = true);
        task.status.set(status);
        *task.sense.borrow_mut() = sense.to_vec();
        let port = task.port.clone();
        if port.provider.send_status(self.0, task).await != 0 {
            self.abort_task(task);
        }
    }

    fn work(&self, task: &Rc<Task>, work: Work) {
        task.work.borrow_mut().push_back(work);
        if task.worker.replace(true) {
            return;
        }
        let (kernel, task) = (self.0.clone(), task.clone());
        self.0.spawn("stmf worker", async move {
            loop {
                let Some(work) = task.work.borrow_mut().pop_front() else {
                    break;
                };
                kernel.stmf().do_work(&task, work).await;
            }
            task.worker.set(false);
        });
    }

    async fn do_work(&self, task: &Rc<Task>, work: Work) {
        let flags = task.flags.get();
        if flags.freed || (flags.aborting && !matches!(work, Work::Abort)) {
            return;
        }
        match work {
            Work::New(initial) => self.start(task, initial).await,
            Work::TransferDone(buffer) => match &task.lu {
                Some(lu) if !self.is_own_command(task) => {
                    let lu = lu.clone();
                    lu.provider.transfer_done(self.0, task, buffer).await;
                }
                _ => self.own_transfer_done(task).await,
            },
            Work::Abort => self.do_abort(task).await,
        }
    }

    async fn start(&self, task: &Rc<Task>, initial: Option<Rc<DataBuffer>>) {
        if self.answer_inventory_change(task).await {
            return;
        }
        match &task.lu {
            Some(lu) if !self.is_own_command(task) => {
                let lu = lu.clone();
                lu.provider.new_task(self.0, task, initial).await;
            }
            _ => self.answer(task).await,
        }
    }

    async fn do_abort(&self, task: &Rc<Task>) {
        if let Some(lu) = &task.lu {
            let lu = lu.clone();
            while lu.provider.abort(self.0, task).await == AbortOutcome::Busy {
                self.0.executor().sleep(ABORT_AGAIN_AFTER).await;
            }
        }
        let port = task.port.clone();
        while port.provider.abort(self.0, task).await == AbortOutcome::Busy {
            self.0.executor().sleep(ABORT_AGAIN_AFTER).await;
        }
        self.free(task);
    }

    fn free(&self, task: &Rc<Task>) {
        if task.flags.get().freed {
            return;
        }
        task.update(|flags| flags.freed = true);
        self.state().held.borrow_mut().remove(&task.number);
        task.work.borrow_mut().clear();
        if let Some(lu) = &task.lu {
            if self.0.defects().keep_message_ids {
                let mut free = self.state().free_structures.borrow_mut();
                free.push((lu.id, task.proxy_msgid.get()));
            }
            lu.tasks
                .borrow_mut()
                .retain(|other| !Rc::ptr_eq(other, task));
            lu.provider.task_freed(self.0, task);
        }
        *task.lu_private.borrow_mut() = None;
        task.port.provider.task_freed(self.0, task);
        *task.port_private.borrow_mut() = None;
        self.state().tasks.borrow_mut().remove(&task.number);
        self.state().task_freed.notify_all();
    }
}
