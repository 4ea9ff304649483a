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

#[path = "state_machine_link/machine.rs"]
mod machine;
#[path = "common/properties.rs"]
mod properties;

use machine::Pair;
use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::{ReferenceStateMachine, prop_state_machine};
use std::collections::VecDeque;
use stmf_proxy::link::frame::HEADER_LENGTH;
use stmf_proxy::relay::config::SEND_QUEUE_SLACK;

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

prop_state_machine! {
    #![proptest_config(properties::config(512, "../tests/state_machine_link.regressions"))]

    #[test]
    fn what_is_taken_arrives_once_and_in_order_or_the_link_ends(sequential 1..60 => Pair);
}
