// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim trace for-wireshark`: a copy that Wireshark opens whole.

use clap::Args;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use stmf_proxy::trace::Files;
use stmf_sim::report::thousands;
use stmf_sim::view::wireshark::{Copied, KEEP, copy};

/// Copy a trace for Wireshark, which takes no event of over 256 KiB: their data is cut.
#[derive(Args)]
pub struct Arguments {
    /// The trace: a file, or the directory of a ring.
    file: PathBuf,
    /// Where to write the copy; a file of that name is replaced.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> ExitCode {
    match copied(&arguments) {
        Ok(copied) => {
            println!(
                "{} events, {} of them cut",
                thousands(copied.events),
                thousands(copied.cut)
            );
            if copied.cut > 0 {
                println!("of those the first {KEEP} bytes of data are kept, and a digest");
            }
            if copied.left_out > 0 {
                println!(
                    "{} events do not fit and are left out",
                    thousands(copied.left_out)
                );
            }
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("stmf-sim trace for-wireshark: {wrong}");
            ExitCode::from(2)
        }
    }
}

fn copied(arguments: &Arguments) -> Result<Copied, String> {
    let mut files = Files::open(&arguments.file).map_err(|error| error.to_string())?;
    let output = &arguments.output;
    let same = |a: &PathBuf, b: &PathBuf| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if same(&arguments.file, output) {
        return Err("the copy would replace the trace itself; give -o another name".to_owned());
    }
    let file = File::create(output).map_err(|error| format!("{}: {error}", output.display()))?;
    copy(&mut files, file).map_err(|error| error.to_string())
}
