// SPDX-License-Identifier: MPL-2.0
//! The whole node in a play: ports with initiators, sbd LUs, the ALUA state, time.
//!
//! The steps are those of the recordings of whole nodes; what they do beside the steps about the
//! device alone, and what is reported of it.

use super::node_step::{LuState, NodeStep, parse_guid, parse_hex};
use crate::kernel::Kernel;
use crate::kernel::port::{
    DEFAULT_BUFFER_SIZE, PortEvent, PortListener, Request, Residual, Tag, TargetPort,
};
use crate::kernel::sbd::{AccessState, Disk, Fill, MemoryStore, SharedDisk};
use crate::kernel::sbd_provider::{DiskSource, LuError, SbdProvider};
use crate::kernel::stmf::types::{Access, Command, LuId, Session};
use crate::scsi::reports::lun_bytes;
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use stmf_proxy::message::{DeviceId, hex, status};

/// Bytes of a LU in a play: 2,048 blocks of 512.
pub const LU_SIZE: u64 = 2048 * 512;

/// What an initiator sees, as the recordings write it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct InitiatorEvent {
    tag: Tag,
    #[serde(skip_serializing_if = "Option::is_none")]
    r2t: Option<[u32; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sense: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resid_kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aborted: Option<bool>,
}

impl InitiatorEvent {
    fn new(tag: Tag) -> InitiatorEvent {
        InitiatorEvent {
            tag,
            r2t: None,
            offset: None,
            data: None,
            function: None,
            status: None,
            sense: None,
            resid: None,
            resid_kind: None,
            aborted: None,
        }
    }

    fn residual(mut self, residual: Residual) -> InitiatorEvent {
        let (count, kind) = match residual {
            Residual::None => (0, None),
            Residual::Under(count) => (count, Some("under")),
            Residual::Over(count) => (count, Some("over")),
        };
        self.resid = Some(count);
        self.resid_kind = kind;
        self
    }
}

/// Upcalls (U) and initiator events (I) in the order in which they happen.
pub type Order = Rc<RefCell<String>>;

/// Notes what initiators see.
struct Listener {
    events: RefCell<Vec<InitiatorEvent>>,
    order: Order,
}

impl PortListener for Listener {
    fn port_event(&self, _: &Rc<Session>, command: &Command, tag: Tag, event: PortEvent<'_>) {
        let blank = InitiatorEvent::new(tag);
        let event = match event {
            PortEvent::ReadyToTransfer { offset, length } => InitiatorEvent {
                r2t: Some([offset, length]),
                ..blank
            },
            PortEvent::Data {
                offset,
                data,
                good_with,
            } => {
                let moved = InitiatorEvent {
                    offset: Some(offset),
                    data: Some(hex::encode(data)),
                    ..blank
                };
                match good_with {
                    Some(residual) => InitiatorEvent {
                        status: Some(0),
                        ..moved
                    }
                    .residual(residual),
                    None => moved,
                }
            }
            PortEvent::Status {
                status,
                sense,
                residual,
            } => {
                let function = command.management_function;
                InitiatorEvent {
                    function: (function != 0).then_some(function),
                    status: Some(status),
                    sense: (!sense.is_empty()).then(|| hex::encode(sense)),
                    ..blank
                }
                .residual(residual)
            }
            PortEvent::Aborted => InitiatorEvent {
                aborted: Some(true),
                ..blank
            },
        };
        self.events.borrow_mut().push(event);
        self.order.borrow_mut().push('I');
    }
}

/// A LU as the recordings write it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LuReport {
    guid: String,
    access: &'static str,
    provider: &'static str,
    online: bool,
}

/// The ALUA state as the recordings write it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct AluaReport {
    enabled: bool,
    node: u16,
}

/// What is reported of a whole node after a step, beside what is reported of the device.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct NodeReport {
    initiator: Vec<InitiatorEvent>,
    proxy_registered: Vec<String>,
    lus: Vec<LuReport>,
    rtpids: BTreeMap<String, u16>,
    alua: AluaReport,
    next_msgid: u64,
    outstanding: Vec<Tag>,
}

/// Disks of LUs that the peer tells of: every one is there, with the content of the recordings.
struct AnyDisk;

impl DiskSource for AnyDisk {
    fn disk(&self, _: LuId, _: &[u8]) -> Option<SharedDisk> {
        Some(new_disk())
    }
}

fn new_disk() -> SharedDisk {
    Disk::shared(MemoryStore::new(LU_SIZE, Fill::RECORDED))
}

struct NamedPort {
    name: String,
    port: Rc<TargetPort>,
    sessions: BTreeMap<String, Rc<Session>>,
}

/// The parts of a node that a play of the device alone does not have.
pub struct Node {
    sbd: Rc<SbdProvider>,
    listener: Rc<Listener>,
    ports: RefCell<Vec<NamedPort>>,
    /// Ports that were removed: commands of sessions that have ended may still be under way there.
    removed: RefCell<Vec<Rc<TargetPort>>>,
    port_hold: Cell<bool>,
}

impl Node {
    /// Adds the parts to a kernel. Initiator events are noted in `order` as "I".
    pub fn attach(kernel: &Kernel, order: Order) -> Node {
        Node {
            sbd: SbdProvider::attach(kernel, Rc::new(AnyDisk)),
            listener: Rc::new(Listener {
                events: RefCell::default(),
                order,
            }),
            ports: RefCell::default(),
            removed: RefCell::default(),
            port_hold: Cell::new(false),
        }
    }

    /// While on, commands wait in the LUs.
    pub fn hold_lus(&self, kernel: &Kernel, on: bool) {
        self.sbd.hold(kernel, on);
    }

    /// Lets go of its ports, commands and LUs, and makes the kernel do so: nobody uses either any
    /// more, and the threads of the kernel have ended. What is merely dropped stays in memory for
    /// ever, because its parts refer to each other.
    pub fn take_apart(&self, kernel: &Kernel) {
        self.every_port().iter().for_each(|port| port.take_apart());
        self.sbd.take_apart();
        kernel.take_apart();
    }

    /// Carries a step out, in a thread of the kernel, and tells the result. Steps that were not
    /// looked at with [`NodeStep::check`] and make no sense do nothing.
    pub async fn apply(&self, kernel: &Kernel, step: &NodeStep) -> &'static str {
        match step {
            NodeStep::Alua {
                enabled,
                state,
                node,
            } => {
                let on = match (enabled, state) {
                    (Some(enabled), _) => *enabled,
                    (None, Some(state @ 0..=1)) => *state == 1,
                    _ => return "EINVAL",
                };
                match kernel.stmf().set_alua(on, *node).await {
                    Ok(()) => "ok",
                    Err(_) => "EINVAL",
                }
            }
            NodeStep::AddPort { port, alua } => self.add_port(kernel, port, *alua).await,
            NodeStep::RemovePort { port } => {
                let Some(found) = self.port(port) else {
                    return "no_port";
                };
                let result = found.remove(kernel).await;
                if result.is_ok() {
                    self.ports.borrow_mut().retain(|named| named.name != *port);
                    self.removed.borrow_mut().push(found);
                }
                status_result(result)
            }
            NodeStep::AddLu {
                guid,
                state,
                lun,
                arg,
                ..
            } => {
                let Ok(id) = parse_guid(guid) else {
                    return "EINVAL";
                };
                if let Some(lun) = lun {
                    kernel.stmf().assign_number(id, *lun);
                }
                let name = arg.clone().unwrap_or_else(|| format!("lu-{}", &guid[28..]));
                let mut argument = name.into_bytes();
                argument.push(0);
                let active = *state == LuState::Active;
                lu_result(self.sbd.add(kernel, id, argument, new_disk(), active).await)
            }
            NodeStep::RemoveLu { guid } => match parse_guid(guid) {
                Ok(id) => lu_result(self.sbd.remove(kernel, id).await),
                Err(_) => "EINVAL",
            },
            NodeStep::LuActive { guid } => match parse_guid(guid) {
                Ok(id) => lu_result(self.sbd.make_active(kernel, id).await),
                Err(_) => "EINVAL",
            },
            NodeStep::LuStandby { guid, .. } => match parse_guid(guid) {
                Ok(id) => lu_result(self.sbd.make_standby(kernel, id).await),
                Err(_) => "EINVAL",
            },
            NodeStep::Session {
                port,
                initiator,
                id,
            } => self.login(kernel, port, initiator, *id).await,
            NodeStep::EndSession {
                port,
                initiator,
                no_abort,
            } => {
                let Some(found) = self.port(port) else {
                    return "no_port";
                };
                let Some(session) = self.forget_session(port, initiator) else {
                    return "no_session";
                };
                found.logout(kernel, &session, !no_abort).await;
                "ok"
            }
            NodeStep::Scsi {
                port,
                initiator,
                tag,
                lun,
                cdb,
                expected,
                data,
                immediate,
                flags,
            } => {
                let (Some(lun), Ok(cdb)) = (lun_bytes(*lun), parse_hex("cdb", cdb)) else {
                    return "EINVAL";
                };
                let mut request = Request::new(*tag, lun, cdb, *expected);
                if let Some(data) = data {
                    let Ok(data) = parse_hex("data", data) else {
                        return "EINVAL";
                    };
                    request = match immediate {
                        true => request.with_immediate_data(data),
                        false => request.with_data(data),
                    };
                }
                if let Some(flags) = flags {
                    request.command.flags = *flags;
                }
                self.submit(kernel, port, initiator, request)
            }
            NodeStep::Tm {
                port,
                initiator,
                tag,
                lun,
                function,
            } => {
                let Some(lun) = lun_bytes(*lun) else {
                    return "EINVAL";
                };
                let request = Request::management(*tag, lun, *function);
                self.submit(kernel, port, initiator, request)
            }
            NodeStep::Abort { tag } => {
                let ports = self.every_port();
                if ports.iter().any(|port| port.abort(kernel, *tag)) {
                    "ok"
                } else {
                    "no_task"
                }
            }
            NodeStep::Advance { .. } => "ok",
            NodeStep::PortHold { on } => {
                self.port_hold.set(*on);
                for port in self.every_port() {
                    port.hold(kernel, *on);
                }
                "ok"
            }
        }
    }

    async fn add_port(&self, kernel: &Kernel, name: &str, alua: bool) -> &'static str {
        if self.port(name).is_some() {
            return "exists";
        }
        let id = iscsi_name(name, 8);
        let listener = self.listener.clone();
        match TargetPort::add(kernel, id, alua, DEFAULT_BUFFER_SIZE, listener).await {
            Ok(port) => {
                port.hold(kernel, self.port_hold.get());
                let sessions = BTreeMap::new();
                self.ports.borrow_mut().push(NamedPort {
                    name: name.into(),
                    port,
                    sessions,
                });
                "ok"
            }
            Err(status) => status_result(Err(status)),
        }
    }

    async fn login(&self, kernel: &Kernel, port: &str, initiator: &str, id: u64) -> &'static str {
        let Some(found) = self.port(port) else {
            return "no_port";
        };
        if self.session(port, initiator).is_some() {
            return "exists";
        }
        let devid = iscsi_name(initiator, 0);
        match found
            .login(kernel, id, devid, iscsi_transport_id(initiator))
            .await
        {
            Ok(session) => {
                let mut ports = self.ports.borrow_mut();
                if let Some(named) = ports.iter_mut().find(|named| named.name == port) {
                    named.sessions.insert(initiator.into(), session);
                }
                "ok"
            }
            Err(status) => status_result(Err(status)),
        }
    }

    fn submit(
        &self,
        kernel: &Kernel,
        port: &str,
        initiator: &str,
        request: Request,
    ) -> &'static str {
        let Some(found) = self.port(port) else {
            return "no_port";
        };
        let Some(session) = self.session(port, initiator) else {
            return "no_session";
        };
        found.submit(kernel, &session, request);
        "ok"
    }

    fn port(&self, name: &str) -> Option<Rc<TargetPort>> {
        let ports = self.ports.borrow();
        ports
            .iter()
            .find(|named| named.name == name)
            .map(|named| named.port.clone())
    }

    /// The ports there are, and those there were while they have commands.
    fn every_port(&self) -> Vec<Rc<TargetPort>> {
        let mut removed = self.removed.borrow_mut();
        removed.retain(|port| !port.outstanding().is_empty());
        let ports = self.ports.borrow();
        let present = ports.iter().map(|named| named.port.clone());
        present.chain(removed.iter().cloned()).collect()
    }

    fn session(&self, port: &str, initiator: &str) -> Option<Rc<Session>> {
        let ports = self.ports.borrow();
        let named = ports.iter().find(|named| named.name == port)?;
        named.sessions.get(initiator).cloned()
    }

    fn forget_session(&self, port: &str, initiator: &str) -> Option<Rc<Session>> {
        let mut ports = self.ports.borrow_mut();
        ports
            .iter_mut()
            .find(|named| named.name == port)?
            .sessions
            .remove(initiator)
    }

    /// What there is to report; initiator events are reported once.
    pub fn report(&self, kernel: &Kernel) -> NodeReport {
        let stmf = kernel.stmf();
        let ports = stmf.ports();
        let local = || ports.iter().filter(|port| !port.proxy);
        let name = |id: &DeviceId| String::from_utf8_lossy(&id.ident).into_owned();
        let (enabled, node) = stmf.alua();
        let mut outstanding: Vec<(u64, Tag)> = Vec::new();
        for port in self.every_port() {
            outstanding.extend(port.outstanding_tasks());
        }
        outstanding.sort_unstable();
        NodeReport {
            initiator: self.listener.events.take(),
            proxy_registered: ports
                .iter()
                .filter(|port| port.proxy_registered.get())
                .map(|port| name(&port.id))
                .collect(),
            lus: stmf.lus().iter().map(|lu| self.report_lu(lu)).collect(),
            rtpids: local()
                .map(|port| (name(&port.id), port.relative_port_id.get()))
                .collect(),
            alua: AluaReport { enabled, node },
            next_msgid: stmf.next_msgid(),
            outstanding: outstanding.into_iter().map(|(_, tag)| tag).collect(),
        }
    }

    fn report_lu(&self, lu: &crate::kernel::stmf::types::Lu) -> LuReport {
        LuReport {
            guid: hex::encode(&lu.id),
            access: match lu.access.get() {
                Access::Active => "active",
                Access::Standby => "standby",
            },
            provider: match self.sbd.access_state(lu.id) {
                Some(AccessState::Active) => "active",
                Some(AccessState::Standby) => "standby",
                Some(AccessState::ToStandby) => "to_standby",
                Some(AccessState::ToActive) => "to_active",
                None => "none",
            },
            online: lu.online.get(),
        }
    }
}

/// The device id of an iSCSI port: ASCII, a target port's association.
fn iscsi_name(name: &str, ident_type: u8) -> DeviceId {
    DeviceId {
        protocol_id: 5,
        code_set: 2,
        piv: 1,
        association: 1,
        ident_type,
        ident: name.as_bytes().to_vec(),
    }
}

/// The TransportID of an iSCSI initiator (SPC-4, 7.6.4.6): its name, ended by a zero byte and
/// padded to four.
fn iscsi_transport_id(name: &str) -> Vec<u8> {
    let length = (name.len() + 1).next_multiple_of(4);
    let mut id = vec![5, 0];
    id.extend_from_slice(&(length as u16).to_be_bytes());
    id.extend_from_slice(name.as_bytes());
    id.resize(4 + length, 0);
    id
}

fn status_result(result: Result<(), u64>) -> &'static str {
    match result {
        Ok(()) => "ok",
        Err(status::BUSY) => "STMF_BUSY",
        Err(status::NOT_FOUND) => "STMF_NOT_FOUND",
        Err(_) => "STMF_FAILURE",
    }
}

fn lu_result(result: Result<(), LuError>) -> &'static str {
    match result {
        Ok(()) => "ok",
        Err(LuError::Unknown) => "ENOENT",
        Err(LuError::Exists) => "EALREADY",
        Err(LuError::Disk(_)) => "EINVAL",
    }
}
