// SPDX-License-Identifier: MPL-2.0
//! What came of many runs, added up.

use super::draw::FAMILIES;
use super::kinds::{KINDS, group_of};
use super::runner::Verdict;
use super::scenario::Scenario;
use crate::findings::{Finding, Kind};
use crate::kernel::coverage::Counts;
use crate::shrink::Wanted;
use crate::world::trace::TraceHash;
use std::collections::BTreeMap;
use std::time::Duration;

/// The most failing seeds that are kept with all that was found in them.
pub const MOST_FAILURES: usize = 100;

/// The most groups of failures; what would be one more is counted with the rest of its kind.
pub const MOST_GROUPS: usize = 1000;

/// Runs of a family.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FamilyCount {
    /// How many.
    pub runs: u64,
    /// How many of them failed.
    pub failures: u64,
}

/// What all runs did together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Virtual time.
    pub simulated: Duration,
    /// Commands and task management functions of hosts.
    pub commands: u64,
    /// Messages that kernels handed to their doors and saw accepted.
    pub messages: u64,
    /// Their bytes.
    pub message_bytes: u64,
    /// Messages that were posted.
    pub posts: u64,
    /// Bytes that hosts read.
    pub read_bytes: u64,
    /// Faults and deeds that happened.
    pub fired: u64,
}

/// A seed that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The name of its family.
    pub family: &'static str,
    /// The scenario in a line.
    pub scenario: String,
    /// What was found, the first one first; at least one.
    pub findings: Vec<Finding>,
    /// The hash of the run.
    pub hash: TraceHash,
}

/// Failures that say the same, but for numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// The kind of what was found first.
    pub kind: Kind,
    /// What it says, with `#` for every word that has a digit.
    pub words: String,
    /// How many seeds failed so.
    pub count: u64,
    /// The lowest of them.
    pub seed: u64,
}

/// One run, as far as sums need it.
pub(super) struct Ran {
    pub(super) scenario: Scenario,
    pub(super) verdict: Verdict,
    pub(super) coverage: Option<Counts>,
}

/// Runs of one seed after the other, added up. The same runs in the same order give the same.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// How many seeds.
    pub seeds: u64,
    /// How many of them failed.
    pub failed: u64,
    /// By family: those that were met.
    pub families: BTreeMap<&'static str, FamilyCount>,
    /// Faults and deeds that happened, by name.
    pub fired: BTreeMap<String, u64>,
    /// Failures that no relay could have prevented, by what they say without numbers.
    pub excused: BTreeMap<String, u64>,
    /// Sums.
    pub totals: Totals,
    /// Which messages met which states of the kernels, if that was counted.
    pub coverage: Option<Counts>,
    /// Failures by what was found first, the most frequent first; of those equally frequent the
    /// one with the lowest seed.
    pub groups: Vec<Group>,
    /// The first seeds that failed, in order: at most [`MOST_FAILURES`].
    pub failures: Vec<Failure>,
    pub(super) places: BTreeMap<(Kind, String), usize>,
}

impl Summary {
    /// Adds the run of a seed.
    pub(super) fn add(&mut self, seed: u64, ran: Ran) {
        let Ran {
            scenario,
            verdict,
            coverage,
        } = ran;
        if let Some(counts) = &coverage {
            self.coverage.get_or_insert_default().add(counts);
        }
        self.seeds += 1;
        let family = self.families.entry(scenario.name).or_default();
        family.runs += 1;
        family.failures += u64::from(!verdict.findings.is_empty());
        for (name, times) in &verdict.fired {
            // What stands behind the name says what was hit.
            let name = name.split_once(": ").map_or(&name[..], |(name, _)| name);
            *self.fired.entry(name.to_string()).or_default() += times;
            self.totals.fired += times;
        }
        for excused in &verdict.excused {
            let words = format!("trap {}: {}", excused.by.trap, excused.by.cause);
            *self.excused.entry(words).or_default() += 1;
        }
        let statistics = &verdict.statistics;
        let (messages, doors) = (statistics.all_messages(), statistics.all_doors());
        let totals = &mut self.totals;
        totals.simulated += verdict.simulated;
        totals.commands += statistics.commands;
        totals.messages += messages.count;
        totals.message_bytes += messages.bytes;
        totals.posts += doors.posts;
        totals.read_bytes += statistics.read_bytes;
        if let Some(first) = verdict.findings.first() {
            self.failed += 1;
            self.group(seed, first);
            if self.failures.len() < MOST_FAILURES {
                self.failures.push(Failure {
                    seed,
                    family: scenario.name,
                    scenario: scenario.to_string(),
                    findings: verdict.findings,
                    hash: verdict.hash,
                });
            }
        }
    }

    fn group(&mut self, seed: u64, finding: &Finding) {
        let mut words = Wanted::like(finding).words().to_string();
        let key = (finding.kind, words.clone());
        if self.groups.len() >= MOST_GROUPS && !self.places.contains_key(&key) {
            words = "(others)".into();
        }
        let next = self.groups.len();
        let place = *self
            .places
            .entry((finding.kind, words.clone()))
            .or_insert(next);
        match self.groups.get_mut(place) {
            Some(group) => group.count += 1,
            None => self.groups.push(Group {
                kind: finding.kind,
                words,
                count: 1,
                seed,
            }),
        }
    }

    /// No more runs are added: puts things in the order in which they are read.
    pub(super) fn finish(&mut self) {
        self.places.clear();
        let order = |group: &Group| (std::cmp::Reverse(group.count), group.seed);
        self.groups.sort_by_key(order);
    }

    /// The families that could have been met, in their order, with their counts.
    pub fn all_families(&self) -> Vec<(&'static str, FamilyCount)> {
        let counted = |name| self.families.get(name).copied().unwrap_or_default();
        let families = FAMILIES.iter().map(|family| family.name);
        families.map(|name| (name, counted(name))).collect()
    }

    /// How often each kind of fault of these groups happened, and what else did: group, name and
    /// count, by group and name; those that never happened included. Deeds of no group come last.
    pub fn faults(&self, groups: &[&'static str]) -> Vec<(&'static str, String, u64)> {
        let mut counts: BTreeMap<(usize, &'static str, String), u64> = BTreeMap::new();
        let place = |group: &str| {
            let place = groups.iter().position(|other| *other == group);
            place.unwrap_or(groups.len())
        };
        for kind in KINDS.iter().filter(|kind| groups.contains(&kind.group)) {
            let key = (place(kind.group), kind.group, kind.name.to_string());
            counts.insert(key, 0);
        }
        for (name, times) in &self.fired {
            let group = group_of(name).unwrap_or("other");
            *counts
                .entry((place(group), group, name.clone()))
                .or_default() += times;
        }
        let row = |((_, group, name), times)| (group, name, times);
        counts.into_iter().map(row).collect()
    }

    /// Those of the groups of which nothing ever happened.
    pub fn idle_groups(&self, groups: &[&'static str]) -> Vec<&'static str> {
        let happened = |group: &str| {
            self.fired
                .iter()
                .any(|(name, times)| *times > 0 && group_of(name) == Some(group))
        };
        let idle = groups.iter().filter(|group| !happened(group));
        idle.copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Draw, Settings, draw, run};
    use super::*;
    use stmf_proxy::time::Time;

    fn finding(text: &str) -> Finding {
        Finding {
            kind: Kind::Hang,
            time: Time::ZERO,
            node: None,
            text: text.into(),
        }
    }

    fn ran(findings: &[&str], fired: &[(&str, u64)]) -> Ran {
        let scenario = Scenario {
            acts: Vec::new(),
            ..draw(1, &Draw::default())
        };
        let mut verdict = run(&scenario, Settings::default());
        verdict.findings = findings.iter().map(|text| finding(text)).collect();
        let fired = fired.iter().map(|(name, times)| (name.to_string(), *times));
        verdict.fired = fired.collect();
        Ran {
            scenario,
            verdict,
            coverage: None,
        }
    }

    #[test]
    fn failures_that_say_the_same_are_one_group() {
        let mut summary = Summary::default();
        summary.add(3, ran(&["disk 1 is slow", "second"], &[]));
        summary.add(4, ran(&[], &[]));
        summary.add(5, ran(&["tag 7 hangs"], &[]));
        summary.add(6, ran(&["tag 9 hangs"], &[]));
        summary.finish();
        let told: Vec<(&str, u64, u64)> = summary
            .groups
            .iter()
            .map(|group| (&group.words[..], group.count, group.seed))
            .collect();
        assert_eq!(told, [("tag # hangs", 2, 5), ("disk # is slow", 1, 3)]);
        assert_eq!((summary.seeds, summary.failed), (4, 3));
        assert_eq!(summary.failures[0].findings.len(), 2);
        let counts: Vec<FamilyCount> = summary.families.into_values().collect();
        assert_eq!(
            counts,
            [FamilyCount {
                runs: 4,
                failures: 3
            }]
        );
    }

    #[test]
    fn faults_that_never_happened_are_told() {
        let mut summary = Summary::default();
        let fired = [("link-broken", 2), ("power-off: node 1", 1), ("tea", 5)];
        summary.add(0, ran(&[], &fired));
        assert_eq!(summary.idle_groups(&["link", "relay", "node"]), ["relay"]);
        let faults = summary.faults(&["relay", "link"]);
        let told: Vec<String> = faults
            .iter()
            .filter(|(group, _, times)| *group == "relay" || *times > 0)
            .map(|(group, name, times)| format!("{group} {name} {times}"))
            .collect();
        assert_eq!(
            told,
            [
                "relay relay-killed 0",
                "relay relay-replaced 0",
                "relay relay-stop 0",
                "link link-broken 2",
                "node power-off 1",
                "other tea 5",
            ]
        );
        assert_eq!(summary.totals.fired, 8);
    }

    #[test]
    fn only_so_many_failures_and_groups_are_kept() {
        let mut summary = Summary::default();
        let one = ran(&[], &[]);
        for seed in 0..MOST_GROUPS as u64 + 3 {
            let mut verdict = one.verdict.clone();
            // Letters alone, or all would be one group.
            let name: String = seed
                .to_string()
                .bytes()
                .map(|digit| char::from(digit + b'a' - b'0'))
                .collect();
            verdict.findings = vec![finding(&name)];
            let scenario = one.scenario.clone();
            let ran = Ran {
                scenario,
                verdict,
                coverage: None,
            };
            summary.add(seed, ran);
        }
        summary.finish();
        assert_eq!(summary.failures.len(), MOST_FAILURES);
        assert_eq!(summary.groups.len(), MOST_GROUPS + 1);
        assert_eq!(
            (&summary.groups[0].words[..], summary.groups[0].count),
            ("(others)", 3)
        );
    }
}
