// SPDX-License-Identifier: MPL-2.0
//! Who decides: oracles that draw choices from a seed, write them down, or play them back.
//!
//! A world draws everything that is not determined by its scenario through one
//! [`Choices`]: which thread runs, how long a byte travels, which fault happens. [`Drawn`]
//! answers from a seed; [`Recorded`] writes down what another oracle answers; [`Played`] gives
//! the answers of such a log again. A log is a value: it can be saved, cut, edited and played.

mod pct;

pub use pct::Pct;

use super::random::Random;
use crate::executor::{ChoiceKind, Choices, ThreadId};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// All kinds, in the order of their numbers in a log.
const KINDS: [ChoiceKind; 5] = [
    ChoiceKind::Schedule,
    ChoiceKind::Delay,
    ChoiceKind::Fault,
    ChoiceKind::Workload,
    ChoiceKind::Fragment,
];

fn number(kind: ChoiceKind) -> u8 {
    match kind {
        ChoiceKind::Schedule => 0,
        ChoiceKind::Delay => 1,
        ChoiceKind::Fault => 2,
        ChoiceKind::Workload => 3,
        ChoiceKind::Fragment => 4,
    }
}

/// Draws every choice from a seed. Each kind has a stream of its own, so that a run in which
/// one more thread was scheduled still meets the same faults.
#[derive(Clone, Debug)]
pub struct Drawn {
    streams: [Random; KINDS.len()],
}

impl Drawn {
    /// The oracle of a seed.
    pub fn new(seed: u64) -> Drawn {
        Drawn {
            streams: std::array::from_fn(|stream| Random::stream(seed, stream as u64)),
        }
    }
}

impl Choices for Drawn {
    fn choose(&mut self, kind: ChoiceKind, alternatives: u64) -> u64 {
        self.streams[number(kind) as usize].below(alternatives)
    }
}

/// One choice that was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// What it was about.
    pub kind: ChoiceKind,
    /// Out of how many (2 or more).
    pub alternatives: u64,
    /// Which was taken, below `alternatives`.
    pub chosen: u64,
}

impl Choice {
    /// The choice of a thread among those that were ready.
    pub(super) fn schedule(ready: usize, chosen: usize) -> Choice {
        Choice {
            kind: ChoiceKind::Schedule,
            alternatives: ready as u64,
            chosen: chosen as u64,
        }
    }
}

/// The choices of a run in the order in which they were made, kept packed: two to four bytes a
/// choice in ordinary runs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ChoiceLog {
    packed: Vec<u8>,
    length: u64,
}

/// Why bytes are not a log of choices.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChoiceLogError {
    /// The bytes do not begin as a log of this version does.
    #[error("not a choice log of version 1: it begins with {found:02x?}")]
    Header {
        /// The first bytes.
        found: [u8; 4],
    },
    /// The bytes end in the middle of a choice.
    #[error("the choice log is cut off in choice {choice}, at byte {offset}")]
    CutOff {
        /// Number of the choice, from 0.
        choice: u64,
        /// Offset of its first byte.
        offset: usize,
    },
    /// A choice that nobody can have made.
    #[error(
        "choice {choice} at byte {offset} is impossible (kind {kind}, {chosen} of {alternatives})"
    )]
    Impossible {
        /// Number of the choice, from 0.
        choice: u64,
        /// Offset of its first byte.
        offset: usize,
        /// The number of its kind.
        kind: u8,
        /// Its alternatives.
        alternatives: u64,
        /// What was taken.
        chosen: u64,
    },
}

impl ChoiceLog {
    /// What a saved log begins with; the last byte is the version.
    pub const HEADER: [u8; 4] = *b"chc\x01";

    /// Adds a choice at the end.
    pub fn push(&mut self, choice: Choice) {
        // Schedule choices among few threads are by far the most: kind and both numbers fit a
        // byte each; longer numbers continue in groups of seven bits.
        self.packed.push(number(choice.kind));
        push_number(&mut self.packed, choice.alternatives);
        push_number(&mut self.packed, choice.chosen);
        self.length += 1;
    }

    /// How many choices there are.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Bytes that they take.
    pub fn packed_length(&self) -> usize {
        self.packed.len()
    }

    /// Adds the choices of another log.
    pub fn append(&mut self, other: &ChoiceLog) {
        self.packed.extend_from_slice(&other.packed);
        self.length += other.length;
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The choices, first to last.
    pub fn iter(&self) -> impl Iterator<Item = Choice> + '_ {
        let mut offset = 0;
        std::iter::from_fn(move || self.at(&mut offset))
    }

    /// The log as bytes to save.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&Self::HEADER[..], &self.packed].concat()
    }

    /// Reads what [`ChoiceLog::to_bytes`] made.
    pub fn from_bytes(bytes: &[u8]) -> Result<ChoiceLog, ChoiceLogError> {
        let packed = bytes.strip_prefix(&Self::HEADER).ok_or_else(|| {
            let mut found = [0; 4];
            let have = bytes.len().min(4);
            found[..have].copy_from_slice(&bytes[..have]);
            ChoiceLogError::Header { found }
        })?;
        let mut length = 0;
        let mut offset = 0;
        while offset < packed.len() {
            let start = offset;
            let cut_off = ChoiceLogError::CutOff {
                choice: length,
                offset: start + Self::HEADER.len(),
            };
            let kind = packed[offset];
            offset += 1;
            let alternatives = pull_number(packed, &mut offset).ok_or(cut_off)?;
            let chosen = pull_number(packed, &mut offset).ok_or(cut_off)?;
            if usize::from(kind) >= KINDS.len() || alternatives < 2 || chosen >= alternatives {
                return Err(ChoiceLogError::Impossible {
                    choice: length,
                    offset: start + Self::HEADER.len(),
                    kind,
                    alternatives,
                    chosen,
                });
            }
            length += 1;
        }
        Ok(ChoiceLog {
            packed: packed.to_vec(),
            length,
        })
    }

    fn at(&self, offset: &mut usize) -> Option<Choice> {
        let kind = KINDS[usize::from(*self.packed.get(*offset)?)];
        *offset += 1;
        Some(Choice {
            kind,
            alternatives: pull_number(&self.packed, offset)?,
            chosen: pull_number(&self.packed, offset)?,
        })
    }
}

impl FromIterator<Choice> for ChoiceLog {
    fn from_iter<I: IntoIterator<Item = Choice>>(choices: I) -> ChoiceLog {
        let mut log = ChoiceLog::default();
        choices.into_iter().for_each(|choice| log.push(choice));
        log
    }
}

fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// None where the bytes end, or the number does not fit 64 bits.
fn pull_number(bytes: &[u8], offset: &mut usize) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*offset)?;
        *offset += 1;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Lets another oracle decide and writes its answers down.
pub struct Recorded<C> {
    oracle: C,
    log: Rc<RefCell<ChoiceLog>>,
}

impl<C: Choices> Recorded<C> {
    /// Records what `oracle` answers. The log can be read through the second value, also while
    /// the world runs.
    pub fn new(oracle: C) -> (Recorded<C>, Rc<RefCell<ChoiceLog>>) {
        let log = Rc::new(RefCell::new(ChoiceLog::default()));
        let recorded = Recorded {
            oracle,
            log: log.clone(),
        };
        (recorded, log)
    }
}

impl<C: Choices> Choices for Recorded<C> {
    fn choose(&mut self, kind: ChoiceKind, alternatives: u64) -> u64 {
        let chosen = self.oracle.choose(kind, alternatives);
        self.log.borrow_mut().push(Choice {
            kind,
            alternatives,
            chosen,
        });
        chosen
    }

    fn schedule(&mut self, ready: &[ThreadId]) -> usize {
        let chosen = self.oracle.schedule(ready);
        self.log
            .borrow_mut()
            .push(Choice::schedule(ready.len(), chosen));
        chosen
    }
}

/// Where a run that is played back asked for something else than the log holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReplayDivergence {
    /// The run asked another question.
    #[error(
        "choice {choice}: the log answers {recorded:?}, the run asked for {kind:?} among {alternatives}"
    )]
    Different {
        /// Number of the choice, from 0.
        choice: u64,
        /// What the log holds.
        recorded: Choice,
        /// What was asked.
        kind: ChoiceKind,
        /// Among how many.
        alternatives: u64,
    },
    /// The log has ended, and the run goes on.
    #[error("the log ends after {choices} choices, and the run goes on")]
    Ended {
        /// How many choices the log has.
        choices: u64,
    },
}

/// What a played oracle answers where the log does not fit the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtDivergence {
    /// The first alternative from there on. The divergence is noted, and whoever drives the
    /// run is expected to stop: a replay that diverged shows nothing.
    Note,
    /// What the log holds if that is among the alternatives, else the first one: for logs that
    /// were edited or cut on purpose, as in shrinking.
    Adapt,
}

/// Plays a log back.
pub struct Played {
    log: ChoiceLog,
    offset: usize,
    answered: u64,
    policy: AtDivergence,
    diverged: Rc<Cell<Option<ReplayDivergence>>>,
}

impl Played {
    /// Plays `log`. The first divergence, if there is one, is found in the second value.
    pub fn new(
        log: ChoiceLog,
        policy: AtDivergence,
    ) -> (Played, Rc<Cell<Option<ReplayDivergence>>>) {
        let diverged = Rc::new(Cell::new(None));
        let played = Played {
            log,
            offset: 0,
            answered: 0,
            policy,
            diverged: diverged.clone(),
        };
        (played, diverged)
    }

    fn note(&mut self, divergence: ReplayDivergence) -> u64 {
        if self.diverged.get().is_none() {
            self.diverged.set(Some(divergence));
        }
        0
    }
}

impl Choices for Played {
    fn choose(&mut self, kind: ChoiceKind, alternatives: u64) -> u64 {
        if self.diverged.get().is_some() && self.policy == AtDivergence::Note {
            return 0;
        }
        let number = self.answered;
        self.answered += 1;
        let Some(recorded) = self.log.at(&mut self.offset) else {
            return self.note(ReplayDivergence::Ended {
                choices: self.log.len(),
            });
        };
        if recorded.kind == kind && recorded.alternatives == alternatives {
            return recorded.chosen;
        }
        self.note(ReplayDivergence::Different {
            choice: number,
            recorded,
            kind,
            alternatives,
        });
        match self.policy {
            AtDivergence::Adapt if recorded.chosen < alternatives => recorded.chosen,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn choice() -> impl Strategy<Value = Choice> {
        (0..KINDS.len(), 2..=u64::MAX, any::<u64>()).prop_map(|(kind, alternatives, chosen)| {
            Choice {
                kind: KINDS[kind],
                alternatives,
                chosen: chosen % alternatives,
            }
        })
    }

    proptest! {
        #[test]
        fn a_log_survives_saving(choices in proptest::collection::vec(choice(), 0..50)) {
            let log: ChoiceLog = choices.iter().copied().collect();
            prop_assert_eq!(log.iter().collect::<Vec<_>>(), choices);
            prop_assert_eq!(ChoiceLog::from_bytes(&log.to_bytes()), Ok(log));
        }

        #[test]
        fn any_bytes_are_a_log_or_an_error(mut bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = ChoiceLog::from_bytes(&bytes);
            bytes.splice(0..0, ChoiceLog::HEADER);
            if let Ok(log) = ChoiceLog::from_bytes(&bytes) {
                prop_assert_eq!(log.iter().count() as u64, log.len());
                prop_assert!(log.iter().all(|choice| choice.chosen < choice.alternatives));
            }
        }
    }

    #[test]
    fn damaged_logs_are_told_apart() {
        let log: ChoiceLog = [Choice {
            kind: ChoiceKind::Delay,
            alternatives: 300,
            chosen: 299,
        }]
        .into_iter()
        .collect();
        let bytes = log.to_bytes();
        assert!(matches!(
            ChoiceLog::from_bytes(b"chc\x02"),
            Err(ChoiceLogError::Header { .. })
        ));
        assert_eq!(
            ChoiceLog::from_bytes(&bytes[..bytes.len() - 1]),
            Err(ChoiceLogError::CutOff {
                choice: 0,
                offset: 4
            })
        );
        let mut impossible = bytes.clone();
        impossible[4] = 9;
        assert!(matches!(
            ChoiceLog::from_bytes(&impossible),
            Err(ChoiceLogError::Impossible { kind: 9, .. })
        ));
    }

    fn questions(oracle: &mut dyn Choices) -> Vec<u64> {
        (2..40)
            .map(|alternatives| oracle.choose(KINDS[alternatives as usize % 5], alternatives))
            .collect()
    }

    #[test]
    fn what_was_recorded_is_played_again() {
        let (mut recorded, log) = Recorded::new(Drawn::new(3));
        let answers = questions(&mut recorded);
        let (mut played, diverged) = Played::new(log.borrow().clone(), AtDivergence::Note);
        assert_eq!(questions(&mut played), answers);
        assert_eq!(diverged.get(), None);
        assert_eq!(played.choose(ChoiceKind::Fault, 2), 0);
        assert_eq!(
            diverged.get(),
            Some(ReplayDivergence::Ended { choices: 38 })
        );
    }

    #[test]
    fn a_divergence_is_noted_or_adapted_to() {
        let log: ChoiceLog = [5, 1]
            .map(|chosen| Choice {
                kind: ChoiceKind::Schedule,
                alternatives: 6,
                chosen,
            })
            .into_iter()
            .collect();
        let (mut strict, diverged) = Played::new(log.clone(), AtDivergence::Note);
        assert_eq!(strict.choose(ChoiceKind::Schedule, 4), 0);
        assert_eq!(strict.choose(ChoiceKind::Schedule, 6), 0);
        assert!(matches!(
            diverged.get(),
            Some(ReplayDivergence::Different {
                choice: 0,
                alternatives: 4,
                ..
            })
        ));
        let (mut lenient, _) = Played::new(log, AtDivergence::Adapt);
        assert_eq!(lenient.choose(ChoiceKind::Schedule, 4), 0);
        assert_eq!(lenient.choose(ChoiceKind::Schedule, 3), 1);
    }

    #[test]
    fn kinds_have_streams_of_their_own() {
        let mut plain = Drawn::new(11);
        let mut disturbed = Drawn::new(11);
        disturbed.choose(ChoiceKind::Schedule, 10);
        let faults = |oracle: &mut Drawn| -> Vec<u64> {
            (0..20)
                .map(|_| oracle.choose(ChoiceKind::Fault, 1000))
                .collect()
        };
        assert_eq!(faults(&mut plain), faults(&mut disturbed));
    }
}
