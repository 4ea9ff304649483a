// SPDX-License-Identifier: MPL-2.0
//! The demo link, as the field's daemon sees this relay.

use super::rig::*;
use crate::link::{BreakReason, ConnectionId, LinkError, Node, TransportEnd};
use crate::relay::*;

const HEAD1: &[u8] = b"\0\0\0\x06head1\0";
const HEAD0: &[u8] = b"\0\0\0\x06head0\0";

fn lost(id: u64) -> Input {
    Input::Disconnected {
        connection: ConnectionId(id),
        end: TransportEnd::Closed,
    }
}

/// The connecting node with its link up and ALUA set.
fn up(reconnect: bool) -> Rig {
    let mut rig = Rig::new(demo_config("head0", reconnect));
    rig.start();
    rig.connected(1).received(1, HEAD1);
    rig.put(Input::AluaSet(Ok(())));
    assert!(rig.relay.is_link_up());
    rig.take();
    rig
}

#[test]
fn the_connecting_node_starts_up_in_the_order_of_the_field() {
    let mut rig = Rig::new(demo_config("head0", false));
    rig.start();
    assert_eq!(rig.take(), [Action::Connect]);
    rig.connected(1);
    assert_eq!(rig.wire, [(ConnectionId(1), HEAD0.to_vec())]);
    assert_eq!(rig.upcall(b"1"), 134);
    assert_eq!(rig.take(), []);
    rig.received(1, &HEAD1[..7]);
    assert_eq!(rig.take(), []);
    rig.received(1, &HEAD1[7..]);
    assert_eq!(
        rig.take(),
        [Action::SetAlua {
            enabled: true,
            node: Node::Zero
        }]
    );
    // Messages that come before ALUA is set wait.
    rig.received(1, b"\0\0\0\x021a\0\0\0\x012");
    assert_eq!(rig.take(), []);
    assert_eq!(rig.upcall(b"reg"), 0);
    rig.put(Input::AluaSet(Ok(())));
    let texts: Vec<_> = rig.posts().into_iter().map(|post| post.1).collect();
    assert_eq!(texts, ["1a", "2"]);
    assert_eq!(rig.wire[1], (ConnectionId(1), b"\0\0\0\x03reg".to_vec()));
}

#[test]
fn the_named_node_listens_and_is_node_1() {
    let mut rig = Rig::new(demo_config("head1", false));
    rig.start();
    assert_eq!(rig.take(), [Action::Listen]);
    rig.connected(1).received(1, HEAD0);
    assert_eq!(
        rig.take(),
        [Action::SetAlua {
            enabled: true,
            node: Node::One
        }]
    );
    assert_eq!(rig.wire, [(ConnectionId(1), HEAD1.to_vec())]);
    rig.connected(2);
    assert_eq!(rig.disconnect(), Some(BreakReason::NotExpected));
    assert!(rig.relay.is_link_up());
}

#[test]
fn a_listening_node_is_not_ended_by_a_stranger() {
    let mut rig = Rig::new(demo_config("head1", false));
    rig.start();
    rig.take();
    rig.connected(1).received(1, b"GET / HTTP/1.1");
    assert!(matches!(
        rig.disconnect(),
        Some(BreakReason::Protocol(LinkError::TooLong {
            sequence: 0,
            bound: 4096,
            ..
        }))
    ));
    rig.connected(2)
        .put(lost(2))
        .connected(3)
        .received(3, HEAD0);
    assert!(rig.relay.is_link_up());
}

#[test]
fn refused_it_tries_again_every_two_seconds_and_anything_else_ends_it() {
    let mut rig = Rig::new(demo_config("head0", false));
    rig.start();
    for _ in 0..5 {
        assert_eq!(rig.take(), [Action::Connect]);
        rig.put(Input::ConnectFailed(ConnectFailure::Refused));
        assert_eq!(rig.relay.next_timer(), Some(rig.now + 2 * SECOND));
        rig.wait(2 * SECOND);
    }
    let failure = ConnectFailure::Errno(148);
    rig.take();
    rig.put(Input::ConnectFailed(failure));
    assert_eq!(rig.take(), [Action::CloseProxyDoor]);
    rig.put(Input::ProxyDoorClosed);
    let cause = StopCause::DemoLinkNotMade(failure);
    assert_eq!(rig.take(), [Action::RevokeDoor, Action::Stopped(cause)]);
}

#[test]
fn the_end_of_the_link_ends_the_relay_in_order() {
    let mut rig = up(false);
    rig.received(1, b"\0\0\0\x011");
    let posts = rig.posts();
    rig.put(lost(1));
    assert_eq!(rig.take(), [], "a post is in progress");
    rig.finish(posts[0].0);
    assert_eq!(rig.take(), [Action::CloseProxyDoor]);
    rig.put(Input::ProxyDoorClosed);
    let reason = BreakReason::Transport(TransportEnd::Closed);
    assert_eq!(
        rig.take(),
        [
            Action::RevokeDoor,
            Action::Stopped(StopCause::DemoLinkEnded(reason))
        ]
    );
}

#[test]
fn lengths_are_bounded_before_the_bytes_are_here() {
    let mut rig = up(false);
    rig.received(1, &1001u32.to_be_bytes());
    let error = LinkError::TooLong {
        sequence: 1,
        length: 1001,
        bound: 1000,
    };
    assert_eq!(rig.disconnect(), Some(BreakReason::Protocol(error)));
    let mut rig = up(false);
    rig.received(1, &[0; 4]);
    let error = LinkError::EmptyMessage { sequence: 1 };
    assert_eq!(rig.disconnect(), Some(BreakReason::Protocol(error)));
}

#[test]
fn a_greeting_has_its_time() {
    let mut rig = Rig::new(demo_config("head0", false));
    rig.start();
    rig.connected(1);
    rig.take();
    rig.wait(10 * SECOND);
    let actions = rig.take();
    assert!(actions.iter().any(|action| matches!(
        action,
        Action::Disconnect {
            reason: BreakReason::GreetingTimeout(_),
            ..
        }
    )));
}

#[test]
fn made_again_it_takes_every_peer_for_rebooted() {
    let mut rig = up(true);
    rig.put(lost(1));
    assert_eq!(rig.take(), []);
    rig.wait(2 * SECOND);
    assert_eq!(rig.take(), [Action::Connect]);
    rig.connected(2).received(2, HEAD1);
    assert_eq!(rig.take(), [Action::CloseProxyDoor]);
    // This link has no welcome: messages come at once, and wait.
    rig.received(2, b"\0\0\0\x011");
    assert_eq!(rig.upcall(b"an answer to the old boot"), 134);
    rig.put(Input::ProxyDoorClosed);
    assert_eq!(rig.take(), [Action::OpenProxyDoor]);
    rig.door_opened();
    assert!(matches!(rig.take()[..], [Action::SetAlua { .. }]));
    rig.put(Input::AluaSet(Ok(())));
    assert_eq!(rig.posts()[0].1, "1");
    assert!(rig.says("the peer may have rebooted (the demo link does not tell)"));
}
