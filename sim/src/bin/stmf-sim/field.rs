// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim field`: failures seen in the field, listed, told and shown.

use crate::record::{self, RecordArguments};
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::{self, Write};
use std::process::ExitCode;
use stmf_sim::field::{self, Failure, Variant, page};
use stmf_sim::recording;
use stmf_sim::report::style::{Style, Tone};
use stmf_sim::report::table::{Cell, Table};

/// What is done with failures seen in the field.
#[derive(Subcommand)]
pub enum FieldCommand {
    /// List the failures that the simulator can show.
    List(List),
    /// Tell what one sees of a failure, why it happens and how it is avoided, and let it happen.
    ///
    /// The scenario runs with what causes the failure and without, from the same seed.
    /// The exit status is 0 if the failure showed and the sound run had none, 1 if not, 2 if
    /// there is no such failure.
    Show(Show),
}

/// Settings of the list.
#[derive(Args)]
pub struct List {
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Settings of a show.
#[derive(Args)]
pub struct Show {
    /// Which failure; `stmf-sim field list` has their names.
    id: String,
    /// Take another seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Run it without what causes it, and only that.
    #[arg(long)]
    sound: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    record: RecordArguments,
}

/// Runs the command.
pub fn run(command: FieldCommand) -> ExitCode {
    let mut out = io::stdout().lock();
    let (written, code) = match command {
        FieldCommand::List(list) => {
            let text = match list.json {
                true => list_json(),
                false => list_text(Style::of_standard_output()),
            };
            (out.write_all(text.as_bytes()), ExitCode::SUCCESS)
        }
        FieldCommand::Show(arguments) => match show(&arguments) {
            Ok((text, code)) => (out.write_all(text.as_bytes()), code),
            Err(error) => {
                eprintln!("stmf-sim field show: {error}");
                return ExitCode::from(2);
            }
        },
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("stmf-sim field: {error}");
            ExitCode::from(2)
        }
        _ => code,
    }
}

fn list_text(style: Style) -> String {
    let mut table = Table::new(["id", "finding", "what happened"]);
    for failure in field::all() {
        table.row([failure.id, failure.kind.name(), failure.title].map(Cell::from));
    }
    table.render(style)
}

fn list_json() -> String {
    let line = |failure: &Failure| {
        let object = json!({
            "id": failure.id,
            "title": failure.title,
            "sees": failure.sees,
            "why": failure.why,
            "avoided": failure.avoided,
            "cause": failure.cause,
            "seed": failure.seed,
            "finding": failure.kind.name(),
        });
        format!("{object}\n")
    };
    field::all().map(line).collect()
}

/// One of the two runs.
struct Ran {
    variant: Variant,
    run: field::Run,
    as_expected: bool,
}

fn show(arguments: &Show) -> Result<(String, ExitCode), String> {
    let failure = field::by_id(&arguments.id).ok_or_else(|| {
        format!(
            "no failure is called {:?}; `stmf-sim field list` has their names",
            arguments.id
        )
    })?;
    let seed = arguments.seed.unwrap_or(failure.seed);
    let variants: &[Variant] = match arguments.sound {
        true => &[Variant::Sound],
        false => &[Variant::Broken, Variant::Sound],
    };
    let mut recorded = true;
    let mut runs = Vec::new();
    for (place, variant) in variants.iter().enumerate() {
        let mut recorder = None;
        // What is recorded is the first run: the failure, unless it was not wanted.
        let settings = arguments
            .record
            .settings(&format!("field {}", failure.id))?;
        if let Some(settings) = settings.filter(|_| place == 0) {
            let plan = (failure.build)(*variant).seed(seed).plan();
            let made = recording::TraceRecorder::create(&plan, &settings);
            let made = made.map_err(|error| error.to_string())?;
            recorder = Some(std::rc::Rc::new(std::cell::RefCell::new(made)));
        }
        let shared = recorder.clone().map(|recorder| recorder as _);
        let run = field::run(failure, *variant, seed, shared);
        if let Some(recorder) = recorder {
            recorded &= record::say("field show", &recorder.borrow_mut().report());
        }
        let as_expected = match variant {
            Variant::Broken => run.findings.iter().any(|found| failure.is_named_by(found)),
            Variant::Sound => run.findings.is_empty() && run.stopped.is_none(),
        };
        runs.push(Ran {
            variant: *variant,
            run,
            as_expected,
        });
    }
    let text = match arguments.json {
        true => format!("{}\n", show_json(failure, seed, &runs)),
        false => show_text(failure, seed, &runs, Style::of_standard_output()),
    };
    let good = recorded && runs.iter().all(|ran| ran.as_expected);
    Ok((text, ExitCode::from(u8::from(!good))))
}

fn name(variant: Variant) -> &'static str {
    match variant {
        Variant::Broken => "with it",
        Variant::Sound => "without it",
    }
}

fn show_json(failure: &Failure, seed: u64, runs: &[Ran]) -> serde_json::Value {
    let runs = runs.iter().map(|ran| {
        let findings = ran.run.findings.iter().map(|found| {
            json!({
                "kind": found.kind.name(),
                "time_ns": found.time.as_nanos(),
                "node": found.node,
                "text": found.text,
            })
        });
        json!({
            "broken": ran.variant == Variant::Broken,
            "as_expected": ran.as_expected,
            "stopped": ran.run.stopped,
            "trace_hash": ran.run.world.hash().to_string(),
            "findings": findings.collect::<Vec<_>>(),
        })
    });
    json!({
        "id": failure.id,
        "title": failure.title,
        "seed": seed,
        "runs": runs.collect::<Vec<_>>(),
    })
}

/// Text in lines of at most 80 characters, each after an indent.
fn wrapped(text: &str, indent: &str) -> String {
    page::wrapped(text, 80, indent, indent) + "\n"
}

fn show_text(failure: &Failure, seed: u64, runs: &[Ran], style: Style) -> String {
    let mut text = format!(
        "{}\n\n",
        style.paint(Tone::Heading, &format!("{}: {}", failure.id, failure.title))
    );
    for (heading, words) in [
        ("What one sees", failure.sees),
        ("Why", failure.why),
        ("How it is avoided", failure.avoided),
    ] {
        text.push_str(&format!("{heading}\n{}", wrapped(words, "  ")));
    }
    text.push_str(&format!("Cause here\n{}", wrapped(failure.cause, "  ")));
    for ran in runs {
        let heading = format!("\nA run {} (seed {seed})\n", name(ran.variant));
        text.push_str(&heading);
        for found in &ran.run.findings {
            for (place, line) in found.to_string().lines().enumerate() {
                // The report on threads that wait has a line for each.
                let indent = if place == 0 { "  " } else { "    " };
                text.push_str(&style.paint(Tone::Bad, wrapped(line, indent).trim_end()));
                text.push('\n');
            }
        }
        if let Some(stopped) = &ran.run.stopped
            && ran.run.findings.is_empty()
        {
            text.push_str(&wrapped(
                &format!("the scenario could not go on: {stopped}"),
                "  ",
            ));
        }
        if ran.run.findings.is_empty() && ran.run.stopped.is_none() {
            text.push_str(&style.paint(Tone::Good, "  nothing went wrong"));
            text.push('\n');
        }
        if !ran.as_expected {
            let wrong = "  this is not what was expected of this run";
            text.push_str(&style.paint(Tone::Bad, wrong));
            text.push('\n');
        }
    }
    text
}
