// SPDX-License-Identifier: MPL-2.0
//! Sessions of proxy ports: found by the id that the peer gave them, made by the first command,
//! replaced by a higher id, closed.
//!
//! A session is held by who uses it, and closing it waits until nobody does. All of this is done
//! under the global lock, and closing under the lock of the target too: who waits for a hold
//! that is never given back (trap 1) waits with both.

use super::Pppt;
use super::counters::count;
use super::target::{Target, TargetState};
use super::task::ProxyTask;
use crate::executor::sync::Condition;
use crate::kernel::Allocation;
use crate::kernel::stmf::types::Session;
use crate::kernel::transport_id;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use stmf_proxy::message::{DeviceId, ScsiCommand, status};

/// Set in the numbers that stmf gives to sessions of proxy ports.
const OWN_NUMBER: u64 = 1 << 63;

/// A session of the peer's.
pub(crate) struct ProxySession {
    /// The id that the peer gave it.
    pub(super) id: u64,
    /// The initiator's TransportID.
    pub(super) rport: Vec<u8>,
    /// What stmf knows it as.
    pub(super) stmf: Rc<Session>,
    /// Its tasks by the id that the peer gave them.
    pub(super) tasks: RefCell<BTreeMap<u64, Rc<ProxyTask>>>,
    /// Who uses it: callers that have found it, and tasks until stmf frees them.
    pub(super) holds: Cell<u32>,
    target: Weak<Target>,
    released: Condition,
}

impl ProxySession {
    pub(super) fn target(&self) -> Option<Rc<Target>> {
        self.target.upgrade()
    }

    pub(super) fn hold(&self) {
        self.holds.set(self.holds.get() + 1);
    }

    pub(super) fn release(&self) {
        self.holds.set(self.holds.get() - 1);
        if self.holds.get() == 0 {
            self.released.notify_all();
        }
    }
}

/// The TransportID of a message. The dialect of 2009 has none: there the name of the initiator
/// stands for its port.
pub(super) fn rport_of<'a>(rport: &'a Option<Vec<u8>>, initiator: &DeviceId) -> Cow<'a, [u8]> {
    const ISCSI: u8 = 5;
    const LEAST: usize = transport_id::TRANSPORT_ID_MIN - 4;
    match rport {
        Some(rport) => Cow::Borrowed(rport),
        None => {
            // NUL-terminated and padded to a multiple of 4.
            let padded = (initiator.ident.len() + 1).next_multiple_of(4).max(LEAST);
            let mut made = vec![ISCSI, 0];
            made.extend_from_slice(&(padded as u16).to_be_bytes());
            made.extend_from_slice(&initiator.ident);
            made.resize(4 + padded, 0);
            Cow::Owned(made)
        }
    }
}

impl Pppt<'_> {
    /// The session with this id, held for the caller, if target and initiator are right too. The
    /// global lock is held.
    pub(super) fn find_session(
        &self,
        id: u64,
        target: &DeviceId,
        rport: &[u8],
    ) -> Option<Rc<ProxySession>> {
        let state = self.state();
        let Some(session) = state.sessions.borrow().get(&id).cloned() else {
            count(&state.counters.sess_lookup_no_session);
            return None;
        };
        session.hold();
        // Only the name of the target counts here, not its code set.
        let of_target = session
            .target()
            .filter(|known| known.id.ident == target.ident);
        let Some(known) = of_target.filter(|_| transport_id::same_port(&session.rport, rport))
        else {
            count(&state.counters.sess_lookup_ident_mismatch);
            if !self.0.has_traps() {
                self.0
                    .warn(format!("pppt: session {id} is known, but of another nexus"));
                session.release();
            }
            // Otherwise trap 1: the hold is never given back.
            return None;
        };
        if known.state.get() != TargetState::StmfOnline {
            count(&state.counters.sess_lookup_bad_tgt_state);
            session.release();
            return None;
        }
        Some(session)
    }

    /// The session of a command, held for the caller: the known one, or one made for it.
    pub(super) async fn session_for(&self, command: &ScsiCommand) -> Result<Rc<ProxySession>, u64> {
        let state = self.state();
        let _lock = state.lock.lock().await;
        let rport = rport_of(&command.rport, &command.ini_devid);
        if let Some(session) = self.find_session(command.session_id, &command.tgt_devid, &rport) {
            return Ok(session);
        }
        let made = self.make_session(command, &rport).await;
        if made.is_err() {
            count(&state.counters.scmd_sess_create_fail);
        }
        made
    }

    async fn make_session(
        &self,
        command: &ScsiCommand,
        rport: &[u8],
    ) -> Result<Rc<ProxySession>, u64> {
        let id = command.session_id;
        let target = self
            .find_target(&command.tgt_devid)
            .ok_or(status::NOT_FOUND)?;
        let _target_lock = target.lock.lock().await;
        if target.state.get() != TargetState::StmfOnline {
            return Err(status::NOT_FOUND);
        }
        let port = target.port().ok_or(status::NOT_FOUND)?;
        let of_nexus = {
            let sessions = target.sessions.borrow();
            sessions
                .values()
                .find(|session| session.rport == rport)
                .cloned()
        };
        if of_nexus.as_ref().is_some_and(|session| session.id > id) {
            return Err(status::INVALID_ARG);
        }
        let known = self.state().sessions.borrow().get(&id).cloned();
        if known.is_some() && !self.0.has_traps() {
            self.0.warn(format!(
                "pppt: command refused: session {id} is another nexus's"
            ));
            return Err(status::INVALID_ARG);
        }
        if let Some(older) = of_nexus {
            self.close_session(&older).await;
        }
        if let Some(known) = known {
            let same_target = known
                .target()
                .is_some_and(|other| Rc::ptr_eq(&other, &target));
            let other_length = known.rport.len() != rport.len();
            let trap = if same_target && other_length { 6 } else { 2 };
            let reason = format!("session {id} is in the list twice, for two nexuses");
            return self.0.panic(trap, reason).await;
        }
        if self.0.allocation_fails(Allocation::Session) {
            return Err(status::TARGET_FAILURE);
        }
        // The id in the message is the peer's; stmf numbers the sessions of this node by itself,
        // and those of its own initiators must not get in their way on a LU.
        let number = OWN_NUMBER | self.0.next_number();
        let stmf = Session::new(number, command.ini_devid.clone(), rport.to_vec(), &port);
        self.0
            .stmf()
            .register_session(&stmf)
            .await
            .map_err(|_| status::TARGET_FAILURE)?;
        let session = Rc::new(ProxySession {
            id,
            rport: rport.to_vec(),
            stmf,
            tasks: RefCell::default(),
            holds: Cell::new(1),
            target: Rc::downgrade(&target),
            released: Condition::new(self.0.executor(), "the last hold on a session of the peer"),
        });
        target.sessions.borrow_mut().insert(id, session.clone());
        self.state()
            .sessions
            .borrow_mut()
            .insert(id, session.clone());
        Ok(session)
    }

    /// Closes a session: its tasks are aborted, and when nobody holds it any more it is gone.
    /// Nobody is told, neither the peer nor the initiator. The global lock and that of the
    /// target are held.
    pub(super) async fn close_session(&self, session: &Rc<ProxySession>) {
        let tasks: Vec<_> = session.tasks.borrow().values().cloned().collect();
        for task in tasks.iter().filter_map(|task| task.stmf_task()) {
            self.0.stmf().abort_task(&task);
        }
        while session.holds.get() > 0 {
            session.released.wait().await;
        }
        self.0.stmf().deregister_session(&session.stmf).await;
        self.state().sessions.borrow_mut().remove(&session.id);
        if let Some(target) = session.target() {
            target.sessions.borrow_mut().remove(&session.id);
        }
    }
}
