// SPDX-License-Identifier: MPL-2.0
//! Any bytes as a trace. The reader must neither panic nor take memory that the bytes do not
//! justify, and what it gives must come back the same when it is written and read again.

use stmf_proxy::trace::{MAX_BULK, Reader, RecordBuf, Section, Sink, Snap, Writer};

/// Checks these bytes.
pub fn check(bytes: &[u8]) {
    let Ok(mut reader) = Reader::new(bytes) else {
        return;
    };
    let records: Vec<RecordBuf> = reader.by_ref().map_while(Result::ok).collect();
    let section = Section {
        snap: Snap::ALL,
        origin: Default::default(),
        ..Section::new("fuzz")
    };
    let mut again = Vec::new();
    let Ok(mut writer) = Writer::new(&mut again, section) else {
        return;
    };
    for record in &records {
        let record = record.get();
        if let Some(cut) = record.cut {
            let _ = cut.fill(record.event.bulk(), MAX_BULK);
        }
        writer.record(&record);
    }
    assert!(writer.finish().is_ok(), "memory takes everything");
    let back: Vec<RecordBuf> = match Reader::new(&*again) {
        Ok(reader) => reader.map_while(Result::ok).collect(),
        Err(error) => panic!("{error}"),
    };
    assert_eq!(records, back);
}
