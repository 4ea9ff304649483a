// SPDX-License-Identifier: MPL-2.0
use super::*;
use crate::trace::{Event, Reader, RecordBuf, arbitrary};
use proptest::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;

/// An output that counts its calls and is full after some bytes.
#[derive(Clone, Default)]
struct Disk(Rc<RefCell<DiskState>>);

#[derive(Default)]
struct DiskState {
    bytes: Vec<u8>,
    room: Option<usize>,
    writes: usize,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.0.borrow_mut();
        disk.writes += 1;
        let room = disk.room.unwrap_or(usize::MAX) - disk.bytes.len();
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = &bytes[..bytes.len().min(room)];
        disk.bytes.extend_from_slice(taken);
        Ok(taken.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn record(sequence: u64, seconds: u64, event: Event<'_>) -> Record<'_> {
    let time = Time::ZERO + Duration::from_secs(seconds);
    Record::new(sequence, time, Some(0), event)
}

fn read(bytes: &[u8]) -> Vec<RecordBuf> {
    let reader = Reader::new(bytes).unwrap();
    reader.filter_map(Result::ok).collect()
}

#[test]
fn blocks_are_handed_on_when_they_should_be() {
    let disk = Disk::default();
    let mut writer = Writer::new(disk.clone(), Section::new("test")).unwrap();
    let written = || read(&disk.0.borrow().bytes).len();
    writer.record(&record(1, 5, Event::RelayStarted));
    writer.record(&record(2, 5, Event::RelayStarted));
    assert_eq!(written(), 0, "collected");
    writer.record(&record(3, 6, Event::RelayStarted));
    assert_eq!(written(), 3, "a second has gone by");
    writer.record(&record(4, 6, Event::RelayStarted));
    writer.record(&record(5, 6, Event::PowerOff));
    assert_eq!(written(), 5, "something went wrong");
    let message = vec![0; FLUSH_BYTES];
    let post = Event::Post {
        post: 1,
        message: &message,
    };
    writer.record(&record(6, 6, post));
    assert_eq!(written(), 6, "it is much");
    writer.record(&record(7, 6, Event::RelayStarted));
    writer.flush();
    assert_eq!(written(), 7, "told to");
    writer.record(&record(8, 6, Event::RelayStarted));
    drop(writer);
    assert_eq!(written(), 8, "dropped");
    assert_eq!(disk.0.borrow().writes, 6, "whole blocks in one piece");
}

#[test]
fn a_full_disk_ends_the_recording_and_is_reported_once() {
    let section = || Section::new("test");
    let mut whole = Vec::new();
    let header = Writer::new(&mut whole, section()).unwrap().written().bytes as usize;
    for room in [header, header + 1, header + 300, header + 500] {
        let disk = Disk::default();
        disk.0.borrow_mut().room = Some(room);
        let mut writer = Writer::new(disk.clone(), section()).unwrap();
        for sequence in 1..=9 {
            writer.record(&record(sequence, 0, Event::PowerOff));
        }
        let Written { records, lost, .. } = writer.written();
        assert_eq!(records + lost, 9);
        let failure = writer.failure().unwrap();
        assert!(
            failure.to_string().contains("record into a ring"),
            "{failure}"
        );
        let writes = disk.0.borrow().writes;
        writer.flush();
        writer.record(&record(10, 0, Event::PowerOff));
        assert_eq!(disk.0.borrow().writes, writes, "it is not tried again");
        let failure = writer.finish().unwrap_err();
        let WriteError::Output { records: told, .. } = failure else {
            panic!("{failure}");
        };
        assert_eq!(told, records);
        let bytes = &disk.0.borrow().bytes;
        assert_eq!(
            read(bytes).len() as u64,
            records,
            "what was written is whole"
        );
    }
    let disk = Disk::default();
    disk.0.borrow_mut().room = Some(header - 1);
    assert!(Writer::new(disk, section()).is_err());
}

#[test]
fn a_description_that_does_not_fit_is_refused() {
    let with_note = |length: usize| {
        let mut section = Section::new("");
        section.notes.insert("n".to_owned(), "x".repeat(length));
        section
    };
    let rest = with_note(0).to_comment().len();
    let most = super::super::block::MAX_OPTION - rest;
    let written = Writer::new(Vec::new(), with_note(most)).map(drop);
    assert!(written.is_ok());
    match Writer::new(Vec::new(), with_note(most + 1)).map(drop) {
        Err(WriteError::SectionTooLong { length }) => assert_eq!(length, 65_536),
        other => panic!("{other:?}"),
    }
}

#[test]
fn comments_say_what_went_wrong_and_what_is_noted() {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, Section::new("test")).unwrap();
    let message = &[1, 2, 3];
    writer.record(&record(1, 0, Event::Post { post: 1, message }));
    writer.record_with_note(&record(2, 0, Event::PowerOff), "the first divergence");
    writer.record_with_note(&record(3, 0, Event::RelayStarted), &"é".repeat(9999));
    writer.record(&record(4, 0, Event::RelayStarted));
    drop(writer);
    let mut reader = Reader::new(&*bytes).unwrap();
    let mut comment = || {
        let entry = reader.next_entry().unwrap().unwrap();
        entry.comment.map(str::to_owned)
    };
    assert_eq!(
        comment().as_deref(),
        Some("damaged: this cannot be read as a message")
    );
    assert_eq!(
        comment().as_deref(),
        Some("the node lost its power; the first divergence")
    );
    assert_eq!(comment(), Some("é".repeat(2048)));
    assert_eq!(comment(), None);
}

proptest! {
    #[test]
    fn what_is_written_is_read(records in arbitrary::records(12), nodes in 0..3u8, origin: u32) {
        let mut section = Section::new("test");
        section.nodes = (0..nodes).map(|node| (node, None)).collect();
        section.origin = super::super::Origin::Unix(origin.into());
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, section.clone()).unwrap();
        records.iter().for_each(|each| writer.record(&each.get()));
        let told = writer.finish().unwrap();
        prop_assert_eq!(told.records, records.len() as u64);
        prop_assert_eq!(told.bytes, bytes.len() as u64);
        let mut reader = Reader::new(&*bytes).unwrap();
        prop_assert_eq!(reader.section(), &section);
        let read: Vec<RecordBuf> = reader.by_ref().map(Result::unwrap).collect();
        prop_assert_eq!(read, records);
        prop_assert_eq!(reader.notices(), []);
        prop_assert_eq!(reader.offset(), told.bytes);
    }
}
