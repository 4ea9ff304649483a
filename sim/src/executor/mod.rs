// SPDX-License-Identifier: MPL-2.0
//! A small deterministic executor: simulated threads in virtual time.
//!
//! Simulated kernel and user threads are futures; they block on the primitives of [`sync`] or
//! sleep, and everything that happens is a function of the futures and of the [`Choices`] that
//! the executor was given. No operating-system thread, no clock and no hash order is involved:
//! time jumps to the next timer when nothing can run.
//!
//! The rule for callers: spawn threads, then drive with [`Executor::run_ready`] and
//! [`Executor::advance`] (or [`Executor::run_until`]), and look at
//! [`Executor::blocked_threads`] when nothing can run, no timer is due and somebody still waits:
//! that is a deadlock, and the report says who holds what and who waits for what.
//!
//! This module knows nothing of kernels, doors or relays.

mod choice;
mod inspect;
mod report;
pub mod sync;

pub use choice::{ChoiceKind, Choices, FirstChoice};
pub use report::{BlockedThread, HeldLock, Holder, Link};

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use stmf_proxy::time::Time;

/// A simulated thread. Never used again within one executor, so a stale id names nobody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ThreadId {
    slot: u32,
    generation: u32,
}

/// Threads that end together: one boot of a node's kernel, or one process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct GroupId(u32);

/// What a thread is called in reports: a kind, and a number that tells its kind apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ThreadName {
    /// What the thread does, as "stmf worker".
    pub kind: &'static str,
    /// Tells threads of one kind apart; 0 where there is only one.
    pub number: u64,
}

impl From<&'static str> for ThreadName {
    fn from(kind: &'static str) -> ThreadName {
        ThreadName { kind, number: 0 }
    }
}

impl fmt::Display for ThreadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            0 => f.write_str(self.kind),
            number => write!(f, "{} {number}", self.kind),
        }
    }
}

type Body = Pin<Box<dyn Future<Output = ()>>>;

struct Thread {
    name: ThreadName,
    group: GroupId,
    /// Absent while the thread is being polled.
    body: Option<Body>,
    ready: bool,
    waiting: Option<Wait>,
}

/// What a blocked thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// A lock of the registry, by index.
    Lock(u32),
    /// Something that another thread must do.
    Event(&'static str),
    /// A timer.
    Sleep,
}

struct Slot {
    generation: u32,
    thread: Option<Thread>,
}

struct LockRecord {
    name: &'static str,
    group: GroupId,
    holder: Option<ThreadId>,
}

struct Group {
    name: String,
    alive: bool,
    /// Its threads stand outside of what is simulated.
    outside: bool,
    /// Its threads do not run for now.
    paused: bool,
}

#[derive(Default)]
struct State {
    slots: Vec<Slot>,
    free: Vec<u32>,
    ready: Vec<ThreadId>,
    /// Threads of outside groups that are ready, in the order in which they became so.
    ready_outside: VecDeque<ThreadId>,
    /// Threads of paused groups that would be ready, in the order in which they became so.
    paused: Vec<(GroupId, ThreadId)>,
    timers: BTreeMap<TimerKey, Timer>,
    timer_sequence: u64,
    /// How many of the timers are not in the background.
    foreground_timers: usize,
    locks: Vec<LockRecord>,
    free_locks: Vec<u32>,
    groups: Vec<Group>,
}

/// When a timer is due, and its place among those of that time.
pub(crate) type TimerKey = (Time, u64);

#[derive(Clone, Copy)]
struct Timer {
    thread: ThreadId,
    background: bool,
}

struct Shared {
    state: RefCell<State>,
    now: Cell<Time>,
    current: Cell<Option<ThreadId>>,
    steps: Cell<u64>,
    steps_at_this_time: Cell<u64>,
    choices: RefCell<Box<dyn Choices>>,
}

/// The executor, and a handle on it: clones drive and use the same one.
#[derive(Clone)]
pub struct Executor(Rc<Shared>);

impl Executor {
    /// An executor at time zero with no threads, whose every choice `choices` makes.
    pub fn new(choices: Box<dyn Choices>) -> Executor {
        Executor(Rc::new(Shared {
            state: RefCell::default(),
            now: Cell::new(Time::ZERO),
            current: Cell::new(None),
            steps: Cell::new(0),
            steps_at_this_time: Cell::new(0),
            choices: RefCell::new(choices),
        }))
    }

    /// The virtual time.
    pub fn now(&self) -> Time {
        self.0.now.get()
    }

    /// How often a thread was given the processor so far.
    pub fn steps(&self) -> u64 {
        self.0.steps.get()
    }

    /// How often a thread that is not outside was given the processor since the clock last
    /// moved. With the time it says when something was done from outside.
    pub fn steps_at_this_time(&self) -> u64 {
        self.0.steps_at_this_time.get()
    }

    /// Whether a thread from outside is ready to run.
    pub(crate) fn outside_is_ready(&self) -> bool {
        !self.0.state.borrow().ready_outside.is_empty()
    }

    /// Lets the thread from outside run that became ready last, before those that wait longer.
    pub(crate) fn step_newest_outside(&self) {
        {
            let mut state = self.0.state.borrow_mut();
            if let Some(newest) = state.ready_outside.pop_back() {
                state.ready_outside.push_front(newest);
            } else {
                return;
            }
        }
        self.step();
    }

    /// Asks the oracle for one of `alternatives` (at least 1); the answer is below it.
    pub fn choose(&self, kind: ChoiceKind, alternatives: u64) -> u64 {
        if alternatives <= 1 {
            return 0;
        }
        let chosen = self.0.choices.borrow_mut().choose(kind, alternatives);
        debug_assert!(
            chosen < alternatives,
            "the oracle chose outside the alternatives"
        );
        chosen % alternatives
    }

    /// A new group of threads, called `name` in reports.
    pub fn new_group(&self, name: impl Into<String>) -> GroupId {
        self.add_group(name.into(), false)
    }

    /// A group whose threads stand outside of what is simulated and act on it: those of a
    /// scenario. Whenever one of them is ready it runs at once, before any other thread and in
    /// the order in which they became ready, and the oracle is not asked. So a run depends on
    /// *when* something was done from outside and not on how the scenario came to do it.
    pub fn new_outside_group(&self, name: impl Into<String>) -> GroupId {
        self.add_group(name.into(), true)
    }

    fn add_group(&self, name: String, outside: bool) -> GroupId {
        let mut state = self.0.state.borrow_mut();
        state.groups.push(Group {
            name,
            alive: true,
            outside,
            paused: false,
        });
        GroupId(state.groups.len() as u32 - 1)
    }

    /// Whether the group may still run threads.
    pub fn group_alive(&self, group: GroupId) -> bool {
        self.0.state.borrow().groups[group.0 as usize].alive
    }

    /// Starts a thread; it runs when the executor is next driven. In a group that has ended
    /// nothing starts: the body is dropped.
    pub fn spawn(
        &self,
        group: GroupId,
        name: impl Into<ThreadName>,
        body: impl Future<Output = ()> + 'static,
    ) -> Option<ThreadId> {
        if !self.group_alive(group) {
            return None;
        }
        let name = name.into();
        let mut state = self.0.state.borrow_mut();
        let state = &mut *state;
        let slot = state.free.pop().unwrap_or_else(|| {
            state.slots.push(Slot {
                generation: 0,
                thread: None,
            });
            state.slots.len() as u32 - 1
        });
        let entry = &mut state.slots[slot as usize];
        entry.generation += 1;
        let id = ThreadId {
            slot,
            generation: entry.generation,
        };
        entry.thread = Some(Thread {
            name,
            group,
            body: Some(Box::pin(body)),
            ready: true,
            waiting: None,
        });
        state.push_ready(id, group);
        Some(id)
    }

    /// Whether the thread has not ended yet.
    pub fn is_alive(&self, thread: ThreadId) -> bool {
        self.0.state.borrow().thread(thread).is_some()
    }

    /// Whether the thread sleeps or waits (false for one that is ready or has ended).
    pub fn is_blocked(&self, thread: ThreadId) -> bool {
        self.0
            .state
            .borrow()
            .thread(thread)
            .is_some_and(|thread| !thread.ready)
    }

    /// The thread that is running now, if the caller is one.
    pub fn current(&self) -> Option<ThreadId> {
        self.0.current.get()
    }

    /// Ends every thread of the group at once, wherever it stands, and lets no other start:
    /// power loss, a kernel panic, a process that dies. What the threads own is dropped.
    pub fn end_group(&self, group: GroupId) {
        let mut bodies = Vec::new();
        {
            let mut state = self.0.state.borrow_mut();
            let state = &mut *state;
            state.groups[group.0 as usize].alive = false;
            state.paused.retain(|(of, _)| *of != group);
            for (index, slot) in state.slots.iter_mut().enumerate() {
                if slot
                    .thread
                    .as_ref()
                    .is_some_and(|thread| thread.group == group)
                {
                    // A thread that is being polled right now (it ended its own group) has no
                    // body here; the poll loop drops it when the poll returns.
                    bodies.push(slot.thread.take().and_then(|thread| thread.body));
                    state.free.push(index as u32);
                }
            }
        }
        // Dropped only now: destructors release locks and so come back to the executor.
        drop(bodies);
    }

    /// Lets no thread of the group run until [`Executor::resume_group`]: those that are ready, or
    /// become so (a timer is due, somebody wakes them), stand aside. A thread that is running goes
    /// on until it next waits.
    pub fn pause_group(&self, group: GroupId) {
        let mut state = self.0.state.borrow_mut();
        let state = &mut *state;
        state.groups[group.0 as usize].paused = true;
        let (slots, paused) = (&state.slots, &mut state.paused);
        state.ready.retain(|thread| {
            let slot = &slots[thread.slot as usize];
            let known = slot
                .thread
                .as_ref()
                .filter(|_| slot.generation == thread.generation);
            let stays = known.is_none_or(|known| known.group != group);
            if !stays {
                paused.push((group, *thread));
            }
            stays
        });
    }

    /// Lets the threads of a paused group run again: those that stood aside are ready, in the
    /// order in which they became so.
    pub fn resume_group(&self, group: GroupId) {
        let mut state = self.0.state.borrow_mut();
        state.groups[group.0 as usize].paused = false;
        for (of, thread) in std::mem::take(&mut state.paused) {
            match of == group {
                true => state.push_ready(thread, group),
                false => state.paused.push((of, thread)),
            }
        }
    }

    /// Wakes a blocked thread; nothing happens to one that is ready or has ended.
    pub fn wake(&self, thread: ThreadId) {
        let mut state = self.0.state.borrow_mut();
        if let Some(entry) = state.thread_mut(thread)
            && !entry.ready
        {
            entry.ready = true;
            entry.waiting = None;
            let group = entry.group;
            state.push_ready(thread, group);
        }
    }

    /// Lets one ready thread run until it blocks: one from outside, or else one that the oracle
    /// chooses. False if none is ready.
    pub fn step(&self) -> bool {
        let (thread, mut body) = loop {
            let outside = self.0.state.borrow_mut().ready_outside.pop_front();
            let (thread, from_outside) = match outside {
                Some(thread) => (thread, true),
                None => {
                    let chosen = match &self.0.state.borrow().ready[..] {
                        [] => return false,
                        [_] => 0,
                        ready => self.0.choices.borrow_mut().schedule(ready) % ready.len(),
                    };
                    (self.0.state.borrow_mut().ready.remove(chosen), false)
                }
            };
            let mut state = self.0.state.borrow_mut();
            // An entry may be stale: its thread was ended with its group.
            if let Some(entry) = state.thread_mut(thread) {
                entry.ready = false;
                entry.waiting = None;
                let body = entry
                    .body
                    .take()
                    .expect("a thread that is not running has a body");
                if !from_outside {
                    let steps = &self.0.steps_at_this_time;
                    steps.set(steps.get() + 1);
                }
                break (thread, body);
            }
        };
        self.0.steps.set(self.0.steps.get() + 1);
        let outer = self.0.current.replace(Some(thread));
        let mut context = Context::from_waker(Waker::noop());
        let outcome = body.as_mut().poll(&mut context);
        self.0.current.set(outer);
        let mut state = self.0.state.borrow_mut();
        match outcome {
            Poll::Pending => match state.thread_mut(thread) {
                Some(entry) => entry.body = Some(body),
                None => {
                    drop(state);
                    drop(body);
                }
            },
            Poll::Ready(()) => {
                if state.thread(thread).is_some() {
                    state.slots[thread.slot as usize].thread = None;
                    state.free.push(thread.slot);
                }
                drop(state);
                drop(body);
            }
        }
        true
    }

    /// Runs ready threads until none is ready. Virtual time does not move.
    pub fn run_ready(&self) {
        while self.step() {}
    }

    /// When the next timer is due, if there is one. Background timers (see
    /// [`Executor::sleep_in_background`]) count only if `background`.
    pub fn next_timer(&self, background: bool) -> Option<Time> {
        let state = self.0.state.borrow();
        if !background && state.foreground_timers == 0 {
            return None;
        }
        state
            .timers
            .iter()
            .find(|(_, timer)| background || !timer.background)
            .map(|((time, _), _)| *time)
    }

    /// Moves virtual time to `time` (never back) and wakes the sleepers that are due, in the
    /// order in which their timers were set. Runs no thread.
    pub fn advance(&self, time: Time) {
        if time > self.now() {
            self.0.now.set(time);
            self.0.steps_at_this_time.set(0);
        }
        loop {
            let due = {
                let mut state = self.0.state.borrow_mut();
                match state.timers.first_key_value() {
                    Some((&key, _)) if key.0 <= self.now() => state.remove_timer(key),
                    _ => None,
                }
            };
            match due {
                Some(timer) => self.wake(timer.thread),
                None => return,
            }
        }
    }

    /// Runs until nothing is ready and no timer is due up to `end`; then the time is `end`.
    pub fn run_until(&self, end: Time) {
        loop {
            self.run_ready();
            match self.next_timer(true) {
                Some(time) if time <= end => self.advance(time),
                _ => break,
            }
        }
        self.advance(end);
        self.run_ready();
    }

    /// Blocks the calling thread for `duration` of virtual time.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.now() + duration)
    }

    /// Blocks the calling thread until `time`.
    pub fn sleep_until(&self, time: Time) -> Sleep {
        Sleep {
            executor: self.clone(),
            time,
            key: None,
            background: false,
        }
    }

    /// As [`Executor::sleep_until`], for housekeeping that waits for nothing in particular:
    /// somebody who asks whether the system has come to rest need not wait for it.
    pub fn sleep_in_background(&self, time: Time) -> Sleep {
        Sleep {
            executor: self.clone(),
            time,
            key: None,
            background: true,
        }
    }

    /// Puts the calling thread at the end of the ready threads.
    pub fn yield_now(&self) -> Yield {
        Yield {
            executor: self.clone(),
            yielded: false,
        }
    }

    /// Marks the calling thread as blocked for this reason; the primitives of [`sync`] call it
    /// just before they return `Pending`.
    pub(crate) fn block(&self, wait: Wait) -> ThreadId {
        let thread = self
            .current()
            .expect("blocking calls are made by simulated threads only");
        if let Some(entry) = self.0.state.borrow_mut().thread_mut(thread) {
            entry.waiting = Some(wait);
        }
        thread
    }

    /// Wakes a thread at `time`, unless the timer is taken back before.
    pub(crate) fn set_timer(&self, thread: ThreadId, time: Time, background: bool) -> TimerKey {
        let mut state = self.0.state.borrow_mut();
        state.timer_sequence += 1;
        let key = (time, state.timer_sequence);
        state.timers.insert(key, Timer { thread, background });
        state.foreground_timers += usize::from(!background);
        key
    }

    /// Takes a timer back; nothing happens if its time has come.
    pub(crate) fn cancel_timer(&self, key: TimerKey) {
        self.0.state.borrow_mut().remove_timer(key);
    }

    /// The group of the thread that is running now, if the caller is one.
    pub(crate) fn current_group(&self) -> Option<GroupId> {
        let state = self.0.state.borrow();
        state.thread(self.current()?).map(|thread| thread.group)
    }

    pub(crate) fn register_lock(&self, group: GroupId, name: &'static str) -> u32 {
        let mut state = self.0.state.borrow_mut();
        let record = LockRecord {
            name,
            group,
            holder: None,
        };
        match state.free_locks.pop() {
            Some(index) => {
                state.locks[index as usize] = record;
                index
            }
            None => {
                state.locks.push(record);
                state.locks.len() as u32 - 1
            }
        }
    }

    pub(crate) fn unregister_lock(&self, lock: u32) {
        self.0.state.borrow_mut().free_locks.push(lock);
    }

    pub(crate) fn set_lock_holder(&self, lock: u32, holder: Option<ThreadId>) {
        self.0.state.borrow_mut().locks[lock as usize].holder = holder;
    }
}

impl State {
    fn remove_timer(&mut self, key: TimerKey) -> Option<Timer> {
        let timer = self.timers.remove(&key)?;
        self.foreground_timers -= usize::from(!timer.background);
        Some(timer)
    }

    fn push_ready(&mut self, thread: ThreadId, group: GroupId) {
        match self.groups[group.0 as usize] {
            Group { paused: true, .. } => self.paused.push((group, thread)),
            Group { outside: true, .. } => self.ready_outside.push_back(thread),
            _ => self.ready.push(thread),
        }
    }

    fn thread(&self, id: ThreadId) -> Option<&Thread> {
        let slot = self.slots.get(id.slot as usize)?;
        if slot.generation == id.generation {
            slot.thread.as_ref()
        } else {
            None
        }
    }

    fn thread_mut(&mut self, id: ThreadId) -> Option<&mut Thread> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.generation == id.generation {
            slot.thread.as_mut()
        } else {
            None
        }
    }
}

/// The future of [`Executor::sleep`]. Dropping it cancels the timer.
pub struct Sleep {
    executor: Executor,
    time: Time,
    key: Option<TimerKey>,
    background: bool,
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.executor.now() >= self.time {
            return Poll::Ready(());
        }
        let thread = self.executor.block(Wait::Sleep);
        if self.key.is_none() {
            let key = (self.executor).set_timer(thread, self.time, self.background);
            self.key = Some(key);
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.executor.cancel_timer(key);
        }
    }
}

/// The future of [`Executor::yield_now`].
pub struct Yield {
    executor: Executor,
    yielded: bool,
}

impl Future for Yield {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        let thread = self.executor.block(Wait::Event("its turn"));
        self.executor.wake(thread);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
