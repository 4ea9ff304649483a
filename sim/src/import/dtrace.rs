// SPDX-License-Identifier: MPL-2.0
//! Makes a trace of what `contrib/dtrace/stmf-proxy.d` has captured on a node. The form of its
//! output is told in `contrib/dtrace/README.md`.
//!
//! dtrace prints what each CPU has recorded in turn, so lines come out of order by as long as it
//! waits between two turns. Events are held for [`Settings::window`] of their own time and
//! written in order. What was dropped, cut or could not be read does not stop the import; a line
//! that the script cannot have written does.
//!
//! Memory is bounded by [`Settings::max_held`] and [`MAX_LINE`], whatever the input.

mod calls;
mod error;
mod held;
mod line;

pub use error::{ImportError, Problem};
pub use line::MAX_CHUNK;

use calls::Calls;
use held::{Held, What};
use line::{Line, append_row, parse};
use std::collections::BTreeMap;
use std::io::{BufRead, Read, Write};
use std::time::Duration;
use stmf_proxy::time::Time;
use stmf_proxy::trace::{Event, Origin, Record, Section, Sink, Writer};

/// The version of the output that is read.
pub const VERSION: u64 = 1;

/// The longest line that is read, in bytes.
pub const MAX_LINE: usize = 4096;

/// How an import is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The node that the capture is of, 0 to 254.
    pub node: u8,
    /// How much later than its time an event can come, by the times of the events that came
    /// before. Default [`Settings::DEFAULT_WINDOW`].
    pub window: Duration,
    /// The most bytes of messages that are held for sorting; 64 are counted for an event
    /// besides. Default [`Settings::DEFAULT_MAX_HELD`].
    pub max_held: usize,
}

impl Settings {
    /// Ten seconds: a hundred times what the script sets `switchrate` to.
    pub const DEFAULT_WINDOW: Duration = Duration::from_secs(10);
    /// 256 MiB.
    pub const DEFAULT_MAX_HELD: usize = 256 << 20;
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            node: 0,
            window: Self::DEFAULT_WINDOW,
            max_held: Self::DEFAULT_MAX_HELD,
        }
    }
}

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Events in the trace.
    pub events: u64,
    /// Messages of which bytes are missing.
    pub cut: u64,
    /// Records that dtrace says it has dropped.
    pub dropped: u64,
    /// Ends of calls whose beginning was not captured.
    pub unpaired: u64,
    /// Reads of memory that have failed.
    pub errors: u64,
    /// Events that came later than the window allows; they are in the trace out of order.
    pub late: u64,
    /// Whether the capture has its end. Without it dtrace was killed, or the file is cut.
    pub complete: bool,
}

/// Reads a capture and writes a trace of it.
///
/// # Errors
///
/// [`ImportError`]; in every case the trace has all events that came before.
pub fn import(
    mut input: impl BufRead,
    settings: &Settings,
    output: impl Write,
) -> Result<Imported, ImportError> {
    let mut lines = Lines {
        input: &mut input,
        number: 0,
        text: Vec::new(),
        ended: false,
    };
    let mut importer = begin(&mut lines, settings, output)?;
    let read = importer.read(&mut lines);
    importer.write_until(None);
    let Importer {
        writer, imported, ..
    } = importer;
    writer.finish()?;
    read.map(|()| imported)
}

/// Reads the beginning, and begins the trace.
fn begin<W: Write>(
    lines: &mut Lines<'_, impl BufRead>,
    settings: &Settings,
    output: W,
) -> Result<Importer<W>, ImportError> {
    let mut titled = false;
    loop {
        let line = lines.next()?;
        let Some((number, line)) = line else {
            return Err(wrong(lines.number, Problem::NoTitle));
        };
        match line.map_err(|_| wrong(number, Problem::NoTitle))? {
            Line::Nothing | Line::Drops { .. } => {}
            Line::Title { version } if version != VERSION => {
                return Err(wrong(number, Problem::Version { found: version }));
            }
            Line::Title { .. } if !titled => titled = true,
            Line::Begin { time, wall } if titled => {
                let section = Section {
                    nodes: BTreeMap::from([(settings.node, None)]),
                    origin: Origin::Unix(wall),
                    ..Section::new(concat!(
                        "stmf-sim ",
                        env!("CARGO_PKG_VERSION"),
                        " import-dtrace"
                    ))
                };
                return Ok(Importer {
                    settings: settings.clone(),
                    origin: time,
                    writer: Writer::new(output, section)?,
                    imported: Imported::default(),
                    held: BTreeMap::new(),
                    held_bytes: 0,
                    latest: time,
                    written: time,
                    calls: Calls::default(),
                    announced: None,
                    chunk: None,
                });
            }
            _ => return Err(wrong(number, Problem::NoTitle)),
        }
    }
}

fn wrong(line: u64, problem: Problem) -> ImportError {
    ImportError::Line { line, problem }
}

/// A line with its number.
type Numbered<'a> = (u64, Result<Line<'a>, Problem>);

/// The lines of the input, numbered from 1.
struct Lines<'a, R> {
    input: &'a mut R,
    number: u64,
    text: Vec<u8>,
    ended: bool,
}

impl<R: BufRead> Lines<'_, R> {
    /// The next line; `None` at the end. A last line without a line break is one that was cut,
    /// and is not given.
    fn next(&mut self) -> Result<Option<Numbered<'_>>, ImportError> {
        if self.ended {
            return Ok(None);
        }
        self.text.clear();
        self.number += 1;
        let line = self.number;
        let limit = MAX_LINE as u64 + 1;
        let read = Read::take(&mut *self.input, limit).read_until(b'\n', &mut self.text);
        read.map_err(|source| ImportError::Read { line, source })?;
        if self.text.last() != Some(&b'\n') {
            if self.text.len() > MAX_LINE {
                return Err(wrong(line, Problem::TooLong));
            }
            self.ended = true;
            return Ok(None);
        }
        let parsed = match std::str::from_utf8(&self.text) {
            Ok(text) => parse(text.trim_end_matches(['\n', '\r'])),
            Err(_) => Err(Problem::NotText),
        };
        Ok(Some((line, parsed)))
    }
}

/// A chunk of a message, of which the rows are still coming.
struct Chunk {
    offset: u32,
    length: u32,
    bytes: Vec<u8>,
    columns: bool,
}

struct Importer<W: Write> {
    settings: Settings,
    /// The time of the `begin` line; times in the trace count from here.
    origin: u64,
    writer: Writer<W>,
    imported: Imported,
    /// Events that wait to be sorted, by time and line.
    held: BTreeMap<(u64, u64), Held>,
    held_bytes: usize,
    /// The latest time that was seen.
    latest: u64,
    /// The latest time that was written.
    written: u64,
    calls: Calls,
    /// The message that was announced last: its key in `held`.
    announced: Option<(u64, u64)>,
    chunk: Option<Chunk>,
}

impl<W: Write> Importer<W> {
    fn read(&mut self, lines: &mut Lines<'_, impl BufRead>) -> Result<(), ImportError> {
        while let Some((number, line)) = lines.next()? {
            let taken = line.and_then(|line| self.take(number, line));
            taken.map_err(|problem| wrong(number, problem))?;
        }
        self.end_chunk();
        Ok(())
    }

    fn take(&mut self, number: u64, line: Line<'_>) -> Result<(), Problem> {
        match line {
            Line::Columns => {
                let chunk = self.chunk.as_mut().filter(|chunk| !chunk.columns);
                chunk.ok_or(Problem::Unknown)?.columns = true;
                return Ok(());
            }
            Line::Row { at, bytes } => {
                let chunk = self.chunk.as_mut().filter(|chunk| chunk.columns);
                let chunk = chunk.ok_or(Problem::Row)?;
                return append_row(at, bytes, chunk.length, &mut chunk.bytes).ok_or(Problem::Row);
            }
            Line::Nothing => return Ok(()),
            // dtrace says so at any time, in the middle of a dump too, and later than it happens.
            Line::Drops { records } => {
                self.imported.dropped = self.imported.dropped.saturating_add(records);
                let lost = Held::other(What::Lost { records }, 0);
                self.hold(self.latest, number, lost);
                return Ok(());
            }
            _ => self.end_chunk(),
        }
        if !matches!(line, Line::Data { .. }) {
            self.settle();
        }
        match line {
            Line::Upcall { time, thread, size } => {
                let message = Held::message(What::Upcall, thread, size);
                self.announced = Some((time, number));
                self.hold(time, number, message);
            }
            Line::Post { time, thread, size } => {
                let message = Held::message(What::Post, thread, size);
                self.announced = Some((time, number));
                self.hold(time, number, message);
            }
            Line::Data {
                started,
                thread,
                offset,
                length,
            } => {
                let known = self.announced.filter(|(time, _)| *time == started);
                let held = known.and_then(|key| self.held.get(&key));
                let held = held.filter(|held| held.thread == thread);
                let held = held.ok_or(Problem::Orphan)?;
                let size = held.size;
                if length > MAX_CHUNK || !held.expects(offset, length) {
                    return Err(Problem::Chunk {
                        offset,
                        length,
                        size,
                    });
                }
                self.chunk = Some(Chunk {
                    offset,
                    length,
                    bytes: Vec::with_capacity(length as usize),
                    columns: false,
                });
            }
            Line::UpcallDone {
                time,
                thread,
                started,
                size,
                result,
            } => {
                let end = What::UpcallDone {
                    started,
                    size,
                    result,
                };
                self.hold(time, number, Held::other(end, thread));
            }
            Line::PostDone {
                time,
                thread,
                started,
                errno,
            } => {
                let end = What::PostDone { started, errno };
                self.hold(time, number, Held::other(end, thread));
            }
            Line::Unreferenced { time } => {
                self.hold(time, number, Held::other(What::Unreferenced, 0));
            }
            Line::Error { time } => {
                self.imported.errors += 1;
                self.latest = self.latest.max(time);
            }
            Line::End { time } => {
                self.imported.complete = true;
                self.latest = self.latest.max(time);
            }
            Line::Title { .. } | Line::Begin { .. } => return Err(Problem::SecondCapture),
            Line::Nothing | Line::Columns | Line::Row { .. } | Line::Drops { .. } => {}
        }
        Ok(())
    }

    /// The rows of a chunk have come, all or as many as there are.
    fn end_chunk(&mut self) {
        let Some(chunk) = self.chunk.take() else {
            return;
        };
        let held = self.announced.and_then(|key| self.held.get_mut(&key));
        if let Some(held) = held {
            self.held_bytes += held.add(chunk.offset, chunk.length, chunk.bytes);
        }
    }

    fn hold(&mut self, time: u64, number: u64, held: Held) {
        self.held.insert((time, number), held);
        self.held_bytes += HELD;
        self.latest = self.latest.max(time);
    }

    /// The message that was announced last is complete: what is older than the window is
    /// written, and what is too much.
    fn settle(&mut self) {
        self.announced = None;
        let window = u64::try_from(self.settings.window.as_nanos()).unwrap_or(u64::MAX);
        self.write_until(Some(self.latest.saturating_sub(window)));
        while self.held_bytes > self.settings.max_held && self.held.len() > 1 {
            self.write_first();
        }
    }

    /// Writes what happened before `time`, or everything.
    fn write_until(&mut self, time: Option<u64>) {
        while let Some((first, _)) = self.held.first_key_value() {
            if time.is_some_and(|time| first.0 >= time) {
                break;
            }
            self.write_first();
        }
    }

    fn write_first(&mut self) {
        let Some(((time, _), held)) = self.held.pop_first() else {
            return;
        };
        self.held_bytes = self.held_bytes.saturating_sub(HELD + held.kept());
        let mut note = String::new();
        if time < self.written {
            self.imported.late += 1;
            note = format!("came {} ns too late to be sorted", self.written - time);
        }
        self.written = self.written.max(time);
        self.write_event(time, &held, note);
    }

    fn write_event(&mut self, time: u64, held: &Held, mut note: String) {
        let mut add = |text: &str| {
            if !note.is_empty() {
                note.push_str("; ");
            }
            note.push_str(text);
        };
        let text;
        let message;
        let mut cut = None;
        let event = match held.what {
            What::Upcall | What::Post => {
                (message, cut) = held.assemble();
                let message = &*message;
                let number = self.calls.begin(held.what, held.thread, time);
                self.imported.cut += u64::from(cut.is_some());
                match held.what {
                    What::Upcall => Event::Upcall {
                        call: number,
                        attempt: 0,
                        lock_held: false,
                        message,
                    },
                    _ => Event::Post {
                        post: number,
                        message,
                    },
                }
            }
            What::UpcallDone {
                started,
                size,
                result,
            } => {
                let call = self.calls.end(What::Upcall, held.thread, started);
                if call.is_none() {
                    self.imported.unpaired += 1;
                    add("its beginning was not captured");
                }
                let call = call.unwrap_or(0);
                if size == 4 {
                    let outcome = Ok(result);
                    Event::UpcallDone { call, outcome }
                } else {
                    text = format!(
                        "the relay answered upcall {call} with {size} bytes; the kernel reads 4"
                    );
                    Event::RelayLog(&text)
                }
            }
            What::PostDone { started, errno } => {
                let post = self.calls.end(What::Post, held.thread, started);
                if post.is_none() {
                    self.imported.unpaired += 1;
                    add("its beginning was not captured");
                }
                let outcome = if errno == 0 { Ok(()) } else { Err(errno) };
                Event::PostDone {
                    post: post.unwrap_or(0),
                    outcome,
                }
            }
            What::Unreferenced => Event::Unreferenced,
            What::Lost { records } => {
                add("dropped by dtrace; give it larger buffers");
                Event::Lost { events: records }
            }
        };
        self.imported.events += 1;
        let time = Time::from_nanos(time.saturating_sub(self.origin));
        let record = Record {
            cut,
            ..Record::new(self.imported.events, time, Some(self.settings.node), event)
        };
        if note.is_empty() {
            self.writer.record(&record);
        } else {
            self.writer.record_with_note(&record, &note);
        }
    }
}

/// What an event is counted for in [`Settings::max_held`], besides its bytes.
const HELD: usize = 64;
