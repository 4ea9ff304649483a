// SPDX-License-Identifier: MPL-2.0
//! What a kernel keeps at this moment, in numbers: for checkers that look at a node at rest.
//!
//! Looking changes nothing and takes no lock.

use super::Kernel;
use super::pppt::ServiceState;
use std::time::Duration;

/// See the module. The judgement is made elsewhere ([`crate::findings::invariants`]).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspection {
    /// The state of the proxy service's device.
    pub service: ServiceState,
    /// Whether somebody has it open.
    pub is_open: bool,
    /// References of the kernel to the door that is installed; none if none is.
    pub door_references: Option<u32>,
    /// References of the kernel to other doors, all together.
    pub other_references: u32,
    /// Proxy ports of the service.
    pub targets: usize,
    /// Sessions of the peer.
    pub sessions: usize,
    /// Commands of the peer.
    pub tasks: usize,
    /// What is wrong between the service's own lists, in words.
    pub inconsistencies: Vec<String>,
    /// What is wrong between stmf's lists, in words.
    pub stmf_inconsistencies: Vec<String>,
    /// Ports that stmf takes for proxy ports, by name.
    pub proxy_ports: Vec<Vec<u8>>,
    /// The proxy ports that the service knows, by name.
    pub target_names: Vec<Vec<u8>>,
    /// Commands of this node's own initiators that stmf has not ended, with their age.
    pub local_tasks: Vec<LocalTask>,
}

/// A command or task management function of an initiator on this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalTask {
    /// What it is, as "task 7 (cdb 280000...)".
    pub text: String,
    /// Since when stmf has had it.
    pub age: Duration,
    /// The id under which it is proxied; 0 if it is not.
    pub proxy_msgid: u64,
    /// It is being aborted.
    pub aborting: bool,
}

impl Kernel {
    /// See [`Inspection`].
    pub fn inspect(&self) -> Inspection {
        let (pppt, stmf) = (self.pppt(), self.stmf());
        let installed = pppt.installed_door();
        let (door_references, other_references) = self.doors().references(installed);
        Inspection {
            service: pppt.service_state(),
            is_open: pppt.is_open(),
            door_references,
            other_references,
            targets: pppt.targets().len(),
            sessions: pppt.session_count(),
            tasks: pppt.task_count(),
            inconsistencies: pppt.inconsistencies(),
            stmf_inconsistencies: stmf.inconsistencies(),
            proxy_ports: stmf.proxy_port_names(),
            target_names: pppt
                .targets()
                .into_iter()
                .map(|target| target.id.ident)
                .collect(),
            local_tasks: stmf.local_tasks(),
        }
    }
}
