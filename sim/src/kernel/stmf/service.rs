// SPDX-License-Identifier: MPL-2.0
//! The service "stmf" of a node: switched off, every local port is offline, those of the peer
//! (proxy ports) too, and new ones stay offline. What initiators and the peer send to a port that
//! is offline is refused. LUs, the ALUA state and the device of pppt are left as they are.

use super::Stmf;
use super::types::*;
use std::rc::Rc;

impl Stmf<'_> {
    /// Whether the service runs. It does after each boot.
    pub fn service_enabled(&self) -> bool {
        self.state().service.get()
    }

    /// Switches the service on or off (`svcadm enable stmf`, `svcadm disable stmf`), and waits
    /// until every port is online or offline.
    pub async fn set_service(&self, on: bool) {
        let state = self.state();
        let _switching = state.service_lock.lock().await;
        let lock = state.lock.lock().await;
        let before = state.service.replace(on);
        let ports = self.ports();
        drop(lock);
        if before == on {
            return;
        }
        let (command, wanted) = match on {
            true => (PortCommand::Online, PortState::Online),
            false => (PortCommand::Offline, PortState::Offline),
        };
        for port in &ports {
            self.request_port_state(port, command);
        }
        let known = |port: &Rc<LocalPort>| {
            let ports = state.ports.borrow();
            ports.iter().any(|other| Rc::ptr_eq(other, port))
        };
        while ports
            .iter()
            .any(|port| port.state.get() != wanted && known(port))
        {
            state.port_changed.wait().await;
        }
    }
}
