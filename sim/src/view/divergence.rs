// SPDX-License-Identifier: MPL-2.0
//! Where two runs part, for a person and as JSON: the events before it, both events field by
//! field with what differs marked, and what one of them has after it.

use super::{describe, details};
use crate::replay::Divergence;
use crate::report::style::{Style, Tone};
use crate::report::thousands;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use stmf_proxy::message::Dialect;
use stmf_proxy::trace::{NodeId, Record, RecordBuf};

/// What the two sides are called.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'a> {
    /// The first: what was recorded, or file A.
    pub first: &'a str,
    /// The second: what the replay did, or file B.
    pub second: &'a str,
}

/// The dialects of the nodes, as the section of a trace tells them.
pub type Dialects = BTreeMap<NodeId, Option<Dialect>>;

fn dialect_of(record: &Record<'_>, dialects: &Dialects) -> Option<Dialect> {
    *record.node.and_then(|node| dialects.get(&node))?
}

fn place(record: &Record<'_>) -> String {
    let node = record
        .node
        .map_or("world".into(), |node| format!("node {node}"));
    format!("{:>14}  {node:<6}", record.time.to_string())
}

fn line(record: &RecordBuf, dialects: &Dialects) -> String {
    let record = record.get();
    let words = describe(&record, dialect_of(&record, dialects));
    format!("{}  {words}", place(&record))
}

/// Every field of an event, time, node and number first.
fn fields(record: &RecordBuf, dialects: &Dialects) -> Vec<(String, String)> {
    let record = record.get();
    let mut fields = vec![
        ("time".to_string(), record.time.to_string()),
        (
            "node".to_string(),
            record.node.map_or("none".into(), |node| node.to_string()),
        ),
    ];
    fields.extend(details(&record, dialect_of(&record, dialects)));
    fields
}

/// Name, first value, second value, of every field that either has.
fn side_by_side(
    first: &[(String, String)],
    second: &[(String, String)],
) -> Vec<(String, Option<String>, Option<String>)> {
    let mut rows: Vec<(String, Option<String>, Option<String>)> = first
        .iter()
        .map(|(name, value)| (name.clone(), Some(value.clone()), None))
        .collect();
    for (name, value) in second {
        let open = rows
            .iter_mut()
            .find(|(other, _, second)| other == name && second.is_none());
        match open {
            Some(row) => row.2 = Some(value.clone()),
            None => rows.push((name.clone(), None, Some(value.clone()))),
        }
    }
    rows
}

/// The report for a person; lines end with a newline.
pub fn text(
    divergence: &Divergence,
    sides: Sides<'_>,
    dialects: &Dialects,
    style: Style,
) -> String {
    let mut text = String::new();
    let mut say = |line: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    };
    let number = thousands(divergence.number);
    say(style.paint(Tone::Bad, &format!("first difference at event {number}")));
    if !divergence.before.is_empty() {
        say("\nbefore it, the same in both:".to_string());
        for record in &divergence.before {
            say(style.paint(Tone::Faint, &line(record, dialects)));
        }
    }
    match (&divergence.recorded, &divergence.happened) {
        (Some(first), Some(second)) => {
            say(format!("\n{}:", sides.first));
            say(line(first, dialects));
            say(format!("{}:", sides.second));
            say(line(second, dialects));
            say("\nfield by field (> differs):".to_string());
            let rows = side_by_side(&fields(first, dialects), &fields(second, dialects));
            let widest = rows
                .iter()
                .map(|row| row.0.chars().count())
                .max()
                .unwrap_or(0);
            for (name, first, second) in rows {
                let same = first == second;
                let none = || "-".to_string();
                let first = first.unwrap_or_else(none);
                if same {
                    say(format!("  {name:<widest$}  {first}"));
                    continue;
                }
                let second = second.unwrap_or_else(none);
                say(style.paint(
                    Tone::Bad,
                    &format!("> {name:<widest$}  {}: {first}", sides.first),
                ));
                let indent = "";
                say(style.paint(
                    Tone::Bad,
                    &format!("  {indent:<widest$}  {}: {second}", sides.second),
                ));
            }
        }
        (Some(first), None) => {
            say(format!("\n{}:", sides.first));
            say(line(first, dialects));
            say(format!("{}: nothing more happened", sides.second));
        }
        (None, Some(second)) => {
            say(format!("\n{}: nothing more", sides.first));
            say(format!("{}:", sides.second));
            say(line(second, dialects));
        }
        (None, None) => {}
    }
    if !divergence.after.is_empty() {
        say(format!("\nafter it, {}:", sides.first));
        for record in &divergence.after {
            say(style.paint(Tone::Faint, &line(record, dialects)));
        }
    }
    text
}

/// The same as JSON.
pub fn json(divergence: &Divergence, dialects: &Dialects) -> Value {
    let event = |record: &RecordBuf| {
        let fields = fields(record, dialects).into_iter();
        Value::Object(
            fields
                .map(|(name, value)| (name, Value::String(value)))
                .collect(),
        )
    };
    let list = |records: &[RecordBuf]| records.iter().map(event).collect::<Vec<_>>();
    json!({
        "event": divergence.number,
        "first": divergence.recorded.as_ref().map(event),
        "second": divergence.happened.as_ref().map(event),
        "before": list(&divergence.before),
        "after": list(&divergence.after),
    })
}
