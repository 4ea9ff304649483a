// SPDX-License-Identifier: MPL-2.0
//! Two relays with their kernels, drivers and a network, and strangers who connect, all doing what
//! the bytes of the fuzzer say, drivers that do nonsense among them.
//!
//! Checked all the while: nothing panics; every upcall is answered in the step in which it comes,
//! once, and with 0 only if its message is on its way on a link that stands; what arrives was
//! sent, in order; posts keep the order of each object, come once, and never from a link that has
//! gone; every bound; nothing is asked for after the end; a timer does not spin. In the end the
//! faults stop, and a message must pass each way; then both stop in order.

pub mod machine;

use super::input::Input;
use super::sound;
use super::stream::{Peer, demo_frame, session_of};
use bytes::Bytes;
use machine::{Call, Connection, Machine, Other, Settings};
use std::collections::VecDeque;
use std::time::Duration;
use stmf_proxy::link::{BootIdentity, ConnectionId, HandleIdentity, Node, TransportEnd};
use stmf_proxy::message::{Body, Dialect, EchoRequest, Message};
use stmf_proxy::relay::{
    Action, CallFailure, CallId, ConnectFailure, HandlePolicy, Input as Told, OpenedDoor, PostId,
};
use stmf_proxy::time::Time;

/// So many things are done at most: what is asked of a post grows with the posts before it.
const STEPS_MOST: usize = 400;

/// How long healing may take, in rounds of half a second.
const ROUNDS_MOST: usize = 200;

const NODES: [usize; 2] = [0, 1];

/// Checks these bytes.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let settings = settings(&mut input);
    let mut world = World::new(settings);
    for _ in 0..STEPS_MOST {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
    }
    world.heal();
    world.demand();
    world.end();
}

fn settings(input: &mut Input<'_>) -> Settings {
    let demo = match input.below(8) {
        0 => Some(true),
        1 => Some(false),
        _ => None,
    };
    let policy = match input.below(4) {
        0 => HandlePolicy::Keep,
        1 => HandlePolicy::CloseAfter(Duration::ZERO),
        _ => HandlePolicy::CloseAfter(Duration::from_secs(5)),
    };
    let posts = usize::from(input.below(4)) + 1;
    Settings {
        demo,
        policy,
        posts,
    }
}

struct World {
    settings: Settings,
    now: Time,
    machines: [Machine; 2],
    /// What relays have asked for and was not done yet.
    asked: VecDeque<(usize, Action)>,
    numbers: u64,
}

impl World {
    fn new(settings: Settings) -> World {
        let machine = |node| Machine::new(&settings, node, node as u64 + 1, node as u128 + 10);
        let mut world = World {
            settings,
            now: Time::ZERO,
            machines: NODES.map(machine),
            asked: VecDeque::new(),
            numbers: 1000,
        };
        for node in NODES {
            world.tell(node, Told::Start);
        }
        world.perform();
        world
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn tell(&mut self, node: usize, what: Told) {
        let actions = self.machines[node].tell(self.now, what);
        self.asked
            .extend(actions.into_iter().map(|action| (node, action)));
    }

    /// Does what was asked for and is not done by the machine alone.
    fn perform(&mut self) {
        while let Some((node, action)) = self.asked.pop_front() {
            if let Action::Disconnect {
                connection, flush, ..
            } = action
            {
                if flush {
                    self.carry(node, connection, usize::MAX);
                }
                self.cut(node, connection, None);
            }
        }
    }

    /// One thing that the input says.
    fn step(&mut self, input: &mut Input<'_>) {
        let what = input.byte();
        let node = usize::from(what >> 7);
        match what & 0x1f {
            0..=3 => self.upcall(node, input),
            4..=7 => {
                let bytes = match input.byte() {
                    0xff => usize::MAX,
                    byte => usize::from(byte) * 16 + 1,
                };
                let which = input.byte();
                if let Some(connection) = self.connection(node, which) {
                    self.carry(node, connection, bytes);
                }
            }
            8..=11 => {
                let which = input.byte();
                let fails = input.rarely();
                self.finish(node, which, fails);
            }
            12 | 13 => self.connect(input.byte()),
            14 => self.stranger_connects(node),
            15..=17 => self.stranger_sends(node, input),
            18 => {
                let which = input.byte();
                if let Some(connection) = self.connection(node, which) {
                    let end = match input.below(3) {
                        0 => TransportEnd::Closed,
                        1 => TransportEnd::Reset,
                        _ => TransportEnd::Failed(5),
                    };
                    self.cut(node, connection, Some(end));
                }
            }
            19..=22 => {
                let milliseconds = match input.byte() {
                    byte @ 0..=0x7f => u64::from(byte),
                    byte => u64::from(byte & 0x7f) * 200,
                };
                self.wait(Duration::from_millis(milliseconds));
            }
            23 => {
                if let Some(at) = self.machines[node].relay.next_timer() {
                    self.wait(at - self.now);
                }
            }
            24 => {
                // Everything that is in order, as fast as it goes.
                self.connect(0);
                for node in NODES {
                    self.carry_all(node);
                    self.finish_all(node);
                }
            }
            25 => {
                if input.rarely() {
                    self.tell(node, Told::Stop);
                }
            }
            26 => {
                let boots = input.below(2) == 0;
                self.restart(node, boots);
            }
            27 => self.tell(node, Told::Timer),
            28 => {
                let errno = i32::from(input.byte());
                if self.machines[node].listens {
                    self.machines[node].listens = false;
                    self.tell(node, Told::ListenFailed(errno));
                }
            }
            _ => self.nonsense(node, input),
        }
        self.perform();
    }

    fn upcall(&mut self, node: usize, input: &mut Input<'_>) {
        let message = match input.byte() {
            0..=0x0f => Bytes::copy_from_slice(input.run()),
            0x10..=0x17 => Bytes::from(vec![input.byte(); usize::from(input.short())]),
            _ => Bytes::from(sound::wire(input, Dialect::Current)),
        };
        let call = CallId(self.number());
        self.tell(node, Told::Upcall { call, message });
    }

    fn connection(&self, node: usize, which: u8) -> Option<ConnectionId> {
        let connections = &self.machines[node].connections;
        let which = usize::from(which).checked_rem(connections.len())?;
        connections.keys().nth(which).copied()
    }

    /// The transport takes bytes that a relay has sent, and they arrive.
    fn carry(&mut self, node: usize, connection: ConnectionId, most: usize) {
        let Some(known) = self.machines[node].connections.get_mut(&connection) else {
            return;
        };
        let length = most.min(known.outbox.len());
        if length == 0 {
            return;
        }
        let bytes: Vec<u8> = known.outbox.drain(..length).collect();
        if let Other::Stranger(peer, _) = &mut known.other {
            match peer {
                Some(peer) => peer.received += length as u64,
                None if self.settings.demo.is_none() => {
                    *peer = session_of(&bytes).map(|session| Peer {
                        session,
                        node: Node::from_number(1 - node as u32).expect("0 or 1"),
                        sequence: 0,
                        received: length as u64,
                    });
                }
                None => {}
            }
        }
        let other = match known.other {
            Other::Relay(other) => Some(other),
            Other::Stranger(..) => None,
        };
        let sent = Told::Sent {
            connection,
            bytes: length,
        };
        self.tell(node, sent);
        if let Some(other) = other {
            self.receive(1 - node, other, Bytes::from(bytes), Some(connection));
        }
    }

    /// Bytes come to a relay, from the connection of the other one or from a stranger.
    fn receive(
        &mut self,
        node: usize,
        connection: ConnectionId,
        bytes: Bytes,
        from: Option<ConnectionId>,
    ) {
        let [zero, one] = &mut self.machines;
        let (machine, other) = match node {
            0 => (zero, one),
            _ => (one, zero),
        };
        let sent = from.and_then(|from| other.connections.get(&from));
        let sent = sent.map(|connection| &connection.accepted[..]);
        let actions = machine.receive(self.now, connection, bytes, sent);
        self.asked
            .extend(actions.into_iter().map(|action| (node, action)));
    }

    fn carry_all(&mut self, node: usize) {
        let all: Vec<_> = self.machines[node].connections.keys().copied().collect();
        for connection in all {
            self.carry(node, connection, usize::MAX);
        }
        self.perform();
    }

    /// A connection ends: at this end because the relay wants it so, or (`end`) by itself.
    fn cut(&mut self, node: usize, connection: ConnectionId, end: Option<TransportEnd>) {
        let Some(known) = self.machines[node].connections.remove(&connection) else {
            return;
        };
        if let Some(end) = end {
            self.tell(node, Told::Disconnected { connection, end });
        }
        if let Other::Relay(other) = known.other
            && self.machines[1 - node].connections.remove(&other).is_some()
        {
            let end = end.unwrap_or(TransportEnd::Closed);
            let connection = other;
            self.tell(1 - node, Told::Disconnected { connection, end });
        }
    }

    /// What becomes of the attempt to connect of node 0.
    fn connect(&mut self, how: u8) {
        if !self.machines[0].wants_connection {
            return;
        }
        self.machines[0].wants_connection = false;
        match how {
            0xf0..=0xf7 => {
                return self.tell(0, Told::ConnectFailed(ConnectFailure::Refused));
            }
            0xf8..=0xff => {
                return self.tell(0, Told::ConnectFailed(ConnectFailure::Errno(how.into())));
            }
            _ => {}
        }
        if !self.machines[1].listens {
            return self.tell(0, Told::ConnectFailed(ConnectFailure::Refused));
        }
        let ids = NODES.map(|_| ConnectionId(self.number()));
        for node in NODES {
            self.connected(node, ids[node], Other::Relay(ids[1 - node]));
        }
    }

    fn connected(&mut self, node: usize, id: ConnectionId, other: Other) {
        let connection = Connection {
            other,
            outbox: VecDeque::new(),
            sent: 0,
            accepted: Vec::new(),
            arrived: 0,
        };
        self.machines[node].connections.insert(id, connection);
        let told = Told::Connected {
            connection: id,
            address: None,
        };
        self.tell(node, told);
    }

    fn stranger_connects(&mut self, node: usize) {
        let id = ConnectionId(self.number());
        self.machines[node].wants_connection = false;
        self.connected(node, id, Other::Stranger(None, true));
        // It reads the greeting before it says anything.
        self.perform();
        self.carry(node, id, usize::MAX);
    }

    fn stranger_sends(&mut self, node: usize, input: &mut Input<'_>) {
        let connections = &mut self.machines[node].connections;
        let mut strangers = connections.iter_mut().filter_map(|(id, connection)| {
            let id = *id;
            match &mut connection.other {
                Other::Stranger(peer, first) => Some((id, peer, first)),
                Other::Relay(_) => None,
            }
        });
        let Some((connection, peer, first)) = strangers.nth(usize::from(input.below(2))) else {
            return;
        };
        let message = match input.byte() {
            0..=0x1f => input.run().to_vec(),
            _ => sound::wire(input, Dialect::Current),
        };
        let bytes = match (peer, self.settings.demo) {
            (_, Some(_)) => demo_frame(input, std::mem::take(first), &message),
            (Some(peer), None) => peer.frame(input, &message),
            (None, None) => message,
        };
        self.receive(node, connection, Bytes::from(bytes), None);
    }

    /// Something that a relay's driver does comes to its end.
    fn finish(&mut self, node: usize, which: u8, fails: bool) {
        let number = u128::from(self.number());
        let machine = &mut self.machines[node];
        let Some(which) = usize::from(which).checked_rem(machine.calls.len()) else {
            return;
        };
        let failure = CallFailure {
            status: 0x8001,
            errno: 5,
        };
        let result = if fails { Err(failure) } else { Ok(()) };
        let told = match machine.calls.remove(which) {
            Call::Open => Told::ProxyDoorOpened(result.map(|()| {
                machine.handle = Some(number);
                let (boot, handle) = (BootIdentity(machine.boot), HandleIdentity(number));
                OpenedDoor { boot, handle }
            })),
            Call::Close => {
                machine.handle = None;
                Told::ProxyDoorClosed
            }
            Call::Alua => {
                machine.alua_ever_set |= !fails;
                Told::AluaSet(result)
            }
            Call::Post(post, _) => Told::PostFinished { post, result },
        };
        self.tell(node, told);
    }

    fn finish_all(&mut self, node: usize) {
        while !self.machines[node].calls.is_empty() {
            self.finish(node, 0, false);
            self.perform();
        }
    }

    /// Time passes, and timers go off.
    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let timers = NODES.into_iter().filter_map(|node| {
                let at = self.machines[node].relay.next_timer()?;
                Some((at, node))
            });
            let Some((at, node)) = timers.min().filter(|(at, _)| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            self.tell(node, Told::Timer);
            self.perform();
            let again = self.machines[node].relay.next_timer();
            assert!(
                again.is_none_or(|again| again > self.now),
                "the timer must not spin"
            );
        }
        self.now = end;
    }

    /// A relay's process ends, and another is started; its kernel may boot too.
    fn restart(&mut self, node: usize, boots: bool) {
        let all: Vec<_> = self.machines[node].connections.keys().copied().collect();
        for connection in all {
            self.cut(node, connection, None);
        }
        self.asked.retain(|(of, _)| *of != node);
        let seed = self.number();
        let boot = match boots {
            true => u128::from(self.number()),
            false => self.machines[node].boot,
        };
        let old = std::mem::replace(
            &mut self.machines[node],
            Machine::new(&self.settings, node, seed, boot),
        );
        self.machines[node].alua_ever_set = old.alua_ever_set && !boots;
        self.tell(node, Told::Start);
        self.perform();
    }

    /// What no driver should do.
    fn nonsense(&mut self, node: usize, input: &mut Input<'_>) {
        let machine = &self.machines[node];
        let connection = match input.byte() {
            0..=0x7f => ConnectionId(u64::from(input.byte())),
            which => self
                .connection(node, which)
                .unwrap_or(ConnectionId(which.into())),
        };
        let known = machine.connections.get(&connection);
        let told = match input.below(12) {
            0 => Told::Start,
            1 => Told::DoorUnreferenced,
            2 => Told::PostFinished {
                post: PostId(1 << 40 | input.long()),
                result: Ok(()),
            },
            3 if !machine.calls.contains(&Call::Open) => {
                let (boot, handle) = (BootIdentity(3), HandleIdentity(3));
                Told::ProxyDoorOpened(Ok(OpenedDoor { boot, handle }))
            }
            4 if !machine.calls.contains(&Call::Close) => Told::ProxyDoorClosed,
            5 if !machine.calls.contains(&Call::Alua) => Told::AluaSet(Ok(())),
            6 => Told::Sent {
                connection,
                bytes: known.map_or(0, |known| known.outbox.len()) + 1 + usize::from(input.byte()),
            },
            7 if known.is_none() => Told::Received {
                connection,
                bytes: Bytes::copy_from_slice(input.run()),
            },
            8 if known.is_none() => Told::Disconnected {
                connection,
                end: TransportEnd::Closed,
            },
            9 if !machine.wants_connection => Told::ConnectFailed(ConnectFailure::TimedOut),
            10 if !machine.listens => Told::ListenFailed(1),
            11 if known.is_some() => Told::Connected {
                connection,
                address: None,
            },
            _ => Told::Timer,
        };
        self.tell(node, told);
    }

    /// No more faults: strangers go, who has stopped is started again, and everything is carried
    /// and finished until a link stands.
    fn heal(&mut self) {
        for node in NODES {
            let connections = self.machines[node].connections.iter();
            let strangers =
                connections.filter(|(_, known)| matches!(known.other, Other::Stranger(..)));
            let strangers: Vec<_> = strangers.map(|(id, _)| *id).collect();
            for connection in strangers {
                self.cut(node, connection, Some(TransportEnd::Closed));
            }
            self.perform();
        }
        for _ in 0..ROUNDS_MOST {
            for node in NODES {
                self.carry_all(node);
                self.finish_all(node);
                if self.machines[node].stopped {
                    self.restart(node, false);
                }
            }
            self.connect(0);
            let quiet = NODES.iter().all(|node| {
                let machine = &self.machines[*node];
                let sent = machine.connections.values().all(|c| c.outbox.is_empty());
                machine.relay.is_link_up() && machine.calls.is_empty() && sent
            });
            if quiet {
                return;
            }
            self.wait(Duration::from_millis(500));
        }
        panic!("no link stands {} rounds after the last fault", ROUNDS_MOST);
    }

    /// A message passes each way.
    fn demand(&mut self) {
        for node in NODES {
            let data = vec![node as u8; 3];
            let body = Body::EchoRequest(EchoRequest { data });
            let message = Message { msgid: 1, body }.encode(Dialect::Current);
            let message = Bytes::from(message.expect("it can be sent"));
            let call = CallId(self.number());
            let before = self.machines[node].relay.statistics().upcalls_accepted;
            self.tell(node, Told::Upcall { call, message });
            let after = self.machines[node].relay.statistics().upcalls_accepted;
            assert_eq!(after, before + 1, "the link stands");
            let other = 1 - node;
            let before = self.machines[other].relay.statistics().posts_succeeded;
            self.carry_all(node);
            self.finish_all(other);
            let after = self.machines[other].relay.statistics().posts_succeeded;
            assert!(after > before, "the message is posted");
        }
    }

    /// Both stop in order.
    fn end(&mut self) {
        for node in NODES {
            self.tell(node, Told::Stop);
            self.perform();
            for either in NODES {
                self.carry_all(either);
                self.finish_all(either);
            }
            assert!(self.machines[node].stopped, "it was told to stop");
            assert_eq!(self.machines[node].relay.next_timer(), None);
        }
    }
}
