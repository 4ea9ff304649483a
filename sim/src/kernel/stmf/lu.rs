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
        let state = self.state();
        let _lock = loop {
            lu.online.set(false);
            self.abort_lu_tasks(lu);
            self.wait_for_lu_tasks(lu).await;
            let lock = state.lock.lock().await;
            // If its registration was not over yet, it has come online meanwhile and may have
            // tasks, which would stay behind.
            if !lu.online.get() {
                break lock;
            }
        };
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
            self.abort_lu_tasks(lu);
        }
    }

    /// Begins to abort every task of the LU, newest first.
    fn abort_lu_tasks(&self, lu: &Rc<Lu>) {
        let tasks = lu.tasks.borrow().clone();
        for task in &tasks {
            self.abort_task(task);
        }
    }

    /// Waits until the LU, which takes no new tasks any more, has none.
    async fn wait_for_lu_tasks(&self, lu: &Rc<Lu>) {
        while !lu.tasks.borrow().is_empty() {
            self.state().task_freed.wait().await;
        }
    }

    /// Begins to abort every command of the LU, newest first, for a task management function;
    /// these are the tasks that it then waits for. Other functions are let be: two that abort
    /// each other would each wait for the end of the other, in the very thread that has to bring
    /// its own end about.
    pub(super) fn abort_lu_commands(&self, lu: &Rc<Lu>) -> Vec<Rc<Task>> {
        let mut commands = lu.tasks.borrow().clone();
        commands.retain(|task| task.command.management_function == 0);
        for command in &commands {
            self.abort_task(command);
        }
        commands
    }

    /// Waits until all of these tasks are over, and for none that came after them.
    pub(super) async fn wait_for_ends(&self, tasks: &[Rc<Task>]) {
        while tasks.iter().any(|task| !task.flags.get().freed) {
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
