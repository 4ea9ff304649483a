// SPDX-License-Identifier: MPL-2.0
//! What never runs on a storage node: the fake STMF kernel, and worlds of simulated nodes in
//! which the relay of `stmf-proxy` runs against it.

pub mod demo;
pub mod executor;
pub mod explore;
pub mod field;
pub mod findings;
pub mod import;
pub mod kernel;
pub mod recording;
pub mod relays;
pub mod replay;
pub mod report;
pub mod scsi;
pub mod service;
pub mod shrink;
#[cfg(any(test, feature = "proptest"))]
pub mod strategies;
pub mod view;
pub mod world;
