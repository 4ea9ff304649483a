// SPDX-License-Identifier: MPL-2.0
//! LUs that were given up, where nobody has recorded that.
//!
//! Before a peer imports a LU, its operator gives it up here, as a rule: its commands are
//! aborted without a word. What shows is the peer's message that it serves the LU. So giving up
//! is derived from that message, unless what follows contradicts it: stmf holding the LU for
//! active later, or commands going on.

use crate::kernel::stmf::types::LuId;
use crate::replay::node::input::RecordIndex;
use std::collections::{BTreeMap, BTreeSet};
use stmf_proxy::message::{Body, ScsiStatus};
use stmf_proxy::time::Time;

/// What is known of one life of the kernel.
#[derive(Default)]
pub(super) struct GivenUp {
    /// Operations on LUs were recorded: nothing is derived.
    pub(super) recorded: bool,
    /// LUs that are served here.
    active: BTreeSet<LuId>,
    /// Commands of the peer that are out: their LU, and where they came.
    tasks: BTreeMap<(u64, u64), (LuId, RecordIndex)>,
    managed_at: Option<Time>,
    /// Tasks whose data was confirmed, and of which nothing has come since.
    confirmed: BTreeMap<u64, RecordIndex>,
    /// The first command that was answered "in transition" since the LU was active.
    transition: BTreeMap<LuId, RecordIndex>,
    /// Derived, and not contradicted yet: where, by LU; and where the peer's message came.
    likely: BTreeMap<LuId, (RecordIndex, RecordIndex)>,
    found: Vec<(RecordIndex, LuId)>,
}

/// NOT READY, asymmetric access state transition (02/04/0A), in fixed format.
fn is_transition(status: &ScsiStatus) -> bool {
    let sense = &status.sense;
    sense.len() >= 14 && sense[2] & 0x0f == 2 && sense[12..14] == [0x04, 0x0a]
}

impl GivenUp {
    /// When the peer's last task management function came.
    pub(super) fn managed_at(&self) -> Option<Time> {
        self.managed_at
    }

    pub(super) fn upcall(&mut self, body: &Body) {
        match body {
            Body::RegisterLun(lun) | Body::DeregisterLun(lun) => {
                // stmf holds it for active: it was not given up.
                self.likely.remove(&lun.lun_id);
                self.active.insert(lun.lun_id);
            }
            Body::LunActive(lun) => {
                self.confirm(lun.lun_id);
                self.transition.remove(&lun.lun_id);
                self.active.insert(lun.lun_id);
            }
            Body::ScsiData(data) => {
                self.confirmed.remove(&data.task_msgid);
                self.goes_on((data.session_id, data.task_msgid));
                self.active.insert(data.lun_id);
            }
            Body::ScsiStatus(status) => {
                let name = (status.session_id, status.task_msgid);
                self.confirmed.remove(&status.task_msgid);
                self.goes_on(name);
                if let Some((lu, came)) = self.tasks.remove(&name)
                    && is_transition(status)
                {
                    self.transition.entry(lu).or_insert(came);
                }
            }
            _ => {}
        }
    }

    /// A command that came before the peer's message goes on after it.
    fn goes_on(&mut self, name: (u64, u64)) {
        if let Some((lu, came)) = self.tasks.get(&name)
            && let Some((start, told)) = self.likely.get(lu)
            && came < told.min(start)
        {
            self.likely.remove(lu);
        }
    }

    pub(super) fn post(&mut self, index: RecordIndex, time: Time, body: &Body) {
        match body {
            Body::ScsiCommand(command) => {
                let name = (command.session_id, command.task_msgid);
                if command.task_mgmt_function != 0 {
                    self.managed_at = Some(time);
                }
                self.tasks.insert(name, (command.lun_id, index));
            }
            Body::ScsiDataTransferDone(done) => {
                self.confirmed.insert(done.task_msgid, index);
            }
            Body::RegisterLun(lun) | Body::LunActive(lun) => {
                let lu = lun.lun_id;
                if self.active.remove(&lu) {
                    let transition = self.transition.remove(&lu);
                    let start = transition
                        .unwrap_or(index)
                        .min(self.silent_since(lu, index));
                    self.likely.insert(lu, (start, index));
                }
            }
            _ => {}
        }
    }

    /// Since when tasks of the LU that ought to go on do not.
    fn silent_since(&self, lu: LuId, index: RecordIndex) -> RecordIndex {
        let silent = self.tasks.iter().filter(|(_, (of, _))| *of == lu);
        let since = silent.filter_map(|((_, task), _)| self.confirmed.get(task));
        since.copied().min().unwrap_or(index).min(index)
    }

    fn confirm(&mut self, lu: LuId) {
        if let Some((start, _)) = self.likely.remove(&lu) {
            self.found.push((start, lu));
        }
    }

    /// Which LUs were given up, and before which records.
    pub(super) fn operations(mut self) -> Vec<(RecordIndex, LuId)> {
        if self.recorded {
            return Vec::new();
        }
        let likely = std::mem::take(&mut self.likely);
        let likely = likely.into_iter().map(|(lu, (start, _))| (start, lu));
        self.found.extend(likely);
        self.found
    }
}
