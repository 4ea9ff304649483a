// SPDX-License-Identifier: MPL-2.0
//! Comparing two traces: the first difference, and how many events of each kind either has.

use super::compare::{Comparer, Divergence, is_event};
use crate::world::trace::Sink;
use std::collections::BTreeMap;
use std::path::Path;
use stmf_proxy::trace::{EventKind, Files, FilesError, RecordBuf};

/// What two traces have in common, and what not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where they part; none if they are the same.
    pub divergence: Option<Divergence>,
    /// Events before that.
    pub equal: u64,
    /// Events by the name of their kind, in the first and in the second.
    pub counts: BTreeMap<String, [u64; 2]>,
    /// What could not be read of either.
    pub broken: [Option<String>; 2],
}

impl Difference {
    /// Whether both have the same events.
    pub fn same(&self) -> bool {
        self.divergence.is_none() && self.broken == [None, None]
    }

    /// Events of the first and of the second.
    pub fn totals(&self) -> [u64; 2] {
        [0, 1].map(|side| self.counts.values().map(|counts| counts[side]).sum())
    }
}

fn name(record: &RecordBuf) -> String {
    let record = record.get();
    match EventKind::from_number(record.event.kind_number()) {
        Some(kind) => kind.name().to_string(),
        None => format!("kind {}", record.event.kind_number()),
    }
}

/// Events of a trace one by one; what ends it early is kept.
struct Source {
    files: Files,
    broken: Option<String>,
}

impl Source {
    fn open(path: &Path) -> Result<Source, FilesError> {
        Ok(Source {
            files: Files::open(path)?,
            broken: None,
        })
    }

    fn next(&mut self) -> Option<RecordBuf> {
        loop {
            match self.files.next_entry() {
                Ok(Some(entry)) if is_event(&entry.record) => return Some(entry.to_owned()),
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => {
                    self.broken = Some(error.to_string());
                    return None;
                }
            }
        }
    }
}

/// Compares two traces; memory does not depend on their length.
///
/// # Errors
///
/// If one of them cannot be opened. What is damaged further on is told in the answer.
pub fn diff(first: &Path, second: &Path) -> Result<Difference, FilesError> {
    use std::cell::RefCell;
    use std::rc::Rc;
    let counts: Rc<RefCell<BTreeMap<String, [u64; 2]>>> = Rc::default();
    let first = Rc::new(RefCell::new(Source::open(first)?));
    let mut second = Source::open(second)?;
    let (counted, source) = (counts.clone(), first.clone());
    let mut comparer = Comparer::new(Box::new(move || {
        let record = source.borrow_mut().next()?;
        counted.borrow_mut().entry(name(&record)).or_default()[0] += 1;
        Some(record)
    }));
    while let Some(record) = second.next() {
        counts.borrow_mut().entry(name(&record)).or_default()[1] += 1;
        comparer.record(&record.get());
    }
    let divergence = comparer.finish();
    let equal = comparer.equal();
    drop(comparer);
    // What the first one still has.
    while let Some(record) = first.borrow_mut().next() {
        counts.borrow_mut().entry(name(&record)).or_default()[0] += 1;
    }
    let broken = [first.borrow_mut().broken.take(), second.broken];
    Ok(Difference {
        divergence,
        equal,
        counts: counts.take(),
        broken,
    })
}
