// SPDX-License-Identifier: MPL-2.0
//! Nothing that is put into a relay brings it down: any inputs in any order, any bytes.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::rig::*;
use crate::link::{BootIdentity, ConnectionId, HandleIdentity, Role, TransportEnd};
use crate::relay::*;
use crate::time::Time;

fn bytes() -> impl Strategy<Value = Bytes> {
    let demo = prop::collection::vec(any::<u8>(), 0..40).prop_map(|body| {
        let mut frame = (body.len() as u32).to_be_bytes().to_vec();
        frame.extend(body);
        Bytes::from(frame)
    });
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from),
        demo,
        Just(Bytes::from_static(&crate::link::frame::MAGIC)),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let connection = || (0..6u64).prop_map(ConnectionId);
    let failure = (any::<u32>(), any::<i32>())
        .prop_map(|(status, errno)| CallFailure { status, errno })
        .boxed();
    let result = prop_oneof![2 => Just(Ok(())), 1 => failure.clone().prop_map(Err)].boxed();
    let opened = (0..3u128, 1..9u128).prop_map(|(boot, handle)| {
        Ok(OpenedDoor {
            boot: BootIdentity(boot),
            handle: HandleIdentity(handle),
        })
    });
    prop_oneof![
        2 => Just(Input::Start),
        1 => Just(Input::Stop),
        6 => (any::<u64>(), bytes())
            .prop_map(|(call, message)| Input::Upcall { call: CallId(call), message }),
        3 => (0..20u64, result.clone())
            .prop_map(|(post, result)| Input::PostFinished { post: PostId(post), result }),
        3 => prop_oneof![3 => opened, 1 => failure.prop_map(Err)].prop_map(Input::ProxyDoorOpened),
        2 => Just(Input::ProxyDoorClosed),
        3 => result.prop_map(Input::AluaSet),
        6 => connection().prop_map(|connection| Input::Connected { connection, address: None }),
        2 => any::<i32>().prop_map(|errno| Input::ConnectFailed(ConnectFailure::Errno(errno))),
        1 => any::<i32>().prop_map(Input::ListenFailed),
        9 => (connection(), bytes())
            .prop_map(|(connection, bytes)| Input::Received { connection, bytes }),
        4 => (connection(), 0..100usize)
            .prop_map(|(connection, bytes)| Input::Sent { connection, bytes }),
        2 => connection().prop_map(|connection| {
            Input::Disconnected { connection, end: TransportEnd::Failed(5) }
        }),
        1 => Just(Input::DoorUnreferenced),
        4 => Just(Input::Timer),
    ]
}

fn any_config() -> impl Strategy<Value = Config> {
    prop_oneof![
        Just(config(Role::Listen)),
        Just(config(Role::Connect)),
        Just(demo_config("head0", false)),
        Just(demo_config("head0", true)),
        Just(demo_config("head1", true)),
    ]
}

proptest! {
    #[test]
    fn any_inputs_in_any_order_are_survived_and_every_upcall_is_answered(
        config in any_config(),
        inputs in prop::collection::vec((input(), 0..3000u64), 0..120),
    ) {
        let mut relay = Relay::new(config).expect("valid");
        let mut now = Time::ZERO;
        let mut stopped = false;
        for (input, milliseconds) in inputs {
            now = now + Duration::from_millis(milliseconds);
            let asked = match &input {
                Input::Upcall { call, .. } => Some(*call),
                _ => None,
            };
            relay.handle(now, input);
            let mut answered = None;
            while let Some(action) = relay.poll_action() {
                match action {
                    Action::AnswerUpcall { call, .. } => {
                        prop_assert_eq!(answered.replace(call), None);
                    }
                    Action::Log(event) => prop_assert!(!event.to_string().is_empty()),
                    Action::Disconnect { .. } => {}
                    other => prop_assert!(!stopped, "{:?} after the end", other),
                }
                stopped |= relay.next_timer().is_none() && relay.phase == super::super::Phase::Stopped
                    && relay.actions.is_empty();
            }
            prop_assert_eq!(asked, answered);
            prop_assert_eq!(relay.occupancy().passed(), None);
        }
    }

    #[test]
    fn any_bytes_in_any_pieces_on_a_link_that_stands_are_survived(
        pieces in prop::collection::vec(bytes(), 0..20),
        damage in prop::collection::vec((any::<usize>(), any::<u8>()), 0..4),
    ) {
        let mut rig = Rig::new(config(Role::Connect));
        let mut peer = rig.up();
        let mut stream: Vec<u8> = Vec::new();
        for number in 0..6u8 {
            stream.extend(peer.frame(&rig, &[b'1', number]));
        }
        for (at, with) in damage {
            let at = at % stream.len();
            stream[at] = with;
        }
        for piece in stream.chunks(11) {
            rig.received(1, piece);
        }
        for piece in pieces {
            rig.received(1, &piece);
        }
        // Whatever was posted is the beginning of what was sent.
        let mut number = 0;
        while let Some(Action::Post { post, message, .. }) =
            rig.actions.iter().find(|action| matches!(action, Action::Post { .. })).cloned()
        {
            prop_assert_eq!(&message[..], &[b'1', number][..]);
            number += 1;
            rig.take();
            rig.finish(post);
        }
    }
}

#[test]
fn inputs_that_make_no_sense_are_told_and_change_nothing() {
    let mut rig = Rig::new(config(Role::Connect));
    rig.up();
    let handle = HandleIdentity(1);
    for (input, line) in [
        (Input::Start, "started twice"),
        (
            Input::PostFinished {
                post: PostId(77),
                result: Ok(()),
            },
            "post 77 finished, which is not in progress",
        ),
        (
            Input::ProxyDoorOpened(Ok(OpenedDoor {
                boot: BootIdentity(1),
                handle,
            })),
            "the proxy door was opened unasked",
        ),
        (Input::ProxyDoorClosed, "the proxy door was closed unasked"),
        (Input::AluaSet(Ok(())), "the ALUA state was set unasked"),
        (
            Input::Connected {
                connection: ConnectionId(1),
                address: None,
            },
            "connection 1 was used before",
        ),
        (
            Input::Sent {
                connection: ConnectionId(1),
                bytes: 100_000,
            },
            "connection 1: 100000 bytes reported as sent",
        ),
        (Input::ListenFailed(1), "listening failed unasked"),
    ] {
        rig.events.clear();
        rig.put(input);
        assert!(rig.says(line), "{:?}", rig.lines());
        assert_eq!(rig.take(), []);
    }
    assert!(rig.relay.is_link_up());
    assert_eq!(rig.relay.statistics().misuses, 8);
}

#[test]
fn time_that_goes_back_counts_as_not_moved() {
    let mut rig = Rig::new(config(Role::Connect));
    rig.now = Time::ZERO + 100 * SECOND;
    rig.up();
    let before = rig.relay.next_timer();
    rig.now = Time::ZERO;
    rig.put(Input::Timer);
    assert_eq!(rig.relay.next_timer(), before);
    assert!(rig.relay.is_link_up());
}

#[test]
fn settings_are_checked_at_their_edges() {
    let check = |change: fn(&mut Config)| {
        let mut config = config(Role::Connect);
        change(&mut config);
        config.check().map_err(|error| error.to_string())
    };
    assert_eq!(check(|_| {}), Ok(()));
    assert_eq!(check(|c| c.dead_peer(4000)), Ok(()));
    let largest = |c: &mut Config| {
        c.max_message = config::MESSAGE_BOUND;
        c.send_queue_bytes = config::MESSAGE_BOUND + config::SEND_QUEUE_SLACK;
        c.post_queue_bytes = config::MESSAGE_BOUND;
    };
    assert_eq!(check(largest), Ok(()));
    let rarest = |c: &mut Config| {
        c.times.keepalive_interval = Duration::from_secs(1000);
        c.dead_peer(2_000_000);
    };
    assert_eq!(check(rarest), Ok(()));
    assert_eq!(check(|c| c.set_names("p", "")), Ok(()));
    assert_eq!(check(|c| c.set_names(&"p".repeat(255), "")), Ok(()));
    let refused = [
        check(|c| c.max_message = 0),
        check(|c| c.max_message = config::MESSAGE_BOUND + 1),
        check(|c| c.send_queue_bytes = c.max_message + config::SEND_QUEUE_SLACK - 1),
        check(|c| c.post_queue_bytes = c.max_message - 1),
        check(|c| c.post_queue_messages = 0),
        check(|c| c.posts_in_flight = 0),
        check(|c| c.slow_posts_in_flight = 0),
        check(|c| c.dead_peer(3999)),
        check(|c| c.times.keepalive_interval = Duration::from_secs(1001)),
        check(|c| c.times.backoff_max = c.times.backoff_first - Duration::from_nanos(1)),
        check(|c| c.post_patience = Duration::ZERO),
        check(|c| c.set_names("", "host")),
        check(|c| c.set_names(&"p".repeat(256), "host")),
        check(|c| c.set_names("pair", "a\0b")),
    ];
    let lines: Vec<_> = refused
        .into_iter()
        .map(|result| result.expect_err("refused"))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

impl Config {
    fn dead_peer(&mut self, milliseconds: u64) {
        self.times.dead_peer_time = Duration::from_millis(milliseconds);
    }

    fn set_names(&mut self, new_pair: &str, new_host: &str) {
        if let LinkConfig::Default { pair, host, .. } = &mut self.link {
            (*pair, *host) = (new_pair.to_owned(), new_host.to_owned());
        }
    }
}
