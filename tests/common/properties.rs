// SPDX-License-Identifier: MPL-2.0
//! How state machines are explored by default: few cases, more when somebody asks for them.

use proptest::prelude::ProptestConfig;
use proptest::test_runner::FileFailurePersistence;

/// So many cases, or as many as PROPTEST_CASES says; failing seeds are kept in `file`, seen from
/// the package stmf-sim.
pub fn config(cases: u32, file: &'static str) -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = match std::env::var_os("PROPTEST_CASES") {
        Some(_) => default.cases,
        None => cases,
    };
    ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(file))),
        ..default
    }
}
