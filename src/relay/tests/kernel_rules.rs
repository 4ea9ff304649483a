// SPDX-License-Identifier: MPL-2.0
//! The rules about the kernel at this end, one by one: the end, and ALUA. (The handle: `handle.rs`.)

use std::time::Duration;

use super::rig::*;
use crate::link::{BreakReason, ConnectionId, GoodbyeReason, Role, TransportEnd};
use crate::relay::*;

fn rig() -> Rig {
    Rig::new(config(Role::Connect))
}

// ---- 7: the end ----

#[test]
fn rule_7_the_end_may_come_while_the_handle_does_not_open() {
    let closed_for_good = |stop_first: bool| {
        let mut config = config(Role::Listen);
        config.handle_without_link = HandlePolicy::CloseAfter(Duration::ZERO);
        let mut rig = Rig::new(config);
        rig.start();
        rig.put(Input::ProxyDoorClosed);
        rig.connected(1);
        let kind = PeerKind {
            node: crate::link::Node::Zero,
            ..PeerKind::default()
        };
        PeerEnd::greet(&mut rig, 1, kind);
        let busy = CallFailure {
            status: 0x8026,
            errno: 16,
        };
        if stop_first {
            rig.put(Input::Stop);
            rig.put(Input::ProxyDoorOpened(Err(busy)));
        } else {
            rig.put(Input::ProxyDoorOpened(Err(busy)));
            rig.put(Input::Stop);
        }
        let actions = rig.take();
        assert_eq!(
            actions[actions.len() - 2..],
            [Action::RevokeDoor, Action::Stopped(StopCause::Asked)]
        );
        assert_eq!(rig.relay.next_timer(), None);
    };
    closed_for_good(false);
    closed_for_good(true);
}

#[test]
fn rule_7_the_end_waits_for_posts_then_closes_then_revokes_and_answers_upcalls_all_the_while() {
    let mut rig = rig();
    let mut peer = rig.up();
    peer.send(&mut rig, b"1 in progress");
    peer.send(&mut rig, b"1 waits");
    let posts = rig.posts();
    assert_eq!(rig.upcall(b"last"), 0);
    rig.put(Input::Stop);
    let actions = rig.take();
    assert!(matches!(
        actions[..],
        [Action::Disconnect {
            flush: true,
            reason: BreakReason::Stopping,
            ..
        }]
    ));
    peer.read(&mut rig);
    assert_eq!(peer.texts(), ["last", "goodbye: its relay is stopping"]);
    assert_eq!(rig.upcall(b"1"), 143);
    rig.wait(100 * SECOND);
    assert_eq!(rig.take(), [], "never before the post is through");
    assert!(rig.says("post 1 has been in the kernel"));
    rig.finish(posts[0].0);
    assert_eq!(rig.take(), [Action::CloseProxyDoor]);
    assert_eq!(rig.upcall(b"1"), 143);
    rig.put(Input::Stop);
    assert_eq!(rig.take(), [], "asking twice changes nothing");
    rig.put(Input::ProxyDoorClosed);
    assert_eq!(
        rig.take(),
        [Action::RevokeDoor, Action::Stopped(StopCause::Asked)]
    );
    assert_eq!(rig.upcall(b"1"), 143);
    assert_eq!(rig.relay.next_timer(), None);
}

#[test]
fn rule_7_the_end_waits_for_alua_too() {
    let mut rig = rig();
    rig.start();
    rig.link_up(1, PeerKind::default());
    rig.put(Input::Stop);
    rig.actions
        .retain(|action| matches!(action, Action::CloseProxyDoor | Action::RevokeDoor));
    assert_eq!(rig.take(), []);
    assert_eq!(rig.upcall(b"a registration"), 143);
    rig.put(Input::AluaSet(Ok(())));
    assert_eq!(rig.take(), [Action::CloseProxyDoor]);
}

#[test]
fn the_end_may_come_at_any_time() {
    let mut rig = rig();
    rig.put(Input::Stop);
    assert_eq!(
        rig.take(),
        [Action::RevokeDoor, Action::Stopped(StopCause::Asked)]
    );

    let mut rig = Rig::new(config(Role::Connect));
    rig.put(Input::Start).put(Input::Stop);
    assert_eq!(
        rig.take(),
        [Action::OpenProxyDoor],
        "the opening has to end first"
    );
    rig.door_opened();
    assert_eq!(rig.take(), [Action::CloseProxyDoor]);

    let mut rig = Rig::new(config(Role::Connect));
    rig.start();
    rig.put(Input::Stop);
    assert_eq!(
        rig.take(),
        [
            Action::Connect,
            Action::AbandonConnect,
            Action::CloseProxyDoor
        ]
    );
}

#[test]
fn a_relay_whose_door_does_not_open_at_first_ends() {
    let mut rig = rig();
    rig.put(Input::Start);
    let failure = CallFailure {
        status: 0x8005,
        errno: 1,
    };
    rig.put(Input::ProxyDoorOpened(Err(failure)));
    assert_eq!(
        rig.take(),
        [
            Action::OpenProxyDoor,
            Action::RevokeDoor,
            Action::Stopped(StopCause::DoorNotOpened(failure))
        ]
    );
}

// ---- 8: ALUA before the first post ----

#[test]
fn rule_8_nothing_is_posted_before_alua_is_set_and_reading_goes_on() {
    let mut rig = rig();
    rig.start();
    let mut peer = rig.link_up(1, PeerKind::default());
    assert!(matches!(
        rig.take()[..],
        [Action::Connect, Action::SetAlua { .. }]
    ));
    peer.send(&mut rig, b"P register");
    peer.send(&mut rig, b"1 command");
    assert_eq!(rig.posts(), []);
    // Setting it makes the kernel register everything, in upcalls that the call waits for.
    assert_eq!(rig.upcall(b"our registration"), 0);
    rig.put(Input::AluaSet(Ok(())));
    assert_eq!(rig.posts().len(), 2);
    peer.read(&mut rig);
    assert_eq!(peer.texts(), ["our registration"]);
}

#[test]
fn rule_8_alua_is_not_set_before_both_welcomes() {
    let mut rig = rig();
    rig.start();
    rig.connected(1);
    let mut peer = PeerEnd::greet(&mut rig, 1, PeerKind::default());
    assert_eq!(rig.take(), [Action::Connect]);
    peer.read(&mut rig);
    peer.welcome(&mut rig);
    assert!(matches!(rig.take()[..], [Action::SetAlua { .. }]));
}

#[test]
fn rule_8_alua_set_for_a_link_that_is_gone_does_not_count_for_the_next() {
    let mut rig = rig();
    rig.start();
    rig.link_up(1, PeerKind::default());
    rig.put(Input::Disconnected {
        connection: ConnectionId(1),
        end: TransportEnd::Reset,
    });
    rig.wait(SECOND);
    rig.take();
    let mut peer = rig.link_up(
        2,
        PeerKind {
            attempt: 2,
            ..PeerKind::default()
        },
    );
    peer.send(&mut rig, b"1");
    assert_eq!(rig.take(), [], "one call at a time");
    rig.put(Input::AluaSet(Ok(())));
    assert!(
        matches!(rig.take()[..], [Action::SetAlua { .. }]),
        "once more, for this link"
    );
    rig.put(Input::AluaSet(Ok(())));
    assert_eq!(rig.posts().len(), 1);
}

#[test]
fn rule_8_a_failure_to_set_alua_gives_the_link_up() {
    let mut rig = rig();
    rig.start();
    let mut peer = rig.link_up(1, PeerKind::default());
    peer.send(&mut rig, b"1");
    rig.take();
    rig.put(Input::AluaSet(Err(CallFailure {
        status: 0x8001,
        errno: 16,
    })));
    assert_eq!(rig.disconnect(), Some(BreakReason::AluaFailed));
    peer.read(&mut rig);
    assert_eq!(
        peer.texts(),
        [format!("goodbye: {}", GoodbyeReason::AluaFailed)]
    );
    assert_eq!(rig.relay.statistics().posts_started, 0);
    rig.wait(SECOND);
    assert_eq!(rig.take(), [Action::Connect]);
}

// ---- after an orderly goodbye ----

#[test]
fn a_handle_that_is_closed_at_once_waits_for_what_came_before_an_orderly_goodbye() {
    let mut config = config(Role::Connect);
    config.handle_without_link = HandlePolicy::CloseAfter(Duration::ZERO);
    let mut rig = Rig::new(config);
    rig.start();
    rig.put(Input::ProxyDoorClosed);
    let opened = |rig: &mut Rig| {
        rig.connected(1);
        let mut peer = PeerEnd::greet(rig, 1, PeerKind::default());
        rig.door_opened();
        peer.read(rig);
        peer.welcome(rig);
        peer
    };
    let mut peer = opened(&mut rig);
    rig.put(Input::AluaSet(Ok(())));
    rig.take();
    peer.send(&mut rig, b"1 first");
    peer.send(&mut rig, b"1 second");
    let first = rig.posts();
    let goodbye = peer
        .connection
        .goodbye(rig.now, GoodbyeReason::Stopping)
        .expect("greeted");
    rig.received(1, &goodbye.to_vec());
    rig.take();
    rig.wait(SECOND);
    rig.take();
    rig.finish(first[0].0);
    let second = rig.posts();
    assert_eq!(second[0].1, "1 second");
    rig.finish(second[0].0);
    assert_eq!(rig.take(), [Action::CloseProxyDoor]);
}

#[test]
fn what_came_before_an_orderly_goodbye_is_still_posted() {
    let mut rig = rig();
    let mut peer = rig.up();
    peer.send(&mut rig, b"1 first");
    peer.send(&mut rig, b"1 second");
    let goodbye = peer
        .connection
        .goodbye(rig.now, GoodbyeReason::Stopping)
        .expect("greeted");
    rig.received(1, &goodbye.to_vec());
    assert!(!rig.relay.is_link_up());
    rig.actions
        .retain(|action| matches!(action, Action::Post { .. }));
    let first = rig.posts();
    assert_eq!(first[0].1, "1 first");
    rig.finish(first[0].0);
    assert_eq!(rig.posts()[0].1, "1 second");
}

/// The peer stops in order, a post is in progress and one waits behind it; then it is back.
fn back_after_goodbye(kind: PeerKind) -> (Rig, PeerEnd, PostId) {
    let mut rig = rig();
    let mut peer = rig.up();
    peer.send(&mut rig, b"1 first");
    peer.send(&mut rig, b"1 second");
    let first = rig.posts()[0].0;
    let goodbye = peer
        .connection
        .goodbye(rig.now, GoodbyeReason::Stopping)
        .expect("greeted");
    rig.received(1, &goodbye.to_vec());
    rig.wait(SECOND);
    rig.take();
    rig.connected(2);
    let mut peer = PeerEnd::greet(&mut rig, 2, kind);
    peer.read(&mut rig);
    peer.welcome(&mut rig);
    (rig, peer, first)
}

#[test]
fn what_came_before_an_orderly_goodbye_is_posted_though_the_peer_is_back() {
    let again = PeerKind {
        attempt: 2,
        ..PeerKind::default()
    };
    let (mut rig, _, first) = back_after_goodbye(again);
    assert!(rig.relay.is_link_up());
    rig.put(Input::AluaSet(Ok(())));
    rig.take();
    rig.finish(first);
    assert_eq!(rig.posts()[0].1, "1 second");
}

#[test]
fn what_came_before_an_orderly_goodbye_is_nothing_for_the_handle_of_the_next_boot() {
    let rebooted = PeerKind {
        boot: 2,
        ..PeerKind::default()
    };
    let (mut rig, _, first) = back_after_goodbye(rebooted);
    assert!(rig.says("1 message"), "{:?}", rig.lines());
    assert_eq!(rig.relay.statistics().messages_discarded, 1);
    rig.finish(first);
    assert_eq!(rig.take(), [Action::CloseProxyDoor]);
    rig.put(Input::ProxyDoorClosed);
    rig.door_opened();
    rig.put(Input::AluaSet(Ok(())));
    rig.actions
        .retain(|action| matches!(action, Action::Post { .. }));
    assert_eq!(rig.posts(), []);
}

#[test]
fn after_an_orderly_goodbye_with_nothing_left_the_handle_is_closed_after_its_grace() {
    let mut config = config(Role::Connect);
    config.handle_without_link = HandlePolicy::CloseAfter(5 * SECOND);
    let mut rig = Rig::new(config);
    let mut peer = rig.up();
    let goodbye = peer
        .connection
        .goodbye(rig.now, GoodbyeReason::Stopping)
        .expect("greeted");
    rig.received(1, &goodbye.to_vec());
    rig.wait(5 * SECOND);
    assert!(rig.take().contains(&Action::CloseProxyDoor));
}

#[test]
fn the_end_says_when_the_handle_is_closed_and_not_before() {
    let mut rig = rig();
    let mut peer = rig.up();
    peer.send(&mut rig, b"1 in progress");
    let post = rig.posts()[0].0;
    rig.put(Input::Stop);
    let closing = |event: &Event| matches!(event, Event::DoorClosing { .. });
    assert!(!rig.events.iter().any(closing));
    rig.finish(post);
    assert!(rig.events.iter().any(closing));
}
