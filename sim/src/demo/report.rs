// SPDX-License-Identifier: MPL-2.0
//! The report of a demonstration: for people, and as JSON.

use super::Sha256Digest;
use crate::kernel::Profile;
use crate::recording::RecordingReport;
use crate::report::ladder::Ladder;
use crate::report::ladder::text::DEFAULT_WIDTH;
use crate::report::style::{Style, Tone};
use crate::report::table::{Cell, Table};
use crate::report::thousands;
use crate::world::statistics::Statistics;
use crate::world::trace::TraceHash;
use serde_json::{Value, json};
use std::time::Duration;
use stmf_proxy::message::hex;
use stmf_proxy::time::Time;

/// Something that must hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// What must hold, as a sentence.
    pub what: String,
    /// Whether it does.
    pub passed: bool,
    /// What was seen.
    pub detail: String,
}

/// What came of a demonstration.
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The kernels' profile.
    pub profile: Profile,
    /// Where the disk came from.
    pub source: String,
    /// Its size in bytes, with padding.
    pub disk_bytes: u64,
    /// Zero bytes that make its last block whole.
    pub padding_bytes: u64,
    /// SHA-256 of it.
    pub disk_sha256: Sha256Digest,
    /// SHA-256 of what was copied, if the copy came to its end.
    pub copied_sha256: Option<Sha256Digest>,
    /// What was found on the way: name and value.
    pub facts: Vec<(String, String)>,
    /// Every check that was made.
    pub checks: Vec<Check>,
    /// What was counted.
    pub statistics: Statistics,
    /// The virtual time at the end.
    pub simulated: Time,
    /// Events of the trace.
    pub events: u64,
    /// Its hash.
    pub trace_hash: TraceHash,
    /// What was recorded, if that was wanted.
    pub recording: Option<RecordingReport>,
    /// The first exchanges, if they were wanted.
    pub(super) ladder: Option<Ladder>,
}

/// The name of a profile on the command line.
pub fn profile_name(profile: Profile) -> &'static str {
    match profile {
        Profile::Illumos => "illumos",
        Profile::Hardened => "hardened",
    }
}

impl Report {
    /// Whether every check held.
    pub fn passed(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.passed)
    }

    /// The report for people. `real` is how long the run took, which no hash contains.
    pub fn text(&self, style: Style, real: Duration) -> String {
        let mut text = String::new();
        let heading = |text: &mut String, heading: &str| {
            text.push_str(&format!("\n{}\n", style.paint(Tone::Heading, heading)));
        };
        text.push_str(&format!(
            "two nodes, seed {}, profile {}\n",
            self.seed,
            profile_name(self.profile)
        ));
        self.push_facts(&mut text);
        if let Some(ladder) = &self.ladder {
            heading(&mut text, "first exchanges");
            text.push_str(&ladder.text(style, DEFAULT_WIDTH));
        }
        heading(&mut text, "checks");
        for check in &self.checks {
            let mark = match check.passed {
                true => style.paint(Tone::Good, "ok    "),
                false => style.paint(Tone::Bad, "FAILED"),
            };
            let detail = match check.detail.is_empty() {
                true => String::new(),
                false => style.paint(Tone::Faint, &format!(": {}", check.detail)),
            };
            text.push_str(&format!("{mark}  {}{detail}\n", check.what));
        }
        heading(&mut text, "messages that the kernels sent");
        text.push_str(&self.message_table().render(style));
        heading(&mut text, "doors");
        text.push_str(&self.door_table().render(style));
        text.push_str(&format!(
            "\nsimulated time  {} s\nreal time       {}.{:03} s\nevents          {}\ntrace hash      {}\n",
            self.simulated,
            real.as_secs(),
            real.subsec_millis(),
            thousands(self.events),
            self.trace_hash,
        ));
        text.push_str(&self.verdict(style));
        text
    }

    fn push_facts(&self, text: &mut String) {
        let mut facts = vec![("disk".to_string(), self.source.clone())];
        if self.padding_bytes > 0 {
            let padding = thousands(self.padding_bytes);
            facts.push((
                "padding".into(),
                format!("{padding} zero bytes to fill the last block"),
            ));
        }
        facts.push(("SHA-256".into(), hex::encode(&self.disk_sha256)));
        facts.extend(self.facts.iter().cloned());
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in facts {
            text.push_str(&format!("{name:<width$}  {value}\n"));
        }
    }

    /// PASS, or what failed and how to see it again.
    fn verdict(&self, style: Style) -> String {
        if self.passed() {
            return format!("{}\n", style.paint(Tone::Good, "PASS"));
        }
        let failed: Vec<&Check> = self.checks.iter().filter(|check| !check.passed).collect();
        let mut text = format!(
            "{}\n",
            style.paint(
                Tone::Bad,
                &format!("FAIL: {} of {} checks", failed.len(), self.checks.len())
            )
        );
        for check in failed {
            text.push_str(&format!("  {}: {}\n", check.what, check.detail));
        }
        text.push_str(&format!(
            "to see the first exchanges of the same run: stmf-sim demo --seed {} --profile {} --ladder \
             (and the same disk)\n",
            self.seed,
            profile_name(self.profile)
        ));
        text
    }

    fn message_table(&self) -> Table {
        let mut table = Table::new(["message", "0 to 1", "bytes", "1 to 0", "bytes"]);
        let mut kinds: Vec<Option<u8>> = self
            .statistics
            .messages
            .keys()
            .map(|(_, kind)| *kind)
            .collect();
        kinds.sort();
        kinds.dedup();
        let mut sums = [0u64; 4];
        for kind in kinds {
            let traffic = |node| {
                let traffic = self.statistics.messages.get(&(node, kind)).copied();
                traffic.unwrap_or_default()
            };
            let numbers = [
                traffic(0).count,
                traffic(0).bytes,
                traffic(1).count,
                traffic(1).bytes,
            ];
            let mut row = vec![Cell::from(Statistics::type_name(kind))];
            row.extend(numbers.map(|number| match number {
                0 => Cell::Right("-".into()),
                number => Cell::Number(number),
            }));
            table.row(row);
            sums.iter_mut()
                .zip(numbers)
                .for_each(|(sum, number)| *sum += number);
        }
        table.rule();
        let mut row = vec![Cell::from("all")];
        row.extend(sums.map(Cell::Number));
        table.row(row);
        table
    }

    fn door_table(&self) -> Table {
        let mut table = Table::new([
            "node",
            "upcalls",
            "retries",
            "lost",
            "posts",
            "bytes on the link",
        ]);
        for (node, door) in &self.statistics.doors {
            let link = self.statistics.link_bytes.get(node).copied().unwrap_or(0);
            table.row([
                Cell::from(format!("node {node}")),
                door.upcalls.into(),
                door.retries.into(),
                (door.refused + door.failed).into(),
                door.posts.into(),
                link.into(),
            ]);
        }
        table
    }

    /// The report as one JSON object.
    pub fn json(&self, real: Duration) -> Value {
        let doors = self.statistics.all_doors();
        let messages: Vec<Value> = self
            .statistics
            .messages
            .iter()
            .map(|((node, kind), traffic)| {
                json!({
                    "from": node,
                    "to": node ^ 1,
                    "type": Statistics::type_name(*kind),
                    "count": traffic.count,
                    "bytes": traffic.bytes,
                })
            })
            .collect();
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|check| {
                json!({ "what": check.what, "passed": check.passed, "detail": check.detail })
            })
            .collect();
        let carried = self.statistics.all_messages();
        json!({
            "passed": self.passed(),
            "trace_hash": self.trace_hash.to_string(),
            "seed": self.seed,
            "profile": profile_name(self.profile),
            "disk": self.source,
            "disk_bytes": self.disk_bytes,
            "padding_bytes": self.padding_bytes,
            "disk_sha256": hex::encode(&self.disk_sha256),
            "copied_sha256": self.copied_sha256.map(|digest| hex::encode(&digest)),
            "facts": self.facts.iter().map(|(name, value)| json!({ "name": name, "value": value }))
                .collect::<Vec<_>>(),
            "checks": checks,
            "messages": messages,
            "message_count": carried.count,
            "message_bytes": carried.bytes,
            "upcalls": doors.upcalls,
            "retries": doors.retries,
            "upcalls_refused": doors.refused,
            "upcalls_failed": doors.failed,
            "posts": doors.posts,
            "posts_refused": doors.posts_refused,
            "link_bytes": self.statistics.link_bytes.values().sum::<u64>(),
            "commands": self.statistics.commands,
            "read_bytes": self.statistics.read_bytes,
            "simulated_nanoseconds": self.simulated.as_nanos(),
            "real_milliseconds": real.as_millis() as u64,
            "events": self.events,
        })
    }

    /// The ladder diagram, if it was wanted.
    pub fn ladder(&self, style: Style) -> Option<String> {
        let ladder = self.ladder.as_ref();
        ladder.map(|ladder| ladder.text(style, DEFAULT_WIDTH))
    }
}
