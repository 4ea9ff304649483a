// SPDX-License-Identifier: MPL-2.0
//! What things are called: device ids, TransportIDs, callback arguments, wherever in a recording
//! they are told.

use super::Recording;
use crate::kernel::port::DEFAULT_BUFFER_SIZE;
use crate::kernel::stmf::types::LuId;
use crate::kernel::transport_id::{self, TRANSPORT_ID_MIN};
use std::collections::BTreeMap;
use stmf_proxy::message::{Body, DeviceId};
use stmf_proxy::trace::Event;

/// Who has a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SessionNames {
    pub(super) port: Vec<u8>,
    pub(super) initiator: DeviceId,
    pub(super) transport_id: Vec<u8>,
}

/// The name of a fibre channel port, as target drivers give it.
fn fibre_channel(ident: &[u8]) -> DeviceId {
    DeviceId {
        protocol_id: 0,
        code_set: 2,
        piv: 1,
        association: 1,
        ident_type: 3,
        ident: ident.to_vec(),
    }
}

/// A TransportID for an initiator of which only the name is known: a kernel takes it, and
/// different names make different ones.
pub(super) fn made_up_transport_id(initiator: &DeviceId) -> Vec<u8> {
    const ISCSI: u8 = 5;
    let padded = (initiator.ident.len() + 1)
        .next_multiple_of(4)
        .max(TRANSPORT_ID_MIN - 4);
    let mut made = vec![ISCSI, 0];
    made.extend_from_slice(&u16::try_from(padded).unwrap_or(!3).to_be_bytes());
    made.extend_from_slice(&initiator.ident);
    made.resize(4 + padded, 0);
    made
}

/// The names in a recording.
#[derive(Default)]
pub(super) struct Names {
    ports: BTreeMap<Vec<u8>, DeviceId>,
    /// By life and session id. (A life is one boot of the kernel.)
    sessions: BTreeMap<(u64, u64), SessionNames>,
    arguments: BTreeMap<LuId, Vec<u8>>,
    buffer_sizes: BTreeMap<Vec<u8>, u32>,
}

impl Names {
    pub(super) fn collect(recording: &Recording<'_>) -> Names {
        let mut names = Names::default();
        let mut life = 0;
        for buffer in recording.records {
            let record = buffer.get();
            if super::ends_life(&record.event) {
                life += 1;
            }
            match record.event {
                Event::PortAdded {
                    port, buffer_size, ..
                } => {
                    names.buffer_sizes.insert(port.to_vec(), buffer_size);
                }
                Event::SessionOpened {
                    session,
                    port,
                    name,
                    ..
                } if session != 0 => {
                    let initiator = fibre_channel(name);
                    let transport_id = made_up_transport_id(&initiator);
                    let known = SessionNames {
                        port: port.to_vec(),
                        initiator,
                        transport_id,
                    };
                    names.sessions.entry((life, session)).or_insert(known);
                }
                Event::Upcall { .. } | Event::Post { .. } => {
                    let own = matches!(record.event, Event::Upcall { .. });
                    if let Some(message) = recording.message(&record) {
                        names.take(life, own, message.body);
                    }
                }
                _ => {}
            }
        }
        names
    }

    fn take(&mut self, life: u64, own: bool, body: Body) {
        match body {
            Body::RegisterProxyPort(port) if own => self.port_seen(port.port_id),
            Body::DeregisterProxyPort(port) if own => self.port_seen(port.port_id),
            Body::RegisterLun(lun) | Body::LunActive(lun) => {
                self.arguments.entry(lun.lun_id).or_insert(lun.cb_arg);
            }
            Body::ScsiCommand(command) if own => {
                let (session, port) = (command.session_id, command.tgt_devid);
                self.session_seen(life, session, port, command.ini_devid, command.rport);
            }
            Body::SessionDestroy(end) if own => {
                self.session_seen(
                    life,
                    end.session_id,
                    end.tgt_devid,
                    end.ini_devid,
                    end.rport,
                );
            }
            _ => {}
        }
    }

    fn port_seen(&mut self, id: DeviceId) {
        self.ports.insert(id.ident.clone(), id);
    }

    /// A message says more of a session than the event of its beginning.
    fn session_seen(
        &mut self,
        life: u64,
        session: u64,
        port: DeviceId,
        initiator: DeviceId,
        rport: Option<Vec<u8>>,
    ) {
        let transport_id = rport
            .filter(|id| transport_id::is_valid(id))
            .unwrap_or_else(|| made_up_transport_id(&initiator));
        let ident = port.ident.clone();
        self.port_seen(port);
        self.sessions.insert(
            (life, session),
            SessionNames {
                port: ident,
                initiator,
                transport_id,
            },
        );
    }

    /// The device id of a port of this node.
    pub(super) fn port(&self, ident: &[u8]) -> DeviceId {
        let known = self.ports.get(ident).cloned();
        known.unwrap_or_else(|| fibre_channel(ident))
    }

    /// Whether the node tells its peer of the port.
    pub(super) fn takes_part(&self, ident: &[u8]) -> bool {
        self.ports.contains_key(ident)
    }

    pub(super) fn buffer_size(&self, ident: &[u8]) -> u32 {
        let known = self.buffer_sizes.get(ident).copied();
        known.unwrap_or(DEFAULT_BUFFER_SIZE)
    }

    pub(super) fn session(&self, life: u64, session: u64) -> Option<&SessionNames> {
        self.sessions.get(&(life, session))
    }

    /// Somebody for a session of which nothing is told.
    pub(super) fn nobody(session: u64) -> SessionNames {
        let initiator = fibre_channel(format!("initiator of session {session}").as_bytes());
        SessionNames {
            port: b"port of an unknown name".to_vec(),
            transport_id: made_up_transport_id(&initiator),
            initiator,
        }
    }

    pub(super) fn argument(&self, lu: LuId) -> Vec<u8> {
        self.arguments.get(&lu).cloned().unwrap_or_default()
    }
}
