// SPDX-License-Identifier: MPL-2.0
//! Making links, agreeing, noticing that they are dead, and trying again.

use std::time::Duration;

use bytes::Bytes;

use super::rig::*;
use crate::link::connection::Incoming;
use crate::link::{
    BreakReason, ConnectionId, GoodbyeReason, LinkError, Node, Refusal, Role, TransportEnd,
};
use crate::relay::*;

fn listening() -> Rig {
    let mut rig = Rig::new(config(Role::Listen));
    rig.start();
    assert_eq!(rig.take(), [Action::Listen]);
    rig
}

fn zero() -> PeerKind {
    PeerKind {
        node: Node::Zero,
        ..PeerKind::default()
    }
}

// ---- who may be the peer ----

#[test]
fn two_relays_that_claim_one_node_are_both_told_and_alua_stays_as_it_is() {
    let mut rig = Rig::new(config(Role::Connect));
    rig.start();
    rig.connected(1);
    let mut peer = PeerEnd::greet(&mut rig, 1, zero());
    let refusal = Refusal::NodeConflict {
        node: Node::Zero,
        host: "peer".to_owned(),
    };
    let actions = rig.take();
    assert!(
        matches!(&actions[..], [Action::Connect, Action::Disconnect { flush: true, reason, .. }]
        if *reason == BreakReason::Refused(refusal.clone()))
    );
    assert!(rig.says("both relays claim node 0 (the other is host \"peer\")"));
    assert!(rig.says("configure one of them as node 1"));

    // The other end finds the same in our greeting, and would be told besides.
    for (_, bytes) in std::mem::take(&mut rig.wire) {
        peer.connection.receive(rig.now, bytes.into());
    }
    let found = peer.connection.next(rig.now).expect("our greeting");
    assert!(matches!(
        found,
        Err(BreakReason::Refused(Refusal::NodeConflict { .. }))
    ));
    assert_eq!(
        peer.connection.next(rig.now),
        Some(Ok(Incoming::Goodbye(GoodbyeReason::NodeConflict)))
    );
    rig.wait(SECOND);
    assert_eq!(
        rig.take(),
        [Action::Connect],
        "until somebody has put it right"
    );
}

#[test]
fn whoever_does_not_speak_this_link_is_told_apart() {
    let mut rig = Rig::new(config(Role::Connect));
    rig.start();
    rig.connected(1).received(1, b"\0\0\0\x06head0\0");
    assert_eq!(
        rig.disconnect(),
        Some(BreakReason::Protocol(LinkError::DemoLinkPeer))
    );
    rig.wait(SECOND);
    rig.connected(2).received(2, b"SSH-2.0-");
    assert_eq!(
        rig.disconnect(),
        Some(BreakReason::Protocol(LinkError::NotThisLink(*b"SSH-")))
    );
}

#[test]
fn nothing_but_a_greeting_comes_first_and_messages_wait_for_both_welcomes() {
    let mut rig = listening();
    rig.connected(1);
    let mut peer = PeerEnd::greet(&mut rig, 1, zero());
    peer.read(&mut rig);
    let early = peer.frame(&rig, b"1");
    rig.received(1, &early);
    assert_eq!(
        rig.disconnect(),
        Some(BreakReason::Protocol(LinkError::OutOfPlace {
            sequence: 1,
            kind: "message",
            when: "before both welcomes"
        }))
    );
}

// ---- several connections at once ----

#[test]
fn a_newer_connection_of_the_peer_takes_over_and_an_older_one_does_not() {
    let mut rig = listening();
    let mut old = rig.link_up(
        1,
        PeerKind {
            attempt: 5,
            ..zero()
        },
    );
    rig.take();
    rig.connected(2).connected(3);
    PeerEnd::greet(
        &mut rig,
        2,
        PeerKind {
            attempt: 4,
            ..zero()
        },
    );
    let refusal = Refusal::OutOfDate {
        attempt: 4,
        current: 5,
    };
    assert_eq!(rig.disconnect(), Some(BreakReason::Refused(refusal)));
    assert!(rig.relay.is_link_up());

    let mut new = PeerEnd::greet(
        &mut rig,
        3,
        PeerKind {
            attempt: 6,
            ..zero()
        },
    );
    assert_eq!(
        rig.disconnect(),
        Some(BreakReason::Superseded(ConnectionId(3)))
    );
    old.read(&mut rig);
    assert_eq!(
        old.texts(),
        [format!("goodbye: {}", GoodbyeReason::Superseded)]
    );
    new.read(&mut rig);
    new.welcome(&mut rig);
    assert!(rig.relay.is_link_up());
    // What still comes on the old one changes nothing.
    let late = old.frame(&rig, b"1 late");
    rig.received(1, &late);
    rig.put(Input::Disconnected {
        connection: ConnectionId(1),
        end: TransportEnd::Closed,
    });
    assert!(rig.relay.is_link_up());
}

#[test]
fn a_relay_and_a_kernel_that_began_anew_count_their_attempts_anew() {
    for anew in [
        PeerKind {
            relay: 100,
            ..zero()
        },
        PeerKind { boot: 2, ..zero() },
    ] {
        let mut rig = listening();
        let attempt = 9;
        rig.link_up(1, PeerKind { attempt, ..zero() });
        rig.take();
        rig.connected(2);
        PeerEnd::greet(&mut rig, 2, anew);
        assert_eq!(
            rig.disconnect(),
            Some(BreakReason::Superseded(ConnectionId(2)))
        );
    }
}

#[test]
fn strangers_who_say_nothing_are_bounded_and_change_nothing() {
    let mut rig = listening();
    rig.link_up(1, zero());
    rig.take();
    for id in 2..6 {
        rig.connected(id);
    }
    assert_eq!(rig.take(), []);
    rig.connected(6);
    assert_eq!(rig.disconnect(), Some(BreakReason::TooMany(4)));
    let mut broken = rig.wait(9 * SECOND).take();
    assert_eq!(broken, []);
    rig.put(Input::Received {
        connection: ConnectionId(1),
        bytes: Bytes::new(),
    });
    broken = rig.wait(SECOND).take();
    let late = |action: &Action| {
        matches!(
            action,
            Action::Disconnect {
                reason: BreakReason::GreetingTimeout(_),
                ..
            }
        )
    };
    assert_eq!(broken.iter().filter(|action| late(action)).count(), 4);
}

#[test]
fn a_connection_that_nobody_asked_for_is_dropped() {
    let mut rig = Rig::new(config(Role::Connect));
    rig.connected(1);
    assert_eq!(rig.disconnect(), Some(BreakReason::NotExpected));
    rig.start();
    rig.connected(2);
    rig.take();
    rig.connected(3);
    assert_eq!(rig.disconnect(), Some(BreakReason::NotExpected));
    rig.connected(2);
    assert_eq!(rig.relay.statistics().misuses, 1);
    rig.put(Input::Stop);
    rig.take();
    rig.connected(4);
    assert_eq!(rig.disconnect(), Some(BreakReason::Stopping));
}

/// What a goodbye would say is flushed, and nothing else is waited for.
#[test]
fn what_is_sent_to_a_stranger_is_flushed_only_at_the_end() {
    let flushed = |rig: &mut Rig| {
        rig.take().into_iter().find_map(|action| match action {
            Action::Disconnect { flush, reason, .. } => Some((flush, reason)),
            _ => None,
        })
    };
    let mut rig = listening();
    rig.connected(1);
    rig.wait(10 * SECOND);
    let timeout = BreakReason::GreetingTimeout(10 * SECOND);
    assert_eq!(flushed(&mut rig), Some((false, timeout)));
    rig.connected(2);
    rig.put(Input::Stop);
    assert_eq!(flushed(&mut rig), Some((true, BreakReason::Stopping)));
}

// ---- time ----

#[test]
fn a_peer_that_falls_silent_is_dead_after_its_time_and_not_before() {
    let mut rig = Rig::new(config(Role::Connect));
    rig.up();
    rig.wait(10 * SECOND - Duration::from_nanos(1));
    assert!(rig.relay.is_link_up());
    rig.wait(Duration::from_nanos(1));
    assert_eq!(rig.disconnect(), Some(BreakReason::DeadPeer(10 * SECOND)));
    assert_eq!(rig.upcall(b"1"), 134);
}

#[test]
fn a_peer_that_is_heard_but_hears_nothing_is_found_too() {
    let mut rig = Rig::new(config(Role::Connect));
    let mut peer = rig.up();
    // Bytes of ours are taken by the transport and lost behind it: the peer confirms no more.
    for second in 0..20 {
        let bytes = rig.relay.statistics().send_queue_bytes_now as usize;
        rig.put(Input::Sent {
            connection: ConnectionId(1),
            bytes,
        });
        peer.send(&mut rig, b"1");
        rig.actions.clear();
        rig.wait(SECOND);
        if !rig.relay.is_link_up() {
            assert!((9..=11).contains(&second), "after {second} s");
            assert_eq!(
                rig.disconnect(),
                Some(BreakReason::NotConfirmed(10 * SECOND))
            );
            return;
        }
    }
    panic!("not found");
}

#[test]
fn a_transport_that_takes_no_bytes_is_found() {
    let mut rig = Rig::new(config(Role::Connect));
    let mut peer = rig.up();
    for _ in 0..10 {
        assert!(rig.relay.is_link_up());
        rig.wait(SECOND);
        peer.read(&mut rig);
        let taken = peer.connection.unsent();
        peer.connection
            .sent(rig.now, taken)
            .expect("as many as there are");
        if let Some(frame) = peer.connection.timer(rig.now).expect("alive") {
            rig.received(1, &frame.to_vec());
        }
    }
    assert_eq!(
        rig.disconnect(),
        Some(BreakReason::SendStalled(10 * SECOND))
    );
}

#[test]
fn keepalives_keep_an_idle_link() {
    let mut rig = Rig::new(config(Role::Connect));
    let mut peer = rig.up();
    for _ in 0..100 {
        rig.wait(SECOND);
        peer.tick(&mut rig);
    }
    assert!(rig.relay.is_link_up());
    assert_eq!(rig.relay.statistics().links_up, 1);
}

#[test]
fn a_peer_may_take_its_time_to_welcome_as_long_as_it_lives() {
    let mut rig = Rig::new(config(Role::Connect));
    rig.start();
    rig.connected(1);
    let mut peer = PeerEnd::greet(&mut rig, 1, PeerKind::default());
    for _ in 0..60 {
        rig.wait(SECOND);
        peer.tick(&mut rig);
    }
    peer.welcome(&mut rig);
    assert!(rig.relay.is_link_up());
}

#[test]
fn a_connection_attempt_without_an_answer_is_abandoned() {
    let mut rig = Rig::new(config(Role::Connect));
    rig.start();
    rig.take();
    rig.wait(10 * SECOND);
    assert_eq!(rig.take(), [Action::AbandonConnect]);
    assert!(rig.says("not connected: no answer in time"));
    // The answer comes late and changes nothing.
    let (lines, next) = (rig.lines(), rig.relay.next_timer());
    rig.put(Input::ConnectFailed(ConnectFailure::Errno(4)));
    assert_eq!((rig.lines(), rig.relay.next_timer()), (lines, next));
    rig.wait(SECOND);
    assert_eq!(rig.take(), [Action::Connect]);
}

#[test]
fn attempts_are_spaced_out_up_to_the_longest_delay_and_start_again_after_a_stable_link() {
    let mut rig = Rig::new(config(Role::Connect));
    rig.start();
    let mut whole = Duration::from_millis(250);
    for _ in 0..20 {
        assert_eq!(rig.take(), [Action::Connect]);
        rig.put(Input::ConnectFailed(ConnectFailure::Refused));
        let delay = rig.retry_in();
        assert!(
            delay >= whole / 2 && delay <= whole,
            "{delay:?} of {whole:?}"
        );
        whole = (whole * 2).min(30 * SECOND);
        rig.wait(delay);
    }
    // A link that breaks at once does not make the relay hasty, one that lived does.
    let mut attempt = 0;
    for (lived, at_least, at_most) in [
        (9, 15 * SECOND, 30 * SECOND),
        (10, Duration::ZERO, Duration::from_millis(250)),
    ] {
        attempt += 1;
        let mut peer = rig.link_up(
            attempt,
            PeerKind {
                attempt,
                ..PeerKind::default()
            },
        );
        rig.put(Input::AluaSet(Ok(())));
        for _ in 0..lived {
            rig.wait(SECOND);
            peer.tick(&mut rig);
        }
        let connection = ConnectionId(attempt);
        rig.take();
        rig.put(Input::Disconnected {
            connection,
            end: TransportEnd::Closed,
        });
        let delay = rig.retry_in();
        assert!(
            delay >= at_least && delay <= at_most,
            "{delay:?} after {lived} s"
        );
        rig.wait(delay);
        assert_eq!(rig.take(), [Action::Connect]);
    }
}

#[test]
fn listening_that_fails_is_tried_again() {
    let mut rig = listening();
    rig.put(Input::ListenFailed(125));
    assert_eq!(rig.take(), []);
    rig.wait(SECOND);
    assert_eq!(rig.take(), [Action::Listen]);
    assert!(rig.says("not listening: errno 125"));
}

/// The listener may fail while somebody whom it has accepted before is still greeting.
#[test]
fn listening_that_fails_is_tried_again_though_a_peer_comes_meanwhile() {
    let mut rig = listening();
    rig.connected(1);
    rig.put(Input::ListenFailed(125));
    PeerEnd::greet(&mut rig, 1, zero());
    rig.take();
    rig.put(Input::Disconnected {
        connection: ConnectionId(1),
        end: TransportEnd::Closed,
    });
    rig.wait(SECOND);
    assert!(rig.take().contains(&Action::Listen));
}

#[test]
fn a_peer_that_confirms_what_was_never_sent_is_refused() {
    let mut rig = Rig::new(config(Role::Connect));
    let mut peer = rig.up();
    peer.connection.receive(rig.now, Bytes::from(vec![0; 5000]));
    rig.wait(2 * SECOND);
    let frame = peer.connection.timer(rig.now).expect("alive").expect("due");
    rig.received(1, &frame.to_vec());
    assert!(matches!(
        rig.disconnect(),
        Some(BreakReason::Protocol(LinkError::ConfirmedUnsent { .. }))
    ));
}
