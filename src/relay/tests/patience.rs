// SPDX-License-Identifier: MPL-2.0
//! Calls into the kernel that take long are named, once each; and what is counted.

use std::time::Duration;

use super::rig::*;
use crate::link::{ConnectionId, Node, Role, TransportEnd};
use crate::relay::event::DoorCall;
use crate::relay::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn rig() -> Rig {
    Rig::new(config(Role::Connect))
}

/// The slow calls named so far.
fn slow(rig: &Rig) -> Vec<(DoorCall, Duration)> {
    let call = |event: &Event| match event {
        Event::DoorSlow { call, since } => Some((*call, *since)),
        _ => None,
    };
    rig.events.iter().filter_map(call).collect()
}

#[test]
fn an_opening_that_takes_long_is_named_once_and_at_its_time() {
    let mut rig = rig();
    rig.put(Input::Start);
    rig.wait(PATIENCE - Duration::from_nanos(1));
    assert_eq!(slow(&rig), []);
    rig.wait(Duration::from_nanos(1));
    assert_eq!(slow(&rig), [(DoorCall::Open, PATIENCE)]);
    assert_eq!(rig.relay.next_timer(), None, "nothing is left to be named");
    rig.wait(10 * PATIENCE);
    assert_eq!(slow(&rig).len(), 1);
}

#[test]
fn a_call_that_ended_is_not_named_and_a_later_one_is() {
    let mut rig = rig();
    rig.start();
    rig.wait(5 * SECOND);
    let mut peer = rig.link_up(1, PeerKind::default());
    assert!(rig.take().contains(&Action::SetAlua {
        enabled: true,
        node: Node::Zero
    }));
    let wait = |rig: &mut Rig, peer: &mut PeerEnd, seconds| {
        for _ in 0..seconds {
            rig.wait(SECOND);
            peer.tick(rig);
        }
    };
    // The look that the opening asked for finds it ended, and ALUA not slow yet.
    wait(&mut rig, &mut peer, 30);
    assert_eq!(slow(&rig), []);
    wait(&mut rig, &mut peer, 30);
    let [(DoorCall::SetAlua, since)] = slow(&rig)[..] else {
        panic!("{:?}", rig.lines());
    };
    assert!(since >= PATIENCE && since <= 2 * PATIENCE, "{since:?}");
    rig.put(Input::AluaSet(Ok(())));
    wait(&mut rig, &mut peer, 70);
    assert_eq!(slow(&rig).len(), 1, "{:?}", rig.lines());
}

/// The look that the opening asked for comes too early for the post, and sees to the next one.
#[test]
fn a_post_that_takes_long_is_named_once() {
    let mut rig = rig();
    let mut peer = rig.up();
    let wait = |rig: &mut Rig, peer: &mut PeerEnd, seconds| {
        for _ in 0..seconds {
            rig.wait(SECOND);
            peer.tick(rig);
        }
    };
    wait(&mut rig, &mut peer, 20);
    peer.send(&mut rig, b"1 stuck");
    let stuck = rig.posts()[0].0;
    wait(&mut rig, &mut peer, 60);
    let named = |event: &Event| match event {
        Event::PostSlow { post, since } => Some((*post, *since)),
        _ => None,
    };
    let named: Vec<_> = rig.events.iter().filter_map(named).collect();
    let [(post, since)] = named[..] else {
        panic!("{:?}", rig.lines());
    };
    assert_eq!(post, stuck);
    assert!(since >= PATIENCE && since <= 2 * PATIENCE, "{since:?}");
    wait(&mut rig, &mut peer, 90);
    let slow = |event: &&Event| matches!(event, Event::PostSlow { .. });
    assert_eq!(rig.events.iter().filter(slow).count(), 1);
}

#[test]
fn handshakes_that_failed_are_counted() {
    let mut rig = rig();
    rig.start();
    rig.connected(1);
    rig.put(Input::Disconnected {
        connection: ConnectionId(1),
        end: TransportEnd::Closed,
    });
    assert_eq!(rig.relay.statistics().handshakes_failed, 1);
    rig.wait(SECOND);
    rig.connected(2);
    PeerEnd::greet(&mut rig, 2, PeerKind::default());
    rig.put(Input::Disconnected {
        connection: ConnectionId(2),
        end: TransportEnd::Closed,
    });
    let counted = rig.relay.statistics();
    assert_eq!((counted.handshakes_failed, counted.links_down), (2, 0));
}

#[test]
fn what_happened_is_counted() {
    let mut rig = rig();
    let mut peer = rig.up();
    assert_eq!(rig.upcall(b"four"), 0);
    assert_eq!(rig.upcall(b""), 22);
    peer.send(&mut rig, b"1 a");
    peer.send(&mut rig, b"1 b");
    peer.send(&mut rig, b"2 ab");
    let posts = rig.posts();
    assert_eq!(posts.len(), 2);
    let counted = rig.relay.statistics();
    assert_eq!(counted.upcalls_accepted, 1);
    assert_eq!(counted.upcall_bytes, 4);
    assert_eq!(counted.upcalls_refused, 1);
    assert_eq!(counted.messages_received, 3);
    assert_eq!(counted.received_bytes, 10);
    assert_eq!(counted.post_queue_messages_now, 3);
    assert_eq!(counted.post_queue_bytes_now, 10);
    assert_eq!(counted.posts_in_flight_now, 2);
    assert_eq!(counted.posts_started, 2);

    let failure = CallFailure {
        status: 0x8001,
        errno: 5,
    };
    rig.put(Input::PostFinished {
        post: posts[1].0,
        result: Err(failure),
    });
    rig.finish(posts[0].0);
    rig.put(Input::Disconnected {
        connection: ConnectionId(1),
        end: TransportEnd::Reset,
    });
    let counted = rig.relay.statistics();
    assert_eq!((counted.posts_succeeded, counted.posts_failed), (1, 1));
    assert_eq!(counted.posts_in_flight_now, 1);
    assert_eq!(counted.posts_in_flight_high, 2);
    assert_eq!(counted.post_queue_messages_high, 3);
    assert_eq!(counted.post_queue_bytes_high, 10);
    assert_eq!((counted.links_up, counted.links_down), (1, 1));
    assert_eq!((counted.doors_opened, counted.alua_set), (1, 1));
    assert_eq!(counted.connection_attempts, 1);
    assert_eq!(counted.messages_discarded, 0);
}

#[test]
fn the_bounds_that_it_names_are_those_of_its_settings() {
    let mut rig = rig();
    rig.up();
    let occupancy = rig.relay.occupancy();
    // Four candidates at most, each with a greeting that waits.
    let sent = 1000 + 5 * config::SEND_QUEUE_SLACK;
    assert_eq!(occupancy.send_bytes.most, sent);
    assert_eq!(occupancy.post_bytes.most, 4000);
    assert_eq!(occupancy.post_messages.most, 10);
    assert_eq!(occupancy.posts_in_flight.most, 32);
}
