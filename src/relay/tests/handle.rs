// SPDX-License-Identifier: MPL-2.0
//! Rule 6: which peer, and which boot of it, an opening of the proxy door handle serves.

use std::time::Duration;

use super::rig::*;
use crate::link::{ConnectionId, Role, TransportEnd};
use crate::relay::*;

fn rig() -> Rig {
    Rig::new(config(Role::Connect))
}

// ---- 6: a new boot of the peer ----

#[test]
fn rule_6_after_a_reboot_of_the_peer_the_handle_is_closed_and_opened_before_anything_else() {
    let mut rig = rig();
    let mut peer = rig.up();
    peer.send(&mut rig, b"1 in progress");
    peer.send(&mut rig, b"1 waits");
    let posts = rig.posts();
    rig.put(Input::Disconnected {
        connection: ConnectionId(1),
        end: TransportEnd::Reset,
    });
    rig.wait(SECOND);
    assert_eq!(rig.take(), [Action::Connect]);

    rig.connected(2);
    let mut peer = PeerEnd::greet(
        &mut rig,
        2,
        PeerKind {
            boot: 2,
            ..PeerKind::default()
        },
    );
    assert!(rig.says("peer rebooted (boot 1 -> 2): closing the proxy door handle"));
    assert_eq!(rig.take(), [], "not closed while a post is in progress");
    peer.read(&mut rig);
    peer.welcome(&mut rig);
    assert_eq!(rig.upcall(b"an answer to the old boot"), 134);

    rig.finish(posts[0].0);
    assert_eq!(rig.take(), [Action::CloseProxyDoor]);
    assert_eq!(rig.upcall(b"an answer to the old boot"), 134);
    rig.put(Input::ProxyDoorClosed);
    assert_eq!(rig.take(), [Action::OpenProxyDoor]);
    rig.door_opened();
    assert!(matches!(
        rig.take()[..],
        [Action::SetAlua { enabled: true, .. }]
    ));
    rig.put(Input::AluaSet(Ok(())));
    assert_eq!(rig.posts(), [], "nothing of the old boot");
    peer.read(&mut rig);
    peer.send(&mut rig, b"1 new");
    assert_eq!(rig.posts()[0].1, "1 new");
    assert_eq!(rig.upcall(b"new"), 0);
}

#[test]
fn rule_6_a_link_that_broke_and_came_back_keeps_the_handle_of_the_same_boot() {
    let mut rig = rig();
    let mut peer = rig.up();
    peer.send(&mut rig, b"1 in progress");
    peer.send(&mut rig, b"1 waits");
    let posts = rig.posts();
    rig.put(Input::Disconnected {
        connection: ConnectionId(1),
        end: TransportEnd::Reset,
    });
    rig.wait(SECOND);
    rig.take();
    let mut peer = rig.link_up(
        2,
        PeerKind {
            handle: 8,
            attempt: 2,
            ..PeerKind::default()
        },
    );
    assert!(rig.says("the peer opened its proxy door anew (handle 7 -> 8)"));
    assert!(
        matches!(rig.take()[..], [Action::SetAlua { .. }]),
        "registers again"
    );
    rig.put(Input::AluaSet(Ok(())));
    peer.send(&mut rig, b"1 after");
    assert_eq!(
        rig.posts(),
        [],
        "the session's post of before is still in progress"
    );
    rig.finish(posts[0].0);
    assert_eq!(
        rig.posts()[0].1,
        "1 after",
        "what waited on the old link is gone"
    );
}

#[test]
fn rule_6_without_a_link_the_handle_is_closed_after_its_grace() {
    let mut config = config(Role::Listen);
    config.handle_without_link = HandlePolicy::CloseAfter(5 * SECOND);
    let mut rig = Rig::new(config);
    rig.start();
    assert_eq!(rig.take(), [Action::Listen]);
    rig.wait(5 * SECOND - Duration::from_nanos(1));
    assert_eq!(rig.take(), []);
    rig.wait(Duration::from_nanos(1));
    assert_eq!(rig.take(), [Action::CloseProxyDoor]);
    assert!(rig.says("no link for 5.000 s: closing the proxy door handle until the peer is back"));
    rig.put(Input::ProxyDoorClosed);
    rig.wait(100 * SECOND);
    assert_eq!(rig.take(), []);

    // The peer's greeting opens it again, and only then is it welcomed.
    rig.connected(1);
    let kind = PeerKind {
        node: crate::link::Node::Zero,
        ..PeerKind::default()
    };
    let mut peer = PeerEnd::greet(&mut rig, 1, kind);
    peer.read(&mut rig);
    assert_eq!(peer.got.len(), 1, "greeted, not welcomed");
    assert_eq!(rig.take(), [Action::OpenProxyDoor]);
    rig.door_opened();
    peer.read(&mut rig);
    assert_eq!(peer.got.len(), 2);
    peer.welcome(&mut rig);
    assert!(rig.relay.is_link_up());
}

#[test]
fn rule_6_the_handle_is_closed_while_a_peer_that_has_greeted_is_not_ready() {
    let mut config = config(Role::Connect);
    config.handle_without_link = HandlePolicy::CloseAfter(5 * SECOND);
    let patience = config.times.greeting_timeout;
    let mut rig = Rig::new(config);
    rig.start();
    rig.connected(1);
    // It goes on to give signs of life, but its kernel is stuck.
    let mut peer = PeerEnd::greet(&mut rig, 1, PeerKind::default());
    assert_eq!(rig.take(), [Action::Connect]);
    let end = rig.now + patience;
    while rig.now + SECOND < end {
        rig.wait(SECOND);
        peer.tick(&mut rig);
    }
    assert_eq!(rig.take(), []);
    assert_eq!(rig.upcall(b"a command that hangs"), 134);
    rig.wait(SECOND);
    assert_eq!(rig.take(), [Action::CloseProxyDoor]);
    assert!(rig.says(
        "the peer has not been ready for 10.000 s: closing the proxy door handle until it is"
    ));
    rig.put(Input::ProxyDoorClosed);
    for _ in 0..60 {
        rig.wait(SECOND);
        peer.tick(&mut rig);
    }
    assert_eq!(
        rig.take(),
        [],
        "closed until the peer is ready, on the same connection"
    );

    // What the peer sends at once, because the link stands for it, waits for our handle and ALUA.
    peer.welcome(&mut rig);
    assert_eq!(rig.take(), [Action::OpenProxyDoor]);
    assert!(!rig.relay.is_link_up());
    peer.send(&mut rig, b"P register");
    assert_eq!(rig.upcall(b"too early"), 134);
    rig.door_opened();
    assert!(rig.relay.is_link_up());
    assert!(matches!(rig.take()[..], [Action::SetAlua { .. }]));
    rig.put(Input::AluaSet(Ok(())));
    assert_eq!(rig.posts()[0].1, "P register");
    assert_eq!(rig.upcall(b"now"), 0);
}

/// The handle is still open when the peer is ready at last, but that it closes is decided.
#[test]
fn rule_6_a_handle_that_waits_to_be_closed_makes_no_link() {
    let mut config = config(Role::Connect);
    config.handle_without_link = HandlePolicy::CloseAfter(5 * SECOND);
    let patience = config.times.greeting_timeout;
    let mut rig = Rig::new(config);
    let mut peer = rig.up();
    peer.send(&mut rig, b"1 in progress");
    let post = rig.posts()[0].0;
    rig.put(Input::Disconnected {
        connection: ConnectionId(1),
        end: TransportEnd::Reset,
    });
    rig.wait(SECOND);
    rig.connected(2);
    let again = PeerKind {
        attempt: 2,
        ..PeerKind::default()
    };
    let mut peer = PeerEnd::greet(&mut rig, 2, again);
    rig.take();
    let end = rig.now + patience;
    while rig.now < end {
        rig.wait(SECOND);
        peer.tick(&mut rig);
    }
    assert!(rig.says("the peer has not been ready"));
    assert_eq!(rig.take(), [], "a post is in progress");
    peer.welcome(&mut rig);
    assert!(!rig.relay.is_link_up());
    assert_eq!(rig.upcall(b"for a handle that goes"), 134);
    rig.finish(post);
    assert_eq!(rig.take(), [Action::CloseProxyDoor]);
    rig.put(Input::ProxyDoorClosed);
    assert_eq!(rig.take(), [Action::OpenProxyDoor]);
    rig.door_opened();
    assert!(rig.relay.is_link_up());
}

#[test]
fn rule_6_a_peer_that_is_not_ready_gets_its_time_even_if_the_handle_is_closed_at_once() {
    let mut config = config(Role::Connect);
    config.handle_without_link = HandlePolicy::CloseAfter(Duration::ZERO);
    let mut rig = Rig::new(config);
    rig.start();
    rig.put(Input::ProxyDoorClosed);
    rig.connected(1);
    rig.take();
    let mut peer = PeerEnd::greet(&mut rig, 1, PeerKind::default());
    assert_eq!(rig.take(), [Action::OpenProxyDoor]);
    rig.door_opened();
    rig.wait(SECOND);
    assert_eq!(rig.take(), []);
    peer.tick(&mut rig);
    peer.welcome(&mut rig);
    assert!(rig.relay.is_link_up());
}

#[test]
fn rule_6_the_handle_can_be_kept_without_a_link() {
    let mut config = config(Role::Listen);
    config.handle_without_link = HandlePolicy::Keep;
    let mut rig = Rig::new(config);
    rig.start();
    rig.take();
    rig.wait(1000 * SECOND);
    assert_eq!(rig.take(), []);
}

#[test]
fn a_handle_that_does_not_open_again_is_tried_again() {
    let mut config = config(Role::Listen);
    config.handle_without_link = HandlePolicy::CloseAfter(Duration::ZERO);
    let mut rig = Rig::new(config);
    rig.start();
    assert_eq!(rig.take(), [Action::Listen, Action::CloseProxyDoor]);
    rig.put(Input::ProxyDoorClosed);
    rig.connected(1);
    let kind = PeerKind {
        node: crate::link::Node::Zero,
        ..PeerKind::default()
    };
    PeerEnd::greet(&mut rig, 1, kind);
    assert_eq!(rig.take(), [Action::OpenProxyDoor]);
    let failure = CallFailure {
        status: 0x8026,
        errno: 16,
    };
    rig.put(Input::ProxyDoorOpened(Err(failure)));
    assert_eq!(rig.take(), []);
    rig.wait(SECOND);
    assert_eq!(rig.take(), [Action::OpenProxyDoor]);
    assert!(rig.says("proxy door not opened: status 0x8026, errno 16; next attempt in 1.000 s"));
}

#[test]
fn rule_6_a_handle_that_does_not_open_for_the_new_boot_is_tried_until_it_does() {
    let mut rig = rig();
    rig.up();
    rig.put(Input::Disconnected {
        connection: ConnectionId(1),
        end: TransportEnd::Reset,
    });
    rig.wait(SECOND);
    rig.connected(2);
    let rebooted = PeerKind {
        boot: 2,
        ..PeerKind::default()
    };
    let mut peer = PeerEnd::greet(&mut rig, 2, rebooted);
    rig.put(Input::ProxyDoorClosed);
    assert_eq!(
        rig.take(),
        [
            Action::Connect,
            Action::CloseProxyDoor,
            Action::OpenProxyDoor
        ]
    );
    let busy = CallFailure {
        status: 0x8026,
        errno: 16,
    };
    for _ in 0..20 {
        rig.put(Input::ProxyDoorOpened(Err(busy)));
        peer.tick(&mut rig);
        assert_eq!(rig.upcall(b"an answer to the old boot"), 134);
        rig.wait(SECOND - Duration::from_nanos(1));
        assert_eq!(rig.take(), []);
        rig.wait(Duration::from_nanos(1));
        assert_eq!(rig.take(), [Action::OpenProxyDoor]);
    }
    assert_eq!(
        peer.got.len(),
        1,
        "greeted and kept waiting, on the same connection"
    );
    peer.welcome(&mut rig);
    assert!(!rig.relay.is_link_up());
    rig.door_opened();
    peer.read(&mut rig);
    assert_eq!(peer.got.len(), 2);
    assert!(rig.relay.is_link_up());
    assert!(matches!(rig.take()[..], [Action::SetAlua { .. }]));
}
