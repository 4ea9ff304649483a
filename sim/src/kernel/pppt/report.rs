// SPDX-License-Identifier: MPL-2.0
//! The proxy service seen from outside: for recordings, checkers and people.

use super::target::{Target, order_of};
use super::{Pppt, ServiceState, TargetState, TaskState};
use std::rc::Rc;
use stmf_proxy::message::DeviceId;

/// A proxy port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetReport {
    /// Its name, as it is stored (code set 2).
    pub id: DeviceId,
    /// Its state.
    pub state: TargetState,
}

/// A session of a proxy port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionReport {
    /// The id that the peer gave it.
    pub id: u64,
    /// The name of its target.
    pub target: Vec<u8>,
    /// The initiator's TransportID.
    pub rport: Vec<u8>,
    /// Who uses it: callers and tasks.
    pub holds: u32,
    /// Its tasks, by id.
    pub tasks: Vec<TaskReport>,
}

/// A command of the peer's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskReport {
    /// The id that the peer gave it.
    pub msgid: u64,
    /// How far it is.
    pub state: TaskState,
}

impl Pppt<'_> {
    /// The proxy ports, in the order of the list; those that are being deleted are not in it.
    pub fn targets(&self) -> Vec<TargetReport> {
        let report = |target: &Rc<Target>| TargetReport {
            id: target.id.clone(),
            state: target.state.get(),
        };
        self.state().targets.borrow().iter().map(report).collect()
    }

    /// The sessions of all proxy ports, by id; those of ports that are being deleted are among
    /// them until they are closed.
    pub fn sessions(&self) -> Vec<SessionReport> {
        let sessions = self.state().sessions.borrow();
        sessions
            .values()
            .map(|session| SessionReport {
                id: session.id,
                target: session
                    .target()
                    .map_or(vec![], |target| target.id.ident.clone()),
                rport: session.rport.clone(),
                holds: session.holds.get(),
                tasks: session
                    .tasks
                    .borrow()
                    .values()
                    .map(|task| TaskReport {
                        msgid: task.msgid,
                        state: task.state.get(),
                    })
                    .collect(),
            })
            .collect()
    }

    /// The number by which stmf knows a command of the peer, while it runs.
    pub fn task_number(&self, session: u64, msgid: u64) -> Option<u64> {
        let sessions = self.state().sessions.borrow();
        let task = sessions
            .get(&session)?
            .tasks
            .borrow()
            .get(&msgid)
            .cloned()?;
        Some(task.stmf_task()?.number)
    }

    /// Whether somebody has the device open.
    pub fn is_open(&self) -> bool {
        self.state().handle.get().is_some()
    }

    /// How many sessions there are.
    pub fn session_count(&self) -> usize {
        self.state().sessions.borrow().len()
    }

    /// How many tasks there are in all sessions.
    pub fn task_count(&self) -> usize {
        let sessions = self.state().sessions.borrow();
        sessions
            .values()
            .map(|session| session.tasks.borrow().len())
            .sum()
    }

    /// Everything that cannot be so in a kernel that is at rest and not panicked, as lines for a
    /// person; none if all is well. A hold that was leaked (trap 1) is found here long before
    /// anybody waits for it.
    pub fn inconsistencies(&self) -> Vec<String> {
        let mut found = Vec::new();
        let state = self.state();
        let targets = state.targets.borrow();
        if !targets.is_sorted_by(|one, next| order_of(&one.id) < order_of(&next.id)) {
            found.push("the list of proxy ports is out of order or has a name twice".into());
        }
        if !targets.is_empty() && state.service.get() != ServiceState::Enabled {
            found.push(format!(
                "there are proxy ports while the service is {:?}",
                state.service
            ));
        }
        let sessions = state.sessions.borrow();
        for (id, session) in sessions.iter() {
            let Some(target) = session.target() else {
                found.push(format!("session {id} has no proxy port"));
                continue;
            };
            let known = target.sessions.borrow().get(id).cloned();
            if !known.is_some_and(|known| Rc::ptr_eq(&known, session)) {
                found.push(format!("session {id} is not in the list of its proxy port"));
            }
            let tasks = session.tasks.borrow();
            if session.holds.get() as usize != tasks.len() {
                found.push(format!(
                    "session {id} has {} tasks but {} holds",
                    tasks.len(),
                    session.holds.get()
                ));
            }
            for (msgid, task) in tasks.iter() {
                if task.stmf_task().is_none_or(|task| task.flags.get().freed) {
                    found.push(format!("task {msgid} of session {id} is unknown to stmf"));
                }
            }
        }
        for target in targets.iter() {
            for (id, session) in target.sessions.borrow().iter() {
                if !sessions
                    .get(id)
                    .is_some_and(|known| Rc::ptr_eq(known, session))
                {
                    let name = target.id.ident.escape_ascii();
                    found.push(format!(
                        "session {id} of {name} is not in the list of sessions"
                    ));
                }
            }
        }
        found
    }
}
