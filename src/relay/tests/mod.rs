// SPDX-License-Identifier: MPL-2.0
//! Tests of the whole relay: one file for the rules, one for the links, one for properties.

mod demo_link;
mod links;
mod pair;
mod rig;
mod robust;
mod rules;
mod text;
