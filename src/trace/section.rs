// SPDX-License-Identifier: MPL-2.0
//! What a file says of itself: who recorded, which nodes, how to make the run happen again. It
//! stands as text in a comment of the section header, so that every tool for pcapng shows it.

use super::event::NodeId;
use super::packet::FORMAT_VERSION;
use super::snap::Snap;
use crate::message::Dialect;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What the first line of the comment begins with; the version follows.
const TITLE: &str = "stmf-proxy trace ";

/// What a section (a file, as a rule) says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Section {
    /// The program that recorded, with its version.
    pub recorder: String,
    /// The nodes that were recorded, with the dialect of their kernels where it is known.
    pub nodes: BTreeMap<NodeId, Option<Dialect>>,
    /// What the clock counts from.
    pub origin: Origin,
    /// The seed of a simulated run.
    pub seed: Option<u64>,
    /// The scenario of a simulated run.
    pub scenario: Option<String>,
    /// What was cut from the events.
    pub snap: Snap,
    /// Which file of a ring this is, counted from 1 when the recorder started; 0 if it is not of
    /// a ring.
    pub part: u64,
    /// How many events the recorder could not write before this section.
    pub lost: u64,
    /// Anything else worth knowing, by name: the kernels' profile, the disks, the command that
    /// makes the run again.
    pub notes: BTreeMap<String, String>,
}

/// What times in a section count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Origin {
    /// The start of a simulated world; packets are stamped as if that had been 1970.
    #[default]
    World,
    /// This many nanoseconds after 1970-01-01 00:00 UTC, by the clock of the node that recorded.
    Unix(u64),
}

impl Origin {
    /// Nanoseconds since 1970 to add to a time of the section.
    pub const fn unix_nanos(self) -> u64 {
        match self {
            Origin::World => 0,
            Origin::Unix(nanoseconds) => nanoseconds,
        }
    }
}

/// The comment says that a later version wrote the section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FutureVersion(pub(super) u64);

impl Section {
    /// A section of this program's.
    pub fn new(recorder: impl Into<String>) -> Section {
        Section {
            recorder: recorder.into(),
            ..Section::default()
        }
    }

    /// The text of the comment.
    pub(super) fn to_comment(&self) -> String {
        let mut text = format!("{TITLE}{FORMAT_VERSION}");
        let mut line = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{}: {}", escaped(name), escaped(value));
        };
        line("recorder", &self.recorder);
        for (node, dialect) in &self.nodes {
            let dialect = dialect.map_or("dialect unknown", |dialect| match dialect {
                Dialect::Current => "dialect current",
                Dialect::Y2009 => "dialect 2009",
            });
            line(&format!("node {node}"), dialect);
        }
        match self.origin {
            Origin::World => line("clock", "world"),
            Origin::Unix(nanoseconds) => line("clock", &format!("unix {nanoseconds}")),
        }
        if let Some(seed) = self.seed {
            line("seed", &seed.to_string());
        }
        if let Some(scenario) = &self.scenario {
            line("scenario", scenario);
        }
        if let Some(keep) = self.snap.keep {
            let digest = if self.snap.digest { " digest" } else { "" };
            line("snap", &format!("{keep}{digest}"));
        }
        if self.part > 0 {
            line("part", &self.part.to_string());
        }
        if self.lost > 0 {
            line("lost", &self.lost.to_string());
        }
        for (name, value) in &self.notes {
            line(&format!("note {name}"), value);
        }
        text
    }

    /// What a comment says; `None` if it is not one of ours. Lines that this version does not
    /// understand are passed over.
    pub(super) fn from_comment(comment: &str) -> Result<Option<Section>, FutureVersion> {
        let mut lines = comment.lines();
        let version = lines.next().and_then(|line| line.strip_prefix(TITLE));
        let Some(version) = version.and_then(|version| version.parse::<u64>().ok()) else {
            return Ok(None);
        };
        if version > FORMAT_VERSION.into() {
            return Err(FutureVersion(version));
        }
        let mut section = Section::default();
        for line in lines {
            if let Some((name, value)) = line.split_once(": ") {
                section.take(&unescaped(name), unescaped(value));
            }
        }
        Ok(Some(section))
    }

    fn take(&mut self, name: &str, value: String) {
        if let Some(note) = name.strip_prefix("note ") {
            self.notes.insert(note.to_owned(), value);
            return;
        }
        if let Some(node) = name.strip_prefix("node ") {
            if let Ok(node) = node.parse() {
                let dialect = match &*value {
                    "dialect current" => Some(Dialect::Current),
                    "dialect 2009" => Some(Dialect::Y2009),
                    _ => None,
                };
                self.nodes.insert(node, dialect);
            }
            return;
        }
        match name {
            "recorder" => self.recorder = value,
            "clock" => {
                let unix = value.strip_prefix("unix ").and_then(|v| v.parse().ok());
                self.origin = unix.map_or(Origin::World, Origin::Unix);
            }
            "seed" => self.seed = value.parse().ok(),
            "scenario" => self.scenario = Some(value),
            "snap" => {
                let (keep, digest) = match value.strip_suffix(" digest") {
                    Some(keep) => (keep, true),
                    None => (&*value, false),
                };
                let keep = keep.parse().ok();
                self.snap = Snap { keep, digest };
            }
            "part" => self.part = value.parse().unwrap_or(0),
            "lost" => self.lost = value.parse().unwrap_or(0),
            _ => {}
        }
    }
}

/// Keeps a name or a value on one line and names free of colons.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            ':' => escaped.push_str("\\c"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn unescaped(text: &str) -> String {
    let mut unescaped = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        unescaped.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('c') => ':',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    unescaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_comment_reads_as_documented() {
        let section = Section {
            nodes: BTreeMap::from([(0, Some(Dialect::Current)), (1, None)]),
            origin: Origin::Unix(5),
            seed: Some(7),
            scenario: Some("two: nodes".to_owned()),
            snap: Snap {
                keep: Some(16),
                digest: true,
            },
            part: 3,
            lost: 4,
            notes: BTreeMap::from([("disk".to_owned(), "64 MiB\nseeded".to_owned())]),
            ..Section::new("stmf-sim 0.1.0")
        };
        let text = "stmf-proxy trace 1\n\
                    recorder: stmf-sim 0.1.0\n\
                    node 0: dialect current\n\
                    node 1: dialect unknown\n\
                    clock: unix 5\n\
                    seed: 7\n\
                    scenario: two\\c nodes\n\
                    snap: 16 digest\n\
                    part: 3\n\
                    lost: 4\n\
                    note disk: 64 MiB\\nseeded";
        assert_eq!(section.to_comment(), text);
        assert_eq!(Section::from_comment(text), Ok(Some(section)));
    }

    #[test]
    fn other_comments_are_not_ours_and_later_ones_are_refused() {
        for other in [
            "",
            "recorded by me",
            "stmf-proxy trace",
            "stmf-proxy trace x",
        ] {
            assert_eq!(Section::from_comment(other), Ok(None));
        }
        let later = Section::from_comment("stmf-proxy trace 2\nrecorder: x");
        assert_eq!(later, Err(FutureVersion(2)));
        let odd = Section::from_comment("stmf-proxy trace 1\nmood: good\nseed: many\nnode x: y");
        assert_eq!(odd, Ok(Some(Section::default())));
    }

    proptest! {
        #[test]
        fn any_section_comes_back(
            recorder: String,
            scenario: Option<String>,
            notes in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..3),
            seed: Option<u64>,
        ) {
            let section = Section { scenario, notes, seed, ..Section::new(recorder) };
            prop_assert_eq!(Section::from_comment(&section.to_comment()), Ok(Some(section)));
        }

        #[test]
        fn any_text_is_read_or_passed_over(text: String) {
            let _ = Section::from_comment(&text);
            let _ = Section::from_comment(&format!("{TITLE}1\n{text}"));
        }
    }
}
