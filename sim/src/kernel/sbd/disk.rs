// SPDX-License-Identifier: MPL-2.0
//! A disk as the nodes share it: its bytes, what is stored with it, and its damaged places.
//!
//! The metadata are what a real disk provider keeps in its own area of the disk: they outlive a
//! node, so they are how a persistent reservation made with APTPL ("activate persist through
//! power loss") gets from one node to the other at failover.

use super::{Content, PersistentState, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

/// A disk that several nodes' logical units use.
pub type SharedDisk = Rc<RefCell<Disk>>;

/// What is stored with a disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// The persistent reservations, if they were registered with APTPL.
    pub reservations: Option<PersistentState>,
    /// The saved value of WCE, "write cache enabled", of the caching mode page.
    pub write_cache_enabled: bool,
}

impl Default for Metadata {
    fn default() -> Metadata {
        Metadata {
            reservations: None,
            write_cache_enabled: true,
        }
    }
}

/// Which access a fault hits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Reading fails (03/11/00).
    Read,
    /// Writing fails (03/0C/00).
    Write,
    /// Either takes so long.
    Slow(Duration),
}

impl FaultKind {
    /// Its name in traces.
    pub const fn name(self) -> &'static str {
        match self {
            FaultKind::Read => "disk-read-error",
            FaultKind::Write => "disk-write-error",
            FaultKind::Slow(_) => "disk-slow",
        }
    }
}

/// A damaged place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fault {
    /// The bytes that it covers.
    pub range: Range<u64>,
    /// Which access fails.
    pub kind: FaultKind,
    /// How many accesses still fail; it is gone when none is left. `u32::MAX` never runs out.
    pub times: u32,
}

impl Fault {
    /// So many accesses of this kind, wherever they go.
    pub const fn everywhere(kind: FaultKind, times: u32) -> Fault {
        Fault {
            range: 0..u64::MAX,
            kind,
            times,
        }
    }
}

/// Bytes, metadata and faults.
pub struct Disk {
    store: Box<dyn Store>,
    metadata: Metadata,
    faults: Vec<Fault>,
    faults_met: u64,
    /// The last fault that an access has met and nobody was told of.
    untold: Option<(FaultKind, u64)>,
    content: Option<Content>,
    accesses: Cell<u64>,
}

impl Disk {
    /// A sound disk with default metadata.
    pub fn new(store: impl Store + 'static) -> Disk {
        let metadata = Metadata::default();
        Disk {
            content: store.content(),
            store: Box::new(store),
            metadata,
            faults: Vec::new(),
            faults_met: 0,
            untold: None,
            accesses: Cell::new(0),
        }
    }

    /// The same, to be shared by logical units.
    pub fn shared(store: impl Store + 'static) -> SharedDisk {
        Rc::new(RefCell::new(Disk::new(store)))
    }

    /// The same, known to hold this.
    pub fn with_content(mut self, content: Content) -> Disk {
        self.content = Some(content);
        self
    }

    /// What it held before anything was written, if that can be said in a word.
    pub fn content(&self) -> Option<&Content> {
        self.content.as_ref()
    }

    /// What is stored with the disk.
    pub fn metadata(&self) -> &Metadata {
        self.accessed();
        &self.metadata
    }

    /// The same, to be changed.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        self.accessed();
        &mut self.metadata
    }

    /// How often bytes or metadata were looked at or changed: two nodes that use one disk depend
    /// on each other exactly where this grows.
    pub fn accesses(&self) -> u64 {
        self.accesses.get()
    }

    fn accessed(&self) {
        self.accesses.set(self.accesses.get() + 1);
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.store.size()
    }

    /// Damages a place.
    pub fn damage(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// How many accesses failed because of damaged places.
    pub fn faults_met(&self) -> u64 {
        self.faults_met
    }

    /// Whether anything is damaged.
    pub fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Repairs all damaged places.
    pub fn repair(&mut self) {
        self.faults.clear();
    }

    /// The fault that the last access has met, and where, if nobody has asked since.
    pub fn take_untold(&mut self) -> Option<(FaultKind, u64)> {
        self.untold.take()
    }

    /// How long an access takes that begins now, if it takes long. Whoever asks has to wait.
    pub fn delay(&mut self, offset: u64, length: u64) -> Option<Duration> {
        let slow = |kind| matches!(kind, FaultKind::Slow(_));
        match self.meet(slow, offset, length) {
            Some((FaultKind::Slow(delay), _)) => Some(delay),
            _ => None,
        }
    }

    /// Fills `out` with the bytes from `offset` on.
    pub fn read(&mut self, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        self.meet_faults(FaultKind::Read, offset, out.len() as u64)?;
        self.store.read(offset, out)
    }

    /// Whether the range could be read, without reading it.
    pub fn verify(&mut self, offset: u64, length: u64) -> Result<(), StoreError> {
        self.meet_faults(FaultKind::Read, offset, length)
    }

    /// Replaces the bytes from `offset` on.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.meet_faults(FaultKind::Write, offset, bytes.len() as u64)?;
        self.store.write(offset, bytes)
    }

    /// Makes what was written lasting.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.accessed();
        self.store.flush()
    }

    fn meet_faults(&mut self, kind: FaultKind, offset: u64, length: u64) -> Result<(), StoreError> {
        match self.meet(|other| other == kind, offset, length) {
            Some((_, offset)) => Err(StoreError::Medium { offset }),
            None => Ok(()),
        }
    }

    /// The fault that an access meets, and the first byte that it hits.
    fn meet(
        &mut self,
        wanted: impl Fn(FaultKind) -> bool,
        offset: u64,
        length: u64,
    ) -> Option<(FaultKind, u64)> {
        self.accessed();
        let end = offset.saturating_add(length);
        let hit = self
            .faults
            .iter_mut()
            .find(|f| wanted(f.kind) && f.times > 0 && f.range.start < end && offset < f.range.end);
        let fault = hit?;
        if fault.times != u32::MAX {
            fault.times -= 1;
        }
        let met = (fault.kind, fault.range.start.max(offset));
        self.faults_met += 1;
        self.untold = Some(met);
        self.faults.retain(|fault| fault.times > 0);
        Some(met)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Fill, MemoryStore};
    use super::*;

    #[test]
    fn a_fault_hits_its_range_and_kind_as_often_as_said() {
        let mut disk = Disk::new(MemoryStore::new(4096, Fill::Zeros));
        disk.damage(Fault {
            range: 512..1024,
            kind: FaultKind::Read,
            times: 2,
        });
        let mut block = [0; 512];
        assert_eq!(disk.read(0, &mut block), Ok(()));
        assert_eq!(disk.read(1024, &mut block), Ok(()));
        assert_eq!(disk.write(512, &block), Ok(()));
        assert_eq!(
            disk.read(1, &mut block),
            Err(StoreError::Medium { offset: 512 })
        );
        assert_eq!(
            disk.read(1023, &mut block),
            Err(StoreError::Medium { offset: 1023 })
        );
        assert_eq!(disk.read(512, &mut block), Ok(()));
        assert_eq!(disk.faults_met(), 2);
    }
}
