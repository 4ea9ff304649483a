// SPDX-License-Identifier: MPL-2.0
//! Traces made of what other tools have captured.

pub mod dtrace;
