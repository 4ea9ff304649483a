// SPDX-License-Identifier: MPL-2.0
//! One relay on a bench: a script plays its kernel, and [`PeerEnd`] the other end of the link.

use std::time::Duration;

use bytes::Bytes;

use crate::link::connection::{Connection, Incoming, Limits, Ours};
use crate::link::demo::DemoConfig;
use crate::link::{
    BootIdentity, BreakReason, ConnectionId, Greeting, HandleIdentity, LinkTimes, Node, Role,
    Welcome,
};
use crate::relay::*;
use crate::time::Time;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Classifies by the first byte: `!` barrier, a capital an exclusive port (slow), a digit or small
/// letter a session.
pub(super) fn by_first_byte(message: &[u8]) -> Lane {
    match message.first() {
        Some(port) if port.is_ascii_uppercase() => Subject::Port { port: &[*port] }.lane(),
        Some(b'!') | None => Lane::barrier(),
        Some(byte) => Lane::free().and(Object::SenderSession(u64::from(*byte)), Mode::Exclusive),
    }
}

pub(super) fn config(role: Role) -> Config {
    let node = match role {
        Role::Connect => Node::Zero,
        Role::Listen => Node::One,
    };
    let (pair, host) = ("pair".to_owned(), format!("head{}", node.number()));
    let mut config = Config::new(
        LinkConfig::Default {
            pair,
            host,
            node,
            role,
        },
        42,
    );
    config.classifier = by_first_byte;
    config.max_message = 1000;
    config.send_queue_bytes = 1000 + config::SEND_QUEUE_SLACK;
    config.post_queue_bytes = 4000;
    config.post_queue_messages = 10;
    config.handle_without_link = HandlePolicy::Keep;
    config
}

pub(super) fn demo_config(host: &str, reconnect: bool) -> Config {
    let listening_host = "head1".to_owned();
    let demo = DemoConfig {
        host: host.to_owned(),
        listening_host,
        reconnect,
    };
    Config {
        link: LinkConfig::Demo(demo),
        ..config(Role::Connect)
    }
}

pub(super) struct Rig {
    pub(super) relay: Relay,
    pub(super) now: Time,
    /// Everything but log lines and sends, in order, since last taken.
    pub(super) actions: Vec<Action>,
    pub(super) events: Vec<Event>,
    /// Bytes sent on each connection, not taken by anybody yet.
    pub(super) wire: Vec<(ConnectionId, Vec<u8>)>,
    calls: u64,
    handles: u128,
}

impl Rig {
    pub(super) fn new(config: Config) -> Rig {
        let relay = Relay::new(config).expect("valid configuration");
        let (actions, events, wire) = (Vec::new(), Vec::new(), Vec::new());
        Rig {
            relay,
            now: Time::ZERO,
            actions,
            events,
            wire,
            calls: 0,
            handles: 0x100,
        }
    }

    pub(super) fn put(&mut self, input: Input) -> &mut Rig {
        self.relay.handle(self.now, input);
        while let Some(action) = self.relay.poll_action() {
            match action {
                Action::Log(event) => self.events.push(event),
                Action::Send { connection, frame } => self.wire.push((connection, frame.to_vec())),
                action => self.actions.push(action),
            }
        }
        self
    }

    pub(super) fn take(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Lets time pass, the timer going off whenever it is due.
    pub(super) fn wait(&mut self, duration: Duration) -> &mut Rig {
        let end = self.now + duration;
        while let Some(at) = self.relay.next_timer().filter(|at| *at <= end) {
            assert!(at > self.now || self.now == end, "the timer must not spin");
            self.now = self.now.max(at);
            self.put(Input::Timer);
            if self.now == end {
                break;
            }
        }
        self.now = end;
        self
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.events.iter().map(|event| event.to_string()).collect()
    }

    pub(super) fn says(&self, part: &str) -> bool {
        self.events
            .iter()
            .any(|event| event.to_string().contains(part))
    }

    pub(super) fn upcall(&mut self, message: &[u8]) -> u32 {
        self.calls += 1;
        let call = CallId(self.calls);
        self.put(Input::Upcall {
            call,
            message: Bytes::copy_from_slice(message),
        });
        let at = (self.actions.iter())
            .position(
                |action| matches!(action, Action::AnswerUpcall { call: of, .. } if *of == call),
            )
            .expect("answered in the same step");
        match self.actions.remove(at) {
            Action::AnswerUpcall { result, .. } => result,
            _ => unreachable!("found above"),
        }
    }

    pub(super) fn door_opened(&mut self) -> &mut Rig {
        self.handles += 1;
        let handle = HandleIdentity(self.handles);
        self.put(Input::ProxyDoorOpened(Ok(OpenedDoor {
            boot: BootIdentity(0xa),
            handle,
        })))
    }

    pub(super) fn connected(&mut self, id: u64) -> &mut Rig {
        self.put(Input::Connected {
            connection: ConnectionId(id),
            address: None,
        })
    }

    pub(super) fn received(&mut self, id: u64, bytes: &[u8]) -> &mut Rig {
        let bytes = Bytes::copy_from_slice(bytes);
        self.put(Input::Received {
            connection: ConnectionId(id),
            bytes,
        })
    }

    /// Started, door open, connecting or listening.
    pub(super) fn start(&mut self) -> &mut Rig {
        self.put(Input::Start);
        assert_eq!(self.take(), [Action::OpenProxyDoor]);
        self.door_opened()
    }

    /// From a fresh connection to a link that stands, with ALUA being set.
    pub(super) fn link_up(&mut self, id: u64, peer: PeerKind) -> PeerEnd {
        self.connected(id);
        let mut end = PeerEnd::greet(self, id, peer);
        end.read(self);
        end.welcome(self);
        assert!(self.relay.is_link_up(), "{:?}", self.lines());
        end
    }

    /// From nothing to posting.
    pub(super) fn up(&mut self) -> PeerEnd {
        self.start();
        let end = self.link_up(1, PeerKind::default());
        self.put(Input::AluaSet(Ok(())));
        self.take();
        end
    }

    /// Posts asked for since last taken; nothing else may have been.
    pub(super) fn posts(&mut self) -> Vec<(PostId, String)> {
        let post = |action| match action {
            Action::Post { post, message, .. } => {
                (post, String::from_utf8_lossy(&message).into_owned())
            }
            other => panic!("{other:?} is no post"),
        };
        self.take().into_iter().map(post).collect()
    }

    pub(super) fn finish(&mut self, post: PostId) -> &mut Rig {
        self.put(Input::PostFinished {
            post,
            result: Ok(()),
        })
    }

    /// The delay before the next attempt, as the log says it.
    pub(super) fn retry_in(&self) -> Duration {
        let delay = |event: &Event| match event {
            Event::Reconnecting { retry_in } | Event::NotConnected { retry_in, .. } => {
                Some(*retry_in)
            }
            _ => None,
        };
        self.events
            .iter()
            .rev()
            .find_map(delay)
            .expect("another attempt is planned")
    }

    /// The one disconnect among the actions.
    pub(super) fn disconnect(&mut self) -> Option<BreakReason> {
        self.take().into_iter().find_map(|action| match action {
            Action::Disconnect { reason, .. } => Some(reason),
            _ => None,
        })
    }
}

/// Who the peer is.
#[derive(Clone, Copy)]
pub(super) struct PeerKind {
    pub(super) boot: u128,
    pub(super) handle: u128,
    pub(super) node: Node,
    pub(super) relay: u64,
    pub(super) attempt: u64,
    pub(super) max_message: u32,
}

impl Default for PeerKind {
    fn default() -> PeerKind {
        PeerKind {
            boot: 1,
            handle: 7,
            node: Node::One,
            relay: 99,
            attempt: 1,
            max_message: 1000,
        }
    }
}

/// The other end of a default link.
pub(super) struct PeerEnd {
    pub(super) id: u64,
    pub(super) connection: Connection,
    kind: PeerKind,
    pub(super) got: Vec<Incoming>,
}

impl PeerEnd {
    /// A peer that has sent its greeting.
    pub(super) fn greet(rig: &mut Rig, id: u64, kind: PeerKind) -> PeerEnd {
        let greeting = Greeting {
            version_low: 1,
            version_high: 1,
            node: kind.node,
            max_message: kind.max_message,
            keepalive_ms: 2000,
            boot: BootIdentity(kind.boot),
            handle: Some(HandleIdentity(kind.handle)),
            session: 0xbeef_0000 + id,
            relay: kind.relay,
            attempt: kind.attempt,
            pair: "pair".to_owned(),
            host: "peer".to_owned(),
        };
        let limits = Limits {
            max_message: 1 << 20,
            send_queue_bytes: 1 << 30,
            times: LinkTimes::default(),
        };
        let (connection, frame) =
            Connection::open(rig.now, ConnectionId(id), Ours::Default(greeting), limits);
        rig.received(id, &frame.to_vec());
        PeerEnd {
            id,
            connection,
            kind,
            got: Vec::new(),
        }
    }

    /// Reads what the relay has sent.
    pub(super) fn read(&mut self, rig: &mut Rig) {
        let id = ConnectionId(self.id);
        for (_, bytes) in rig.wire.extract_if(.., |(to, _)| *to == id) {
            self.connection.receive(rig.now, bytes.into());
        }
        while let Some(incoming) = self.connection.next(rig.now) {
            self.got
                .push(incoming.expect("the relay keeps the protocol"));
        }
    }

    /// A sign of life if one is due; all that was sent either way is taken.
    pub(super) fn tick(&mut self, rig: &mut Rig) {
        self.read(rig);
        let bytes = rig.relay.statistics().send_queue_bytes_now as usize;
        rig.put(Input::Sent {
            connection: ConnectionId(self.id),
            bytes,
        });
        let taken = self.connection.unsent();
        self.connection
            .sent(rig.now, taken)
            .expect("as many as there are");
        if let Some(frame) = self.connection.timer(rig.now).expect("the relay lives") {
            rig.received(self.id, &frame.to_vec());
        }
    }

    pub(super) fn welcome(&mut self, rig: &mut Rig) {
        let handle = Some(HandleIdentity(self.kind.handle));
        let frame = self
            .connection
            .welcome(rig.now, Welcome { version: 1, handle });
        rig.received(self.id, &frame.expect("greeted").to_vec());
    }

    /// The bytes of a message frame.
    pub(super) fn frame(&mut self, rig: &Rig, message: &[u8]) -> Vec<u8> {
        let message = Bytes::copy_from_slice(message);
        self.connection
            .message(rig.now, message)
            .expect("room")
            .to_vec()
    }

    pub(super) fn send(&mut self, rig: &mut Rig, message: &[u8]) {
        let frame = self.frame(rig, message);
        rig.received(self.id, &frame);
    }

    /// Messages and goodbyes read so far, as text.
    pub(super) fn texts(&self) -> Vec<String> {
        let text = |incoming: &Incoming| match incoming {
            Incoming::Message(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Incoming::Goodbye(reason) => Some(format!("goodbye: {reason}")),
            _ => None,
        };
        self.got.iter().filter_map(text).collect()
    }
}
