// SPDX-License-Identifier: MPL-2.0
//! Why something could not be done to a node.

use super::trace::NodeId;
use crate::kernel::sbd_provider::LuError;
use stmf_proxy::message::status;
use stmf_proxy::proxy_door;

/// Why an operator's command failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NodeError {
    /// The node has no power, or has panicked.
    #[error("node {0} is down; boot it first")]
    Down(NodeId),
    /// No disk was put into the world for this LU.
    #[error("there is no disk for the LU; put one into the world first (World::disks)")]
    NoDisk,
    /// sbd refused.
    #[error(transparent)]
    Lu(#[from] LuError),
    /// stmf refused, with one of its 64-bit statuses.
    #[error("stmf refused: {}", status_name(*.0))]
    Refused(u64),
    /// The door API reported an error.
    #[error(transparent)]
    Library(#[from] proxy_door::Error),
    /// The node has no port of that number.
    #[error("node {node} has no port {port}")]
    NoPort {
        /// The node.
        node: NodeId,
        /// The number of the port.
        port: usize,
    },
    /// The node went down while the command ran.
    #[error("node {0} went down")]
    WentDown(NodeId),
}

fn status_name(code: u64) -> String {
    status::name(code).map_or_else(|| format!("{code:#018x}"), str::to_string)
}
