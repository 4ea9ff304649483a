// SPDX-License-Identifier: MPL-2.0
//! What can go wrong with a node on demand. The names under which it is told when it does are in
//! [`faults`](super::super::faults).

use super::super::faults::{PAUSE, RELAY_KILLED, SERVICE_DISABLED, SERVICE_ENABLED, tell};
use super::super::operation::{Operation, nanoseconds};
use super::super::relay::Host;
use super::{Node, NodeError};
use crate::executor::GroupId;
use crate::kernel::doors::DoorFault;
use crate::kernel::{Allocation, KernelFault};
use std::time::Duration;
use stmf_proxy::message::MessageType;
use stmf_proxy::status::Errno;

/// How often an operator looks whether a switch of the service is over.
const BETWEEN_SWITCHES: Duration = Duration::from_millis(10);

impl Node {
    /// Ends the relay at once, wherever it stands (SIGKILL).
    pub fn kill_relay(&self) {
        let node = self.id;
        let _running = self.operation(|| Operation::KillRelay { node });
        if self.is_paused() {
            return self.kill_later.set(true);
        }
        self.kill_relay_now();
    }

    fn kill_relay_now(&self) {
        if let Some(relay) = self.relay() {
            self.tell_fault(RELAY_KILLED, "");
            relay.exit();
        }
    }

    /// Has something go wrong with the next calls of doors on this node.
    pub fn fail_door_calls(&self, fault: DoorFault) -> Result<(), NodeError> {
        let (node, only) = (self.id, None);
        let _running = self.operation(|| Operation::DoorFault { node, fault, only });
        let kernel = self.kernel().ok_or(NodeError::Down(node))?;
        kernel.doors().inject(fault);
        Ok(())
    }

    /// The same for calls with messages of one type only.
    pub fn fail_door_calls_with(
        &self,
        message_type: MessageType,
        fault: DoorFault,
    ) -> Result<(), NodeError> {
        let node = self.id;
        let _running = self.operation(|| Operation::DoorFault {
            node,
            fault,
            only: Some(message_type.name().into()),
        });
        let kernel = self.kernel().ok_or(NodeError::Down(node))?;
        kernel.doors().inject_only(fault, message_type);
        Ok(())
    }

    /// Has something go wrong in the kernel.
    pub fn inject(&self, fault: KernelFault) -> Result<(), NodeError> {
        let node = self.id;
        let _running = self.operation(|| Operation::KernelFault { node, fault });
        let kernel = self.kernel().ok_or(NodeError::Down(node))?;
        kernel.inject(fault);
        Ok(())
    }

    /// Has the next posts fail: their messages do not reach the kernel.
    pub fn fail_posts(&self, errno: Errno, times: u64) -> Result<(), NodeError> {
        self.inject(KernelFault::Post { errno, times })
    }

    /// Has the kernel find no memory for something, so often.
    pub fn fail_allocations(&self, place: Allocation, times: u64) -> Result<(), NodeError> {
        self.inject(KernelFault::Allocation { place, times })
    }

    /// Has the next registrations of proxy ports take so long in the kernel.
    pub fn slow_registrations(&self, delay: Duration, times: u64) -> Result<(), NodeError> {
        self.inject(KernelFault::SlowRegistration { delay, times })
    }

    /// Forgets the faults of doors and kernel that have not hit anything yet.
    pub fn clear_faults(&self) {
        let node = self.id;
        let _running = self.operation(|| Operation::ClearFaults { node });
        if let Some(kernel) = self.kernel() {
            kernel.doors().clear_faults();
            kernel.clear_faults();
        }
        self.around.network.forget_damages(self.id);
    }

    /// Switches the service "stmf" of the node off, as an operator does (`svcadm disable stmf`):
    /// its ports go offline, those of the peer too, commands to them are refused. Or on again. It
    /// is on after each boot.
    pub async fn set_service(&self, enabled: bool) -> Result<(), NodeError> {
        let node = self.id;
        let _running = self.operation(|| Operation::SetService { node, enabled });
        // One switch after the other, as service management does it.
        let executor = &self.around.executor;
        while self.switching.get() == Some(self.boots()) && self.is_up() {
            executor.sleep(BETWEEN_SWITCHES).await;
        }
        let kernel = self.kernel().ok_or(NodeError::Down(node))?;
        if kernel.stmf().service_enabled() == enabled {
            return Ok(());
        }
        if !enabled {
            self.tell_fault(SERVICE_DISABLED, "");
        }
        let switch = async move { kernel.stmf().set_service(enabled).await };
        self.switching.set(Some(self.boots()));
        let switched = self.kernel_thread("switching of the service", switch).await;
        self.switching.set(None);
        switched?;
        if enabled {
            self.tell_fault(SERVICE_ENABLED, "");
        }
        Ok(())
    }

    /// Stops the node's clockwork for a while, as a machine is stopped by what it runs on: no
    /// thread of its kernel, its relay and its operators runs, and nothing is heard there. Time
    /// goes on. What comes meanwhile waits, timers fire late. Nothing happens to a node that is
    /// down; one that stands still does so until the later of both times.
    pub fn pause(&self, duration: Duration) {
        let (node, nanoseconds) = (self.id, nanoseconds(duration));
        let _running = self.operation(|| Operation::Pause { node, nanoseconds });
        if !self.is_up() || duration.is_zero() {
            return;
        }
        let executor = &self.around.executor;
        let until = executor.now() + duration;
        self.tell_fault(PAUSE, &format!("for {} ms", duration.as_millis()));
        if let Some(earlier) = self.paused.get() {
            return self.paused.set(Some(until.max(earlier)));
        }
        self.paused.set(Some(until));
        self.around.network.freeze(self.id);
        for group in self.groups() {
            executor.pause_group(group);
        }
        let Some(node) = self.this.upgrade() else {
            return;
        };
        let world = self.around.world;
        executor.spawn(world, "pause of a node", async move {
            let executor = &node.around.executor;
            while let Some(until) = node.paused.get() {
                if executor.now() >= until {
                    return node.resume();
                }
                executor.sleep_until(until).await;
            }
        });
    }

    /// Whether the node stands still.
    pub fn is_paused(&self) -> bool {
        self.paused.get().is_some()
    }

    fn resume(&self) {
        self.paused.set(None);
        for group in self.groups() {
            self.around.executor.resume_group(group);
        }
        self.around.network.thaw(self.id);
        if self.kill_later.take() {
            self.kill_relay_now();
        }
    }

    /// A node that goes down stands still no more.
    pub(super) fn forget_pause(&self) {
        self.paused.set(None);
        self.kill_later.set(false);
        self.around.network.thaw(self.id);
    }

    /// The groups of everything that runs on the node.
    fn groups(&self) -> Vec<GroupId> {
        let running = self.running.borrow();
        running.as_ref().map_or(Vec::new(), |running| {
            let relay = running.relay.as_ref().map(Host::group);
            let others = [running.kernel.group(), running.operator];
            others.into_iter().chain(relay).collect()
        })
    }

    fn tell_fault(&self, name: &str, detail: &str) {
        let around = &self.around;
        tell(&around.trace, &around.executor, self.id, name, detail);
    }
}
