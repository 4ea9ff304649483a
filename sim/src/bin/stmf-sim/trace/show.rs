// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim trace show`: a line for every event.

use super::{Colour, opened};
use clap::Args;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use stmf_proxy::trace::NodeId;
use stmf_sim::view::filter::{self, Filter, FilterError, LunChoice, TypeChoice};
use stmf_sim::view::show::{self, Form, Settings};

/// Print a line for every event of a trace
///
/// The columns: seconds since the first event; node; path (I initiator, K kernel, R relay,
/// P peer; an arrow with dots is the end of a call or command); what happened; how long ago that
/// began which ends here; result. Lines that begin with # tell of the file: its sections, and what
/// of it is damaged or missing.
///
/// Filters may be combined; an event is shown if it satisfies all of them. Several values of one
/// filter (given with commas, or repeated) are alternatives.
///
/// The exit status is 0 if all of the trace could be read, 1 if parts of it could not, 2 if
/// nothing could.
#[derive(Args)]
pub struct Arguments {
    /// The trace: a file, or the directory of a ring
    file: PathBuf,
    /// Only events of this node
    #[arg(long, value_name = "N", value_delimiter = ',')]
    node: Vec<NodeId>,
    /// Only what belongs to the task with this message id (decimal, or 0x and hexadecimal): its
    /// messages, the ends of the calls that carried them, the initiator's command
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = filter::parse_number)]
    task: Vec<u64>,
    /// Only what belongs to the session with this id (as --task)
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = filter::parse_number)]
    session: Vec<u64>,
    /// Only what belongs to a LU: the number of a LUN, its 16 hexadecimal digits, or the 32 of
    /// the LU's id
    #[arg(long, value_name = "LUN", value_delimiter = ',', value_parser = parse_lun)]
    lun: Vec<LunChoice>,
    /// Only these types of messages (as scsi_cmd) and kinds of events (as kernel-log)
    #[arg(long = "type", value_name = "NAMES", value_delimiter = ',', value_parser = parse_type)]
    types: Vec<TypeChoice>,
    /// Only what went wrong: refused and failed calls, panics, lines of the kernel's log,
    /// statuses other than GOOD, what was lost or tried again
    #[arg(long)]
    errors: bool,
    /// Only events from this time on: seconds since the first event, or with a unit as 20ms
    #[arg(long, value_name = "TIME", value_parser = filter::parse_time, allow_hyphen_values = true)]
    from: Option<i128>,
    /// Only events up to this time
    #[arg(long, value_name = "TIME", value_parser = filter::parse_time, allow_hyphen_values = true)]
    to: Option<i128>,
    /// Show all fields of an event below its line
    #[arg(long, conflicts_with = "json")]
    long: bool,
    /// Show the time of day (UTC), where the trace has it
    #[arg(long, conflicts_with = "json")]
    absolute: bool,
    /// The most columns of a line, 60 or more [default: those of the terminal, or 80]
    #[arg(long, value_name = "N", conflicts_with = "json")]
    width: Option<usize>,
    /// When to use colour
    #[arg(long, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    color: Colour,
    /// Print a JSON object for each event, one a line (docs/trace-tools.md)
    #[arg(long)]
    json: bool,
    /// With --json: print data and messages in hexadecimal too
    #[arg(long, requires = "json", conflicts_with = "long")]
    data: bool,
}

fn parse_lun(text: &str) -> Result<LunChoice, FilterError> {
    text.parse()
}

fn parse_type(text: &str) -> Result<TypeChoice, FilterError> {
    text.parse()
}

/// Columns of a line where there is no terminal to ask.
const WIDTH: usize = 80;

/// Runs the command.
pub fn run(arguments: Arguments) -> ExitCode {
    let mut files = match opened("show", &arguments.file) {
        Ok(files) => files,
        Err(code) => return code,
    };
    let form = match arguments.json {
        true => Form::Json {
            data: arguments.data,
        },
        false => Form::Text {
            width: arguments.width.unwrap_or_else(|| {
                let size = terminal_size::terminal_size_of(std::io::stdout());
                size.map_or(WIDTH, |(width, _)| width.0.into())
            }),
            style: arguments.color.style(),
            long: arguments.long,
            absolute: arguments.absolute,
        },
    };
    let settings = Settings {
        filter: Filter {
            nodes: arguments.node,
            tasks: arguments.task,
            sessions: arguments.session,
            luns: arguments.lun,
            types: arguments.types,
            errors: arguments.errors,
            from: arguments.from,
            to: arguments.to,
        },
        form,
    };
    let mut out = BufWriter::with_capacity(64 << 10, std::io::stdout().lock());
    let shown = show::show(&mut files, &settings, &mut out);
    let shown = shown.and_then(|shown| out.flush().map(|()| shown));
    match shown {
        // Whoever reads the output has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stmf-sim trace show: cannot write the listing: {error}");
            ExitCode::from(2)
        }
        Ok(shown) => {
            for remark in shown.remarks() {
                eprintln!("stmf-sim trace show: {remark}");
            }
            super::exit_code(shown.read, shown.complete())
        }
    }
}
