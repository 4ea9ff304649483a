// SPDX-License-Identifier: MPL-2.0
//! The door API on a real illumos: doors made by this library and called as the kernel calls
//! them. The tests of the module `with_proxy_service` also need COMSTAR's proxy service (pppt)
//! and the privilege sys_devices, and change the node's ALUA state; they run only when asked for:
//!
//! ```text
//! cargo test -p stmf-proxy --test illumos_door
//! cargo test -p stmf-proxy --test illumos_door -- --ignored --test-threads=1
//! ```
//!
//! On other systems this file is empty.
#![cfg(target_os = "illumos")]
#![allow(unsafe_code)]

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;
use stmf_proxy::platform::illumos::{Illumos, call_door, door_attributes};
use stmf_proxy::platform::{DoorServer, DoorSettings};
use stmf_proxy::proxy_door::{Door, Error};
use stmf_proxy::status::{Errno, Status};

/// Longer than anything here takes; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

fn sum(message: &[u8]) -> u32 {
    message.iter().fold(0, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(*byte))
    })
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i ^ (i >> 9)) as u8).collect()
}

fn duplicate(descriptor: i32) -> OwnedFd {
    // SAFETY: the descriptor is that of a door which is alive during the call.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    borrowed
        .try_clone_to_owned()
        .expect("a door can be duplicated")
}

#[test]
fn results_come_back_as_they_were_given() {
    for result in [0, 1, 134, u32::MAX] {
        let door = Door::create(&Illumos, move |_: &[u8]| result).unwrap();
        assert_eq!(call_door(door.descriptor(), &[1, 2, 3]), Ok(result));
    }
}

#[test]
fn messages_arrive_byte_for_byte_whatever_their_length() {
    let door = Door::create(&Illumos, |message: &[u8]| sum(message)).unwrap();
    for length in [1, 3, 4095, 4096, 65536, 524_688, 1 << 20] {
        let message = pattern(length);
        assert_eq!(
            call_door(door.descriptor(), &message),
            Ok(sum(&message)),
            "{length} bytes"
        );
    }
}

/// Threads that the library makes by default have stacks of 2 MiB.
#[test]
fn messages_that_default_stacks_cannot_hold_arrive_up_to_the_limit() {
    let door = Door::create(&Illumos, |message: &[u8]| sum(message)).unwrap();
    let limit = DoorSettings::default().largest_message();
    for length in [2 << 20, 4 << 20, limit] {
        let message = pattern(length);
        assert_eq!(
            call_door(door.descriptor(), &message),
            Ok(sum(&message)),
            "{length} bytes"
        );
    }
    let over = pattern(limit + 1);
    assert_eq!(
        call_door(door.descriptor(), &over),
        Ok(Errno::EMSGSIZE.number() as u32)
    );
    let far_over = pattern(DoorSettings::default().stack_size());
    assert_eq!(call_door(door.descriptor(), &far_over), Err(Errno::E2BIG));
}

#[test]
fn the_reserve_for_the_server_can_be_used_under_the_largest_message() {
    #[inline(never)]
    fn deep(bytes: &[u8]) -> u32 {
        let mut space = [0u8; 256 << 10];
        for (to, from) in std::hint::black_box(&mut space).iter_mut().zip(bytes) {
            *to = *from;
        }
        u32::from(std::hint::black_box(&space)[bytes.len().min(space.len()) - 1])
    }
    let door = Door::create(&Illumos, |message: &[u8]| deep(message)).unwrap();
    let message = pattern(DoorSettings::default().largest_message());
    let expected = u32::from(message[(256 << 10) - 1]);
    assert_eq!(call_door(door.descriptor(), &message), Ok(expected));
}

#[test]
fn an_empty_message_is_refused_without_asking_the_server() {
    let door = Door::create(&Illumos, |_: &[u8]| panic!("not to be called")).unwrap();
    assert_eq!(
        call_door(door.descriptor(), &[]),
        Ok(Errno::EINVAL.number() as u32)
    );
}

#[test]
fn a_panic_in_the_server_is_a_result_and_the_door_lives_on() {
    let door = Door::create(&Illumos, |message: &[u8]| {
        if message == b"panic" {
            panic!("as a test wants it")
        }
        0
    })
    .unwrap();
    for _ in 0..100 {
        assert_eq!(
            call_door(door.descriptor(), b"panic"),
            Ok(Errno::EIO.number() as u32)
        );
        assert_eq!(call_door(door.descriptor(), b"calm"), Ok(0));
    }
}

#[test]
fn the_door_has_the_attributes_of_a_relay_s_door() {
    let door = Door::create(&Illumos, |_: &[u8]| 0).unwrap();
    let attributes = door_attributes(door.descriptor()).unwrap();
    assert_eq!(attributes & 0x01, 0x01, "DOOR_UNREF");
    assert_eq!(attributes & 0x40, 0x40, "DOOR_REFUSE_DESC");
    assert_eq!(attributes & 0x80, 0x80, "DOOR_NO_CANCEL");
    assert_eq!(attributes & 0x04, 0x04, "DOOR_LOCAL");
    assert_eq!(attributes & 0x08, 0, "DOOR_REVOKED");
    assert_eq!(attributes & 0x02, 0, "DOOR_PRIVATE");
}

#[test]
fn a_revoked_door_answers_ebadf() {
    for by_drop in [false, true] {
        let door = Door::create(&Illumos, |_: &[u8]| 0).unwrap();
        let other = duplicate(door.descriptor());
        let number = std::os::fd::AsRawFd::as_raw_fd(&other);
        assert_eq!(call_door(number, &[1]), Ok(0));
        if by_drop {
            drop(door);
        } else {
            door.revoke().unwrap();
        }
        assert_eq!(call_door(number, &[1]), Err(Errno::EBADF));
    }
}

#[test]
fn a_call_in_progress_survives_the_revocation() {
    let (entered, wait_entered) = channel();
    let (release, wait_release) = channel::<()>();
    let wait_release = Mutex::new(wait_release);
    let door = Door::create(&Illumos, move |_: &[u8]| {
        entered.send(()).unwrap();
        wait_release
            .lock()
            .unwrap()
            .recv_timeout(PATIENCE)
            .map_or(1, |()| 77)
    })
    .unwrap();
    let other = duplicate(door.descriptor());
    let number = std::os::fd::AsRawFd::as_raw_fd(&other);
    let caller = thread::spawn(move || call_door(number, &[1]));
    wait_entered.recv_timeout(PATIENCE).unwrap();
    door.revoke().unwrap();
    release.send(()).unwrap();
    assert_eq!(caller.join().unwrap(), Ok(77));
}

/// Tells of the end of its door.
struct Watched(Mutex<Sender<()>>);

impl DoorServer for Watched {
    fn upcall(&self, _: &[u8]) -> u32 {
        0
    }
    fn unreferenced(&self) {
        let _ = self.0.lock().unwrap().send(());
    }
}

fn watched() -> (Watched, Receiver<()>) {
    let (sender, receiver) = channel();
    (Watched(Mutex::new(sender)), receiver)
}

#[test]
fn the_server_learns_that_the_last_other_reference_is_gone() {
    let (server, told) = watched();
    let door = Door::create(&Illumos, server).unwrap();
    let other = duplicate(door.descriptor());
    assert_eq!(call_door(door.descriptor(), &[1]), Ok(0));
    assert!(told.try_recv().is_err(), "the duplicate is still there");
    drop(other);
    told.recv_timeout(PATIENCE).expect("the server is told");
    assert_eq!(
        call_door(door.descriptor(), &[1]),
        Ok(0),
        "the door goes on"
    );
}

#[test]
fn calls_are_answered_in_parallel() {
    const CALLS: usize = 16;
    let meeting = Arc::new(Barrier::new(CALLS));
    let door = Door::create(&Illumos, move |_: &[u8]| {
        // Nobody is answered before all are here.
        meeting.wait();
        0
    })
    .unwrap();
    let number = door.descriptor();
    let callers: Vec<_> = (0..CALLS)
        .map(|_| thread::spawn(move || call_door(number, &[1])))
        .collect();
    for caller in callers {
        assert_eq!(caller.join().unwrap(), Ok(0));
    }
}

#[test]
fn calls_beyond_the_threads_wait_and_do_not_fail() {
    let limit = usize::from(DoorSettings::default().server_threads());
    let inside = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (counter, peak) = (inside.clone(), most.clone());
    let door = Door::create(&Illumos, move |_: &[u8]| {
        peak.fetch_max(counter.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::yield_now();
        counter.fetch_sub(1, Ordering::SeqCst);
        0
    })
    .unwrap();
    let number = door.descriptor();
    let callers: Vec<_> = (0..limit * 4)
        .map(|_| thread::spawn(move || (0..100).all(|_| call_door(number, &[1]) == Ok(0))))
        .collect();
    for caller in callers {
        assert!(caller.join().unwrap());
    }
    assert!((1..=limit).contains(&most.load(Ordering::SeqCst)));
}

#[test]
fn a_door_with_a_larger_message_than_the_stacks_of_the_process_is_refused() {
    let first = Door::create(&Illumos, |_: &[u8]| 0).unwrap();
    assert_eq!(call_door(first.descriptor(), &[1]), Ok(0));
    let larger = DoorSettings::default()
        .with_largest_message(DoorSettings::DEFAULT_LARGEST_MESSAGE + 1)
        .unwrap();
    let error = Door::create_with(&Illumos, larger, Arc::new(|_: &[u8]| 0)).unwrap_err();
    assert_eq!(
        error,
        Error::CreateDoor {
            errno: Errno::ENOTSUP
        }
    );
}

#[test]
fn many_doors_come_and_go_without_leaking_descriptors() {
    // A new descriptor gets the lowest free number, so the numbers grow if any are leaked. Other
    // tests hold some at the same time, a few hundred at most.
    for _ in 0..2_000 {
        let door = Door::create(&Illumos, |_: &[u8]| 5).unwrap();
        assert_eq!(call_door(door.descriptor(), &[1]), Ok(5));
        assert!(door.descriptor() < 1_000, "{door:?}");
    }
}

#[test]
fn error_numbers_are_those_of_this_system() {
    let pairs = [
        (Errno::EINTR, libc::EINTR),
        (Errno::E2BIG, libc::E2BIG),
        (Errno::EBADF, libc::EBADF),
        (Errno::EAGAIN, libc::EAGAIN),
        (Errno::EBUSY, libc::EBUSY),
        (Errno::ECANCELED, libc::ECANCELED),
        (Errno::ENOTSUP, libc::ENOTSUP),
        (Errno::EPROTO, libc::EPROTO),
        (Errno::EBADMSG, libc::EBADMSG),
        (Errno::EOVERFLOW, libc::EOVERFLOW),
        (Errno::ENOSYS, libc::ENOSYS),
        (Errno::EMSGSIZE, libc::EMSGSIZE),
        (Errno::ENETDOWN, libc::ENETDOWN),
        (Errno::ENETUNREACH, libc::ENETUNREACH),
        (Errno::ECONNABORTED, libc::ECONNABORTED),
        (Errno::ECONNRESET, libc::ECONNRESET),
        (Errno::ENOBUFS, libc::ENOBUFS),
        (Errno::ENOTCONN, libc::ENOTCONN),
        (Errno::ESHUTDOWN, libc::ESHUTDOWN),
        (Errno::ETIMEDOUT, libc::ETIMEDOUT),
        (Errno::ECONNREFUSED, libc::ECONNREFUSED),
        (Errno::EHOSTUNREACH, libc::EHOSTUNREACH),
        (Errno::EALREADY, libc::EALREADY),
        (Errno::EINPROGRESS, libc::EINPROGRESS),
    ];
    for (ours, system) in pairs {
        assert_eq!(ours.number(), system, "{ours}");
    }
}

mod with_proxy_service {
    //! One at a time: the proxy service has one owner.

    use super::*;
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use std::sync::MutexGuard;
    use stmf_proxy::proxy_door::{AluaState, ProxyDoor, Stmf};

    static NODE: Mutex<()> = Mutex::new(());

    fn alone() -> MutexGuard<'static, ()> {
        NODE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// An echo request without data, id 0xd536d7fc2307d344.
    const ECHO_REQUEST: &str = "01010000000000000000000100000024000000280000000c69636d5f6d7367\
        5f7479706500000017000000010000000c00000028000000280000000969636d5f6d736769640000000000\
        000800000001d536d7fc2307d34400000028000000280000000d69636572725f646174616c656e00000000\
        00000600000001000000000000000000000000";

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |c: u8| (c as char).to_digit(16).expect("a hex digit") as u8;
        hex.as_bytes()
            .chunks(2)
            .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
            .collect()
    }

    #[test]
    #[ignore = "needs COMSTAR's proxy service (pppt) and sys_devices"]
    fn there_is_one_owner_at_a_time() {
        let _alone = alone();
        let first = ProxyDoor::init(Door::create(&Illumos, |_: &[u8]| 0).unwrap()).unwrap();
        let second = Door::create(&Illumos, |_: &[u8]| 0).unwrap();
        let error = ProxyDoor::init(second).unwrap_err();
        assert_eq!(
            error,
            Error::OpenProxyService {
                errno: Errno::EBUSY
            }
        );
        assert_eq!(error.status(), Status::DoorInstalled);
        first.destroy().unwrap();
        let third = Door::create(&Illumos, |_: &[u8]| 0).unwrap();
        ProxyDoor::init(third).unwrap().destroy().unwrap();
    }

    #[test]
    #[ignore = "needs COMSTAR's proxy service (pppt) and sys_devices"]
    fn what_is_not_a_door_is_refused_and_locks_nobody_out() {
        let _alone = alone();
        let file = File::open("/dev/null").unwrap();
        for _ in 0..3 {
            let refused = ProxyDoor::init_with_descriptor(&Illumos, file.as_raw_fd());
            let error = refused.unwrap_err();
            assert_eq!(
                error,
                Error::InstallDoor {
                    errno: Errno::EINVAL
                }
            );
            assert_eq!(error.status(), Status::InvalidArgument);
        }
        let door = Door::create(&Illumos, |_: &[u8]| 0).unwrap();
        ProxyDoor::init(door).unwrap().destroy().unwrap();
    }

    #[test]
    #[ignore = "needs COMSTAR's proxy service (pppt) and sys_devices; sets the ALUA state"]
    fn the_alua_state_can_be_set_and_read() {
        let _alone = alone();
        let proxy = ProxyDoor::init(Door::create(&Illumos, |_: &[u8]| 0).unwrap()).unwrap();
        let before = proxy.alua_state().unwrap();
        for (enabled, node) in [(true, 0), (true, 1), (false, 0)] {
            proxy.set_alua_state(enabled, node).unwrap();
            assert_eq!(proxy.alua_state().unwrap(), AluaState { enabled, node });
        }
        proxy.set_alua_state(before.enabled, before.node).unwrap();
        proxy.destroy().unwrap();
    }

    #[test]
    #[ignore = "needs COMSTAR's proxy service (pppt) and sys_devices"]
    fn an_echo_request_that_is_posted_comes_back_through_the_door() {
        let _alone = alone();
        let (to_test, from_kernel) = channel();
        let door = Door::create(&Illumos, move |message: &[u8]| {
            to_test.send(message.to_vec()).map_or(1, |()| 0)
        })
        .unwrap();
        let proxy = ProxyDoor::init(door).unwrap();
        proxy.post(&bytes(ECHO_REQUEST)).unwrap();
        let reply = from_kernel
            .recv_timeout(PATIENCE)
            .expect("the kernel answers");
        assert!(
            reply.windows(12).any(|w| w == b"icm_msg_type"),
            "{reply:02x?}"
        );
        proxy
            .post(b"not a message")
            .expect("the kernel drops what it cannot understand");
        proxy.destroy().unwrap();
    }

    #[test]
    #[ignore = "needs COMSTAR's proxy service (pppt) and sys_devices"]
    fn the_kernel_lets_go_of_the_door_when_the_handle_is_closed() {
        let _alone = alone();
        let (server, told) = watched();
        let proxy = ProxyDoor::init(Door::create(&Illumos, server).unwrap()).unwrap();
        assert!(told.try_recv().is_err());
        let door = proxy.close().unwrap().expect("the door was made here");
        told.recv_timeout(PATIENCE).expect("the server is told");
        door.revoke().unwrap();
    }

    #[test]
    #[ignore = "needs COMSTAR's disk provider (sbd) and sys_devices"]
    fn a_unit_that_is_not_there_cannot_become_standby() {
        let _alone = alone();
        let error = Stmf::new(Illumos)
            .set_lu_standby(*b"\x60no such unit...")
            .unwrap_err();
        assert_eq!(error.status(), Status::NotFound, "{error}");
    }
}
