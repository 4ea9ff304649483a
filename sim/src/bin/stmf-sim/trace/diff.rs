// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim trace diff`: where two traces part.

use clap::Args;
use serde_json::json;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use stmf_proxy::trace::Files;
use stmf_sim::replay::diff::{Difference, diff};
use stmf_sim::report::style::Style;
use stmf_sim::report::table::{Cell, Table};
use stmf_sim::report::thousands;
use stmf_sim::view::divergence::{self, Dialects, Sides};

/// Compare two traces: the first event that differs, and how many of each kind either has.
///
/// Where both traces carry hashes (the simulator's do), events are compared by them: everything
/// counts, data that was left out of a trace included. Otherwise by time, node and content. How
/// to make the runs again (operations, choices) is not compared.
/// The exit status is 0 if they are the same, 1 if not, 2 if one cannot be read.
#[derive(Args)]
pub struct Arguments {
    /// The first trace: a file, or the directory of a ring.
    first: PathBuf,
    /// The second.
    second: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// The dialects that a trace names.
pub fn dialects(path: &PathBuf) -> Dialects {
    let files = Files::open(path).ok();
    let section = files.as_ref().and_then(|files| files.section());
    section
        .map(|section| section.nodes.clone())
        .unwrap_or_default()
}

/// Runs the command.
pub fn run(arguments: Arguments) -> ExitCode {
    let difference = match diff(&arguments.first, &arguments.second) {
        Ok(difference) => difference,
        Err(error) => {
            eprintln!("stmf-sim trace diff: {error}");
            return ExitCode::from(2);
        }
    };
    for broken in difference.broken.iter().flatten() {
        eprintln!("stmf-sim trace diff: {broken}");
    }
    let dialects = dialects(&arguments.first);
    let text = match arguments.json {
        true => format!("{}\n", as_json(&difference, &dialects)),
        false => as_text(&difference, &dialects, Style::of_standard_output()),
    };
    if let Err(error) = io::stdout().lock().write_all(text.as_bytes())
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        eprintln!("stmf-sim trace diff: {error}");
        return ExitCode::from(2);
    }
    match difference {
        _ if difference.broken != [None, None] => ExitCode::from(2),
        _ if difference.same() => ExitCode::SUCCESS,
        _ => ExitCode::from(1),
    }
}

fn as_json(difference: &Difference, dialects: &Dialects) -> serde_json::Value {
    let found = difference.divergence.as_ref();
    json!({
        "same": difference.same(),
        "equal_events": difference.equal,
        "events": difference.totals(),
        "counts": difference.counts,
        "difference": found.map(|found| divergence::json(found, dialects)),
    })
}

fn as_text(difference: &Difference, dialects: &Dialects, style: Style) -> String {
    let [first, second] = difference.totals();
    let Some(found) = &difference.divergence else {
        return format!("the same: {} events\n", thousands(first));
    };
    let sides = Sides {
        first: "A",
        second: "B",
    };
    let mut text = divergence::text(found, sides, dialects, style);
    let mut table = Table::new(["events", "A", "B"]);
    for (kind, [a, b]) in &difference.counts {
        if a != b {
            table.row([Cell::from(kind.as_str()), Cell::from(*a), Cell::from(*b)]);
        }
    }
    table.row([Cell::from("all"), Cell::from(first), Cell::from(second)]);
    text.push_str("\nkinds of which one has more:\n");
    text.push_str(&table.render(style));
    text
}
