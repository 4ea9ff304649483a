// SPDX-License-Identifier: MPL-2.0
//! What the network keeps, and its thread.

use super::trouble::{Damage, SlowReader};
use super::{Accept, Address, Connection, End, Endpoint, NetworkConfig};
use crate::executor::{ChoiceKind, Executor, GroupId};
use crate::world::alarm::Alarm;
use crate::world::trace::{ConnectionNumber, Event, NodeId, Trace};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::{Rc, Weak};
use std::time::Duration;
use stmf_proxy::time::Time;

pub(super) enum Segment {
    Bytes(Bytes),
    End(End),
}

/// One end of a connection as the network sees it.
pub(super) struct Side {
    pub(super) node: NodeId,
    pub(super) owner: GroupId,
    pub(super) endpoint: Option<Rc<dyn Endpoint>>,
    /// Still wants to hear of the connection.
    pub(super) open: bool,
    /// Takes no bytes for now.
    pub(super) paused: bool,
    /// What travels to this side, with the time of its arrival.
    pub(super) incoming: VecDeque<(Time, Segment)>,
    pub(super) incoming_bytes: usize,
    /// When the last byte sent to this side has left the sender: bandwidth is used up to here.
    pub(super) line_free: Time,
    /// An event for the head of `incoming` is in the queue.
    pub(super) scheduled: bool,
    /// Nothing arrives before: whoever reads here is slow.
    pub(super) not_before: Time,
}

impl Side {
    pub(super) fn new(node: NodeId, owner: GroupId, endpoint: Option<Rc<dyn Endpoint>>) -> Side {
        Side {
            node,
            owner,
            endpoint,
            open: true,
            paused: false,
            incoming: VecDeque::new(),
            incoming_bytes: 0,
            line_free: Time::ZERO,
            scheduled: false,
            not_before: Time::ZERO,
        }
    }
}

pub(super) struct Wire {
    pub(super) sides: [Side; 2],
    pub(super) target: Address,
    /// The connecting end has heard that the connection stands.
    pub(super) established: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Happening {
    /// The request to connect arrives.
    Request(ConnectionNumber),
    /// Its answer arrives.
    Answer(ConnectionNumber, Option<End>),
    /// No answer came in time.
    GiveUp(ConnectionNumber),
    /// The head of what travels to this side arrives.
    Arrival(ConnectionNumber, usize),
    /// This side, whose node stood still, hears that bytes were taken.
    Taken(ConnectionNumber, usize, usize),
    /// This side, whose node stood still, hears that the connection is over.
    Over(ConnectionNumber, usize, End),
}

pub(super) struct Listener {
    pub(super) owner: GroupId,
    pub(super) accept: Accept,
}

pub(super) struct Inner {
    pub(super) damages: RefCell<Vec<Damage>>,
    pub(super) executor: Executor,
    pub(super) trace: Trace,
    pub(super) config: RefCell<NetworkConfig>,
    pub(super) wires: RefCell<BTreeMap<ConnectionNumber, Wire>>,
    pub(super) listeners: RefCell<BTreeMap<Address, Listener>>,
    pub(super) happenings: RefCell<BTreeMap<(Time, u64), Happening>>,
    /// What the network was made with.
    pub(super) made_with: NetworkConfig,
    /// Names of what differs from that, until the first bytes travel so.
    pub(super) changes: RefCell<Vec<&'static str>>,
    pub(super) slow_readers: RefCell<BTreeMap<(NodeId, NodeId), SlowReader>>,
    /// Directions in which nothing arrives for now, and whether something has been held up.
    pub(super) held: RefCell<BTreeMap<(NodeId, NodeId), bool>>,
    /// Nodes without power: what arrives there is lost.
    pub(super) off: RefCell<BTreeSet<NodeId>>,
    /// Nodes that stand still: what is for them waits.
    pub(super) frozen: RefCell<BTreeSet<NodeId>>,
    /// What was due in a direction that is held, or at a node that stands still.
    pub(super) postponed: RefCell<Vec<Happening>>,
    pub(super) sequence: Cell<u64>,
    pub(super) next_connection: Cell<ConnectionNumber>,
    /// When the network's thread has something to do.
    pub(super) alarm: Rc<Alarm>,
}

impl Inner {
    pub(super) fn new(executor: &Executor, trace: Trace, config: NetworkConfig) -> Inner {
        Inner {
            damages: RefCell::default(),
            executor: executor.clone(),
            trace,
            made_with: config.clone(),
            changes: RefCell::default(),
            slow_readers: RefCell::default(),
            config: RefCell::new(config),
            wires: RefCell::default(),
            listeners: RefCell::default(),
            happenings: RefCell::default(),
            held: RefCell::default(),
            off: RefCell::default(),
            frozen: RefCell::default(),
            postponed: RefCell::default(),
            sequence: Cell::new(0),
            next_connection: Cell::new(1),
            alarm: Rc::new(Alarm::new(executor, "something to carry")),
        }
    }

    pub(super) fn tell(&self, node: NodeId, event: Event<'_>) {
        self.trace.record(self.executor.now(), Some(node), event);
    }

    pub(super) fn travel_time(&self) -> Duration {
        let config = self.config.borrow();
        let microseconds = config.jitter.as_micros().min(u128::from(u64::MAX - 1)) as u64;
        let more = self.executor.choose(ChoiceKind::Delay, microseconds + 1);
        config.latency + Duration::from_micros(more)
    }

    pub(super) fn schedule(&self, time: Time, happening: Happening) {
        let sequence = self.sequence.get();
        self.sequence.set(sequence + 1);
        let mut happenings = self.happenings.borrow_mut();
        let earlier = happenings
            .first_key_value()
            .is_none_or(|(&(first, _), _)| time < first);
        happenings.insert((time, sequence), happening);
        drop(happenings);
        if earlier {
            self.alarm.set(Some(time));
        }
    }

    /// When something is to happen next.
    fn next_time(&self) -> Option<Time> {
        let happenings = self.happenings.borrow();
        happenings.first_key_value().map(|(&(time, _), _)| time)
    }

    /// What is to happen now, if anything is.
    fn next_due(&self) -> Option<Happening> {
        let mut happenings = self.happenings.borrow_mut();
        let next = happenings.first_entry()?;
        (next.key().0 <= self.executor.now()).then(|| next.remove())
    }

    pub(super) fn between(&self, one: NodeId, other: NodeId) -> Vec<ConnectionNumber> {
        let wires = self.wires.borrow();
        let joins = |wire: &Wire| {
            let ends = (wire.sides[0].node, wire.sides[1].node);
            ends == (one, other) || ends == (other, one)
        };
        wires
            .iter()
            .filter(|(_, wire)| joins(wire))
            .map(|(number, _)| *number)
            .collect()
    }

    pub(super) fn ends_of(&self, wanted: impl Fn(&Side) -> bool) -> Vec<(ConnectionNumber, usize)> {
        let mut found = Vec::new();
        for (&number, wire) in self.wires.borrow().iter() {
            found.extend(
                (0..2)
                    .filter(|&side| wanted(&wire.sides[side]))
                    .map(|side| (number, side)),
            );
        }
        found
    }

    /// Puts something on its way to a side; what is given at once arrives at once.
    pub(super) fn push(
        &self,
        number: ConnectionNumber,
        to: usize,
        segments: impl IntoIterator<Item = Segment>,
    ) {
        let travel = self.travel_time();
        let now = self.executor.now();
        {
            let mut wires = self.wires.borrow_mut();
            let Some(wire) = wires.get_mut(&number) else {
                return;
            };
            self.tell_changes(false, wire.sides[1 - to].node, wire.sides[to].node);
            let side = &mut wire.sides[to];
            let earlier = side.incoming.len();
            // A stream stays in order whatever the jitter.
            let last = side.incoming.back().map_or(Time::ZERO, |(time, _)| *time);
            let mut length = 0;
            for segment in segments {
                if let Segment::Bytes(bytes) = &segment {
                    length += bytes.len();
                }
                side.incoming.push_back((last, segment));
            }
            side.incoming_bytes += length;
            let mut leaves = now.max(side.line_free);
            if let Some(rate) = self.config.borrow().bytes_per_second {
                let nanoseconds = length as u128 * 1_000_000_000 / u128::from(rate.max(1));
                leaves = leaves + Duration::from_nanos(nanoseconds as u64);
                side.line_free = leaves;
            }
            for (time, _) in side.incoming.iter_mut().skip(earlier) {
                *time = last.max(leaves + travel);
            }
        }
        self.schedule_arrival(number, to);
    }

    pub(super) fn schedule_arrival(&self, number: ConnectionNumber, to: usize) {
        let time = {
            let mut wires = self.wires.borrow_mut();
            let Some(wire) = wires.get_mut(&number) else {
                return;
            };
            let established = wire.established;
            let side = &mut wire.sides[to];
            // What the accepting end sends at once waits until the connecting one has heard
            // that it was accepted.
            if side.scheduled || side.paused || (to == 0 && !established) {
                return;
            }
            let Some(&(time, _)) = side.incoming.front() else {
                return;
            };
            side.scheduled = true;
            time.max(side.not_before).max(self.executor.now())
        };
        self.schedule(time, Happening::Arrival(number, to));
    }

    /// One end is done with the connection.
    pub(super) fn close(&self, number: ConnectionNumber, side: usize, end: End) {
        let mut wires = self.wires.borrow_mut();
        let Some(wire) = wires.get_mut(&number).filter(|wire| wire.sides[side].open) else {
            return;
        };
        wire.sides[side].open = false;
        wire.sides[side].incoming.clear();
        let endpoint = wire.sides[side].endpoint.take();
        let other = &mut wire.sides[1 - side];
        if end == End::Reset {
            other.incoming.clear();
            other.incoming_bytes = 0;
        }
        let heard = other.open;
        drop(wires);
        // What it owns may come back to the network as it goes.
        drop(endpoint);
        match heard {
            true => self.push(number, 1 - side, [Segment::End(end)]),
            false => self.remove(number),
        }
    }

    /// Forgets a connection.
    fn remove(&self, number: ConnectionNumber) {
        let wire = self.wires.borrow_mut().remove(&number);
        drop(wire);
    }

    /// Tells one end that the connection is over.
    pub(super) fn end(self: &Rc<Inner>, number: ConnectionNumber, side: usize, end: End) {
        let endpoint = {
            let mut wires = self.wires.borrow_mut();
            let Some(wire) = wires.get_mut(&number) else {
                return;
            };
            let this = &mut wire.sides[side];
            if !this.open {
                return;
            }
            this.incoming.clear();
            this.incoming_bytes = 0;
            let node = this.node;
            if self.is_frozen(node) {
                let over = Happening::Over(number, side, end);
                return self.postponed.borrow_mut().push(over);
            }
            this.open = false;
            let endpoint = this.endpoint.take();
            let over = !wire.sides[1 - side].open || wire.sides[1 - side].endpoint.is_none();
            drop(wires);
            if over {
                self.remove(number);
            }
            self.tell(
                node,
                Event::Disconnected {
                    connection: number,
                    end: end.into(),
                },
            );
            endpoint
        };
        if let Some(endpoint) = endpoint {
            endpoint.ended(&self.connection(number, side), end);
        }
    }

    pub(super) fn connection(
        self: &Rc<Inner>,
        number: ConnectionNumber,
        side: usize,
    ) -> Connection {
        Connection {
            network: Rc::downgrade(self),
            number,
            side,
        }
    }

    /// The direction in which something travels.
    pub(super) fn direction(&self, happening: Happening) -> Option<(NodeId, NodeId)> {
        let wires = self.wires.borrow();
        let (number, to) = match happening {
            Happening::Request(number) => (number, 1),
            Happening::Answer(number, _) => (number, 0),
            Happening::Arrival(number, to) => (number, to),
            Happening::GiveUp(number) => {
                let node = wires.get(&number)?.sides[0].node;
                return Some((node, node));
            }
            Happening::Taken(number, side, _) | Happening::Over(number, side, _) => {
                let node = wires.get(&number)?.sides[side].node;
                return Some((node, node));
            }
        };
        let wire = wires.get(&number)?;
        Some((wire.sides[1 - to].node, wire.sides[to].node))
    }

    pub(super) fn happen(self: &Rc<Inner>, happening: Happening) {
        if let Some((from, to)) = self.direction(happening) {
            if self.is_held(from, to) || self.is_frozen(to) {
                self.postponed.borrow_mut().push(happening);
                return;
            }
            if self.off.borrow().contains(&to) {
                self.lose(happening);
                return;
            }
        }
        match happening {
            Happening::Request(number) => self.request(number),
            Happening::Answer(number, refusal) => self.answer(number, refusal),
            Happening::GiveUp(number) => {
                let waiting = {
                    let wires = self.wires.borrow();
                    wires
                        .get(&number)
                        .is_some_and(|wire| !wire.established && wire.sides[0].open)
                };
                if waiting {
                    self.end(number, 0, End::NoAnswer);
                    self.remove(number);
                }
            }
            Happening::Arrival(number, to) => self.arrive(number, to),
            Happening::Taken(number, side, bytes) => self.tell_taken(number, side, bytes),
            Happening::Over(number, side, end) => self.end(number, side, end),
        }
    }

    /// Tells one end that the other one has taken what it sent.
    fn tell_taken(self: &Rc<Inner>, number: ConnectionNumber, side: usize, bytes: usize) {
        let sender = {
            let wires = self.wires.borrow();
            let Some(this) = wires.get(&number).map(|wire| &wire.sides[side]) else {
                return;
            };
            if this.endpoint.is_some() && self.is_frozen(this.node) {
                let taken = Happening::Taken(number, side, bytes);
                return self.postponed.borrow_mut().push(taken);
            }
            this.endpoint.clone()
        };
        if let Some(sender) = sender {
            sender.taken(&self.connection(number, side), bytes);
        }
    }

    /// What arrives at a node without power is gone.
    pub(super) fn lose(&self, happening: Happening) {
        if let Happening::Arrival(number, to) = happening
            && let Some(wire) = self.wires.borrow_mut().get_mut(&number)
        {
            wire.sides[to].incoming.clear();
            wire.sides[to].incoming_bytes = 0;
            wire.sides[to].scheduled = false;
        }
    }

    pub(super) fn request(self: &Rc<Inner>, number: ConnectionNumber) {
        let Some(target) = self.wires.borrow().get(&number).map(|wire| wire.target) else {
            return;
        };
        let listener = {
            let listeners = self.listeners.borrow();
            listeners
                .get(&target)
                .filter(|listener| self.executor.group_alive(listener.owner))
                .map(|listener| (listener.owner, listener.accept.clone()))
        };
        let back = self.executor.now() + self.travel_time();
        let Some((owner, accept)) = listener else {
            self.schedule(back, Happening::Answer(number, Some(End::Refused)));
            return;
        };
        let connection = self.connection(number, 1);
        let endpoint = accept(&connection);
        if let Some(wire) = self.wires.borrow_mut().get_mut(&number) {
            wire.sides[1].owner = owner;
            wire.sides[1].endpoint = Some(endpoint.clone());
        }
        self.schedule(back, Happening::Answer(number, None));
        self.tell(target.node, Event::Connected { connection: number });
        endpoint.connected(&connection);
    }

    pub(super) fn answer(self: &Rc<Inner>, number: ConnectionNumber, refusal: Option<End>) {
        if let Some(end) = refusal {
            self.end(number, 0, end);
            self.remove(number);
            return;
        }
        let (endpoint, node) = {
            let mut wires = self.wires.borrow_mut();
            let Some(wire) = wires.get_mut(&number) else {
                return;
            };
            wire.established = true;
            match &wire.sides[0] {
                Side {
                    open: true,
                    endpoint: Some(endpoint),
                    node,
                    ..
                } => (endpoint.clone(), *node),
                _ => return,
            }
        };
        self.tell(node, Event::Connected { connection: number });
        endpoint.connected(&self.connection(number, 0));
        self.schedule_arrival(number, 0);
    }

    /// What is due in a direction arrives, up to where it is cut.
    pub(super) fn arrive(self: &Rc<Inner>, number: ConnectionNumber, to: usize) {
        if let Some(wire) = self.wires.borrow_mut().get_mut(&number) {
            wire.sides[to].scheduled = false;
        }
        while self.arrive_next(number, to) {}
        self.schedule_arrival(number, to);
    }

    /// The next thing arrives. True: there may be more at this moment.
    fn arrive_next(self: &Rc<Inner>, number: ConnectionNumber, to: usize) -> bool {
        let (cut, largest_piece) = {
            let config = self.config.borrow();
            (config.cut, config.largest_piece)
        };
        let now = self.executor.now();
        let (node, bytes, whole) = {
            let mut wires = self.wires.borrow_mut();
            let Some(wire) = wires.get_mut(&number) else {
                return false;
            };
            let side = &mut wire.sides[to];
            let due = side.incoming.front().is_some_and(|(time, _)| *time <= now);
            if side.paused || !due {
                return false;
            }
            if !side.open {
                // A node that was off, or an end that forgot the connection: whoever still
                // believes in it is told once it sends something.
                let heard = side.incoming.pop_front();
                let endpoint_lost =
                    wire.sides[1 - to].open && matches!(heard, Some((_, Segment::Bytes(_))));
                drop(wires);
                if endpoint_lost {
                    self.end(number, 1 - to, End::Reset);
                }
                return false;
            }
            let Some((_, segment)) = side.incoming.pop_front() else {
                return false;
            };
            match segment {
                Segment::End(end) => {
                    drop(wires);
                    self.end(number, to, end);
                    self.remove(number);
                    return false;
                }
                Segment::Bytes(mut bytes) => {
                    let length = bytes.len();
                    let mut piece = length;
                    if let Some(largest) = largest_piece {
                        let largest = u64::from(largest).clamp(1, length as u64);
                        let drawn = self.executor.choose(ChoiceKind::Fragment, largest);
                        piece = 1 + drawn as usize;
                    } else if length > 1 && cut.drawn(&self.executor, ChoiceKind::Fragment) {
                        let places = length as u64 - 1;
                        piece = 1 + self.executor.choose(ChoiceKind::Fragment, places) as usize;
                    }
                    let (from, at) = (wire.sides[1 - to].node, wire.sides[to].node);
                    if piece < length {
                        self.tell_changes(true, from, at);
                    }
                    let side = &mut wire.sides[to];
                    if let Some((most, pause)) = self.slow_step(from, at) {
                        piece = piece.min(most);
                        side.not_before = now + pause;
                    }
                    // More at this very moment, unless it is cut here.
                    let whole = piece == length && side.not_before <= now;
                    if piece < length {
                        let rest = bytes.split_off(piece);
                        side.incoming.push_front((now, Segment::Bytes(rest)));
                    }
                    side.incoming_bytes -= bytes.len();
                    (side.node, bytes, whole)
                }
            }
        };
        self.tell(
            node,
            Event::Received {
                connection: number,
                bytes: &bytes,
            },
        );
        let length = bytes.len();
        let receiver = {
            let wires = self.wires.borrow();
            wires
                .get(&number)
                .and_then(|wire| wire.sides[to].endpoint.clone())
        };
        if let Some(receiver) = receiver {
            receiver.received(&self.connection(number, to), bytes);
        }
        self.tell_taken(number, 1 - to, length);
        whole
    }
}

/// The network's thread: what is due happens, one thing at a turn. It waits in the background: that
/// bytes travel does not mean that anything goes on, for the signs of life of the link always do.
pub(super) async fn run(network: Weak<Inner>, executor: Executor, alarm: Rc<Alarm>) {
    loop {
        alarm.ring().await;
        loop {
            let Some(inner) = network.upgrade() else {
                return;
            };
            if let Some(happening) = inner.next_due() {
                inner.happen(happening);
            }
            let next = inner.next_time();
            drop(inner);
            if next.is_none_or(|time| time > executor.now()) {
                alarm.set(next);
                break;
            }
            executor.yield_now().await;
        }
    }
}
