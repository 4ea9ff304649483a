// SPDX-License-Identifier: MPL-2.0
//! sbd as a LU provider of stmf: tasks and buffers around the device server of [`super::sbd`].
//!
//! The device server says what a command needs; here the data is moved buffer by buffer, a
//! command for a standby LU is handed to the standby side of stmf, and LUs are made, removed and
//! moved between nodes. Nothing here knows what a CDB means.

mod command;

use super::sbd::{Config, Environment, LogicalUnit, Nexus, SharedDisk};
use super::stmf::types::*;
use super::{Kernel, KernelEvent};
use crate::scsi::reports::TargetPortGroup;
use command::{
    Progress, admit, nexus_between, nexus_of, progress_cell, send, set_progress, take_progress,
};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use stmf_proxy::status::Errno;
use stmf_proxy::trace::LuAccess;

pub use super::sbd::AccessState;

/// The name of the provider, as messages about LUs carry it.
pub const PROVIDER_NAME: &str = "sbd";

/// Where the disk behind a LU is found, when the peer tells of a LU that is not known here.
pub trait DiskSource {
    /// The disk of a LU, by its id and the callback argument of its registration.
    fn disk(&self, id: LuId, callback_argument: &[u8]) -> Option<SharedDisk>;
}

/// Why something could not be done to a LU.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LuError {
    /// ENOENT.
    #[error("no LU of this id is known here")]
    Unknown,
    /// EALREADY.
    #[error("a LU of this id is known here already")]
    Exists,
    /// EINVAL.
    #[error("the disk makes no LU: {0}")]
    Disk(super::sbd::ConfigError),
}

impl LuError {
    /// What an ioctl of the disk provider's device returns for it.
    pub fn errno(&self) -> Errno {
        match self {
            LuError::Unknown => Errno::ENOENT,
            LuError::Exists => Errno::EALREADY,
            LuError::Disk(_) => Errno::EINVAL,
        }
    }
}

struct SbdLu {
    lu: Rc<Lu>,
    unit: RefCell<LogicalUnit>,
}

/// A command that waits, with the data that came with it.
type HeldCommand = (Rc<Task>, Option<Rc<DataBuffer>>);

/// The provider: one per kernel.
pub struct SbdProvider {
    lus: RefCell<BTreeMap<LuId, Rc<SbdLu>>>,
    disks: Rc<dyn DiskSource>,
    holding: Cell<bool>,
    held: RefCell<Vec<HeldCommand>>,
}

impl SbdProvider {
    /// Makes the provider known to stmf.
    pub fn attach(kernel: &Kernel, disks: Rc<dyn DiskSource>) -> Rc<SbdProvider> {
        let provider = Rc::new(SbdProvider {
            lus: RefCell::default(),
            disks,
            holding: Cell::new(false),
            held: RefCell::default(),
        });
        kernel.stmf().register_provider(provider.clone());
        provider
    }

    /// Adds a LU on `disk`, as an administrator does.
    pub async fn add(
        self: &Rc<Self>,
        kernel: &Kernel,
        id: LuId,
        callback_argument: Vec<u8>,
        disk: SharedDisk,
        active: bool,
    ) -> Result<(), LuError> {
        if self.lus.borrow().contains_key(&id) {
            return Err(LuError::Exists);
        }
        let provider: Rc<dyn LuProvider> = self.clone();
        let lu = self.make(kernel, provider, id, callback_argument, disk, active)?;
        let access = match active {
            true => LuAccess::Active,
            false => LuAccess::Standby,
        };
        kernel.tell(KernelEvent::LuAccess { lu: id, access });
        kernel.stmf().register_lu(lu).await;
        Ok(())
    }

    fn make(
        &self,
        kernel: &Kernel,
        provider: Rc<dyn LuProvider>,
        id: LuId,
        callback_argument: Vec<u8>,
        disk: SharedDisk,
        active: bool,
    ) -> Result<Rc<Lu>, LuError> {
        let config = Config {
            refuse_standby_reads: !kernel.config().proxy_reads,
            ..Config::new(id)
        };
        let (access, state) = match active {
            true => (Access::Active, AccessState::Active),
            false => (Access::Standby, AccessState::Standby),
        };
        let lu = Rc::new(Lu {
            id,
            number: kernel.stmf().number_for(id),
            access: Cell::new(access),
            online: Cell::new(false),
            alua: true,
            callback_argument,
            provider,
            tasks: RefCell::default(),
        });
        let unit = LogicalUnit::new(config, disk, state).map_err(LuError::Disk)?;
        let unit = RefCell::new(unit);
        self.lus.borrow_mut().insert(
            id,
            Rc::new(SbdLu {
                lu: lu.clone(),
                unit,
            }),
        );
        Ok(lu)
    }

    /// Removes a LU: its tasks are aborted first.
    pub async fn remove(&self, kernel: &Kernel, id: LuId) -> Result<(), LuError> {
        let unit = self.known(id).ok_or(LuError::Unknown)?;
        kernel.stmf().deregister_lu(&unit.lu).await;
        // Another removal may have been faster, and the LU be there again: that one stays.
        let is_known = self
            .known(id)
            .is_some_and(|known| Rc::ptr_eq(&known, &unit));
        if is_known {
            self.lus.borrow_mut().remove(&id);
            let access = LuAccess::Gone;
            kernel.tell(KernelEvent::LuAccess { lu: id, access });
        }
        Ok(())
    }

    /// Serves the LU here from now on: the end of an import over the standby LU.
    pub async fn make_active(&self, kernel: &Kernel, id: LuId) -> Result<(), LuError> {
        let unit = self.known(id).ok_or(LuError::Unknown)?;
        unit.unit.borrow_mut().become_active();
        let access = LuAccess::Active;
        kernel.tell(KernelEvent::LuAccess { lu: id, access });
        kernel.stmf().lu_became_active(&unit.lu).await;
        Ok(())
    }

    /// Gives the LU up (stmfLuStandby): it stays in transition until the peer tells that it
    /// serves it.
    pub async fn make_standby(&self, kernel: &Kernel, id: LuId) -> Result<(), LuError> {
        let unit = self.known(id).ok_or(LuError::Unknown)?;
        unit.unit.borrow_mut().begin_standby();
        let access = LuAccess::Standby;
        kernel.tell(KernelEvent::LuAccess { lu: id, access });
        kernel.stmf().lu_became_standby(&unit.lu).await;
        Ok(())
    }

    /// sbd's own idea of the state of a LU, which is not always stmf's.
    pub fn access_state(&self, id: LuId) -> Option<AccessState> {
        self.with_unit(id, |unit| unit.access())
    }

    /// Looks at a LU's device server, or changes it.
    pub fn with_unit<T>(&self, id: LuId, action: impl FnOnce(&mut LogicalUnit) -> T) -> Option<T> {
        let unit = self.known(id)?;
        let mut unit = unit.unit.borrow_mut();
        Some(action(&mut unit))
    }

    /// While `on`, commands that come to an active LU wait before it looks at them (task
    /// management does not); switched off, they go on in the order in which they came.
    pub fn hold(self: &Rc<Self>, kernel: &Kernel, on: bool) {
        self.holding.set(on);
        if on {
            return;
        }
        for (task, initial) in self.held.take() {
            let (provider, kernel_of_thread) = (self.clone(), kernel.clone());
            kernel.spawn("held command", async move {
                provider.execute(&kernel_of_thread, &task, initial).await;
            });
        }
    }

    /// Lets go of its LUs and commands, with the kernel ([`Kernel::take_apart`]).
    pub(crate) fn take_apart(&self) {
        drop((self.lus.take(), self.held.take()));
    }

    fn known(&self, id: LuId) -> Option<Rc<SbdLu>> {
        self.lus.borrow().get(&id).cloned()
    }

    fn unit_of(&self, task: &Task) -> Option<Rc<SbdLu>> {
        self.known(task.lu.as_ref()?.id)
    }

    /// Lets a held command go.
    fn forget_held(&self, task: &Rc<Task>) {
        self.held
            .borrow_mut()
            .retain(|(held, _)| !Rc::ptr_eq(held, task));
    }
}

impl LuProvider for SbdProvider {
    fn name(&self) -> &str {
        PROVIDER_NAME
    }

    fn in_transition(&self, lu: LuId) -> bool {
        let access = self.access_state(lu);
        matches!(access, Some(AccessState::ToStandby | AccessState::ToActive))
    }

    fn task_allocated(&self, _: &Kernel, task: &Rc<Task>) {
        let Some(unit) = self.unit_of(task) else {
            return;
        };
        let nexus_known = unit.unit.borrow().knows(&nexus_of(task));
        set_progress(task, Progress::Allocated { nexus_known });
    }

    fn new_task<'a>(
        &'a self,
        kernel: &'a Kernel,
        task: &'a Rc<Task>,
        initial: Option<Rc<DataBuffer>>,
    ) -> Pending<'a, ()> {
        Box::pin(async move {
            if task.command.management_function != 0 {
                let Some(unit) = self.unit_of(task) else {
                    return;
                };
                return match admit(&unit, task, &nexus_of(task)) {
                    Ok(()) => kernel.stmf().manage(task).await,
                    Err(completion) => send(kernel, task, completion).await,
                };
            }
            let active = task.lu.as_ref().and_then(|lu| self.access_state(lu.id))
                == Some(AccessState::Active);
            if self.holding.get() && active {
                self.held.borrow_mut().push((task.clone(), initial));
                return;
            }
            self.execute(kernel, task, initial).await;
        })
    }

    fn transfer_done<'a>(
        &'a self,
        kernel: &'a Kernel,
        task: &'a Rc<Task>,
        buffer: Rc<DataBuffer>,
    ) -> Pending<'a, ()> {
        Box::pin(async move {
            let Some(unit) = self.unit_of(task) else {
                return;
            };
            let ours = {
                let cell = progress_cell(task);
                let progress = cell.borrow();
                match &*progress {
                    Some(Progress::Read { .. }) => buffer.to_initiator,
                    Some(Progress::Write { .. } | Progress::Fetch { .. }) => !buffer.to_initiator,
                    _ => false,
                }
            };
            if !ours {
                if task.proxy_msgid.get() != 0 {
                    kernel.stmf().proxied_transfer_done(task, buffer).await;
                }
                return;
            }
            if buffer.status.get() != 0 {
                return kernel.stmf().abort_task(task);
            }
            if buffer.to_initiator {
                let sent = task.transferred.get() + buffer.data.borrow().len() as u32;
                task.transferred.set(sent);
                self.send_piece(kernel, &unit, task, None).await;
            } else {
                self.received(kernel, &unit, task, &buffer).await;
            }
        })
    }

    fn abort<'a>(&'a self, _: &'a Kernel, task: &'a Rc<Task>) -> Pending<'a, AbortOutcome> {
        Box::pin(async move {
            self.forget_held(task);
            take_progress(task);
            AbortOutcome::Done
        })
    }

    fn task_freed(&self, _: &Kernel, task: &Rc<Task>) {
        self.forget_held(task);
    }

    fn session_ended(&self, _: &Kernel, lu: &Rc<Lu>, session: &Rc<Session>) {
        if let (Some(unit), Some(port)) = (self.known(lu.id), session.port.upgrade()) {
            let nexus = nexus_between(session, &port);
            let mut unit = unit.unit.borrow_mut();
            if unit.knows(&nexus) {
                unit.session_ended(session.id);
            }
        }
    }

    fn reset(&self, _: &Kernel, lu: &Rc<Lu>, by: &Rc<Session>) {
        self.with_unit(lu.id, |unit| unit.reset(Some(by.id)));
    }

    fn peer_registered<'a>(
        &'a self,
        kernel: &'a Kernel,
        id: LuId,
        callback_argument: &'a [u8],
    ) -> Pending<'a, ()> {
        Box::pin(async move {
            let told = KernelEvent::LuAccess {
                lu: id,
                access: LuAccess::Standby,
            };
            if self.with_unit(id, |unit| unit.become_standby()).is_some() {
                kernel.tell(told);
                return;
            }
            let Some(disk) = self.disks.disk(id, callback_argument) else {
                kernel.warn("the peer registers a LU whose disk is not found here");
                return;
            };
            let Some(provider) = kernel.stmf().provider(PROVIDER_NAME.as_bytes()) else {
                return;
            };
            match self.make(
                kernel,
                provider,
                id,
                callback_argument.to_vec(),
                disk,
                false,
            ) {
                Ok(lu) => {
                    kernel.tell(told);
                    kernel.stmf().register_lu(lu).await;
                }
                Err(error) => kernel.warn(format!("the peer registers a LU: {error}")),
            }
        })
    }

    fn peer_deregistered<'a>(
        &'a self,
        kernel: &'a Kernel,
        id: LuId,
        _: &'a [u8],
    ) -> Pending<'a, ()> {
        Box::pin(async move {
            if self.remove(kernel, id).await.is_err() {
                kernel.warn("the peer takes away a LU that is not known here");
            }
        })
    }
}

/// The node around a LU, as REPORT TARGET PORT GROUPS tells of it.
struct Neighbourhood(Kernel);

impl Environment for Neighbourhood {
    fn alua_enabled(&self) -> bool {
        self.0.stmf().alua().0
    }

    fn target_port_group(&self, nexus: &Nexus) -> u16 {
        let (_, node) = self.0.stmf().alua();
        if nexus.through_proxy {
            1 - node.min(1)
        } else {
            node
        }
    }

    fn target_port_groups(&self) -> Vec<TargetPortGroup> {
        let (_, node) = self.0.stmf().alua();
        let ports = self.0.stmf().ports();
        let ids = |proxy: bool| {
            let group = ports.iter().filter(|port| port.proxy == proxy);
            let mut ids: Vec<u16> = group.map(|port| port.relative_port_id.get()).collect();
            ids.sort_unstable();
            ids
        };
        TargetPortGroup::of_two_nodes(node, ids(false), 1 - node.min(1), ids(true))
    }
}
