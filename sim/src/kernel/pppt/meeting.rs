// SPDX-License-Identifier: MPL-2.0
//! What state of the service and of stmf a posted message meets. Looks, and changes nothing.

use super::session::rport_of;
use super::target::TargetState;
use super::{Pppt, TaskState};
use crate::kernel::coverage::State;
use crate::kernel::stmf::MANAGEMENT_ID;
use crate::kernel::stmf::types::{Access, LuId, Task};
use crate::kernel::transport_id;
use std::rc::Rc;
use stmf_proxy::message::{Body, DeviceId, Message, MessageType, Status};

impl Pppt<'_> {
    /// The states that `message` meets on an open device.
    pub(super) fn states_met(&self, message: &Message) -> Vec<State> {
        let mut states = vec![State::DeviceOpen];
        match &message.body {
            Body::RegisterProxyPort(port) => states.push(self.port_met(&port.port_id)),
            Body::DeregisterProxyPort(port) => states.push(self.port_met(&port.port_id)),
            Body::SessionDestroy(session) => {
                let rport = rport_of(&session.rport, &session.ini_devid);
                states.push(self.port_met(&session.tgt_devid));
                states.push(self.session_met(session.session_id, &session.tgt_devid, &rport));
            }
            Body::ScsiCommand(command) => {
                let rport = rport_of(&command.rport, &command.ini_devid);
                states.push(self.port_met(&command.tgt_devid));
                states.push(self.session_met(command.session_id, &command.tgt_devid, &rport));
                states.push(self.task_of_command_met(command.session_id, command.task_msgid));
                states.push(self.lu_met(command.lun_id));
            }
            Body::ScsiDataTransferDone(done) => states.push(self.task_met(done.task_msgid)),
            Body::RegisterLun(lun) | Body::LunActive(lun) | Body::DeregisterLun(lun) => {
                states.extend([self.alua_met(), self.lu_met(lun.lun_id)]);
            }
            Body::ScsiData(data) => {
                let proxied = self.proxied_met(data.lun_id, data.task_msgid);
                states.extend([self.alua_met(), proxied]);
            }
            Body::ScsiStatus(status) => {
                let proxied = self.proxied_met(status.lun_id, status.task_msgid);
                states.extend([self.alua_met(), proxied]);
            }
            Body::Status(reply) => states.extend([self.alua_met(), self.local_met(reply)]),
            _ => {}
        }
        states
    }

    fn port_met(&self, id: &DeviceId) -> State {
        let Some(target) = self.find_target(id) else {
            // One that is being deleted is not found any more, but still there.
            let ports = self.0.stmf().ports();
            let there = ports
                .iter()
                .any(|port| port.proxy && port.id.ident == id.ident);
            return match there {
                true => State::PortGoing,
                false => State::PortNone,
            };
        };
        match target.state.get() {
            TargetState::Created | TargetState::Onlining | TargetState::Online => {
                State::PortOnlining
            }
            TargetState::StmfOnline => State::PortOnline,
            _ => State::PortGoing,
        }
    }

    fn session_met(&self, id: u64, target: &DeviceId, rport: &[u8]) -> State {
        let known = self.state().sessions.borrow().get(&id).cloned();
        if let Some(session) = known {
            let of_target = session
                .target()
                .filter(|known| known.id.ident == target.ident)
                .filter(|_| transport_id::same_port(&session.rport, rport));
            return match of_target.map(|target| target.state.get()) {
                None => State::SessionOther,
                Some(TargetState::StmfOnline) => State::SessionKnown,
                Some(_) => State::SessionClosing,
            };
        }
        let Some(target) = self.find_target(target) else {
            return State::SessionNone;
        };
        let sessions = target.sessions.borrow();
        match sessions.values().find(|session| session.rport == rport) {
            None => State::SessionNone,
            Some(other) if other.id < id => State::SessionOlder,
            Some(_) => State::SessionNewer,
        }
    }

    fn task_of_command_met(&self, session: u64, task: u64) -> State {
        let of_session = self.state().sessions.borrow().get(&session).cloned();
        let there = of_session.is_some_and(|of| of.tasks.borrow().contains_key(&task));
        match (there, self.find_task(task)) {
            (true, _) => State::TaskActive,
            (false, Some(_)) => State::TaskElsewhere,
            (false, None) => State::TaskNone,
        }
    }

    fn task_met(&self, id: u64) -> State {
        let Some(task) = self.find_task(id) else {
            return State::TaskNone;
        };
        let aborting = task
            .stmf_task()
            .is_none_or(|task| task.flags.get().aborting);
        match (task.state.get(), task.data_sent()) {
            (TaskState::Done, _) => State::TaskDone,
            _ if aborting => State::TaskAborting,
            (_, None) => State::TaskActive,
            (_, Some(small)) => match small {
                true => State::TaskSmallRead,
                false => State::TaskDataSent,
            },
        }
    }

    fn alua_met(&self) -> State {
        let stmf = self.0.stmf();
        match (stmf.alua().0, stmf.alua_was_enabled()) {
            (true, _) => State::AluaOn,
            (false, true) => State::AluaOff,
            (false, false) => State::AluaNeverOn,
        }
    }

    fn lu_met(&self, id: LuId) -> State {
        let Some(lu) = self.0.stmf().lu(id) else {
            return State::LuNone;
        };
        match lu.access.get() {
            _ if lu.provider.in_transition(id) => State::LuTransition,
            Access::Active => State::LuActive,
            Access::Standby => State::LuStandby,
        }
    }

    fn proxied_met(&self, lu: LuId, msgid: u64) -> State {
        if msgid & MANAGEMENT_ID != 0 {
            return State::ProxiedManagement;
        }
        let lu = self.0.stmf().lu(lu);
        let tasks = lu.map(|lu| lu.tasks.borrow().clone()).unwrap_or_default();
        let with_id = |task: &&Rc<Task>| task.proxy_msgid.get() == msgid;
        let found: Vec<&Rc<Task>> = tasks.iter().filter(with_id).collect();
        let going_on = |task: &&&Rc<Task>| !task.flags.get().aborting;
        match (found.iter().find(going_on), found.first()) {
            (None, None) => State::ProxiedNone,
            (None, Some(_)) => State::ProxiedAborting,
            (Some(task), _) if task.flags.get().status_sent => State::ProxiedAnswered,
            (Some(task), _) if task.proxied_buffers.get() > 0 => State::ProxiedBusy,
            (Some(_), _) => State::ProxiedWaiting,
        }
    }

    fn local_met(&self, reply: &Status) -> State {
        if reply.status_msg_type != MessageType::RegisterProxyPort.number() {
            return State::LocalOther;
        }
        let ports = self.0.stmf().ports();
        let port = ports
            .iter()
            .find(|port| port.registration_msgid.get() == reply.status_msgid);
        match port.map(|port| port.proxy_registered.get()) {
            None => State::LocalNone,
            Some(false) => State::LocalWaiting,
            Some(true) => State::LocalRegistered,
        }
    }
}
