// SPDX-License-Identifier: MPL-2.0
//! The stage of an explored scenario: what its operator and its hosts know of the world, and how
//! they do what the acts say.
//!
//! They act as people and hosts do: a port keeps its name, a host has one session a port, and
//! what cannot be done is passed over. Everything goes through calls that traces hold.

use super::act::{Act, Scsi};
use super::commands::Sender;
use super::scenario::Scenario;
use crate::kernel::sbd::{AccessState, Disk, Fill, MemoryStore};
use crate::relays;
use crate::scsi::reports::lun_bytes;
use crate::world::trace::NodeId;
use crate::world::{Initiator, Node, Path, PortConfig, Reply, World};
use std::cell::{Cell, RefCell};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// A port that an operator has made.
#[derive(Clone)]
struct Port {
    /// Its number on this boot of the node.
    number: usize,
    name: String,
    buffer_size: u32,
}

/// What a host has to a port: a session, or one that is just being opened or closed.
enum Session {
    Open(Path),
    Changing,
}

/// A host, a node, and the name of a port there.
type Nexus = (u8, NodeId, String);

/// See the module.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) scenario: Rc<Scenario>,
    hosts: Vec<Initiator>,
    ports: RefCell<BTreeMap<NodeId, Vec<Port>>>,
    sessions: RefCell<BTreeMap<Nexus, Session>>,
    names: Cell<u32>,
    /// Names of ports that are there, or are being made: nobody gives a name twice.
    taken: RefCell<BTreeSet<(NodeId, String)>>,
    /// Boots of each node that this stage has seen.
    boots: RefCell<BTreeMap<NodeId, u64>>,
    /// The boot of each node on which all LUs were made known.
    equipped: RefCell<BTreeMap<NodeId, u64>>,
    /// Ports that somebody tried to remove in vain.
    half_removed: RefCell<BTreeSet<(NodeId, String)>>,
    /// Nodes whose relay is not the one of the scenario.
    replaced: RefCell<BTreeSet<NodeId>>,
    /// Deeds that really happened, by name.
    pub(super) deeds: RefCell<BTreeMap<&'static str, u64>>,
}

impl Stage {
    pub(super) fn new(world: World, scenario: Rc<Scenario>) -> Rc<Stage> {
        let host = |_| {
            let host = world.initiator();
            host.set_timeout(scenario.timeout);
            host
        };
        Rc::new(Stage {
            hosts: (0..scenario.hosts.max(1)).map(host).collect(),
            world,
            scenario,
            ports: RefCell::default(),
            sessions: RefCell::default(),
            names: Cell::new(0),
            taken: RefCell::default(),
            boots: RefCell::default(),
            equipped: RefCell::default(),
            half_removed: RefCell::default(),
            replaced: RefCell::default(),
            deeds: RefCell::default(),
        })
    }

    fn count(&self, deed: &'static str) {
        *self.deeds.borrow_mut().entry(deed).or_default() += 1;
    }

    fn node(&self, node: NodeId) -> &Rc<Node> {
        self.world.node(node & 1)
    }

    /// Puts the disks into the world.
    pub(super) fn insert_disks(&self) {
        for (number, unit) in (0..).zip(&self.scenario.units) {
            let size = u64::from(unit.blocks.max(1)) * u64::from(super::commands::BLOCK);
            let disk = Disk::shared(MemoryStore::new(size, Fill::Numbered));
            self.world.disks().insert(Scenario::lu(number), disk);
        }
    }

    /// Forgets what a boot has made void.
    fn look(&self, node: NodeId) {
        let boots = self.node(node).boots();
        let seen = self.boots.borrow_mut().insert(node, boots);
        if seen.is_some_and(|seen| seen != boots) || !self.node(node).is_up() {
            self.ports.borrow_mut().remove(&node);
            self.taken.borrow_mut().retain(|(of, _)| *of != node);
            let mut sessions = self.sessions.borrow_mut();
            sessions.retain(|(_, of, _), _| *of != node);
        }
    }

    /// Makes a port under a name, or under a new one.
    async fn make_port(&self, node: NodeId, name: Option<String>, buffer_size: u32) {
        let name = name.unwrap_or_else(|| {
            self.names.set(self.names.get() + 1);
            format!("wwn.500100{node:02x}{:08x}", self.names.get())
        });
        self.look(node);
        if !self.taken.borrow_mut().insert((node, name.clone())) {
            return;
        }
        let config = PortConfig {
            name: Some(name.clone()),
            buffer_size,
            ..PortConfig::default()
        };
        let boot = self.node(node).boots();
        let made = self.node(node).add_port(config).await;
        if self.node(node).boots() != boot {
            return;
        }
        match made {
            Ok(number) => {
                let mut ports = self.ports.borrow_mut();
                ports.entry(node).or_default().push(Port {
                    number,
                    name,
                    buffer_size,
                });
            }
            Err(_) => {
                self.taken.borrow_mut().remove(&(node, name));
            }
        }
    }

    /// The ports that a node is to have.
    pub(super) async fn make_ports(&self, node: NodeId) {
        for (place, buffer_size) in self.scenario.ports[usize::from(node)].iter().enumerate() {
            let name = format!("wwn.500100{node:02x}ff{place:06x}");
            self.make_port(node, Some(name), *buffer_size).await;
        }
    }

    pub(super) fn has_ports(&self, node: NodeId) -> bool {
        self.look(node);
        let ports = self.ports.borrow();
        ports.get(&node).is_some_and(|ports| !ports.is_empty())
    }

    /// Makes every LU known on a node, in the same order as on the other one: it then has the same
    /// number on both, as the views of an administrator would have it. A proxied command is
    /// carried out on the LU that has its *number* on the other node.
    pub(super) async fn make_units(&self, node: NodeId) {
        let boot = self.node(node).boots();
        for (number, unit) in (0..).zip(&self.scenario.units) {
            if self.node(node).boots() != boot {
                return; // Whoever has booted it since does this.
            }
            let taken_over = self.access(node ^ 1, number) == Some(AccessState::Active);
            let active = unit.active & 1 == node && !taken_over;
            let _ = self.node(node).add_lu(Scenario::lu(number), active).await;
        }
        self.equipped.borrow_mut().insert(node, boot);
    }

    /// Whether a node knows all LUs. Before, nothing is done there that would make one of them
    /// known out of turn: neither an operator nor the peer.
    fn is_equipped(&self, node: NodeId) -> bool {
        let boot = self.node(node).boots();
        self.equipped.borrow().get(&(node & 1)) == Some(&boot)
    }

    /// Starts the relay of a node.
    pub(super) fn start_relay(&self, node: NodeId) {
        if self.is_equipped(node) {
            let _ = self.node(node).start_relay();
        }
    }

    /// Puts the relay of the scenario back where another one has taken its place.
    pub(super) fn put_relays_back(&self) {
        for node in self.replaced.take() {
            self.node(node).kill_relay();
            self.set_relay(node);
        }
    }

    /// The relay program that the scenario names for a node.
    pub(super) fn set_relay(&self, node: NodeId) {
        if let Some(program) = relays::by_name(&self.scenario.relays[usize::from(node)]) {
            self.node(node).set_relay(program);
        }
    }

    fn port(&self, node: NodeId, port: u8) -> Option<Port> {
        self.look(node);
        let ports = self.ports.borrow();
        let ports = ports.get(&node).filter(|ports| !ports.is_empty())?;
        ports.get(usize::from(port) % ports.len()).cloned()
    }

    /// The session of a host, opened if there is none; none if that fails, or it is being opened
    /// or closed for long.
    async fn session(&self, host: u8, node: NodeId, port: &Port) -> Option<Path> {
        /// How long a host waits for its own other threads, and how often it looks.
        const WAIT: (Duration, u32) = (Duration::from_millis(2), 10);
        let nexus = (host, node, port.name.clone());
        for tries in 0.. {
            match self.sessions.borrow_mut().entry(nexus.clone()) {
                Entry::Occupied(session) => {
                    if let Session::Open(path) = session.get() {
                        return Some(path.clone());
                    }
                }
                Entry::Vacant(free) => {
                    free.insert(Session::Changing);
                    break;
                }
            }
            if tries == WAIT.1 {
                return None;
            }
            self.world.sleep(WAIT.0).await;
        }
        let boot = self.node(node).boots();
        let host = &self.hosts[usize::from(host)];
        let path = self.node(node).login(host, port.number).await;
        if self.node(node).boots() != boot || !self.node(node).is_up() {
            return None;
        }
        let mut sessions = self.sessions.borrow_mut();
        match path {
            Ok(path) => {
                sessions.insert(nexus, Session::Open(path.clone()));
                Some(path)
            }
            Err(_) => {
                sessions.remove(&nexus);
                None
            }
        }
    }

    /// The number of a LU on either node: LUs are made known in order. Hosts go on using it when
    /// the LU is gone.
    fn lun(lu: u8) -> [u8; 8] {
        lun_bytes(u16::from(lu)).unwrap_or([0; 8])
    }

    fn unit(&self, lu: u8) -> u8 {
        lu % u8::try_from(self.scenario.units.len().max(1)).unwrap_or(u8::MAX)
    }

    fn host(&self, host: u8) -> u8 {
        host % u8::try_from(self.hosts.len()).unwrap_or(u8::MAX)
    }

    /// Every host logs in to the first port of each node and asks each LU whether it is ready, until
    /// it has heard of everything that happened before.
    pub(super) async fn log_in(&self) {
        /// Unit attentions that a new session hears of.
        const MOST: u32 = 4;
        for host in 0..self.scenario.hosts {
            for (node, lu) in (0..2).flat_map(|node| {
                (0..)
                    .take(self.scenario.units.len())
                    .map(move |lu| (node, lu))
            }) {
                for _ in 0..MOST {
                    let from = (host, node, 0);
                    let reply = self.command(from, lu, Scsi::TestUnitReady, 0).await;
                    if reply.is_none_or(|reply| reply.outcome.is_good()) {
                        break;
                    }
                }
            }
        }
    }

    /// A command of a host; none if it has no way there.
    pub(super) async fn command(
        &self,
        (host, node, port): (u8, NodeId, u8),
        lu: u8,
        command: Scsi,
        number: u64,
    ) -> Option<Reply> {
        let (host, node, lu) = (self.host(host), node & 1, self.unit(lu));
        let port = self.port(node, port)?;
        let path = self.session(host, node, &port).await?;
        let sender = Sender {
            path: &path,
            lun: Stage::lun(lu),
            host,
            seed: self.scenario.seed,
            number,
            blocks: self.scenario.units.get(usize::from(lu))?.blocks,
        };
        Some(sender.send(command).await)
    }

    /// A task management function of a host.
    pub(super) async fn manage(
        &self,
        (host, node, port): (u8, NodeId, u8),
        lu: u8,
        function: u8,
    ) -> Option<Reply> {
        let (host, node) = (self.host(host), node & 1);
        let port = self.port(node, port)?;
        let path = self.session(host, node, &port).await?;
        let lun = Stage::lun(self.unit(lu));
        Some(path.manage(lun, function).await)
    }

    /// Ends a session, if there is one.
    async fn end_session(&self, nexus: Nexus) {
        let path = {
            let mut sessions = self.sessions.borrow_mut();
            match sessions.get_mut(&nexus) {
                Some(session @ Session::Open(_)) => {
                    let Session::Open(path) = std::mem::replace(session, Session::Changing) else {
                        return;
                    };
                    path
                }
                _ => return,
            }
        };
        let boot = self.node(nexus.1).boots();
        path.logout().await;
        if self.node(nexus.1).boots() == boot {
            self.sessions.borrow_mut().remove(&nexus);
        }
    }

    /// Every host ends every session.
    pub(super) async fn end_sessions(&self) {
        for node in 0..2 {
            self.look(node);
        }
        let nexuses: Vec<Nexus> = self.sessions.borrow().keys().cloned().collect();
        for nexus in nexuses {
            self.end_session(nexus).await;
        }
    }

    /// Does what an act says.
    pub(super) async fn perform(&self, act: &Act, number: u64) {
        match act {
            Act::Command {
                host,
                node,
                port,
                lu,
                command,
            } => {
                self.command((*host, *node, *port), *lu, *command, number)
                    .await;
            }
            Act::Manage {
                host,
                node,
                port,
                lu,
                function,
            } => {
                self.manage((*host, *node, *port), *lu, *function).await;
            }
            Act::Logout { host, node, port } => {
                let node = node & 1;
                if let Some(port) = self.port(node, *port) {
                    self.end_session((self.host(*host), node, port.name)).await;
                }
            }
            Act::AddPort { node, buffer_size } => {
                self.make_port(node & 1, None, *buffer_size).await;
            }
            Act::RemovePort { node, port, again } => {
                if let Some(port) = self.port(node & 1, *port) {
                    self.remove_port(node & 1, port, *again).await;
                }
            }
            Act::RemoveLu { node, lu } => {
                let lu = Scenario::lu(self.unit(*lu));
                if self.node(*node).remove_lu(lu).await.is_ok() {
                    self.count("lu-removed");
                }
            }
            Act::AddLu { node, lu, active } if self.is_equipped(*node) => {
                let lu = Scenario::lu(self.unit(*lu));
                let _ = self.node(*node).add_lu(lu, *active).await;
            }
            Act::FailOver { to, lu, orderly } => {
                let lu = Scenario::lu(self.unit(*lu));
                if *orderly {
                    let _ = self.node(to ^ 1).lu_standby(lu).await;
                }
                if self.is_equipped(*to) && self.node(*to).import_lu(lu).await.is_ok() {
                    self.count("failover");
                }
            }
            Act::Standby { node, lu } => {
                let lu = Scenario::lu(self.unit(*lu));
                if self.node(*node).lu_standby(lu).await.is_ok() {
                    self.count("lu-standby");
                }
            }
            Act::SetAlua {
                node,
                enabled,
                number,
            } => {
                if self
                    .node(*node)
                    .set_alua_state(*enabled, *number)
                    .await
                    .is_ok()
                {
                    self.count(if *enabled { "alua-on" } else { "alua-off" });
                }
            }
            Act::SetService { node, enabled } => {
                let _ = self.node(*node).set_service(*enabled).await;
            }
            Act::Boot { node } => self.boot(node & 1).await,
            other => self.perform_at_once(other),
        }
    }

    async fn remove_port(&self, node: NodeId, port: Port, again: bool) {
        // Hosts leave first, most of the time; a port with sessions stays.
        let of_port = |nexus: &&Nexus| nexus.1 == node && nexus.2 == port.name;
        let nexuses: Vec<Nexus> = self
            .sessions
            .borrow()
            .keys()
            .filter(of_port)
            .cloned()
            .collect();
        for nexus in nexuses {
            self.end_session(nexus).await;
        }
        if self.node(node).remove_port(port.number).await.is_err() {
            // The peer was told that it goes, and it takes no new sessions, but it stays.
            let mut stuck = self.half_removed.borrow_mut();
            stuck.insert((node, port.name));
            return;
        }
        self.count("port-removed");
        let mut was_there = false;
        if let Some(ports) = self.ports.borrow_mut().get_mut(&node) {
            let before = ports.len();
            ports.retain(|other| other.number != port.number);
            was_there = ports.len() < before;
        }
        if !was_there {
            return; // Somebody else has removed it meanwhile.
        }
        self.taken.borrow_mut().remove(&(node, port.name.clone()));
        if again {
            self.make_port(node, Some(port.name), port.buffer_size)
                .await;
        }
    }

    /// Removes ports whose removal has failed, and adds them again.
    pub(super) async fn renew_ports(&self) {
        for (node, name) in self.half_removed.take() {
            self.look(node);
            let port = {
                let ports = self.ports.borrow();
                let mut all = ports.get(&node).into_iter().flatten();
                all.find(|port| port.name == name).cloned()
            };
            if let Some(port) = port {
                self.remove_port(node, port, true).await;
            }
        }
    }

    /// Boots a node that is down, and equips it as before.
    pub(super) async fn boot(&self, node: NodeId) {
        if self.node(node).is_up() {
            return;
        }
        self.node(node).boot();
        self.look(node);
        self.make_ports(node).await;
        self.make_units(node).await;
        self.start_relay(node);
    }

    /// The state of a LU on a node, if it is known there.
    pub(super) fn access(&self, node: NodeId, lu: u8) -> Option<AccessState> {
        let sbd = self.node(node).sbd()?;
        sbd.access_state(Scenario::lu(lu))
    }

    fn perform_at_once(&self, act: &Act) {
        let network = self.world.network();
        match act {
            Act::StartRelay { node } => self.start_relay(node & 1),
            Act::StopRelay { node } if self.node(*node).relay().is_some() => {
                self.count("relay-stop");
                self.node(*node).stop_relay();
            }
            Act::KillRelay { node } => self.node(*node).kill_relay(),
            Act::PowerOff { node } if self.node(*node).is_up() => {
                self.count("power-off");
                self.node(*node).power_off();
                self.look(node & 1);
            }
            Act::Break => network.break_connections(0, 1),
            Act::HalfOpen { hears } => network.half_open(hears & 1, (hears & 1) ^ 1),
            Act::Hold { from } => network.hold(from & 1, (from & 1) ^ 1),
            Act::Release { from } => network.release(from & 1, (from & 1) ^ 1),
            Act::Damage {
                from,
                at_least,
                bit,
            } => {
                let least = usize::try_from(*at_least).unwrap_or(usize::MAX);
                network.damage(from & 1, (from & 1) ^ 1, least, *bit);
            }
            Act::Network(config) => network.set_config(config.clone()),
            Act::SlowReader {
                from,
                bytes_per_second,
            } => network.slow_reader(from & 1, (from & 1) ^ 1, *bytes_per_second),
            Act::DoorFault { node, fault, only } => {
                let node = self.node(*node);
                let _ = match only {
                    Some(only) => node.fail_door_calls_with(*only, *fault),
                    None => node.fail_door_calls(*fault),
                };
            }
            Act::KernelFault { node, fault } => {
                let _ = self.node(*node).inject(*fault);
            }
            Act::Pause { node, duration } => self.node(*node).pause(*duration),
            Act::DiskFault { lu, fault } => {
                let lu = Scenario::lu(self.unit(*lu));
                self.world.disks().fail(lu, fault.clone());
            }
            Act::ReplaceRelay { node, relay } => {
                if let Some(program) = relays::by_name(relay)
                    && self.node(*node).is_up()
                {
                    self.count("relay-replaced");
                    self.node(*node).kill_relay();
                    self.node(*node).set_relay(program);
                    self.start_relay(node & 1);
                    self.replaced.borrow_mut().insert(node & 1);
                }
            }
            // Those that wait are done elsewhere; the rest cannot be done now.
            _ => {}
        }
    }
}
