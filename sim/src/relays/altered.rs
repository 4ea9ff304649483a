// SPDX-License-Identifier: MPL-2.0
//! The relay of `stmf-proxy` with something between it and its world: what the world tells it
//! and what it wants done can be changed, kept back, or added to.

use crate::world::driver::RelayMachine;
use crate::world::{Host, RelayProgram, StandardRelay};
use std::collections::VecDeque;
use stmf_proxy::relay::{Action, Filling, Input, Relay};
use stmf_proxy::time::Time;

/// What is to happen besides.
#[derive(Default)]
pub(super) struct More {
    /// Told to the relay next.
    pub(super) inputs: VecDeque<Input>,
    /// Done next.
    pub(super) actions: VecDeque<Action>,
}

/// How a relay is bent. What is not said goes its way unchanged.
pub(super) trait Alteration {
    /// An input on its way to the relay; none: the relay does not hear of it.
    fn input(&mut self, now: Time, input: Input, more: &mut More) -> Option<Input> {
        let _ = (now, more);
        Some(input)
    }

    /// An action on its way to the world; none: it is not done.
    fn action(&mut self, now: Time, action: Action, more: &mut More) -> Option<Action> {
        let _ = (now, more);
        Some(action)
    }

    /// When the alteration wants [`Input::Timer`], besides the relay.
    fn next_timer(&self) -> Option<Time> {
        None
    }
}

/// The machine.
struct Altered<A> {
    relay: Relay,
    alteration: A,
    more: More,
}

impl<A: Alteration> RelayMachine for Altered<A> {
    fn handle(&mut self, now: Time, input: Input) {
        if let Some(input) = self.alteration.input(now, input, &mut self.more) {
            self.relay.handle(now, input);
        }
        loop {
            while let Some(action) = self.relay.poll_action() {
                let action = self.alteration.action(now, action, &mut self.more);
                self.more.actions.extend(action);
            }
            match self.more.inputs.pop_front() {
                Some(input) => self.relay.handle(now, input),
                None => return,
            }
        }
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.more.actions.pop_front()
    }

    fn next_timer(&self) -> Option<Time> {
        let times = [self.relay.next_timer(), self.alteration.next_timer()];
        times.into_iter().flatten().min()
    }

    fn bound_passed(&self) -> Option<(&'static str, Filling)> {
        self.relay.occupancy().passed()
    }
}

/// The relay of `stmf-proxy`, bent.
pub(super) struct AlteredRelay<A> {
    pub(super) name: &'static str,
    /// What it is but for the alteration.
    pub(super) standard: StandardRelay,
    pub(super) alteration: fn(&Host) -> A,
}

impl<A: Alteration + 'static> RelayProgram for AlteredRelay<A> {
    fn start(&self, host: Host) {
        match Relay::new(self.standard.config(&host)) {
            Ok(relay) => {
                let machine = Altered {
                    relay,
                    alteration: (self.alteration)(&host),
                    more: More::default(),
                };
                self.standard.start_machine(host, machine);
            }
            Err(error) => {
                host.log(&format!("error: the relay does not start: {error}"));
                host.exit();
            }
        }
    }

    fn name(&self) -> Option<String> {
        Some(self.name.into())
    }
}
