// SPDX-License-Identifier: MPL-2.0
//! The STMF proxy door of illumos COMSTAR: what runs on a storage node.
//!
//! The modules stand in layers, and each may use only those above it in this list:
//! [`time`]; [`nvlist`], [`message`]; [`status`], [`platform`], [`proxy_door`]; [`link`], [`relay`];
//! [`trace`].
//! Nothing here knows the simulator (crate `stmf-sim`).

pub mod link;
pub mod message;
pub mod nvlist;
pub mod platform;
pub mod proxy_door;
pub mod relay;
pub mod status;
pub mod time;
pub mod trace;
