// SPDX-License-Identifier: MPL-2.0
//! What the simulated kernel did, as it did it.

use super::input::{CommandNumber, RecordIndex};
use crate::executor::Executor;
use crate::kernel::{KernelEvent, Observer};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use stmf_proxy::time::Time;

/// Number of a door call of a replay, from 0.
pub(super) type CallNumber = usize;

/// The end of a command, as its initiator sees it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Ended {
    pub(super) status: u8,
    pub(super) residual_flags: u8,
    pub(super) residual: u32,
    pub(super) sense: Vec<u8>,
    pub(super) data: Vec<u8>,
}

/// Something that the kernel did.
#[derive(Debug)]
pub(super) enum Happening {
    Upcall {
        call: CallNumber,
        lock_held: bool,
        message: Vec<u8>,
    },
    PostDone {
        post: RecordIndex,
        outcome: Result<(), i32>,
    },
    OperationDone {
        number: usize,
        outcome: Result<(), i32>,
    },
    CommandDone {
        command: CommandNumber,
        ended: Ended,
    },
    Aborted {
        command: CommandNumber,
    },
    Panicked {
        trap: u8,
        reason: String,
    },
    /// A line of the kernel's log.
    Logged(String),
}

/// What has happened and was not looked at.
pub(super) struct Log {
    executor: Executor,
    happenings: RefCell<VecDeque<(Time, Happening)>>,
    /// Whether the thread that is about to call the door holds the stmf lock.
    lock_held: Cell<bool>,
    lines: RefCell<VecDeque<String>>,
}

/// Lines of the kernel's log that are kept, for the report on a divergence.
const LOG_LINES: usize = 5;

impl Log {
    pub(super) fn new(executor: &Executor) -> Rc<Log> {
        Rc::new(Log {
            executor: executor.clone(),
            happenings: RefCell::default(),
            lock_held: Cell::new(false),
            lines: RefCell::default(),
        })
    }

    pub(super) fn tell(&self, happening: Happening) {
        let now = self.executor.now();
        self.happenings.borrow_mut().push_back((now, happening));
    }

    pub(super) fn next(&self) -> Option<(Time, Happening)> {
        self.happenings.borrow_mut().pop_front()
    }

    pub(super) fn lock_held(&self) -> bool {
        self.lock_held.get()
    }

    /// The last lines that the kernel has written.
    pub(super) fn last_lines(&self) -> Vec<String> {
        self.lines.borrow().iter().cloned().collect()
    }
}

impl Observer for Log {
    fn kernel_event(&self, _: Time, event: &KernelEvent<'_>) {
        match event {
            KernelEvent::Upcall { lock_held, .. } => self.lock_held.set(*lock_held),
            KernelEvent::Log(line) => {
                let mut lines = self.lines.borrow_mut();
                if lines.len() == LOG_LINES {
                    lines.pop_front();
                }
                lines.push_back((*line).to_owned());
                drop(lines);
                self.tell(Happening::Logged((*line).to_owned()));
            }
            KernelEvent::Panicked(panic) => self.tell(Happening::Panicked {
                trap: panic.trap.unwrap_or(0),
                reason: panic.reason.clone(),
            }),
            _ => {}
        }
    }
}
