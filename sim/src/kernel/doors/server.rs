// SPDX-License-Identifier: MPL-2.0
//! The serving side of doors: processes, their server threads, and answers.

use super::DoorError;
use crate::executor::Executor;
use crate::executor::sync::Condition;
use bytes::Bytes;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use stmf_proxy::status::Errno;

/// Answers the calls through a door.
pub trait DoorServer {
    /// A call. Real servers find the message on the stack of a server thread, and it is gone when
    /// they answer; here it can be kept without a copy. The answer goes through `reply`, at once or later; the server thread is busy until then.
    /// A reply that is dropped unanswered is a thread that died: the caller sees EINTR.
    ///
    /// This is called in the middle of the kernel: it may note down, wake and answer, nothing
    /// else.
    fn call(&self, message: &Bytes, reply: DoorReply);

    /// Nobody but this process refers to the door any more (DOOR_UNREF).
    fn unreferenced(&self) {}
}

/// How a process makes server threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerThreads {
    /// How many there can be at once; `None` if they are made as they are needed.
    pub most: Option<usize>,
    /// The stack of each, in bytes. The argument of a call has to fit it, less
    /// [`ServerThreads::RESERVE`].
    pub stack_bytes: usize,
}

impl ServerThreads {
    /// What a default thread of a 64-bit process has, in bytes.
    pub const DEFAULT_STACK: usize = 2 << 20;
    /// What the door mechanism keeps of each stack for itself, in bytes.
    pub const RESERVE: usize = 64 << 10;
}

impl Default for ServerThreads {
    /// As the library makes them: as needed, with default stacks.
    fn default() -> ServerThreads {
        ServerThreads {
            most: None,
            stack_bytes: ServerThreads::DEFAULT_STACK,
        }
    }
}

/// The server threads of a process, or of one private door.
pub(super) struct ThreadPool {
    settings: ServerThreads,
    executor: Executor,
    busy: Cell<usize>,
    /// For how many reasons all threads are busy, however many there are.
    occupied: Cell<u32>,
    /// Threads that died serving.
    lost: Cell<usize>,
    /// Callers that wait for a thread, first come first served.
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
}

struct Waiter {
    /// The thread that was handed over, or that the wait was interrupted.
    outcome: Cell<Option<Result<BusyThread, DoorError>>>,
    changed: Condition,
}

impl Waiter {
    fn end(&self, outcome: Result<BusyThread, DoorError>) {
        self.outcome.set(Some(outcome));
        self.changed.notify_all();
    }
}

/// A server thread that is busy until this is dropped.
pub(super) struct BusyThread {
    pool: Rc<ThreadPool>,
    /// It does not come back.
    died: Cell<bool>,
}

impl Drop for BusyThread {
    fn drop(&mut self) {
        let pool = &self.pool;
        pool.busy.set(pool.busy.get() - 1);
        if self.died.get() {
            pool.lost.set(pool.lost.get() + 1);
        }
        pool.serve_next();
    }
}

impl ThreadPool {
    fn new(executor: &Executor, settings: ServerThreads) -> Rc<ThreadPool> {
        Rc::new(ThreadPool {
            settings,
            executor: executor.clone(),
            busy: Cell::new(0),
            occupied: Cell::new(0),
            lost: Cell::new(0),
            waiting: RefCell::default(),
        })
    }

    /// The longest argument that fits a stack, in bytes.
    pub(super) fn room(&self) -> usize {
        self.settings
            .stack_bytes
            .saturating_sub(ServerThreads::RESERVE)
    }

    fn has_free(&self) -> bool {
        if self.occupied.get() > 0 {
            return false;
        }
        match self.settings.most {
            None => true,
            Some(most) => self.busy.get() < most.saturating_sub(self.lost.get()),
        }
    }

    fn occupy(self: &Rc<ThreadPool>) -> BusyThread {
        self.busy.set(self.busy.get() + 1);
        BusyThread {
            pool: self.clone(),
            died: Cell::new(false),
        }
    }

    /// Takes a thread, waiting for one if all are busy.
    pub(super) async fn take(
        self: &Rc<ThreadPool>,
        process: &Process,
    ) -> Result<BusyThread, DoorError> {
        if process.has_ended() {
            return Err(DoorError::ServerGone);
        }
        if self.has_free() && self.waiting.borrow().is_empty() {
            return Ok(self.occupy());
        }
        let waiter = Rc::new(Waiter {
            outcome: Cell::new(None),
            changed: Condition::new(&self.executor, "a server thread of the door"),
        });
        self.waiting.borrow_mut().push_back(waiter.clone());
        loop {
            waiter.changed.wait().await;
            if process.has_ended() {
                return Err(DoorError::ServerGone);
            }
            if let Some(outcome) = waiter.outcome.take() {
                return outcome;
            }
        }
    }

    /// A thread has come free: it is handed to who has waited longest. (If that caller is no
    /// more, nobody takes the thread out of the waiter, and it comes back here.)
    fn serve_next(self: &Rc<ThreadPool>) {
        if !self.has_free() {
            return;
        }
        let next = self.waiting.borrow_mut().pop_front();
        if let Some(waiter) = next {
            waiter.end(Ok(self.occupy()));
        }
    }

    fn interrupt_waiting(&self) {
        for waiter in self.waiting.take() {
            waiter.end(Err(DoorError::WaitInterrupted));
        }
    }

    /// All threads are busy with something else until [`ThreadPool::free_all`].
    pub(super) fn occupy_all(&self) {
        self.occupied.set(self.occupied.get() + 1);
    }

    /// The opposite: those who waited are served.
    pub(super) fn free_all(self: &Rc<ThreadPool>) {
        self.occupied.set(self.occupied.get() - 1);
        while self.has_free() && !self.waiting.borrow().is_empty() {
            self.serve_next();
        }
    }
}

/// A process that serves doors.
pub(super) struct Process {
    ended: Cell<bool>,
    threads: Rc<ThreadPool>,
    /// The pools of its private doors.
    private: RefCell<Vec<Rc<ThreadPool>>>,
    calls: RefCell<Vec<Rc<Call>>>,
}

impl Process {
    pub(super) fn new(executor: &Executor, threads: ServerThreads) -> Process {
        Process {
            ended: Cell::new(false),
            threads: ThreadPool::new(executor, threads),
            private: RefCell::default(),
            calls: RefCell::default(),
        }
    }

    pub(super) fn threads(&self) -> &Rc<ThreadPool> {
        &self.threads
    }

    /// Threads for a private door, made in the same way as the others.
    pub(super) fn new_pool(&self, executor: &Executor) -> Rc<ThreadPool> {
        let pool = ThreadPool::new(executor, self.threads.settings);
        self.private.borrow_mut().push(pool.clone());
        pool
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    pub(super) fn interrupt_waiting(&self) {
        self.threads.interrupt_waiting();
        for pool in self.private.borrow().iter() {
            pool.interrupt_waiting();
        }
    }

    pub(super) fn end(&self) {
        self.ended.set(true);
        self.interrupt_waiting();
        for call in self.calls.take() {
            call.finish(Err(DoorError::ServerDied));
        }
    }
}

/// A call in progress.
pub(super) struct Call {
    process: Rc<Process>,
    thread: Cell<Option<BusyThread>>,
    outcome: Cell<Option<Result<u32, DoorError>>>,
    done: OnceCell<Condition>,
}

impl Call {
    pub(super) fn begin(process: &Rc<Process>, thread: BusyThread) -> Rc<Call> {
        let call = Rc::new(Call {
            process: process.clone(),
            thread: Cell::new(Some(thread)),
            outcome: Cell::new(None),
            done: OnceCell::new(),
        });
        process.calls.borrow_mut().push(call.clone());
        call
    }

    fn is_finished(&self) -> bool {
        let thread = self.thread.take();
        let gone = thread.is_none();
        self.thread.set(thread);
        gone
    }

    /// The first outcome counts.
    fn finish(self: &Rc<Call>, outcome: Result<u32, DoorError>) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.outcome.set(Some(outcome));
        let mut calls = self.process.calls.borrow_mut();
        if let Some(place) = calls.iter().position(|call| Rc::ptr_eq(call, self)) {
            calls.swap_remove(place);
        }
        drop(calls);
        drop(thread);
        if let Some(done) = self.done.get() {
            done.notify_all();
        }
    }

    /// Waits for the outcome.
    pub(super) async fn wait(&self, executor: &Executor) -> Result<u32, DoorError> {
        loop {
            if let Some(outcome) = self.outcome.take() {
                return outcome;
            }
            self.done
                .get_or_init(|| Condition::new(executor, "the answer of the door server"))
                .wait()
                .await;
        }
    }
}

/// The answer to one call that is still due.
pub struct DoorReply(Rc<Call>);

impl DoorReply {
    pub(super) fn new(call: Rc<Call>) -> DoorReply {
        DoorReply(call)
    }

    /// `door_return(3C)`: the caller gets `result`, the server thread is free again. Too late
    /// if the process has ended meanwhile.
    pub fn answer(self, result: u32) {
        self.0.finish(Ok(result));
    }

    /// The call fails with `errno`, whatever the server would have said: for calls that are known
    /// to have failed (a replay).
    pub fn fail(self, errno: Errno) {
        self.0.finish(Err(DoorError::Injected(errno)));
    }

    /// Whether somebody still waits for the answer.
    pub fn is_awaited(&self) -> bool {
        !self.0.is_finished()
    }
}

impl Drop for DoorReply {
    fn drop(&mut self) {
        if let Some(thread) = self.0.thread.take() {
            thread.died.set(true);
            self.0.thread.set(Some(thread));
            self.0.finish(Err(DoorError::ServerDied));
        }
    }
}
