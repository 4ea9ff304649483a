// SPDX-License-Identifier: MPL-2.0
//! Any bytes from a peer, in any pieces, on both links. A relay must not panic; what it does must
//! not depend on the pieces; and it must not take more memory than its bounds and the bytes that
//! came justify.
//!
//! The stream is made in stretches. Between two of them the relay's requests are answered; inside
//! one only bytes come, at once for the one relay and in pieces for the other, and both must ask
//! for the same in the same order.

use super::input::Input;
use super::stream::{PAIR, Peer, demo_frame, session_of};
use allocation_counter::measure;
use bytes::Bytes;
use stmf_proxy::link::demo::DemoConfig;
use stmf_proxy::link::{BootIdentity, ConnectionId, HandleIdentity, Node, Role, TransportEnd};
use stmf_proxy::relay::{Action, Config, Input as Told, LinkConfig, OpenedDoor, Relay, config};
use stmf_proxy::time::Time;

/// Longest message in bytes.
const MESSAGE: usize = 16 << 10;

/// Most bytes of messages that wait for posting.
const POST_QUEUE: usize = 64 << 10;

/// Most of them.
const POST_QUEUE_COUNT: usize = 64;

/// What a relay may keep for itself and for each message that waits, whatever came: its claims,
/// its place in the queues, the line about it.
const OVERHEAD: usize = (64 << 10) + POST_QUEUE_COUNT * (4 << 10);

/// A stream ends when it has so many bytes: several times what fills the queue, with messages over
/// the bound between. Without an end few bytes of the fuzzer make megabytes, and a case takes a
/// hundred times as long as others.
const STREAM_MOST: usize = 256 << 10;

/// So many pieces are cut at most; what is left of a stretch then comes at once.
const PIECES_MOST: usize = 4096;

/// The one connection.
const CONNECTION: ConnectionId = ConnectionId(1);

/// Checks these bytes on the default link.
pub fn check(bytes: &[u8]) {
    check_link(bytes, false);
}

/// Checks these bytes on the demo link.
pub fn check_demo(bytes: &[u8]) {
    check_link(bytes, true);
}

/// A relay, and what it has asked for since it was last looked at.
struct Side {
    relay: Relay,
    asked: Vec<Action>,
    /// What was asked is thrown away.
    forgets: bool,
}

impl Side {
    fn new(demo: bool, reconnect: bool) -> Side {
        let link = if demo {
            LinkConfig::Demo(DemoConfig {
                host: "here".to_owned(),
                listening_host: "here".to_owned(),
                reconnect,
            })
        } else {
            LinkConfig::Default {
                pair: PAIR.to_owned(),
                host: "here".to_owned(),
                node: Node::One,
                role: Role::Listen,
            }
        };
        let mut config = Config::new(link, 1);
        config.max_message = MESSAGE;
        config.send_queue_bytes = MESSAGE + config::SEND_QUEUE_SLACK;
        config.post_queue_bytes = POST_QUEUE;
        config.post_queue_messages = POST_QUEUE_COUNT;
        let mut side = Side {
            relay: Relay::new(config).expect("within all bounds"),
            asked: Vec::new(),
            forgets: false,
        };
        side.tell(Told::Start);
        side.asked.clear(); // to open the handle, which is done here
        let (boot, handle) = (BootIdentity(9), HandleIdentity(1));
        side.tell(Told::ProxyDoorOpened(Ok(OpenedDoor { boot, handle })));
        side.tell(Told::Connected {
            connection: CONNECTION,
            address: None,
        });
        side
    }

    fn tell(&mut self, what: Told) {
        self.relay.handle(Time::ZERO, what);
        while let Some(action) = self.relay.poll_action() {
            if !self.forgets {
                self.asked.push(action);
            }
        }
    }

    fn receive(&mut self, bytes: Bytes) {
        self.tell(Told::Received {
            connection: CONNECTION,
            bytes,
        });
    }

    /// Answers what it has asked for, and gives that.
    fn answer(&mut self) -> Vec<Action> {
        let mut all = Vec::new();
        loop {
            let asked = std::mem::take(&mut self.asked);
            if asked.is_empty() {
                return all;
            }
            for action in &asked {
                match action {
                    Action::SetAlua { .. } => self.tell(Told::AluaSet(Ok(()))),
                    Action::CloseProxyDoor => self.tell(Told::ProxyDoorClosed),
                    Action::OpenProxyDoor => {
                        let (boot, handle) = (BootIdentity(9), HandleIdentity(2));
                        self.tell(Told::ProxyDoorOpened(Ok(OpenedDoor { boot, handle })));
                    }
                    _ => {}
                }
            }
            all.extend(asked);
        }
    }
}

fn sent_bytes(actions: &[Action]) -> Vec<u8> {
    let frames = actions.iter().filter_map(|action| match action {
        Action::Send { frame, .. } => Some(frame.to_vec()),
        _ => None,
    });
    frames.flatten().collect()
}

/// One stretch of the stream.
fn stretch(input: &mut Input<'_>, peer: Option<&mut Peer>, first: &mut bool) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut peer = peer;
    loop {
        match input.below(8) {
            0 => return stream,
            1 => stream.extend_from_slice(input.run()),
            // Several small ones fill a queue.
            2 => {
                for _ in 0..input.below(70) {
                    let mut sound = Input::new(&[4, 0, 0]);
                    stream.extend(match &mut peer {
                        Some(peer) => peer.frame(&mut sound, b"small"),
                        None => demo_frame(&mut sound, false, b"small"),
                    });
                }
            }
            how => {
                // Mostly filled, so that long messages cost the fuzzer few bytes.
                let message = match how {
                    3 => input.run().to_vec(),
                    4 => vec![7; input.short().into()],
                    _ => vec![7; input.byte().into()],
                };
                stream.extend(match &mut peer {
                    Some(peer) => peer.frame(input, &message),
                    None => demo_frame(input, std::mem::take(first), &message),
                });
            }
        }
        if input.is_empty() || stream.len() >= STREAM_MOST {
            return stream;
        }
    }
}

fn check_link(bytes: &[u8], demo: bool) {
    let mut input = Input::new(bytes);
    let reconnect = input.below(2) == 0;
    let mut whole = Side::new(demo, reconnect);
    let mut pieces = Side::new(demo, reconnect);
    let mut lean = Side::new(demo, reconnect);
    lean.forgets = true;

    let greeting = sent_bytes(&whole.answer());
    assert_eq!(sent_bytes(&pieces.answer()), greeting);
    lean.asked.clear();
    let mut peer = (!demo).then(|| Peer {
        session: session_of(&greeting).expect("it has greeted"),
        node: Node::Zero,
        sequence: 0,
        received: greeting.len() as u64,
    });
    let cuts: Vec<usize> = (0..4).map(|_| usize::from(input.byte()) + 1).collect();
    let mut cuts = cuts.iter().cycle();
    let mut first = true;
    let (mut came, mut cut) = (0, 0);
    while !input.is_empty() && came < STREAM_MOST {
        let stream = Bytes::from(stretch(&mut input, peer.as_mut(), &mut first));
        came += stream.len();

        let piece = stream.clone();
        // What is kept of a piece is at most four times what counts; a message that has not come
        // to its end has a buffer of its own.
        let bound = OVERHEAD + 4 * POST_QUEUE + 2 * MESSAGE + stream.len();
        let used = measure(|| lean.receive(piece.clone()));
        assert!(used.bytes_max <= bound as u64, "{used:?} of {bound}");

        whole.receive(stream.clone());
        let mut rest = stream;
        while !rest.is_empty() {
            let length = match cut {
                PIECES_MOST => rest.len(),
                _ => rest.len().min(*cuts.next().expect("endless")),
            };
            cut = PIECES_MOST.min(cut + 1);
            // A piece of its own, as a socket gives it.
            let piece = Bytes::copy_from_slice(&rest.split_to(length));
            pieces.receive(piece);
        }
        let asked = whole.answer();
        assert_eq!(asked, pieces.answer(), "whole, and in pieces");
        assert_eq!(whole.relay.statistics(), pieces.relay.statistics());
        check_bounds(&whole.relay, &asked);
        if let Some(peer) = &mut peer {
            peer.received += sent_bytes(&asked).len() as u64;
        }
        // The third goes the same way, so that its memory is that of all stages.
        for action in &asked {
            match action {
                Action::SetAlua { .. } => lean.tell(Told::AluaSet(Ok(()))),
                Action::CloseProxyDoor => lean.tell(Told::ProxyDoorClosed),
                Action::OpenProxyDoor => {
                    let (boot, handle) = (BootIdentity(9), HandleIdentity(2));
                    lean.tell(Told::ProxyDoorOpened(Ok(OpenedDoor { boot, handle })));
                }
                _ => {}
            }
        }
        assert_eq!(lean.relay.statistics(), whole.relay.statistics());
    }
    let end = TransportEnd::Reset;
    for side in [&mut whole, &mut pieces] {
        side.tell(Told::Disconnected {
            connection: CONNECTION,
            end,
        });
    }
    assert_eq!(whole.answer(), pieces.answer());
}

fn check_bounds(relay: &Relay, asked: &[Action]) {
    let statistics = relay.statistics();
    assert_eq!(statistics.misuses, 0);
    assert!(statistics.post_queue_messages_high <= POST_QUEUE_COUNT as u64);
    assert!(statistics.post_queue_bytes_high <= POST_QUEUE as u64);
    for action in asked {
        match action {
            Action::Post { message, .. } => {
                assert!((1..=MESSAGE).contains(&message.len()));
            }
            Action::Log(event) => assert!(!event.to_string().is_empty()),
            _ => {}
        }
    }
}
