// SPDX-License-Identifier: MPL-2.0
//! stmf's lists, seen from outside.

use super::Stmf;
use super::types::*;
use crate::kernel::inspect::LocalTask;
use std::collections::BTreeSet;
use std::rc::Rc;

impl Stmf<'_> {
    /// The names of the ports that stand for ports of the peer, newest first.
    pub(crate) fn proxy_port_names(&self) -> Vec<Vec<u8>> {
        let ports = self.state().ports.borrow();
        let proxies = ports.iter().filter(|port| port.proxy);
        proxies.map(|port| port.id.ident.clone()).collect()
    }

    /// The tasks of this node's own initiators, oldest first.
    pub(crate) fn local_tasks(&self) -> Vec<LocalTask> {
        let now = self.0.executor().now();
        let tasks = self.state().tasks.borrow();
        let local = tasks.values().filter(|task| !task.port.proxy);
        let tell = |task: &Rc<Task>| LocalTask {
            text: task.to_string(),
            age: now - task.started,
            proxy_msgid: task.proxy_msgid.get(),
            aborting: task.flags.get().aborting,
        };
        local.map(tell).collect()
    }

    /// Everything in the lists that cannot be so in a kernel at rest, as lines for a person.
    pub(crate) fn inconsistencies(&self) -> Vec<String> {
        let state = self.state();
        let (tasks, ports, lus) = (
            state.tasks.borrow(),
            state.ports.borrow(),
            state.lus.borrow(),
        );
        let mut found = Vec::new();
        let mut ids = BTreeSet::new();
        for task in tasks.values() {
            if task.flags.get().freed {
                found.push(format!("{task} is over and in the list of tasks"));
            }
            if let Some(lu) = &task.lu
                && !lu
                    .tasks
                    .borrow()
                    .iter()
                    .any(|other| Rc::ptr_eq(other, task))
            {
                found.push(format!("{task} is not in the list of its LU"));
            }
            if !ports.iter().any(|port| Rc::ptr_eq(port, &task.port)) {
                found.push(format!("{task} came through a port that is gone"));
            }
            let id = task.proxy_msgid.get();
            if id != 0 && !ids.insert(id) {
                found.push(format!("{task} is proxied as {id:#x}, as another one is"));
            }
        }
        for lu in lus.iter() {
            for task in lu.tasks.borrow().iter() {
                if !tasks.contains_key(&task.number) {
                    found.push(format!("{task} is on a LU and not in the list of tasks"));
                }
            }
        }
        for port in ports.iter() {
            for session in port.sessions.borrow().iter() {
                let of_port = session.port.upgrade();
                if !of_port.is_some_and(|other| Rc::ptr_eq(&other, port)) {
                    let name = port.id.ident.escape_ascii();
                    found.push(format!("session {} of {name} has another port", session.id));
                }
            }
        }
        found
    }
}
