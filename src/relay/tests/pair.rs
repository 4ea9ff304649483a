// SPDX-License-Identifier: MPL-2.0
//! Two relays, two kernels and a hostile transport between them, driven by a random schedule.
//!
//! What must hold at every step is asserted where it happens (see [`Machine`] and
//! [`World::perform`]); after the schedule the faults end, and everything has to work.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::rig::{SECOND, by_first_byte};
use crate::link::{BootIdentity, ConnectionId, HandleIdentity, Node, Role, TransportEnd};
use crate::relay::*;
use crate::time::Time;

const NODES: [usize; 2] = [0, 1];
const LANES: &[u8] = b"PQ12!";

#[derive(Clone, Debug)]
enum Step {
    Upcall {
        node: usize,
        lane: usize,
        length: usize,
    },
    Connect,
    Carry {
        from: usize,
        bytes: usize,
    },
    Finish {
        node: usize,
        which: usize,
    },
    Wait {
        milliseconds: u64,
    },
    Break,
    Flip {
        from: usize,
        at: usize,
        bit: u8,
    },
    Replay {
        from: usize,
        at: usize,
    },
    Restart {
        node: usize,
        reboot: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..2usize;
    prop_oneof![
        12 => (node.clone(), 0..LANES.len(), 0..300usize)
            .prop_map(|(node, lane, length)| Step::Upcall { node, lane, length }),
        4 => Just(Step::Connect),
        14 => (node.clone(), 1..800usize).prop_map(|(from, bytes)| Step::Carry { from, bytes }),
        14 => (node.clone(), 0..8usize).prop_map(|(node, which)| Step::Finish { node, which }),
        4 => (0..4000u64).prop_map(|milliseconds| Step::Wait { milliseconds }),
        1 => Just(Step::Break),
        1 => (node.clone(), any::<usize>(), 0..8u8)
            .prop_map(|(from, at, bit)| Step::Flip { from, at, bit }),
        1 => (node.clone(), any::<usize>()).prop_map(|(from, at)| Step::Replay { from, at }),
        1 => (node, any::<bool>()).prop_map(|(node, reboot)| Step::Restart { node, reboot }),
    ]
}

/// A call into the kernel that has not returned.
#[derive(Clone, Debug, PartialEq)]
enum Call {
    Open,
    Close,
    Alua,
    Post(PostId, u8),
}

/// One node: its relay, and what its kernel is doing and has seen.
struct Machine {
    relay: Relay,
    boot: u128,
    /// The open handle.
    handle: Option<u128>,
    alua_ever_set: bool,
    calls: Vec<Call>,
    wants_connection: bool,
    listens: bool,
    connection: Option<ConnectionId>,
    /// Handed over for sending, and all that ever was, for replays.
    outbox: VecDeque<u8>,
    history: Vec<u8>,
    stopped: bool,
    revoked: bool,
}

/// What an accepted message says of itself.
#[derive(Clone, Copy, Debug)]
struct Origin {
    boot: u128,
    handle: Option<u128>,
    connection: ConnectionId,
}

struct World {
    now: Time,
    nodes: Vec<Machine>,
    numbers: u64,
    /// Accepted messages by number, with who sent them and on which connection.
    accepted: BTreeMap<u64, (usize, Origin)>,
    posted: BTreeSet<u64>,
    /// Last number posted for each node and lane.
    last: BTreeMap<(usize, u8), u64>,
    /// The boot of the peer that each handle has had to do with.
    served: BTreeMap<u128, u128>,
    /// The connections of the latest link, one for each node.
    latest: [ConnectionId; 2],
    policy: HandlePolicy,
}

fn config(node: usize, seed: u64, policy: HandlePolicy) -> Config {
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
    fn new(policy: HandlePolicy) -> World {
        let mut world = World {
            now: Time::ZERO,
            nodes: Vec::new(),
            numbers: 1000,
            accepted: BTreeMap::new(),
            posted: BTreeSet::new(),
            last: BTreeMap::new(),
            served: BTreeMap::new(),
            latest: [ConnectionId(0); 2],
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

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn machine(&mut self, node: usize, same_boot: Option<&Machine>) -> Machine {
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
        }
    }

    fn put(&mut self, node: usize, input: Input) {
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

    fn perform(&mut self, node: usize, action: Action) {
        let machine = &mut self.nodes[node];
        assert!(!machine.stopped, "{action:?} after the end");
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
    fn post(&mut self, node: usize, post: PostId, message: &[u8]) {
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
        assert_eq!(
            origin.connection, self.latest[from],
            "of an earlier connection"
        );
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

    fn upcall(&mut self, node: usize, lane: u8, length: usize) -> bool {
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
    fn carry(&mut self, from: usize, bytes: usize) {
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
    fn cut(&mut self, by: Option<usize>) {
        let ends: Vec<_> = NODES.map(|node| self.nodes[node].connection.take()).into();
        for node in NODES {
            self.nodes[node].outbox.clear();
            if let (Some(connection), true) = (ends[node], by != Some(node)) {
                let end = TransportEnd::Reset;
                self.put(node, Input::Disconnected { connection, end });
            }
        }
    }

    fn connect(&mut self) {
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

    fn finish(&mut self, node: usize, which: usize) {
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

    fn wait(&mut self, duration: Duration) {
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

    fn restart(&mut self, node: usize, reboot: bool) {
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

    fn step(&mut self, step: Step) {
        match step {
            Step::Upcall { node, lane, length } => {
                self.upcall(node, LANES[lane], 9 + length);
            }
            Step::Connect => self.connect(),
            Step::Carry { from, bytes } => self.carry(from, bytes),
            Step::Finish { node, which } => self.finish(node, which),
            Step::Wait { milliseconds } => self.wait(Duration::from_millis(milliseconds)),
            Step::Break => self.cut(None),
            Step::Flip { from, at, bit } => {
                let outbox = &mut self.nodes[from].outbox;
                if !outbox.is_empty() {
                    let at = at % outbox.len();
                    outbox[at] ^= 1 << bit;
                }
            }
            Step::Replay { from, at } => {
                let machine = &mut self.nodes[from];
                let (length, connection) = (machine.history.len(), machine.connection);
                if let (true, Some(_)) = (length > 0, connection) {
                    let old = Bytes::copy_from_slice(&machine.history[at % length..]);
                    if let Some(connection) = self.nodes[1 - from].connection {
                        self.put(
                            1 - from,
                            Input::Received {
                                connection,
                                bytes: old,
                            },
                        );
                    }
                }
            }
            Step::Restart { node, reboot } => self.restart(node, reboot),
        }
    }

    /// No more faults: everything is carried and finished until nothing moves.
    fn heal(&mut self) {
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
fn text(lane: u8, number: u64, length: usize) -> Bytes {
    let mut bytes = vec![lane];
    bytes.extend(number.to_be_bytes());
    bytes.resize(length.max(9), (number % 251) as u8);
    Bytes::from(bytes)
}

fn policy() -> impl Strategy<Value = HandlePolicy> {
    prop_oneof![
        Just(HandlePolicy::Keep),
        Just(HandlePolicy::CloseAfter(Duration::ZERO)),
        Just(HandlePolicy::CloseAfter(SECOND)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_between_two_relays_the_rules_hold_and_then_all_works_again(
        steps in prop::collection::vec(step(), 0..400), policy in policy(), begin in any::<bool>(),
    ) {
        let mut world = World::new(policy);
        if begin {
            world.heal();
            prop_assert!(world.nodes.iter().all(|machine| machine.relay.is_link_up()));
        }
        for step in steps {
            world.step(step);
        }
        world.heal();
        for node in NODES {
            prop_assert!(world.nodes[node].relay.is_link_up(), "node {} has no link", node);
        }
        // All that is accepted from here on arrives: nothing was lost, nothing is stuck.
        let before = world.posted.len();
        for round in 0..20 {
            for node in NODES {
                prop_assert!(world.upcall(node, LANES[round % LANES.len()], 100));
                world.carry(node, 50);
            }
        }
        world.heal();
        prop_assert_eq!(world.posted.len(), before + 40);
        // What was accepted on the connection that still stands is posted to the last message.
        for (number, (node, origin)) in &world.accepted {
            if world.nodes[*node].connection == Some(origin.connection) {
                prop_assert!(world.posted.contains(number), "{} lost", number);
            }
        }
        for node in NODES {
            world.put(node, Input::Stop);
        }
        world.heal();
        prop_assert!(world.nodes.iter().all(|machine| machine.stopped));
    }
}
