// SPDX-License-Identifier: MPL-2.0
//! What came of shrinking, for people and programs.

use crate::findings::Finding;
use crate::report::style::{Style, Tone};
use crate::report::table::{Cell, Table};
use crate::report::{bytes, thousands};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use stmf_proxy::time::Time;

/// How large a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Size {
    /// What is done to the world from outside.
    pub inputs: u64,
    /// Commands and task management functions among these.
    pub commands: u64,
    /// Bytes that commands write, or want to read.
    pub bytes: u64,
    /// Events of the run, inputs and choices not counted.
    pub events: u64,
    /// Virtual time.
    pub time: Time,
}

/// What a search can run out of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// Tries.
    Tries,
    /// Time.
    Time,
}

/// What came of shrinking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The failure, as the smaller trace shows it; none if a command of the user's judged.
    pub finding: Option<Finding>,
    /// The trace as it was.
    pub before: Size,
    /// The smaller one.
    pub after: Size,
    /// How many candidates were played.
    pub tries: u64,
    /// What ended the search before its time: it may get smaller still.
    pub stopped: Option<Limit>,
    /// How the failure was found again, if not as recorded.
    pub how: Option<String>,
    /// Where the smaller trace is.
    pub output: PathBuf,
}

fn seconds(milliseconds: u128) -> String {
    format!("{}.{:03} s", milliseconds / 1000, milliseconds % 1000)
}

impl Report {
    /// For people. `real` is how long it took.
    pub fn text(&self, style: Style, real: Duration) -> String {
        let mut table = Table::new(["", "before", "after"]);
        let (before, after) = (&self.before, &self.after);
        let numbers = [
            ("inputs", before.inputs, after.inputs),
            ("  of these commands", before.commands, after.commands),
            ("events", before.events, after.events),
        ];
        for (name, before, after) in numbers {
            table.row([name.into(), before.into(), after.into()]);
        }
        let right = |text: String| Cell::Right(text);
        table.row([
            "data of commands".into(),
            right(bytes(before.bytes)),
            right(bytes(after.bytes)),
        ]);
        let simulated = |time: Time| right(seconds(u128::from(time.as_nanos() / 1_000_000)));
        table.row([
            "simulated time".into(),
            simulated(before.time),
            simulated(after.time),
        ]);
        let mut out = String::new();
        if let Some(finding) = &self.finding {
            let line = finding.to_string();
            let line = line.lines().next().unwrap_or_default();
            out.push_str(&style.paint(Tone::Bad, line));
            out.push_str("\n\n");
        }
        out.push_str(&table.render(style));
        let tries = match self.tries {
            1 => "1 try".to_string(),
            tries => format!("{} tries", thousands(tries)),
        };
        out.push_str(&format!("\n{tries} in {}", seconds(real.as_millis())));
        if let Some(how) = &self.how {
            out.push_str(&format!("; the failure was found again {how}"));
        }
        out.push('\n');
        if let Some(limit) = self.stopped {
            let limit = match limit {
                Limit::Tries => "tries (--tries)",
                Limit::Time => "time (--time)",
            };
            let line = format!("out of {limit}: it may get smaller still");
            out.push_str(&style.paint(Tone::Bad, &line));
            out.push('\n');
        }
        out.push_str(&format!(
            "{} {}\n",
            style.paint(Tone::Good, "written, replayed and failing as before:"),
            self.output.display()
        ));
        out
    }

    /// For programs: one object.
    pub fn json(&self, real: Duration) -> Value {
        let size = |size: &Size| {
            json!({
                "inputs": size.inputs,
                "commands": size.commands,
                "events": size.events,
                "data_bytes": size.bytes,
                "simulated_nanoseconds": size.time.as_nanos(),
            })
        };
        json!({
            "kind": self.finding.as_ref().map(|finding| finding.kind.name()),
            "text": self.finding.as_ref().map(|finding| finding.text.as_str()),
            "before": size(&self.before),
            "after": size(&self.after),
            "tries": self.tries,
            "stopped": self.stopped.map(|limit| match limit {
                Limit::Tries => "tries",
                Limit::Time => "time",
            }),
            "found_again": self.how,
            "output": self.output.display().to_string(),
            "real_milliseconds": real.as_millis() as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::Kind;

    #[test]
    fn a_report_says_how_small_it_got() {
        let report = Report {
            finding: Some(Finding {
                kind: Kind::NodePanic,
                time: Time::ZERO,
                node: Some(1),
                text: "node 1 panicked: no TransportID (trap 4)".into(),
            }),
            before: Size {
                inputs: 2086,
                commands: 2000,
                bytes: 8 << 20,
                events: 45_310,
                time: Time::from_nanos(12_345_678_901),
            },
            after: Size {
                inputs: 9,
                commands: 1,
                bytes: 512,
                events: 61,
                time: Time::from_nanos(250_000_000),
            },
            tries: 1041,
            stopped: Some(Limit::Time),
            how: Some("with the first of all choices".into()),
            output: "run.small.pcapng".into(),
        };
        insta::assert_snapshot!(report.text(Style::PLAIN, Duration::from_millis(2345)));
        let object = report.json(Duration::from_millis(2345));
        assert_eq!(object["after"]["events"], 61);
        assert_eq!(object["kind"], "node-panic");
    }
}
