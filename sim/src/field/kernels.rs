// SPDX-License-Identifier: MPL-2.0
//! Failures of kernels and their C library.

use super::Failure;

pub(super) const FAILURES: &[Failure] = &[];
