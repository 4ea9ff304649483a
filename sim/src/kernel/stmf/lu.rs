// SPDX-License-Identifier: MPL-2.0
//! LUs: their numbers, registering and removing them, and their access states as stmf sees them.

use super::Stmf;
use super::types::*;
use crate::scsi::reports::lun_bytes;
use std::rc::Rc;
use stmf_proxy::message::Body;

impl Stmf<'_> {
    /// Makes a LU provider known, so that messages about its LUs find it.
    pub fn register_provider(&self, provider: Rc<dyn LuProvider>) {
        self.state().providers.borrow_mut().push(provider);
    }

    /// The logical unit number of a LU: each new id gets the next one, and keeps it even when
    /// the LU goes and comes back. The 16,385th and later ones get none that an initiator could
    /// address (SAM-4 4.6.13, "logical unit not specified").
    pub fn number_for(&self, id: LuId) -> [u8; 8] {
        let mut numbers = self.state().numbers.borrow_mut();
        let next = (0..)
            .find(|number| numbers.values().all(|taken| taken != number))
            .unwrap_or(0);
        let number = *numbers.entry(id).or_insert(next);
        lun_bytes(number).unwrap_or([0xff; 8])
    }

    /// Gives a LU a number of its own, in place of the next one.
    pub fn assign_number(&self, id: LuId, number: u16) {
        self.state().numbers.borrow_mut().insert(id, number);
    }

    /// The LU of an id.
    pub fn lu(&self, id: LuId) -> Option<Rc<Lu>> {
        self.state()
            .lus
            .borrow()
            .iter()
            .find(|lu| lu.id == id)
            .cloned()
    }

    /// Adds a LU. While ALUA is on, the peer is told of an active one.
    pub async fn register_lu(&self, lu: Rc<Lu>) {
        let state = self.state();
        let _lock = state.lock.lock().await;
        state.lus.borrow_mut().insert(0, lu.clone());
        lu.online.set(true);
        self.inventory_changed();
        if state.alua_enabled.get() && lu.alua && lu.access.get() == Access::Active {
            self.tell_peer_of_lu(&lu, Body::RegisterLun).await;
        }
    }

    /// Removes a LU: its tasks are aborted, and when they are gone and ALUA is on, the peer is
    /// told if stmf held the LU for active.
    pub async fn deregister_lu(&self, lu: &Rc<Lu>) {
        lu.online.set(false);
        self.abort_lu_tasks(lu, None);
        self.wait_for_lu_tasks(lu, None).await;
        let state = self.state();
        let _lock = state.lock.lock().await;
        if state.alua_enabled.get() && lu.alua && lu.access.get() == Access::Active {
            self.tell_peer_of_lu_removal(lu).await;
        }
        state
            .lus
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, lu));
        self.inventory_changed();
    }

    /// The LU is served here from now on (the end of an import). While ALUA is on, the peer is
    /// told, every time.
    pub async fn lu_became_active(&self, lu: &Rc<Lu>) {
        let state = self.state();
        let _lock = state.lock.lock().await;
        lu.access.set(Access::Active);
        if state.alua_enabled.get() && lu.alua {
            self.tell_peer_of_lu(lu, Body::LunActive).await;
        }
    }

    /// The LU is no longer served here. While ALUA is on, all its tasks are aborted; the peer is
    /// not told.
    pub async fn lu_became_standby(&self, lu: &Rc<Lu>) {
        let lock = self.state().lock.lock().await;
        lu.access.set(Access::Standby);
        let enabled = self.state().alua_enabled.get();
        drop(lock);
        if enabled {
            self.abort_lu_tasks(lu, None);
        }
    }

    /// Begins to abort every task of the LU but `except`, newest first.
    pub(super) fn abort_lu_tasks(&self, lu: &Rc<Lu>, except: Option<&Rc<Task>>) {
        let tasks = lu.tasks.borrow().clone();
        for task in &tasks {
            if except.is_none_or(|except| !Rc::ptr_eq(task, except)) {
                self.abort_task(task);
            }
        }
    }

    /// Waits until the LU has no tasks but `except`.
    pub(super) async fn wait_for_lu_tasks(&self, lu: &Rc<Lu>, except: Option<&Rc<Task>>) {
        let left = || {
            let tasks = lu.tasks.borrow();
            tasks
                .iter()
                .any(|task| except.is_none_or(|except| !Rc::ptr_eq(task, except)))
        };
        while left() {
            self.state().task_freed.wait().await;
        }
    }

    /// Waits until a task is over.
    pub async fn wait_for_end(&self, task: &Rc<Task>) {
        while !task.flags.get().freed {
            self.state().task_freed.wait().await;
        }
    }
}
