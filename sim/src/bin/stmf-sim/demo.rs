// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim demo`: two nodes and an initiator, every step checked.

use crate::record::{self, RecordArguments};
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;
use stmf_sim::demo::{self, Report, Settings, Source};
use stmf_sim::kernel::Profile;
use stmf_sim::report;
use stmf_sim::report::style::{self, Style};
use stmf_sim::world::StandardRelay;

/// Run two nodes, copy a disk through the standby path, fail over, and check every step.
///
/// Two simulated storage nodes share a disk. Node 1 serves it, node 0 is its standby; a relay on
/// each carries the messages of the STMF proxy door. A host discovers the disk on both paths,
/// copies all of it through the standby path and compares it with the source, is refused a
/// write there, makes a reservation, and uses the disk through the other node after a failover.
///
/// The run follows from its seed: the same seed and disk give the same trace hash anywhere.
/// The exit status is 0 if every check held, 1 if one failed, 2 if the run could not begin.
#[derive(Args)]
pub struct Arguments {
    /// Draw everything that is not determined from this number.
    #[arg(long, default_value_t = Settings::DEFAULT_SEED)]
    seed: u64,
    /// Use this file (or device) as the disk. It is only read: what the nodes write stays in
    /// memory. A last block that is not whole is filled with zeros.
    #[arg(long, value_name = "FILE", conflicts_with = "disk_size")]
    disk: Option<PathBuf>,
    /// Make a disk of this size, as 1m or 2097152 (1 byte to 2g).
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "64m")]
    disk_size: u64,
    /// Which kernels the nodes run.
    #[arg(long, value_enum, default_value_t = ProfileName::Illumos)]
    profile: ProfileName,
    /// Print the first exchanges as a ladder diagram.
    #[arg(long, conflicts_with = "json")]
    ladder: bool,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    record: RecordArguments,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileName {
    /// As the real one, with the traps in which a node goes down.
    Illumos,
    /// With every trap repaired.
    Hardened,
}

impl ProfileName {
    pub(crate) fn profile(self) -> Profile {
        match self {
            ProfileName::Illumos => Profile::Illumos,
            ProfileName::Hardened => Profile::Hardened,
        }
    }
}

/// Reads a size: a number, and k, m or g for powers of 1024.
fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || {
        let largest = Settings::LARGEST_DISK;
        format!("it must be a number of bytes from 1 to {largest}, or one with k, m or g after it")
    };
    let text = text.trim().to_ascii_lowercase();
    let (digits, shift) = match text.chars().last() {
        Some('k') => (&text[..text.len() - 1], 10),
        Some('m') => (&text[..text.len() - 1], 20),
        Some('g') => (&text[..text.len() - 1], 30),
        _ => (text.as_str(), 0),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number
        .checked_mul(1 << shift)
        .filter(|size| (1..=Settings::LARGEST_DISK).contains(size))
        .ok_or_else(wrong)
}

/// Runs the command.
pub fn run(arguments: Arguments) -> ExitCode {
    let started = Instant::now();
    let record = match arguments.record.settings("demo") {
        Ok(record) => record,
        Err(error) => {
            eprintln!("stmf-sim demo: {error}");
            return ExitCode::from(2);
        }
    };
    let settings = Settings {
        record,
        seed: arguments.seed,
        profile: arguments.profile.profile(),
        source: match arguments.disk {
            Some(path) => Source::File(path),
            None => Source::Made {
                size: arguments.disk_size,
            },
        },
        relay: Rc::new(StandardRelay::new()),
        ladder: if arguments.ladder {
            Settings::LADDER_LINES
        } else {
            0
        },
        ..Settings::default()
    };
    let mut line = style::Progress::new(true);
    let report = demo::run(settings, |progress| line.show(|| describe(progress)));
    drop(line);
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            eprintln!("stmf-sim demo: {error}");
            return ExitCode::from(2);
        }
    };
    match print(&report, arguments.json, started) {
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        Err(error) => {
            eprintln!("stmf-sim demo: cannot write the report: {error}");
            return ExitCode::from(2);
        }
        Ok(()) => {}
    }
    let recorded = report.recording.as_ref();
    let recorded = recorded.is_none_or(|report| record::say("demo", report));
    if report.passed() && recorded {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}

fn describe(progress: demo::Progress) -> String {
    let demo::Progress { step, copied, size } = progress;
    match size {
        0 => format!("{step} ..."),
        size => {
            let percent = u128::from(copied) * 100 / u128::from(size);
            let (copied, size) = (report::bytes(copied), report::bytes(size));
            format!("{step} ... {copied} of {size} copied ({percent} %)")
        }
    }
}

fn print(report: &Report, json: bool, started: Instant) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", report.json(started.elapsed()))?;
    } else {
        let text = report.text(Style::of_standard_output(), started.elapsed());
        out.write_all(text.as_bytes())?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_up_to_their_edge() {
        let good = ["1", "512k", " 64M ", "2g", "2147483648"].map(parse_size);
        assert_eq!(good, [1, 512 << 10, 64 << 20, 1 << 31, 1 << 31].map(Ok));
        for bad in [
            "",
            "0",
            "m",
            "-1",
            "2147483649",
            "3g",
            "1.5m",
            "99999999999999999999g",
        ] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
