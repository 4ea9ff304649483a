// SPDX-License-Identifier: MPL-2.0
//! Where the things of a diagram stand on the page, in pixels.

use crate::report::ladder::{Arrow, Hold, Item, Ladder, When, columns, duration, wrap};
use std::collections::BTreeMap;

/// Width of a character of a label: an em of a font with fixed width is 0.6 of its size, which
/// is 11 pixels; rounded up.
pub(super) const CHARACTER: i64 = 7;
/// Height of a line of a label.
pub(super) const LINE: i64 = 13;
/// From the left edge to the first lane: the times.
pub(super) const LEFT: i64 = 104;
/// From the last lane to the right edge.
const RIGHT: i64 = 70;
/// Height of the box that names a lane.
pub(super) const HEAD: i64 = 26;
/// The most lines of a remark beside an arrow, and of a note.
const MOST_LINES: usize = 4;
/// How many calls in progress stand side by side on a lane; more share the last place.
const SLOTS: usize = 6;

/// The words of an arrow, in lines.
pub(super) fn words(arrow: &Arrow, room: i64) -> Vec<String> {
    let room = usize::try_from((room - 18) / CHARACTER).unwrap_or(1).max(8);
    let mut lines = Vec::new();
    if !arrow.goes_on && !arrow.label.is_empty() {
        lines.extend(wrap(&arrow.label, room, MOST_LINES));
    }
    if !arrow.remark.is_empty() {
        lines.extend(wrap(&arrow.remark, room, MOST_LINES));
    }
    lines
}

/// A note with its place beside its lane.
pub(super) struct NoteBox {
    pub(super) x: i64,
    pub(super) width: i64,
    pub(super) height: i64,
    pub(super) lines: Vec<String>,
}

/// A pause, or things left out, by the top of its place.
pub(super) struct Aside {
    pub(super) y: i64,
    pub(super) text: String,
}

/// Where everything stands.
pub(super) struct Layout {
    /// Distance of two lanes.
    pub(super) pitch: i64,
    pub(super) width: i64,
    /// Where the lanes begin, below their heads, and where they end.
    pub(super) top: i64,
    pub(super) bottom: i64,
    places: BTreeMap<u64, i64>,
    /// Times to be told, with their places.
    pub(super) clocks: Vec<(i64, When)>,
    pub(super) asides: Vec<Aside>,
}

/// What a place needs.
#[derive(Default, Clone, Copy)]
struct Need {
    above: i64,
    below: i64,
    time: Option<When>,
}

impl Layout {
    /// Lays a diagram out whose lanes begin at `top`.
    pub(super) fn new(ladder: &Ladder, top: i64) -> Layout {
        let lanes = ladder.lanes.len() as i64;
        let pitch = match lanes {
            ..=3 => 320,
            4 => 270,
            5 => 230,
            _ => 210,
        };
        let mut layout = Layout {
            pitch,
            width: LEFT + (lanes - 1).max(2) * pitch + RIGHT,
            top,
            bottom: 0,
            places: BTreeMap::new(),
            clocks: Vec::new(),
            asides: Vec::new(),
        };
        let needs = layout.needs(ladder);
        layout.place(ladder, &needs);
        layout
    }

    fn needs(&self, ladder: &Ladder) -> BTreeMap<u64, Need> {
        let mut needs: BTreeMap<u64, Need> = BTreeMap::new();
        let mut need = |when: When, above, below, time: bool| {
            let need = needs.entry(when.order).or_default();
            need.above = need.above.max(above);
            need.below = need.below.max(below);
            if time && need.time.is_none() {
                need.time = Some(when);
            }
        };
        for item in ladder.items() {
            match item {
                Item::Arrow(arrow) => {
                    let lines = words(arrow, self.room(arrow)).len() as i64;
                    let (above, below) = match (lines, arrow.ended) {
                        (0, _) => (8, 0),
                        (_, None) => (lines * LINE + 8, 16),
                        _ => (lines * LINE + 8, 0),
                    };
                    need(arrow.began, above, below, true);
                    if let Some(ended) = arrow.ended {
                        need(ended, 12, 0, true);
                    }
                    if let Some(until) = arrow.hold.and_then(|hold| hold.until) {
                        need(until, 8, 0, false);
                    }
                }
                Item::Note {
                    lane, text, when, ..
                } => {
                    let height = self.note(*lane, ladder.lanes.len(), text).height;
                    need(*when, height / 2 + 8, height / 2 + 2, true);
                }
                Item::Band { when, .. } => need(*when, 22, 8, true),
            }
        }
        needs
    }

    fn place(&mut self, ladder: &Ladder, needs: &BTreeMap<u64, Need>) {
        let places = ladder.places();
        let threshold = ladder.pause_threshold(&places);
        let mut skipped = ladder.skipped.iter().peekable();
        let mut y = self.top + 6;
        let mut last: Option<When> = None;
        let mut told = None;
        for when in places {
            // Two places may have the same order in a story that contradicts itself.
            if self.places.contains_key(&when.order) {
                continue;
            }
            while let Some((_, count)) = skipped.next_if(|(skip, _)| skip.order <= when.order) {
                self.aside(&mut y, left_out(*count));
                // What is left out may have happened all the while.
                last = None;
            }
            if let Some(last) = last
                && when.time - last.time >= threshold
            {
                let pause = duration(when.time - last.time);
                self.aside(&mut y, format!("nothing for {pause}"));
            }
            last = Some(when);
            let need = needs.get(&when.order).copied().unwrap_or_default();
            y += need.above;
            self.places.insert(when.order, y);
            if let Some(time) = need.time
                && told != Some(time.time)
            {
                told = Some(time.time);
                self.clocks.push((y, time));
            }
            y += need.below;
        }
        for (_, count) in skipped {
            self.aside(&mut y, left_out(*count));
        }
        self.bottom = y + 16;
    }

    fn aside(&mut self, y: &mut i64, text: String) {
        self.asides.push(Aside { y: *y + 10, text });
        *y += 32;
    }

    /// Where a lane stands.
    pub(super) fn x(&self, lane: usize) -> i64 {
        LEFT + lane as i64 * self.pitch
    }

    /// Where something stands that happened at a place of the story.
    pub(super) fn y(&self, when: When) -> i64 {
        self.places.get(&when.order).copied().unwrap_or(self.top)
    }

    /// The room between the lanes of an arrow.
    pub(super) fn room(&self, arrow: &Arrow) -> i64 {
        (self.x(arrow.to) - self.x(arrow.from)).abs()
    }

    /// A note at a lane: to the right of lanes of the left half, to the left of the others.
    pub(super) fn note(&self, lane: usize, lanes: usize, text: &str) -> NoteBox {
        let to_the_left = lane > 0 && lane * 2 >= lanes;
        let room = match to_the_left {
            true => self.x(lane) - LEFT,
            false => self.width - self.x(lane) - 20,
        };
        // Two gaps at most, so that a note does not hide all of what goes on beside it.
        let room = room.min(self.pitch * 2 - 20).max(CHARACTER * 12);
        let most = usize::try_from((room - 24) / CHARACTER).unwrap_or(1).max(8);
        let lines = wrap(text, most, MOST_LINES);
        let longest = lines.iter().map(|line| columns(line)).max().unwrap_or(0);
        let width = longest as i64 * CHARACTER + 14;
        let x = match to_the_left {
            true => self.x(lane) - 12 - width,
            false => self.x(lane) + 12,
        };
        let height = lines.len() as i64 * LINE + 7;
        NoteBox {
            x,
            width,
            height,
            lines,
        }
    }

    /// The calls in progress on all lanes, each with its place beside the others of its lane.
    pub(super) fn holds(&self, ladder: &Ladder) -> Vec<(Hold, i64, i64, i64)> {
        let mut all: Vec<(u64, Hold)> = Vec::new();
        for item in ladder.items() {
            if let Item::Arrow(arrow) = item
                && let Some(hold) = arrow.hold
            {
                all.push((arrow.began.order, hold));
            }
        }
        all.sort_by_key(|(began, _)| *began);
        let mut busy: BTreeMap<usize, [u64; SLOTS]> = BTreeMap::new();
        let mut placed = Vec::new();
        for (began, hold) in all {
            let until = hold.until.map_or(u64::MAX, |until| until.order);
            let slots = busy.entry(hold.lane).or_default();
            let free = slots.iter().position(|ends| *ends <= began);
            let slot = free.unwrap_or(SLOTS - 1);
            slots[slot] = slots[slot].max(until);
            let from = self.places.get(&began).copied().unwrap_or(self.top);
            let to = match hold.until {
                Some(until) => self.y(until),
                None => self.bottom - 4,
            };
            let side = if hold.lane == 0 || hold.lane * 2 < ladder.lanes.len() {
                -1
            } else {
                1
            };
            let x = self.x(hold.lane) - 4 + side * slot as i64 * 8;
            placed.push((hold, x, from, to));
        }
        placed
    }
}

fn left_out(count: u64) -> String {
    format!("{} left out", crate::report::thousands(count))
}
