// SPDX-License-Identifier: MPL-2.0
//! The story of a trace as a ladder diagram: initiator, kernel, relay, relay, kernel.
//!
//! A [`Story`] takes events one by one, of a world as it runs or of a file, and keeps what is
//! drawn; of the others only what is needed to tell what belongs together, in tables of bounded
//! size ([`TABLE_LIMIT`]).
//!
//! # What is drawn how
//!
//! An upcall is an arrow from the kernel to its relay, from its beginning to the answer (or to
//! the moment at which the peer posts the message, if that comes first: some relays answer only
//! then). From there the message is under way to the other relay, until that one posts it. The
//! bytes on the link are not looked at: they may be encrypted. A message that was taken and never
//! posted is lost if the link broke or a relay ended meanwhile; else the trace ends before it.

mod choice;
mod exchange;
mod finish;
mod messages;
mod tell;
mod words;

pub use choice::{Choice, Survey};
pub use exchange::TABLE_LIMIT;

use crate::report::ladder::{Arrow, Fate, Item, When};
use crate::report::style::Tone;
use choice::About;
use exchange::{Exchanges, Place};
use std::collections::{BTreeMap, VecDeque};
use stmf_proxy::message::MessageType;
use stmf_proxy::time::Time;
use stmf_proxy::trace::{EventKind, NodeId, Record, Sink};

/// One of the two nodes of a diagram.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Side {
    Left = 0,
    Right = 1,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }

    fn kernel(self) -> usize {
        match self {
            Side::Left => 1,
            Side::Right => 4,
        }
    }

    fn relay(self) -> usize {
        match self {
            Side::Left => 2,
            Side::Right => 3,
        }
    }
}

const INITIATOR: usize = 0;

/// Which nodes a diagram shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cast {
    /// The node at the left.
    pub left: NodeId,
    /// The node at the right; `None` if it is not in the trace: then there is a lane "peer".
    pub right: Option<NodeId>,
}

impl Cast {
    /// Nodes 0 and 1.
    pub const BOTH: Cast = Cast {
        left: 0,
        right: Some(1),
    };
}

/// A door call in progress.
#[derive(Debug)]
struct Call {
    arrow: Option<usize>,
    travel: u64,
    exchange: u64,
    message: Option<MessageType>,
}

/// A post in progress.
#[derive(Debug)]
struct Post {
    arrow: Option<usize>,
    exchange: u64,
}

/// A message on its way from one kernel to the other.
#[derive(Debug)]
struct Travel {
    from: Side,
    digest: u64,
    label: String,
    message: Option<MessageType>,
    place: Place,
    called: When,
    /// The arrow of the door call that brought it, if that is drawn.
    call: Option<usize>,
    /// Its arrow between the relays: `None` before the door call was answered; inside, `None` if
    /// that is not drawn.
    arrow: Option<Option<usize>>,
    /// What may have lost it, and when.
    cut: Option<(When, &'static str)>,
}

/// Makes a diagram of what it is told.
#[derive(Debug)]
pub struct Story {
    cast: Cast,
    most: usize,
    choice: Choice,
    chosen: Option<Survey>,
    survey: Option<Survey>,
    start: Option<Time>,
    now: When,
    items: Vec<Item>,
    /// Things that the choice leaves out since the last one that is drawn.
    left_out: u64,
    left_out_in_all: u64,
    skips: Vec<(When, u64)>,
    /// Since when the diagram is full, and what has come since.
    more: Option<(When, u64)>,
    calls: BTreeMap<(Side, u64), Call>,
    posts: BTreeMap<(Side, u64), Post>,
    travels: BTreeMap<u64, Travel>,
    by_digest: BTreeMap<(Side, u64), VecDeque<u64>>,
    /// What was posted lately, by its sender.
    delivered: VecDeque<(Side, u64)>,
    next_travel: u64,
    connected: [bool; 2],
    last_end: [Option<&'static str>; 2],
    exchanges: Exchanges,
    /// Events of nodes that are not drawn.
    others: u64,
}

/// From how many things on it is told where in the diagram the choice leaves them out.
const WORTH_TELLING: u64 = 10;

/// How many messages are remembered that were posted, to tell when one is posted again.
const DELIVERED: usize = 1024;

impl Story {
    /// A diagram of at most `most` things of what a choice has.
    pub fn new(cast: Cast, most: usize, choice: Choice) -> Story {
        Story {
            cast,
            most,
            choice,
            chosen: None,
            survey: None,
            start: None,
            now: When::default(),
            items: Vec::new(),
            left_out: 0,
            left_out_in_all: 0,
            skips: Vec::new(),
            more: None,
            calls: BTreeMap::new(),
            posts: BTreeMap::new(),
            travels: BTreeMap::new(),
            by_digest: BTreeMap::new(),
            delivered: VecDeque::new(),
            next_travel: 0,
            connected: [false; 2],
            last_end: [None; 2],
            exchanges: Exchanges::default(),
            others: 0,
        }
    }

    /// The first reading of a trace, where [`Choice`] asks for one: it draws nothing.
    pub fn surveyor(cast: Cast, choice: Choice) -> Story {
        let mut story = Story::new(cast, 0, choice);
        story.survey = Some(Survey::default());
        story
    }

    /// The second reading of the same trace.
    pub fn with_survey(mut self, survey: Survey) -> Story {
        self.chosen = Some(survey);
        self
    }

    fn side(&self, node: Option<NodeId>) -> Option<Side> {
        match node {
            Some(node) if node == self.cast.left => Some(Side::Left),
            Some(node) if Some(node) == self.cast.right => Some(Side::Right),
            _ => None,
        }
    }

    /// How many events there were of nodes that are not drawn.
    pub fn others(&self) -> u64 {
        self.others
    }

    /// Whether the peer of a side is in the trace.
    fn has_peer(&self) -> bool {
        self.cast.right.is_some()
    }

    /// Something begins; its number if it is drawn.
    fn begin(&mut self, item: Item, about: About) -> Option<usize> {
        if self.survey.is_some() {
            return None;
        }
        let since = self.now.time.as_nanos();
        if !self.choice.holds(&about, since, self.chosen.as_ref()) {
            self.left_out += 1;
            return None;
        }
        if self.items.len() >= self.most {
            let more = self.more.get_or_insert((self.now, 0));
            more.1 += 1;
            return None;
        }
        if self.left_out >= WORTH_TELLING {
            self.skips.push((self.now, self.left_out));
        }
        self.left_out_in_all += self.left_out;
        self.left_out = 0;
        self.items.push(item);
        Some(self.items.len() - 1)
    }

    fn arrow_of(&mut self, index: Option<usize>) -> Option<&mut Arrow> {
        match self.items.get_mut(index?) {
            Some(Item::Arrow(arrow)) => Some(arrow),
            _ => None,
        }
    }

    fn went_wrong(&mut self, exchange: u64) {
        if let Some(survey) = &mut self.survey {
            survey.went_wrong(exchange);
        }
    }

    /// What may be asked for by session and task.
    fn seen(&mut self, exchange: u64, session: Option<u64>, task: Option<u64>) {
        if let Some(survey) = &mut self.survey {
            survey.see(&self.choice, exchange, session, task);
        }
    }

    fn note(&mut self, kind: EventKind, lane: usize, text: &str, tone: Tone) -> Option<usize> {
        let item = Item::Note {
            lane,
            text: text.into(),
            tone,
            when: self.now,
            presence: None,
        };
        let notable = matches!(tone, Tone::Bad | Tone::Heading);
        self.begin(item, about_note(kind, notable))
    }

    /// Something quick between initiator and kernel.
    fn exchange_arrow(
        &mut self,
        kind: EventKind,
        (from, to): (usize, usize),
        label: &str,
        fate: Fate,
        exchange: Option<u64>,
    ) -> Option<usize> {
        let mut arrow = Arrow::new(from, to, label, self.now, self.now);
        arrow.fate = fate;
        let about = About {
            exchange,
            kind,
            message: None,
            notable: false,
        };
        self.begin(Item::Arrow(arrow), about)
    }
}

fn about_note(kind: EventKind, notable: bool) -> About {
    About {
        exchange: None,
        kind,
        message: None,
        notable,
    }
}

impl Sink for Story {
    fn record(&mut self, record: &Record<'_>) {
        let start = *self.start.get_or_insert(record.time);
        self.now = When {
            order: self.now.order + 1,
            time: Time::from_nanos((record.time - start).as_nanos() as u64),
        };
        self.tell(record);
    }
}

#[cfg(test)]
mod tests;
