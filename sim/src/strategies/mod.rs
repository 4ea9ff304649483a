// SPDX-License-Identifier: MPL-2.0
//! Strategies for property tests of relays and daemons in the world (feature `proptest`):
//! messages, commands, fault plans and whole scenarios, all of which shrink.
//!
//! | module | what |
//! | --- | --- |
//! | [`messages`] | any of the fifteen messages, sound or damaged |
//! | [`cdbs`] | SCSI commands as a host sends them, sound and odd |
//! | [`faults`] | what goes wrong, by group, one after the other |
//! | [`scenarios`] | a world, what is in it, what hosts do, what goes wrong |
//!
//! A scenario is played by [`explore::run`](crate::explore::run), with any
//! [`RelayProgram`](crate::world::RelayProgram) on both nodes; docs/testing-your-relay.md tells
//! how to test a relay of one's own.
//!
//! ```
//! use proptest::prelude::*;
//! use proptest::test_runner::{Config, TestRunner};
//! use std::rc::Rc;
//! use stmf_sim::explore::{self, Settings};
//! use stmf_sim::strategies::scenarios::Scenarios;
//! use stmf_sim::world::StandardRelay;
//!
//! let scenarios = Scenarios::new().hosts(1..=2).acts(0..=4).strategy();
//! let mut runner = TestRunner::new(Config::with_cases(2));
//! let checked = runner.run(&scenarios, |scenario| {
//!     // Yours stands in its place:
//!     let relay = Some(Rc::new(StandardRelay::new()) as _);
//!     let verdict = explore::run(&scenario, Settings { relay, ..Settings::default() });
//!     prop_assert!(verdict.findings.is_empty(), "{:?}", verdict.findings);
//!     Ok(())
//! });
//! assert_eq!(checked, Ok(()));
//! ```

pub mod cdbs;
pub mod faults;
pub mod scenarios;

#[cfg(test)]
mod tests;

pub use stmf_proxy::message::strategies as messages;
