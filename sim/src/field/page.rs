// SPDX-License-Identifier: MPL-2.0
//! The failures as pages for people: docs/field-failures.md, and a README beside each stored
//! trace. They are made of the texts of [`Failure`], so that nothing is told twice.

use super::{Failure, all};
use std::fmt::Write;

/// Text broken into lines of at most `width` characters: `first` stands before the first of them,
/// `rest` before the others. A word is never broken.
pub fn wrapped(text: &str, width: usize, first: &str, rest: &str) -> String {
    let mut wrapped = String::from(first);
    let mut column = first.chars().count();
    let mut begins = true;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if !begins && column + 1 + length > width {
            wrapped.push('\n');
            wrapped.push_str(rest);
            column = rest.chars().count();
        } else if !begins {
            wrapped.push(' ');
            column += 1;
        }
        begins = false;
        wrapped.push_str(word);
        column += length;
    }
    wrapped
}

/// What is known of a stored trace.
pub struct Stored<'a> {
    /// The finding that names the failure when it is replayed.
    pub finding: &'a str,
    /// What is done to the world in it.
    pub inputs: usize,
    /// Events in it.
    pub events: u64,
}

/// The README beside the stored trace of a failure.
pub fn readme(failure: &Failure, stored: &Stored<'_>) -> String {
    let id = failure.id;
    let mut text = format!("# {id}: {}\n\n", failure.title);
    let finding = stored.finding.lines().next().unwrap_or_default();
    for (heading, words) in [
        ("What one sees", failure.sees.to_string()),
        ("Why", failure.why.to_string()),
        ("How it is avoided", failure.avoided.to_string()),
        (
            "What the replay finds",
            format!("`{}`", finding.replace('`', "'")),
        ),
        (
            "See it",
            format!(
                "`stmf-sim field show {id}`; its {} inputs and {} events: `stmf-sim trace replay \
                 fixtures/field/{id}/trace.pcapng`",
                stored.inputs, stored.events
            ),
        ),
    ] {
        let _ = writeln!(
            text,
            "{}",
            wrapped(&format!("* **{heading}:** {words}"), 100, "", "  ")
        );
    }
    text
}

/// docs/field-failures.md. `findings` has the finding of each stored trace, in the order of
/// [`all`].
pub fn page(findings: &[String]) -> String {
    let mut text = String::from(HEAD);
    for Failure {
        id, title, kind, ..
    } in all()
    {
        let _ = writeln!(text, "| [{id}](#{id}) | {title} | {kind} |");
    }
    for (failure, finding) in all().zip(findings) {
        let _ = write!(
            text,
            "\n## {}\n\n{}.\n\n",
            failure.id,
            capitalised(failure.title)
        );
        let finding = finding.lines().next().unwrap_or_default();
        for (heading, words) in [
            ("What one sees", failure.sees.to_string()),
            ("Why", failure.why.to_string()),
            ("How it is avoided", failure.avoided.to_string()),
            ("Cause in the simulator", failure.cause.to_string()),
            ("Finding", format!("`{}`", finding.replace('`', "'"))),
        ] {
            let words = format!("* **{heading}:** {words}");
            let _ = writeln!(text, "{}", wrapped(&words, 100, "", "  "));
        }
    }
    text
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}

const HEAD: &str = "\
# Failures seen in the field

Each is a public defect of the original system, or follows from its documented behaviour; names
that are numbers are those of public trackers (illumos, OpenSolaris, Nexenta). The simulator shows
every one of them: with a kernel that has the defect or a relay that breaks a rule the failure
happens and is named, and without it the same run, from the same seed, is sound.

    stmf-sim field list                  # this table; --json for programs
    stmf-sim field show back-pressure    # told, and shown: with the cause and without
    stmf-sim field show back-pressure --record trace.pcapng
    stmf-sim trace replay fixtures/field/back-pressure/trace.pcapng

`fixtures/field/ID/trace.pcapng` is a recording of each, cut down to what is needed (`trace
shrink`), beside a README. `tests/field_failures.rs` holds all of this fast: the failure shows with
its cause and is named, it does not without, and the stored trace shows it again. This page and the
READMEs are made from the texts in `sim/src/field/` (`just field-fixtures`).

A finding has a kind, by which `trace shrink --oracle` and the tests know it, and a sentence.

| id | what happened | finding |
| --- | --- | --- |
";
