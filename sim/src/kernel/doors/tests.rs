// SPDX-License-Identifier: MPL-2.0
//! Doors on their own: a kernel thread calls, a server that the test answers for.

use super::*;
use crate::executor::{FirstChoice, GroupId};
use crate::kernel::{KernelConfig, NoObserver};

/// Keeps the calls until the test answers them.
#[derive(Default)]
struct Server {
    calls: RefCell<Vec<(Vec<u8>, DoorReply)>>,
    unreferenced: Cell<u32>,
}

impl Server {
    fn answer(&self, result: u32) {
        let (_, reply) = self.calls.borrow_mut().remove(0);
        reply.answer(result);
    }

    fn waiting(&self) -> Vec<Vec<u8>> {
        self.calls
            .borrow()
            .iter()
            .map(|(bytes, _)| bytes.clone())
            .collect()
    }
}

impl DoorServer for Server {
    fn call(&self, message: &Bytes, reply: DoorReply) {
        self.calls.borrow_mut().push((message.to_vec(), reply));
    }

    fn unreferenced(&self) {
        self.unreferenced.set(self.unreferenced.get() + 1);
    }
}

type Outcomes = Rc<RefCell<Vec<Result<u32, DoorError>>>>;

struct Rig {
    executor: Executor,
    kernel: Kernel,
    callers: GroupId,
    process: ProcessId,
    server: Rc<Server>,
    door: i32,
    outcomes: Outcomes,
}

impl Rig {
    fn new(threads: ServerThreads, attributes: u32) -> Rig {
        let executor = Executor::new(Box::new(FirstChoice));
        let kernel = Kernel::boot(&executor, KernelConfig::default(), Rc::new(NoObserver));
        let callers = executor.new_group("callers");
        let process = kernel.doors().start_process(threads);
        let server = Rc::new(Server::default());
        let door = kernel
            .doors()
            .create(process, attributes, server.clone())
            .unwrap();
        let outcomes = Outcomes::default();
        Rig {
            executor,
            kernel,
            callers,
            process,
            server,
            door,
            outcomes,
        }
    }

    /// A kernel thread begins a call; its outcome goes to `outcomes`.
    fn call(&self, bytes: &[u8]) {
        let door = self.kernel.doors().hold(self.door).unwrap();
        self.call_held(&door, bytes);
    }

    fn call_held(&self, door: &Rc<Door>, bytes: &[u8]) {
        let (kernel, outcomes) = (self.kernel.clone(), self.outcomes.clone());
        let (door, bytes) = (door.clone(), Bytes::copy_from_slice(bytes));
        self.executor.spawn(self.callers, "caller", async move {
            let outcome = kernel.doors().call(&door, &bytes).await;
            outcomes.borrow_mut().push(outcome);
        });
        self.executor.run_ready();
    }

    fn outcomes(&self) -> Vec<Result<u32, DoorError>> {
        self.executor.run_ready();
        self.outcomes.take()
    }
}

fn threads(most: usize) -> ServerThreads {
    ServerThreads {
        most: Some(most),
        ..ServerThreads::default()
    }
}

#[test]
fn a_call_waits_for_its_answer() {
    let rig = Rig::new(ServerThreads::default(), 0);
    rig.call(b"hello");
    assert_eq!(rig.server.waiting(), [b"hello"]);
    assert_eq!(rig.outcomes(), []);
    rig.server.answer(7);
    assert_eq!(rig.outcomes(), [Ok(7)]);
}

#[test]
fn when_every_server_thread_is_busy_a_call_waits_and_does_not_fail() {
    let rig = Rig::new(threads(2), 0);
    for number in 1..=4 {
        rig.call(&[number]);
    }
    assert_eq!(rig.server.waiting(), [[1], [2]]);
    rig.server.answer(1);
    rig.executor.run_ready();
    assert_eq!(rig.server.waiting(), [[2], [3]]);
    // Who comes now stands behind who waits already.
    rig.server.answer(2);
    rig.call(&[5]);
    assert_eq!(rig.server.waiting(), [[3], [4]]);
    for result in 3..=5 {
        rig.server.answer(result);
        rig.executor.run_ready();
    }
    assert_eq!(rig.outcomes(), [Ok(1), Ok(2), Ok(3), Ok(4), Ok(5)]);
}

#[test]
fn a_private_door_has_threads_of_its_own() {
    let rig = Rig::new(threads(1), 0);
    let private = Rc::new(Server::default());
    let doors = rig.kernel.doors();
    let descriptor = doors
        .create(rig.process, attributes::PRIVATE, private.clone())
        .unwrap();
    rig.call(&[1]);
    rig.call_held(&doors.hold(descriptor).unwrap(), &[2]);
    assert_eq!(rig.server.waiting(), [[1]]);
    assert_eq!(private.waiting(), [[2]]);
}

#[test]
fn an_interrupted_wait_is_eagain() {
    let rig = Rig::new(threads(1), 0);
    rig.call(&[1]);
    rig.call(&[2]);
    rig.kernel.doors().interrupt_waiting_calls(rig.process);
    assert_eq!(rig.outcomes(), [Err(DoorError::WaitInterrupted)]);
    rig.server.answer(0);
    assert_eq!(rig.outcomes(), [Ok(0)]);
    assert_eq!(DoorError::WaitInterrupted.errno(), Errno::EAGAIN);
}

#[test]
fn an_argument_that_does_not_fit_the_stack_is_e2big() {
    let stack_bytes = ServerThreads::RESERVE + 8;
    let rig = Rig::new(
        ServerThreads {
            most: None,
            stack_bytes,
        },
        0,
    );
    rig.call(&[0; 9]);
    let error = DoorError::StackTooSmall { size: 9, room: 8 };
    assert_eq!(rig.outcomes(), [Err(error)]);
    assert_eq!(error.errno(), Errno::E2BIG);
    rig.call(&[0; 8]);
    rig.server.answer(0);
    assert_eq!(rig.outcomes(), [Ok(0)]);
}

#[test]
fn a_default_stack_takes_2_mib_less_64_kib() {
    let rig = Rig::new(ServerThreads::default(), 0);
    rig.call(&vec![0; (2 << 20) - (64 << 10)]);
    rig.server.answer(0);
    assert_eq!(rig.outcomes(), [Ok(0)]);
    rig.call(&vec![0; (2 << 20) - (64 << 10) + 1]);
    assert!(matches!(
        rig.outcomes()[..],
        [Err(DoorError::StackTooSmall { .. })]
    ));
}

#[test]
fn sizes_outside_the_limits_are_enobufs() {
    let rig = Rig::new(ServerThreads::default(), 0);
    rig.kernel.doors().set_data_limits(rig.door, 2, 3).unwrap();
    for size in [1, 4] {
        rig.call(&vec![0; size]);
        let error = DoorError::SizeRefused {
            size,
            least: 2,
            most: 3,
        };
        assert_eq!(rig.outcomes(), [Err(error)]);
        assert_eq!(error.errno(), Errno::ENOBUFS);
    }
    for size in [2, 3] {
        rig.call(&vec![0; size]);
        rig.server.answer(0);
        assert_eq!(rig.outcomes(), [Ok(0)]);
    }
    assert_eq!(
        rig.kernel.doors().set_data_limits(rig.door, 3, 2),
        Err(Errno::EINVAL)
    );
}

#[test]
fn after_revoking_calls_in_progress_finish_and_later_ones_are_ebadf() {
    let rig = Rig::new(ServerThreads::default(), 0);
    let door = rig.kernel.doors().hold(rig.door).unwrap();
    rig.call_held(&door, &[1]);
    assert_eq!(rig.kernel.doors().revoke(rig.door), Ok(()));
    assert_eq!(rig.kernel.doors().revoke(rig.door), Err(Errno::EBADF));
    assert_eq!(rig.kernel.doors().hold(rig.door).err(), Some(Errno::EBADF));
    rig.call_held(&door, &[2]);
    assert_eq!(rig.outcomes(), [Err(DoorError::Revoked)]);
    rig.server.answer(9);
    assert_eq!(rig.outcomes(), [Ok(9)]);
    assert_eq!(DoorError::Revoked.errno(), Errno::EBADF);
}

#[test]
fn when_the_server_exits_calls_in_progress_are_eintr_and_all_others_ebadf() {
    let rig = Rig::new(threads(1), 0);
    let door = rig.kernel.doors().hold(rig.door).unwrap();
    rig.call_held(&door, &[1]);
    rig.call_held(&door, &[2]);
    rig.kernel.doors().end_process(rig.process);
    assert_eq!(
        rig.outcomes(),
        [Err(DoorError::ServerGone), Err(DoorError::ServerDied)]
    );
    rig.call_held(&door, &[3]);
    assert_eq!(rig.outcomes(), [Err(DoorError::ServerGone)]);
    assert_eq!(DoorError::ServerDied.errno(), Errno::EINTR);
    assert_eq!(DoorError::ServerGone.errno(), Errno::EBADF);
    // Its threads answer into the void.
    rig.server.answer(0);
    assert_eq!(rig.outcomes(), []);
    // Ending it again does nothing.
    rig.kernel.doors().end_process(rig.process);
}

#[test]
fn a_thread_that_dies_takes_its_call_along_and_does_not_come_back() {
    let rig = Rig::new(threads(2), 0);
    rig.call(&[1]);
    rig.server.calls.take();
    assert_eq!(rig.outcomes(), [Err(DoorError::ServerDied)]);
    rig.call(&[2]);
    rig.call(&[3]);
    assert_eq!(rig.server.waiting(), [[2]]);
}

#[test]
fn the_server_hears_once_that_nobody_refers_to_its_door() {
    for (attributes, told) in [
        (0, [0, 0]),
        (attributes::UNREF, [1, 1]),
        (attributes::UNREF_MULTI, [1, 2]),
    ] {
        let rig = Rig::new(ServerThreads::default(), attributes);
        for (round, told) in told.into_iter().enumerate() {
            let one = rig.kernel.doors().hold(rig.door).unwrap();
            let two = rig.kernel.doors().hold(rig.door).unwrap();
            rig.kernel.doors().release(&one);
            rig.executor.run_ready();
            assert_eq!(
                rig.server.unreferenced.get(),
                if round == 0 { 0 } else { told.min(1) }
            );
            rig.kernel.doors().release(&two);
            rig.executor.run_ready();
            assert_eq!(
                rig.server.unreferenced.get(),
                told,
                "attributes {attributes:#x}"
            );
        }
    }
}

#[test]
fn being_told_takes_a_server_thread_too() {
    let rig = Rig::new(threads(1), attributes::UNREF);
    let held = rig.kernel.doors().hold(rig.door).unwrap();
    rig.call_held(&held, &[1]);
    rig.kernel.doors().release(&held);
    rig.executor.run_ready();
    assert_eq!(rig.server.unreferenced.get(), 0);
    rig.server.answer(0);
    rig.executor.run_ready();
    assert_eq!(rig.server.unreferenced.get(), 1);
}

#[test]
fn injected_faults_hit_in_order_and_are_used_up() {
    let rig = Rig::new(ServerThreads::default(), 0);
    let doors = rig.kernel.doors();
    doors.inject(DoorFault::Errno {
        errno: Errno::EIO,
        times: 2,
    });
    doors.inject(DoorFault::Result {
        result: 5,
        times: 1,
    });
    doors.inject(DoorFault::Errno {
        errno: Errno::EPERM,
        times: 0,
    });
    (0..3).for_each(|_| rig.call(&[0]));
    let failed = Err(DoorError::Injected(Errno::EIO));
    assert_eq!(rig.outcomes(), [failed, failed, Ok(5)]);
    assert!(rig.server.waiting().is_empty());
    rig.call(&[1]);
    assert_eq!(rig.server.waiting(), [[1]]);
    doors.inject(DoorFault::Errno {
        errno: Errno::EIO,
        times: 3,
    });
    assert_eq!(doors.clear_faults(), 3);
    assert_eq!(doors.clear_faults(), 0);
}

#[test]
fn door_info_reports_attributes_and_references() {
    let rig = Rig::new(
        ServerThreads::default(),
        attributes::UNREF | attributes::NO_CANCEL,
    );
    let doors = rig.kernel.doors();
    let info = doors.info(rig.door).unwrap();
    assert_eq!(info.process, rig.process);
    let unref = attributes::UNREF | attributes::NO_CANCEL | attributes::IS_UNREF;
    assert_eq!(info.attributes, unref);
    let held = doors.hold(rig.door).unwrap();
    assert_eq!(
        doors.info(rig.door).unwrap().attributes,
        unref & !attributes::IS_UNREF
    );
    doors.release(&held);
    assert_eq!(doors.info(99), Err(Errno::EBADF));
    let other = doors.create(rig.process, 0, rig.server.clone()).unwrap();
    assert_ne!(doors.info(other).unwrap().uniquifier, info.uniquifier);
}

#[test]
fn what_no_door_can_be_is_refused() {
    let rig = Rig::new(ServerThreads::default(), 0);
    let doors = rig.kernel.doors();
    let unknown = attributes::LOCAL | attributes::UNREF;
    assert_eq!(
        doors.create(rig.process, unknown, rig.server.clone()),
        Err(Errno::EINVAL)
    );
    for _ in 1..MAX_DESCRIPTORS {
        doors.create(rig.process, 0, rig.server.clone()).unwrap();
    }
    assert_eq!(
        doors.create(rig.process, 0, rig.server.clone()),
        Err(Errno::EMFILE)
    );
    // A descriptor that was closed is given out again.
    doors.revoke(5).unwrap();
    assert_eq!(doors.create(rig.process, 0, rig.server.clone()), Ok(5));
    doors.end_process(rig.process);
    assert_eq!(
        doors.create(rig.process, 0, rig.server.clone()),
        Err(Errno::ESRCH)
    );
}
