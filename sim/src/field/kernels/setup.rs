// SPDX-License-Identifier: MPL-2.0
//! The ALUA state, ports and the door.

use super::super::{Failure, Variant};
use super::{LU, both, host, insert_disk, kernel, start, start_with_path, test_unit_ready};
use crate::findings::Kind;
use crate::kernel::doors::DoorFault;
use crate::kernel::{KernelConfig, Repairs};
use crate::relays::InitLoop;
use crate::world::{PortConfig, World};
use std::time::Duration;
use stmf_proxy::status::Errno;

pub(super) const REGISTRATION_FAILS: Failure = Failure {
    id: "6895461",
    title: "a registration that fails once leaves a port unregistered",
    sees: "Now and then, after both nodes have come up, one path says \"proxy port not \
           registered\": its commands are answered not ready (02/04/0C) although both nodes and \
           the link are fine. It stays so until the ALUA state is set again.",
    why: "While the ALUA state is set the kernel registers each port with one upcall. If that \
          fails (EAGAIN three times a second apart included) it logs a line and goes on; nothing \
          tries it again.",
    avoided: "The relay has server threads of its own for the door and answers each upcall at \
              once, so that calls do not fail; and it sets the ALUA state anew with every link, \
              which registers everything again.",
    cause: "kernel: as it is (repaired by repairs.register-again)",
    seed: 1,
    build: |variant| {
        World::builder().kernel(KernelConfig {
            repairs: Repairs {
                register_again: variant == Variant::Sound,
                ..Repairs::default()
            },
            ..KernelConfig::default()
        })
    },
    scenario: |world| {
        Box::pin(async move {
            world.step("the door of node 0 fails while ALUA is being switched on");
            let errno = Errno::EAGAIN;
            let fault = DoorFault::Errno { errno, times: 3 };
            world.node(0).fail_door_calls(fault)?;
            let (_, path) = start_with_path(&world).await?;
            world.sleep(Duration::from_secs(5)).await;
            for _ in 0..2 {
                test_unit_ready(&path).await;
            }
            Ok(())
        })
    },
    kind: Kind::PortMissing,
    words: &[
        "of node 0 is not registered with node 1",
        "EAGAIN",
        "nothing tried again",
    ],
};

pub(super) const STANDBY_LUS: Failure = Failure {
    id: "6903022",
    title: "setting the ALUA state deletes standby LUs",
    sees: "An operator sets the ALUA state, and the LUs that the other node serves are gone from \
           this one. The takeover that follows fails: there is nothing to import over.",
    why: "Switching ALUA off deletes every LU that is not active. The same was done when switching \
          it on.",
    avoided: "The library sets the state and touches no LU; the relay sets it only when a link to \
              the peer stands, whose registrations make the standby LUs anew.",
    cause: "kernel: defects.delete-standby-lus",
    seed: 1,
    build: |variant| both(variant, |config| config.defects.delete_standby_lus = true),
    scenario: |world| {
        Box::pin(async move {
            insert_disk(&world);
            let node = world.node(0);
            node.add_lu(LU, false).await?;
            world.step("an operator sets the ALUA state of node 0 and takes the LU over");
            node.set_alua_state(true, 0).await?;
            // Where it is gone this fails, which is what one sees.
            let _ = node.import_lu(LU).await;
            Ok(())
        })
    },
    kind: Kind::LuGone,
    words: &[
        "deleted from node 0",
        "while the ALUA state was being set (on, node 0)",
    ],
};

pub(super) const RECURSIVE_LOCK: Failure = Failure {
    id: "6901972",
    title: "a proxy port that goes offline locks itself up",
    sees: "Stopping the relay never ends, and neither does anything else about ports of the peer: \
           the proxy service hangs until the node is booted.",
    why: "Going offline, a proxy port closes its sessions. It called that with the lock of the \
          port held, and closing a session takes the same lock.",
    avoided: "No relay can close its handle without proxy ports going offline. Kernels since take \
              the lock once; on an older one the report names the thread and the lock.",
    cause: "kernel: defects.lock-port-twice",
    seed: 1,
    build: |variant| both(variant, |config| config.defects.lock_port_twice = true),
    scenario: |world| {
        Box::pin(async move {
            let (_, path) = start_with_path(&world).await?;
            for _ in 0..2 {
                test_unit_ready(&path).await;
            }
            world.step("the relay of node 1 is stopped in order");
            world.node(1).stop_relay();
            Ok(())
        })
    },
    kind: Kind::Deadlock,
    words: &[
        "node 1 holds",
        "recursive",
        "lock of a proxy port",
        "itself",
    ],
};

pub(super) const BOTH_NODE_0: Failure = Failure {
    id: "3751",
    title: "both nodes are node 0",
    sees: "ALUA was enabled on node 1 with the command line tool, and initiators see two ports \
           with one relative target port id: multipathing software mixes the paths up.",
    why: "The tool set node 0 whatever it was told. Node 1 numbers its ports from 256, node 0 from \
          1; with two nodes 0 the numbers clash, and the target port groups are wrong.",
    avoided: "The relay sets the ALUA state itself, with the node number of its own configuration, \
              after the greeting has shown that the peer has the other one.",
    cause: "kernel of node 1: defects.always-node-0",
    seed: 1,
    build: |variant| {
        let node_0 = |config: &mut KernelConfig| config.defects.always_node_0 = true;
        World::builder().kernel_of(1, kernel(variant, node_0))
    },
    scenario: |world| {
        Box::pin(async move {
            start(&world, &PortConfig::default()).await?;
            world.step("ALUA is enabled on node 1 once more, by hand");
            world.node(1).set_alua_state(true, 1).await?;
            Ok(())
        })
    },
    kind: Kind::SameNode,
    words: &["both number their ports as node 0", "was set with number 1"],
};

pub(super) const TRUNCATED: Failure = Failure {
    id: "truncated-status",
    title: "a port that the peer refused counts as registered",
    sees: "Commands down the path through node 0 hang until they time out, though the node says \
           that its port is registered. On the peer there is no such proxy port.",
    why: "The peer's answer to a registration is a 64-bit status, of which only the low 8 bits \
          travel. Every failure has only high bits, so every failure arrives as 0: success.",
    avoided: "The bits are lost before a relay sees the message. This project's codec shows the 8 \
              bits and calls them nothing more; the report compares them with the log of the node \
              that refused.",
    cause: "kernel of node 1: defects.refuse-proxy-ports",
    seed: 1,
    build: |variant| {
        let refuses = |config: &mut KernelConfig| config.defects.refuse_proxy_ports = true;
        World::builder().kernel_of(1, kernel(variant, refuses))
    },
    scenario: |world| {
        Box::pin(async move {
            let (_, path) = start_with_path(&world).await?;
            for _ in 0..2 {
                test_unit_ready(&path).await;
            }
            Ok(())
        })
    },
    kind: Kind::PortFalselyRegistered,
    words: &[
        "of node 0 counts as registered",
        "node 1 has refused it",
        "low 8",
    ],
};

pub(super) const INIT_LEAK: Failure = Failure {
    id: "init-leak",
    title: "after one failed init every further one says busy",
    sees: "A relay that starts too early fails to init the proxy door and tries again, as it \
           should. Every further attempt says that the service is busy, until the process is \
           started anew.",
    why: "stmfInitProxyDoor of the C library opens the device and then installs the door. When the \
          second step fails it leaves the device open; and the device is exclusive, also for the \
          process that has it open already.",
    avoided: "A failed init closes what it has opened: a program may simply try again.",
    cause: "relay: init-leaks",
    seed: 1,
    build: |variant| match variant {
        Variant::Broken => World::builder().relay(InitLoop::leaking()),
        Variant::Sound => World::builder().relay(InitLoop::closing()),
    },
    scenario: |world| {
        Box::pin(async move {
            insert_disk(&world);
            for node in world.nodes() {
                node.add_port(PortConfig::default()).await?;
                node.start_relay()?;
            }
            world.node(1).add_lu(LU, true).await?;
            world.sleep(Duration::from_secs(20)).await;
            let path = world.node(0).login(&host(&world), 0).await?;
            for _ in 0..2 {
                test_unit_ready(&path).await;
            }
            Ok(())
        })
    },
    kind: Kind::RelayStopped,
    words: &[
        "found the proxy service busy",
        "EINVAL",
        "left its handle open",
    ],
};
