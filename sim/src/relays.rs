// SPDX-License-Identifier: MPL-2.0
//! Relay programs by name, so that a trace can say what its nodes ran and a replay can start it.

use crate::world::{RelayProgram, StandardRelay};
use std::rc::Rc;

/// A relay program that has a name.
#[derive(Clone, Copy)]
pub struct Named {
    /// The name.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// Makes it.
    pub make: fn() -> Rc<dyn RelayProgram>,
}

/// All of them.
pub const RELAYS: &[Named] = &[Named {
    name: StandardRelay::NAME,
    about: "the relay of stmf-proxy with default settings",
    make: || Rc::new(StandardRelay::new()),
}];

/// The program of this name.
pub fn by_name(name: &str) -> Option<Rc<dyn RelayProgram>> {
    let found = RELAYS.iter().find(|relay| relay.name == name);
    found.map(|relay| (relay.make)())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_relay_knows_its_name() {
        for relay in RELAYS {
            assert_eq!((relay.make)().name().as_deref(), Some(relay.name));
            assert!(by_name(relay.name).is_some());
        }
        assert!(by_name("nobody's").is_none());
    }
}
