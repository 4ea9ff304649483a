// SPDX-License-Identifier: MPL-2.0
//! Exploration: runs of scenarios that nobody thought of, judged by what must always hold.
//!
//! A [`Scenario`] is a value: the world, what is in it, and what is done to it. Where it comes
//! from does not matter here: [`draw`] makes one of a seed, the strategies of the feature
//! `proptest` make others, a test can write one down. [`run`] plays it in a fresh world: set-up,
//! trouble (its acts), healing, *demand* (everything must work again), and the end; and tells
//! what was found. The same scenario gives the same run.
//!
//! | file | what |
//! | --- | --- |
//! | `act.rs`, `scenario.rs` | scenarios as values |
//! | `draw/` | scenarios from seeds |
//! | `stage.rs`, `commands.rs` | what operators and hosts do |
//! | `heal.rs` | healing and demand |
//! | `phases.rs` | what comes before and after the trouble, and the judgement |
//! | `runner.rs` | one run |
//! | `search.rs`, `summary.rs`, `twice.rs` | runs of many seeds, added up; each twice |
//! | `found.rs`, `report.rs` | failures written into files; what people and programs read |
//! | `kinds.rs` | the faults that are counted, and their groups |
//! | `exhaustive/` | every order of a small scenario |
//! | `schedulers.rs` | ways to decide which thread runs, by name |

mod act;
mod commands;
mod draw;
pub mod exhaustive;
pub mod found;
mod heal;
mod kinds;
mod phases;
pub mod report;
mod runner;
mod scenario;
pub mod schedulers;
mod search;
mod stage;
mod summary;
#[cfg(test)]
mod tests;
mod twice;

pub use act::{Act, Scsi, Timed};
pub use draw::{Draw, FAMILIES, Family, GROUPS, draw};
pub use heal::HEAL;
pub use kinds::{FaultKind, KINDS, group_of, groups};
pub use runner::{Settings, Verdict, builder, run};
pub use scenario::{Scenario, Unit};
pub use search::{Oracles, Search, Watching};
pub use summary::{Failure, FamilyCount, Group, MOST_FAILURES, Summary, Totals};
