// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim msg`: messages to JSON and back, a line each, and one message for a person to read.
//!
//! Decoding and encoding work as a stream: memory is bounded by the longest line, and what was
//! answered is flushed before waiting for more input, so that a program can ask and read the
//! answer in turns.

mod lines;
mod show;

use clap::{Args, Subcommand, ValueEnum};
use lines::{Line, Lines};
use serde::Serialize;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::process::ExitCode;
use stmf_proxy::message::{self, Limits, Message, hex};

/// Decode, encode and show messages of the proxy door
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Reads messages in hexadecimal, one a line; prints a JSON line for each
    ///
    /// The answer is {"accepted":true,"msg":{...}} or {"accepted":false,"error":"..."}. A bad
    /// line never stops it. An empty line is a message of no bytes, and refused as one.
    Decode(Options),
    /// Reads messages as JSON objects, one a line; prints a line of hexadecimal for each
    ///
    /// Stops at the first line that is no message: says which and what is wrong with it, and
    /// exits with 2. What was printed until then are the lines before it. Lines with nothing but
    /// blanks are passed over.
    Encode(Options),
    /// Prints one message for a person to read
    Show {
        /// The message in hexadecimal, blanks allowed; standard input when it is not given
        hex: Option<String>,
        #[command(flatten)]
        options: Options,
    },
}

#[derive(Args, Clone, Copy)]
struct Options {
    /// Which kernels' messages
    #[arg(long, value_enum, default_value_t = Dialect::Current)]
    dialect: Dialect,
    /// The most bytes that a message may have; lines may have twice as many and a little more
    #[arg(long, value_name = "BYTES", default_value_t = Limits::DEFAULT_MAX_SIZE)]
    max_message: usize,
}

impl Options {
    fn limits(&self) -> Limits {
        Limits {
            max_size: self.max_message,
            ..Limits::DEFAULT
        }
    }

    /// Two digits a byte; and 64 KiB for blanks, or for what is around the data in JSON (which
    /// is a quarter of what it is on the wire).
    fn longest_line(&self) -> usize {
        self.max_message.saturating_mul(2).saturating_add(64 << 10)
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Dialect {
    /// Since mid-2010
    Current,
    /// Before that
    #[value(name = "2009")]
    Y2009,
}

impl From<Dialect> for message::Dialect {
    fn from(dialect: Dialect) -> message::Dialect {
        match dialect {
            Dialect::Current => message::Dialect::Current,
            Dialect::Y2009 => message::Dialect::Y2009,
        }
    }
}

/// What ends a command before its input does.
enum Stop {
    /// Standard output or input failed.
    Io(io::Error),
    /// The input is not what it should be.
    Input(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Io(error)
    }
}

impl From<serde_json::Error> for Stop {
    /// Of writing: all that can fail is the output.
    fn from(error: serde_json::Error) -> Stop {
        Stop::Io(error.into())
    }
}

/// Does what the arguments ask for, on standard input and output.
pub fn run(arguments: Arguments) -> ExitCode {
    const BUFFER: usize = 64 << 10;
    let input = BufReader::with_capacity(BUFFER, io::stdin().lock());
    let mut output = BufWriter::with_capacity(BUFFER, io::stdout().lock());
    let (name, done) = match arguments.command {
        Command::Decode(options) => ("decode", decode(input, &mut output, options)),
        Command::Encode(options) => ("encode", encode(input, &mut output, options)),
        Command::Show { hex, options } => ("show", show_one(hex, input, &mut output, options)),
    };
    // What was answered before a bad line is wanted nevertheless.
    let flushed = output.flush();
    match done.and_then(|()| Ok(flushed?)) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output has seen enough.
        Err(Stop::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Stop::Io(error)) => {
            eprintln!("stmf-sim msg {name}: {error}");
            ExitCode::FAILURE
        }
        Err(Stop::Input(wrong)) => {
            eprintln!("stmf-sim msg {name}: {wrong}");
            ExitCode::from(2)
        }
    }
}

/// The answer to a line of hexadecimal.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer<'a> {
    Accepted { accepted: bool, msg: &'a Message },
    Refused { accepted: bool, error: String },
}

impl<'a> Answer<'a> {
    fn accepted(msg: &'a Message) -> Answer<'a> {
        Answer::Accepted {
            accepted: true,
            msg,
        }
    }

    fn refused(error: impl ToString) -> Answer<'a> {
        Answer::Refused {
            accepted: false,
            error: error.to_string(),
        }
    }
}

fn decode<R: Read>(
    input: BufReader<R>,
    output: &mut impl Write,
    options: Options,
) -> Result<(), Stop> {
    let limits = options.limits();
    let dialect = options.dialect.into();
    let mut lines = Lines::new(input, options.longest_line());
    let mut wire = Vec::new();
    loop {
        if lines.would_wait() {
            output.flush()?;
        }
        let answer = match lines.next()? {
            Line::End => return Ok(()),
            Line::TooLong { limit } => {
                let wrong = format!("line of more than {limit} bytes; see --max-message");
                serde_json::to_writer(&mut *output, &Answer::refused(wrong))
            }
            Line::Text(text) => {
                wire.clear();
                let decoded = match hex::decode_into(text, &mut wire) {
                    Ok(()) => Message::decode_within(&wire, dialect, &limits)
                        .map_err(|error| error.to_string()),
                    Err(error) => Err(error.to_string()),
                };
                match decoded {
                    Ok(message) => serde_json::to_writer(&mut *output, &Answer::accepted(&message)),
                    Err(error) => serde_json::to_writer(&mut *output, &Answer::refused(error)),
                }
            }
        };
        answer?;
        output.write_all(b"\n")?;
    }
}

fn encode<R: Read>(
    input: BufReader<R>,
    output: &mut impl Write,
    options: Options,
) -> Result<(), Stop> {
    let limit = options.limits().max_size;
    let mut lines = Lines::new(input, options.longest_line());
    let mut wire = Vec::new();
    let mut text = Vec::new();
    loop {
        if lines.would_wait() {
            output.flush()?;
        }
        let line = match lines.next()? {
            Line::End => return Ok(()),
            Line::TooLong { limit } => Err(format!("more than {limit} bytes; see --max-message")),
            Line::Text([]) => continue,
            Line::Text(line) => encode_line(line, options.dialect.into(), limit, &mut wire),
        };
        if let Err(wrong) = line {
            let number = lines.number();
            return Err(Stop::Input(format!("line {number}: {wrong}")));
        }
        text.clear();
        hex::encode_into(&wire, &mut text);
        text.push(b'\n');
        output.write_all(&text)?;
    }
}

/// Puts the message of a line of JSON into `wire`.
fn encode_line(
    line: &[u8],
    dialect: message::Dialect,
    limit: usize,
    wire: &mut Vec<u8>,
) -> Result<(), String> {
    let message: Message = serde_json::from_slice(line).map_err(|error| {
        // There is only one line, and the caller names it. What is wrong with the object as a
        // whole has no column.
        let place = format!(" at line {} column {}", error.line(), error.column());
        let wrong = error.to_string();
        let wrong = wrong.strip_suffix(&place).unwrap_or(&wrong);
        match error.column() {
            0 => wrong.to_owned(),
            column => format!("column {column}: {wrong}"),
        }
    })?;
    let size = message
        .encoded_len(dialect)
        .map_err(|error| error.to_string())?;
    if size > limit {
        return Err(format!(
            "{size} bytes when encoded, over {limit}; see --max-message"
        ));
    }
    wire.clear();
    message
        .encode_into(dialect, wire)
        .map_err(|error| error.to_string())
}

fn show_one<R: Read>(
    argument: Option<String>,
    input: BufReader<R>,
    output: &mut impl Write,
    options: Options,
) -> Result<(), Stop> {
    let mut text = match argument {
        Some(text) => text.into_bytes(),
        None => {
            let limit = options.longest_line();
            let mut text = Vec::new();
            input.take(limit as u64 + 1).read_to_end(&mut text)?;
            if text.len() > limit {
                let wrong = format!("more than {limit} bytes of input; see --max-message");
                return Err(Stop::Input(wrong));
            }
            text
        }
    };
    text.retain(|byte| !byte.is_ascii_whitespace());
    let wire = hex::decode(&text).map_err(|error| Stop::Input(error.to_string()))?;
    let dialect = options.dialect.into();
    match Message::decode_within(&wire, dialect, &options.limits()) {
        Ok(message) => {
            output.write_all(show::message(&message, wire.len(), dialect).as_bytes())?;
            Ok(())
        }
        Err(error) => {
            let around = show::around(&wire, error.offset());
            Err(Stop::Input(format!("refused: {error}{around}")))
        }
    }
}
