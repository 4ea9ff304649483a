// SPDX-License-Identifier: MPL-2.0
//! A timer whose time is moved while a thread waits for it.

use crate::executor::{Executor, ThreadId, TimerKey, Wait};
use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;
use stmf_proxy::time::Time;

/// The timer. One thread waits for it, and runs only when its time has come.
pub(crate) struct Alarm {
    executor: Executor,
    /// What reports say that the thread waits for while the timer is not set.
    what: &'static str,
    due: Cell<Option<Time>>,
    /// The thread that waits.
    waiting: Cell<Option<ThreadId>>,
    /// When that thread is woken.
    armed: Cell<Option<TimerKey>>,
}

impl Alarm {
    /// A timer that is not set; `what` completes "waits for" in reports.
    pub(crate) fn new(executor: &Executor, what: &'static str) -> Alarm {
        Alarm {
            executor: executor.clone(),
            what,
            due: Cell::new(None),
            waiting: Cell::new(None),
            armed: Cell::new(None),
        }
    }

    /// Sets the time, or none. Moving it to a later time costs nothing: the waiting thread looks
    /// again at the old one.
    pub(crate) fn set(&self, due: Option<Time>) {
        self.due.set(due);
        let (Some(due), Some(thread)) = (due, self.waiting.get()) else {
            return;
        };
        if self.armed.get().is_some_and(|(armed, _)| armed <= due) {
            return;
        }
        if due <= self.executor.now() {
            self.executor.wake(thread);
        } else {
            self.arm(thread, due);
        }
    }

    fn arm(&self, thread: ThreadId, due: Time) {
        self.disarm();
        let key = self.executor.set_timer(thread, due, true);
        self.armed.set(Some(key));
    }

    fn disarm(&self) {
        if let Some(key) = self.armed.take() {
            self.executor.cancel_timer(key);
        }
    }

    /// Waits, as housekeeping in the background, until the time has come; then it is not set any
    /// more.
    pub(crate) async fn ring(&self) {
        let waiting = Waiting(self);
        poll_fn(|_| {
            let due = self.due.get();
            if due.is_some_and(|due| due <= self.executor.now()) {
                self.due.set(None);
                return Poll::Ready(());
            }
            let wait = match due {
                Some(_) => Wait::Sleep,
                None => Wait::Event(self.what),
            };
            let thread = self.executor.block(wait);
            self.waiting.set(Some(thread));
            match due {
                Some(due) => self.arm(thread, due),
                None => self.disarm(),
            }
            Poll::Pending
        })
        .await;
        drop(waiting);
    }
}

/// Nobody waits any more when this is dropped.
struct Waiting<'a>(&'a Alarm);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(None);
        self.0.disarm();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::FirstChoice;
    use std::cell::RefCell;
    use std::rc::Rc;

    #[test]
    fn it_rings_when_its_time_has_come_wherever_that_was_moved() {
        let executor = Executor::new(Box::new(FirstChoice));
        let group = executor.new_group("world");
        let alarm = Rc::new(Alarm::new(&executor, "its alarm"));
        let rang = Rc::new(RefCell::new(Vec::new()));
        let (clock, waited, heard) = (executor.clone(), alarm.clone(), rang.clone());
        executor.spawn(group, "waits", async move {
            loop {
                waited.ring().await;
                heard.borrow_mut().push(clock.now().as_nanos());
            }
        });
        let at = |nanoseconds| Some(Time::from_nanos(nanoseconds));
        executor.run_ready();
        alarm.set(at(100));
        alarm.set(at(50));
        executor.run_until(Time::from_nanos(60));
        assert_eq!(rang.take(), [50]);
        alarm.set(at(100));
        executor.run_ready();
        alarm.set(at(200));
        executor.run_until(Time::from_nanos(150));
        assert_eq!(rang.take(), Vec::<u64>::new());
        executor.run_until(Time::from_nanos(300));
        assert_eq!(rang.take(), [200]);
        alarm.set(at(400));
        executor.run_ready();
        alarm.set(None);
        executor.run_until(Time::from_nanos(1000));
        assert_eq!(rang.take(), Vec::<u64>::new());
        alarm.set(at(500));
        executor.run_ready();
        assert_eq!(rang.take(), [1000], "a time that is past rings at once");
    }
}
