// SPDX-License-Identifier: MPL-2.0
//! The parts of a run that are the same whatever happens in its midst: what comes before the
//! trouble and after it, and how the run is judged.

use super::act::Act;
use super::stage::Stage;
use crate::field::REST;
use crate::findings::{Finding, Kind, Watch, invariants};
use crate::world::{Stuck, World};
use std::cell::RefCell;
use std::time::Duration;

/// How long the relays have to find each other at first.
const FOR_ALUA: Duration = Duration::from_secs(10);

impl Stage {
    /// Gives node 1 its relay where the scenario names another one for it: the world was made with
    /// that of node 0 on both.
    pub(super) fn set_relays(&self) {
        if self.scenario.relays[0] != self.scenario.relays[1] {
            self.set_relay(1);
        }
    }

    /// Set-up: disks, ports, LUs and relays.
    pub(super) async fn set_up(&self) {
        self.insert_disks();
        for node in 0..2 {
            self.make_ports(node).await;
            self.make_units(node).await;
            self.start_relay(node);
        }
    }

    /// Waits until the relays have found each other.
    pub(super) async fn settle(&self) {
        for node in self.world.nodes() {
            let _ = node.wait_for_alua(FOR_ALUA).await;
        }
        self.world.sleep(Duration::from_millis(100)).await;
    }

    /// All that comes after the trouble: healing, demand, and the end, until everything has come to
    /// rest.
    pub(super) async fn close(&self) {
        self.heal().await;
        self.demand().await;
        self.world.step(invariants::COMING_TO_REST);
        self.end_sessions().await;
        for node in self.world.nodes() {
            node.stop_relay();
        }
        self.world.sleep(REST).await;
    }
}

/// What was found in a run of these acts that ended like this: by the watchers, by its end, and in
/// the kernels at rest.
pub(super) fn judge<'a>(
    world: &World,
    watch: &RefCell<Watch>,
    ended: Result<Result<(), Stuck>, String>,
    mut acts: impl Iterator<Item = &'a Act>,
) -> Vec<Finding> {
    let found = match ended {
        Ok(Ok(())) => world.deadlock().map(|stuck| Finding::from(&stuck)),
        Ok(Err(stuck)) => Some(Finding::from(&stuck)),
        Err(text) => {
            world.ended(false);
            Some(Finding {
                kind: Kind::ProgramPanic,
                time: world.now(),
                node: None,
                text,
            })
        }
    };
    // Of a run that was given up, the rest is no news.
    let rest = match found {
        Some(found) => vec![found],
        None => invariants::check(world),
    };
    let mut watch = watch.borrow_mut();
    rest.into_iter().for_each(|found| watch.add(found));
    let mut findings = watch.finish(world.now());
    if acts.any(makes_same_node) {
        findings.retain(|finding| finding.kind != Kind::SameNode);
    }
    findings
}

/// Whether an act is an operator's who makes both nodes the same one, or starts a relay that is
/// configured so: that this is found then is just what was asked for.
fn makes_same_node(act: &Act) -> bool {
    match act {
        Act::SetAlua { node, number, .. } => u32::from(*node) != *number,
        Act::ReplaceRelay { relay, .. } => *relay == "standard-node-0",
        _ => false,
    }
}
