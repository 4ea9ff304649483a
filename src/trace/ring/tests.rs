// SPDX-License-Identifier: MPL-2.0
use super::*;
use crate::time::Time;
use crate::trace::{Event, Files, FilesError, Reader, Snap, arbitrary};
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::rc::Rc;

/// A folder in memory on a disk that can be full or broken.
#[derive(Clone, Default)]
struct Memory(Rc<RefCell<Disk>>);

#[derive(Default)]
struct Disk {
    files: BTreeMap<String, Vec<u8>>,
    room: Option<usize>,
    broken: bool,
}

impl Disk {
    fn used(&self) -> usize {
        self.files.values().map(Vec::len).sum()
    }
}

struct MemoryFile(Memory, String);

impl Write for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.0.0.borrow_mut();
        if disk.broken {
            return Err(io::Error::other("the disk is gone"));
        }
        let room = disk
            .room
            .map_or(usize::MAX, |room| room.saturating_sub(disk.used()));
        if room == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        let taken = &bytes[..bytes.len().min(room)];
        let file = disk.files.get_mut(&self.1).ok_or(ErrorKind::NotFound)?;
        file.extend_from_slice(taken);
        Ok(taken.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Folder for Memory {
    type File = MemoryFile;

    fn names(&mut self) -> io::Result<Vec<String>> {
        Ok(self.0.borrow().files.keys().cloned().collect())
    }
    fn create(&mut self, name: &str) -> io::Result<MemoryFile> {
        let files = &mut self.0.borrow_mut().files;
        assert!(!files.contains_key(name), "{name} is there");
        files.insert(name.to_owned(), Vec::new());
        Ok(MemoryFile(self.clone(), name.to_owned()))
    }
    fn remove(&mut self, name: &str) -> io::Result<()> {
        let removed = self.0.borrow_mut().files.remove(name);
        removed.map(drop).ok_or(ErrorKind::NotFound.into())
    }
}

fn settings(max_bytes: u64, files: u32) -> RingSettings {
    let settings = RingSettings::default().with_files(files).unwrap();
    settings.with_max_bytes(max_bytes).unwrap()
}

const SMALL: u64 = RingSettings::MIN_MAX_BYTES;

fn section() -> Section {
    let mut section = Section::new("test");
    section.nodes.insert(0, None);
    section
}

/// An event that makes a block of so many bytes, a multiple of 4.
fn block_of(bytes: usize) -> Vec<u8> {
    vec![b'x'; bytes - 32 - packet::HEADER_LENGTH - 1]
}

fn record(sequence: u64, bulk: &[u8]) -> Record<'_> {
    let event = match sequence {
        // What goes wrong is handed on at once.
        0 => Event::Fault(""),
        _ => Event::Choices(bulk),
    };
    Record::new(sequence, Time::ZERO, Some(0), event)
}

/// Each file's name and the sequence numbers in it.
fn contents(memory: &Memory) -> Vec<(String, Vec<u64>)> {
    let disk = memory.0.borrow();
    let read = |(name, bytes): (&String, &Vec<u8>)| {
        let reader = Reader::new(&**bytes);
        let records = reader.into_iter().flatten().map_while(Result::ok);
        (name.clone(), records.map(|r| r.get().sequence).collect())
    };
    disk.files.iter().map(read).collect()
}

fn header_length() -> usize {
    let memory = Memory::default();
    let ring = Ring::new(memory.clone(), section(), settings(SMALL, 1)).unwrap();
    drop(ring);
    memory.0.borrow().used()
}

#[test]
fn a_file_is_filled_to_the_last_byte_and_not_further() {
    let room = SMALL as usize - header_length();
    let half = room / 2 / 4 * 4;
    for (second, files) in [(room - half, 1), (room - half + 4, 2)] {
        let memory = Memory::default();
        let mut ring = Ring::new(memory.clone(), section(), settings(SMALL, 3)).unwrap();
        ring.record(&record(1, &block_of(half)));
        ring.record(&record(2, &block_of(second)));
        let written = ring.finish();
        assert_eq!((written.records, written.lost), (2, 0));
        let contents = contents(&memory);
        assert_eq!(contents.len(), files);
        let disk = memory.0.borrow();
        let longest = disk.files.values().map(Vec::len).max().unwrap();
        match files {
            1 => assert_eq!(longest as u64, SMALL, "exactly full"),
            _ => assert_eq!(contents[1], (file_name(2), vec![2])),
        }
    }
}

#[test]
fn the_oldest_files_give_way() {
    for files in [1, 2, 5] {
        let memory = Memory::default();
        let mut ring = Ring::new(memory.clone(), section(), settings(SMALL, files)).unwrap();
        // Two events a file.
        let bulk = block_of(30_000);
        for sequence in 1..=20 {
            ring.record(&record(sequence, &bulk));
            let disk = memory.0.borrow();
            assert!(disk.files.len() <= files as usize);
            assert!(disk.files.values().all(|file| file.len() as u64 <= SMALL));
        }
        assert_eq!(ring.finish().lost, 0);
        let expected: Vec<_> = (11 - u64::from(files)..=10)
            .map(|number| (file_name(number), vec![2 * number - 1, 2 * number]))
            .collect();
        assert_eq!(contents(&memory), expected);
        let disk = memory.0.borrow();
        for (name, bytes) in &disk.files {
            let reader = Reader::new(&**bytes).unwrap();
            let part = reader.section().part;
            assert_eq!(file_name(part), *name);
            assert!(reader.section().nodes.contains_key(&0));
        }
    }
}

#[test]
fn a_restart_goes_on_counting_and_leaves_other_files_alone() {
    let directory = tempfile::tempdir().unwrap();
    let others = [
        "trace-1.pcapng",
        "trace-00000000002.pcapng",
        "trace-+0000003.pcapng",
        "trace-00000004.pcapng.gz",
        "mytrace-00000005.pcapng",
        "trace-.pcapng",
        "notes",
    ];
    for other in others {
        fs::write(directory.path().join(other), "keep me").unwrap();
    }
    let run = |files| {
        let settings = settings(SMALL, files);
        let mut ring = Ring::create(directory.path(), section(), settings).unwrap();
        ring.record(&record(1, &[]));
        assert_eq!(ring.finish().records, 1);
        let mut names: Vec<u64> = fs::read_dir(directory.path())
            .unwrap()
            .filter_map(|entry| file_number(entry.unwrap().file_name().to_str()?))
            .collect();
        names.sort_unstable();
        names
    };
    assert_eq!(run(3), [1]);
    assert_eq!(run(3), [1, 2]);
    assert_eq!(run(3), [1, 2, 3]);
    assert_eq!(run(3), [2, 3, 4]);
    assert_eq!(run(1), [5], "fewer than before");
    assert_eq!(run(2), [5, 6]);
    for other in others {
        assert_eq!(fs::read(directory.path().join(other)).unwrap(), b"keep me");
    }
    // What a ring left is read as one trace, though a file of it is damaged or empty.
    let path = |number| directory.path().join(file_name(number));
    assert_eq!(Files::open(directory.path()).unwrap().count(), 2);
    assert_eq!(Files::open(path(6)).unwrap().count(), 1);
    let damaged = fs::read(path(5)).unwrap();
    fs::write(path(5), &damaged[..damaged.len() - 5]).unwrap();
    fs::write(path(4), "").unwrap();
    let mut files = Files::open(directory.path()).unwrap();
    assert_eq!(files.by_ref().map(Result::unwrap).count(), 1);
    assert_eq!(files.records(), 1);
    let broken: Vec<String> = files.broken().iter().map(ToString::to_string).collect();
    assert!(
        broken[0].contains("trace-00000004.pcapng: at byte 0"),
        "{broken:?}"
    );
    assert!(broken[1].contains("ends inside a block"), "{broken:?}");
    // What is odd is told of every file, of one that was read to its end as well.
    let mut odd = fs::read(path(6)).unwrap();
    let mut reader = Reader::new(&*odd).unwrap();
    let version = reader.next_entry().unwrap().unwrap().offset as usize + 28;
    odd[version] = 0;
    fs::write(path(6), &odd).unwrap();
    fs::write(path(7), &odd).unwrap();
    let mut files = Files::open(directory.path()).unwrap();
    assert!(!files.advance().unwrap() && files.entry().is_none());
    assert_eq!((files.notice_count(), files.sections()), (2, 3));
    let notices = files.take_notices();
    let paths: Vec<_> = notices.into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, [path(6), path(7)]);
    assert!(files.take_notices().is_empty());
    assert_eq!(files.notice_count(), 2, "taken or not");
    // The last file's end is the trace's.
    fs::write(path(7), &damaged[..damaged.len() - 5]).unwrap();
    let last = Files::open(directory.path()).unwrap().last().unwrap();
    assert!(matches!(last, Err(FilesError::Read { .. })));
    let empty = tempfile::tempdir().unwrap();
    let refused = Files::open(empty.path()).unwrap_err();
    assert!(matches!(refused, FilesError::NoFiles { .. }));
    let refused = Files::open(empty.path().join("missing")).unwrap_err();
    assert!(refused.to_string().contains("missing"), "{refused}");
}

#[test]
fn an_event_that_no_file_holds_is_cut_or_counted() {
    let memory = Memory::default();
    let digest = Section {
        snap: Snap {
            keep: None,
            digest: true,
        },
        ..section()
    };
    let mut ring = Ring::new(memory.clone(), digest, settings(SMALL, 2)).unwrap();
    let message = vec![7; 200_000];
    let post = Event::Post {
        post: 1,
        message: &message,
    };
    ring.record(&record(1, &[]));
    ring.record(&Record::new(2, Time::ZERO, Some(9), post));
    // Two names that together are longer than a file cannot be cut.
    let name = vec![b'n'; 40_000];
    let opened = Event::SessionOpened {
        initiator: 1,
        session: 2,
        port: &name,
        name: &name,
    };
    ring.record(&Record::new(3, Time::ZERO, Some(0), opened));
    ring.record(&record(4, &[]));
    let written = ring.finish();
    assert_eq!((written.records, written.lost), (3, 1));
    let disk = memory.0.borrow();
    let files: Vec<_> = disk.files.values().collect();
    assert!(files.iter().all(|file| file.len() as u64 <= SMALL));
    let cut = files.iter().find_map(|file| {
        let mut records = Reader::new(&***file).unwrap().map(Result::unwrap);
        records.find(|record| record.get().sequence == 2)
    });
    if let Some(cut) = cut {
        let cut = cut.get();
        assert_eq!(cut.original_length(), 200_000);
        assert!(cut.event.bulk().len() > 64_000, "as much as fits is kept");
        assert!(cut.cut.unwrap().digest.is_some());
    }
}

#[test]
fn on_a_full_disk_the_oldest_files_give_way_before_their_time() {
    let memory = Memory::default();
    memory.0.borrow_mut().room = Some(3 * SMALL as usize - 1000);
    let mut ring = Ring::new(memory.clone(), section(), settings(SMALL, 9)).unwrap();
    let bulk = block_of(30_000);
    for sequence in 1..=40 {
        ring.record(&record(sequence, &bulk));
    }
    assert!(ring.failure().is_some());
    let written = ring.finish();
    assert_eq!(written.records + written.lost, 40);
    assert!(
        written.records >= 30,
        "most of it was recorded: {written:?}"
    );
    let contents = contents(&memory);
    assert_eq!(contents.last().unwrap().1.last(), Some(&40), "{contents:?}");
    assert!(contents.len() >= 2, "{contents:?}");
}

#[test]
fn a_disk_with_room_for_less_than_a_file_costs_events_only() {
    for files in [1, 2] {
        let memory = Memory::default();
        memory.0.borrow_mut().room = Some(SMALL as usize / 2);
        let mut ring = Ring::new(memory.clone(), section(), settings(SMALL, files)).unwrap();
        for sequence in 1..=100 {
            ring.record(&record(sequence, &block_of(20_000)));
        }
        let written = ring.finish();
        assert_eq!(written.records + written.lost, 100);
        assert!(contents(&memory).len() <= files as usize);
    }
}

#[test]
fn a_broken_disk_costs_events_but_no_files() {
    let memory = Memory::default();
    let mut ring = Ring::new(memory.clone(), section(), settings(SMALL, 3)).unwrap();
    let bulk = block_of(60_000);
    for sequence in 1..=3 {
        ring.record(&record(sequence, &bulk));
    }
    ring.flush();
    assert_eq!(contents(&memory).len(), 3);
    memory.0.borrow_mut().broken = true;
    for sequence in 4..=5000 {
        ring.record(&record(sequence, &bulk));
    }
    assert_eq!(contents(&memory).len(), 2, "one gave way to the next");
    memory.0.borrow_mut().broken = false;
    for sequence in 5001..=6100 {
        ring.record(&record(sequence, &[]));
    }
    let written = ring.finish();
    assert_eq!(written.records + written.lost, 6100);
    let contents = contents(&memory);
    assert_eq!(contents.last().unwrap().1.last(), Some(&6100));
    let disk = memory.0.borrow();
    let last = disk.files.values().last().unwrap();
    assert_eq!(Reader::new(&**last).unwrap().section().lost, written.lost);
}

#[test]
fn settings_are_refused_just_outside_their_range() {
    let settings = RingSettings::default();
    assert!(settings.with_max_bytes(SMALL).is_ok());
    let refused = settings.with_max_bytes(SMALL - 1).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "a file of a ring cannot be bounded at 65535 bytes; choose 65536 or more"
    );
    for files in [1, RingSettings::MAX_FILES] {
        assert_eq!(settings.with_files(files).unwrap().files(), files);
    }
    for files in [0, RingSettings::MAX_FILES + 1] {
        let refused = settings.with_files(files).unwrap_err();
        assert_eq!(refused, RingSettingsError::Files { files });
    }
}

proptest! {
    /// Whatever comes, the bounds hold, and what is there is the end of what came.
    #[test]
    fn bounds_hold_for_any_events(
        records in arbitrary::records(40),
        lengths in proptest::collection::vec(0..40_000usize, 40),
        files in 1..4u32,
    ) {
        let memory = Memory::default();
        let mut ring = Ring::new(memory.clone(), section(), settings(SMALL, files)).unwrap();
        for (record, length) in records.iter().zip(&lengths) {
            let record = record.get();
            let bulk = vec![1; *length];
            ring.record(&Record { event: Event::Choices(&bulk), cut: None, ..record });
            let disk = memory.0.borrow();
            prop_assert!(disk.files.len() <= files as usize);
            prop_assert!(disk.files.values().all(|file| file.len() as u64 <= SMALL));
        }
        prop_assert_eq!(ring.finish().lost, 0);
        let there: Vec<u64> = contents(&memory).into_iter().flat_map(|(_, all)| all).collect();
        let last = records.len() as u64;
        let first = last + 1 - there.len() as u64;
        prop_assert!(there.into_iter().eq(first..=last));
    }
}
