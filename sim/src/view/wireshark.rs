// SPDX-License-Identifier: MPL-2.0
//! Copies of traces that Wireshark opens whole.
//!
//! Wireshark takes no packet of more than [`MAX_PACKET`] bytes of our link type: at the first
//! such it gives up the rest of the file. A message carries a byte of data in four, so 64 KiB of
//! data are too much.

use std::io::Write;
use stmf_proxy::trace::{Entry, Files, FilesError, RecordBuf, Snap, WriteError, Writer};

/// The longest packet that Wireshark reads, in bytes.
pub const MAX_PACKET: usize = 262_144;

/// How many bytes of data are kept of an event that is too long.
pub const KEEP: u32 = 1024;

/// Why there is no copy, or not of everything.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The trace cannot be read on. What came before was copied.
    #[error(transparent)]
    Read(#[from] FilesError),
    /// The copy cannot be written on.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Events in the copy.
    pub events: u64,
    /// Of how many of them data was cut.
    pub cut: u64,
    /// Events that cannot be made to fit, and are not in the copy.
    pub left_out: u64,
}

/// Copies a trace. Of events that are too long the first [`KEEP`] bytes of data are kept and a
/// digest of the rest; all others stay as they are, with what is said beside them.
///
/// # Errors
///
/// Where the trace cannot be read on, or the copy not be written.
pub fn copy(files: &mut Files, mut output: impl Write) -> Result<Copied, CopyError> {
    let mut copied = Copied::default();
    let mut next = fitted(files, &mut copied)?;
    while next.is_some() {
        let mut section = files.section().cloned().unwrap_or_default();
        let original = section.clone();
        let note = format!("of events over {MAX_PACKET} bytes, {KEEP} bytes of data were kept");
        section.notes.insert("copied for Wireshark".into(), note);
        let mut writer = Writer::new(&mut output, section)?;
        let mut last = 0;
        while let Some((record, note)) = &next {
            let record = record.get();
            // Another section has begun.
            if record.sequence <= last || files.section().is_some_and(|new| *new != original) {
                break;
            }
            last = record.sequence;
            match note {
                Some(note) => writer.record_with_note(&record, note),
                None => stmf_proxy::trace::Sink::record(&mut writer, &record),
            }
            copied.events += 1;
            next = match fitted(files, &mut copied) {
                Ok(next) => next,
                Err(error) => {
                    writer.finish()?;
                    return Err(error.into());
                }
            };
        }
        writer.finish()?;
    }
    Ok(copied)
}

/// The next record that fits, and the note beside it.
fn fitted(
    files: &mut Files,
    copied: &mut Copied,
) -> Result<Option<(RecordBuf, Option<String>)>, FilesError> {
    while let Some(entry) = files.next_entry()? {
        let snap = Snap {
            keep: Some(KEEP),
            digest: true,
        };
        match RecordBuf::within(&entry.record, snap, MAX_PACKET) {
            Some(record) => {
                copied.cut += u64::from(record.get().cut != entry.record.cut);
                let note = note(&entry);
                return Ok(Some((record, note)));
            }
            None => copied.left_out += 1,
        }
    }
    Ok(None)
}

/// What is said beside a record but for what a writer says of its own.
fn note(entry: &Entry<'_>) -> Option<String> {
    let comment = entry.comment?;
    let note = match entry.record.event.trouble() {
        Some(trouble) => comment.strip_prefix(&*trouble.to_string())?,
        None => comment.strip_prefix(DAMAGED).unwrap_or(comment),
    };
    let note = note.strip_prefix("; ").unwrap_or(note);
    (!note.is_empty()).then(|| note.to_owned())
}

/// What a writer says of a message that cannot be read.
const DAMAGED: &str = "damaged: this cannot be read as a message";

#[cfg(test)]
mod tests {
    use super::*;
    use stmf_proxy::time::Time;
    use stmf_proxy::trace::{Event, Reader, Record, Section, Sink};

    #[test]
    fn only_what_is_too_long_is_cut() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("trace.pcapng");
        let long = vec![1; MAX_PACKET];
        let data: &[&[u8]] = &[b"short", &long[..MAX_PACKET - 64], &long[..MAX_PACKET - 63]];
        let mut file = Vec::new();
        for seed in [1, 2] {
            let section = Section {
                seed: Some(seed),
                ..Section::new("test")
            };
            let mut writer = Writer::new(&mut file, section).expect("memory takes it");
            for (index, bytes) in data.iter().enumerate() {
                let connection = 1;
                let event = Event::Sent { connection, bytes };
                let number = index as u64 + 1;
                let record = Record::new(number, Time::from_nanos(number), Some(0), event);
                writer.record_with_note(&record, "a note");
            }
            let event = Event::Lost { events: 3 };
            writer.record(&Record::new(4, Time::from_nanos(4), None, event));
            let name = vec![b'n'; 65_000];
            let event = Event::SessionOpened {
                initiator: 0,
                session: 0,
                port: &name,
                name: &name,
            };
            writer.record_with_note(&Record::new(5, Time::from_nanos(5), None, event), "odd");
            writer.finish().expect("memory takes it");
        }
        std::fs::write(&path, file).expect("it can be written");
        let mut files = Files::open(&path).expect("a trace");
        let mut output = Vec::new();
        let copied = copy(&mut files, &mut output).expect("it can be copied");
        let expected = Copied {
            events: 10,
            cut: 2,
            left_out: 0,
        };
        assert_eq!(copied, expected);
        let mut reader = Reader::new(&*output).expect("a trace");
        let mut files = Files::open(&path).expect("a trace");
        for index in 0..10 {
            let copied = reader.next_entry().expect("whole").expect("a record");
            let copied = (copied.to_owned(), copied.comment.map(str::to_owned));
            let entry = files.next_entry().expect("whole").expect("a record");
            assert_eq!(copied.1.as_deref(), entry.comment, "record {index}");
            if index % 5 == 2 {
                let cut = copied.0.get().cut.expect("it was cut");
                assert_eq!(cut.length as usize, MAX_PACKET - 63);
            } else {
                assert_eq!(copied.0, entry.to_owned(), "record {index}");
            }
            assert_eq!(reader.section().seed, files.section().and_then(|s| s.seed));
        }
        assert!(reader.next_entry().expect("the end").is_none());
    }
}
