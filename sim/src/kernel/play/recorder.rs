// SPDX-License-Identifier: MPL-2.0
//! Notes down what happens in a kernel during a step.

use crate::kernel::{KernelEvent, Observer};
use std::cell::RefCell;
use std::rc::Rc;
use stmf_proxy::message::{Dialect, Message, status};
use stmf_proxy::status::Errno;
use stmf_proxy::time::Time;

/// What happened since it was last asked.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Messages that reached the door server, in order.
    pub upcalls: Vec<Message>,
    /// Calls that did not, by their error.
    pub door_failed: Vec<Errno>,
    /// For every attempt of a call, whether its thread held the stmf lock.
    pub lock_held: Vec<bool>,
    /// The statuses of status messages before they were cut to 8 bits.
    pub statuses: Vec<u64>,
    /// Types of the messages that were handed to stmf.
    pub to_stmf: Vec<&'static str>,
    /// Lines of the log.
    pub log: Vec<String>,
}

/// Notes down what happens in a kernel.
pub struct Recorder {
    dialect: Dialect,
    notes: RefCell<Notes>,
    /// A "U" for every attempt of an upcall; others add what happens between.
    order: Rc<RefCell<String>>,
}

impl Recorder {
    /// Of a kernel that speaks `dialect`.
    pub fn new(dialect: Dialect) -> Recorder {
        Recorder {
            dialect,
            notes: RefCell::default(),
            order: Rc::default(),
        }
    }

    /// The order of upcalls and of what others note.
    pub fn order(&self) -> Rc<RefCell<String>> {
        self.order.clone()
    }

    /// What happened since the last time.
    pub fn take(&self) -> Notes {
        self.notes.take()
    }
}

impl Observer for Recorder {
    fn kernel_event(&self, _: Time, event: &KernelEvent<'_>) {
        let mut notes = self.notes.borrow_mut();
        match event {
            KernelEvent::LuAccess { .. } | KernelEvent::Fault { .. } => {}
            KernelEvent::Log(line) => notes.log.push((*line).into()),
            KernelEvent::Upcall { lock_held, .. } => {
                notes.lock_held.push(*lock_held);
                self.order.borrow_mut().push('U');
            }
            KernelEvent::UpcallDone { bytes, outcome } => match outcome {
                Ok(_) => match Message::decode(bytes, self.dialect) {
                    Ok(message) => notes.upcalls.push(message),
                    Err(error) => {
                        notes
                            .log
                            .push(format!("an upcall that is not a message: {error}"));
                    }
                },
                Err(error) => notes.door_failed.push(error.errno()),
            },
            KernelEvent::ToStmf(message) => notes.to_stmf.push(message.message_type().name()),
            KernelEvent::StatusBeforeWire(status) => notes.statuses.push(*status),
            KernelEvent::Post { .. }
            | KernelEvent::PostDone { .. }
            | KernelEvent::Met { .. }
            | KernelEvent::Panicked(_) => {}
        }
    }
}

/// A status value as recordings name it.
pub(super) fn status_name(value: u64) -> String {
    match status::name(value) {
        Some(name) => format!("STMF_{name}"),
        None => format!("{value:#x}"),
    }
}

/// An error number as recordings name it.
pub(super) fn errno_name(errno: Errno) -> String {
    match errno.name() {
        Some(name) => name.into(),
        None => errno.number().to_string(),
    }
}
