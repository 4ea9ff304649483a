// SPDX-License-Identifier: MPL-2.0
//! Two relays to which steps are done, as a driver would do them.

use super::{LONGEST, Model, PIECE, POST_QUEUE, Reference, SEND_QUEUE, Side, Step};
use bytes::Bytes;
use proptest_state_machine::StateMachineTest;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use stmf_proxy::link::{BootIdentity, ConnectionId, HandleIdentity, Node, Role, TransportEnd};
use stmf_proxy::relay::{
    Action, CallId, Config, ConnectFailure, HandlePolicy, Input, Lane, LinkConfig, OpenedDoor,
    PostId, Relay,
};
use stmf_proxy::time::Time;

/// A relay and its kernel.
struct Machine {
    relay: Relay,
    boot: u128,
    handle: u128,
    connection: Option<ConnectionId>,
    wants_connection: bool,
    listens: bool,
    /// Sent, and not carried.
    outbox: VecDeque<u8>,
    /// Carried on this connection.
    history: Vec<u8>,
    blocked: bool,
    in_progress: Option<PostId>,
    stopped: bool,
    inputs: VecDeque<Input>,
}

/// Two of them, and what travels between them.
pub(super) struct Pair {
    now: Time,
    machines: Vec<Machine>,
    numbers: u64,
    messages: u64,
    posted: [Vec<u64>; 2],
    sizes: BTreeMap<u64, usize>,
    /// The boot of the peer that a handle has had to do with.
    served: BTreeMap<u128, u128>,
}

fn content(number: u64, size: usize) -> Bytes {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(size, number as u8);
    bytes.into()
}

impl Pair {
    fn new() -> Pair {
        let mut pair = Pair {
            now: Time::ZERO,
            machines: Vec::new(),
            numbers: 0,
            messages: 1,
            posted: [Vec::new(), Vec::new()],
            sizes: BTreeMap::new(),
            served: BTreeMap::new(),
        };
        for node in 0..2 {
            let boot = pair.number().into();
            let machine = pair.machine(node, boot);
            pair.machines.push(machine);
        }
        for node in 0..2 {
            pair.put(node, Input::Start);
        }
        pair
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn machine(&mut self, node: Side, boot: u128) -> Machine {
        let (number, role) = match node {
            0 => (Node::Zero, Role::Connect),
            _ => (Node::One, Role::Listen),
        };
        let link = LinkConfig::Default {
            pair: "pair".into(),
            host: format!("head{node}"),
            node: number,
            role,
        };
        let mut config = Config::new(link, self.number());
        config.classifier = |_| Lane::barrier();
        config.max_message = LONGEST;
        config.send_queue_bytes = SEND_QUEUE;
        config.post_queue_messages = POST_QUEUE;
        config.handle_without_link = HandlePolicy::Keep;
        Machine {
            relay: Relay::new(config).expect("the settings are sound"),
            boot,
            handle: 0,
            connection: None,
            wants_connection: false,
            listens: false,
            outbox: VecDeque::new(),
            history: Vec::new(),
            blocked: false,
            in_progress: None,
            stopped: false,
            inputs: VecDeque::new(),
        }
    }

    fn put(&mut self, node: Side, input: Input) {
        self.machines[node].inputs.push_back(input);
        while let Some(input) = self.machines[node].inputs.pop_front() {
            let now = self.now;
            self.machines[node].relay.handle(now, input);
            while let Some(action) = self.machines[node].relay.poll_action() {
                self.act(node, action);
            }
        }
        assert_eq!(self.machines[node].relay.statistics().misuses, 0);
    }

    fn act(&mut self, node: Side, action: Action) {
        let number = self.number();
        let machine = &mut self.machines[node];
        match action {
            Action::OpenProxyDoor => {
                machine.handle = number.into();
                let (boot, handle) = (BootIdentity(machine.boot), HandleIdentity(machine.handle));
                let opened = Input::ProxyDoorOpened(Ok(OpenedDoor { boot, handle }));
                machine.inputs.push_back(opened);
            }
            Action::CloseProxyDoor => {
                assert_eq!(machine.in_progress, None, "closed under a post");
                machine.handle = 0;
                machine.inputs.push_back(Input::ProxyDoorClosed);
            }
            Action::SetAlua {
                enabled,
                node: as_node,
            } => {
                assert!(enabled && as_node.number() as usize == node);
                machine.inputs.push_back(Input::AluaSet(Ok(())));
            }
            Action::Post { post, message, .. } => self.post(node, post, &message),
            Action::Connect => machine.wants_connection = true,
            Action::AbandonConnect => machine.wants_connection = false,
            Action::Listen => machine.listens = true,
            Action::Send { connection, frame } => {
                if machine.connection == Some(connection) {
                    machine.outbox.extend(frame.to_vec());
                }
            }
            Action::Disconnect {
                connection, flush, ..
            } => {
                if machine.connection == Some(connection) {
                    if flush {
                        // Less than a frame at a time: what came before a goodbye is done by then.
                        self.carry(node, usize::MAX, PIECE / 2);
                    }
                    self.cut(Some(node));
                }
            }
            Action::Stopped(_) => machine.stopped = true,
            Action::AnswerUpcall { .. } => panic!("an answer that nobody waits for"),
            Action::RevokeDoor | Action::Log(_) => {}
        }
    }

    fn post(&mut self, node: Side, post: PostId, message: &[u8]) {
        let (theirs, machine) = (self.machines[1 - node].boot, &mut self.machines[node]);
        assert_ne!(machine.handle, 0, "posted without a handle");
        assert_eq!(machine.in_progress, None, "two posts about one object");
        let served = *self.served.entry(machine.handle).or_insert(theirs);
        assert_eq!(served, theirs, "a handle serves one boot of the peer");
        let head = message.first_chunk().expect("every message has a number");
        let number = u64::from_be_bytes(*head);
        let size = self.sizes[&number];
        assert_eq!(message, &content(number, size)[..], "whole");
        self.posted[node].push(number);
        match machine.blocked {
            true => machine.in_progress = Some(post),
            false => machine.inputs.push_back(Input::PostFinished {
                post,
                result: Ok(()),
            }),
        }
    }

    fn unblock(&mut self, node: Side) {
        self.machines[node].blocked = false;
        if let Some(post) = self.machines[node].in_progress.take() {
            let result = Ok(());
            self.put(node, Input::PostFinished { post, result });
        }
    }

    /// Bytes of one relay arrive at the other.
    fn carry(&mut self, from: Side, mut bytes: usize, piece: usize) {
        while bytes > 0 {
            let machine = &mut self.machines[from];
            let Some(connection) = machine.connection else {
                return;
            };
            let length = bytes.min(piece).min(machine.outbox.len());
            if length == 0 {
                return;
            }
            bytes -= length;
            let carried: Vec<u8> = machine.outbox.drain(..length).collect();
            machine.history.extend(&carried);
            let bytes = length;
            self.put(from, Input::Sent { connection, bytes });
            if let Some(connection) = self.machines[1 - from].connection {
                let bytes = Bytes::from(carried);
                self.put(1 - from, Input::Received { connection, bytes });
            }
        }
    }

    fn carry_all(&mut self) {
        while (0..2).any(|node| !self.machines[node].outbox.is_empty()) {
            for from in 0..2 {
                self.carry(from, usize::MAX, PIECE);
            }
        }
    }

    /// The connection ends; who asked for it is not told.
    fn cut(&mut self, by: Option<Side>) {
        let ends = [0, 1].map(|node| self.machines[node].connection.take());
        for node in 0..2 {
            self.machines[node].outbox.clear();
            self.machines[node].history.clear();
        }
        for (node, connection) in ends.into_iter().enumerate() {
            if let Some(connection) = connection.filter(|_| by != Some(node)) {
                let end = TransportEnd::Reset;
                self.put(node, Input::Disconnected { connection, end });
            }
        }
    }

    fn connect(&mut self) {
        if !self.machines[0].wants_connection || self.machines[0].connection.is_some() {
            return;
        }
        self.machines[0].wants_connection = false;
        if !self.machines[1].listens || self.machines[1].stopped {
            return self.put(0, Input::ConnectFailed(ConnectFailure::Refused));
        }
        for node in 0..2 {
            let id = ConnectionId(self.number());
            self.machines[node].connection = Some(id);
        }
        for node in 0..2 {
            if let Some(connection) = self.machines[node].connection {
                let address = None;
                self.put(
                    node,
                    Input::Connected {
                        connection,
                        address,
                    },
                );
            }
        }
    }

    /// Time passes; `carry`: and bytes arrive.
    fn wait(&mut self, duration: Duration, carry: bool) {
        let end = self.now + duration;
        loop {
            if carry {
                self.carry_all();
            }
            let due = |node: Side| self.machines[node].relay.next_timer().map(|at| (at, node));
            let next = (0..2).filter_map(due).min().filter(|(at, _)| *at <= end);
            let Some((at, node)) = next else { break };
            self.now = self.now.max(at);
            self.put(node, Input::Timer);
        }
        self.now = end;
    }

    fn is_up(&self) -> bool {
        self.machines
            .iter()
            .all(|machine| machine.relay.is_link_up())
    }

    fn send(&mut self, node: Side, size: usize) -> u32 {
        let message = match size {
            0 => Bytes::new(),
            size => content(self.messages, size),
        };
        self.sizes.insert(self.messages, size);
        let call = CallId(self.number());
        let (now, machine) = (self.now, &mut self.machines[node]);
        machine.relay.handle(now, Input::Upcall { call, message });
        let mut answer = None;
        while let Some(action) = self.machines[node].relay.poll_action() {
            match action {
                Action::AnswerUpcall { call: of, result } if of == call => {
                    assert_eq!(answer.replace(result), None, "answered twice");
                }
                other => self.act(node, other),
            }
        }
        let answer = answer.expect("a door call is answered at once");
        self.messages += u64::from(answer == 0);
        answer
    }

    fn restart(&mut self, node: Side, reboot: bool) {
        self.cut(Some(node));
        let boot = match reboot {
            true => self.number().into(),
            false => self.machines[node].boot,
        };
        self.machines[node] = self.machine(node, boot);
        self.put(node, Input::Start);
    }
}

impl StateMachineTest for Pair {
    type SystemUnderTest = Pair;
    type Reference = Reference;

    fn init_test(_: &Model) -> Pair {
        Pair::new()
    }

    fn apply(mut pair: Pair, model: &Model, step: Step) -> Pair {
        match step {
            Step::Connect => {
                pair.unblock(0);
                pair.unblock(1);
                pair.carry_all();
                // Longer than the longest pause between two attempts.
                for _ in 0..400 {
                    pair.connect();
                    pair.carry_all();
                    if pair.is_up() == model.link {
                        break;
                    }
                    pair.wait(Duration::from_millis(250), true);
                }
                pair.carry_all();
            }
            Step::Send { node, size } => {
                assert_eq!(Some(pair.send(node, size)), model.answer);
            }
            Step::Carry { from, bytes, piece } => pair.carry(from, bytes, piece),
            Step::CarryAll { from } => pair.carry(from, usize::MAX, PIECE),
            Step::Block {
                node,
                blocked: true,
            } => pair.machines[node].blocked = true,
            Step::Block { node, .. } => pair.unblock(node),
            Step::Break => pair.cut(None),
            Step::Pass { milliseconds } => {
                pair.carry_all();
                pair.wait(Duration::from_millis(milliseconds), true);
            }
            Step::Stall => pair.wait(Duration::from_secs(21), false),
            Step::Again { from } => {
                let bytes = Bytes::from(pair.machines[from].history.clone());
                if let Some(connection) = pair.machines[1 - from].connection {
                    pair.put(1 - from, Input::Received { connection, bytes });
                }
            }
            Step::Restart { node, reboot } => pair.restart(node, reboot),
            Step::Stop { node } => {
                pair.put(node, Input::Stop);
                assert!(pair.machines[node].stopped, "nothing is in progress");
            }
            Step::Start { node } => pair.restart(node, false),
        }
        pair
    }

    fn check_invariants(pair: &Pair, model: &Model) {
        assert_eq!(pair.is_up(), model.link, "the link");
        for (node, expected) in model.sides.iter().enumerate() {
            assert_eq!(pair.posted[node], expected.posted, "posted on node {node}");
        }
    }
}
