// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim trace ladder`: a sequence diagram.

use clap::Args;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use stmf_proxy::trace::NodeId;
use stmf_sim::report::ladder::text::{DEFAULT_WIDTH, LEAST_WIDTH, MOST_WIDTH};
use stmf_sim::report::ladder::{Fate, Ladder};
use stmf_sim::report::style::Style;
use stmf_sim::report::thousands;
use stmf_sim::view::filter::{TypeChoice, parse_number, parse_time};
use stmf_sim::view::ladder::{Settings, draw};
use stmf_sim::view::story::Choice;

/// Lines of a diagram unless told otherwise.
const TEXT_LINES: usize = 50;
/// Lines of a picture unless told otherwise.
const SVG_LINES: usize = 200;
/// The most lines of a diagram.
const MOST_LINES: u64 = 100_000;

/// Draw a sequence diagram: initiator, kernel, relay, relay, kernel.
///
/// Time runs down. What never arrived, was turned away, came late or was overtaken stands out,
/// and so does what never ended. With --svg the diagram is a picture, in which messages slope
/// from where they begin to where they arrive.
///
/// Of a trace with one node, that node and an unknown peer are drawn; of one with more than two,
/// the first two, unless --node says which.
#[derive(Args)]
pub struct Arguments {
    /// The trace: a file, or the directory of a ring.
    file: PathBuf,
    /// Write a picture to this file (- for standard output).
    #[arg(long, value_name = "OUT")]
    svg: Option<PathBuf>,
    /// Draw these nodes: one, or a pair (twice, or with a comma).
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    node: Vec<NodeId>,
    /// Draw only exchanges about this task, by its message id.
    #[arg(long, value_name = "ID", value_parser = parse_number, value_delimiter = ',')]
    task: Vec<u64>,
    /// Draw only exchanges in this session.
    #[arg(long, value_name = "ID", value_parser = parse_number, value_delimiter = ',')]
    session: Vec<u64>,
    /// Draw only messages of this type, or events of this kind (scsi_cmd, command-done, panic).
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    types: Vec<TypeChoice>,
    /// Draw only exchanges in which something went wrong, all of each.
    #[arg(long)]
    errors: bool,
    /// Draw only what begins at this time or later, from the first event on: 1.5s, 20ms, 7us.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<i128>,
    /// Draw only what begins up to this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<i128>,
    /// Draw at most so many arrows and notes [default: 50, with --svg 200].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST_LINES))]
    lines: Option<u64>,
    /// Columns of the text, 80 to 400.
    #[arg(long, value_name = "COLUMNS", default_value_t = DEFAULT_WIDTH as u64,
        value_parser = clap::value_parser!(u64).range(LEAST_WIDTH as u64..=MOST_WIDTH as u64))]
    width: u64,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> ExitCode {
    if arguments.node.len() > 2 {
        return refuse("a diagram has one node or two: give --node at most two of them");
    }
    let usual = match arguments.svg {
        Some(_) => SVG_LINES,
        None => TEXT_LINES,
    };
    let lines = arguments
        .lines
        .and_then(|lines| usize::try_from(lines).ok());
    let settings = Settings {
        nodes: arguments.node,
        choice: Choice {
            tasks: arguments.task,
            sessions: arguments.session,
            types: arguments.types,
            errors: arguments.errors,
            from: arguments.from,
            to: arguments.to,
        },
        lines: lines.unwrap_or(usual),
    };
    let drawn = match draw(&arguments.file, &settings) {
        Ok(drawn) => drawn,
        Err(error) => return refuse(&error.to_string()),
    };
    for trouble in &drawn.troubles {
        eprintln!("stmf-sim trace ladder: not all could be read: {trouble}");
    }
    let width = usize::try_from(arguments.width).unwrap_or(DEFAULT_WIDTH);
    let (place, written) = match &arguments.svg {
        Some(path) => (
            path.as_path(),
            write_picture(path, &drawn.ladder, drawn.events),
        ),
        None => {
            let text = drawn.ladder.text(Style::of_standard_output(), width);
            (Path::new("-"), print(text.as_bytes()))
        }
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => refuse(&format!("cannot write {}: {error}", place.display())),
    }
}

fn write_picture(path: &Path, ladder: &Ladder, events: u64) -> io::Result<()> {
    let svg = ladder.svg();
    if path == Path::new("-") {
        return print(svg.as_bytes());
    }
    File::create(path)?.write_all(svg.as_bytes())?;
    let mut said = format!(
        "{}: {} lines from {} events",
        path.display(),
        thousands(ladder.items().len() as u64),
        thousands(events)
    );
    for (fate, name) in [
        (Fate::Lost, "lost"),
        (Fate::Late, "late"),
        (Fate::Refused, "turned away"),
        (Fate::Open, "not ended"),
    ] {
        let count = ladder.count(fate);
        if count > 0 {
            said.push_str(&format!(", {} {name}", thousands(count as u64)));
        }
    }
    for remark in &ladder.remarks {
        said.push_str(&format!("\n{remark}"));
    }
    said.push('\n');
    print(said.as_bytes())
}

fn print(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("stmf-sim trace ladder: {why}");
    ExitCode::from(2)
}
