// SPDX-License-Identifier: MPL-2.0
//! What initiators see at the node's ports, noted command by command.

use super::happening::{Ended, Happening, Log};
use crate::kernel::port::{PortEvent, PortListener, Residual, Tag};
use crate::kernel::stmf::types::{Command, Session};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use stmf_proxy::message::status::residual_flags;

/// The longest data that is kept of a command, in bytes: longer than any that a message carries.
const DATA_MAX: usize = 1 << 28;

/// Keeps what commands read until they end. Tags are the numbers of the replay.
pub(super) struct Initiators {
    log: Rc<Log>,
    data: RefCell<BTreeMap<Tag, Vec<u8>>>,
}

impl Initiators {
    pub(super) fn new(log: Rc<Log>) -> Rc<Initiators> {
        Rc::new(Initiators {
            log,
            data: RefCell::default(),
        })
    }

    /// What comes for this command from now on falls on the floor.
    pub(super) fn forget(&self, tag: Tag) {
        self.data.borrow_mut().remove(&tag);
    }

    /// A command goes out.
    pub(super) fn expect(&self, tag: Tag) {
        self.data.borrow_mut().insert(tag, Vec::new());
    }

    fn end(&self, tag: Tag, status: u8, sense: &[u8], residual: Residual) {
        let Some(data) = self.data.borrow_mut().remove(&tag) else {
            return;
        };
        let (residual_flags, residual) = match residual {
            Residual::None => (0, 0),
            Residual::Under(bytes) => (residual_flags::UNDERFLOW, bytes),
            Residual::Over(bytes) => (residual_flags::OVERFLOW, bytes),
        };
        self.log.tell(Happening::CommandDone {
            command: tag,
            ended: Ended {
                status,
                residual_flags,
                residual,
                sense: sense.to_vec(),
                data,
            },
        });
    }
}

impl PortListener for Initiators {
    fn port_event(&self, _: &Rc<Session>, _: &Command, tag: Tag, event: PortEvent<'_>) {
        match event {
            PortEvent::ReadyToTransfer { .. } => {}
            PortEvent::Data {
                offset,
                data,
                good_with,
            } => {
                if let Some(read) = self.data.borrow_mut().get_mut(&tag) {
                    let start = offset as usize;
                    let end = start.saturating_add(data.len()).min(DATA_MAX);
                    if start < end {
                        let length = read.len().max(end);
                        read.resize(length, 0);
                        read[start..end].copy_from_slice(&data[..end - start]);
                    }
                }
                if let Some(residual) = good_with {
                    self.end(tag, 0, &[], residual);
                }
            }
            PortEvent::Status {
                status,
                sense,
                residual,
            } => self.end(tag, status, sense, residual),
            PortEvent::Aborted => {
                if self.data.borrow_mut().remove(&tag).is_some() {
                    self.log.tell(Happening::Aborted { command: tag });
                }
            }
        }
    }
}
