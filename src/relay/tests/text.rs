// SPDX-License-Identifier: MPL-2.0
//! What people read, and the bytes that other versions have to read: kept as snapshots, so that a
//! change of either is seen.

use std::fmt::Write as _;
use std::time::Duration;

use super::rig::*;
use crate::link::{
    BootIdentity, BreakReason, ConnectionId, GoodbyeReason, HandleIdentity, LinkError, Node,
    Refusal, Role, TransportEnd,
};
use crate::relay::event::DoorCall;
use crate::relay::*;

/// Sixteen bytes a line: offset, hexadecimal, text.
fn dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (row, line) in bytes.chunks(16).enumerate() {
        let hex: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String = (line.iter())
            .map(|byte| {
                if byte.is_ascii_graphic() {
                    *byte as char
                } else {
                    '.'
                }
            })
            .collect();
        writeln!(out, "{:04x}  {:47}  {text}", row * 16, hex.join(" ")).expect("a string");
    }
    out
}

#[test]
fn the_bytes_of_the_default_link() {
    let mut rig = Rig::new(config(Role::Connect));
    rig.up();
    assert_eq!(rig.upcall(b"message"), 0);
    rig.wait(2 * SECOND);
    rig.put(Input::Stop);
    let mut sent: Vec<_> = std::mem::take(&mut rig.wire);
    // `up` has read greeting and welcome away; they come again from a relay of the same seed.
    let mut again = Rig::new(config(Role::Connect));
    again.start();
    again.connected(1);
    PeerEnd::greet(&mut again, 1, PeerKind::default());
    let mut all = std::mem::take(&mut again.wire);
    all.append(&mut sent);
    let names = [
        "magic and greeting",
        "welcome",
        "message",
        "keepalive",
        "goodbye",
    ];
    assert_eq!(all.len(), names.len());
    let text: String = names
        .iter()
        .zip(&all)
        .map(|(name, (_, bytes))| format!("{name}:\n{}", dump(bytes)))
        .collect();
    insta::assert_snapshot!(text);
}

#[test]
fn the_log_of_a_life() {
    let mut config = config(Role::Connect);
    config.handle_without_link = HandlePolicy::CloseAfter(5 * SECOND);
    let mut rig = Rig::new(config);
    rig.start();
    rig.upcall(b"too early");
    rig.put(Input::ConnectFailed(ConnectFailure::Refused));
    rig.wait(SECOND);
    let mut peer = rig.link_up(1, PeerKind::default());
    rig.put(Input::AluaSet(Ok(())));
    rig.upcall(b"lost with the link");
    peer.send(&mut rig, b"1 posted");
    peer.send(&mut rig, b"1 discarded");
    let failure = CallFailure {
        status: 0x8025,
        errno: 22,
    };
    rig.put(Input::Disconnected {
        connection: ConnectionId(1),
        end: TransportEnd::Reset,
    });
    rig.wait(SECOND);
    rig.connected(2);
    let mut peer = PeerEnd::greet(
        &mut rig,
        2,
        PeerKind {
            boot: 2,
            handle: 8,
            ..PeerKind::default()
        },
    );
    rig.put(Input::PostFinished {
        post: PostId(1),
        result: Err(failure),
    });
    rig.put(Input::ProxyDoorClosed).put(Input::DoorUnreferenced);
    rig.door_opened();
    peer.read(&mut rig);
    peer.welcome(&mut rig);
    rig.put(Input::AluaSet(Ok(())));
    rig.wait(10 * SECOND);
    rig.wait(6 * SECOND);
    rig.put(Input::Stop).put(Input::ProxyDoorClosed);
    insta::assert_snapshot!(rig.lines().join("\n"));
}

#[test]
fn every_event_has_its_line() {
    let connection = ConnectionId(3);
    let failure = CallFailure {
        status: 0x8001,
        errno: 16,
    };
    let long = Duration::from_millis(30_500);
    let failed = |reason| Event::HandshakeFailed { connection, reason };
    let down = |reason| Event::LinkDown {
        connection,
        reason,
        unconfirmed: 0,
        discarded: 0,
        lasted: long,
    };
    let refused = |refusal: Refusal| failed(BreakReason::Refused(refusal));
    let protocol = |error: LinkError| down(BreakReason::Protocol(error));
    let handle = HandleIdentity(0xff);
    let events = [
        Event::Started {
            node: Node::One,
            role: Role::Listen,
            link: "demo",
        },
        Event::DoorOpened {
            boot: BootIdentity(0xabc),
            handle,
        },
        Event::DoorNotOpened {
            failure,
            retry_in: None,
        },
        Event::DoorClosing {
            reason: CloseReason::PeerUnknown,
            posts_in_flight: 2,
        },
        Event::DoorClosing {
            reason: CloseReason::PeerNotReady(long),
            posts_in_flight: 0,
        },
        Event::Connected {
            connection,
            address: Some(([10, 0, 0, 2], 6543).into()),
        },
        Event::NotListening {
            errno: 125,
            retry_in: long,
        },
        Event::PeerGreeted {
            connection,
            host: "a\nb".to_owned(),
            node: None,
            boot: None,
        },
        Event::AluaNotSet { failure },
        Event::UpcallsRefused {
            refusal: UpcallRefusal::SendQueueFull,
        },
        Event::UpcallTooLong {
            length: 2000,
            bound: 1000,
        },
        Event::UpcallEmpty,
        Event::MessagesDiscarded { count: 1 },
        Event::PostSlow {
            post: PostId(9),
            since: long,
        },
        Event::DoorSlow {
            call: DoorCall::Close,
            since: long,
        },
        Event::Stopping {
            cause: StopCause::DemoLinkEnded(BreakReason::Transport(TransportEnd::Closed)),
            posts_in_flight: 1,
        },
        Event::Misuse(Misuse::StartedTwice),
        refused(Refusal::Version {
            theirs_low: 2,
            theirs_high: 3,
            ours_low: 1,
            ours_high: 1,
        }),
        refused(Refusal::Stranger {
            theirs: "b".to_owned(),
            ours: "a".to_owned(),
        }),
        refused(Refusal::Itself),
        refused(Refusal::NodeConflict {
            node: Node::Zero,
            host: "head1".to_owned(),
        }),
        refused(Refusal::OutOfDate {
            attempt: 3,
            current: 4,
        }),
        failed(BreakReason::GreetingTimeout(long)),
        failed(BreakReason::TooMany(4)),
        failed(BreakReason::NotExpected),
        protocol(LinkError::NotThisLink(*b"HTTP")),
        protocol(LinkError::DemoLinkPeer),
        protocol(LinkError::HeaderChecksum {
            sequence: 5,
            computed: 1,
            sent: 2,
        }),
        protocol(LinkError::PayloadChecksum {
            sequence: 5,
            computed: 1,
            sent: 2,
        }),
        protocol(LinkError::TooLong {
            sequence: 5,
            length: 2000,
            bound: 1000,
        }),
        protocol(LinkError::WrongSession {
            sequence: 5,
            expected: 1,
            found: 2,
        }),
        protocol(LinkError::OutOfSequence {
            expected: 5,
            found: 4,
        }),
        protocol(LinkError::Malformed {
            kind: "greeting",
            what: "too short",
            offset: 12,
        }),
        down(BreakReason::Goodbye(GoodbyeReason::Stopping)),
        down(BreakReason::Goodbye(GoodbyeReason::Other(99))),
        down(BreakReason::DeadPeer(long)),
        down(BreakReason::NotConfirmed(long)),
        down(BreakReason::SendStalled(long)),
        down(BreakReason::SendQueueFull { bound: 5000 }),
        down(BreakReason::PostQueueCount { bound: 10 }),
        down(BreakReason::PostQueueBytes { bound: 5000 }),
        down(BreakReason::Superseded(ConnectionId(4))),
        down(BreakReason::AluaFailed),
        // An end that was asked for is no trouble.
        Event::Stopping {
            cause: StopCause::Asked,
            posts_in_flight: 0,
        },
        down(BreakReason::Stopping),
        Event::DoorClosing {
            reason: CloseReason::Stopping,
            posts_in_flight: 0,
        },
    ];
    let lines: Vec<_> = events
        .iter()
        .map(|event| format!("{:7?} {event}", event.severity()))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_reasons_of_a_goodbye_keep_their_numbers() {
    for code in 0..=20 {
        assert_eq!(GoodbyeReason::from_code(code).code(), code);
    }
    assert_eq!(GoodbyeReason::from_code(12), GoodbyeReason::TooMany);
    assert_eq!(GoodbyeReason::from_code(13), GoodbyeReason::Other(13));
}
