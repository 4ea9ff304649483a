// SPDX-License-Identifier: MPL-2.0
//! Failures of relays that break a rule.

use super::{Failure, Variant};
use crate::findings::Kind;
use crate::relays;
use crate::world::{Builder, StandardRelay, World};
use std::rc::Rc;

mod scenarios;

/// A world in which both nodes run this relay.
fn running(name: &str) -> Builder {
    let relay = relays::by_name(name).unwrap_or_else(|| Rc::new(StandardRelay::new()));
    World::builder().relay(relay)
}

/// A world with the relay that breaks the rule, or with that of `stmf-proxy`.
fn with_relay(name: &str, variant: Variant) -> Builder {
    match variant {
        Variant::Broken => running(name),
        Variant::Sound => running(StandardRelay::NAME),
    }
}

pub(super) const FAILURES: &[Failure] = &[
    Failure {
        id: "reorder",
        title: "a port that is removed and added again is gone on the peer",
        sees: "A port is taken away and added again within a moment, as when a target is restarted. \
               From then on every command through it to a LU of the peer hangs until it times out, \
               although both nodes say that the port is registered. Setting the ALUA state again \
               cures it.",
        why: "The field's daemon posts with as many threads as are busy, so posts happen out of \
              order. register_proxy_port overtook deregister_proxy_port: the peer answered the \
              first that it knows the port already, and with the second deleted it.",
        avoided: "This relay posts messages about the same port, LU or session one after the other, \
                  in the order in which they were sent, and only those about different objects side \
                  by side.",
        cause: "unordered",
        seed: 2,
        build: |variant| with_relay("unordered", variant),
        scenario: |world| Box::pin(scenarios::reorder(world)),
        kind: Kind::Misordered,
        words: &[
            "register_proxy_port",
            "before deregister_proxy_port",
            "the port is gone there",
        ],
    },
    Failure {
        id: "back-pressure",
        title: "both nodes hang as soon as both relays are busy",
        sees: "When both nodes enable ALUA at the same time, or create ports and LUs, both stop: no \
               command ends, no administrative command returns, and neither node comes back by \
               itself.",
        why: "Each kernel calls its door with its stmf lock held. Each relay posts a message that \
              needs that lock, and reads nothing from its peer while the post waits; so the other \
              relay's queue fills up, its door call waits too, and with it the lock that the first \
              one waits for.",
        avoided: "Nothing that posting does holds up reading from the peer in this relay. What waits \
                  to be posted is bounded by dropping the link, never by waiting, and a door call \
                  is answered as soon as its message is queued.",
        cause: "stops-reading",
        seed: 1,
        build: |variant| with_relay("stops-reading", variant),
        scenario: |world| Box::pin(scenarios::back_pressure(world)),
        kind: Kind::Deadlock,
        words: &[
            "node 0 holds the stmf lock in an upcall",
            "node 1 holds the stmf lock in an upcall",
        ],
    },
    Failure {
        id: "ghost-session",
        title: "after a reboot of one node every command on the standby path hangs",
        sees: "A node reboots, the link comes back and all looks well; but commands of some hosts \
               through it to LUs of the peer hang until they time out after 75 seconds, again and \
               again.",
        why: "Session ids begin at 1 again after a reboot, while the peer still holds the sessions \
              from before because its relay has kept its handle. It refuses a command whose session \
              id is lower than the one that it has for that host and port with INVALID_ARG. The \
              status travels in 8 of its 64 bits and arrives as 0, so nobody notices.",
        avoided: "The greeting of this relay's link tells which boot of the kernel it speaks for. \
                  When the peer has rebooted, the relay closes its handle, which clears everything \
                  that the old kernel had here, and opens it again before anything is posted.",
        cause: "keeps-handle",
        seed: 1,
        build: |variant| with_relay("keeps-handle", variant),
        scenario: |world| Box::pin(scenarios::ghost_session(world)),
        kind: Kind::LostCommand,
        words: &[
            "READ(10)",
            "node 1 refused it with INVALID_ARG",
            "session 1 is lower than 2",
        ],
    },
    Failure {
        id: "reboot-panic",
        title: "one node reboots and the other one panics",
        sees: "A node reboots, its hosts log in again in another order than before, and with the \
               first command that goes down the standby path the other node, which serves the LUs, \
               panics.",
        why: "Session ids begin at 1 again after a reboot. A host was given the id that another one \
              had before, and the peer still holds that session because its relay has kept its \
              handle: it puts the id into its list a second time (trap 2).",
        avoided: "This relay closes its handle and opens it again when the greeting of the peer tells \
                  of another boot, before anything of the new one is posted. On the field's link, \
                  which does not tell, it does so at every reconnect.",
        cause: "keeps-handle",
        seed: 1,
        build: |variant| with_relay("keeps-handle", variant),
        scenario: |world| Box::pin(scenarios::reboot_panic(world)),
        kind: Kind::NodePanic,
        words: &[
            "node 1 panicked",
            "session 1 is in the list twice",
            "trap 2",
        ],
    },
    Failure {
        id: "leaked-hold",
        title: "some time after a reboot of the peer all proxying hangs for ever",
        sees: "A node reboots and its hosts log in again in another order. Some commands hang until \
               they time out; then one message is posted that the kernel of the other node never \
               comes back from, and from then on no command at all gets through the standby path. \
               Stopping the relay hangs as well.",
        why: "A command came with the session id that another host had before the reboot. The kernel \
              that still holds that session notices the mismatch, refuses the command, and forgets \
              to let go of the session (trap 1). Whoever next closes the session, by a higher id of \
              its host, its end, the removal of its port or the close of the device, waits for it \
              for ever with the locks of the proxy service held.",
        avoided: "This relay never lets messages of a new boot of the peer meet sessions of the old \
                  one: it closes its handle and opens it again first.",
        cause: "keeps-handle",
        seed: 1,
        build: |variant| with_relay("keeps-handle", variant),
        scenario: |world| Box::pin(scenarios::leaked_hold(world)),
        kind: Kind::Hang,
        words: &[
            "node 1",
            "waits for session 1",
            "never given back",
            "trap 1",
        ],
    },
    Failure {
        id: "double-done",
        title: "a node panics after the link has broken and come back",
        sees: "The link between the nodes breaks for a moment, and just after it stands again the \
               node that serves the LUs panics with an unexpected completion of a transfer.",
        why: "After the reconnect the relay sent the last messages once more, in case they were lost. \
              They were not: a second scsi_data_xfer_done for a command whose read data is not \
              outstanding is fatal to the kernel (trap 3).",
        avoided: "Each connection of this relay's link has an epoch of its own. What was on its way \
                  when the link broke is lost, as the kernels expect, and nothing of one connection \
                  is ever posted as something of the next.",
        cause: "retransmits",
        seed: 1,
        build: |variant| with_relay("retransmits", variant),
        scenario: |world| Box::pin(scenarios::double_done(world)),
        kind: Kind::NodePanic,
        words: &[
            "node 1 panicked",
            "unexpected completion of a transfer",
            "trap 3",
        ],
    },
    Failure {
        id: "stop-panic",
        title: "stopping the relay service under load panics the node",
        sees: "The relay service is stopped, for an update say, while hosts read through the standby \
               path. Now and then the node that serves the LUs panics.",
        why: "The relay revoked its door first. A scsi_data_xfer_done was still being posted, and the \
              kernel wanted to send the status of that read in the same thread; the call failed \
              because there was no door any more, and the task is used after it was freed (trap 7).",
        avoided: "To stop, this relay ends the link, begins no more posts, waits for those in progress \
                  and answers upcalls all the while, closes the handle, and only then revokes the \
                  door. A result other than 0 does no harm; a failed call does.",
        cause: "revokes-first",
        seed: 1,
        build: |variant| with_relay("revokes-first", variant),
        scenario: |world| Box::pin(scenarios::stop_panic(world)),
        kind: Kind::NodePanic,
        words: &[
            "node 1 panicked",
            "the status of a small read could not be sent",
            "trap 7",
        ],
    },
    Failure {
        id: "bad-message",
        title: "one flipped bit on the link panics the peer",
        sees: "The node that serves the LUs panics when a command comes from its peer. The peer's \
               trace and the one of the node differ in a single bit of that message.",
        why: "The field's link has no checksums of its own. The bit was in the name of a field, so \
              the field was missing for the receiver, and a kernel that refuses a scsi_cmd before \
              it has seen the rport frees what it has not allocated (trap 4).",
        avoided: "Every frame of this relay's own link carries a checksum. A frame that was damaged is \
                  never posted: the link is dropped and made anew, and the log says why. The field's \
                  link has to be spoken to nodes that still run its daemon; it should run where \
                  nothing else is on the wire.",
        cause: "demo-link",
        seed: 1,
        build: |variant| with_relay("demo-link", variant),
        scenario: |world| Box::pin(scenarios::bad_message(world)),
        kind: Kind::NodePanic,
        words: &["node 1 panicked", "a refused message is freed", "trap 4"],
    },
    Failure {
        id: "early-post",
        title: "a node panics at start-up when its peer is quicker",
        sees: "Both nodes start, and one of them panics as soon as the other one has enabled ALUA. It \
               depends on which of them is quicker.",
        why: "Its relay posted the registrations of the peer's LUs before ALUA had been enabled on its \
              own node for the first time since boot. Until then the kernel has no function to hand \
              such messages to (trap 8).",
        avoided: "This relay enables ALUA first, and keeps what its peer sends meanwhile. Over its own \
                  link, ALUA is enabled only when both ends have agreed on who is who.",
        cause: "posts-early",
        seed: 1,
        build: |variant| with_relay("posts-early", variant),
        scenario: |world| Box::pin(scenarios::early_post(world)),
        kind: Kind::NodePanic,
        words: &[
            "node 0 panicked",
            "before ALUA was enabled for the first time",
            "trap 8",
        ],
    },
    Failure {
        id: "lost-result",
        title: "under load single commands on the standby path hang for 75 seconds",
        sees: "Most commands of a burst end at once, but some hang until stmf aborts them after 75 \
               to 80 seconds. The kernel's log has \"bad result\" lines from the proxy door.",
        why: "The daemon answered some door calls with a result other than 0 (EAGAIN, meant as \"try \
              again\") although the link stood. The kernel tries again only when the call itself \
              fails; a result it logs, takes the message for sent, and forgets it.",
        avoided: "While the link stands this relay takes every message and queues it, within a bound \
                  at which it drops the link. It answers with an errno only when there is no link to \
                  queue for; then the message would be lost in any case, and the kernel's log says \
                  so.",
        cause: "answers-busy",
        seed: 1,
        build: |variant| with_relay("answers-busy", variant),
        scenario: |world| Box::pin(scenarios::lost_result(world)),
        kind: Kind::LostCommand,
        words: &[
            "node 0 answered its scsi_cmd",
            "with 11",
            "though the link stood",
        ],
    },
    Failure {
        id: "same-node",
        title: "both nodes take themselves for node 0",
        sees: "Both nodes come up and proxy commands, but multipath software on the hosts confuses \
               their paths: ports of both nodes have the same relative target port ids and are in \
               the same target port group.",
        why: "Both relays were configured as node 0 and enabled ALUA with that number. Only node 1 \
              numbers its ports from 256, and nobody compares the numbers over the field's link.",
        avoided: "Relays tell each other their node number when they greet. Two that claim the same \
                  one refuse each other, both say so in their logs, and neither enables ALUA.",
        cause: "demo-link-node-0",
        seed: 1,
        build: |variant| match variant {
            Variant::Broken => running("demo-link-node-0"),
            Variant::Sound => running("standard-node-0"),
        },
        scenario: |world| Box::pin(scenarios::same_node(world)),
        kind: Kind::SameNode,
        words: &["nodes 0 and 1", "ALUA node number 0"],
    },
];

#[cfg(test)]
mod tests;
