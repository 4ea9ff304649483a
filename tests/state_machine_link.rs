// SPDX-License-Identifier: MPL-2.0
//! The promise: two relays carry what kernels hand them exactly once, whole and in order, for as
//! long as a link stands, and say at once what they cannot carry. Steps are done to two relays,
//! as a driver would do them, and to a model that counts bytes: it knows of every message whether
//! it is taken, on its way, posted or lost.
//!
//! All messages are about one object here, so that their order is one; which messages may pass
//! each other is tested beside the relay.
//!
//! `PROPTEST_CASES=20000 cargo test -p stmf-sim --test state_machine_link` looks further.

#[path = "common/properties.rs"]
mod properties;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use stmf_proxy::link::frame::HEADER_LENGTH;
use stmf_proxy::link::{BootIdentity, ConnectionId, HandleIdentity, Node, Role, TransportEnd};
use stmf_proxy::relay::config::SEND_QUEUE_SLACK;
use stmf_proxy::relay::{
    Action, CallId, Config, ConnectFailure, HandlePolicy, Input, Lane, LinkConfig, OpenedDoor,
    PostId, Relay,
};
use stmf_proxy::time::Time;

/// The longest message.
const LONGEST: usize = 1_000;

/// Bytes that may wait to be sent.
const SEND_QUEUE: usize = LONGEST + SEND_QUEUE_SLACK;

/// Messages that may wait to be posted, those in progress counted.
const POST_QUEUE: usize = 8;

/// The shortest message here: its number.
const SHORTEST: usize = 8;

/// The most bytes that arrive at once: less than a frame, so that a post that is not blocked has
/// ended before the next message is there.
const PIECE: usize = HEADER_LENGTH + SHORTEST - 1;

/// What the kernel gets for what is not taken: EINVAL, EMSGSIZE, ENOBUFS, ENOTCONN, ESHUTDOWN.
const EMPTY: u32 = 22;
const TOO_LONG: u32 = 97;
const QUEUE_FULL: u32 = 132;
const LINK_DOWN: u32 = 134;
const STOPPING: u32 = 143;

type Side = usize;

#[derive(Clone, Debug)]
enum Step {
    /// The relays find each other; posts in progress end first.
    Connect,
    /// The kernel hands over a message of so many bytes.
    Send { node: Side, size: usize },
    /// So many bytes that a relay has sent arrive, in pieces of at most `piece`.
    Carry {
        from: Side,
        bytes: usize,
        piece: usize,
    },
    /// All of them.
    CarryAll { from: Side },
    /// Posts of this kernel do not return any more, or do again.
    Block { node: Side, blocked: bool },
    /// The connection is reset.
    Break,
    /// Time passes, and all bytes arrive.
    Pass { milliseconds: u64 },
    /// Time passes, and nothing arrives.
    Stall,
    /// What one relay sent once arrives again.
    Again { from: Side },
    /// A relay ends without a word and is started again, with its node or alone.
    Restart { node: Side, reboot: bool },
    /// A relay is told to stop.
    Stop { node: Side },
    /// It is started again.
    Start { node: Side },
}

#[derive(Clone, Debug)]
struct Message {
    number: u64,
    size: usize,
}

/// One relay, as far as one can see.
#[derive(Clone, Debug, Default)]
struct Expected {
    runs: bool,
    /// Taken from the kernel, and not wholly carried; how much of the first one is.
    sent: VecDeque<Message>,
    carried: usize,
    /// From the peer: arrived, and waiting for their turn or being posted.
    waiting: VecDeque<u64>,
    in_progress: usize,
    blocked: bool,
    /// Given to the kernel, in order.
    posted: Vec<u64>,
}

#[derive(Clone, Debug)]
struct Model {
    link: bool,
    sides: [Expected; 2],
    numbers: u64,
    /// What the last message was answered with.
    answer: Option<u32>,
}

fn frame(message: &Message) -> usize {
    HEADER_LENGTH + message.size
}

impl Model {
    fn waiting_bytes(&self, node: Side) -> usize {
        let side = &self.sides[node];
        side.sent.iter().map(frame).sum::<usize>() - side.carried
    }

    fn link_ends(&mut self) {
        self.link = false;
        for side in &mut self.sides {
            side.sent.clear();
            side.carried = 0;
            // What is being posted is being posted.
            side.waiting.clear();
        }
    }

    fn post(&mut self, node: Side) {
        let side = &mut self.sides[node];
        while side.in_progress == 0 || !side.blocked {
            side.in_progress = 0;
            let Some(number) = side.waiting.pop_front() else {
                break;
            };
            side.posted.push(number);
            side.in_progress = usize::from(side.blocked);
            if side.blocked {
                break;
            }
        }
    }

    /// A relay drops the link and says why, behind what it has sent.
    fn give_up(&mut self, by: Side) {
        self.carry_some(by, usize::MAX, true);
        self.link_ends();
    }

    fn carry(&mut self, from: Side, bytes: usize) {
        self.carry_some(from, bytes, false);
    }

    /// `last`: the receiver cannot answer any more.
    fn carry_some(&mut self, from: Side, mut bytes: usize, last: bool) {
        while self.link && bytes > 0 {
            let side = &mut self.sides[from];
            let Some(first) = side.sent.front() else {
                return;
            };
            let left = frame(first) - side.carried;
            if bytes < left {
                side.carried += bytes;
                return;
            }
            bytes -= left;
            side.carried = 0;
            let number = side.sent.pop_front().map_or(0, |message| message.number);
            let peer = &mut self.sides[1 - from];
            if peer.waiting.len() + peer.in_progress >= POST_QUEUE {
                return match last {
                    true => self.link_ends(),
                    false => self.give_up(1 - from),
                };
            }
            peer.waiting.push_back(number);
            self.post(1 - from);
        }
    }

    fn send(&mut self, node: Side, size: usize) -> u32 {
        if !self.sides[node].runs {
            return STOPPING;
        }
        match size {
            0 => return EMPTY,
            size if size > LONGEST => return TOO_LONG,
            _ if !self.link => return LINK_DOWN,
            _ => {}
        }
        let number = self.numbers;
        let message = Message { number, size };
        if self.waiting_bytes(node) + frame(&message) > SEND_QUEUE {
            self.link_ends();
            return QUEUE_FULL;
        }
        self.numbers += 1;
        self.sides[node].sent.push_back(message);
        0
    }

    fn unblock(&mut self, node: Side) {
        self.sides[node].blocked = false;
        self.sides[node].in_progress = 0;
        self.post(node);
    }

    fn begin(&mut self, node: Side) {
        let posted = std::mem::take(&mut self.sides[node].posted);
        self.sides[node] = Expected {
            runs: true,
            posted,
            ..Expected::default()
        };
    }

    fn do_step(&mut self, step: &Step) {
        self.answer = None;
        match *step {
            Step::Connect => {
                self.unblock(0);
                self.unblock(1);
                if !self.link {
                    self.link = self.sides[0].runs && self.sides[1].runs;
                }
                self.carry(0, usize::MAX);
                self.carry(1, usize::MAX);
            }
            Step::Send { node, size } => self.answer = Some(self.send(node, size)),
            Step::Carry { from, bytes, .. } => self.carry(from, bytes),
            Step::CarryAll { from } => self.carry(from, usize::MAX),
            Step::Block {
                node,
                blocked: true,
            } => self.sides[node].blocked = true,
            Step::Block { node, .. } => self.unblock(node),
            Step::Pass { .. } => {
                self.carry(0, usize::MAX);
                self.carry(1, usize::MAX);
            }
            Step::Break | Step::Stall => self.link_ends(),
            // Bytes that were there before are no part of what is due.
            Step::Again { from } => self.give_up(1 - from),
            Step::Restart { node, .. } => {
                self.link_ends();
                self.begin(node);
            }
            Step::Stop { node } => {
                // It says goodbye behind what it has sent.
                self.carry(node, usize::MAX);
                self.link_ends();
                self.sides[node].runs = false;
            }
            Step::Start { node } => self.begin(node),
        }
    }
}

struct Reference;

impl ReferenceStateMachine for Reference {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        let running = Expected {
            runs: true,
            ..Expected::default()
        };
        Just(Model {
            link: false,
            sides: [running.clone(), running],
            numbers: 1,
            answer: None,
        })
        .boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Step> {
        let node = || 0..2usize;
        let size = || {
            prop_oneof![
                8 => SHORTEST..200usize,
                2 => 200..=LONGEST,
                1 => select(vec![0, LONGEST + 1, LONGEST, SHORTEST]),
            ]
        };
        let connect = if model.link { 1 } else { 12 };
        prop_oneof![
            connect => Just(Step::Connect),
            16 => (node(), size()).prop_map(|(node, size)| Step::Send { node, size }),
            8 => (node(), 1..1500usize, 1..=PIECE)
                .prop_map(|(from, bytes, piece)| Step::Carry { from, bytes, piece }),
            4 => node().prop_map(|from| Step::CarryAll { from }),
            2 => (node(), any::<bool>()).prop_map(|(node, blocked)| Step::Block { node, blocked }),
            1 => Just(Step::Break),
            2 => (0..30_000u64).prop_map(|milliseconds| Step::Pass { milliseconds }),
            1 => Just(Step::Stall),
            1 => node().prop_map(|from| Step::Again { from }),
            1 => (node(), any::<bool>())
                .prop_map(|(node, reboot)| Step::Restart { node, reboot }),
            1 => node().prop_map(|node| Step::Stop { node }),
            2 => node().prop_map(|node| Step::Start { node }),
        ]
        .boxed()
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        model.do_step(step);
        model
    }

    fn preconditions(model: &Model, step: &Step) -> bool {
        let free = |node: Side| model.sides[node].in_progress == 0;
        match *step {
            Step::Start { node } => !model.sides[node].runs,
            Step::Restart { node, .. } => model.sides[node].runs,
            // A relay waits for its posts, and the peer's queue has room.
            Step::Stop { node } => {
                model.sides[node].runs && free(0) && free(1) && !model.sides[1 - node].blocked
            }
            // Only where the other one takes notice, and what comes is not what is due.
            Step::Again { from } => model.link && model.sides[from].carried == 0,
            Step::Stall => model.link,
            _ => true,
        }
    }
}

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

struct Pair {
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

prop_state_machine! {
    #![proptest_config(properties::config(512, "../tests/state_machine_link.regressions"))]

    #[test]
    fn what_is_taken_arrives_once_and_in_order_or_the_link_ends(sequential 1..60 => Pair);
}
