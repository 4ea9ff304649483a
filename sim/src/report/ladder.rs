// SPDX-License-Identifier: MPL-2.0
//! Ladder diagrams: who told whom what, in order, one lane for each party.
//!
//! A diagram fits 100 columns with five lanes. Time runs down, in seconds; an arrow that never
//! arrived ends in an X halfway and is marked in the margin where there is no colour.

use super::style::{Style, Tone};

/// What became of an arrow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It arrived.
    Arrived,
    /// It arrived, and says that something went wrong.
    Failed,
    /// It never arrived.
    Lost,
}

/// One line of the story.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Row {
    Arrow {
        time: String,
        from: usize,
        to: usize,
        label: String,
        fate: Fate,
    },
    Note {
        time: String,
        lane: usize,
        text: String,
        tone: Tone,
    },
    Gap(String),
}

/// A ladder diagram.
pub struct Ladder {
    lanes: Vec<String>,
    rows: Vec<Row>,
}

/// Columns before the first lane: the time and a space.
const MARGIN: usize = 10;
/// The widest that a diagram may be.
const WIDTH: usize = 100;

impl Ladder {
    /// A diagram with these parties, left to right (at least two).
    pub fn new(lanes: impl IntoIterator<Item = String>) -> Ladder {
        let mut lanes: Vec<String> = lanes.into_iter().collect();
        while lanes.len() < 2 {
            lanes.push(String::new());
        }
        Ladder {
            lanes,
            rows: Vec::new(),
        }
    }

    /// An arrow from lane `from` to lane `to` (from 0; one past the last counts as the last).
    /// `time` is shown at the left, 9 characters of it.
    pub fn arrow(&mut self, time: &str, from: usize, to: usize, label: &str, fate: Fate) {
        let last = self.lanes.len() - 1;
        let (from, to) = (from.min(last), to.min(last));
        if from == to {
            let tone = if fate == Fate::Arrived {
                Tone::Plain
            } else {
                Tone::Bad
            };
            return self.note(time, from, label, tone);
        }
        self.rows.push(Row::Arrow {
            time: time.into(),
            from,
            to,
            label: label.into(),
            fate,
        });
    }

    /// A remark at a lane.
    pub fn note(&mut self, time: &str, lane: usize, text: &str, tone: Tone) {
        let lane = lane.min(self.lanes.len() - 1);
        self.rows.push(Row::Note {
            time: time.into(),
            lane,
            text: text.into(),
            tone,
        });
    }

    /// A remark across all lanes, as "12 more exchanges".
    pub fn gap(&mut self, text: &str) {
        self.rows.push(Row::Gap(text.into()));
    }

    /// How many lines of story there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing has happened.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Distance from one lane to the next.
    fn pitch(&self) -> usize {
        ((WIDTH - MARGIN - 1) / (self.lanes.len() - 1)).clamp(6, 40)
    }

    /// The diagram as text.
    pub fn render(&self, style: Style) -> String {
        let mut out = String::new();
        self.push_heads(&mut out, style);
        for row in &self.rows {
            match row {
                Row::Arrow {
                    time,
                    from,
                    to,
                    label,
                    fate,
                } => {
                    self.push_arrow(&mut out, style, time, (*from, *to), label, *fate);
                }
                Row::Note {
                    time,
                    lane,
                    text,
                    tone,
                } => {
                    self.push_note(&mut out, style, time, *lane, text, *tone);
                }
                Row::Gap(text) => {
                    out.push_str(&format!(
                        "{:MARGIN$}{}\n",
                        "",
                        style.paint(Tone::Faint, text)
                    ));
                }
            }
        }
        out
    }

    fn push_heads(&self, out: &mut String, style: Style) {
        let mut line = String::new();
        let pitch = self.pitch();
        for (lane, name) in self.lanes.iter().enumerate() {
            // A name stands with its middle on its lane, but never left of the margin or right
            // of the widest column.
            let length = name.chars().count();
            let middle = MARGIN + lane * pitch;
            let start = middle
                .saturating_sub(length / 2)
                .min(WIDTH.saturating_sub(length));
            let gap = if lane == 0 {
                start
            } else {
                start.max(line.chars().count() + 1)
            };
            pad(&mut line, gap);
            line.push_str(name);
        }
        out.push_str(&style.paint(Tone::Heading, line.trim_end()));
        out.push('\n');
    }

    /// A line with nothing but the time and the lanes.
    fn canvas(&self, time: &str) -> Vec<char> {
        let mut line: Vec<char> = time.chars().take(MARGIN - 1).collect();
        line.resize(MARGIN + (self.lanes.len() - 1) * self.pitch() + 1, ' ');
        for lane in 0..self.lanes.len() {
            line[MARGIN + lane * self.pitch()] = '|';
        }
        line
    }

    fn push_arrow(
        &self,
        out: &mut String,
        style: Style,
        time: &str,
        (from, to): (usize, usize),
        label: &str,
        fate: Fate,
    ) {
        let (left, right) = (from.min(to), from.max(to));
        let first = MARGIN + left * self.pitch() + 1;
        let room = (right - left) * self.pitch() - 1;
        let mut label: Vec<char> = label.chars().collect();
        // Room for the head, and a piece of shaft before the label.
        let inside = label.len() + 2 <= room && fate != Fate::Lost;
        let mut canvas = self.canvas(time);
        if !inside {
            if label.len() > room {
                label.truncate(room.saturating_sub(3));
                label.extend("...".chars());
            }
            canvas[first..first + label.len()].copy_from_slice(&label);
            push_painted(out, style, fate, canvas, first, room);
            canvas = self.canvas("");
        }
        let shaft = if fate == Fate::Failed { '=' } else { '-' };
        canvas[first..first + room].fill(shaft);
        let forward = from < to;
        if fate == Fate::Lost {
            let middle = first + room / 2;
            let (start, end) = if forward {
                (middle + 1, first + room)
            } else {
                (first, middle)
            };
            canvas[start..end].fill(' ');
            canvas[middle] = 'X';
            let mark: Vec<char> = "lost".chars().collect();
            if end - start > mark.len() + 2 {
                let at = if forward {
                    start + 1
                } else {
                    end - 1 - mark.len()
                };
                canvas[at..at + mark.len()].copy_from_slice(&mark);
            }
        } else {
            canvas[if forward { first + room - 1 } else { first }] =
                if forward { '>' } else { '<' };
            if inside {
                let at = if forward {
                    first + 1
                } else {
                    first + room - 1 - label.len()
                };
                canvas[at..at + label.len()].copy_from_slice(&label);
            }
        }
        push_painted(out, style, fate, canvas, first, room);
    }

    fn push_note(
        &self,
        out: &mut String,
        style: Style,
        time: &str,
        lane: usize,
        text: &str,
        tone: Tone,
    ) {
        // Notes of the right half stand to the left of their lane.
        let pitch = self.pitch();
        let at = MARGIN + lane * pitch;
        let to_the_left = lane * 2 >= self.lanes.len();
        let room = if to_the_left {
            at - MARGIN - 3
        } else {
            WIDTH - at - 3
        };
        let mut text: Vec<char> = text.chars().collect();
        if text.len() > room {
            text.truncate(room - 3);
            text.extend("...".chars());
        }
        let mut canvas = self.canvas(time);
        let start = if to_the_left {
            at - 1 - text.len()
        } else {
            at + 2
        };
        if canvas.len() < start + text.len() {
            canvas.resize(start + text.len(), ' ');
        }
        canvas[at] = '*';
        canvas[start..start + text.len()].copy_from_slice(&text);
        let before: String = canvas[..start].iter().collect();
        let middle: String = canvas[start..start + text.len()].iter().collect();
        let after: String = canvas[start + text.len()..].iter().collect();
        let line = format!("{before}{}{after}", style.paint(tone, &middle));
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

fn push_painted(
    out: &mut String,
    style: Style,
    fate: Fate,
    canvas: Vec<char>,
    first: usize,
    room: usize,
) {
    let tone = if fate == Fate::Arrived {
        Tone::Plain
    } else {
        Tone::Bad
    };
    let before: String = canvas[..first].iter().collect();
    let middle: String = canvas[first..first + room].iter().collect();
    let after: String = canvas[first + room..].iter().collect();
    out.push_str(format!("{before}{}{after}", style.paint(tone, &middle)).trim_end());
    out.push('\n');
}

fn pad(line: &mut String, width: usize) {
    while line.chars().count() < width {
        line.push(' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Ladder {
        let lanes = ["initiator", "kernel 0", "relay 0", "relay 1", "kernel 1"];
        let mut ladder = Ladder::new(lanes.map(String::from));
        ladder.arrow("0.000100", 0, 1, "READ(10) #7", Fate::Arrived);
        ladder.arrow("0.000100", 1, 2, "scsi_cmd 5", Fate::Arrived);
        ladder.arrow("0.000351", 2, 3, "scsi_cmd 5", Fate::Arrived);
        ladder.arrow("0.000351", 3, 4, "scsi_cmd 5", Fate::Arrived);
        ladder.arrow(
            "0.000351",
            4,
            3,
            "scsi_data 5 (131,072 bytes)",
            Fate::Arrived,
        );
        ladder.arrow("0.000600", 3, 2, "scsi_data 5", Fate::Lost);
        ladder.arrow("0.000601", 1, 2, "deregister_proxy_port", Fate::Lost);
        ladder.note(
            "0.000602",
            4,
            "kernel: bad result from daemon 134",
            Tone::Bad,
        );
        ladder.note("0.000603", 0, "command 7 timed out", Tone::Bad);
        ladder.arrow("0.000700", 0, 4, "TEST UNIT READY #8", Fate::Arrived);
        ladder.arrow("0.000700", 4, 0, "CHECK CONDITION 02/04/0B", Fate::Failed);
        ladder.gap("... 12 more exchanges");
        ladder
    }

    #[test]
    fn a_ladder_reads_well() {
        insta::assert_snapshot!(example().render(Style::PLAIN));
    }

    #[test]
    fn a_ladder_fits_the_screen() {
        let text = example().render(Style::PLAIN);
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
    }

    #[test]
    fn what_is_lost_stands_out() {
        let text = example().render(Style::COLOURED);
        assert!(
            text.lines()
                .any(|line| line.contains("\x1b[1;31m") && line.contains('X'))
        );
    }
}
