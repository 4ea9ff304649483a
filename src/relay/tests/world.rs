// SPDX-License-Identifier: MPL-2.0
//! Two relays, two kernels and the transport between them. What must hold at every step is
//! asserted where it happens.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::rig::{SECOND, by_first_byte};
use crate::link::{BootIdentity, ConnectionId, HandleIdentity, Node, Role, TransportEnd};
use crate::relay::*;
use crate::time::Time;

pub(super) const NODES: [usize; 2] = [0, 1];

/// A call into the kernel that has not returned.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Call {
    Open,
    Close,
    Alua,
    Post(PostId, u8),
}

/// One node: its relay, and what its kernel is doing and has seen.
pub(super) struct Machine {
    pub(super) relay: Relay,
    pub(super) boot: u128,
    /// The open handle.
    pub(super) handle: Option<u128>,
    pub(super) alua_ever_set: bool,
    pub(super) calls: Vec<Call>,
    pub(super) wants_connection: bool,
    pub(super) listens: bool,
    pub(super) connection: Option<ConnectionId>,
    /// Handed over for sending, and all that ever was, for replays.
    pub(super) outbox: VecDeque<u8>,
    pub(super) history: Vec<u8>,
    pub(super) stopped: bool,
    pub(super) revoked: bool,
    pub(super) told_to_stop: bool,
}

/// What an accepted message says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) boot: u128,
    pub(super) handle: Option<u128>,
    pub(super) connection: ConnectionId,
}

pub(super) struct World {
    pub(super) now: Time,
    pub(super) nodes: Vec<Machine>,
    pub(super) numbers: u64,
    /// Accepted messages by number, with who sent them and on which connection.
    pub(super) accepted: BTreeMap<u64, (usize, Origin)>,
    pub(super) posted: BTreeSet<u64>,
    /// Last number posted for each node and lane.
    pub(super) last: BTreeMap<(usize, u8), u64>,
    /// The boot of the peer that each handle has had to do with.
    pub(super) served: BTreeMap<u128, u128>,
    /// The connections of the latest link, one for each node.
    pub(super) latest: [ConnectionId; 2],
    /// Connections that ended with an orderly stop of this end: what was sent on them counts.
    pub(super) orderly: BTreeSet<ConnectionId>,
    pub(super) policy: HandlePolicy,
}

pub(super) fn config(node: usize, seed: u64, policy: HandlePolicy) -> Config {
    let role = if node == 0 {
        Role::Connect
    } else {
        Role::Listen
    };
    let number = Node::from_number(node as u32).expect("0 or 1");
    let link = LinkConfig::Default {
        pair: "pair".to_owned(),
        host: format!("head{node}"),
        node: number,
        role,
    };
    let mut config = Config::new(link, seed);
    config.classifier = by_first_byte;
    config.max_message = 400;
    config.send_queue_bytes = 400 + config::SEND_QUEUE_SLACK;
    config.post_queue_bytes = 3000;
    config.post_queue_messages = 20;
    config.posts_in_flight = 3;
    config.slow_posts_in_flight = 2;
    config.handle_without_link = policy;
    config
}

impl World {
    pub(super) fn new(policy: HandlePolicy) -> World {
        let mut world = World {
            now: Time::ZERO,
            nodes: Vec::new(),
            numbers: 1000,
            accepted: BTreeMap::new(),
            posted: BTreeSet::new(),
            last: BTreeMap::new(),
            served: BTreeMap::new(),
            latest: [ConnectionId(0); 2],
            orderly: BTreeSet::new(),
            policy,
        };
        for node in NODES {
            let machine = world.machine(node, None);
            world.nodes.push(machine);
        }
        for node in NODES {
            world.put(node, Input::Start);
        }
        world
    }

    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn machine(&mut self, node: usize, same_boot: Option<&Machine>) -> Machine {
        let seed = self.number();
        let boot = same_boot.map_or_else(|| u128::from(self.number()), |old| old.boot);
        Machine {
            relay: Relay::new(config(node, seed, self.policy)).expect("valid"),
            boot,
            handle: None,
            alua_ever_set: same_boot.is_some_and(|old| old.alua_ever_set),
            calls: Vec::new(),
            wants_connection: false,
            listens: false,
            connection: None,
            outbox: VecDeque::new(),
            history: Vec::new(),
            stopped: false,
            revoked: false,
            told_to_stop: false,
        }
    }

    pub(super) fn put(&mut self, node: usize, input: Input) {
        self.nodes[node].relay.handle(self.now, input);
        while let Some(action) = self.nodes[node].relay.poll_action() {
            self.perform(node, action);
        }
        let statistics = self.nodes[node].relay.statistics();
        let bound = config(node, 0, self.policy);
        assert!(statistics.post_queue_messages_high <= bound.post_queue_messages as u64);
        assert!(statistics.post_queue_bytes_high <= bound.post_queue_bytes as u64);
        assert!(statistics.send_queue_bytes_high <= bound.send_queue_bytes as u64);
        assert!(statistics.posts_in_flight_high <= bound.posts_in_flight as u64);
        assert_eq!(statistics.misuses, 0);
    }

    pub(super) fn perform(&mut self, node: usize, action: Action) {
        let machine = &mut self.nodes[node];
        let ended = machine.stopped && !matches!(action, Action::Log(_));
        assert!(!ended, "{action:?} after the end");
        match action {
            Action::OpenProxyDoor => {
                assert!(machine.handle.is_none());
                machine.calls.push(Call::Open);
            }
            Action::CloseProxyDoor => {
                assert!(machine.handle.is_some());
                assert_eq!(machine.calls, [], "closed while something is in progress");
                machine.calls.push(Call::Close);
            }
            Action::RevokeDoor => {
                assert!(machine.handle.is_none() && machine.calls.is_empty());
                machine.revoked = true;
            }
            Action::Stopped(_) => {
                assert!(machine.revoked);
                machine.stopped = true;
            }
            Action::SetAlua {
                enabled,
                node: number,
            } => {
                assert!(enabled && number.number() as usize == node);
                assert!(!machine.calls.contains(&Call::Alua));
                machine.calls.push(Call::Alua);
            }
            Action::Post { post, message, .. } => self.post(node, post, &message),
            Action::AnswerUpcall { .. } => panic!("answered without having been asked"),
            Action::Connect => machine.wants_connection = true,
            Action::AbandonConnect => machine.wants_connection = false,
            Action::Listen => machine.listens = true,
            Action::Send { connection, frame } => {
                if machine.connection == Some(connection) {
                    machine.outbox.extend(frame.to_vec());
                    machine.history.extend(frame.to_vec());
                }
            }
            Action::Disconnect {
                connection, flush, ..
            } => {
                if machine.connection == Some(connection) {
                    if flush {
                        self.carry(node, usize::MAX);
                    }
                    self.cut(Some(node));
                }
            }
            Action::Log(event) => assert!(!event.to_string().is_empty()),
        }
    }

    /// A post begins: everything that was promised about it is checked here.
    pub(super) fn post(&mut self, node: usize, post: PostId, message: &[u8]) {
        let machine = &mut self.nodes[node];
        let lane = message[0];
        let number = u64::from_be_bytes(message[1..9].try_into().expect("our own message"));
        let handle = machine.handle.expect("posted without a handle");
        assert!(machine.alua_ever_set, "posted before ALUA was set");
        let conflict = |call: &Call| match call {
            Call::Close => true,
            Call::Post(_, other) => *other == lane || *other == b'!' || lane == b'!',
            Call::Open | Call::Alua => false,
        };
        assert!(
            !machine.calls.iter().any(conflict),
            "{:?} beside {lane}",
            machine.calls
        );
        machine.calls.push(Call::Post(post, lane));

        let (from, origin) = self.accepted[&number];
        assert_eq!(from, 1 - node);
        let counts =
            origin.connection == self.latest[from] || self.orderly.contains(&origin.connection);
        assert!(counts, "of an earlier connection");
        assert_eq!(
            message,
            &text(lane, number, message.len())[..],
            "changed on the way"
        );
        assert!(self.posted.insert(number), "posted twice");
        let last = self.last.insert((node, lane), number);
        assert!(last.is_none_or(|last| last < number), "overtaken");
        // One handle serves one boot of the peer, both ways.
        assert_eq!(
            *self.served.entry(handle).or_insert(origin.boot),
            origin.boot
        );
        if let Some(theirs) = origin.handle {
            let boot = self.nodes[node].boot;
            assert_eq!(*self.served.entry(theirs).or_insert(boot), boot);
        }
    }

    pub(super) fn upcall(&mut self, node: usize, lane: u8, length: usize) -> bool {
        let number = self.number();
        let call = CallId(number);
        let message = text(lane, number, length);
        let machine = &mut self.nodes[node];
        let before = machine.connection;
        let up = machine.relay.is_link_up();
        machine
            .relay
            .handle(self.now, Input::Upcall { call, message });
        let mut answer = None;
        while let Some(action) = self.nodes[node].relay.poll_action() {
            match action {
                Action::AnswerUpcall { call: of, result } => {
                    assert!(of == call && answer.is_none());
                    answer = Some(result);
                }
                action => self.perform(node, action),
            }
        }
        let accepted = answer.expect("answered in the same step") == 0;
        if accepted {
            assert!(up, "accepted without a link");
            let machine = &self.nodes[node];
            let connection = before.expect("a link has a connection");
            let origin = Origin {
                boot: machine.boot,
                handle: machine.handle,
                connection,
            };
            self.accepted.insert(number, (node, origin));
        }
        accepted
    }

    /// Moves bytes from one relay to the other.
    pub(super) fn carry(&mut self, from: usize, bytes: usize) {
        let machine = &mut self.nodes[from];
        let Some(connection) = machine.connection else {
            return;
        };
        let bytes: Vec<u8> = machine
            .outbox
            .drain(..bytes.min(machine.outbox.len()))
            .collect();
        if bytes.is_empty() {
            return;
        }
        self.put(
            from,
            Input::Sent {
                connection,
                bytes: bytes.len(),
            },
        );
        if let Some(connection) = self.nodes[1 - from].connection {
            self.put(
                1 - from,
                Input::Received {
                    connection,
                    bytes: Bytes::from(bytes),
                },
            );
        }
    }

    /// Ends the transport; the side that asked for it is not told.
    pub(super) fn cut(&mut self, by: Option<usize>) {
        let ends: Vec<_> = NODES.map(|node| self.nodes[node].connection.take()).into();
        for node in NODES {
            self.nodes[node].outbox.clear();
            if let (Some(connection), true) = (ends[node], by != Some(node)) {
                let end = TransportEnd::Reset;
                self.put(node, Input::Disconnected { connection, end });
            }
        }
    }

    pub(super) fn connect(&mut self) {
        if !self.nodes[0].wants_connection || self.nodes[0].connection.is_some() {
            return;
        }
        self.nodes[0].wants_connection = false;
        if !self.nodes[1].listens {
            return self.put(0, Input::ConnectFailed(ConnectFailure::Refused));
        }
        let ids = NODES.map(|_| ConnectionId(self.number()));
        self.latest = ids;
        for node in NODES {
            self.nodes[node].connection = Some(ids[node]);
        }
        for node in NODES {
            self.put(
                node,
                Input::Connected {
                    connection: ids[node],
                    address: None,
                },
            );
        }
    }

    pub(super) fn finish(&mut self, node: usize, which: usize) {
        let calls = self.nodes[node].calls.len();
        if calls == 0 {
            return;
        }
        let call = self.nodes[node].calls.remove(which % calls);
        let input = match call {
            Call::Open => {
                let handle = u128::from(self.number());
                let machine = &mut self.nodes[node];
                machine.handle = Some(handle);
                let (boot, handle) = (BootIdentity(machine.boot), HandleIdentity(handle));
                Input::ProxyDoorOpened(Ok(OpenedDoor { boot, handle }))
            }
            Call::Close => {
                self.nodes[node].handle = None;
                Input::ProxyDoorClosed
            }
            Call::Alua => {
                self.nodes[node].alua_ever_set = true;
                Input::AluaSet(Ok(()))
            }
            Call::Post(post, _) => Input::PostFinished {
                post,
                result: Ok(()),
            },
        };
        self.put(node, input);
    }

    pub(super) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let due = |node: usize| self.nodes[node].relay.next_timer().map(|at| (at, node));
            let next = NODES
                .into_iter()
                .filter_map(due)
                .min()
                .filter(|(at, _)| *at <= end);
            let Some((at, node)) = next else { break };
            self.now = self.now.max(at);
            self.put(node, Input::Timer);
            let again = self.nodes[node].relay.next_timer();
            assert!(
                again.is_none_or(|again| again > self.now),
                "the timer must not spin"
            );
        }
        self.now = end;
    }

    pub(super) fn restart(&mut self, node: usize, reboot: bool) {
        self.cut(Some(node));
        let old = if reboot {
            None
        } else {
            Some(&self.nodes[node])
        };
        let alua_ever_set = old.is_some_and(|old| old.alua_ever_set);
        let boot = old.map(|old| old.boot);
        let mut machine = self.machine(node, None);
        machine.boot = boot.unwrap_or(machine.boot);
        machine.alua_ever_set = alua_ever_set;
        self.nodes[node] = machine;
        self.put(node, Input::Start);
    }

    /// Stops a relay in order, as an operator would; it stays down until somebody restarts it.
    pub(super) fn stop(&mut self, node: usize) {
        let machine = &mut self.nodes[node];
        machine.listens = false;
        machine.told_to_stop = true;
        self.orderly.extend(machine.connection);
        self.put(node, Input::Stop);
    }

    /// No more faults: who was stopped ends in order and is started again, and everything is
    /// carried and finished until nothing moves.
    pub(super) fn heal(&mut self) {
        for node in NODES {
            if self.nodes[node].told_to_stop {
                while !self.nodes[node].calls.is_empty() {
                    self.finish(node, 0);
                }
                assert!(self.nodes[node].stopped);
                self.restart(node, false);
            }
        }
        self.settle();
    }

    pub(super) fn settle(&mut self) {
        for _ in 0..400 {
            self.connect();
            for node in NODES {
                self.carry(node, usize::MAX);
                while !self.nodes[node].calls.is_empty() {
                    self.finish(node, 0);
                }
            }
            self.wait(SECOND / 4);
        }
    }
}

/// A message that tells its number and can be checked.
pub(super) fn text(lane: u8, number: u64, length: usize) -> Bytes {
    let mut bytes = vec![lane];
    bytes.extend(number.to_be_bytes());
    bytes.resize(length.max(9), (number % 251) as u8);
    Bytes::from(bytes)
}
