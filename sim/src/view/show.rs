// SPDX-License-Identifier: MPL-2.0
//! A trace as a listing: a line for every event that is wanted.
//!
//! The trace is read once, from front to end, in bounded memory. What is to be said about the
//! file itself (its sections, what of it is damaged or missing) stands between the events, where
//! it was found, in lines that begin with `#`; no filter takes these away.

use super::bounded::{Bounded, TABLE_LIMIT};
use super::describe::{decode, details};
use super::filter::{Filter, Verdict};
use super::follow::{CommandKey, Follower};
use super::json::{self, Place};
use super::line::{self, LEAST_WIDTH, Line};
use super::text::{calendar, clean, count, duration, seconds, width, wrap};
use crate::recording::{KERNEL_NOTE, PLAN_NOTE};
use crate::report::style::{Style, Tone};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use stmf_proxy::trace::{Entry, Files, FilesError, Origin, Section};

/// The most bytes of commands that wait for their task: 64 MiB.
pub const MAX_WAITING_BYTES: usize = 64 << 20;

/// Columns of a time of day.
const TIME_OF_DAY: usize = 15;

/// How a trace is shown.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Which events.
    pub filter: Filter,
    /// How.
    pub form: Form,
}

/// How events are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text {
        /// The most columns of a line; less than [`LEAST_WIDTH`] counts as that.
        width: usize,
        /// Colour.
        style: Style,
        /// Whether all fields of an event stand below its line.
        long: bool,
        /// Whether times are those of the calendar where the trace has them (UTC), instead of
        /// counting from the first event.
        absolute: bool,
    },
    /// For programs: one JSON object a line.
    Json {
        /// Whether data is given, in hexadecimal.
        data: bool,
    },
}

impl Default for Form {
    fn default() -> Form {
        Form::Text {
            width: 80,
            style: Style::PLAIN,
            long: false,
            absolute: false,
        }
    }
}

/// What was shown.
#[derive(Debug, Default)]
pub struct Shown {
    /// Events that were read.
    pub read: u64,
    /// Events that were shown.
    pub shown: u64,
    /// Oddities of the files that were met.
    pub notices: u64,
    /// Files that could not be read, or not to their end.
    pub broken: usize,
    /// Things under way that were forgotten because there were too many.
    pub forgotten: u64,
}

impl Shown {
    /// Whether everything in the files could be read, and followed.
    pub fn complete(&self) -> bool {
        self.notices == 0 && self.broken == 0
    }

    /// What is to be said at the end to somebody who may not have seen the listing, if anything.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if !self.complete() {
            let notices = count(self.notices, "oddity").replace("odditys", "oddities");
            remarks.push(format!(
                "parts of the trace could not be read: {notices}, {} cut short or unreadable; {} \
                 were read",
                count(self.broken as u64, "file"),
                count(self.read, "event"),
            ));
        }
        if self.forgotten > 0 {
            remarks.push(format!(
                "more than {TABLE_LIMIT} calls or commands were under way at once; {} of them \
                 were forgotten, so that what belongs to them may be missing",
                self.forgotten
            ));
        }
        remarks
    }
}

/// Writes a listing of a trace.
///
/// # Errors
///
/// Only what `out` says. What is wrong with the files is in the listing and in [`Shown`].
pub fn show(files: &mut Files, settings: &Settings, out: &mut dyn Write) -> io::Result<Shown> {
    let mut show = Show {
        settings,
        out,
        follower: Follower::new(),
        waiting: Bounded::new(TABLE_LIMIT),
        waiting_bytes: 0,
        clock: Clock::default(),
        day: None,
        sections: 0,
        broken: 0,
        lost_waiting: 0,
        shown: Shown::default(),
    };
    show.heading()?;
    show.file_news(files, None)?;
    let end = loop {
        match files.advance() {
            Ok(more) => {
                show.file_news(files, None)?;
                let Some(entry) = files.entry().filter(|_| more) else {
                    break None;
                };
                // The section of an entry is that of its file, as long as there is an entry.
                if let Some(section) = files.section() {
                    show.event(&entry, section)?;
                }
            }
            Err(error) => break Some(error),
        }
    };
    show.file_news(files, end.as_ref())?;
    show.shown.read = files.records();
    show.shown.notices = files.notice_count();
    show.shown.broken = files.broken().len() + usize::from(end.is_some());
    show.shown.forgotten = show.follower.forgotten() + show.waiting.forgotten() + show.lost_waiting;
    Ok(show.shown)
}

/// Times of events as they are shown.
#[derive(Debug, Default)]
pub(super) struct Clock {
    first: Option<(bool, u64)>,
}

impl Clock {
    /// Nanoseconds of an event since the first one, and on the clock of its section. A section
    /// whose clock is of another kind begins anew.
    pub(super) fn read(&mut self, entry: &Entry<'_>, section: &Section) -> (i128, u64) {
        let world = section.origin == Origin::World;
        let now = section
            .origin
            .unix_nanos()
            .saturating_add(entry.record.time.as_nanos());
        let first = match self.first {
            Some((of_world, first)) if of_world == world => first,
            _ => {
                self.first = Some((world, now));
                now
            }
        };
        (i128::from(now) - i128::from(first), now)
    }

    /// Nanoseconds since the first event of a time on the clock of the sections.
    pub(super) fn since(&self, now: u64) -> i128 {
        i128::from(now) - i128::from(self.first.map_or(0, |(_, first)| first))
    }
}

struct Show<'a> {
    settings: &'a Settings,
    out: &'a mut dyn Write,
    follower: Follower,
    /// Lines of commands of which it is not known yet whether they are wanted.
    waiting: Bounded<CommandKey, String>,
    waiting_bytes: usize,
    clock: Clock,
    day: Option<String>,
    sections: u64,
    broken: usize,
    lost_waiting: u64,
    shown: Shown,
}

impl Show<'_> {
    fn heading(&mut self) -> io::Result<()> {
        let Form::Text {
            width,
            style,
            absolute,
            ..
        } = self.settings.form
        else {
            return Ok(());
        };
        let mut line = line::heading();
        if absolute {
            line.time = format!("{:<TIME_OF_DAY$}", line.time);
        }
        let line = line.render(width, Style::PLAIN);
        writeln!(self.out, "{}", style.paint(Tone::Heading, &line))
    }

    /// A remark between the events.
    fn remark(&mut self, text: &str, tone: Tone) -> io::Result<()> {
        let Form::Text { width, style, .. } = self.settings.form else {
            return Ok(());
        };
        for line in wrap(&line::remark(text), width.max(LEAST_WIDTH) - 2) {
            writeln!(self.out, "{}", style.paint(tone, &format!("# {line}")))?;
        }
        Ok(())
    }

    /// What has become known of the files since the last event.
    fn file_news(&mut self, files: &mut Files, end: Option<&FilesError>) -> io::Result<()> {
        for (path, notice) in files.take_notices() {
            let path = path.display().to_string();
            match self.settings.form {
                Form::Text { .. } => self.remark(&notice.to_string(), Tone::Bad)?,
                Form::Json { .. } => {
                    writeln!(
                        self.out,
                        "{}",
                        json::notice(&path, &notice.to_string()).line()
                    )?;
                }
            }
        }
        let broken = files.broken().get(self.broken..).unwrap_or_default();
        let broken: Vec<_> = broken.iter().chain(end).map(path_and_reason).collect();
        self.broken = files.broken().len();
        for (path, reason) in broken {
            match self.settings.form {
                Form::Text { .. } => {
                    let name = file_name(&path);
                    self.remark(&format!("{name}: {reason}"), Tone::Bad)?;
                }
                Form::Json { .. } => {
                    let path = path.display().to_string();
                    writeln!(self.out, "{}", json::notice(&path, &reason).line())?;
                }
            }
        }
        let sections = files.sections();
        if sections == self.sections {
            return Ok(());
        }
        self.sections = sections;
        let (Some(section), Some(path)) = (files.section(), files.path()) else {
            return Ok(());
        };
        match self.settings.form {
            Form::Json { .. } => {
                let path = path.display().to_string();
                let object = json::section(sections, &path, section);
                writeln!(self.out, "{}", object.line())
            }
            Form::Text { .. } => {
                let text = describe_section(sections, &file_name(path), section);
                text.iter()
                    .try_for_each(|line| self.remark(line, Tone::Faint))
            }
        }
    }

    fn event(&mut self, entry: &Entry<'_>, section: &Section) -> io::Result<()> {
        let record = &entry.record;
        let (time, now) = self.clock.read(entry, section);
        let dialect = record
            .node
            .and_then(|node| section.nodes.get(&node).copied().flatten());
        let context = self.follower.follow(record, dialect, now);
        let message = decode(record, dialect);
        let trouble = line::trouble(record, message.as_ref());
        if let Some(command) = context.command {
            self.release(command, &context)?;
        }
        let filter = &self.settings.filter;
        let verdict = filter.verdict(record, &context, trouble, time);
        if verdict == Verdict::Skip {
            return Ok(());
        }
        let took = context.began.map(|began| now.saturating_sub(began));
        let text = match self.settings.form {
            Form::Json { data } => {
                let place = Place {
                    section: self.sections,
                    time,
                    unix: (section.origin != Origin::World).then_some(now),
                    took,
                };
                let object = json::event(entry, message, &context, place, trouble, data);
                object.line() + "\n"
            }
            Form::Text {
                width,
                style,
                long,
                absolute,
            } => {
                let time = match (absolute, section.origin) {
                    (true, Origin::Unix(_)) => self.time_of_day(now)?,
                    (true, Origin::World) => format!("{:>TIME_OF_DAY$}", seconds(time)),
                    (false, _) => seconds(time),
                };
                let line = Line::new(record, message.as_ref(), &context, took, time);
                let mut text = line.render(width, style);
                text.push('\n');
                if let Some(note) = note(entry) {
                    for line in wrap(&clean(note), width.max(LEAST_WIDTH) - 10) {
                        text += &format!("#   note: {line}\n");
                    }
                }
                if long {
                    text += &fields_below(entry, dialect, took, width.max(LEAST_WIDTH));
                }
                text
            }
        };
        match (verdict, context.command) {
            (Verdict::Wait, Some(command)) => {
                if self.waiting_bytes + text.len() > MAX_WAITING_BYTES {
                    self.lost_waiting += 1;
                } else {
                    self.waiting_bytes += text.len();
                    let gone = self.waiting.insert(command, text);
                    let gone = gone.map_or(0, |text| text.len());
                    self.waiting_bytes = self.waiting_bytes.saturating_sub(gone);
                }
                Ok(())
            }
            _ => self.put(&text),
        }
    }

    fn put(&mut self, text: &str) -> io::Result<()> {
        self.shown.shown += 1;
        self.out.write_all(text.as_bytes())
    }

    /// More is known of a command, or it has ended: it is shown if it is wanted, and does not
    /// wait any more.
    fn release(&mut self, command: CommandKey, context: &super::follow::Context) -> io::Result<()> {
        let Some(text) = self.waiting.remove(&command) else {
            return Ok(());
        };
        self.waiting_bytes = self.waiting_bytes.saturating_sub(text.len());
        match self.settings.filter.belongs(context, false) {
            Verdict::Show => self.put(&text),
            _ => Ok(()),
        }
    }

    /// The time of day; a new day is told of before.
    fn time_of_day(&mut self, unix: u64) -> io::Result<String> {
        let (day, time) = calendar(unix);
        if self.day.as_ref() != Some(&day) {
            self.remark(&format!("{day} (UTC)"), Tone::Faint)?;
            self.day = Some(day);
        }
        Ok(time)
    }
}

/// What somebody has noted beside an event: what the comment says after the recorder's own words.
fn note<'a>(entry: &Entry<'a>) -> Option<&'a str> {
    const DAMAGED: &str = "damaged: this cannot be read as a message";
    let comment = entry.comment?;
    let own = match entry.record.event.trouble() {
        Some(trouble) => trouble.to_string(),
        None => DAMAGED.to_owned(),
    };
    match comment.strip_prefix(&*own) {
        Some(rest) => rest.strip_prefix("; "),
        // The recorder's own words, cut short because they were too long.
        None if own.starts_with(comment) => None,
        None => Some(comment),
    }
}

/// All fields of an event, a line for each.
fn fields_below(
    entry: &Entry<'_>,
    dialect: Option<stmf_proxy::message::Dialect>,
    took: Option<u64>,
    room: usize,
) -> String {
    let mut all = details(&entry.record, dialect);
    if let Some(took) = took {
        all.push(("took".to_owned(), duration(took)));
    }
    all.push(("sequence".to_owned(), entry.record.sequence.to_string()));
    if let Some(hash) = entry.record.hash {
        all.push(("hash".to_owned(), format!("{hash:016x}")));
    }
    let names = all.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in all {
        let lines = wrap(&value, room.saturating_sub(names + 6).max(20));
        for (number, line) in lines.iter().enumerate() {
            let name = if number == 0 { &*name } else { "" };
            text += format!("    {name:names$}  {line}").trim_end();
            text.push('\n');
        }
    }
    text
}

/// Which file, and what is the matter with it.
fn path_and_reason(error: &FilesError) -> (PathBuf, String) {
    match error {
        FilesError::Open { path, source } => (path.clone(), source.to_string()),
        FilesError::Read { path, error } => (path.clone(), error.to_string()),
        FilesError::NoFiles { path } => (path.clone(), error.to_string()),
    }
}

/// The last part of a path: the others are as good as the same for all files of a trace.
fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// What a section says of itself, line by line.
fn describe_section(number: u64, file: &str, section: &Section) -> Vec<String> {
    let mut lines = Vec::new();
    let mut first = format!("{file}, section {number}");
    if !section.recorder.is_empty() {
        first += &format!(" by {}", section.recorder);
    }
    if section.part > 0 {
        first += &format!(", part {} of a ring", section.part);
    }
    if let Some(scenario) = &section.scenario {
        first += &format!(", scenario {scenario}");
    }
    if let Some(seed) = section.seed {
        first += &format!(", seed {seed}");
    }
    lines.push(first);
    let mut second = match section.origin {
        Origin::World => "clock: since the start of a simulated world".to_owned(),
        Origin::Unix(nanoseconds) => {
            let (day, time) = calendar(nanoseconds);
            format!("clock: from {day} {time} UTC")
        }
    };
    for (node, dialect) in &section.nodes {
        let dialect = dialect.map_or("unknown", |dialect| dialect.name());
        second += &format!("; node {node}: dialect {dialect}");
    }
    lines.push(second);
    if let Some(keep) = section.snap.keep {
        let digest = match section.snap.digest {
            true => ", digests of the rest",
            false => "",
        };
        let kept = count(keep.into(), "byte");
        lines.push(format!("data left out: {kept} of each event kept{digest}"));
    }
    if section.lost > 0 {
        let events = count(section.lost, "event");
        lines.push(format!(
            "{events} before this section could not be recorded"
        ));
    }
    // What the world was made of is for replays: `--json` has it.
    let notes = section
        .notes
        .iter()
        .filter(|(name, _)| *name != PLAN_NOTE && *name != KERNEL_NOTE);
    lines.extend(notes.map(|(name, value)| format!("{name}: {value}")));
    lines
}

#[cfg(test)]
mod tests;
