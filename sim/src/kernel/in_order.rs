// SPDX-License-Identifier: MPL-2.0
//! Work that one thread at a time carries out, in the order in which it came. Whoever adds some
//! starts that thread unless there is one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// See the module.
pub(crate) struct InOrder<T> {
    waiting: RefCell<VecDeque<T>>,
    at_work: Cell<bool>,
}

impl<T> Default for InOrder<T> {
    fn default() -> InOrder<T> {
        InOrder {
            waiting: RefCell::default(),
            at_work: Cell::new(false),
        }
    }
}

impl<T> InOrder<T> {
    /// Adds some work; whether nobody is at it, and the caller has to start a thread.
    #[must_use]
    pub(crate) fn push(&self, work: T) -> bool {
        self.waiting.borrow_mut().push_back(work);
        !self.at_work.replace(true)
    }

    /// What the thread does next; it ends when there is nothing.
    pub(crate) fn next(&self) -> Option<T> {
        let next = self.waiting.borrow_mut().pop_front();
        self.at_work.set(next.is_some());
        next
    }
}
