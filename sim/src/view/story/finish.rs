// SPDX-License-Identifier: MPL-2.0
//! The end of a story: what never arrived, what never ended, and who takes part.

use super::{Cast, INITIATOR, Story, Survey};
use crate::report::ladder::{Fate, Item, Ladder, When};
use crate::report::style::Tone;
use crate::report::thousands;

/// How many commands without status are told by their names.
const NAMED: usize = 8;

impl Story {
    /// What the first reading has found.
    pub fn into_survey(mut self) -> Survey {
        self.resolve();
        self.survey.unwrap_or_default()
    }

    /// The diagram.
    pub fn finish(mut self) -> Ladder {
        self.resolve();
        let drawn = self.items.len();
        let mut used = [false; 5];
        for item in &self.items {
            match item {
                Item::Arrow(arrow) => {
                    used[arrow.from] = true;
                    used[arrow.to] = true;
                }
                Item::Note { lane, .. } => used[*lane] = true,
                Item::Band { .. } => {}
            }
        }
        let Cast { left, right } = self.cast;
        let names = [
            Some("initiator".to_owned()).filter(|_| used[INITIATOR]),
            Some(format!("kernel {left}")),
            Some(format!("relay {left}")),
            match right {
                Some(right) => Some(format!("relay {right}")),
                None => Some("peer".to_owned()),
            },
            right.map(|right| format!("kernel {right}")),
        ];
        let mut lanes = [0; 5];
        let mut count = 0;
        for (lane, name) in lanes.iter_mut().zip(&names) {
            *lane = count;
            count += usize::from(name.is_some());
        }
        let mut ladder = Ladder::new(names.into_iter().flatten());
        for mut item in self.items {
            match &mut item {
                Item::Arrow(arrow) => {
                    arrow.from = lanes[arrow.from];
                    arrow.to = lanes[arrow.to];
                    if let Some(hold) = &mut arrow.hold {
                        hold.lane = lanes[hold.lane];
                    }
                }
                Item::Note { lane, .. } => *lane = lanes[*lane],
                Item::Band { .. } => {}
            }
            ladder.push(item);
        }
        for (when, count) in self.skips {
            ladder.skip(when, count);
        }
        if let Some((when, more)) = self.more {
            ladder.skip(when, more);
            let shown = thousands(drawn as u64);
            let of = thousands(drawn as u64 + more);
            ladder.remarks.push(format!(
                "the first {shown} lines of {of}: more with --lines, later ones with --from"
            ));
        }
        let unwanted = self.left_out_in_all + self.left_out;
        if unwanted > 0 {
            let plural = if unwanted == 1 { " is" } else { "s are" };
            let unwanted = thousands(unwanted);
            ladder
                .remarks
                .push(format!("{unwanted} line{plural} left out by the filters"));
        } else if drawn == 0 {
            let nothing = "nothing happens in this trace that could be drawn";
            ladder.remarks.push(nothing.to_owned());
        }
        ladder.judge();
        ladder
    }

    /// Nothing comes any more: decides about what is still under way.
    fn resolve(&mut self) {
        for travel in std::mem::take(&mut self.travels).into_values() {
            // What is still in its call is told with that.
            if travel.arrow.is_none() {
                continue;
            }
            let exchange = travel.place.exchange;
            if self.has_peer() {
                self.went_wrong(exchange);
            }
            let has_peer = self.has_peer();
            let Some(arrow) = self.arrow_of(travel.arrow.flatten()) else {
                continue;
            };
            if !has_peer {
                // Nobody knows when it arrived; that it left is all there is to tell.
                arrow.fate = Fate::Arrived;
                arrow.ended = Some(arrow.began);
            } else if let Some((when, why)) = travel.cut {
                arrow.fate = Fate::Lost;
                arrow.ended = Some(when.max(arrow.began));
                arrow.remark = why.into();
            } else {
                arrow.remark = "never posted".into();
            }
        }
        for (_, call) in std::mem::take(&mut self.calls) {
            self.went_wrong(call.exchange);
            if let Some(arrow) = self.arrow_of(call.arrow) {
                let locked = arrow.hold.is_some_and(|hold| hold.locked);
                let what = match locked {
                    true => "never answered, lock held",
                    false => "never answered",
                };
                if arrow.fate == Fate::Arrived {
                    arrow.fate = Fate::Failed;
                }
                arrow.remark = match arrow.remark.is_empty() {
                    true => what.to_owned(),
                    false => format!("{}, {what}", arrow.remark),
                };
            }
        }
        for (_, post) in std::mem::take(&mut self.posts) {
            self.went_wrong(post.exchange);
            if let Some(arrow) = self.arrow_of(post.arrow) {
                arrow.fate = Fate::Failed;
                arrow.remark = "the post never returns".into();
            }
        }
        let mut unanswered = Vec::new();
        for (_, command) in std::mem::take(&mut self.exchanges.commands) {
            self.went_wrong(command.exchange);
            unanswered.extend(command.label);
        }
        self.unanswered(&unanswered);
    }

    fn unanswered(&mut self, labels: &[String]) {
        if labels.is_empty() {
            return;
        }
        let mut text = format!(
            "without status: {}",
            labels[..labels.len().min(NAMED)].join(", ")
        );
        if labels.len() > NAMED {
            text.push_str(&format!(" and {} more", labels.len() - NAMED));
        }
        self.items.push(Item::Note {
            lane: INITIATOR,
            text,
            tone: Tone::Bad,
            when: When {
                order: self.now.order + 1,
                time: self.now.time,
            },
            presence: None,
        });
    }
}
