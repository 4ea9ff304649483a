// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim trace import-dtrace`: a trace of what contrib/dtrace/stmf-proxy.d has captured.

use clap::Args;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use stmf_sim::import::dtrace::{Imported, Settings, import};
use stmf_sim::report::thousands;

/// Make a trace of the output of contrib/dtrace/stmf-proxy.d.
#[derive(Args)]
pub struct Arguments {
    /// The output of the script; `-` is standard input.
    input: PathBuf,
    /// The node that it was captured on.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..255))]
    node: u8,
    /// How many seconds an event may come after later ones.
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=3600))]
    window: u32,
    /// Where to write the trace; a file of that name is replaced.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> ExitCode {
    match imported(&arguments) {
        Ok(imported) => {
            tell(&imported);
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("stmf-sim trace import-dtrace: {wrong}");
            ExitCode::from(2)
        }
    }
}

fn tell(imported: &Imported) {
    println!("{} events", thousands(imported.events));
    let odd = [
        (imported.cut, "messages without some of their bytes"),
        (
            imported.dropped,
            "records dropped by dtrace; give it larger buffers (bufsize)",
        ),
        (
            imported.unpaired,
            "ends of calls whose beginning was not captured",
        ),
        (imported.errors, "reads of memory that failed"),
        (
            imported.late,
            "events out of order: they came too late for --window",
        ),
    ];
    for (count, what) in odd {
        if count > 0 {
            println!("{} {what}", thousands(count));
        }
    }
    if !imported.complete {
        println!("the capture has no end: dtrace was killed, or the file is cut");
    }
}

fn imported(arguments: &Arguments) -> Result<Imported, String> {
    let input: Box<dyn BufRead> = if arguments.input == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let told = |error| format!("{}: {error}", arguments.input.display());
        Box::new(BufReader::new(File::open(&arguments.input).map_err(told)?))
    };
    let output = &arguments.output;
    let same = |a: &PathBuf, b: &PathBuf| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if same(&arguments.input, output) {
        return Err("the trace would replace its input; give -o another name".to_owned());
    }
    let file = File::create(output).map_err(|error| format!("{}: {error}", output.display()))?;
    let settings = Settings {
        node: arguments.node,
        window: Duration::from_secs(arguments.window.into()),
        ..Settings::default()
    };
    import(input, &settings, file).map_err(|error| {
        format!(
            "{}: {error}\nwhat came before is in {}",
            arguments.input.display(),
            output.display()
        )
    })
}
