// SPDX-License-Identifier: MPL-2.0
//! Relays that keep more than their bounds allow: the driver looks after every step of its
//! machine and says so in the log.

use super::{Finding, Found, Kind, Seen, Watcher};
use crate::world::driver::BOUND_PASSED;
use crate::world::trace::Event;
use stmf_proxy::time::Time;

#[derive(Default)]
pub(super) struct Bounds;

impl Watcher for Bounds {
    fn event(&mut self, record: &Seen<'_>, found: Found<'_>) {
        let (Some(node), Event::RelayLog(line)) = (record.node, record.event) else {
            return;
        };
        if let Some(what) = line.strip_prefix(BOUND_PASSED) {
            found.push(Finding {
                kind: Kind::RelayBound,
                time: record.time,
                node: Some(node),
                text: format!("the relay of node {node} keeps more than it may: {what}"),
            });
        }
    }

    fn end(&mut self, _: Time, _: Found<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::super::Watch;
    use crate::world::driver::RelayMachine;
    use crate::world::{Host, RelayProgram, StandardRelay, World};
    use std::time::Duration;
    use stmf_proxy::relay::{Action, Filling, Input};
    use stmf_proxy::time::Time;

    /// A machine that does nothing but to keep what it is given.
    struct Hoard(usize);

    impl RelayMachine for Hoard {
        fn handle(&mut self, _: Time, _: Input) {
            self.0 += 1;
        }
        fn poll_action(&mut self) -> Option<Action> {
            None
        }
        fn next_timer(&self) -> Option<Time> {
            None
        }
        fn bound_passed(&self) -> Option<(&'static str, Filling)> {
            let (now, most) = (self.0, 1);
            (now > most).then_some(("post_queue_messages", Filling { now, most }))
        }
    }

    struct Hoarder;

    impl RelayProgram for Hoarder {
        fn start(&self, host: Host) {
            StandardRelay::new().start_machine(host, Hoard(0));
        }
    }

    #[test]
    fn a_relay_that_keeps_too_much_is_found_once() {
        let world = World::builder().relay(Hoarder).build();
        let watch = Watch::over(&world);
        world
            .run(async |world| {
                world.node(0).start_relay().unwrap();
                // Starting is one input, each of the others another one.
                world.sleep(Duration::from_secs(1)).await;
                for _ in 0..3 {
                    world.node(0).stop_relay();
                    world.sleep(Duration::from_secs(1)).await;
                }
            })
            .unwrap();
        let found = watch.borrow_mut().finish(world.now());
        let told: Vec<String> = found.iter().map(|finding| finding.to_string()).collect();
        assert_eq!(
            told,
            [
                "relay-bound: the relay of node 0 keeps more than it may: post_queue_messages: 2 of 1"
            ]
        );
    }
}
