// SPDX-License-Identifier: MPL-2.0
//! What a search tells people and programs.

use super::found::Written;
use super::summary::{Failure, Summary, Totals};
use crate::findings::Finding;
use crate::kernel::coverage::Counts;
use crate::report::style::{Style, Tone};
use crate::report::table::{Cell, Table};
use crate::report::{bytes, thousands};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// How many findings of a failure are told besides the first.
const MORE_FINDINGS: usize = 3;

/// How many lines of a finding are told: a report on waiting threads has one for each.
const MOST_LINES: usize = 24;

/// How many groups of failures are listed.
const MOST_GROUPS_TOLD: usize = 50;

/// A failure, and what was written of it.
pub struct Shown<'a> {
    /// The failure.
    pub failure: &'a Failure,
    /// Its files, or why there are none.
    pub written: Result<Written, String>,
    /// The command that runs its seed again.
    pub again: String,
}

/// What came of a search.
pub struct Report<'a> {
    /// The sums.
    pub summary: &'a Summary,
    /// The first seed.
    pub from: u64,
    /// The groups of faults that could happen.
    pub groups: Vec<&'static str>,
    /// They were chosen by name: something of each of them has to happen.
    pub chosen: bool,
    /// Whether a failure did not end it.
    pub keep_going: bool,
    /// How many threads there were.
    pub jobs: usize,
    /// How long it took.
    pub real: Duration,
    /// The failures that are told in full.
    pub shown: Vec<Shown<'a>>,
    /// Columns of the terminal; none where lines may be of any length.
    pub width: Option<usize>,
}

/// What a search says in the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Conclusion {
    /// Nothing was found.
    Clean,
    /// Seeds failed.
    Found,
    /// Nothing was found, but nothing ever happened of these groups of faults (of none at all, if
    /// none is named): that says nothing.
    Idle(Vec<&'static str>),
}

impl Conclusion {
    /// Its name: `clean`, `found`, `idle`.
    pub fn name(&self) -> &'static str {
        match self {
            Conclusion::Clean => "clean",
            Conclusion::Found => "found",
            Conclusion::Idle(_) => "idle",
        }
    }
}

/// How many a second; 0 if there was no time at all.
pub fn per_second(count: u64, real: Duration) -> u64 {
    let milliseconds = real.as_millis().max(1);
    u64::try_from(u128::from(count) * 1000 / milliseconds).unwrap_or(u64::MAX)
}

/// How many times as long one duration is as another.
pub fn times(long: Duration, short: Duration) -> u64 {
    u64::try_from(long.as_millis() / short.as_millis().max(1)).unwrap_or(u64::MAX)
}

/// A duration of any length: `12.3 s`, `4 min 5 s`, `3 h 4 min`, `5 d 6 h`.
pub fn long(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}.{} s", duration.subsec_millis() / 100),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{} d {} h", thousands(days), hours % 24),
    }
}

impl Report<'_> {
    /// What it comes to.
    pub fn conclusion(&self) -> Conclusion {
        if self.summary.failed > 0 {
            return Conclusion::Found;
        }
        if self.chosen {
            let idle = self.summary.idle_groups(&self.groups);
            if !idle.is_empty() {
                return Conclusion::Idle(idle);
            }
        }
        match self.groups.is_empty() || self.summary.totals.fired > 0 {
            true => Conclusion::Clean,
            false => Conclusion::Idle(Vec::new()),
        }
    }

    /// For people.
    pub fn text(&self, style: Style) -> String {
        let mut out = self.families(style);
        out.push('\n');
        let faults = self.summary.faults(&self.groups);
        if !faults.is_empty() {
            out.push_str(&self.faults(faults, style));
            out.push('\n');
        }
        out.push_str(&self.totals(style));
        if let Some(counts) = &self.summary.coverage {
            out.push('\n');
            out.push_str(&coverage(counts, style));
        }
        if !self.summary.excused.is_empty() {
            out.push('\n');
            out.push_str(&self.excused(style));
        }
        if self.keep_going && !self.summary.groups.is_empty() {
            out.push('\n');
            out.push_str(&self.failure_groups(style));
        }
        for shown in &self.shown {
            out.push('\n');
            out.push_str(&self.failure(shown, style));
        }
        out.push('\n');
        out.push_str(&self.last_line(style));
        out
    }

    fn families(&self, style: Style) -> String {
        let mut table = Table::new(["family", "runs", "failures"]);
        for (name, count) in self.summary.all_families() {
            if count.runs > 0 {
                table.row([name.into(), count.runs.into(), count.failures.into()]);
            }
        }
        table.rule();
        let Summary { seeds, failed, .. } = self.summary;
        table.row(["all".into(), Cell::Number(*seeds), Cell::Number(*failed)]);
        table.render(style)
    }

    fn faults(&self, faults: Vec<(&'static str, String, u64)>, style: Style) -> String {
        let mut table = Table::new(["faults", "kind", "times", ""]);
        let mut before = "";
        for (group, name, times) in faults {
            let never = match times {
                0 => "never".into(),
                _ => Cell::Empty,
            };
            let group_once = if group == before { "" } else { group };
            table.row([group_once.into(), name.into(), times.into(), never]);
            before = group;
        }
        table.render(style)
    }

    fn totals(&self, style: Style) -> String {
        let Totals {
            simulated,
            commands,
            messages,
            message_bytes,
            read_bytes,
            ..
        } = self.summary.totals;
        let seeds = self.summary.seeds;
        let mut table = Table::new(["in all", "", "a second"]);
        let rate = |count: u64| Cell::Number(per_second(count, self.real));
        table.row(["seeds".into(), seeds.into(), rate(seeds)]);
        table.row(["commands".into(), commands.into(), rate(commands)]);
        table.row(["messages".into(), messages.into(), rate(messages)]);
        let bytes = |count| Cell::Right(bytes(count));
        table.row(["data of messages".into(), bytes(message_bytes)]);
        table.row(["data read by hosts".into(), bytes(read_bytes)]);
        let right = |duration| Cell::Right(long(duration));
        let ratio = Cell::Right(format!("{} s", thousands(times(simulated, self.real))));
        table.row(["simulated time".into(), right(simulated), ratio]);
        table.row(["real time".into(), right(self.real)]);
        table.render(style)
    }

    fn excused(&self, style: Style) -> String {
        let mut table = Table::new(["times", "what no relay can prevent"]);
        for (words, times) in &self.summary.excused {
            table.row([(*times).into(), self.cut(words, 7).into()]);
        }
        table.render(style)
    }

    /// A text that stands behind this many columns, on one line.
    fn cut(&self, text: &str, before: usize) -> String {
        let line = text.lines().next().unwrap_or_default();
        let room = self.width.map(|width| width.saturating_sub(before).max(20));
        match room.filter(|room| line.chars().count() > *room) {
            None => line.to_string(),
            Some(room) => line.chars().take(room - 3).chain("...".chars()).collect(),
        }
    }

    fn failure_groups(&self, style: Style) -> String {
        let mut table = Table::new(["seeds", "lowest", "what was found first"]);
        for group in self.summary.groups.iter().take(MOST_GROUPS_TOLD) {
            let words = format!("{}: {}", group.kind, group.words);
            let before =
                4 + thousands(group.count).len().max(5) + thousands(group.seed).len().max(6);
            table.row([
                group.count.into(),
                Cell::Right(group.seed.to_string()),
                self.cut(&words, before).into(),
            ]);
        }
        let mut out = table.render(style);
        let rest = self.summary.groups.len().saturating_sub(MOST_GROUPS_TOLD);
        if rest > 0 {
            out.push_str(&format!("and {rest} other kinds of failure\n"));
        }
        out
    }

    fn failure(&self, shown: &Shown<'_>, style: Style) -> String {
        let Failure {
            seed,
            scenario,
            findings,
            ..
        } = shown.failure;
        let heading = format!("seed {seed} failed ({scenario})");
        let mut out = style.paint(Tone::Heading, &heading) + "\n";
        if let Some(first) = findings.first() {
            let text = first.to_string();
            let lines = text.lines().count();
            for (place, line) in text.lines().take(MOST_LINES).enumerate() {
                let indent = if place == 0 { "  " } else { "    " };
                let line = self.wrapped(line, indent);
                out.push_str(&(style.paint(Tone::Bad, &line) + "\n"));
            }
            if lines > MOST_LINES {
                out.push_str(&format!("    and {} more lines\n", lines - MOST_LINES));
            }
        }
        for finding in findings.iter().skip(1).take(MORE_FINDINGS) {
            let text = format!("then {finding}");
            out.push_str(&format!("  {}\n", self.cut(&text, 2)));
        }
        let rest = findings.len().saturating_sub(1 + MORE_FINDINGS);
        if rest > 0 {
            out.push_str(&format!("  and {rest} more findings\n"));
        }
        let mut line = |what: &str, text: &str| {
            out.push_str(&format!("  {what:<13} {text}\n"));
        };
        match &shown.written {
            Err(trouble) => line("not recorded", trouble),
            Ok(written) => {
                line("recorded", &written.trace.display().to_string());
                match &written.small {
                    None => {}
                    Some(Err(trouble)) => line("not shrunk", trouble),
                    Some(Ok(report)) => {
                        let (before, after) = (report.before.inputs, report.after.inputs);
                        let tries = thousands(report.tries);
                        let path = report.output.display().to_string();
                        line("shrunk", &path);
                        let sizes = format!("{before} inputs to {after}, {tries} tries");
                        line("", &sizes);
                    }
                }
                let best = written.best().display();
                line("replay it", &format!("stmf-sim trace replay {best}"));
                line(
                    "look at it",
                    &format!("stmf-sim trace ladder {best} --errors"),
                );
            }
        }
        line("run it again", &shown.again);
        out
    }

    fn wrapped(&self, text: &str, indent: &str) -> String {
        match self.width {
            None => format!("{indent}{text}"),
            Some(width) => {
                let rest = format!("{indent}  ");
                crate::field::page::wrapped(text, width.max(40), indent, &rest)
            }
        }
    }

    fn last_line(&self, style: Style) -> String {
        let Summary { seeds, failed, .. } = self.summary;
        let (many, failed) = (thousands(*seeds), thousands(*failed));
        match self.conclusion() {
            Conclusion::Clean => {
                let clean = style.paint(Tone::Good, "clean:");
                format!("{clean} {many} seeds from {}\n", self.from)
            }
            Conclusion::Found => {
                let found = style.paint(Tone::Bad, "found:");
                format!(
                    "{found} {failed} of {many} seeds from {} failed\n",
                    self.from
                )
            }
            Conclusion::Idle(groups) => {
                let idle = style.paint(Tone::Bad, "nothing happened:");
                let what = match groups.is_empty() {
                    true => "no fault ever happened".to_string(),
                    false => format!("no fault of {} ever happened", groups.join(", ")),
                };
                format!(
                    "{idle} {what} in {many} seeds from {}; take more seeds, or other families\n",
                    self.from
                )
            }
        }
    }

    /// For programs: one object. docs/exploration.md has its fields.
    pub fn json(&self) -> Value {
        let summary = self.summary;
        let families = summary.families.iter().map(|(name, count)| {
            let counts = json!({ "runs": count.runs, "failures": count.failures });
            (name.to_string(), counts)
        });
        let faults = summary.faults(&self.groups).into_iter();
        let faults = faults
            .map(|(group, name, times)| json!({ "group": group, "kind": name, "times": times }));
        let groups = summary.groups.iter().map(|group| {
            json!({
                "kind": group.kind.name(),
                "words": group.words,
                "seeds": group.count,
                "lowest_seed": group.seed,
            })
        });
        let failures = summary.failures.iter().map(|failure| {
            let shown = self
                .shown
                .iter()
                .find(|shown| shown.failure.seed == failure.seed);
            failure_json(failure, shown)
        });
        let conclusion = self.conclusion();
        let idle = match &conclusion {
            Conclusion::Idle(groups) if groups.is_empty() => self.groups.clone(),
            Conclusion::Idle(groups) => groups.clone(),
            _ => Vec::new(),
        };
        let totals = &summary.totals;
        json!({
            "result": conclusion.name(),
            "from": self.from,
            "seeds": summary.seeds,
            "failed": summary.failed,
            "families": families.collect::<serde_json::Map<_, _>>(),
            "fault_groups": self.groups,
            "idle_fault_groups": idle,
            "faults": faults.collect::<Vec<_>>(),
            "excused": summary.excused,
            "totals": {
                "simulated_milliseconds": totals.simulated.as_millis() as u64,
                "commands": totals.commands,
                "messages": totals.messages,
                "message_bytes": totals.message_bytes,
                "posts": totals.posts,
                "read_bytes": totals.read_bytes,
                "faults": totals.fired,
            },
            "failure_groups": groups.collect::<Vec<_>>(),
            "failures": failures.collect::<Vec<_>>(),
            "coverage": summary.coverage.as_ref().map(coverage_json),
            "jobs": self.jobs,
            "real_milliseconds": self.real.as_millis() as u64,
        })
    }
}

/// The pairs of messages and states, and those that were never met.
fn coverage(counts: &Counts, style: Style) -> String {
    let mut table = Table::new(["message", "met", "that was", "times"]);
    let mut missing: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut before = ("", "");
    for ((message, state), times) in counts.iter() {
        let (about, what) = state.names();
        let message = message.name();
        let told = |now, before| if now == before { "" } else { now };
        let same_message = message == before.0;
        table.row([
            told(message, before.0).into(),
            if same_message {
                told(about, before.1)
            } else {
                about
            }
            .into(),
            what.into(),
            times.into(),
        ]);
        before = (message, about);
        if times == 0 {
            let never = missing.entry(message).or_default();
            never.push(format!("{about} {what}"));
        }
    }
    let mut out = table.render(style);
    let (covered, all) = (counts.covered(), counts.all());
    out.push_str(&format!(
        "\n{covered} of {all} pairs of message and state were met"
    ));
    out.push_str(if missing.is_empty() {
        "\n"
    } else {
        "; never:\n"
    });
    for (message, states) in missing {
        let line = format!("{message}: {}", states.join(", "));
        out.push_str(&crate::field::page::wrapped(&line, 80, "  ", "    "));
        out.push('\n');
    }
    out
}

fn coverage_json(counts: &Counts) -> Value {
    let pairs = counts.iter().map(|((message, state), times)| {
        let (about, what) = state.names();
        json!({ "message": message.name(), "about": about, "state": what, "times": times })
    });
    json!({
        "met": counts.covered(),
        "all": counts.all(),
        "pairs": pairs.collect::<Vec<_>>(),
    })
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "kind": finding.kind.name(),
        "time_ns": finding.time.as_nanos(),
        "node": finding.node,
        "text": finding.text,
    })
}

fn failure_json(failure: &Failure, shown: Option<&Shown<'_>>) -> Value {
    let written = shown.map(|shown| &shown.written);
    let files = written.and_then(|written| written.as_ref().ok());
    let small = files.and_then(|files| files.small.as_ref());
    let (report, not_shrunk) = match small {
        Some(Ok(report)) => (Some(report), None),
        Some(Err(trouble)) => (None, Some(trouble.clone())),
        None => (None, None),
    };
    json!({
        "seed": failure.seed,
        "family": failure.family,
        "scenario": failure.scenario,
        "trace_hash": failure.hash.to_string(),
        "findings": failure.findings.iter().map(finding_json).collect::<Vec<_>>(),
        "trace": files.map(|files| files.trace.display().to_string()),
        "small_trace": report.map(|report| report.output.display().to_string()),
        "inputs": report.map(|report| report.before.inputs),
        "small_inputs": report.map(|report| report.after.inputs),
        "tries": report.map(|report| report.tries),
        "not_recorded": written.and_then(|written| written.as_ref().err()),
        "not_shrunk": not_shrunk,
        "again": shown.map(|shown| &shown.again),
    })
}

#[cfg(test)]
mod tests {
    use super::super::summary::{FamilyCount, Group};
    use super::*;
    use crate::findings::Kind;
    use crate::shrink;
    use crate::world::trace::TraceHash;
    use stmf_proxy::time::Time;

    fn summary() -> Summary {
        let mut summary = Summary {
            seeds: 1200,
            failed: 2,
            totals: Totals {
                simulated: Duration::from_secs(400_000),
                commands: 54_321,
                messages: 123_456,
                message_bytes: 77 << 20,
                posts: 120_000,
                read_bytes: 5 << 20,
                fired: 40,
            },
            ..Summary::default()
        };
        let count = |runs, failures| FamilyCount { runs, failures };
        summary.families.insert("power", count(700, 0));
        summary.families.insert("traffic", count(500, 2));
        summary.fired.insert("link-break".into(), 39);
        summary.fired.insert("relay-kill".into(), 1);
        summary
            .excused
            .insert("node-panic: node # panicked: (trap #)".into(), 4);
        summary
    }

    fn failure() -> Failure {
        let finding = |kind, text: &str| Finding {
            kind,
            time: Time::ZERO,
            node: Some(1),
            text: text.into(),
        };
        Failure {
            seed: 1071,
            family: "traffic",
            scenario: "traffic: 1 and 2 ports, 3 LUs, 2 hosts, 17 acts".into(),
            findings: vec![
                finding(
                    Kind::LostCommand,
                    "initiator 0's WRITE(10) tag 143 at node 1 had no status in 100 s: node 1 sent \
                     no message for it\n  and a second line",
                ),
                finding(Kind::Hang, "nothing goes on"),
            ],
            hash: TraceHash(5),
        }
    }

    fn report<'a>(summary: &'a Summary, shown: Vec<Shown<'a>>) -> Report<'a> {
        Report {
            summary,
            from: 0,
            groups: vec!["link", "relay"],
            chosen: true,
            keep_going: true,
            jobs: 2,
            real: Duration::from_millis(12_500),
            shown,
            width: Some(80),
        }
    }

    #[test]
    fn a_report_reads_well() {
        let mut summary = summary();
        let failure = failure();
        summary.failures.push(failure.clone());
        summary.groups.push(Group {
            kind: Kind::LostCommand,
            words: "initiator #'s WRITE(#) tag # at node # had no status in # s: node # sent no \
                    message for it"
                .into(),
            count: 2,
            seed: 1071,
        });
        let small = shrink::Report {
            finding: None,
            before: shrink::Size {
                inputs: 214,
                ..shrink::Size::default()
            },
            after: shrink::Size {
                inputs: 11,
                ..shrink::Size::default()
            },
            tries: 1041,
            stopped: None,
            how: None,
            output: "explore-found/explore-1071.small.pcapng".into(),
        };
        let shown = Shown {
            failure: &failure,
            written: Ok(Written {
                trace: "explore-found/explore-1071.pcapng".into(),
                small: Some(Ok(small)),
            }),
            again: "stmf-sim explore --from 1071 --seeds 1".into(),
        };
        let report = report(&summary, vec![shown]);
        insta::assert_snapshot!(report.text(Style::PLAIN));
        let object = report.json();
        insta::assert_snapshot!(serde_json::to_string_pretty(&object).unwrap());
    }

    #[test]
    fn a_search_without_faults_says_nothing() {
        let clean = Summary {
            failed: 0,
            ..summary()
        };
        assert_eq!(report(&clean, Vec::new()).conclusion(), Conclusion::Clean);
        let with = |groups: &[&'static str], chosen, summary| {
            let report = Report {
                groups: groups.to_vec(),
                chosen,
                ..report(summary, Vec::new())
            };
            (report.conclusion(), report.last_line(Style::PLAIN))
        };
        let (conclusion, line) = with(&["link", "door"], true, &clean);
        assert_eq!(conclusion, Conclusion::Idle(vec!["door"]));
        assert_eq!(
            line,
            "nothing happened: no fault of door ever happened in 1,200 seeds from 0; take more \
             seeds, or other families\n"
        );
        // All of them were asked for, and some happened.
        assert_eq!(with(&["link", "door"], false, &clean).0, Conclusion::Clean);
        let idle = Summary::default();
        assert_eq!(with(&["link"], false, &idle).0, Conclusion::Idle(vec![]));
        assert_eq!(with(&[], true, &idle).0, Conclusion::Clean);
        let found = summary();
        assert_eq!(with(&["door"], true, &found).0, Conclusion::Found);
    }

    #[test]
    fn durations_of_any_length_can_be_read() {
        let told = [0, 59, 61, 3600, 86_399, 400_000].map(|s| long(Duration::from_secs(s)));
        let expected = [
            "0.0 s",
            "59.0 s",
            "1 min 1 s",
            "1 h 0 min",
            "23 h 59 min",
            "4 d 15 h",
        ];
        assert_eq!(told, expected);
        assert_eq!(per_second(10, Duration::ZERO), 10_000);
        assert_eq!(times(Duration::from_secs(90), Duration::from_secs(20)), 4);
    }
}
