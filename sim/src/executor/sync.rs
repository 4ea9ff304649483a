// SPDX-License-Identifier: MPL-2.0
//! What simulated threads block on: mutexes, conditions and queues.
//!
//! A mutex is handed to its waiters in the order in which they came; who comes first is the
//! scheduler's choice. Locks are known to the executor by name, so that a deadlock can be told.

use super::{Executor, GroupId, ThreadId, Wait};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

struct MutexState {
    executor: Executor,
    index: u32,
    holder: Cell<Option<ThreadId>>,
    waiters: RefCell<VecDeque<ThreadId>>,
}

impl Drop for MutexState {
    fn drop(&mut self) {
        self.executor.unregister_lock(self.index);
    }
}

/// A simulated kernel mutex. It guards no data of its own: simulated threads switch only where
/// they wait, so data lives in cells beside it, and the mutex is there to make threads wait as
/// the real ones do.
#[derive(Clone)]
pub struct Mutex(Rc<MutexState>);

impl Mutex {
    /// An unlocked mutex, called `name` in reports, of a node or process.
    pub fn new(executor: &Executor, group: GroupId, name: &'static str) -> Mutex {
        Mutex(Rc::new(MutexState {
            executor: executor.clone(),
            index: executor.register_lock(group, name),
            holder: Cell::new(None),
            waiters: RefCell::default(),
        }))
    }

    /// Waits for the mutex and takes it.
    pub fn lock(&self) -> Lock<'_> {
        Lock {
            mutex: self,
            queued: None,
        }
    }

    /// Whether the calling thread holds the mutex.
    pub fn held_by_current(&self) -> bool {
        self.0.holder.get().is_some() && self.0.holder.get() == self.0.executor.current()
    }

    /// Whether anybody holds the mutex.
    pub fn is_held(&self) -> bool {
        self.0.holder.get().is_some()
    }

    fn take(&self, thread: ThreadId) -> MutexGuard {
        self.0.holder.set(Some(thread));
        self.0.executor.set_lock_holder(self.0.index, Some(thread));
        MutexGuard(self.clone())
    }

    fn release(&self) {
        self.0.holder.set(None);
        self.0.executor.set_lock_holder(self.0.index, None);
        // Waiters that ended with their group are passed over.
        let next = loop {
            let Some(waiter) = self.0.waiters.borrow().front().copied() else {
                return;
            };
            if self.0.executor.is_alive(waiter) {
                break waiter;
            }
            self.0.waiters.borrow_mut().pop_front();
        };
        self.0.executor.wake(next);
    }
}

/// The future of [`Mutex::lock`].
pub struct Lock<'a> {
    mutex: &'a Mutex,
    queued: Option<ThreadId>,
}

impl Future for Lock<'_> {
    type Output = MutexGuard;
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<MutexGuard> {
        let state = &self.mutex.0;
        let thread = state
            .executor
            .current()
            .expect("locks are taken by simulated threads only");
        let free = state.holder.get().is_none();
        let mut waiters = state.waiters.borrow_mut();
        let turn = match self.queued {
            None => waiters.is_empty(),
            Some(_) => waiters.front() == Some(&thread),
        };
        if free && turn {
            if self.queued.is_some() {
                waiters.pop_front();
            }
            drop(waiters);
            let guard = self.mutex.take(thread);
            self.queued = None;
            return Poll::Ready(guard);
        }
        if self.queued.is_none() {
            waiters.push_back(thread);
        }
        drop(waiters);
        state.executor.block(Wait::Lock(state.index));
        self.queued = Some(thread);
        Poll::Pending
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        if let Some(thread) = self.queued {
            let state = &self.mutex.0;
            state
                .waiters
                .borrow_mut()
                .retain(|waiter| *waiter != thread);
            // The mutex may have been offered to this thread: pass the offer on.
            if state.holder.get().is_none() {
                self.mutex.release();
            }
        }
    }
}

/// Holds a [`Mutex`] until dropped.
pub struct MutexGuard(Mutex);

impl MutexGuard {
    /// The mutex that this holds.
    pub fn mutex(&self) -> &Mutex {
        &self.0
    }
}

impl Drop for MutexGuard {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// Threads that wait until something changes. Waiting can end without cause: callers look at
/// their condition in a loop.
#[derive(Clone)]
pub struct Condition(Rc<ConditionState>);

struct ConditionState {
    executor: Executor,
    what: &'static str,
    waiters: RefCell<VecDeque<(ThreadId, u64)>>,
    next: Cell<u64>,
}

impl Condition {
    /// A condition; `what` completes "waits for" in reports.
    pub fn new(executor: &Executor, what: &'static str) -> Condition {
        Condition(Rc::new(ConditionState {
            executor: executor.clone(),
            what,
            waiters: RefCell::default(),
            next: Cell::new(0),
        }))
    }

    /// Blocks until notified.
    pub fn wait(&self) -> ConditionWait<'_> {
        ConditionWait {
            condition: self,
            ticket: None,
        }
    }

    /// Wakes every thread that waits now.
    pub fn notify_all(&self) {
        let waiters = std::mem::take(&mut *self.0.waiters.borrow_mut());
        for (thread, _) in waiters {
            self.0.executor.wake(thread);
        }
    }

    /// Wakes the thread that has waited longest.
    pub fn notify_one(&self) {
        loop {
            let Some((thread, _)) = self.0.waiters.borrow_mut().pop_front() else {
                return;
            };
            if self.0.executor.is_alive(thread) {
                self.0.executor.wake(thread);
                return;
            }
        }
    }
}

/// The future of [`Condition::wait`].
pub struct ConditionWait<'a> {
    condition: &'a Condition,
    ticket: Option<u64>,
}

impl Future for ConditionWait<'_> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let state = &self.condition.0;
        match self.ticket {
            None => {
                let thread = state.executor.block(Wait::Event(state.what));
                let ticket = state.next.get();
                state.next.set(ticket + 1);
                state.waiters.borrow_mut().push_back((thread, ticket));
                self.ticket = Some(ticket);
                Poll::Pending
            }
            Some(ticket) => {
                if state
                    .waiters
                    .borrow()
                    .iter()
                    .any(|(_, waiting)| *waiting == ticket)
                {
                    state.executor.block(Wait::Event(state.what));
                    return Poll::Pending;
                }
                self.ticket = None;
                Poll::Ready(())
            }
        }
    }
}

impl Drop for ConditionWait<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.condition
                .0
                .waiters
                .borrow_mut()
                .retain(|(_, waiting)| *waiting != ticket);
        }
    }
}

/// A value that is set once and waited for: the result of an operation in another thread.
pub struct Promise<T>(Rc<PromiseState<T>>);

struct PromiseState<T> {
    value: RefCell<Option<T>>,
    condition: Condition,
}

impl<T> Clone for Promise<T> {
    fn clone(&self) -> Promise<T> {
        Promise(self.0.clone())
    }
}

impl<T> Promise<T> {
    /// A promise that is not kept yet; `what` completes "waits for" in reports.
    pub fn new(executor: &Executor, what: &'static str) -> Promise<T> {
        Promise(Rc::new(PromiseState {
            value: RefCell::new(None),
            condition: Condition::new(executor, what),
        }))
    }

    /// Sets the value. The first one counts: a later one is dropped.
    pub fn set(&self, value: T) {
        let mut slot = self.0.value.borrow_mut();
        if slot.is_none() {
            *slot = Some(value);
            drop(slot);
            self.0.condition.notify_all();
        }
    }

    /// Whether a value is there to be taken.
    pub fn is_set(&self) -> bool {
        self.0.value.borrow().is_some()
    }

    /// Takes the value if it is there.
    pub fn try_take(&self) -> Option<T> {
        self.0.value.borrow_mut().take()
    }

    /// Waits for the value and takes it. One thread waits for a promise.
    pub async fn take(&self) -> T {
        loop {
            if let Some(value) = self.try_take() {
                return value;
            }
            self.0.condition.wait().await;
        }
    }
}

/// An unbounded queue between simulated threads.
pub struct Queue<T>(Rc<QueueState<T>>);

struct QueueState<T> {
    items: RefCell<VecDeque<T>>,
    condition: Condition,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Queue<T> {
        Queue(self.0.clone())
    }
}

impl<T> Queue<T> {
    /// An empty queue; `what` completes "waits for" in reports.
    pub fn new(executor: &Executor, what: &'static str) -> Queue<T> {
        Queue(Rc::new(QueueState {
            items: RefCell::default(),
            condition: Condition::new(executor, what),
        }))
    }

    /// Puts an item at the end and wakes one waiting thread.
    pub fn push(&self, item: T) {
        self.0.items.borrow_mut().push_back(item);
        self.0.condition.notify_one();
    }

    /// Takes the first item if there is one.
    pub fn try_pop(&self) -> Option<T> {
        self.0.items.borrow_mut().pop_front()
    }

    /// Waits for an item and takes it.
    pub async fn pop(&self) -> T {
        loop {
            if let Some(item) = self.try_pop() {
                return item;
            }
            self.0.condition.wait().await;
        }
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.0.items.borrow().len()
    }

    /// Whether no item waits.
    pub fn is_empty(&self) -> bool {
        self.0.items.borrow().is_empty()
    }
}
