// SPDX-License-Identifier: MPL-2.0
//! The disks of a world.

use super::operation::Operation;
use super::trace::Trace;
use crate::executor::Executor;
use crate::kernel::sbd::{Content, SharedDisk};
use crate::kernel::sbd_provider::DiskSource;
use crate::kernel::stmf::types::LuId;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What can be wrong with a disk: with all of it ([`DiskFault::everywhere`]) or with a place.
pub use crate::kernel::sbd::Fault as DiskFault;
/// Which access it is that goes wrong.
pub use crate::kernel::sbd::FaultKind as DiskFaultKind;

/// The disks that the nodes of a world share, by the id of the LU on each.
#[derive(Clone)]
pub struct Disks {
    disks: Rc<RefCell<BTreeMap<LuId, SharedDisk>>>,
    listeners: Rc<RefCell<Vec<SharedDiskListener>>>,
    executor: Executor,
    trace: Trace,
}

/// Somebody who wants to know what the disks of a world hold.
pub trait DiskListener {
    /// A disk was put into the world for this LU: its size in bytes, and what it holds at first
    /// if that can be said in a word.
    fn disk(&mut self, lu: LuId, size: u64, content: Option<&Content>);
}

/// A listener that a world shares with others.
pub type SharedDiskListener = Rc<RefCell<dyn DiskListener>>;

impl Disks {
    pub(super) fn new(executor: &Executor, trace: &Trace) -> Disks {
        Disks {
            disks: Rc::default(),
            listeners: Rc::default(),
            executor: executor.clone(),
            trace: trace.clone(),
        }
    }

    /// Puts a disk where every node finds it.
    pub fn insert(&self, lu: LuId, disk: SharedDisk) {
        let told = || Operation::Disk {
            lu,
            size: disk.borrow().size(),
            content: disk.borrow().content().cloned(),
        };
        let _running = self.trace.operation(&self.executor, &[], told);
        for listener in self.listeners.borrow().iter() {
            let disk = disk.borrow();
            let mut listener = listener.borrow_mut();
            listener.disk(lu, disk.size(), disk.content());
        }
        self.disks.borrow_mut().insert(lu, disk);
    }

    /// Damages the disk of a LU: accesses from any node fail or take long. It is told in the trace
    /// each time that one does. Nothing happens if there is no such disk.
    pub fn fail(&self, lu: LuId, fault: DiskFault) {
        let told = || Operation::DiskFault {
            lu,
            fault: fault.clone(),
        };
        let _running = self.trace.operation(&self.executor, &[], told);
        if let Some(disk) = self.get(lu) {
            disk.borrow_mut().damage(fault);
        }
    }

    /// Repairs the disk of a LU: no access fails or takes long any more.
    pub fn repair(&self, lu: LuId) {
        let told = || Operation::RepairDisk { lu };
        let _running = self.trace.operation(&self.executor, &[], told);
        if let Some(disk) = self.get(lu) {
            disk.borrow_mut().repair();
        }
    }

    /// Tells `listener` of every disk from now on.
    pub fn listen(&self, listener: SharedDiskListener) {
        self.listeners.borrow_mut().push(listener);
    }

    /// How often any of them was looked at or changed.
    pub(crate) fn accesses(&self) -> u64 {
        let disks = self.disks.borrow();
        disks.values().map(|disk| disk.borrow().accesses()).sum()
    }

    /// The disk of a LU.
    pub fn get(&self, lu: LuId) -> Option<SharedDisk> {
        self.disks.borrow().get(&lu).cloned()
    }
}

impl DiskSource for Disks {
    fn disk(&self, id: LuId, _: &[u8]) -> Option<SharedDisk> {
        self.get(id)
    }
}
