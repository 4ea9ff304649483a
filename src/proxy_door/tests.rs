// SPDX-License-Identifier: MPL-2.0
//! The door API over a scripted platform that fails where it is told to, suspends where it is
//! told to, and knows at any time which descriptors are open.

mod fake;

use super::*;
use crate::platform::{AluaStateDescriptor, DoorServer, DoorSettings};
use crate::status::{Errno, Status};
use fake::{Blocking, Fake, Suspending};
use std::pin::pin;
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};

const ODD: Errno = Errno::from_number(76);

fn every_errno() -> impl Iterator<Item = Errno> {
    Errno::NAMED.iter().copied().chain([ODD])
}

fn accept_all() -> Arc<dyn DoorServer> {
    Arc::new(|_: &[u8]| 0)
}

/// A platform on which the first `successes` calls succeed and the next fails.
fn failing_after(successes: usize, errno: Errno) -> Blocking {
    let fake = Fake::default();
    fake.script((0..successes).map(|_| None).chain([Some(errno)]));
    fake
}

fn established(fake: &Blocking) -> ProxyDoor<Blocking> {
    ProxyDoor::init(Door::create(fake, |_: &[u8]| 0).unwrap()).unwrap()
}

#[test]
fn the_calls_come_in_the_documented_order() {
    let fake = Blocking::default();
    let proxy = established(&fake);
    proxy.set_alua_state(true, 1).unwrap();
    proxy.post(b"hello").unwrap();
    proxy.set_lu_standby([6; 16]).unwrap();
    proxy.destroy().unwrap();
    assert_eq!(
        fake.take_log(),
        [
            "door_create -> 1",
            "open /devices/pseudo/pppt@0:pppt -> 2",
            "ioctl 2 install door 1",
            "open /devices/pseudo/stmf@0:admin -> 3",
            "ioctl 3 set alua 1 node 1",
            "close 3",
            "ioctl 2 message of 5",
            "open /devices/pseudo/stmf_sbd@0:admin -> 4",
            "ioctl 4 standby 06060606060606060606060606060606",
            "close 4",
            "close 2",
            "revoke 1",
        ]
    );
    assert_eq!(fake.open_descriptors(), Vec::<i32>::new());
}

#[test]
fn dropping_closes_the_handle_before_it_revokes_the_door() {
    let fake = Blocking::default();
    let proxy = established(&fake);
    fake.take_log();
    drop(proxy);
    assert_eq!(fake.take_log(), ["drop device 2", "drop door 1"]);
    assert_eq!(fake.open_descriptors(), Vec::<i32>::new());
}

#[test]
fn a_second_init_while_one_is_established_says_door_installed() {
    let fake = Blocking::default();
    let first = established(&fake);
    fake.script([None, Some(Errno::EBUSY)]);
    let door = Door::create(&fake, |_: &[u8]| 0).unwrap();
    let error = ProxyDoor::init(door).unwrap_err();
    assert_eq!(
        error,
        Error::OpenProxyService {
            errno: Errno::EBUSY
        }
    );
    assert_eq!(error.status(), Status::DoorInstalled);
    assert_eq!(
        fake.open_descriptors(),
        [1, 2],
        "what is open belongs to the first"
    );
    first.destroy().unwrap();
}

/// Each call of the API, with each step of it failing with each error number: the error names
/// step, number and code, and nothing of the failed call stays open.
#[test]
fn every_errno_at_every_step_is_reported_and_leaks_nothing() {
    type Run = fn(&Blocking) -> Result<(), Error>;
    let init: Run = |fake| ProxyDoor::init(Door::create(fake, |_: &[u8]| 0)?).map(drop);
    let post: Run = |fake| established(fake).post(&[1]);
    let destroy: Run = |fake| established(fake).destroy();
    let close: Run = |fake| established(fake).close().map(drop);
    let set: Run = |fake| Stmf::new(fake.clone()).set_alua_state(false, 0);
    let get: Run = |fake| Stmf::new(fake.clone()).alua_state().map(drop);
    let standby: Run = |fake| Stmf::new(fake.clone()).set_lu_standby([0; 16]);
    let revoke: Run = |fake| Door::create(fake, |_: &[u8]| 0)?.revoke();
    let cases: [(Run, usize, Step); 14] = [
        (init, 0, Step::CreateDoor),
        (init, 1, Step::OpenProxyService),
        (init, 2, Step::InstallDoor),
        (post, 3, Step::PostMessage),
        (destroy, 3, Step::CloseProxyService),
        (destroy, 4, Step::RevokeDoor),
        (close, 3, Step::CloseProxyService),
        (set, 0, Step::OpenStmf),
        (set, 1, Step::SetAluaState),
        (get, 0, Step::OpenStmf),
        (get, 1, Step::GetAluaState),
        (standby, 0, Step::OpenSbd),
        (standby, 1, Step::SetLuStandby),
        (revoke, 1, Step::RevokeDoor),
    ];
    for (run, successes, step) in cases {
        for errno in every_errno() {
            let fake = failing_after(successes, errno);
            let error = run(&fake).unwrap_err();
            assert_eq!(error.system(), Some((step, errno)));
            assert_eq!(error.status(), step.status(errno));
            assert!(error.to_string().contains(&errno.to_string()), "{error}");
            assert_eq!(
                fake.open_descriptors(),
                Vec::<i32>::new(),
                "{step:?} {errno}"
            );
            assert_eq!(fake.script_left(), 0, "the failure was met");
        }
    }
}

#[test]
fn a_refused_door_is_reported_even_if_closing_fails_too() {
    let fake = Blocking::default();
    fake.script([
        None,
        None,
        Some(Errno::EINVAL),
        Some(Errno::EIO),
        Some(Errno::EPERM),
    ]);
    let error = ProxyDoor::init(Door::create(&fake, |_: &[u8]| 0).unwrap()).unwrap_err();
    assert_eq!(
        error,
        Error::InstallDoor {
            errno: Errno::EINVAL
        }
    );
    assert_eq!(
        fake.take_log()[2..],
        ["ioctl 2 install door 1", "close 2", "revoke 1"]
    );
    assert_eq!(fake.open_descriptors(), Vec::<i32>::new());
}

#[test]
fn destroy_takes_both_steps_and_reports_the_first_failure() {
    let fake = Blocking::default();
    let proxy = established(&fake);
    fake.take_log();
    fake.script([Some(Errno::EIO), Some(Errno::EPERM)]);
    assert_eq!(
        proxy.destroy(),
        Err(Error::CloseProxyService { errno: Errno::EIO })
    );
    assert_eq!(fake.take_log(), ["close 2", "revoke 1"]);
    assert_eq!(fake.open_descriptors(), Vec::<i32>::new());
}

#[test]
fn the_alua_state_is_set_even_if_closing_the_administration_fails() {
    let fake = Blocking::default();
    fake.script([None, None, Some(Errno::EIO)]);
    assert_eq!(Stmf::new(fake.clone()).set_alua_state(true, 0), Ok(()));
    assert_eq!(fake.open_descriptors(), Vec::<i32>::new());
}

#[test]
fn close_gives_the_door_back_for_another_init() {
    let fake = Blocking::default();
    let door = established(&fake)
        .close()
        .unwrap()
        .expect("the door was made here");
    assert_eq!(fake.open_descriptors(), [1]);
    let again = ProxyDoor::init(door).unwrap();
    again.post(&[1]).unwrap();
    again.destroy().unwrap();
    assert_eq!(fake.open_descriptors(), Vec::<i32>::new());
}

#[test]
fn a_door_of_the_callers_own_stays_the_callers() {
    let fake = Blocking::default();
    let door = Door::create(&fake, |_: &[u8]| 0).unwrap();
    let proxy = ProxyDoor::init_with_descriptor(&fake, door.descriptor()).unwrap();
    assert!(proxy.close().unwrap().is_none());
    assert_eq!(fake.open_descriptors(), [1]);
    let proxy = ProxyDoor::init_with_descriptor(&fake, door.descriptor()).unwrap();
    proxy.destroy().unwrap();
    assert_eq!(fake.open_descriptors(), [1]);
    assert_eq!(door.revoke(), Ok(()));
}

#[test]
fn posts_are_bounded_before_the_kernel_sees_them() {
    let fake = Blocking::default();
    let proxy = established(&fake).with_post_limit(100);
    fake.take_log();
    assert_eq!(proxy.post_limit(), 100);
    assert_eq!(proxy.post(&[0; 100]), Ok(()));
    let error = proxy.post(&[0; 101]).unwrap_err();
    assert_eq!(
        error,
        Error::MessageTooLong {
            length: 101,
            limit: 100
        }
    );
    assert_eq!(error.status(), Status::InvalidArgument);
    let error = proxy.post(&[]).unwrap_err();
    assert_eq!(error, Error::EmptyMessage);
    assert_eq!(error.status(), Status::PostMessageFailed);
    assert_eq!(fake.take_log(), ["ioctl 2 message of 100"]);

    let default = proxy.with_post_limit(ProxyDoor::<Blocking>::DEFAULT_POST_LIMIT);
    let longest = vec![0; 64 << 20];
    assert_eq!(default.post(&longest), Ok(()));
    let over = vec![0; (64 << 20) + 1];
    assert!(matches!(
        default.post(&over),
        Err(Error::MessageTooLong { .. })
    ));
    assert_eq!(fake.take_log(), ["ioctl 2 message of 67108864"]);
}

#[test]
fn alua_nodes_are_checked_on_the_way_in_and_out() {
    let fake = Blocking::default();
    let stmf = Stmf::new(fake.clone());
    for node in [2, 256, 65536, 65537, u32::MAX] {
        let error = stmf.set_alua_state(true, node).unwrap_err();
        assert_eq!(error, Error::NodeOutOfRange { node });
        assert_eq!(error.status(), Status::InvalidArgument);
    }
    assert_eq!(fake.take_log(), Vec::<String>::new(), "nothing was opened");

    for (alua_state, alua_node) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        fake.tell_alua(AluaStateDescriptor {
            alua_state,
            alua_node,
        });
        let expected = AluaState {
            enabled: alua_state == 1,
            node: alua_node.into(),
        };
        assert_eq!(stmf.alua_state(), Ok(expected));
    }
    for (state, node) in [(2, 0), (255, 1), (0, 2), (1, u16::MAX)] {
        fake.tell_alua(AluaStateDescriptor {
            alua_state: state,
            alua_node: node,
        });
        assert_eq!(
            stmf.alua_state(),
            Err(Error::UnknownAluaState { state, node })
        );
        assert_eq!(
            Error::UnknownAluaState { state, node }.status(),
            Status::Error
        );
    }
    assert_eq!(fake.open_descriptors(), Vec::<i32>::new());
}

#[test]
fn the_door_serves_what_was_given_to_it() {
    let fake = Blocking::default();
    let proxy = established(&fake);
    let door = Door::create(&fake, |message: &[u8]| message.len() as u32).unwrap();
    assert_eq!(fake.call(door.descriptor(), b"four"), Ok(4));
    let gone = door.descriptor();
    door.revoke().unwrap();
    assert_eq!(fake.call(gone, b"four"), Err(Errno::EBADF));
    proxy.destroy().unwrap();
}

/// Only the closing tells the kernel's last words to the door, so the door has to be there.
#[test]
fn the_door_answers_while_the_handle_is_being_closed() {
    let fake = Blocking::default();
    for destroy in [true, false] {
        let proxy = established(&fake);
        fake.call_door_while_closing(proxy.door.as_ref().unwrap().descriptor());
        if destroy {
            proxy.destroy().unwrap();
        } else {
            drop(proxy);
        }
        assert_eq!(fake.take_answer_while_closing(), Some(Ok(0)));
    }
}

#[test]
fn many_threads_post_at_once() {
    const THREADS: usize = 16;
    let fake = Blocking::default();
    let proxy = Arc::new(established(&fake));
    // No post returns before all of them are inside the kernel.
    fake.meet_in_posts(Arc::new(Barrier::new(THREADS)));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| proxy.post(&[7]).unwrap());
        }
    });
    Arc::into_inner(proxy)
        .expect("no other owner is left")
        .destroy()
        .unwrap();
    assert_eq!(fake.open_descriptors(), Vec::<i32>::new());
}

#[test]
fn handles_may_be_sent_and_shared() {
    fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<ProxyDoor<Blocking>>();
    send_and_sync::<Door<Blocking>>();
    send_and_sync::<Stmf<Blocking>>();
}

/// The whole life of a handle, for platforms that suspend.
async fn life(fake: Suspending) -> Result<(), Error> {
    let settings = DoorSettings::default();
    let door = Door::create_async(&fake, settings, accept_all()).await?;
    let proxy = ProxyDoor::init_async(door).await?;
    proxy.set_alua_state_async(true, 0).await?;
    proxy.alua_state_async().await?;
    proxy.post_async(&[1, 2, 3]).await?;
    proxy.set_lu_standby_async([6; 16]).await?;
    let door = proxy.close_async().await?.expect("the door was made here");
    ProxyDoor::init_async(door).await?.destroy_async().await
}

/// Polls `life` until it is done or has been polled `polls` times, then lets go of it.
fn live_for(fake: &Suspending, polls: usize) -> Option<Result<(), Error>> {
    let mut future = pin!(life(fake.clone()));
    for _ in 0..polls {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
            return Some(result);
        }
    }
    None
}

#[test]
fn letting_go_of_a_suspended_call_anywhere_leaks_nothing() {
    let mut polls = 0;
    loop {
        let fake = Suspending::default();
        let ended = live_for(&fake, polls);
        assert_eq!(
            fake.open_descriptors(),
            Vec::<i32>::new(),
            "after {polls} polls"
        );
        fake.assert_doors_outlived_handles();
        if let Some(result) = ended {
            assert_eq!(result, Ok(()));
            break;
        }
        polls += 1;
    }
    assert!(polls > 30, "the calls did suspend: {polls}");
}

proptest::proptest! {
    /// Any script of failures, any point at which the caller goes away.
    #[test]
    fn no_script_of_failures_leaks_or_reorders(
        script in proptest::collection::vec(
            proptest::option::weighted(0.15, 0..Errno::NAMED.len()), 0..24),
        polls in 0usize..60,
    ) {
        let script: Vec<_> = script.into_iter().map(|i| i.map(|i| Errno::NAMED[i])).collect();
        let fake = Suspending::default();
        fake.script(script.iter().copied());
        let ended = live_for(&fake, polls);
        proptest::prop_assert_eq!(fake.open_descriptors(), Vec::<i32>::new());
        fake.assert_doors_outlived_handles();
        if let Some(Err(error)) = ended {
            let (step, errno) = error.system().expect("only the platform fails here");
            proptest::prop_assert!(script.contains(&Some(errno)));
            proptest::prop_assert_eq!(error.status(), step.status(errno));
        }
    }
}

#[test]
fn messages_say_what_was_wrong_where_and_what_to_do() {
    let mut text = String::new();
    for error in [
        Error::EmptyMessage,
        Error::MessageTooLong {
            length: 67_108_865,
            limit: 67_108_864,
        },
        Error::NodeOutOfRange { node: 2 },
        Error::UnknownAluaState {
            state: 7,
            node: 300,
        },
    ] {
        text.push_str(&format!("{}\n    {error}\n", error.status()));
    }
    // For each step one failure without advice, and those that have advice of their own.
    for step in Step::ALL {
        let plain = Error::new(step, ODD).to_string();
        let for_all = [Errno::EPERM, Errno::EACCES];
        for errno in every_errno().filter(|errno| !for_all.contains(errno)) {
            let error = Error::new(step, errno);
            let message = error.to_string();
            if errno == ODD || message.len() > plain.len() + 10 {
                text.push_str(&format!("{}\n    {message}\n", error.status()));
            }
        }
    }
    let error = Error::new(Step::PostMessage, Errno::EPERM);
    text.push_str(&format!("{}\n    {error}\n", error.status()));
    insta::assert_snapshot!(text);
}
