// SPDX-License-Identifier: MPL-2.0
//! The process that serves the door: it keeps every call until the recording has its answer.

use super::happening::{CallNumber, Happening, Log};
use crate::kernel::doors::{DoorReply, DoorServer};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use stmf_proxy::status::Errno;

/// The server.
pub(super) struct Door {
    log: Rc<Log>,
    calls: Cell<CallNumber>,
    open: RefCell<BTreeMap<CallNumber, DoorReply>>,
}

impl Door {
    pub(super) fn new(log: Rc<Log>) -> Rc<Door> {
        Rc::new(Door {
            log,
            calls: Cell::new(0),
            open: RefCell::default(),
        })
    }

    /// Ends a call. False if there is no such call (any more).
    pub(super) fn end(&self, call: CallNumber, outcome: Result<u32, i32>) -> bool {
        let Some(reply) = self.open.borrow_mut().remove(&call) else {
            return false;
        };
        match outcome {
            Ok(result) => reply.answer(result),
            Err(errno) => reply.fail(Errno::from_number(errno)),
        }
        true
    }

    /// Forgets the calls of a kernel that is gone.
    pub(super) fn forget(&self) {
        drop(self.open.take());
    }
}

impl DoorServer for Door {
    fn call(&self, message: &Bytes, reply: DoorReply) {
        let call = self.calls.get();
        self.calls.set(call + 1);
        self.open.borrow_mut().insert(call, reply);
        self.log.tell(Happening::Upcall {
            call,
            lock_held: self.log.lock_held(),
            message: message.to_vec(),
        });
    }
}
