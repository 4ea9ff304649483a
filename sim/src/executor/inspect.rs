// SPDX-License-Identifier: MPL-2.0
//! What those see who decide step by step which thread runs.

use super::{Executor, GroupId, ThreadId, ThreadName};

impl Executor {
    /// The threads that are ready and not from outside, in the order in which they became so,
    /// each with its group.
    pub(crate) fn ready_threads(&self) -> Vec<(ThreadId, GroupId)> {
        let state = self.0.state.borrow();
        let alive = |id: &ThreadId| state.thread(*id).map(|thread| (*id, thread.group));
        state.ready.iter().filter_map(alive).collect()
    }

    /// What the thread from outside is called that runs next, if one is ready.
    pub(crate) fn next_outside(&self) -> Option<ThreadName> {
        let state = self.0.state.borrow();
        let mut ready = state.ready_outside.iter();
        ready.find_map(|id| state.thread(*id).map(|thread| thread.name))
    }

    /// What a group is called in reports.
    pub(crate) fn group_name(&self, group: GroupId) -> String {
        self.0.state.borrow().groups[group.0 as usize].name.clone()
    }
}

impl ThreadId {
    /// A small number that no other thread has as long as this one lives.
    pub(crate) fn slot(self) -> usize {
        self.slot as usize
    }
}
