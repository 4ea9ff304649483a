// SPDX-License-Identifier: MPL-2.0
//! Proxy ports and their states.
//!
//! A target stands for a port of the peer. It comes and goes through stmf, step by step: each
//! thing that happens to it is an event, and one dispatch thread at a time carries the events of
//! a target out, waiting where it has to.

use super::Pppt;
use super::session::ProxySession;
use super::task::ProxyPort;
use crate::executor::sync::Mutex;
use crate::kernel::in_order::InOrder;
use crate::kernel::stmf::types::{LocalPort, PortCommand, PortKind};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;
use stmf_proxy::message::DeviceId;

/// Largest data buffer of a proxy port, in bytes, unless said otherwise: a read goes out in
/// messages of this size.
pub const DEFAULT_BUFFER_SIZE: u32 = 131_072;

/// How long the kernel waits before it tries again to take a port away from stmf.
const DEREGISTER_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Code set, association and piv of every proxy port, whatever the registration said.
const CODE_SET_ASCII: u8 = 2;
const ASSOCIATION_TARGET_PORT: u8 = 1;

/// The state of a proxy port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TargetState {
    /// Made, and not asked to come online yet.
    Created,
    /// Asked to come online.
    Onlining,
    /// Online; stmf has not taken note yet.
    Online,
    /// Online: it takes commands.
    StmfOnline,
    /// To be deleted, and stmf was asked to take it offline first.
    DeletingNeedOffline,
    /// Asked to go offline: its sessions are being closed.
    Offlining,
    /// Offline; stmf has not taken note yet.
    Offline,
    /// Offline.
    StmfOffline,
    /// Being taken away from stmf.
    Deregistering,
    /// stmf did not let go; tried again every second.
    DeregisterFailed,
    /// Gone from stmf.
    Deleting,
}

impl TargetState {
    /// The name in recordings.
    pub fn name(self) -> &'static str {
        match self {
            TargetState::Created => "TS_CREATED",
            TargetState::Onlining => "TS_ONLINING",
            TargetState::Online => "TS_ONLINE",
            TargetState::StmfOnline => "TS_STMF_ONLINE",
            TargetState::DeletingNeedOffline => "TS_DELETING_NEED_OFFLINE",
            TargetState::Offlining => "TS_OFFLINING",
            TargetState::Offline => "TS_OFFLINE",
            TargetState::StmfOffline => "TS_STMF_OFFLINE",
            TargetState::Deregistering => "TS_DEREGISTERING",
            TargetState::DeregisterFailed => "TS_DEREGISTER_FAILED",
            TargetState::Deleting => "TS_DELETING",
        }
    }
}

/// Something that happens to a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TargetEvent {
    /// stmf asks or acknowledges.
    Control(PortCommand),
    /// It is to be deleted.
    Delete,
}

/// A proxy port.
pub(crate) struct Target {
    /// Its name; the code set is always [`CODE_SET_ASCII`].
    pub(super) id: DeviceId,
    /// The lock of the target.
    pub(super) lock: Mutex,
    pub(super) state: Cell<TargetState>,
    /// Its sessions by id.
    pub(super) sessions: RefCell<BTreeMap<u64, Rc<ProxySession>>>,
    port: OnceCell<Weak<LocalPort>>,
    delete: Cell<bool>,
    /// What it was asked to become while it was on its way elsewhere.
    wanted: Cell<Option<PortCommand>>,
    events: InOrder<TargetEvent>,
}

/// What targets are found by, and in whose order they stand in the list.
pub(super) fn order_of(id: &DeviceId) -> (u8, usize, &[u8]) {
    (id.code_set, id.ident.len(), &id.ident)
}

impl Target {
    /// stmf's port, unless it is gone.
    pub(super) fn port(&self) -> Option<Rc<LocalPort>> {
        self.port.get()?.upgrade()
    }
}

impl Pppt<'_> {
    /// The target with this name: same code set, same ident. (Targets are stored with code set
    /// 2, so a name with another one is never found.)
    pub(super) fn find_target(&self, id: &DeviceId) -> Option<Rc<Target>> {
        let targets = self.state().targets.borrow();
        let place = targets.binary_search_by(|target| order_of(&target.id).cmp(&order_of(id)));
        place.ok().map(|place| targets[place].clone())
    }

    /// Makes a target and gives its port to stmf. The global lock is held.
    pub(super) async fn create_target(
        &self,
        id: &DeviceId,
        relative_port_id: u16,
    ) -> Result<(), u64> {
        let kernel = self.0;
        let stored = DeviceId {
            code_set: CODE_SET_ASCII,
            association: ASSOCIATION_TARGET_PORT,
            piv: 1,
            ..id.clone()
        };
        if let Some(twin) = self.find_target(&stored) {
            // The caller looked the name up as it was sent, and did not find it.
            let reason = format!(
                "proxy port {} is in the list twice: registered again with code set {}",
                twin.id.ident.escape_ascii(),
                id.code_set
            );
            if kernel.has_traps() {
                return kernel.panic(5, reason).await;
            }
            kernel.warn(format!("pppt: registration refused: {reason}"));
            return Err(stmf_proxy::message::status::ALREADY);
        }
        let target = Rc::new(Target {
            id: stored.clone(),
            lock: Mutex::new(kernel.executor(), kernel.group(), "lock of a proxy port"),
            state: Cell::new(TargetState::Created),
            sessions: RefCell::default(),
            port: OnceCell::new(),
            delete: Cell::new(false),
            wanted: Cell::new(None),
            events: InOrder::default(),
        });
        let kind = PortKind::Proxy { relative_port_id };
        let provider = Rc::new(ProxyPort(target.clone()));
        let port = LocalPort::new(stored, kind, kernel.config().proxy_buffer, provider);
        let _ = target.port.set(Rc::downgrade(&port));
        kernel.stmf().register_port(port).await?;
        let mut targets = self.state().targets.borrow_mut();
        let place = targets.partition_point(|other| order_of(&other.id) < order_of(&target.id));
        targets.insert(place, target);
        Ok(())
    }

    /// Takes a target out of the list: it is not found any more. The global lock is held.
    pub(super) fn remove_target(&self, target: &Rc<Target>) {
        self.state()
            .targets
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, target));
    }

    /// Begins to delete a target that is out of the list.
    pub(super) fn begin_deletion(&self, target: &Rc<Target>) {
        self.dispatch(target, TargetEvent::Delete);
    }

    /// Waits until a target is gone.
    pub(super) async fn wait_for_deletion(&self, target: &Rc<Target>) {
        while target.state.get() != TargetState::Deleting {
            self.state().target_deleted.wait().await;
        }
    }

    /// Hands an event to the dispatch thread of the target.
    pub(super) fn dispatch(&self, target: &Rc<Target>, event: TargetEvent) {
        if !target.events.push(event) {
            return;
        }
        let (kernel, target) = (self.0.clone(), target.clone());
        self.0.spawn("pppt dispatch", async move {
            while let Some(event) = target.events.next() {
                kernel.pppt().handle_target_event(&target, event).await;
            }
        });
    }

    async fn handle_target_event(&self, target: &Rc<Target>, event: TargetEvent) {
        use TargetState::*;
        let Some(port) = target.port() else { return };
        let stmf = self.0.stmf();
        match (event, target.state.get()) {
            (TargetEvent::Control(PortCommand::Online), Created | StmfOffline) => {
                self.set_target_state(target, Onlining).await;
                self.set_target_state(target, Online).await;
                stmf.port_online_done(&port).await;
            }
            (TargetEvent::Control(PortCommand::OnlineAcknowledged), Online) => {
                self.set_target_state(target, StmfOnline).await;
                if target.delete.get() {
                    self.take_offline_to_delete(target, &port).await;
                } else if target.wanted.take() == Some(PortCommand::Offline) {
                    self.dispatch(target, TargetEvent::Control(PortCommand::Offline));
                }
            }
            (TargetEvent::Control(PortCommand::Offline), StmfOnline | DeletingNeedOffline) => {
                self.set_target_state(target, Offlining).await;
                self.close_sessions_of(target).await;
                self.set_target_state(target, Offline).await;
                stmf.port_offline_done(&port).await;
            }
            (TargetEvent::Control(PortCommand::OfflineAcknowledged), Offline) => {
                self.set_target_state(target, StmfOffline).await;
                if target.delete.get() {
                    self.delete_target(target, &port).await;
                } else if target.wanted.take() == Some(PortCommand::Online) {
                    self.dispatch(target, TargetEvent::Control(PortCommand::Online));
                }
            }
            // On its way elsewhere: the acknowledgement comes back to this.
            (TargetEvent::Control(PortCommand::Offline), Onlining | Online) => {
                target.wanted.set(Some(PortCommand::Offline));
            }
            (TargetEvent::Control(PortCommand::Online), Offlining | Offline) => {
                target.wanted.set(Some(PortCommand::Online));
            }
            (TargetEvent::Delete, state) => {
                target.delete.set(true);
                match state {
                    Created | StmfOffline => self.delete_target(target, &port).await,
                    StmfOnline => self.take_offline_to_delete(target, &port).await,
                    // On its way somewhere: the acknowledgement comes back to this.
                    _ => {}
                }
            }
            // stmf asks for what is so already, or is on its way.
            (TargetEvent::Control(_), _) => {}
        }
    }

    async fn set_target_state(&self, target: &Rc<Target>, state: TargetState) {
        let _lock = target.lock.lock().await;
        target.state.set(state);
    }

    async fn take_offline_to_delete(&self, target: &Rc<Target>, port: &Rc<LocalPort>) {
        self.set_target_state(target, TargetState::DeletingNeedOffline)
            .await;
        self.0.stmf().request_port_state(port, PortCommand::Offline);
    }

    async fn close_sessions_of(&self, target: &Rc<Target>) {
        let _lock = self.state().lock.lock().await;
        let _target_lock = target.lock.lock().await;
        let sessions: Vec<_> = target.sessions.borrow().values().cloned().collect();
        for session in &sessions {
            if self.0.defects().lock_port_twice {
                // Never returns: the thread waits for itself.
                let _again = target.lock.lock().await;
            }
            self.close_session(session).await;
        }
    }

    async fn delete_target(&self, target: &Rc<Target>, port: &Rc<LocalPort>) {
        self.set_target_state(target, TargetState::Deregistering)
            .await;
        while self.0.stmf().deregister_port(port).await.is_err() {
            self.set_target_state(target, TargetState::DeregisterFailed)
                .await;
            self.0.executor().sleep(DEREGISTER_AGAIN_AFTER).await;
            self.set_target_state(target, TargetState::Deregistering)
                .await;
        }
        self.set_target_state(target, TargetState::Deleting).await;
        self.state().target_deleted.notify_all();
    }
}
