// SPDX-License-Identifier: MPL-2.0
//! The fake STMF kernel.

pub mod sbd;
