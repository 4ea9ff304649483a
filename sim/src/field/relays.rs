// SPDX-License-Identifier: MPL-2.0
//! Failures of relays that break a rule.

use super::Failure;

pub(super) const FAILURES: &[Failure] = &[];
