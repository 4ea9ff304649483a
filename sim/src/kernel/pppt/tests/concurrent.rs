// SPDX-License-Identifier: MPL-2.0
//! Several threads at once: who waits for whom, and who does not.

use super::*;
use crate::executor::{Executor, FirstChoice, GroupId};
use crate::kernel::doors::{DoorReply, DoorServer, ServerThreads, attributes};
use crate::kernel::minimal::MinimalLu;
use crate::kernel::pppt::{Command, Handle, Ioctl, ServiceState, TargetState, TaskState};
use crate::kernel::stmf::types::PortCommand;
use crate::kernel::{Kernel, KernelConfig, NoObserver};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::message::{Dialect, Message, MessageType, status};
use stmf_proxy::status::Errno;

/// A relay that answers when the test wants it to.
#[derive(Default)]
struct Relay {
    slow: Cell<bool>,
    calls: RefCell<Vec<(MessageType, DoorReply)>>,
    seen: RefCell<Vec<MessageType>>,
}

impl DoorServer for Relay {
    fn call(&self, message: &Bytes, reply: DoorReply) {
        let message = Message::decode(message, Dialect::Current).expect("a message");
        self.seen.borrow_mut().push(message.message_type());
        if self.slow.get() {
            self.calls
                .borrow_mut()
                .push((message.message_type(), reply));
        } else {
            reply.answer(0);
        }
    }
}

struct Rig {
    executor: Executor,
    kernel: Kernel,
    relay: Rc<Relay>,
    threads: GroupId,
    handle: Handle,
    returned: Rc<RefCell<Vec<&'static str>>>,
}

impl Rig {
    fn new() -> Rig {
        let executor = Executor::new(Box::new(FirstChoice));
        let kernel = Kernel::boot(&executor, KernelConfig::default(), Rc::new(NoObserver));
        let threads = executor.new_group("relay");
        let relay = Rc::new(Relay::default());
        let lu = MinimalLu::new("minimal", 16);
        let slot = Rc::new(Cell::new(None));
        {
            let (kernel, relay) = (kernel.clone(), relay.clone());
            let slot = slot.clone();
            executor.spawn(threads, "start", async move {
                let process = kernel.doors().start_process(ServerThreads::default());
                let door = kernel
                    .doors()
                    .create(process, attributes::UNREF, relay)
                    .unwrap();
                lu.register(&kernel, [1; 16]).await;
                kernel.stmf().set_alua(true, 0).await.unwrap();
                let handle = kernel.pppt().open().await.unwrap();
                let install = Ioctl::new(Command::InstallDoor(door));
                kernel.pppt().ioctl(handle, install).await.unwrap();
                slot.set(Some(handle));
            });
        }
        executor.run_ready();
        let handle = slot.get().expect("the device is open");
        let rig = Rig {
            executor,
            kernel,
            relay,
            threads,
            handle,
            returned: Rc::default(),
        };
        rig.post("register", register("t1", 2));
        rig.post("register", register("t2", 2));
        rig.returned.take();
        rig.relay.seen.take();
        rig
    }

    /// Posts in a thread of its own; when the call has returned, `what` is in `returned`.
    fn post(&self, what: &'static str, body: Body) {
        self.posts(vec![(what, body)]);
    }

    /// Posts one after the other, in one thread.
    fn posts(&self, bodies: Vec<(&'static str, Body)>) {
        let (kernel, handle) = (self.kernel.clone(), self.handle);
        let returned = self.returned.clone();
        self.executor.spawn(self.threads, "poster", async move {
            for (what, body) in bodies {
                let bytes = Message { msgid: 9, body }.encode(Dialect::Current).unwrap();
                let ioctl = Ioctl::new(Command::Message(&bytes));
                kernel.pppt().ioctl(handle, ioctl).await.unwrap();
                returned.borrow_mut().push(what);
            }
        });
        self.executor.run_ready();
    }

    fn close(&self) {
        let (kernel, handle) = (self.kernel.clone(), self.handle);
        let returned = self.returned.clone();
        self.executor.spawn(self.threads, "closer", async move {
            kernel.pppt().close(handle).await.unwrap();
            returned.borrow_mut().push("close");
        });
        self.executor.run_ready();
    }

    fn answer(&self) -> MessageType {
        let (kind, reply) = self.relay.calls.borrow_mut().remove(0);
        reply.answer(0);
        self.executor.run_ready();
        kind
    }

    fn pass(&self, time: Duration) {
        self.executor.run_until(self.executor.now() + time);
    }

    fn returned(&self) -> Vec<&'static str> {
        self.returned.take()
    }
}

#[test]
fn no_lock_is_held_while_a_registration_is_answered() {
    let rig = Rig::new();
    rig.relay.slow.set(true);
    rig.post("register t3", register("t3", 2));
    assert_eq!(rig.returned(), [""; 0]);
    // Others go on, and the new port works already.
    rig.relay.slow.set(false);
    rig.post("register t4", register("t4", 2));
    rig.post(
        "command",
        Request {
            target: name("t3"),
            ..ready(1, 1)
        }
        .body(),
    );
    assert_eq!(rig.returned(), ["register t4", "command"]);
    assert_eq!(rig.relay.seen.take().last(), Some(&MessageType::ScsiStatus));
    assert_eq!(rig.answer(), MessageType::Status);
    assert_eq!(rig.returned(), ["register t3"]);
}

#[test]
fn a_command_that_comes_at_once_after_the_registration_may_find_the_port_not_online() {
    let rig = Rig::new();
    let command = Request {
        target: name("t3"),
        ..ready(1, 1)
    };
    rig.posts(vec![
        ("register", register("t3", 2)),
        ("command", command.body()),
    ]);
    // Two status messages: success for the registration, NOT_FOUND for the command.
    assert_eq!(
        rig.relay.seen.take(),
        [MessageType::Status, MessageType::Status]
    );
    assert_eq!(rig.kernel.pppt().counters().scmd_sess_create_fail.get(), 1);
    rig.post("again", command.body());
    assert_eq!(rig.relay.seen.take(), [MessageType::ScsiStatus]);
}

#[test]
fn closing_a_session_waits_while_a_status_is_being_sent_and_others_wait_for_that() {
    let rig = Rig::new();
    rig.relay.slow.set(true);
    rig.post("command", ready(1, 1).body());
    assert_eq!(
        rig.returned(),
        ["command"],
        "the worker thread of the task sends the status"
    );
    assert_eq!(
        rig.kernel.pppt().sessions()[0].tasks[0].state,
        TaskState::Done
    );
    rig.post("destroy", destroy(1, "iqn.x:i1", "t1"));
    rig.post(
        "other",
        Request {
            initiator: "iqn.x:i2",
            target: name("t2"),
            ..ready(2, 2)
        }
        .body(),
    );
    rig.pass(Duration::from_secs(3));
    assert_eq!(rig.returned(), [""; 0]);
    assert_eq!(rig.answer(), MessageType::ScsiStatus);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.returned(), ["destroy", "other"]);
    assert_eq!(rig.answer(), MessageType::ScsiStatus);
    let sessions: Vec<_> = rig.kernel.pppt().sessions().iter().map(|s| s.id).collect();
    assert_eq!(sessions, [2]);
    assert_eq!(rig.kernel.pppt().inconsistencies(), Vec::<String>::new());
}

#[test]
fn a_duplicate_completion_while_the_status_of_a_small_read_is_being_sent_is_ignored() {
    let rig = Rig::new();
    rig.post("read", read(1, 1).body());
    rig.relay.slow.set(true);
    rig.post("done", transfer_done(1, status::SUCCESS));
    rig.post("done again", transfer_done(1, status::SUCCESS));
    assert_eq!(rig.returned(), ["read", "done again"]);
    assert_eq!(rig.answer(), MessageType::ScsiStatus);
    assert_eq!(rig.returned(), ["done"]);
    assert!(rig.relay.calls.borrow().is_empty());
    assert_eq!(rig.kernel.panicked(), None);
}

#[test]
fn data_of_a_read_and_its_completion_may_cross_in_the_relay() {
    // The peer's confirmation is posted before the relay has answered the upcall with the data.
    let rig = Rig::new();
    rig.relay.slow.set(true);
    rig.post("read", read(1, 1).body());
    rig.relay.slow.set(false);
    rig.post("done", transfer_done(1, status::SUCCESS));
    assert_eq!(
        rig.relay.seen.take(),
        [MessageType::ScsiData, MessageType::ScsiStatus]
    );
    assert_eq!(rig.answer(), MessageType::ScsiData);
    assert_eq!(rig.kernel.pppt().task_count(), 0);
    assert_eq!(rig.kernel.stmf().task_count(), 0);
    assert_eq!(rig.kernel.pppt().inconsistencies(), Vec::<String>::new());
}

#[test]
fn close_waits_for_sessions_and_lets_go_of_the_door_last() {
    let rig = Rig::new();
    rig.relay.slow.set(true);
    rig.post("command", ready(1, 1).body());
    rig.close();
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.kernel.pppt().service_state(), ServiceState::Disabling);
    assert!(rig.kernel.pppt().installed_door().is_some());
    let kernel = rig.kernel.clone();
    let reopened = Rc::new(Cell::new(None));
    let slot = reopened.clone();
    rig.executor.spawn(rig.threads, "opener", async move {
        slot.set(Some(kernel.pppt().open().await.err()));
    });
    rig.answer();
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.returned(), ["command", "close"]);
    assert_eq!(rig.kernel.pppt().service_state(), ServiceState::Disabled);
    assert_eq!(rig.kernel.pppt().installed_door(), None);
    // It came while the service was being disabled.
    assert_eq!(reopened.get(), Some(Some(Errno::EBUSY)));
    assert_eq!(rig.kernel.pppt().targets(), []);
    assert_eq!(rig.kernel.pppt().unload_check(), Ok(()));
}

#[test]
fn the_handle_is_gone_as_soon_as_it_is_being_closed() {
    let rig = Rig::new();
    rig.relay.slow.set(true);
    rig.post("command", ready(1, 1).body());
    rig.close();
    assert_eq!(rig.kernel.pppt().service_state(), ServiceState::Disabling);
    let (kernel, handle) = (rig.kernel.clone(), rig.handle);
    let outcome = Rc::new(Cell::new(None));
    let slot = outcome.clone();
    rig.executor.spawn(rig.threads, "late", async move {
        let ioctl = Ioctl::new(Command::Other(1));
        slot.set(kernel.pppt().ioctl(handle, ioctl).await.err());
    });
    rig.executor.run_ready();
    assert_eq!(outcome.get(), Some(Errno::EBADF));
}

#[test]
fn a_port_is_deleted_from_whatever_state_it_is_in() {
    // Deregistered in the same breath as it is registered: it comes online first.
    let rig = Rig::new();
    rig.posts(vec![
        ("register", register("t3", 2)),
        ("deregister", deregister("t3")),
    ]);
    assert_eq!(rig.returned(), ["register", "deregister"]);
    let left = rig.kernel.pppt().targets();
    assert!(
        left.iter()
            .all(|target| target.state == TargetState::StmfOnline)
    );
    assert_eq!(left.len(), 2);
    assert_eq!(rig.kernel.stmf().ports().len(), 2);
}

#[test]
fn a_handle_of_before_is_not_the_next_one() {
    let rig = Rig::new();
    assert!(rig.kernel.pppt().is_open());
    rig.close();
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.returned(), ["close"]);
    assert!(!rig.kernel.pppt().is_open());
    assert_eq!(rig.kernel.pppt().inconsistencies(), Vec::<String>::new());

    let (kernel, old, done) = (rig.kernel.clone(), rig.handle, rig.returned.clone());
    rig.executor.spawn(rig.threads, "again", async move {
        let new = kernel.pppt().open().await.expect("it is closed");
        assert_ne!(new, old);
        let ioctl = Ioctl::new(Command::Other(1));
        assert_eq!(kernel.pppt().ioctl(old, ioctl).await, Err(Errno::EBADF));
        assert_eq!(kernel.pppt().close(old).await, Err(Errno::EBADF));
        assert_eq!(kernel.pppt().ioctl(new, ioctl).await, Ok(()));
        done.borrow_mut().push("again");
    });
    rig.executor.run_ready();
    assert_eq!(rig.returned(), ["again"]);
    assert!(rig.kernel.pppt().is_open());
}

#[test]
fn a_command_has_a_number_of_its_own_in_stmf_while_it_runs() {
    let rig = Rig::new();
    rig.relay.slow.set(true);
    rig.post("first", read(1, 1).body());
    rig.post("second", read(1, 2).body());
    let pppt = rig.kernel.pppt();
    let numbers = [1, 2].map(|msgid| pppt.task_number(1, msgid));
    assert!(numbers[0].is_some() && numbers[1].is_some(), "{numbers:?}");
    assert_ne!(numbers[0], numbers[1]);
    assert_eq!(pppt.task_number(1, 3), None);
    assert_eq!(pppt.task_number(2, 1), None);
}

/// What stmf asks for while a port is on its way is done when it has arrived, and nothing else.
#[test]
fn a_port_that_goes_offline_stays_so_unless_it_is_wanted_back() {
    let state = |rig: &Rig| rig.kernel.pppt().targets()[0].state;
    let ask = |rig: &Rig, commands: &[PortCommand]| {
        let ports = rig.kernel.stmf().ports();
        let port = ports.iter().find(|port| port.id.ident == b"t1");
        for command in commands {
            let port = port.expect("it is registered");
            rig.kernel.stmf().request_port_state(port, *command);
        }
        rig.executor.run_ready();
    };
    let rig = Rig::new();
    ask(&rig, &[PortCommand::Offline]);
    assert_eq!(state(&rig), TargetState::StmfOffline);
    ask(&rig, &[PortCommand::Online]);
    assert_eq!(state(&rig), TargetState::StmfOnline);
    ask(&rig, &[PortCommand::Offline, PortCommand::Online]);
    assert_eq!(state(&rig), TargetState::StmfOnline);
    ask(&rig, &[PortCommand::Offline]);
    assert_eq!(state(&rig), TargetState::StmfOffline);
    ask(&rig, &[PortCommand::Online, PortCommand::Offline]);
    assert_eq!(state(&rig), TargetState::StmfOffline);
    // One that is offline is deleted without being taken offline first.
    rig.post("deregister", deregister("t1"));
    assert_eq!(rig.returned(), ["deregister"]);
    assert_eq!(rig.kernel.pppt().targets().len(), 1);
    assert_eq!(rig.kernel.stmf().ports().len(), 1);
}

/// Only that all is well may be said twice.
#[test]
fn a_failure_while_the_status_of_a_small_read_is_being_sent_is_one_that_nobody_expects() {
    let rig = Rig::new();
    rig.post("read", read(1, 1).body());
    rig.relay.slow.set(true);
    rig.post("done", transfer_done(1, status::SUCCESS));
    assert_eq!(rig.kernel.panicked(), None);
    rig.post("failed", transfer_done(1, status::FAILURE));
    assert_eq!(rig.kernel.panicked().and_then(|panic| panic.trap), Some(3));
}

/// A LU knows sessions by their numbers: who reserved it, for one.
#[test]
fn every_session_of_the_peer_has_a_number_of_its_own() {
    let rig = Rig::new();
    rig.post("one", ready(1, 1).body());
    let other = Request {
        initiator: "iqn.x:i2",
        ..ready(2, 2)
    };
    rig.post("two", other.body());
    let ports = rig.kernel.stmf().ports();
    let numbers: Vec<u64> = ports
        .iter()
        .flat_map(|port| port.sessions.borrow().clone())
        .map(|session| session.id)
        .collect();
    assert_eq!(numbers.len(), 2);
    assert_ne!(numbers[0], numbers[1]);
}
