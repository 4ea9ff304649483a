// SPDX-License-Identifier: MPL-2.0
//! Which arrows were late.

use super::{Arrow, Fate, Item, Ladder, duration};
use std::collections::BTreeMap;
use std::time::Duration;

/// An arrow is late that took more than so many times the median of its kind (same lanes, same
/// first word), and [`LATE_LEAST`] more.
pub const LATE_FACTOR: u32 = 8;
/// See [`LATE_FACTOR`].
pub const LATE_LEAST: Duration = Duration::from_millis(1);
/// Of so few arrows of a kind there is no median to be late by.
pub const LATE_SAMPLES: usize = 5;

impl Ladder {
    /// Marks arrows that arrived as [`Fate::Late`] where they took much longer than others of
    /// their kind, or where one of the same stream that began later arrived before them.
    pub fn judge(&mut self) {
        let overtaken = self.overtaken();
        let medians = self.medians();
        for (index, item) in self.items.iter_mut().enumerate() {
            let Item::Arrow(arrow) = item else { continue };
            let (Fate::Arrived, Some(took)) = (arrow.fate, arrow.took()) else {
                continue;
            };
            let usual = medians.get(&(arrow.from, arrow.to, arrow.kind().to_owned()));
            let slow = usual.is_some_and(|usual| {
                took > usual.saturating_mul(LATE_FACTOR) && took - *usual >= LATE_LEAST
            });
            let remark = match (overtaken.binary_search(&index).is_ok(), slow) {
                (false, false) => continue,
                (true, _) => format!("overtaken, {}", duration(took)),
                (false, true) => format!("late, {}", duration(took)),
            };
            arrow.fate = Fate::Late;
            arrow.remark = match arrow.remark.is_empty() {
                true => remark,
                false => format!("{}, {remark}", arrow.remark),
            };
        }
    }

    fn arrows(&self) -> impl Iterator<Item = (usize, &Arrow)> {
        self.items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| match item {
                Item::Arrow(arrow) => Some((index, arrow)),
                _ => None,
            })
    }

    fn medians(&self) -> BTreeMap<(usize, usize, String), Duration> {
        let mut kinds: BTreeMap<_, Vec<Duration>> = BTreeMap::new();
        for (_, arrow) in self.arrows() {
            if let (Fate::Arrived, Some(took)) = (arrow.fate, arrow.took()) {
                let kind = (arrow.from, arrow.to, arrow.kind().to_owned());
                kinds.entry(kind).or_default().push(took);
            }
        }
        kinds.retain(|_, took| took.len() >= LATE_SAMPLES);
        kinds
            .into_iter()
            .map(|(kind, mut took)| {
                took.sort_unstable();
                (kind, took[(took.len() - 1) / 2])
            })
            .collect()
    }

    /// The arrows that one of the same stream has overtaken, in order.
    fn overtaken(&self) -> Vec<usize> {
        let mut streams: BTreeMap<_, Vec<(u64, u64, usize)>> = BTreeMap::new();
        for (index, arrow) in self.arrows() {
            if let (Some(stream), Some(ended)) = (arrow.stream, arrow.ended)
                && arrow.fate == Fate::Arrived
            {
                let stream = streams.entry((arrow.from, arrow.to, stream)).or_default();
                stream.push((arrow.began.order, ended.order, index));
            }
        }
        let mut overtaken = Vec::new();
        for mut arrows in streams.into_values() {
            arrows.sort_unstable();
            let mut first_of_later = u64::MAX;
            for (_, ended, index) in arrows.into_iter().rev() {
                if ended > first_of_later {
                    overtaken.push(index);
                }
                first_of_later = first_of_later.min(ended);
            }
        }
        overtaken.sort_unstable();
        overtaken
    }
}
