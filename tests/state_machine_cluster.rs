// SPDX-License-Identifier: MPL-2.0
//! The promise: two nodes look to hosts and operators as their steps say, whatever their order:
//! which node serves a LU, which ports stand in which target port group, and that every path reads
//! what was written last. Steps are done to a world and to a model of what must be seen once the
//! nodes have come to rest.
//!
//! `PROPTEST_CASES=500 cargo test -p stmf-sim --test state_machine_cluster` looks further.

#[path = "common/properties.rs"]
mod properties;

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use stmf_sim::kernel::sbd::{AccessState, Disk, Fill, MemoryStore};
use stmf_sim::kernel::{KernelConfig, Repairs};
use stmf_sim::scsi::reports::{GroupState, TargetPortGroup};
use stmf_sim::scsi::{SenseKey, cdb};
use stmf_sim::world::{Node, Outcome, Path, PortConfig, Reply, Transfer, World};

/// Blocks of a LU.
const BLOCKS: u32 = 16;

/// What is under way comes to its end meanwhile, the relays find each other or give each other up.
const REST: Duration = Duration::from_secs(60);

type NodeNumber = usize;

#[derive(Clone, Debug)]
enum Step {
    /// A port more.
    AddPort { node: NodeNumber },
    /// One less: the last that was added.
    RemovePort { node: NodeNumber },
    /// A LU that no node has, active on this one.
    AddLu { node: NodeNumber, lu: u8 },
    /// A LU is removed from the node that serves it.
    RemoveLu { lu: u8 },
    /// stmfLuStandby on the node that serves it, and the import on the other one.
    Move { lu: u8 },
    /// A host writes a block with this byte.
    Write { lu: u8, block: u32, byte: u8 },
    /// A relay is stopped, or killed.
    EndRelay { node: NodeNumber, kill: bool },
    /// A relay is started.
    StartRelay { node: NodeNumber },
    /// Connections are reset.
    Break,
    /// Nothing arrives any more, either way.
    Part,
    /// What was held back arrives.
    Join,
}

#[derive(Clone, Debug, Default)]
struct Lu {
    /// The node that serves it; none: there is no such LU.
    active: Option<NodeNumber>,
    blocks: BTreeMap<u32, u8>,
}

#[derive(Clone, Debug)]
struct Model {
    ports: [usize; 2],
    relays: [bool; 2],
    parted: bool,
    lus: [Lu; 2],
}

impl Model {
    /// Whether the relays have each other.
    fn linked(&self) -> bool {
        self.relays[0] && self.relays[1] && !self.parted
    }
}

struct Reference;

impl ReferenceStateMachine for Reference {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model {
            ports: [1, 1],
            relays: [true, true],
            parted: false,
            lus: Default::default(),
        })
        .boxed()
    }

    fn transitions(_: &Model) -> BoxedStrategy<Step> {
        let (node, lu) = (|| 0..2usize, || 0..2u8);
        prop_oneof![
            2 => node().prop_map(|node| Step::AddPort { node }),
            2 => node().prop_map(|node| Step::RemovePort { node }),
            5 => (node(), lu()).prop_map(|(node, lu)| Step::AddLu { node, lu }),
            1 => lu().prop_map(|lu| Step::RemoveLu { lu }),
            4 => lu().prop_map(|lu| Step::Move { lu }),
            4 => (lu(), 0..BLOCKS, any::<u8>())
                .prop_map(|(lu, block, byte)| Step::Write { lu, block, byte }),
            2 => (node(), any::<bool>()).prop_map(|(node, kill)| Step::EndRelay { node, kill }),
            4 => node().prop_map(|node| Step::StartRelay { node }),
            2 => Just(Step::Break),
            1 => Just(Step::Part),
            2 => Just(Step::Join),
        ]
        .boxed()
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        match *step {
            Step::AddPort { node } => model.ports[node] += 1,
            Step::RemovePort { node } => model.ports[node] -= 1,
            Step::AddLu { node, lu } => model.lus[usize::from(lu)].active = Some(node),
            Step::RemoveLu { lu } => model.lus[usize::from(lu)].active = None,
            Step::Move { lu } => {
                let active = &mut model.lus[usize::from(lu)].active;
                *active = active.map(|node| 1 - node);
            }
            Step::Write { lu, block, byte } => {
                model.lus[usize::from(lu)].blocks.insert(block, byte);
            }
            Step::EndRelay { node, .. } => model.relays[node] = false,
            Step::StartRelay { node } => model.relays[node] = true,
            Step::Break => {}
            Step::Part => model.parted = true,
            Step::Join => model.parted = false,
        }
        model
    }

    fn preconditions(model: &Model, step: &Step) -> bool {
        let active = |lu: u8| model.lus[usize::from(lu)].active;
        match *step {
            Step::AddPort { node } => model.ports[node] < 3,
            Step::RemovePort { node } => model.ports[node] > 1,
            Step::AddLu { lu, .. } => active(lu).is_none() && model.linked(),
            // A node that is not told keeps its copy: an operator does this with a link.
            Step::RemoveLu { lu } => active(lu).is_some() && model.linked(),
            Step::Move { lu } | Step::Write { lu, .. } => active(lu).is_some(),
            Step::EndRelay { node, .. } => model.relays[node],
            Step::StartRelay { node } => !model.relays[node],
            Step::Break => model.linked(),
            Step::Part => !model.parted,
            Step::Join => model.parted,
        }
    }
}

struct Cluster {
    world: World,
    /// The numbers of the ports of each node that are there.
    ports: [Vec<usize>; 2],
}

fn id(lu: u8) -> [u8; 16] {
    let mut id = [0x60; 16];
    id[15] = lu;
    id
}

/// The number by which a node knows a LU.
fn lun(node: &Node, lu: u8) -> [u8; 8] {
    let kernel = node.kernel().expect("no node goes down here");
    kernel.stmf().lu(id(lu)).map_or([0xff; 8], |lu| lu.number)
}

/// Sends a command until what comes is no unit attention.
async fn command(path: &Path, lun: [u8; 8], cdb: &[u8], transfer: Transfer<'_>) -> Reply {
    loop {
        let reply = path.command(lun, cdb, transfer).await;
        let Outcome::Status(completion) = &reply.outcome else {
            return reply;
        };
        let attention = |key: SenseKey| key == SenseKey::UNIT_ATTENTION;
        if !completion.sense.is_some_and(|sense| attention(sense.key)) {
            return reply;
        }
    }
}

/// What a host sees of a LU through a node: the groups and the blocks, or why not.
async fn look(world: &World, node: NodeNumber, port: usize, lu: u8) -> Result<Seen, Outcome> {
    let node = world.node(node as u8);
    let path = node.login(&world.initiator(), port).await.unwrap();
    let lun = lun(node, lu);
    let groups = cdb::report_target_port_groups(1024);
    let groups = command(&path, lun, &groups, Transfer::Read(1024)).await;
    let length = BLOCKS * 512;
    let read = cdb::read_10(0, BLOCKS as u16);
    let read = command(&path, lun, &read, Transfer::Read(length)).await;
    path.logout().await;
    Ok(Seen {
        data: read.good()?,
        groups: TargetPortGroup::parse_list(&groups.good()?).unwrap(),
    })
}

#[derive(PartialEq, Debug)]
struct Seen {
    data: Vec<u8>,
    groups: Vec<TargetPortGroup>,
}

impl Cluster {
    fn run<T: 'static>(&self, scenario: impl AsyncFnOnce(World) -> T + 'static) -> T {
        self.world
            .run(scenario)
            .unwrap_or_else(|stuck| panic!("{stuck}"))
    }

    fn new() -> Cluster {
        let kernel = KernelConfig {
            repairs: Repairs {
                register_again: true,
                piece_offsets: true,
            },
            ..KernelConfig::default()
        };
        let world = World::builder().kernel(kernel).build();
        for lu in 0..2 {
            let disk = MemoryStore::new(u64::from(BLOCKS) * 512, Fill::Zeros);
            world.disks().insert(id(lu), Disk::shared(disk));
        }
        let cluster = Cluster {
            world,
            ports: [vec![0], vec![0]],
        };
        cluster.run(async |world| {
            for node in world.nodes() {
                node.add_port(PortConfig::default()).await.unwrap();
                node.start_relay().unwrap();
            }
            world.sleep(REST).await;
        });
        cluster
    }

    fn do_step(&mut self, step: Step, model: &Model) {
        let node = |node: NodeNumber| self.world.node(node as u8).clone();
        match step {
            Step::AddPort { node: number } => {
                let node = node(number);
                let config = PortConfig::default();
                let added = self.run(async move |_| node.add_port(config).await.unwrap());
                self.ports[number].push(added);
            }
            Step::RemovePort { node: number } => {
                let (node, port) = (node(number), self.ports[number].pop().unwrap());
                self.run(async move |_| node.remove_port(port).await.unwrap());
            }
            Step::AddLu { node: number, lu } => {
                let node = node(number);
                self.run(async move |_| node.add_lu(id(lu), true).await.unwrap());
            }
            Step::RemoveLu { lu } => {
                // The model has forgotten where it was.
                let serves = |node: &&Rc<Node>| access(node, lu) == Some(AccessState::Active);
                let node = self.world.nodes().iter().find(serves).unwrap().clone();
                self.run(async move |_| node.remove_lu(id(lu)).await.unwrap());
            }
            Step::Move { lu } => {
                let to = model.lus[usize::from(lu)].active.unwrap();
                let (from, to) = (node(1 - to), node(to));
                self.run(async move |_| {
                    from.lu_standby(id(lu)).await.unwrap();
                    to.import_lu(id(lu)).await.unwrap();
                });
            }
            Step::Write { lu, block, byte } => {
                let active = model.lus[usize::from(lu)].active.unwrap();
                let (node, port) = (node(active), self.ports[active][0]);
                let written = self.run(async move |world| {
                    let path = node.login(&world.initiator(), port).await.unwrap();
                    let (cdb, data) = (cdb::write_10(block, 1), [byte; 512]);
                    let reply = command(&path, lun(&node, lu), &cdb, Transfer::Write(&data)).await;
                    path.logout().await;
                    reply.outcome
                });
                assert!(written.is_good(), "the write: {written}");
            }
            Step::EndRelay {
                node: number,
                kill: true,
            } => node(number).kill_relay(),
            Step::EndRelay { node: number, .. } => node(number).stop_relay(),
            Step::StartRelay { node: number } => node(number).start_relay().unwrap(),
            Step::Break => self.world.network().break_connections(0, 1),
            Step::Part => (0..2).for_each(|from| self.world.network().hold(from, 1 - from)),
            Step::Join => (0..2).for_each(|from| self.world.network().release(from, 1 - from)),
        }
        self.run(async |world| world.sleep(REST).await);
    }
}

fn access(node: &Node, lu: u8) -> Option<AccessState> {
    node.sbd()?.access_state(id(lu))
}

impl StateMachineTest for Cluster {
    type SystemUnderTest = Cluster;
    type Reference = Reference;

    fn init_test(_: &Model) -> Cluster {
        Cluster::new()
    }

    fn apply(mut cluster: Cluster, model: &Model, step: Step) -> Cluster {
        cluster.do_step(step, model);
        cluster
    }

    fn check_invariants(cluster: &Cluster, model: &Model) {
        let world = &cluster.world;
        for node in world.nodes() {
            assert_eq!(node.panics(), []);
            assert_eq!(node.outstanding(), 0, "commands that have not ended");
        }
        for (number, lu) in (0..).zip(&model.lus) {
            let states = [0, 1].map(|node| access(world.node(node), number));
            let Some(active) = lu.active else {
                assert_eq!(states, [None, None], "LU {number}");
                continue;
            };
            assert_eq!(states[active], Some(AccessState::Active), "LU {number}");
            assert_ne!(states[1 - active], Some(AccessState::Active), "LU {number}");
            let mut data = vec![0; BLOCKS as usize * 512];
            for (block, byte) in &lu.blocks {
                let at = *block as usize * 512;
                data[at..at + 512].fill(*byte);
            }
            let seen = |node: NodeNumber| {
                let port = cluster.ports[node][0];
                cluster.run(async move |world| look(&world, node, port, number).await)
            };
            let here = seen(active).unwrap_or_else(|end| panic!("on the node itself: {end}"));
            assert_eq!(here.data, data, "LU {number} on node {active}");
            let there = seen(1 - active);
            if !model.linked() {
                // It ends, and says that it is not this way.
                assert!(matches!(there, Err(Outcome::Status(_))), "{there:?}");
                continue;
            }
            assert_eq!(
                states[1 - active],
                Some(AccessState::Standby),
                "LU {number}"
            );
            let there = there.unwrap_or_else(|end| panic!("through the peer: {end}"));
            assert_eq!(there, here, "both paths tell the same");
            let groups: Vec<_> = (here.groups.iter())
                .map(|group| (group.id, group.state, group.ports.len()))
                .collect();
            let state = |node: NodeNumber| match node == active {
                true => GroupState::ACTIVE,
                false => GroupState::STANDBY,
            };
            let expected = [0, 1].map(|node| (node as u16, state(node), model.ports[node]));
            assert_eq!(groups, expected, "LU {number}");
        }
    }
}

prop_state_machine! {
    #![proptest_config(properties::config(96, "../tests/state_machine_cluster.regressions"))]

    #[test]
    fn hosts_see_what_operators_have_done(sequential 1..16 => Cluster);
}
