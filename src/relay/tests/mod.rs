// SPDX-License-Identifier: MPL-2.0
//! Tests of the whole relay: the rules one by one, the links, and properties of two relays.

mod demo_link;
mod handle;
mod kernel_rules;
mod links;
mod pair;
mod patience;
mod rig;
mod robust;
mod rules;
mod text;
mod world;
