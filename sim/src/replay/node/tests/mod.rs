// SPDX-License-Identifier: MPL-2.0
//! Worlds are recorded, one node of them is taken out and played again.

mod reports;
mod robust;
mod rounds;
mod worlds;
