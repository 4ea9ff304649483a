// SPDX-License-Identifier: MPL-2.0
//! Tasks and task management.

use super::super::Failure;
use super::{LU, MOMENT, both, start_with_path, test_unit_ready};
use crate::findings::Kind;
use crate::kernel::doors::DoorFault;
use crate::scsi::cdb;
use crate::world::{PortConfig, Transfer};
use stmf_proxy::message::status::task_management::LUN_RESET;
use stmf_proxy::status::Errno;

pub(super) const GONE_LU: Failure = Failure {
    id: "6901087",
    title: "a LUN reset for a LU that is being deleted panics the node",
    sees: "A head of a cluster panics while it builds a scsi_cmd message, just when a LU is being \
           deleted.",
    why: "Task management functions are copied to the peer. To build the message the kernel read \
          the id of the LU, also for a task whose LU was gone. Later kernels send zeros in its \
          place.",
    avoided: "The mistake is the kernel's own and happens before a relay sees anything. On such a \
              kernel, delete LUs when no initiator uses them.",
    cause: "kernel: defects.read-id-of-gone-lu",
    seed: 1,
    build: |variant| both(variant, |config| config.defects.read_id_of_gone_lu = true),
    scenario: |world| {
        Box::pin(async move {
            let (_, path) = start_with_path(&world).await?;
            test_unit_ready(&path).await;
            world.step("the LU is deleted, and a LUN reset comes for it");
            world.node(1).remove_lu(LU).await?;
            world.sleep(MOMENT).await;
            // The first one is told that the list of LUs has changed.
            for _ in 0..2 {
                path.manage([0; 8], LUN_RESET).await;
            }
            Ok(())
        })
    },
    kind: Kind::NodePanic,
    words: &[
        "node 0 panicked",
        "id of a LU that is gone",
        "task management",
    ],
};

pub(super) const OLD_MESSAGE_ID: Failure = Failure {
    id: "6894324",
    title: "a status for an old command completes a new one",
    sees: "A command ends at once with the status of another one that was given up before; here \
           TEST UNIT READY says that a block is out of range.",
    why: "The kernel uses the structure of a task again and did not clear the message id in it. \
          The status of the old command came late, was looked up by that id, and found the new \
          command, which had no id of its own yet.",
    avoided: "No relay can tell: the late status is a message like any other and has to be \
              delivered. Kernels since clear the id.",
    cause: "kernel: defects.keep-message-ids",
    seed: 1,
    build: |variant| both(variant, |config| config.defects.keep_message_ids = true),
    scenario: |world| {
        Box::pin(async move {
            let (host, path) = start_with_path(&world).await?;
            test_unit_ready(&path).await;
            world.step("a command is given up before its status comes");
            world.network().hold(1, 0);
            let beyond_the_end = path.clone();
            world.spawn("read beyond the end", async move {
                let cdb = cdb::read_10(u32::MAX, 1);
                let transfer = Transfer::Read(512);
                beyond_the_end.command([0; 8], &cdb, transfer).await;
            });
            world.sleep(MOMENT).await;
            path.logout().await;
            let path = world.node(0).login(&host, 0).await?;
            world.step("its status and a new command wait for the stmf lock");
            let errno = Errno::EAGAIN;
            let fault = DoorFault::Errno { errno, times: 2 };
            world.node(0).fail_door_calls(fault)?;
            let node = world.node(0).clone();
            world.spawn("another port", async move {
                let _ = node.add_port(PortConfig::default()).await;
            });
            world.sleep(MOMENT).await;
            world.network().release(1, 0);
            world.sleep(MOMENT).await;
            test_unit_ready(&path).await;
            Ok(())
        })
    },
    kind: Kind::WrongAnswer,
    words: &[
        "TEST UNIT READY",
        "was ended with the status of task",
        "READ(10)",
    ],
};

pub(super) const UNHELD: Failure = Failure {
    id: "3775-8564-13365",
    title: "a task of the peer is freed while it is still in use",
    sees: "A node panics under load with \"bad mutex\", in the thread that aborts a command of the \
           peer or confirms its data. Slow answers of the relay make it likelier.",
    why: "pppt took no reference to a task for the threads that work on it. When the status had \
          gone out the task was freed, and the thread that was aborting it went on with freed \
          memory. A command that comes twice with one id frees its task twice, too.",
    avoided: "The relay never posts a message twice and answers every upcall at once, which keeps \
              the window small; it cannot close it. Kernels since take the reference.",
    cause: "kernel: defects.unheld-tasks",
    seed: 1,
    build: |variant| both(variant, |config| config.defects.unheld_tasks = true),
    scenario: |world| {
        Box::pin(async move {
            let (host, path) = start_with_path(&world).await?;
            let direct = world.node(1).login(&host, 0).await?;
            test_unit_ready(&path).await;
            world.step("a LUN reset comes while a status is on its way through the door");
            let errno = Errno::EAGAIN;
            let fault = DoorFault::Errno { errno, times: 1 };
            world.node(1).fail_door_calls(fault)?;
            world.spawn("command of the peer", async move {
                test_unit_ready(&path).await;
            });
            world.sleep(MOMENT).await;
            direct.manage([0; 8], LUN_RESET).await;
            Ok(())
        })
    },
    kind: Kind::NodePanic,
    words: &["node 1 panicked", "bad mutex", "aborts it still uses it"],
};

pub(super) const ASSERTION: Failure = Failure {
    id: "nex-3188",
    title: "an assertion fails on task management for a LU",
    sees: "A node panics with a failed assertion when an initiator resets a LUN through a port \
           that is registered with the peer.",
    why: "A task management function is sent to the peer with zeros for the LU id. The kernel \
          asserted that its task has none, but a task for a LU that exists has one.",
    avoided: "It happens before a relay sees the message. Kernels since have no such assertion.",
    cause: "kernel: defects.assert-no-lu-id",
    seed: 1,
    build: |variant| both(variant, |config| config.defects.assert_no_lu_id = true),
    scenario: |world| {
        Box::pin(async move {
            let (_, path) = start_with_path(&world).await?;
            test_unit_ready(&path).await;
            world.step("LUN reset through the standby path");
            path.manage([0; 8], LUN_RESET).await;
            Ok(())
        })
    },
    kind: Kind::NodePanic,
    words: &["node 0 panicked", "assertion failed", "LU id"],
};
