// SPDX-License-Identifier: MPL-2.0
//! The figures of a trace for people, and as JSON.

use super::{Measured, Stats, UNANSWERED, Unanswered};
use crate::report::style::{Style, Tone};
use crate::report::table::{Cell, Table};
use crate::report::thousands;
use crate::scsi;
use crate::view::TABLE_LIMIT;
use crate::view::text::{clean, count, duration, fit, seconds, wrap};
use serde_json::{Value, json};
use std::fmt::Write;
use stmf_proxy::message::MessageType;
use stmf_proxy::trace::NodeId;

/// The widest line of the report.
const WIDTH: usize = 80;

fn node_name(node: Option<NodeId>) -> String {
    node.map_or_else(|| "-".to_owned(), |node| node.to_string())
}

fn type_name(kind: Option<MessageType>) -> &'static str {
    kind.map_or("(no message)", MessageType::name)
}

impl Stats {
    /// The figures for people, at most 80 columns wide.
    pub fn text(&self, style: Style) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{} in {}, {} s",
            count(self.events, "event"),
            count(self.sections, "section"),
            seconds(self.span.into())
        );
        let mut part = |heading: &str, text: String| {
            if !text.is_empty() {
                let heading = style.paint(Tone::Heading, heading);
                let _ = write!(out, "\n{heading}\n{text}");
            }
        };
        part(
            "messages between kernel and relay",
            self.message_table(style),
        );
        part("peer link", self.link_table(style));
        for (measured, heading) in [
            (
                Measured::Initiator,
                "commands, from the initiator's command to its end",
            ),
            (
                Measured::HandedOver,
                "commands handed over: scsi_cmd upcall to scsi_status post",
            ),
            (
                Measured::Served,
                "commands served for the peer: scsi_cmd post to scsi_status upcall",
            ),
        ] {
            part(heading, self.latency_table(measured, style));
        }
        part("commands of initiators", self.command_lines());
        part("longest times without an event", self.gap_table(style));
        part("not answered", self.unanswered_lines());
        part("what went wrong", self.trouble_table(style));
        part("this trace", self.remark_lines(style));
        out
    }

    fn message_table(&self, style: Style) -> String {
        if self.messages.is_empty() {
            return String::new();
        }
        let mut table = Table::new(["node", "path", "message", "count", "bytes", "not taken"]);
        for ((node, posted, kind), traffic) in &self.messages {
            table.row([
                node_name(*node).into(),
                if *posted { "K<-R" } else { "K->R" }.into(),
                type_name(*kind).into(),
                traffic.count.into(),
                traffic.bytes.into(),
                match traffic.not_taken {
                    0 => Cell::Empty,
                    number => number.into(),
                },
            ]);
        }
        table.render(style)
    }

    fn link_table(&self, style: Style) -> String {
        if self.link.is_empty() {
            return String::new();
        }
        let mut table = Table::new(["node", "bytes sent", "bytes received"]);
        for (node, (sent, received)) in &self.link {
            table.row([node_name(*node).into(), (*sent).into(), (*received).into()]);
        }
        table.render(style)
    }

    fn latency_table(&self, measured: Measured, style: Style) -> String {
        let mut table = Table::new(["command", "count", "median", "p99", "max"]);
        let mut any = false;
        for ((how, name), histogram) in &self.latency {
            if *how == measured {
                any = true;
                let length = |nanoseconds| Cell::Right(duration(nanoseconds));
                table.row([
                    fit(name, 36).into(),
                    histogram.count().into(),
                    length(histogram.percentile(50)),
                    length(histogram.percentile(99)),
                    length(histogram.max()),
                ]);
            }
        }
        match any {
            true => table.render(style),
            false => String::new(),
        }
    }

    fn command_lines(&self) -> String {
        let commands = &self.commands;
        if commands.begun == 0 && commands.ended.is_empty() {
            return String::new();
        }
        let mut parts = vec![format!("{} begun", thousands(commands.begun))];
        for (status, number) in &commands.ended {
            parts.push(format!("{} {}", thousands(*number), scsi::Status(*status)));
        }
        for (number, what) in [
            (commands.management, "task management"),
            (commands.timed_out, "timed out"),
            (commands.aborted, "given up by the target"),
        ] {
            if number > 0 {
                parts.push(format!("{} {what}", thousands(number)));
            }
        }
        wrap(&parts.join(", "), WIDTH).join("\n") + "\n"
    }

    fn gap_table(&self, style: Style) -> String {
        if self.gaps.is_empty() {
            return String::new();
        }
        let mut table = Table::new(["length", "from", "to", "after event"]);
        for gap in &self.gaps {
            table.row([
                Cell::Right(duration(gap.length)),
                Cell::Right(seconds(gap.from)),
                Cell::Right(seconds(gap.from + i128::from(gap.length))),
                gap.after.into(),
            ]);
        }
        table.render(style)
    }

    fn unanswered_lines(&self) -> String {
        let mut out = String::new();
        let (calls, posts) = self.open_calls;
        for (number, what) in [(calls, "upcall"), (posts, "post")] {
            if number > 0 {
                let _ = writeln!(out, "{} had not ended at the end", count(number, what));
            }
        }
        if self.unanswered_count == 0 {
            return out;
        }
        let _ = write!(out, "{}", count(self.unanswered_count, "command"));
        let _ = match self.unanswered_count > UNANSWERED as u64 {
            true => writeln!(out, ", of which the first {UNANSWERED}:"),
            false => writeln!(out, ":"),
        };
        for unanswered in &self.unanswered {
            let since = unanswered.since.map_or_else(|| "-".to_owned(), seconds);
            let line = format!(
                "{since:>14}  node {}  {}  {}",
                node_name(unanswered.node),
                unanswered.what,
                self.fate(unanswered)
            );
            let _ = writeln!(out, "{}", fit(&line, WIDTH));
        }
        out
    }

    fn fate(&self, unanswered: &Unanswered) -> String {
        match unanswered.given_up {
            Some((how, Some(after))) => format!("{how} after {}", duration(after)),
            Some((how, None)) => how.to_owned(),
            None => {
                let ago = self.waited(unanswered);
                format!(
                    "waiting for {}",
                    ago.map_or_else(|| "?".to_owned(), duration)
                )
            }
        }
    }

    /// How long a command had waited at the end.
    fn waited(&self, unanswered: &Unanswered) -> Option<u64> {
        let waited = self.end.saturating_sub(unanswered.since?);
        u64::try_from(waited).ok()
    }

    fn trouble_table(&self, style: Style) -> String {
        if self.troubles.is_empty() {
            return String::new();
        }
        let mut table = Table::new(["node", "what", "count"]);
        for ((node, what), number) in &self.troubles {
            table.row([
                node_name(*node).into(),
                what.clone().into(),
                (*number).into(),
            ]);
        }
        table.render(style)
    }

    fn remark_lines(&self, style: Style) -> String {
        let mut remarks = Vec::new();
        if self.lost > 0 {
            let events = count(self.lost, "event");
            remarks.push(format!("{events} happened that could not be recorded"));
        }
        if self.forgotten > 0 {
            remarks.push(format!(
                "more than {} calls or commands were under way at once; {} of them were \
                 forgotten: figures of time, and of what was not answered, are too low",
                thousands(TABLE_LIMIT as u64),
                thousands(self.forgotten)
            ));
        }
        if self.notices > 0 {
            remarks.push(format!(
                "the files have {} damaged or odd places (trace show tells where)",
                thousands(self.notices)
            ));
        }
        remarks.extend(self.broken.iter().map(|text| clean(text)));
        let mut out = String::new();
        for line in remarks.iter().flat_map(|remark| wrap(remark, WIDTH)) {
            out += &style.paint(Tone::Bad, &line);
            out.push('\n');
        }
        out
    }

    /// The figures as a JSON object; its fields are told in `docs/trace-tools.md`.
    pub fn json(&self) -> Value {
        let time = |nanoseconds: i128| i64::try_from(nanoseconds).unwrap_or(i64::MAX);
        let messages = self.messages.iter().map(|((node, posted, kind), traffic)| {
            json!({
                "node": node,
                "way": if *posted { "post" } else { "upcall" },
                "message": kind.map(MessageType::name),
                "count": traffic.count,
                "bytes": traffic.bytes,
                "not_taken": traffic.not_taken,
            })
        });
        let link = self.link.iter().map(|(node, (sent, received))| {
            json!({"node": node, "sent_bytes": sent, "received_bytes": received})
        });
        let latency = self.latency.iter().map(|((measured, name), histogram)| {
            json!({
                "measured": measured.name(),
                "command": name,
                "count": histogram.count(),
                "median_ns": histogram.percentile(50),
                "p99_ns": histogram.percentile(99),
                "max_ns": histogram.max(),
            })
        });
        let gaps = self.gaps.iter().map(|gap| {
            json!({
                "length_ns": gap.length,
                "from_ns": time(gap.from),
                "after_sequence": gap.after,
            })
        });
        let unanswered = self.unanswered.iter().map(|unanswered| {
            json!({
                "node": unanswered.node,
                "what": unanswered.what,
                "since_ns": unanswered.since.map(time),
                "fate": unanswered.given_up.map_or("waiting", |(how, _)| how),
                "waited_ns": match unanswered.given_up {
                    Some((_, after)) => after,
                    None => self.waited(unanswered),
                },
            })
        });
        let ended = self.commands.ended.iter();
        let ended =
            ended.map(|(status, number)| (scsi::Status(*status).to_string(), json!(number)));
        let troubles = self
            .troubles
            .iter()
            .map(|((node, what), number)| json!({"node": node, "what": what, "count": number}));
        json!({
            "events": self.events,
            "sections": self.sections,
            "span_ns": self.span,
            "messages": messages.collect::<Vec<_>>(),
            "link": link.collect::<Vec<_>>(),
            "latency": latency.collect::<Vec<_>>(),
            "gaps": gaps.collect::<Vec<_>>(),
            "commands": {
                "begun": self.commands.begun,
                "ended": ended.collect::<serde_json::Map<_, _>>(),
                "management": self.commands.management,
                "timed_out": self.commands.timed_out,
                "aborted": self.commands.aborted,
            },
            "unanswered_count": self.unanswered_count,
            "unanswered": unanswered.collect::<Vec<_>>(),
            "open_upcalls": self.open_calls.0,
            "open_posts": self.open_calls.1,
            "trouble": troubles.collect::<Vec<_>>(),
            "lost_events": self.lost,
            "forgotten": self.forgotten,
            "notices": self.notices,
            "broken": self.broken,
        })
    }
}
