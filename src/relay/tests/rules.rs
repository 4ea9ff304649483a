// SPDX-License-Identifier: MPL-2.0
//! The rules about messages, one by one: 1 to 5.

use super::rig::*;
use crate::link::{BreakReason, ConnectionId, LinkError, Role, TransportEnd};
use crate::relay::*;

fn rig() -> Rig {
    Rig::new(config(Role::Connect))
}

// ---- 1: byte for byte, once, in order ----

#[test]
fn rule_1_messages_arrive_as_they_were_sent() {
    let mut rig = rig();
    let mut peer = rig.up();
    let every_byte: Vec<u8> = (0..=255).collect();
    assert_eq!(rig.upcall(b"first"), 0);
    assert_eq!(rig.upcall(&every_byte), 0);
    peer.read(&mut rig);
    let got: Vec<_> = peer.got.iter().skip(2).cloned().collect();
    use crate::link::connection::Incoming::Message;
    assert_eq!(
        got,
        [Message("first".into()), Message(every_byte.clone().into())]
    );

    peer.send(&mut rig, &every_byte);
    let [Action::Post { message, .. }] = &rig.take()[..] else {
        panic!("one post")
    };
    assert_eq!(message[..], every_byte);
}

#[test]
fn rule_1_a_flipped_bit_ends_the_link_before_the_message_is_posted() {
    for byte in [0, 5, 20, 31, 32, 40] {
        let mut rig = rig();
        let mut peer = rig.up();
        let mut frame = peer.frame(&rig, b"a scsi command");
        frame[byte] ^= 0x10;
        rig.received(1, &frame);
        let reason = rig.disconnect();
        assert!(
            matches!(
                reason,
                Some(BreakReason::Protocol(
                    LinkError::HeaderChecksum { .. } | LinkError::PayloadChecksum { .. }
                ))
            ),
            "byte {byte}: {reason:?}"
        );
        assert_eq!(rig.relay.statistics().posts_started, 0);
    }
}

#[test]
fn rule_1_a_repeated_frame_or_one_of_an_earlier_connection_is_refused() {
    let mut rig = rig();
    let mut peer = rig.up();
    let frame = peer.frame(&rig, b"1 once");
    rig.received(1, &frame);
    rig.received(1, &frame);
    assert_eq!(
        rig.disconnect(),
        Some(BreakReason::Protocol(LinkError::OutOfSequence {
            expected: 3,
            found: 2
        }))
    );

    let mut rig = Rig::new(config(Role::Connect));
    let mut peer = rig.up();
    let old = peer.frame(&rig, b"1 old");
    rig.put(Input::Disconnected {
        connection: ConnectionId(1),
        end: TransportEnd::Reset,
    });
    rig.wait(SECOND);
    rig.link_up(
        2,
        PeerKind {
            attempt: 2,
            ..PeerKind::default()
        },
    );
    rig.take();
    rig.received(2, &old);
    assert!(matches!(
        rig.disconnect(),
        Some(BreakReason::Protocol(LinkError::WrongSession { .. }))
    ));
    assert_eq!(rig.relay.statistics().posts_started, 0);
}

// ---- 2: never 0 unless queued on a live link ----

#[test]
fn rule_2_every_upcall_is_answered_at_once_and_0_only_on_a_link_that_stands() {
    let mut rig = rig();
    assert_eq!(rig.upcall(b"before start"), 134);
    rig.start();
    assert_eq!(rig.upcall(b"no connection"), 134);
    rig.connected(1);
    assert_eq!(rig.upcall(b"not greeted"), 134);
    let mut peer = PeerEnd::greet(&mut rig, 1, PeerKind::default());
    assert_eq!(rig.upcall(b"not welcomed"), 134);
    peer.read(&mut rig);
    peer.welcome(&mut rig);
    assert_eq!(rig.upcall(b"up"), 0);
    peer.read(&mut rig);
    assert_eq!(peer.texts(), ["up"]);
    rig.put(Input::Disconnected {
        connection: ConnectionId(1),
        end: TransportEnd::Closed,
    });
    assert_eq!(rig.upcall(b"down"), 134);
    rig.put(Input::Stop);
    assert_eq!(rig.upcall(b"stopping"), 143);
    assert_eq!(rig.relay.statistics().upcalls_refused, 6);
    assert_eq!(rig.relay.statistics().upcalls_accepted, 1);
    let said = rig
        .lines()
        .iter()
        .filter(|line| line.contains("refused and lost"))
        .count();
    assert_eq!(
        said, 3,
        "once before the link, once after, once when stopping"
    );
    assert!(rig.says("4 messages of the kernel lost while no link stood"));
}

#[test]
fn rule_2_a_message_too_long_or_empty_is_refused_and_the_link_stays() {
    let mut rig = rig();
    rig.start();
    let mut peer = rig.link_up(
        1,
        PeerKind {
            max_message: 500,
            ..PeerKind::default()
        },
    );
    assert_eq!(rig.upcall(&[b'1'; 500]), 0);
    assert_eq!(rig.upcall(&[b'1'; 501]), 97);
    assert_eq!(rig.upcall(&[b'1'; 1001]), 97);
    assert_eq!(rig.upcall(b""), 22);
    assert!(rig.relay.is_link_up());
    peer.read(&mut rig);
    assert_eq!(peer.texts().len(), 1);
    assert!(rig.says("501 bytes is refused and lost: 500 allowed"));
}

#[test]
fn rule_2_and_4_a_full_send_queue_refuses_and_drops_the_link() {
    let mut rig = rig();
    rig.up();
    let room = config(Role::Connect).send_queue_bytes;
    let waiting = rig.relay.statistics().send_queue_bytes_now as usize;
    let frame = 32 + 1000;
    let fit = (room - waiting) / frame;
    for _ in 0..fit {
        assert_eq!(rig.upcall(&[b'1'; 1000]), 0);
    }
    // What is left is used to the last byte.
    let left = room - waiting - fit * frame;
    assert_eq!(rig.upcall(&vec![b'1'; left - 32]), 0);
    assert_eq!(rig.relay.statistics().send_queue_bytes_now as usize, room);
    assert_eq!(rig.upcall(b"1"), 132);
    assert_eq!(
        rig.disconnect(),
        Some(BreakReason::SendQueueFull { bound: room })
    );
    assert_eq!(rig.upcall(b"1"), 134);
    assert_eq!(rig.relay.statistics().messages_unconfirmed, fit as u64 + 1);
}

#[test]
fn room_in_the_send_queue_comes_back_as_bytes_are_taken() {
    let mut rig = rig();
    rig.up();
    for _ in 0..100 {
        assert_eq!(rig.upcall(&[b'1'; 1000]), 0);
        let bytes = rig.relay.statistics().send_queue_bytes_now as usize;
        rig.put(Input::Sent {
            connection: ConnectionId(1),
            bytes,
        });
    }
    assert_eq!(rig.relay.statistics().send_queue_bytes_now, 0);
}

// ---- 3: a post never holds up reading ----

#[test]
fn rule_3_reading_goes_on_while_every_post_is_blocked() {
    let mut config = config(Role::Connect);
    config.posts_in_flight = 2;
    config.post_queue_messages = 1000;
    let mut rig = Rig::new(config);
    let mut peer = rig.up();
    for number in 0..50 {
        peer.send(&mut rig, format!("{}", number % 10).as_bytes());
    }
    assert_eq!(rig.posts().len(), 2, "no more than allowed are in progress");
    assert_eq!(rig.relay.statistics().messages_received, 50);
    // The link lives on, both ways, for as long as the posts stay blocked.
    for _ in 0..100 {
        rig.wait(SECOND);
        peer.tick(&mut rig);
        peer.send(&mut rig, b"5");
    }
    assert!(rig.relay.is_link_up(), "{:?}", rig.lines());
    assert_eq!(rig.upcall(b"1"), 0);
    assert!(rig.says("post 1 has been in the kernel for"));
}

// ---- 4: bounded memory ----

#[test]
fn rule_4_the_bound_on_messages_holds_at_its_edge_and_drops_the_link() {
    let mut rig = rig();
    let mut peer = rig.up();
    for _ in 0..10 {
        peer.send(&mut rig, b"1");
    }
    let posts = rig.posts();
    assert_eq!(posts.len(), 1);
    assert!(rig.relay.is_link_up());
    peer.send(&mut rig, b"1");
    assert_eq!(
        rig.disconnect(),
        Some(BreakReason::PostQueueCount { bound: 10 })
    );
    peer.read(&mut rig);
    assert_eq!(
        peer.texts(),
        ["goodbye: its queue of messages to be posted is full"]
    );
    let statistics = rig.relay.statistics();
    assert_eq!(
        (
            statistics.post_queue_messages_now,
            statistics.messages_discarded
        ),
        (1, 10)
    );
    rig.finish(posts[0].0);
    assert_eq!(rig.relay.statistics().post_queue_messages_now, 0);
    assert_eq!(rig.posts(), [], "what waited went with its link");
}

#[test]
fn rule_4_the_bound_on_bytes_holds_at_its_edge() {
    let mut rig = rig();
    let mut peer = rig.up();
    for _ in 0..4 {
        peer.send(&mut rig, &[b'1'; 1000]);
    }
    assert!(rig.relay.is_link_up());
    peer.send(&mut rig, b"1");
    rig.actions
        .retain(|action| !matches!(action, Action::Post { .. }));
    assert_eq!(
        rig.disconnect(),
        Some(BreakReason::PostQueueBytes { bound: 4000 })
    );
    // The one in progress is none of them.
    assert_eq!(rig.relay.statistics().messages_discarded, 4);
}

#[test]
fn rule_4_a_frame_longer_than_allowed_ends_the_link_when_its_header_is_here() {
    let mut rig = rig();
    let mut peer = rig.up();
    let frame = peer.frame(&rig, &[0; 1001]);
    rig.received(1, &frame[..32]);
    assert_eq!(
        rig.disconnect(),
        Some(BreakReason::Protocol(LinkError::TooLong {
            sequence: 2,
            length: 1001,
            bound: 1000
        }))
    );
}

// ---- 5: order where it matters, and only there ----

#[test]
fn rule_5_a_slow_registration_holds_up_its_port_and_nobody_else() {
    let mut rig = rig();
    let mut peer = rig.up();
    for message in [
        "P register",
        "P deregister",
        "1 command",
        "2 command",
        "1 done",
        "Q register",
    ] {
        peer.send(&mut rig, message.as_bytes());
    }
    let posts = rig.posts();
    let texts: Vec<_> = posts.iter().map(|post| post.1.as_str()).collect();
    assert_eq!(
        texts,
        ["P register", "1 command", "2 command", "Q register"]
    );
    rig.finish(posts[1].0);
    assert_eq!(rig.posts()[0].1, "1 done");
    rig.finish(posts[0].0);
    assert_eq!(rig.posts()[0].1, "P deregister");
}

#[test]
fn rule_5_a_message_that_cannot_be_told_keeps_all_order() {
    let mut rig = rig();
    let mut peer = rig.up();
    for message in ["1 before", "! unknown", "2 after"] {
        peer.send(&mut rig, message.as_bytes());
    }
    for expected in ["1 before", "! unknown", "2 after"] {
        let posts = rig.posts();
        assert_eq!(posts.len(), 1);
        assert_eq!(posts[0].1, expected);
        rig.finish(posts[0].0);
    }
}
