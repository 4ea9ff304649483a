// SPDX-License-Identifier: MPL-2.0
//! What must hold inside the kernels of a world at rest, which no trace shows: locks released,
//! references given back, nothing left of ports, sessions and tasks that are gone.
//!
//! "At rest": whatever was begun has had time to end, commands and operations, timeouts included
//! (100 s are enough), and no fault lasts. A scenario calls [`check`] then, and adds what it says
//! to its findings.
//!
//! What is *not* demanded, because a sound pair leaves it behind when messages were lost: a
//! session of the peer whose end was never told, a small read of the peer whose confirmation never
//! came. Both go when the handle is closed.

use super::{Finding, Kind};
use crate::kernel::inspect::Inspection;
use crate::kernel::pppt::ServiceState;
use crate::world::World;
use std::time::Duration;

/// The step of a run after which it is brought to rest, with nothing begun any more: whoever plays
/// the run again ([`crate::replay`]) asks [`check`] at its end, as the run itself did.
pub const COMING_TO_REST: &str = "end: hosts log out, and the relays stop";

/// A command of this node's own initiators is over at this age: stmf's 75 s, 5 s between its looks
/// at the clock, and time to abort it.
pub const OLDEST_TASK: Duration = Duration::from_secs(90);

/// Findings of one node that are told.
const MOST_TOLD: usize = 10;

/// Everything that cannot be so in this world if it is at rest.
pub fn check(world: &World) -> Vec<Finding> {
    let mut found = Vec::new();
    let finding = |node, text| Finding {
        kind: Kind::KernelState,
        time: world.now(),
        node,
        text,
    };
    for held in world.executor().held_locks() {
        let text = format!(
            "{}: the {} is held at rest, by {} ({})",
            held.group, held.lock, held.holder.thread, held.holder.group
        );
        found.push(finding(None, text));
    }
    for node in world.nodes() {
        let Some(kernel) = node.kernel() else {
            continue;
        };
        let seen = Seen {
            kernel: kernel.inspect(),
            relay: node.relay().is_some(),
            outstanding: node.outstanding(),
        };
        let wrong = seen.wrong().into_iter().take(MOST_TOLD);
        let node = node.id();
        found.extend(wrong.map(|text| finding(Some(node), format!("node {node}: {text}"))));
    }
    found
}

/// What is looked at on a node.
struct Seen {
    kernel: Inspection,
    /// A relay process runs.
    relay: bool,
    /// Commands that initiators wait for.
    outstanding: usize,
}

impl Seen {
    fn wrong(&self) -> Vec<String> {
        let kernel = &self.kernel;
        let mut wrong = Vec::new();
        let mut demand = |holds: bool, text: &dyn Fn() -> String| {
            if !holds {
                wrong.push(text());
            }
        };
        let closed = match kernel.service {
            ServiceState::Disabled => true,
            ServiceState::Enabled => false,
            ServiceState::Enabling | ServiceState::Disabling => {
                demand(false, &|| {
                    format!("the proxy service is {:?} at rest", kernel.service)
                });
                false
            }
        };
        demand(closed != kernel.is_open, &|| {
            format!(
                "the proxy service is {:?}, and somebody has it open: {}",
                kernel.service, kernel.is_open
            )
        });
        demand(closed || self.relay, &|| {
            "no relay runs, but the proxy service is open".into()
        });
        if closed {
            demand(kernel.door_references.is_none(), &|| {
                "the proxy service is closed, but a door is installed".into()
            });
            for (count, what) in [
                (kernel.targets, "proxy ports"),
                (kernel.sessions, "sessions of the peer"),
                (kernel.tasks, "commands of the peer"),
            ] {
                demand(count == 0, &|| {
                    format!("the proxy service is closed, but has {count} {what}")
                });
            }
        }
        let references = kernel.door_references.unwrap_or(1);
        demand(references == 1, &|| {
            format!("the kernel has {references} references to its door at rest, not 1")
        });
        let others = kernel.other_references;
        demand(others == 0, &|| {
            format!("the kernel has {others} references to doors that are not installed")
        });
        for port in &kernel.proxy_ports {
            demand(kernel.target_names.contains(port), &|| {
                let name = port.escape_ascii();
                format!("stmf has the proxy port {name}, which the proxy service does not know")
            });
        }
        for port in &kernel.target_names {
            demand(kernel.proxy_ports.contains(port), &|| {
                let name = port.escape_ascii();
                format!("the proxy service has the port {name}, which stmf does not know")
            });
        }
        for task in &kernel.local_tasks {
            demand(task.age <= OLDEST_TASK, &|| {
                let (text, age) = (&task.text, task.age.as_secs());
                match (task.aborting, task.proxy_msgid) {
                    (true, _) => format!("{text} is {age} s old and still being aborted"),
                    (false, 0) => format!("{text} is {age} s old"),
                    (false, id) => format!("{text}, proxied as {id:#x}, is {age} s old"),
                }
            });
        }
        let (waiting, tasks) = (self.outstanding, kernel.local_tasks.len());
        demand(waiting <= tasks, &|| {
            format!("initiators wait for {waiting} commands, but stmf has {tasks}")
        });
        wrong.extend(kernel.inconsistencies.iter().cloned());
        wrong.extend(kernel.stmf_inconsistencies.iter().cloned());
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::inspect::LocalTask;
    use crate::kernel::sbd::{Disk, Fill, MemoryStore};
    use crate::scsi::cdb;
    use crate::world::{NodeError, PortConfig, Transfer};

    fn sound() -> Seen {
        Seen {
            kernel: Inspection {
                service: ServiceState::Enabled,
                is_open: true,
                door_references: Some(1),
                other_references: 0,
                targets: 1,
                sessions: 1,
                tasks: 0,
                inconsistencies: vec![],
                stmf_inconsistencies: vec![],
                proxy_ports: vec![b"wwn.21".to_vec()],
                target_names: vec![b"wwn.21".to_vec()],
                local_tasks: vec![],
            },
            relay: true,
            outstanding: 0,
        }
    }

    #[test]
    fn each_thing_that_is_wrong_is_told() {
        assert!(sound().wrong().is_empty());
        let changes: [fn(&mut Seen); 10] = [
            |seen| seen.kernel.service = ServiceState::Disabling,
            |seen| seen.relay = false,
            |seen| {
                seen.kernel.service = ServiceState::Disabled;
                seen.kernel.is_open = false;
            },
            |seen| seen.kernel.is_open = false,
            |seen| seen.kernel.door_references = Some(2),
            |seen| seen.kernel.other_references = 1,
            |seen| seen.kernel.target_names.clear(),
            |seen| seen.kernel.proxy_ports.clear(),
            |seen| {
                let (proxy_msgid, aborting) = (7, false);
                seen.kernel.local_tasks.push(LocalTask {
                    text: "task 3 (cdb 28)".into(),
                    age: Duration::from_secs(91),
                    proxy_msgid,
                    aborting,
                });
            },
            |seen| seen.outstanding = 1,
        ];
        let mut told = String::new();
        for change in changes {
            let mut seen = sound();
            change(&mut seen);
            let wrong = seen.wrong();
            assert!(!wrong.is_empty());
            told.push_str(&format!("{}\n", wrong.join("\n  ")));
        }
        insta::assert_snapshot!(told);
    }

    const LU: [u8; 16] = [0x60; 16];

    async fn set_up(world: &World) -> Result<(), NodeError> {
        for node in world.nodes() {
            node.add_port(PortConfig::default()).await?;
            node.add_lu(LU, node.id() == 0).await?;
            node.start_relay()?;
        }
        world.sleep(Duration::from_secs(5)).await;
        Ok(())
    }

    fn world(seed: u64) -> World {
        let world = World::builder().seed(seed).build();
        let store = MemoryStore::new(1 << 20, Fill::Recorded);
        world.disks().insert(LU, Disk::shared(store));
        world
    }

    #[test]
    fn a_sound_pair_at_rest_has_nothing_wrong_with_it() {
        let world = world(3);
        let host = world.initiator();
        let ran = world.run(async move |world| {
            set_up(&world).await?;
            let path = world.node(1).login(&host, 0).await?;
            for lba in 0..8 {
                let read = cdb::read_10(lba, 1);
                path.command([0; 8], &read, Transfer::Read(512)).await;
            }
            assert_eq!(check(&world), [], "with a session and a link");
            world.node(0).kill_relay();
            world.node(1).stop_relay();
            world.sleep(Duration::from_secs(20)).await;
            assert_eq!(check(&world), [], "with relays that have ended");
            world.node(0).start_relay()?;
            world.node(1).power_off();
            world.sleep(Duration::from_secs(20)).await;
            assert_eq!(check(&world), [], "alone");
            Ok::<_, NodeError>(())
        });
        ran.unwrap().unwrap();
    }

    #[test]
    fn a_lock_that_is_held_and_a_device_that_stays_open_are_found() {
        let world = world(4);
        let found = world.run(async move |world| {
            set_up(&world).await?;
            for node in world.nodes() {
                node.stop_relay();
            }
            world.sleep(Duration::from_secs(5)).await;
            let kernel = world.node(0).kernel().ok_or(NodeError::Down(0))?;
            let opener = kernel.clone();
            let open = async move { opener.pppt().open().await.map(|_| ()) };
            let _ = world.node(0).in_kernel("forgetful", open).await?;
            kernel.clone().spawn("greedy", async move {
                let _lock = kernel.stmf_state().lock.lock().await;
                kernel.executor().sleep(Duration::from_secs(1000)).await;
            });
            world.sleep(Duration::from_secs(1)).await;
            Ok::<_, NodeError>(check(&world))
        });
        let found = found.unwrap().unwrap();
        let told: Vec<String> = found.iter().map(Finding::to_string).collect();
        insta::assert_snapshot!(told.join("\n"));
    }
}
