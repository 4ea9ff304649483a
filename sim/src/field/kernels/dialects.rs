// SPDX-License-Identifier: MPL-2.0
//! Kernels of two ages in one pair.

use super::super::{Failure, Variant};
use super::{kernel, start_with_path, test_unit_ready};
use crate::findings::Kind;
use crate::kernel::KernelConfig;
use crate::world::{Builder, World};
use stmf_proxy::message::Dialect;
use stmf_proxy::message::status::task_management::LUN_RESET;

/// A pair in which this node is from before mid-2010.
fn old_node(node: u8, variant: Variant) -> Builder {
    let old = |config: &mut KernelConfig| config.dialect = Dialect::Y2009;
    World::builder().kernel_of(node, kernel(variant, old))
}

pub(super) const OLD_RESET: Failure = Failure {
    id: "6972190",
    title: "a LUN reset through the standby path is refused in silence",
    sees: "Discovery of LUNs over the standby path logs \"unmarshal failed\" on the other node and \
           hangs. Nothing comes back to the node that sent the message.",
    why: "Task management functions have no CDB, and kernels from before mid-2010 refuse a \
          scsi_cmd with an empty one. They drop it with a line in their own log; the sender is not \
          told.",
    avoided: "No relay can repair it, for it must not change messages. The recorder and this \
              report show which message was refused; update the older node.",
    cause: "kernel of node 1: dialect 2009",
    seed: 1,
    build: |variant| old_node(1, variant),
    scenario: |world| {
        Box::pin(async move {
            let (_, path) = start_with_path(&world).await?;
            test_unit_ready(&path).await;
            world.step("LUN reset through the standby path");
            path.manage([0; 8], LUN_RESET).await;
            Ok(())
        })
    },
    kind: Kind::RefusedMessage,
    words: &["node 1 (dialect 2009)", "without a CDB", "LUN reset"],
};

pub(super) const MIXED: Failure = Failure {
    id: "6817374-mixed",
    title: "the first command of an older node panics a newer one",
    sees: "During a rolling upgrade the node that was updated panics as soon as an initiator uses \
           the path through the other one. After its reboot it panics again.",
    why: "Kernels since mid-2010 put the TransportID of the initiator into scsi_cmd, and expect \
          it. One that misses it cleans up after its refusal with a pointer that it has not set. \
          In the other direction the older kernel refuses task management functions in silence.",
    avoided: "A relay must not change messages. Stop the relay of the older node before its \
              partner is updated, and start it when both are of one dialect: paths through the \
              standby node are then \"not ready\" meanwhile, and nothing panics.",
    cause: "kernel of node 0: dialect 2009",
    seed: 1,
    build: |variant| old_node(0, variant),
    scenario: |world| {
        Box::pin(async move {
            let (_, path) = start_with_path(&world).await?;
            test_unit_ready(&path).await;
            test_unit_ready(&path).await;
            Ok(())
        })
    },
    kind: Kind::NodePanic,
    words: &[
        "node 1 panicked",
        "icsc_rport",
        "trap 4",
        "node 0 speaks the dialect of 2009",
    ],
};
