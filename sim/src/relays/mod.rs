// SPDX-License-Identifier: MPL-2.0
//! Relay programs by name, so that a trace can say what its nodes ran and a replay can start it.

mod init_loop;

pub use init_loop::InitLoop;

use crate::kernel::doors::ServerThreads;
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
pub const RELAYS: &[Named] = &[
    Named {
        name: StandardRelay::NAME,
        about: "the relay of stmf-proxy with default settings",
        make: || Rc::new(StandardRelay::new()),
    },
    Named {
        name: DEFAULT_STACKS,
        about: "the same, served by threads with default stacks (2 MiB)",
        make: || Rc::new(default_stacks()),
    },
    Named {
        name: InitLoop::LEAKS,
        about: "tries to init until it works, and leaves the handle of a failed init open",
        make: || Rc::new(InitLoop::leaking()),
    },
    Named {
        name: InitLoop::CLOSES,
        about: "tries to init until it works, and closes the handle of a failed init",
        make: || Rc::new(InitLoop::closing()),
    },
];

/// What traces call [`default_stacks`].
pub const DEFAULT_STACKS: &str = "default-stacks";

/// The relay of `stmf-proxy`, but for the threads that serve its door: they are made by the door
/// library, with default stacks.
pub fn default_stacks() -> StandardRelay {
    StandardRelay::new()
        .with_server_threads(ServerThreads::default())
        .named(DEFAULT_STACKS)
}

/// The program of this name.
pub fn by_name(name: &str) -> Option<Rc<dyn RelayProgram>> {
    let found = RELAYS.iter().find(|relay| relay.name == name);
    found.map(|relay| (relay.make)())
}

/// A trace names a relay program that cannot be started.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnknownRelay {
    /// It has a name that is not in the list.
    #[error(
        "the trace was made with the relay {0:?}, which this version does not know; \
         use the version that made it"
    )]
    Name(String),
    /// It has none.
    #[error(
        "the trace was made with a relay that has no name, so it cannot be started again; \
         give it a name in stmf_sim::relays and record anew"
    )]
    NoName,
}

/// The program that a trace names.
///
/// # Errors
///
/// If it is not in the list.
pub fn find(name: Option<&str>) -> Result<Rc<dyn RelayProgram>, UnknownRelay> {
    let name = name.ok_or(UnknownRelay::NoName)?;
    by_name(name).ok_or_else(|| UnknownRelay::Name(name.to_string()))
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
