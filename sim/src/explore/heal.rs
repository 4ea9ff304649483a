// SPDX-License-Identifier: MPL-2.0
//! After the trouble: faults stop, an operator puts things in order, and then everything must
//! work again.
//!
//! What an operator does here is what one would do on site, and no more than is needed: a relay
//! that has to be started anew to get going again would be a fault of the relay.

use super::act::{Act, Scsi};
use super::scenario::Scenario;
use super::stage::Stage;
use crate::findings::{DEMAND, SETTLED};
use crate::kernel::sbd::AccessState;
use crate::scsi::SenseKey;
use crate::scsi::reservation::{OutAction, ReservationType};
use crate::world::trace::NodeId;
use crate::world::{Outcome, Reply};
use std::time::Duration;
use stmf_proxy::message::status::task_management::LUN_RESET;

/// The step with which healing begins.
pub const HEAL: &str = "heal: faults stop, and an operator puts things in order";

/// How long an operator waits for the relays to find each other.
const FOR_ALUA: Duration = Duration::from_secs(60);

/// What is under way comes to its end meanwhile: longer than stmf's own time-out.
const SETTLE: Duration = Duration::from_secs(90);

/// How long a host tries before it says that something does not work.
const FOR_COMMAND: Duration = Duration::from_secs(60);

/// After that relays have tried to connect again, however long the trouble was.
const FOR_LINK: Duration = Duration::from_secs(60);

/// Between two tries of a host.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether acts leave something behind that no relay can mend: registrations that the peer has
/// refused, or whose answer was lost, or an ALUA state that was set by hand.
fn needs_registration(scenario: &Scenario) -> bool {
    scenario.acts.iter().any(|timed| {
        matches!(
            timed.act,
            Act::SetAlua { .. }
                | Act::KernelFault { .. }
                | Act::RemoveLu { .. }
                | Act::DoorFault { .. }
        )
    })
}

impl Stage {
    /// Ends the faults and puts things in order.
    pub(super) async fn heal(&self) {
        let world = &self.world;
        // What was begun last is begun now.
        world.sleep(Duration::from_millis(1)).await;
        world.step(HEAL);
        let network = world.network();
        for node in 0..2 {
            network.release(node, node ^ 1);
            network.slow_reader(node, node ^ 1, None);
            world.node(node).clear_faults();
        }
        for lu in (0..).take(self.scenario.units.len()) {
            world.disks().repair(Scenario::lu(lu));
        }
        // Nobody can do anything about a node that stands still.
        while world.nodes().iter().any(|node| node.is_paused()) {
            world.sleep(Duration::from_secs(1)).await;
        }
        self.put_relays_back();
        network.set_config(self.scenario.network.clone());
        for node in 0..2 {
            self.boot(node).await;
            let _ = world.node(node).set_service(true).await;
            if !self.has_ports(node) {
                self.make_ports(node).await;
            }
            self.start_relay(node);
        }
        // A relay ends if it finds the proxy service busy, as it is until the handle of one that
        // was killed is closed; the service management of a node starts it again.
        for _ in 0..FOR_LINK.as_secs() {
            world.sleep(Duration::from_secs(1)).await;
            for (number, node) in (0..).zip(world.nodes()) {
                // It may have gone down only now, by what was done to it before.
                self.boot(number).await;
                // Somebody who was held up may have removed the last port only now.
                if !self.has_ports(number) {
                    self.make_ports(number).await;
                }
                if node.relay().is_none() {
                    self.start_relay(number);
                }
                // Somebody may have queued to switch it off.
                if node
                    .kernel()
                    .is_some_and(|kernel| !kernel.stmf().service_enabled())
                {
                    let _ = node.set_service(true).await;
                }
            }
        }
        world.step(SETTLED);
        // An operator would switch ALUA on again; for the relays that is a new link.
        if needs_registration(&self.scenario) {
            network.break_connections(0, 1);
        }
        world.sleep(Duration::from_secs(1)).await;
        for node in world.nodes() {
            let _ = node.wait_for_alua(FOR_ALUA).await;
        }
        world.sleep(SETTLE).await;
        self.renew_ports().await;
        for lu in (0..).take(self.scenario.units.len()) {
            self.settle_unit(lu).await;
        }
        world.sleep(Duration::from_secs(5)).await;
        self.free_units().await;
    }

    /// Has exactly one node serve a LU, and the other one know it.
    async fn settle_unit(&self, lu: u8) {
        let id = Scenario::lu(lu);
        let home = self.scenario.units[usize::from(lu)].active & 1;
        let state = |node: NodeId| self.access(node, lu);
        let serves = |node: NodeId| state(node) == Some(AccessState::Active);
        let target = match (serves(0), serves(1)) {
            (true, false) => 0,
            (false, true) => 1,
            _ => home,
        };
        let (target_node, other) = (self.world.node(target), self.world.node(target ^ 1));
        if serves(target ^ 1) {
            let _ = other.lu_standby(id).await;
        }
        // What does not work here is found by the demand.
        let _ = match state(target) {
            None => target_node.add_lu(id, true).await,
            Some(AccessState::Active) if state(target ^ 1) == Some(AccessState::Standby) => return,
            // It is told to the peer (again): that ends a transition there, and makes a LU that is
            // not known.
            Some(_) => target_node.import_lu(id).await,
        };
        self.world.sleep(Duration::from_secs(1)).await;
        if state(target ^ 1).is_none() {
            let _ = other.add_lu(id, false).await;
        }
    }

    /// Ends what reservations are left: a reset, and the clearing of registrations.
    async fn free_units(&self) {
        for lu in (0..).take(self.scenario.units.len()) {
            let Some(node) = (0..2).find(|n| self.access(*n, lu) == Some(AccessState::Active))
            else {
                continue;
            };
            let from = (0, node, 0);
            for _ in 0..3 {
                self.manage(from, lu, LUN_RESET).await;
            }
            for action in [OutAction::RegisterAndIgnore, OutAction::Clear] {
                let command = Scsi::PersistentReserveOut {
                    action,
                    kind: ReservationType::WriteExclusive,
                    other: 0,
                    persistent: false,
                };
                self.insist(from, lu, command, 0).await;
            }
        }
    }

    /// Everything has to work: every host, on every node, to every LU. The first thing that does
    /// not work ends it: that is enough to know.
    pub(super) async fn demand(&self) {
        self.end_sessions().await;
        self.world.step(DEMAND);
        let mut number = u64::from(u32::MAX);
        for host in 0..self.scenario.hosts.max(1) {
            for lu in (0..).take(self.scenario.units.len()) {
                number += 1;
                if !self.demand_unit(host, lu, number).await {
                    return;
                }
            }
        }
    }

    /// A LU, as one host uses it: ready on both paths, written where it is served, read on both.
    async fn demand_unit(&self, host: u8, lu: u8, number: u64) -> bool {
        let (lba, blocks) = (u32::from(host), 8);
        for node in 0..2 {
            let from = (host, node, 0);
            if !self.insist(from, lu, Scsi::TestUnitReady, 0).await {
                return false;
            }
        }
        let write = Scsi::Write {
            lba,
            blocks,
            immediate: number.is_multiple_of(2),
        };
        let serves = |node: &NodeId| self.access(*node, lu) == Some(AccessState::Active);
        if let Some(node) = (0..2).find(serves)
            && !self.insist((host, node, 0), lu, write, number).await
        {
            return false;
        }
        for node in 0..2 {
            let read = Scsi::Read { lba, blocks };
            if !self.insist((host, node, 0), lu, read, 0).await {
                return false;
            }
        }
        true
    }

    /// Sends a command until it ends well, or a host would give up; whether it ended well.
    async fn insist(&self, from: (u8, NodeId, u8), lu: u8, command: Scsi, number: u64) -> bool {
        /// A host hears this many unit attentions in a row before it waits.
        const ATTENTIONS: u32 = 8;
        let end = self.world.now() + FOR_COMMAND;
        for tries in 1.. {
            let reply = self.command(from, lu, command, number).await;
            if reply.as_ref().is_some_and(|reply| reply.outcome.is_good()) {
                return true;
            }
            if self.world.now() >= end {
                return false;
            }
            // A unit attention is heard once; everything else may take a moment.
            if tries % ATTENTIONS == 0 || !reply.is_some_and(|reply| is_attention(&reply)) {
                self.world.sleep(PAUSE).await;
            }
        }
        false
    }
}

/// Whether a command was answered with a unit attention.
fn is_attention(reply: &Reply) -> bool {
    match &reply.outcome {
        Outcome::Status(completion) => completion
            .sense
            .is_some_and(|sense| sense.key == SenseKey::UNIT_ATTENTION),
        _ => false,
    }
}
