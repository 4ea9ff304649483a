// SPDX-License-Identifier: MPL-2.0
//! Relay programs by name, so that a trace can say what its nodes ran and a replay can start it.
//!
//! Most of them break one rule for relays (docs/relay.md) each, to show what comes of it
//! (docs/field-failures.md). They are the relay of `stmf-proxy` with something between it and
//! its world (`altered.rs`), or where its insides would not let itself be bent, small programs of
//! their own. Nothing of this runs on a storage node.

mod altered;
mod answers_busy;
mod demo_link;
mod init_loop;
mod keeps_handle;
mod posts_early;
mod retransmits;
mod revokes_first;
mod stops_reading;
mod unordered;

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

/// All of them: those that keep the rules first.
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
    Named {
        name: demo_link::STANDARD_NODE_0,
        about: "the same, but configured as node 0 on either node",
        make: || Rc::new(demo_link::standard_node_0()),
    },
    Named {
        name: demo_link::STANDARD_VERSION_2,
        about: "as a later version may be: speaks versions 1 and 2 of the link",
        make: || Rc::new(demo_link::standard_version_2()),
    },
    Named {
        name: demo_link::VERSION_2_ONLY,
        about: "as a much later version may be: speaks version 2 of the link only",
        make: || Rc::new(demo_link::version_2_only()),
    },
    Named {
        name: demo_link::DEMO_LINK,
        about: "the relay of stmf-proxy over the field's link, which has no checksums",
        make: || Rc::new(demo_link::demo_link()),
    },
    Named {
        name: demo_link::DEMO_LINK_NODE_0,
        about: "over the field's link; enables ALUA as node 0 on either node",
        make: || Rc::new(demo_link::demo_link_node_0()),
    },
    Named {
        name: unordered::NAME,
        about: "posts with as many threads as are busy, in whatever order they get to run",
        make: || Rc::new(unordered::relay()),
    },
    Named {
        name: stops_reading::NAME,
        about: "does not read from its peer while it posts; its queue of one message blocks",
        make: || Rc::new(stops_reading::StopsReading),
    },
    Named {
        name: keeps_handle::NAME,
        about: "keeps its proxy door handle when the peer has rebooted",
        make: || Rc::new(keeps_handle::relay()),
    },
    Named {
        name: retransmits::NAME,
        about: "after a reconnect sends once more what it had sent last",
        make: || Rc::new(retransmits::relay()),
    },
    Named {
        name: revokes_first::NAME,
        about: "revokes its door when told to stop, and ends its posts after that",
        make: || Rc::new(revokes_first::relay()),
    },
    Named {
        name: posts_early::NAME,
        about: "posts what its peer sends before it has enabled ALUA",
        make: || Rc::new(posts_early::relay()),
    },
    Named {
        name: answers_busy::NAME,
        about: "answers upcalls with EAGAIN while more than a few messages wait to be sent",
        make: || Rc::new(answers_busy::relay()),
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

    #[test]
    fn no_name_stands_for_two() {
        for (place, relay) in RELAYS.iter().enumerate() {
            let first = RELAYS.iter().position(|other| other.name == relay.name);
            assert_eq!(first, Some(place), "{}", relay.name);
        }
    }
}
