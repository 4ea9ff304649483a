// SPDX-License-Identifier: MPL-2.0
//! A timer whose time is moved while a thread waits for it.

use crate::executor::{Executor, Sleep, ThreadId, Wait};
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use stmf_proxy::time::Time;

/// The timer. One thread waits for it.
pub(crate) struct Alarm {
    executor: Executor,
    due: Cell<Option<Time>>,
    /// What the waiting thread sleeps until; none: until it is woken.
    armed: Cell<Option<Time>>,
    thread: Cell<Option<ThreadId>>,
}

impl Alarm {
    /// A timer that is not set.
    pub(crate) fn new(executor: &Executor) -> Alarm {
        Alarm {
            executor: executor.clone(),
            due: Cell::new(None),
            armed: Cell::new(None),
            thread: Cell::new(None),
        }
    }

    /// Sets the time, or none. Moving it to a later time costs nothing: the waiting thread looks
    /// again at the old one.
    pub(crate) fn set(&self, due: Option<Time>) {
        self.due.set(due);
        let sooner = match (due, self.armed.get()) {
            (Some(due), Some(armed)) => due < armed,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if sooner && let Some(thread) = self.thread.take() {
            self.executor.wake(thread);
        }
    }

    /// Waits, as housekeeping in the background, until the time has come; then it is not set any
    /// more.
    pub(crate) async fn ring(&self) {
        let mut sleep: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|context| {
            let due = self.due.get();
            if due.is_some_and(|due| due <= self.executor.now()) {
                self.due.set(None);
                self.armed.set(None);
                self.thread.set(None);
                return Poll::Ready(());
            }
            self.thread.set(self.executor.current());
            if sleep.is_none() || self.armed.get() != due {
                self.armed.set(due);
                sleep = due.map(|due| Box::pin(self.executor.sleep_in_background(due)));
            }
            match &mut sleep {
                Some(sleep) => {
                    // It cannot be over: its time has not come.
                    let _ = sleep.as_mut().poll(context);
                }
                None => {
                    self.executor.block(Wait::Event("its alarm"));
                }
            }
            Poll::Pending
        })
        .await
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
        let alarm = Rc::new(Alarm::new(&executor));
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
