// SPDX-License-Identifier: MPL-2.0
//! Which door is installed, and calls through it.

use super::Pppt;
use crate::kernel::doors::{Door, DoorError};
use bytes::Bytes;
use std::rc::Rc;
use stmf_proxy::status::Errno;

impl Pppt<'_> {
    /// Installs the door behind a descriptor.
    pub(super) async fn install(&self, descriptor: i32) -> Result<(), Errno> {
        let doors = self.0.doors();
        let door = doors.hold(descriptor).map_err(|_| Errno::EINVAL)?;
        let lock = self.state().door_lock.lock().await;
        let busy = {
            let mut installed = self.state().door.borrow_mut();
            let busy = installed.is_some();
            if !busy {
                *installed = Some(door.clone());
            }
            busy
        };
        drop(lock);
        if busy {
            doors.release(&door);
            return Err(Errno::EBUSY);
        }
        Ok(())
    }

    /// Lets go of the door that is installed, if one is.
    pub(super) async fn uninstall(&self) {
        let lock = self.state().door_lock.lock().await;
        let door = self.state().door.borrow_mut().take();
        drop(lock);
        if let Some(door) = door {
            self.0.doors().release(&door);
        }
    }

    /// The descriptor of the installed door.
    pub fn installed_door(&self) -> Option<i32> {
        self.state()
            .door
            .borrow()
            .as_ref()
            .map(|door| door.descriptor())
    }

    /// The installed door, held for the caller.
    async fn hold_installed(&self) -> Option<Rc<Door>> {
        let _lock = self.state().door_lock.lock().await;
        let installed = self.state().door.borrow();
        let door = installed.as_ref()?;
        self.0.doors().hold_again(door);
        Some(door.clone())
    }

    /// Calls the installed door, once, and waits for the answer in the calling thread.
    pub async fn upcall(&self, message: &Bytes) -> Result<u32, DoorError> {
        if self.0.config().overtaken_upcalls {
            self.0.executor().yield_now().await;
        }
        let Some(door) = self.hold_installed().await else {
            return Err(DoorError::NoDoor);
        };
        let doors = self.0.doors();
        let outcome = doors.call(&door, message).await;
        doors.release(&door);
        outcome
    }
}
