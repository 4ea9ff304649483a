// SPDX-License-Identifier: MPL-2.0
//! What a recording presupposes: ports, LUs, sessions, an ALUA state that were there before its
//! first event. Each is assumed where it is mentioned without having been made, and nothing is
//! assumed of a kernel whose boot was recorded.

use super::Recording;
use super::build::Built;
use super::names::{Names, SessionNames};
use crate::kernel::stmf::MANAGEMENT_ID;
use crate::kernel::stmf::types::LuId;
use crate::replay::node::input::{Action, Assumption, Expect, Input, RecordIndex, Step};
use crate::replay::node::script::Facts;
use crate::replay::node::settings::NodeSettings;
use std::collections::{BTreeMap, BTreeSet};
use stmf_proxy::message::{Body, DeviceId, Message, MessageType, ScsiCommand};

/// The trap of messages for stmf before ALUA was ever on.
const TRAP_NEVER_ENABLED: u8 = 8;

struct Pass<'a> {
    recording: &'a Recording<'a>,
    names: &'a Names,
    node: u16,
    steps: Vec<Step>,
    next_number: usize,
    /// Where the assumptions about this life are to stand.
    start: usize,
    from_boot: bool,
    life: u64,
    // What is there, made or assumed.
    ports: BTreeSet<Vec<u8>>,
    assumed_ports: BTreeSet<Vec<u8>>,
    confirmed: BTreeSet<Vec<u8>>,
    registrations: BTreeMap<u64, Vec<u8>>,
    lus: BTreeSet<LuId>,
    peers: BTreeSet<Vec<u8>>,
    assumed_peers: BTreeSet<Vec<u8>>,
    /// Port and TransportID, and ids, of the peer's sessions.
    nexuses: BTreeSet<(Vec<u8>, Vec<u8>)>,
    peer_sessions: BTreeSet<u64>,
    sessions: BTreeSet<u64>,
    device: Option<bool>,
    door: Option<bool>,
    alua: bool,
    /// Messages of the peer that are refused: ids of commands that are answered with a status.
    refused: BTreeSet<RecordIndex>,
    // The assumptions, in the order in which they are made so.
    assumed: Assumed,
}

#[derive(Default)]
struct Assumed {
    ports: Vec<Assumption>,
    lus: Vec<Assumption>,
    alua: Option<u16>,
    confirmed: Vec<Assumption>,
    device: bool,
    peers: Vec<Assumption>,
    door: bool,
    sessions: Vec<Assumption>,
    next_msgid: Option<u64>,
}

/// Adds what the steps presuppose.
pub(super) fn assume(
    recording: &Recording<'_>,
    names: &Names,
    settings: &NodeSettings,
    built: Built,
) -> (Vec<Step>, Facts) {
    let refused = refused_commands(recording);
    let mut pass = Pass {
        recording,
        names,
        node: u16::from(settings.node & 1),
        steps: Vec::with_capacity(built.steps.len() + 16),
        next_number: built.next_number,
        start: 0,
        from_boot: false,
        life: 0,
        ports: BTreeSet::new(),
        assumed_ports: BTreeSet::new(),
        confirmed: BTreeSet::new(),
        registrations: BTreeMap::new(),
        lus: BTreeSet::new(),
        peers: BTreeSet::new(),
        assumed_peers: BTreeSet::new(),
        nexuses: BTreeSet::new(),
        peer_sessions: BTreeSet::new(),
        sessions: BTreeSet::new(),
        device: None,
        door: None,
        alua: false,
        refused,
        assumed: Assumed::default(),
    };
    let traps = trap_8(&built.steps);
    for step in built.steps {
        pass.take(step, &traps);
    }
    pass.end_life();
    (pass.steps, built.facts)
}

/// The commands of the peer that the node answers with a status message: it refuses them.
fn refused_commands(recording: &Recording<'_>) -> BTreeSet<RecordIndex> {
    let mut posted: BTreeMap<u64, RecordIndex> = BTreeMap::new();
    let mut refused = BTreeSet::new();
    for (index, buffer) in recording.records.iter().enumerate() {
        let record = buffer.get();
        let Some(message) = recording.message(&record) else {
            continue;
        };
        let own = matches!(record.event, stmf_proxy::trace::Event::Upcall { .. });
        match message.body {
            Body::ScsiCommand(_) if !own => {
                posted.insert(message.msgid, index);
            }
            Body::Status(status)
                if own && status.status_msg_type == MessageType::ScsiCommand.number() =>
            {
                refused.extend(posted.remove(&status.status_msgid));
            }
            _ => {}
        }
    }
    refused
}

/// The posts after which the node panics because ALUA was never on.
fn trap_8(steps: &[Step]) -> BTreeSet<RecordIndex> {
    let mut found = BTreeSet::new();
    let mut last = None;
    for step in steps {
        match &step.action {
            Action::Input {
                input: Input::Post { post },
                ..
            } => last = Some(*post),
            Action::Expect(Expect::Panic {
                trap: TRAP_NEVER_ENABLED,
            }) => found.extend(last),
            _ => {}
        }
    }
    found
}

impl Pass<'_> {
    fn take(&mut self, step: Step, traps: &BTreeSet<RecordIndex>) {
        let record = step.record;
        match &step.action {
            Action::Input { input, .. } => {
                if matches!(input, Input::Boot | Input::PowerOff) {
                    self.end_life();
                    self.from_boot = *input == Input::Boot;
                    self.steps.push(step);
                    self.start = self.steps.len();
                    return;
                }
                let input = input.clone();
                self.input(record, &input, traps);
            }
            Action::Expect(Expect::Upcall { .. }) => {
                self.needs_door();
                if let Some(message) = self.recording.message(&self.recording.get(record)) {
                    self.upcall(&message);
                }
            }
            Action::Expect(Expect::Panic { .. }) => {
                self.steps.push(step);
                self.end_life();
                return;
            }
            _ => {}
        }
        self.steps.push(step);
    }

    fn input(&mut self, record: RecordIndex, input: &Input, traps: &BTreeSet<RecordIndex>) {
        match input {
            Input::OpenDevice => self.device = Some(true),
            Input::InstallDoor => {
                self.device.get_or_insert_with(|| {
                    self.assumed.device = true;
                    true
                });
                self.door = Some(true);
            }
            Input::CloseDevice => {
                self.needs_door();
                (self.device, self.door) = (Some(false), Some(false));
                self.peers.clear();
            }
            Input::SetAlua { enabled, .. } => self.alua = *enabled || self.alua,
            Input::AddPort { id, .. } => {
                self.ports.insert(id.ident.clone());
            }
            Input::RemovePort { port } => self.needs_port(port),
            Input::AddLu { lu, .. } => {
                self.lus.insert(*lu);
            }
            Input::RemoveLu { lu } | Input::MakeStandby { lu } => self.needs_lu(*lu, true),
            Input::ImportLu { lu } => self.needs_lu(*lu, false),
            Input::Login { session, port, .. } => {
                self.needs_port(port);
                self.sessions.insert(*session);
            }
            Input::Logout { session }
            | Input::Command { session, .. }
            | Input::Management { session, .. } => {
                self.needs_session(record, *session);
            }
            Input::Post { post } => {
                self.needs_door();
                if let Some(message) = self.recording.message(&self.recording.get(*post)) {
                    self.post(*post, &message, traps);
                }
            }
            Input::Boot
            | Input::PowerOff
            | Input::RevokeDoor
            | Input::Answer { .. }
            | Input::Forget { .. } => {}
            Input::UseMessageId => {
                if let Some(message) = self.recording.message(&self.recording.get(record)) {
                    self.counted(&message);
                }
            }
        }
    }

    fn needs_door(&mut self) {
        if self.device.is_none() {
            self.assumed.device = true;
            self.device = Some(true);
        }
        if self.door.is_none() {
            self.assumed.door = true;
            self.door = Some(true);
        }
    }

    fn needs_alua(&mut self) {
        if !self.alua {
            self.alua = true;
            self.assumed.alua = Some(self.node);
        }
    }

    fn needs_port(&mut self, port: &[u8]) {
        self.needs_port_numbered(port, None);
    }

    fn needs_port_numbered(&mut self, port: &[u8], relative_id: Option<u16>) {
        if self.ports.insert(port.to_vec()) && !self.from_boot {
            self.assumed_ports.insert(port.to_vec());
            self.assumed.ports.push(Assumption::Port {
                id: self.names.port(port),
                relative_id,
                buffer_size: self.names.buffer_size(port),
                alua: self.names.takes_part(port),
            });
        }
    }

    fn needs_lu(&mut self, lu: LuId, active: bool) {
        if lu != [0; 16] && self.lus.insert(lu) {
            self.assumed.lus.push(Assumption::Lu {
                lu,
                active,
                argument: self.names.argument(lu),
            });
        }
    }

    fn needs_session(&mut self, record: RecordIndex, session: u64) {
        if !self.sessions.insert(session) {
            return;
        }
        let known = self.names.session(self.life, session).cloned();
        let SessionNames {
            port,
            initiator,
            transport_id,
        } = known.unwrap_or_else(|| {
            let nobody = Names::nobody(session);
            // On any port that there is.
            let port = self.ports.first().cloned().unwrap_or(nobody.port);
            SessionNames { port, ..nobody }
        });
        self.needs_port(&port);
        if self.assumed_ports.contains(&port) && !self.from_boot {
            self.assumed.sessions.push(Assumption::Session {
                session,
                port,
                initiator,
                transport_id,
            });
            return;
        }
        // The port was added in the recording: the session has to come after that.
        let number = self.next_number;
        self.next_number += 1;
        self.steps.push(Step {
            record,
            action: Action::Input {
                input: Input::Login {
                    session,
                    port,
                    initiator,
                    transport_id,
                },
                recorded: false,
                number,
            },
        });
    }

    fn needs_peer(&mut self, id: &DeviceId) {
        if self.peers.insert(id.ident.clone()) && self.device != Some(false) {
            self.assumed_peers.insert(id.ident.clone());
            self.assumed
                .peers
                .push(Assumption::PeerPort { id: id.clone() });
        }
    }

    fn counted(&mut self, message: &Message) {
        let next = message.msgid & !MANAGEMENT_ID;
        self.assumed.next_msgid.get_or_insert(next);
    }

    fn upcall(&mut self, message: &Message) {
        if super::super::lane::Ids::are_counted(message) {
            self.counted(message);
            let unknown = matches!(&message.body,
                Body::ScsiDataTransferDone(done) if done.session_id == 0);
            if !unknown {
                self.needs_alua();
            }
        }
        match &message.body {
            Body::RegisterProxyPort(port) => {
                let relative = Some(port.relative_port_id);
                self.needs_port_numbered(&port.port_id.ident, relative);
                let ident = port.port_id.ident.clone();
                self.registrations.insert(message.msgid, ident);
            }
            Body::DeregisterProxyPort(port) => self.needs_port(&port.port_id.ident),
            Body::RegisterLun(lun) => self.needs_lu(lun.lun_id, true),
            Body::ScsiCommand(command) => {
                self.needs_port(&command.tgt_devid.ident);
                let port = command.tgt_devid.ident.clone();
                if self.confirmed.insert(port.clone()) && self.assumed_ports.contains(&port) {
                    self.assumed.confirmed.push(Assumption::Confirmed { port });
                }
                self.needs_lu(command.lun_id, false);
            }
            _ => {}
        }
    }

    fn post(&mut self, post: RecordIndex, message: &Message, traps: &BTreeSet<RecordIndex>) {
        let for_stmf = matches!(
            message.body,
            Body::RegisterLun(_)
                | Body::DeregisterLun(_)
                | Body::LunActive(_)
                | Body::ScsiData(_)
                | Body::ScsiStatus(_)
                | Body::Status(_)
        );
        if for_stmf && !traps.contains(&post) {
            self.needs_alua();
        }
        match &message.body {
            Body::RegisterProxyPort(port) => {
                self.peers.insert(port.port_id.ident.clone());
            }
            Body::DeregisterProxyPort(port) => {
                self.peers.remove(&port.port_id.ident);
            }
            Body::RegisterLun(lun) | Body::LunActive(lun) => {
                self.lus.insert(lun.lun_id);
            }
            Body::DeregisterLun(lun) => {
                self.lus.remove(&lun.lun_id);
            }
            Body::Status(status) => {
                let port = self.registrations.get(&status.status_msgid).cloned();
                self.confirmed.extend(port);
            }
            Body::ScsiCommand(command) if !self.refused.contains(&post) => {
                self.needs_peer(&command.tgt_devid);
                self.command_of_peer(command);
            }
            _ => {}
        }
    }

    fn command_of_peer(&mut self, command: &ScsiCommand) {
        let initiator = command.rport.clone().unwrap_or_default();
        let nexus = (command.tgt_devid.ident.clone(), initiator);
        let first = self.nexuses.insert(nexus) && self.peer_sessions.insert(command.session_id);
        if first && self.assumed_peers.contains(&command.tgt_devid.ident) {
            self.assumed.peers.push(Assumption::PeerSession {
                session: command.session_id,
                port: command.tgt_devid.clone(),
                initiator: command.ini_devid.clone(),
                transport_id: command.rport.clone(),
            });
        }
        if command.task_mgmt_function == 0 {
            self.needs_lu(command.lun_id, true);
        }
    }

    /// Puts the assumptions about a life before its first step.
    fn end_life(&mut self) {
        let assumed = std::mem::take(&mut self.assumed);
        if !self.from_boot {
            let Assumed {
                mut ports,
                lus,
                alua,
                confirmed,
                device,
                peers,
                door,
                sessions,
                next_msgid,
            } = assumed;
            // Registrations begin with the newest port.
            ports.reverse();
            let record = self.steps.get(self.start).map_or(0, |step| step.record);
            let alua = alua.map(|node| Assumption::AluaOn { node });
            let device = device.then_some(Assumption::DeviceOpen);
            let door = door.then_some(Assumption::DoorInstalled);
            // What sessions presuppose may use ids up.
            let next = next_msgid.filter(|next| *next > 1 || !sessions.is_empty());
            let next = next.map(|next| Assumption::MessageIds { next });
            let all = ports
                .into_iter()
                .chain(lus.into_iter().rev())
                .chain(alua)
                .chain(confirmed)
                .chain(device)
                .chain(peers)
                .chain(sessions)
                .chain(door)
                .chain(next)
                .map(|assumption| Step {
                    record,
                    action: Action::Assume(assumption),
                });
            let all: Vec<Step> = all.collect();
            self.steps.splice(self.start..self.start, all);
        }
        self.start = self.steps.len();
        self.life += 1;
        self.from_boot = false;
        self.ports.clear();
        self.assumed_ports.clear();
        self.confirmed.clear();
        self.registrations.clear();
        self.lus.clear();
        self.peers.clear();
        self.assumed_peers.clear();
        self.nexuses.clear();
        self.peer_sessions.clear();
        self.sessions.clear();
        (self.device, self.door) = (None, None);
        self.alua = false;
    }
}
