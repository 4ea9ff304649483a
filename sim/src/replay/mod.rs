// SPDX-License-Identifier: MPL-2.0
//! Making what was recorded happen again.

pub mod node;
