// SPDX-License-Identifier: MPL-2.0
//! Traces for people to look at, and their figures. Knows events and messages, no world.

pub mod ladder;
pub mod story;
