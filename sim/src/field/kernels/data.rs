// SPDX-License-Identifier: MPL-2.0
//! Reads, and where their data goes.

use super::super::{Failure, Variant};
use super::{host, read, start, start_with_path, test_unit_ready};
use crate::findings::Kind;
use crate::kernel::{KernelConfig, Repairs};
use crate::relays;
use crate::scsi::{Completion, Sense, cdb};
use crate::world::{Outcome, PortConfig, StandardRelay, Transfer, World};

/// Blocks of 512 bytes in 64 KiB.
const PER_64_KIB: u16 = 128;

pub(super) const PIECES: Failure = Failure {
    id: "chunk-offset",
    title: "large reads over the standby path return wrong data",
    sees: "A read of 256 KiB through the standby node ends with status GOOD and wrong bytes: one \
           stretch of the disk stands where another belongs. Reads of up to 128 KiB are right, and \
           so is everything through the active node.",
    why: "Data of the peer comes in messages of 128 KiB. Where the buffers of the port are \
          smaller, a message goes to the initiator in pieces, and from the second piece on the \
          kernel counts their places from the start of the message and not of the command: right \
          for the first message of a command, wrong from the second on.",
    avoided: "A relay cannot see it. Give ports that take part in ALUA buffers of 128 KiB or more, \
              or keep the transfers of initiators below.",
    cause: "kernel: as it is, with ports that have 64 KiB buffers (repaired by \
            repairs.piece-offsets)",
    seed: 1,
    build: |variant| {
        World::builder().kernel(KernelConfig {
            repairs: Repairs {
                piece_offsets: variant == Variant::Sound,
                ..Repairs::default()
            },
            ..KernelConfig::default()
        })
    },
    scenario: |world| {
        Box::pin(async move {
            let port = PortConfig {
                buffer_size: 64 << 10,
                ..PortConfig::default()
            };
            start(&world, &port).await?;
            let host = host(&world);
            let path = world.node(0).login(&host, 0).await?;
            let direct = world.node(1).login(&host, 0).await?;
            for path in [&path, &direct] {
                test_unit_ready(path).await;
            }
            // The disk repeats itself every 128 KiB, but for this.
            let written = Transfer::Write(&[0x5a; 512]);
            direct
                .command([0; 8], &cdb::write_10(384, 1), written)
                .await;
            world.step("reads of 128 KiB and of 256 KiB through the standby path");
            for pieces in [2, 4] {
                read(&path, 0, pieces * PER_64_KIB).await;
            }
            Ok(())
        })
    },
    kind: Kind::CorruptData,
    words: &["at node 0", "block 128 came with the content of block 384"],
};

pub(super) const SLOW_READS: Failure = Failure {
    id: "nex-1825",
    title: "reads down the standby path crawl",
    sees: "A Windows 2008 host reads at a fraction of the speed of others. It spreads its reads \
           over all paths, and every one through the standby node is sent over the link and back.",
    why: "A standby LU proxies reads instead of refusing them, which an initiator takes for a path \
          as good as any. Data travels at four bytes a byte, one buffer at a time.",
    avoided: "Switch the proxying of reads off (a tunable of some kernels): reads through the \
              standby node are then answered 02/04/0B, and the initiator keeps to the active one.",
    cause: "kernel: as it is (the tunable is proxy-reads)",
    seed: 1,
    build: |variant| {
        World::builder().kernel(KernelConfig {
            proxy_reads: variant == Variant::Broken,
            ..KernelConfig::default()
        })
    },
    scenario: |world| {
        Box::pin(async move {
            let (host, standby) = start_with_path(&world).await?;
            let active = world.node(1).login(&host, 0).await?;
            for path in [&standby, &active] {
                test_unit_ready(path).await;
            }
            world.step("reads by turns over both paths");
            let refused = Outcome::Status(Completion::check(Sense::STANDBY));
            for number in 0..16u8 {
                let path = if number % 2 == 0 { &standby } else { &active };
                let lba = u32::from(number) * u32::from(PER_64_KIB);
                let reply = read(path, lba, PER_64_KIB).await;
                if reply.outcome == refused {
                    read(&active, lba, PER_64_KIB).await;
                }
            }
            Ok(())
        })
    },
    kind: Kind::SlowPath,
    words: &["initiator 0", "down both paths", "standby node 0"],
};

pub(super) const BIG_READ: Failure = Failure {
    id: "big-read",
    title: "large reads through the standby path fail, smaller ones work",
    sees: "Reads of more than about 490 KiB through the standby node are never answered; the \
           active node logs that its door call failed with E2BIG. Smaller reads work.",
    why: "The kernel copies the whole argument of a door call onto the stack of the server thread. \
          Data takes four bytes a byte in a message, and a default thread has 2 MiB.",
    avoided: "The relay makes the server threads of its door itself, with stacks for the largest \
              message that it accepts (16 MiB unless set otherwise).",
    cause: "relay: default-stacks (kernels with proxy buffers of 1 MiB)",
    seed: 1,
    build: |variant| {
        let world = World::builder().kernel(KernelConfig {
            proxy_buffer: 1 << 20,
            ..KernelConfig::default()
        });
        match variant {
            Variant::Broken => world.relay(relays::default_stacks()),
            Variant::Sound => world.relay(StandardRelay::new()),
        }
    },
    scenario: |world| {
        Box::pin(async move {
            let (_, path) = start_with_path(&world).await?;
            test_unit_ready(&path).await;
            world.step("reads of 480 KiB and of 512 KiB through the standby path");
            read(&path, 0, 960).await;
            read(&path, 0, 1024).await;
            Ok(())
        })
    },
    kind: Kind::FailedUpcall,
    words: &[
        "node 1 could not hand a scsi_data",
        "E2BIG",
        "stack of a server thread",
    ],
};
