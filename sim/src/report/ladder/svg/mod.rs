// SPDX-License-Identifier: MPL-2.0
//! A ladder diagram as a picture: SVG 1.1, with nothing that a viewer would have to fetch.
//!
//! Arrows slope from the place where they begin to the place where they arrive, so what is under
//! way at once crosses. The vertical axis is the order of what happened, not its time; times
//! stand at the left, and long ones without events are marked.
//!
//! Colours are dark on white and differ in brightness too; what they tell is also told by the
//! form of a line, so that the picture can be printed.

mod layout;

use super::{Arrow, Fate, Item, Ladder, Presence, clock, columns, wrap};
use crate::report::style::Tone;
use layout::{CHARACTER, HEAD, LEFT, LINE, Layout, words};
use std::fmt::Write;

/// The look of everything, by class.
const STYLE: &str = "\
text { font-family: 'DejaVu Sans Mono', Menlo, Consolas, monospace; font-size: 11px; \
fill: #1b2733; }
.title { font-family: 'DejaVu Sans', Helvetica, Arial, sans-serif; font-size: 17px; \
font-weight: bold; }
.sub { fill: #52606d; }
.clock { fill: #52606d; font-size: 10px; text-anchor: end; }
.head { font-weight: bold; font-size: 12px; text-anchor: middle; }
.end { text-anchor: end; }
.middle { text-anchor: middle; }
.halo { fill: none; stroke: #ffffff; stroke-width: 5; stroke-linejoin: round; }
.lane { stroke: #9fb0c0; stroke-width: 1.5; }
.gone { stroke: #a3122a; stroke-width: 1.5; stroke-dasharray: 2 5; }
.box { fill: #eef3f8; stroke: #7b8b9a; }
.arrow { stroke: #24435f; stroke-width: 1.4; fill: none; }
.late { stroke: #b35900; stroke-width: 2; stroke-dasharray: 8 4; }
.bad { stroke: #a3122a; stroke-width: 2; }
.open { stroke: #a3122a; stroke-width: 2; stroke-dasharray: 2 4; }
.late-text { fill: #8f4700; font-weight: bold; }
.bad-text { fill: #a3122a; font-weight: bold; }
.faint-text { fill: #52606d; }
.call { fill: #d5e1ec; stroke: #7b8b9a; stroke-width: 0.8; }
.locked { fill: #f6d9b8; stroke: #9a5b12; stroke-width: 0.8; }
.held { stroke: #a3122a; stroke-width: 1.6; }
.note { fill: #fffbe6; stroke: #b3a45c; }
.note-bad { fill: #fdecee; stroke: #a3122a; }
.note-faint { fill: #f5f7f9; stroke: #c3ccd5; }
.band { fill: #e3ecf5; stroke: #7b8b9a; }
.pause { stroke: #9fb0c0; stroke-dasharray: 1 5; }
";

struct Page<'a> {
    ladder: &'a Ladder,
    layout: Layout,
    /// Lines and boxes.
    shapes: String,
    /// What stands above them.
    labels: String,
}

impl Ladder {
    /// The diagram as an SVG document.
    pub fn svg(&self) -> String {
        let above = 22 + 15 * self.subtitle.len() as i64;
        let above = if self.title.is_empty() {
            above - 14
        } else {
            above + 10
        };
        let layout = Layout::new(self, above + HEAD + 18);
        let mut page = Page {
            ladder: self,
            layout,
            shapes: String::new(),
            labels: String::new(),
        };
        page.lanes();
        for item in &self.items {
            page.band(item);
        }
        page.holds();
        for item in &self.items {
            if let Item::Arrow(arrow) = item {
                page.arrow(arrow);
            }
        }
        for item in &self.items {
            page.remark(item);
        }
        page.clocks();
        let below = page.below();
        page.document(below)
    }
}

/// Text as it may stand in XML.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

fn tone_class(tone: Tone) -> &'static str {
    match tone {
        Tone::Bad => "bad-text",
        Tone::Warn => "late-text",
        Tone::Faint => "faint-text",
        Tone::Plain | Tone::Heading | Tone::Good => "",
    }
}

// Writing to a string cannot fail, so the results of `writeln!` are dropped here.
impl Page<'_> {
    fn line(&mut self, class: &str, from: (i64, i64), to: (i64, i64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(
            self.shapes,
            r#"<line class="{class}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>"#
        );
    }

    fn rect(&mut self, class: &str, x: i64, y: i64, width: i64, height: i64, round: i64) {
        let _ = writeln!(
            self.shapes,
            r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}" rx="{round}"/>"#
        );
    }

    fn text(&mut self, class: &str, x: i64, y: i64, text: &str) {
        let text = escape(text);
        let _ = writeln!(
            self.labels,
            r#"<text class="{class}" x="{x}" y="{y}">{text}</text>"#
        );
    }

    /// Text whose base line slopes by `slope` thousandths, on a ground that keeps lines away.
    fn label(&mut self, class: &str, (x, y): (i64, i64), slope: i64, text: &str) {
        let text = escape(text);
        let sign = if slope < 0 { "-" } else { "" };
        let slope = slope.abs();
        for halo in ["halo ", ""] {
            let class = format!("{halo}{class}");
            let class = class.trim_end();
            let _ = writeln!(
                self.labels,
                r#"<text class="{class}" transform="matrix(1 {sign}0.{slope:03} 0 1 {x} {y})">{text}</text>"#
            );
        }
    }

    fn lanes(&mut self) {
        let (top, bottom) = (self.layout.top, self.layout.bottom);
        for (lane, name) in self.ladder.lanes.iter().enumerate() {
            let x = self.layout.x(lane);
            self.line("lane", (x, top - 10), (x, bottom));
            let room = usize::try_from(self.layout.pitch - 40).unwrap_or(0) / 8;
            let name = super::fit(name, room);
            let width = (columns(&name) as i64 * 8 + 24).max(96);
            for y in [top - 10 - HEAD, bottom] {
                self.rect("box", x - width / 2, y, width, HEAD, 5);
                self.text("head", x, y + 17, &name);
            }
            self.absences(lane);
        }
    }

    /// Draws the times at which the party of a lane is not there.
    fn absences(&mut self, lane: usize) {
        let mut gone: Option<i64> = None;
        let x = self.layout.x(lane);
        let mut changes: Vec<_> = self
            .ladder
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Note {
                    lane: of,
                    when,
                    presence: Some(presence),
                    ..
                } if *of == lane => Some((*when, *presence)),
                _ => None,
            })
            .collect();
        changes.sort_by_key(|(when, _)| *when);
        for (when, presence) in changes {
            let y = self.layout.y(when);
            match (presence, gone) {
                (Presence::Goes, None) => gone = Some(y),
                (Presence::Comes, Some(from)) => {
                    self.absence(x, from, y);
                    gone = None;
                }
                _ => {}
            }
        }
        if let Some(from) = gone {
            self.absence(x, from, self.layout.bottom);
        }
    }

    fn absence(&mut self, x: i64, from: i64, to: i64) {
        let _ = writeln!(
            self.shapes,
            r##"<rect fill="#ffffff" x="{}" y="{from}" width="4" height="{}"/>"##,
            x - 2,
            (to - from).max(0)
        );
        self.line("gone", (x, from), (x, to));
    }

    fn holds(&mut self) {
        for (hold, x, from, to) in self.layout.holds(self.ladder) {
            let class = match (hold.locked, hold.until.is_none()) {
                (false, false) => "call",
                (true, false) => "locked",
                (false, true) => "call held",
                (true, true) => "locked held",
            };
            self.rect(class, x, from, 8, (to - from).max(3), 1);
        }
    }

    fn arrow(&mut self, arrow: &Arrow) {
        let forward = arrow.to > arrow.from;
        let step = if forward { 1 } else { -1 };
        let start = (
            self.layout.x(arrow.from) + 2 * step,
            self.layout.y(arrow.began),
        );
        let end_y = match arrow.ended {
            Some(ended) => self.layout.y(ended).max(start.1),
            None => start.1 + 16,
        };
        let end = (self.layout.x(arrow.to) - 2 * step, end_y);
        let part = |hundredths: i64| {
            (
                start.0 + (end.0 - start.0) * hundredths / 100,
                start.1 + (end.1 - start.1) * hundredths / 100,
            )
        };
        let (class, marker) = match arrow.fate {
            Fate::Arrived => ("arrow", "head"),
            Fate::Late => ("arrow late", "head-late"),
            Fate::Failed => ("arrow bad", "head-bad"),
            Fate::Refused | Fate::Lost => ("arrow bad", ""),
            Fate::Open => ("arrow open", ""),
        };
        let (x1, y1) = start;
        let (x2, y2) = match arrow.fate {
            Fate::Lost | Fate::Open => part(58),
            Fate::Refused => (end.0 - 8 * step, end.1),
            _ => end,
        };
        let marker = match marker {
            "" => String::new(),
            marker => format!(r#" marker-end="url(#{marker})""#),
        };
        let _ = writeln!(
            self.shapes,
            r#"<path class="{class}" d="M{x1} {y1}L{x2} {y2}"{marker}/>"#
        );
        match arrow.fate {
            Fate::Lost | Fate::Refused => {
                let _ = writeln!(
                    self.shapes,
                    r#"<path class="arrow bad" d="M{} {}l12 12m0 -12l-12 12"/>"#,
                    x2 - 6,
                    y2 - 6
                );
            }
            Fate::Open => self.text("bad-text middle", x2 + 8 * step, y2 + 4, "?"),
            _ => {}
        }
        self.words(arrow, start, end);
    }

    /// The words of an arrow, above its beginning. They follow a line that is not too steep.
    fn words(&mut self, arrow: &Arrow, start: (i64, i64), end: (i64, i64)) {
        let run = (end.0 - start.0).abs().max(1);
        let fall = end.1 - start.1;
        let slope = if fall * 4 <= run && arrow.ended.is_some() {
            (fall * 1000 / run).min(999)
        } else {
            0
        };
        let forward = end.0 > start.0;
        let (x, slope, end_class) = match forward {
            true => (start.0 + 9, slope, ""),
            false => (start.0 - 9, -slope, " end"),
        };
        let lines = words(arrow, self.layout.room(arrow));
        let class = format!("{}{end_class}", tone_class(arrow.tone()));
        let mut y = start.1 - 6 - (lines.len() as i64 - 1) * LINE + (slope.abs() * 9 / 1000);
        for line in lines {
            self.label(class.trim_start(), (x, y), slope, &line);
            y += LINE;
        }
    }

    fn remark(&mut self, item: &Item) {
        match item {
            Item::Arrow(_) | Item::Band { .. } => {}
            Item::Note {
                lane,
                text,
                tone,
                when,
                ..
            } => {
                let note = self.layout.note(*lane, self.ladder.lanes.len(), text);
                let (x, y) = (self.layout.x(*lane), self.layout.y(*when));
                let class = match tone {
                    Tone::Bad => "note note-bad",
                    Tone::Faint => "note note-faint",
                    _ => "note",
                };
                let near = if note.x > x {
                    note.x
                } else {
                    note.x + note.width
                };
                self.line("arrow", (x, y), (near, y));
                let _ = writeln!(
                    self.shapes,
                    r#"<circle class="{class}" cx="{x}" cy="{y}" r="4"/>"#
                );
                self.rect(
                    class,
                    note.x,
                    y - note.height / 2,
                    note.width,
                    note.height,
                    3,
                );
                let mut line_y = y - note.height / 2 + LINE;
                for line in &note.lines {
                    self.text(tone_class(*tone), note.x + 7, line_y, line);
                    line_y += LINE;
                }
            }
        }
    }

    /// Bands lie below everything that goes on while they are told.
    fn band(&mut self, item: &Item) {
        let Item::Band { text, tone, when } = item else {
            return;
        };

        let y = self.layout.y(*when);
        let class = match tone {
            Tone::Bad => "note note-bad",
            _ => "band",
        };
        let width = self.layout.width - LEFT - 40 + 12;
        self.rect(class, LEFT - 12, y - 14, width, 20, 3);
        let room = usize::try_from((width - 24) / CHARACTER).unwrap_or(0);
        let text = super::fit(text, room);
        self.text(tone_class(*tone), LEFT + 14, y, &text);
    }

    fn clocks(&mut self) {
        let mut last: Option<i64> = None;
        for (y, when) in std::mem::take(&mut self.layout.clocks) {
            // Where places are close together, one of their times is enough.
            if last.is_none_or(|last| y - last >= 11) {
                self.text("clock", LEFT - 26, y + 4, &clock(when.time));
                last = Some(y);
            }
        }
        for aside in std::mem::take(&mut self.layout.asides) {
            let y = aside.y + 8;
            let right = self.layout.width - 40;
            self.line("pause", (LEFT - 12, y), (right, y));
            let middle = i64::midpoint(LEFT, right);
            self.label("faint-text middle", (middle, y + 4), 0, &aside.text);
        }
    }

    /// Remarks and the legend; tells where they end.
    fn below(&mut self) -> i64 {
        let mut y = self.layout.bottom + HEAD + 22;
        let room = usize::try_from((self.layout.width - 60) / CHARACTER).unwrap_or(1);
        for remark in &self.ladder.remarks {
            for line in wrap(remark, room, 3) {
                self.text("sub", 30, y, &line);
                y += 15;
            }
        }
        let arrows = [
            ("arrow", "head", "arrived"),
            ("arrow late", "head-late", "late or overtaken"),
            ("arrow bad", "head-bad", "tells of a failure"),
            ("arrow bad", "refused", "turned away"),
            ("arrow bad", "lost", "never arrived"),
            ("arrow open", "open", "not ended in the trace"),
            ("call", "", "call in progress"),
            ("locked", "", "call with the stmf lock held"),
        ];
        let mut x = 30;
        for (class, end, name) in arrows {
            let width = 46 + name.len() as i64 * CHARACTER + 18;
            if x + width > self.layout.width {
                x = 30;
                y += 20;
            }
            let marker = match end {
                "head" | "head-late" | "head-bad" => format!(r#" marker-end="url(#{end})""#),
                _ => String::new(),
            };
            if end.is_empty() {
                self.rect(class, x + 14, y - 8, 8, 14, 1);
            } else {
                let length = match end {
                    "lost" => 18,
                    "refused" => 30,
                    _ => 36,
                };
                let _ = writeln!(
                    self.shapes,
                    r#"<path class="{class}" d="M{x} {y}h{length}"{marker}/>"#
                );
            }
            let cross = match end {
                "refused" => Some(x + 24),
                "lost" => Some(x + 12),
                _ => None,
            };
            if let Some(x) = cross {
                let _ = writeln!(
                    self.shapes,
                    r#"<path class="arrow bad" d="M{x} {}l12 12m0 -12l-12 12"/>"#,
                    y - 6
                );
            }
            self.text("sub", x + 44, y + 4, name);
            x += width;
        }
        y + 24
    }

    fn document(self, height: i64) -> String {
        let width = self.layout.width;
        let mut out = String::new();
        let _ = writeln!(
            out,
            r#"<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" version="1.1" width="{width}" height="{height}" viewBox="0 0 {width} {height}">
<title>{}</title>
<style type="text/css">
{STYLE}</style>
<defs>"#,
            escape(&self.ladder.title)
        );
        for (id, colour) in [
            ("head", "#24435f"),
            ("head-late", "#b35900"),
            ("head-bad", "#a3122a"),
        ] {
            let _ = writeln!(
                out,
                r#"<marker id="{id}" viewBox="0 0 10 10" refX="9" refY="5" markerUnits="userSpaceOnUse" markerWidth="10" markerHeight="10" orient="auto"><path d="M0 0.5L10 5L0 9.5z" fill="{colour}"/></marker>"#
            );
        }
        let _ = writeln!(
            out,
            r##"</defs>
<rect fill="#ffffff" x="0" y="0" width="{width}" height="{height}"/>"##
        );
        let mut y = 16;
        if !self.ladder.title.is_empty() {
            y = 28;
            let room = usize::try_from((width - 60) / 11).unwrap_or(1);
            let title = escape(&super::fit(&self.ladder.title, room));
            let _ = writeln!(out, r#"<text class="title" x="30" y="{y}">{title}</text>"#);
            y += 20;
        }
        for line in &self.ladder.subtitle {
            let room = usize::try_from((width - 60) / CHARACTER).unwrap_or(1);
            let line = escape(&super::fit(line, room));
            let _ = writeln!(out, r#"<text class="sub" x="30" y="{y}">{line}</text>"#);
            y += 15;
        }
        out.push_str(&self.shapes);
        out.push_str(&self.labels);
        out.push_str("</svg>\n");
        out
    }
}
