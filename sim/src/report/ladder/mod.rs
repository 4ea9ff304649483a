// SPDX-License-Identifier: MPL-2.0
//! Ladder diagrams: who told whom what, in order, one lane for each party.
//!
//! This is the model; [`text`] and [`svg`] draw it. Time runs down in the order of what happened:
//! a place on the vertical axis is a [`When`], its order decides, its time is what is told.
//!
//! Text in a diagram comes from outside as a rule: characters that could reach a terminal as
//! commands, or make a line read as another, are replaced when it enters ([`clean`]).

mod judge;
pub mod svg;
pub mod text;

pub use judge::{LATE_FACTOR, LATE_LEAST, LATE_SAMPLES};

use super::style::Tone;
use std::collections::BTreeMap;
use std::time::Duration;
use stmf_proxy::time::Time;

/// The most characters of one text in a diagram; what is longer is cut.
pub const MAX_TEXT: usize = 400;

/// A place in the story.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct When {
    /// The order: what has a larger number happened later.
    pub order: u64,
    /// The time that is told.
    pub time: Time,
}

/// What became of an arrow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It arrived.
    Arrived,
    /// It arrived, much later than others of its kind or after one that began later.
    Late,
    /// It arrived, and says that something went wrong.
    Failed,
    /// It was turned away where it came to.
    Refused,
    /// It never arrived.
    Lost,
    /// The story ends before it does.
    Open,
}

/// A call that is in progress for a while: the party of a lane waits, or works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold {
    /// Whose.
    pub lane: usize,
    /// Its end; `None` if the story ends before.
    pub until: Option<When>,
    /// Whether a lock is held all the while.
    pub locked: bool,
}

/// Something that goes from one party to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrow {
    /// From this lane.
    pub from: usize,
    /// To this lane, another one.
    pub to: usize,
    /// What it is; the first word is its kind.
    pub label: String,
    /// What is to be said of its fate; empty for nothing.
    pub remark: String,
    /// What became of it.
    pub fate: Fate,
    /// Its beginning.
    pub began: When,
    /// Its end; of a lost one, when that was sure. `None` for [`Fate::Open`].
    pub ended: Option<When>,
    /// Whether it is the rest of the way of the arrow that ended where this one begins, so that
    /// its label need not be told again.
    pub goes_on: bool,
    /// Arrows from one lane to another with the same stream should arrive in order.
    pub stream: Option<u64>,
    /// The call that it belongs to.
    pub hold: Option<Hold>,
}

/// Whether the party of a lane is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// From now on.
    Comes,
    /// No more.
    Goes,
}

/// One thing of the story.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// Something goes from one party to another.
    Arrow(Arrow),
    /// A remark at a lane.
    Note {
        /// Which.
        lane: usize,
        /// The remark.
        text: String,
        /// How it is meant.
        tone: Tone,
        /// Its place.
        when: When,
        /// Whether the party comes or goes by it.
        presence: Option<Presence>,
    },
    /// A remark across all lanes.
    Band {
        /// The remark.
        text: String,
        /// How it is meant.
        tone: Tone,
        /// Its place.
        when: When,
    },
}

impl Item {
    /// Where it begins.
    pub fn when(&self) -> When {
        match self {
            Item::Arrow(arrow) => arrow.began,
            Item::Note { when, .. } | Item::Band { when, .. } => *when,
        }
    }
}

/// A ladder diagram.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ladder {
    /// What it is a diagram of; may be empty.
    pub title: String,
    /// Where it comes from, in lines.
    pub subtitle: Vec<String>,
    /// The parties, left to right.
    pub lanes: Vec<String>,
    /// What happened.
    items: Vec<Item>,
    /// How many items are left out before the place.
    skipped: BTreeMap<When, u64>,
    /// What is to be said below.
    pub remarks: Vec<String>,
}

impl Ladder {
    /// A diagram with these parties.
    pub fn new(lanes: impl IntoIterator<Item = String>) -> Ladder {
        Ladder {
            lanes: lanes.into_iter().map(|lane| clean(&lane)).collect(),
            ..Ladder::default()
        }
    }

    /// Adds something. Lanes that do not exist count as the last, an arrow from a lane to itself
    /// becomes a note.
    pub fn push(&mut self, item: Item) {
        let last = self.lanes.len().saturating_sub(1);
        let item = match item {
            Item::Arrow(mut arrow) => {
                arrow.label = clean(&arrow.label);
                arrow.remark = clean(&arrow.remark);
                arrow.from = arrow.from.min(last);
                arrow.to = arrow.to.min(last);
                if let Some(hold) = &mut arrow.hold {
                    hold.lane = hold.lane.min(last);
                }
                if arrow.fate == Fate::Open {
                    arrow.ended = None;
                }
                if arrow.from == arrow.to {
                    Item::Note {
                        lane: arrow.from,
                        text: arrow.words(),
                        tone: arrow.tone(),
                        when: arrow.began,
                        presence: None,
                    }
                } else {
                    Item::Arrow(arrow)
                }
            }
            Item::Note {
                lane,
                text,
                tone,
                when,
                presence,
            } => Item::Note {
                lane: lane.min(last),
                text: clean(&text),
                tone,
                when,
                presence,
            },
            Item::Band { text, tone, when } => Item::Band {
                text: clean(&text),
                tone,
                when,
            },
        };
        self.items.push(item);
    }

    /// Says that `count` items are left out before the place.
    pub fn skip(&mut self, when: When, count: u64) {
        if count > 0 {
            *self.skipped.entry(when).or_default() += count;
        }
    }

    /// Cleans what is said above and below the diagram, which anybody may set.
    pub fn clean_heading(&mut self) {
        self.title = clean(&self.title);
        for line in self.subtitle.iter_mut().chain(&mut self.remarks) {
            *line = clean(line);
        }
    }

    /// What happened, as it was added.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Whether nothing has happened.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many arrows have a fate.
    pub fn count(&self, fate: Fate) -> usize {
        let arrows = self.items.iter();
        let with = arrows.filter(|item| matches!(item, Item::Arrow(arrow) if arrow.fate == fate));
        with.count()
    }

    /// All places at which something begins or ends, in order.
    fn places(&self) -> Vec<When> {
        let mut places = Vec::new();
        for item in &self.items {
            places.push(item.when());
            if let Item::Arrow(arrow) = item {
                places.extend(arrow.ended);
                places.extend(arrow.hold.and_then(|hold| hold.until));
            }
        }
        places.sort_unstable();
        places.dedup();
        places
    }

    /// From which length on a time in which nothing happens is worth telling: 20 times the usual
    /// one, at least [`PAUSE_LEAST`].
    fn pause_threshold(&self, places: &[When]) -> Duration {
        let pairs = places.iter().zip(places.iter().skip(1));
        let mut steps: Vec<Duration> = pairs
            .map(|(one, next)| next.time - one.time)
            .filter(|step| !step.is_zero())
            .collect();
        steps.sort_unstable();
        let usual = steps.get(steps.len() / 2).copied().unwrap_or_default();
        usual.saturating_mul(20).max(PAUSE_LEAST)
    }
}

/// The shortest time without events that is told as such.
pub const PAUSE_LEAST: Duration = Duration::from_millis(10);

impl Arrow {
    /// An arrow that arrived.
    pub fn new(from: usize, to: usize, label: &str, began: When, ended: When) -> Arrow {
        Arrow {
            from,
            to,
            label: label.into(),
            remark: String::new(),
            fate: Fate::Arrived,
            began,
            ended: Some(ended),
            goes_on: false,
            stream: None,
            hold: None,
        }
    }

    /// Label and remark.
    fn words(&self) -> String {
        match (self.label.is_empty(), self.remark.is_empty()) {
            (_, true) => self.label.clone(),
            (true, false) => self.remark.clone(),
            (false, false) => format!("{}: {}", self.label, self.remark),
        }
    }

    fn tone(&self) -> Tone {
        match self.fate {
            Fate::Arrived => Tone::Plain,
            Fate::Late => Tone::Warn,
            Fate::Failed | Fate::Refused | Fate::Lost | Fate::Open => Tone::Bad,
        }
    }

    /// The first word of the label.
    fn kind(&self) -> &str {
        self.label.split(' ').next().unwrap_or_default()
    }

    /// How long it took.
    fn took(&self) -> Option<Duration> {
        self.ended.map(|ended| ended.time - self.began.time)
    }
}

/// Seconds, to the microsecond.
pub fn clock(time: Time) -> String {
    let microseconds = time.as_nanos() / 1000;
    format!(
        "{}.{:06}",
        microseconds / 1_000_000,
        microseconds % 1_000_000
    )
}

/// A length of time with three digits or more, rounded down: `851 ns`, `12.3 us`, `75.0 s`.
pub fn duration(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    let units = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1000)];
    let Some((unit, size)) = units.into_iter().find(|(_, size)| nanoseconds >= *size) else {
        return format!("{nanoseconds} ns");
    };
    let whole = nanoseconds / size;
    let thousandths = nanoseconds % size / (size / 1000);
    match whole {
        0..10 => format!("{whole}.{:02} {unit}", thousandths / 10),
        10..100 => format!("{whole}.{} {unit}", thousandths / 100),
        _ => format!("{whole} {unit}"),
    }
}

/// Text without characters that control a terminal, have no width, or turn the direction of
/// writing, and none that XML cannot have; at most [`MAX_TEXT`] characters.
pub fn clean(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(MAX_TEXT)
        .map(|character| match character {
            '\n' | '\r' | '\t' => ' ',
            '\u{AD}'
            | '\u{200B}'..='\u{200F}'
            | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}'
            | '\u{FFFE}'
            | '\u{FFFF}' => '\u{FFFD}',
            other if other.is_control() => '\u{FFFD}',
            other => other,
        })
        .collect();
    if text.chars().nth(MAX_TEXT).is_some() {
        out.push_str("...");
    }
    out
}

/// How many columns a text takes: characters outside the Latin, Greek and Cyrillic blocks count
/// twice, since many of them are that wide.
fn columns(text: &str) -> usize {
    text.chars()
        .map(|character| if character < '\u{1100}' { 1 } else { 2 })
        .sum()
}

/// The text in at most `room` columns, cut where it is too long.
fn fit(text: &str, room: usize) -> String {
    if columns(text) <= room {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut left = room.saturating_sub(3);
    for character in text.chars() {
        let wide = if character < '\u{1100}' { 1 } else { 2 };
        if wide > left {
            break;
        }
        left -= wide;
        out.push(character);
    }
    out.push_str(&"..."[..room.min(3)]);
    out
}

/// The text in lines of at most `room` columns, broken between words, at most `most` lines; a
/// word or a rest that does not fit is cut.
fn wrap(text: &str, room: usize, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let full = lines.len() >= most;
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if full || columns(line) + 1 + columns(word) <= room {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.iter().map(|line| fit(line, room)).collect()
}

#[cfg(test)]
pub(crate) mod tests;
