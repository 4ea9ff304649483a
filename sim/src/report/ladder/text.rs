// SPDX-License-Identifier: MPL-2.0
//! A ladder diagram as text.
//!
//! An arrow stands where it arrives; one that continues another at the same moment stands on the
//! same line. What never arrived ends in an X halfway, what was turned away in an X at its aim,
//! what is late is wavy, what tells of something wrong is doubled: all of it reads without
//! colour.

use super::{Arrow, Fate, Item, Ladder, When, clock, columns, duration, fit, wrap};
use crate::report::style::{Style, Tone};
use crate::report::thousands;

/// The narrowest that a diagram may be, in columns.
pub const LEAST_WIDTH: usize = 80;
/// The width of a diagram unless told otherwise, in columns.
pub const DEFAULT_WIDTH: usize = 100;
/// The widest that a diagram may be, in columns.
pub const MOST_WIDTH: usize = 400;

/// The most lines of a note.
const MOST_NOTE_LINES: usize = 4;

/// A line before it is printed: characters with their tones. A character of two columns is
/// followed by a [`FILLER`].
type Canvas = Vec<(char, Tone)>;
const FILLER: char = '\0';

struct Page<'a> {
    ladder: &'a Ladder,
    style: Style,
    width: usize,
    /// Columns before the first lane: the time and a space.
    margin: usize,
    out: String,
}

impl Ladder {
    /// The diagram as text of at most `width` columns ([`LEAST_WIDTH`] to [`MOST_WIDTH`]; what
    /// is outside counts as the nearest).
    pub fn text(&self, style: Style, width: usize) -> String {
        let clocks = self.items.iter().map(|item| clock(row_place(item).time));
        let longest = clocks.map(|text| text.len()).max().unwrap_or(0);
        let mut page = Page {
            ladder: self,
            style,
            width: width.clamp(LEAST_WIDTH, MOST_WIDTH),
            margin: longest.max(9) + 1,
            out: String::new(),
        };
        page.draw();
        page.out
    }
}

/// Where an item stands.
fn row_place(item: &Item) -> When {
    match item {
        Item::Arrow(arrow) => arrow.ended.unwrap_or(arrow.began),
        other => other.when(),
    }
}

impl Page<'_> {
    fn draw(&mut self) {
        let ladder = self.ladder;
        if !ladder.title.is_empty() {
            self.line(Tone::Heading, &ladder.title);
        }
        for line in &ladder.subtitle {
            self.line(Tone::Faint, line);
        }
        if !ladder.title.is_empty() || !ladder.subtitle.is_empty() {
            self.out.push('\n');
        }
        self.heads();
        let mut rows: Vec<(When, &Item)> = self
            .ladder
            .items
            .iter()
            .map(|item| (row_place(item), item))
            .collect();
        rows.sort_by_key(|(place, _)| place.order);
        let places: Vec<When> = rows.iter().map(|(place, _)| *place).collect();
        let threshold = ladder.pause_threshold(&places);
        let mut skipped = ladder.skipped.iter().peekable();
        let mut last: Option<When> = None;
        let mut index = 0;
        while let Some((place, item)) = rows.get(index) {
            while let Some((_, count)) = skipped.next_if(|(when, _)| when.order <= place.order) {
                self.aside(&left_out(*count));
                // What is left out may have happened all the while.
                last = None;
            }
            if let Some(last) = last
                && place.time - last.time >= threshold
            {
                let pause = duration(place.time - last.time);
                self.aside(&format!("~~~ nothing for {pause} ~~~"));
            }
            last = Some(*place);
            index += 1;
            match item {
                Item::Arrow(arrow) => {
                    let next = rows.get(index).map(|(_, next)| *next);
                    let next = next.and_then(|next| follows(arrow, next));
                    index += usize::from(next.is_some());
                    self.arrow(*place, arrow, next);
                }
                Item::Note {
                    lane, text, tone, ..
                } => self.note(*place, *lane, text, *tone),
                Item::Band { text, tone, .. } => self.band(*place, text, *tone),
            }
        }
        for (_, count) in skipped {
            self.aside(&left_out(*count));
        }
        for remark in &ladder.remarks {
            self.aside(remark);
        }
    }

    /// Distance from one lane to the next.
    fn pitch(&self) -> usize {
        let gaps = self.ladder.lanes.len().saturating_sub(1).max(1);
        ((self.width - self.margin - 1) / gaps).clamp(6, 40)
    }

    fn column(&self, lane: usize) -> usize {
        self.margin + lane * self.pitch()
    }

    fn line(&mut self, tone: Tone, text: &str) {
        let text = fit(text, self.width);
        self.out.push_str(&self.style.paint(tone, &text));
        self.out.push('\n');
    }

    fn aside(&mut self, text: &str) {
        let text = fit(text, self.width - self.margin);
        let margin = self.margin;
        let text = self.style.paint(Tone::Faint, &text);
        self.out.push_str(&format!("{:margin$}{text}\n", ""));
    }

    fn heads(&mut self) {
        let mut line = String::new();
        for (lane, name) in self.ladder.lanes.iter().enumerate() {
            // A name stands with its middle on its lane, but never left of the margin or right
            // of the widest column.
            let name = fit(name, self.pitch() - 1);
            let length = columns(&name);
            let middle = self.column(lane);
            let start = middle
                .saturating_sub(length / 2)
                .min(self.width.saturating_sub(length));
            let start = if lane == 0 {
                start
            } else {
                start.max(columns(&line) + 1)
            };
            while columns(&line) < start {
                line.push(' ');
            }
            line.push_str(&fit(&name, self.width.saturating_sub(columns(&line))));
        }
        self.out.push_str(&self.style.paint(Tone::Heading, &line));
        self.out.push('\n');
    }

    /// A line with nothing but the time and the lanes.
    fn canvas(&self, time: &str) -> Canvas {
        let mut line: Canvas = time
            .chars()
            .map(|character| (character, Tone::Plain))
            .collect();
        let last = self.ladder.lanes.len().saturating_sub(1);
        line.resize(self.column(last) + 1, (' ', Tone::Plain));
        for lane in 0..self.ladder.lanes.len() {
            line[self.column(lane)] = ('|', Tone::Plain);
        }
        line
    }

    fn push(&mut self, canvas: &Canvas) {
        let used = canvas.iter().rposition(|(character, _)| *character != ' ');
        let mut run = String::new();
        let mut of = Tone::Plain;
        for (character, tone) in canvas.iter().take(used.map_or(0, |last| last + 1)) {
            if *tone != of {
                self.out.push_str(&painted(self.style, of, &run));
                run.clear();
                of = *tone;
            }
            if *character != FILLER {
                run.push(*character);
            }
        }
        self.out.push_str(&painted(self.style, of, &run));
        self.out.push('\n');
    }

    /// Draws an arrow, and the one that continues it.
    fn arrow(&mut self, place: When, arrow: &Arrow, next: Option<&Arrow>) {
        let tone = arrow.tone();
        let to = next.map_or(arrow.to, |next| next.to);
        let (left, right) = (arrow.from.min(to), arrow.from.max(to));
        let first = self.column(left) + 1;
        let room = self.column(right) - first;
        let words = arrow.words();
        let time = clock(place.time);
        let mut canvas = self.canvas(&time);
        // Room for the head, and a piece of shaft before the label; with two heads the label
        // shall not hide the first.
        let own = self.column(arrow.from.max(arrow.to)) - self.column(arrow.from.min(arrow.to)) - 1;
        let inside = columns(&words) + 2 <= own && !matches!(arrow.fate, Fate::Lost | Fate::Open);
        let forward = arrow.from < to;
        if !inside {
            // Above the shaft, over the neighbours' lanes if it must be.
            let most = self.width - self.margin - 2;
            let words = fit(&words, most);
            let length = columns(&words);
            let start = if forward {
                first.min(self.width - length)
            } else {
                (first + room).saturating_sub(length).max(self.margin + 1)
            };
            put(&mut canvas, start, &words, tone);
            self.push(&canvas);
            canvas = self.canvas("");
        }
        let shaft = match arrow.fate {
            Fate::Failed | Fate::Refused => '=',
            Fate::Late => '~',
            Fate::Open => '.',
            Fate::Arrived | Fate::Lost => '-',
        };
        for cell in &mut canvas[first..first + room] {
            if cell.0 != '|' || next.is_none() {
                *cell = (shaft, tone);
            }
        }
        let heads = [Some(arrow), next].into_iter().flatten();
        for part in heads {
            let at = self.column(part.to);
            let at = if forward { at - 1 } else { at + 1 };
            let head = match (part.fate, forward) {
                (Fate::Refused, _) => 'X',
                (_, true) => '>',
                (_, false) => '<',
            };
            canvas[at] = (head, tone);
        }
        if matches!(arrow.fate, Fate::Lost | Fate::Open) {
            let middle = first + room / 2;
            let (start, end) = if forward {
                (middle + 1, first + room)
            } else {
                (first, middle)
            };
            canvas[start..end].fill((' ', Tone::Plain));
            let (head, mark) = match arrow.fate {
                Fate::Lost => ('X', "lost"),
                _ => ('?', "no end"),
            };
            canvas[middle] = (head, tone);
            if end - start > mark.len() + 2 {
                let at = if forward {
                    start + 1
                } else {
                    end - 1 - mark.len()
                };
                put(&mut canvas, at, mark, tone);
            }
        } else if inside {
            let length = columns(&words);
            let at = if forward {
                first + 1
            } else {
                first + room - 1 - length
            };
            put(&mut canvas, at, &words, tone);
        }
        self.push(&canvas);
    }

    fn note(&mut self, place: When, lane: usize, text: &str, tone: Tone) {
        // Notes of the right half stand to the left of their lane.
        let at = self.column(lane);
        let to_the_left = lane > 0 && lane * 2 >= self.ladder.lanes.len();
        let room = if to_the_left {
            at - self.margin - 3
        } else {
            self.width - at - 3
        };
        let mut time = clock(place.time);
        for (number, line) in wrap(text, room, MOST_NOTE_LINES).iter().enumerate() {
            let mut canvas = self.canvas(&time);
            if number == 0 {
                canvas[at] = ('*', tone);
            }
            let start = if to_the_left {
                at - 1 - columns(line)
            } else {
                at + 2
            };
            put(&mut canvas, start, line, tone);
            self.push(&canvas);
            time.clear();
        }
    }

    fn band(&mut self, place: When, text: &str, tone: Tone) {
        let mut canvas = self.canvas(&clock(place.time));
        let text = fit(text, self.width - self.margin - 4);
        put(&mut canvas, self.margin, &format!("== {text} "), tone);
        let last = canvas.len();
        let start = (self.margin + columns(&text) + 4).min(last);
        canvas[start..].fill(('=', tone));
        self.push(&canvas);
    }
}

/// The arrow that continues another at the moment when it arrives.
fn follows<'a>(arrow: &Arrow, next: &'a Item) -> Option<&'a Arrow> {
    let Item::Arrow(next) = next else { return None };
    let same_way = (arrow.from < arrow.to) == (next.from < next.to);
    let whole = matches!(arrow.fate, Fate::Arrived | Fate::Late) && next.fate == Fate::Arrived;
    let joined = next.goes_on && next.from == arrow.to && next.label == arrow.label;
    let same_moment = next.ended == arrow.ended;
    (same_way && whole && joined && same_moment && next.remark.is_empty()).then_some(next)
}

fn left_out(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("... {} line{plural} left out ...", thousands(count))
}

fn painted(style: Style, tone: Tone, text: &str) -> String {
    // Spaces alone have no colour.
    match text.trim().is_empty() {
        true => text.to_owned(),
        false => style.paint(tone, text),
    }
}

/// Writes over a canvas from a column on, and makes it longer where needed.
fn put(canvas: &mut Canvas, start: usize, text: &str, tone: Tone) {
    let mut at = start;
    for character in text.chars() {
        let wide = columns(character.encode_utf8(&mut [0; 4]));
        if canvas.len() < at + wide {
            canvas.resize(at + wide, (' ', Tone::Plain));
        }
        canvas[at] = (character, tone);
        if wide == 2 {
            canvas[at + 1] = (FILLER, tone);
        }
        at += wide;
    }
}
