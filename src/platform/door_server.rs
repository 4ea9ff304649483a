// SPDX-License-Identifier: MPL-2.0
//! What answers the kernel's calls through a door, and what every platform does around it.
//!
//! The kernel calls the door with one message and takes a 32-bit result: 0 for success. A
//! non-zero result is harmless (the kernel logs it and forgets the message), whereas a call that
//! *fails* can bring the node down. So [`answer`] turns everything that can go wrong in a server
//! into a result: a message longer than was agreed, an empty one, a panic.

use crate::status::Errno;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Answers the calls that come through a door.
///
/// Calls come from threads of the platform, several at once. They hold up the kernel, often with
/// a lock of its own held, so an answer must not wait for the peer: queue the message and answer
/// 0, or answer an error number at once. Never answer 0 for a message that has not been queued
/// on a live link.
///
/// A closure `Fn(&[u8]) -> u32` is a server.
pub trait DoorServer: Send + Sync + 'static {
    /// One message of the kernel for the peer, never empty and no longer than the door's
    /// [`DoorSettings::largest_message`]. The bytes live on the stack of the calling thread and
    /// are gone when this returns.
    ///
    /// 0: the message is accepted. Anything else: it is lost, and the kernel logs the number
    /// ("bad result"); by custom an error number such as ENOTCONN.
    ///
    /// A panic is caught and answered with EIO.
    fn upcall(&self, message: &[u8]) -> u32;

    /// The last reference that others held to the door is gone: the kernel has let go of it.
    /// Told once in the life of a door, as DOOR_UNREF of door_create(3C) says.
    fn unreferenced(&self) {}
}

impl<F: Fn(&[u8]) -> u32 + Send + Sync + 'static> DoorServer for F {
    fn upcall(&self, message: &[u8]) -> u32 {
        self(message)
    }
}

/// Has `server` answer a call with `message`, and answers for it where it cannot: EINVAL for an
/// empty message, EMSGSIZE for one longer than `largest_message` bytes, EIO if it panics.
///
/// For platforms; never unwinds.
pub fn answer(server: &dyn DoorServer, largest_message: usize, message: &[u8]) -> u32 {
    if message.is_empty() {
        return result_of(Errno::EINVAL);
    }
    if message.len() > largest_message {
        return result_of(Errno::EMSGSIZE);
    }
    never_unwinding(|| server.upcall(message)).unwrap_or(result_of(Errno::EIO))
}

/// Runs `call`; `None` if it panicked.
///
/// The server is used again after a panic. That is its own affair, as with a thread that died
/// holding one of its locks: std's locks say so (poisoning).
pub(crate) fn never_unwinding<T>(call: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => Some(result),
        Err(payload) => {
            // Dropping what was thrown can itself panic; that one is leaked.
            if let Err(second) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
                mem::forget(second);
            }
            None
        }
    }
}

/// The result of a call that says `errno`.
pub(crate) const fn result_of(errno: Errno) -> u32 {
    errno.number().unsigned_abs()
}

/// How a door is served: which messages fit, and by how many threads.
///
/// The kernel copies a whole message onto the stack of the thread that serves it, and fails the
/// call with E2BIG if it does not fit; default threads have 2 MiB, which a read of 512 KiB
/// overruns because messages spend four bytes on each byte of data. So the threads of a door are
/// made with stacks for its largest message. The memory is used only as far as messages touch
/// it; what a setting costs up front is address space, [`stack_size`](Self::stack_size) for each
/// thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorSettings {
    largest_message: u32,
    server_threads: u16,
}

impl DoorSettings {
    /// 16 MiB: four times what the transfer of 1 MiB in a single message needs. Half a GiB of
    /// address space with the default number of threads.
    pub const DEFAULT_LARGEST_MESSAGE: u32 = 16 << 20;
    /// The least that may be set, 64 KiB; every message about ports and units fits.
    pub const MIN_LARGEST_MESSAGE: u32 = 64 << 10;
    /// The most that may be set, 1 GiB.
    pub const MAX_LARGEST_MESSAGE: u32 = 1 << 30;
    /// 32. An upcall that finds all threads busy waits for one, it does not fail.
    pub const DEFAULT_SERVER_THREADS: u16 = 32;
    /// The most threads that may be set.
    pub const MAX_SERVER_THREADS: u16 = 1024;
    /// The part of a server thread's stack that the door mechanism keeps for itself, at most.
    pub const KERNEL_RESERVE: usize = 64 << 10;
    /// The part of a server thread's stack that is left for [`DoorServer::upcall`], at least.
    pub const UPCALL_RESERVE: usize = 512 << 10;

    /// Sets the longest message, in bytes, that the door accepts. Default
    /// [`DEFAULT_LARGEST_MESSAGE`](Self::DEFAULT_LARGEST_MESSAGE). Longer ones are answered with
    /// EMSGSIZE, or fail with E2BIG where they do not even fit a stack: the kernel loses the
    /// message either way, and commands that need it hang until they time out.
    ///
    /// # Errors
    ///
    /// Outside [`MIN_LARGEST_MESSAGE`](Self::MIN_LARGEST_MESSAGE) to
    /// [`MAX_LARGEST_MESSAGE`](Self::MAX_LARGEST_MESSAGE).
    pub fn with_largest_message(self, bytes: u32) -> Result<DoorSettings, DoorSettingsError> {
        if !(Self::MIN_LARGEST_MESSAGE..=Self::MAX_LARGEST_MESSAGE).contains(&bytes) {
            return Err(DoorSettingsError::LargestMessage { bytes });
        }
        Ok(DoorSettings {
            largest_message: bytes,
            ..self
        })
    }

    /// Sets how many calls can be answered at once; threads are made as they are needed. Default
    /// [`DEFAULT_SERVER_THREADS`](Self::DEFAULT_SERVER_THREADS).
    ///
    /// # Errors
    ///
    /// 0, or more than [`MAX_SERVER_THREADS`](Self::MAX_SERVER_THREADS).
    pub fn with_server_threads(self, threads: u16) -> Result<DoorSettings, DoorSettingsError> {
        if !(1..=Self::MAX_SERVER_THREADS).contains(&threads) {
            return Err(DoorSettingsError::ServerThreads { threads });
        }
        Ok(DoorSettings {
            server_threads: threads,
            ..self
        })
    }

    /// The longest message that the door accepts, in bytes.
    pub const fn largest_message(self) -> usize {
        self.largest_message as usize
    }

    /// How many calls can be answered at once.
    pub const fn server_threads(self) -> u16 {
        self.server_threads
    }

    /// The stack that a server thread needs, in bytes: the largest message and both reserves.
    pub const fn stack_size(self) -> usize {
        self.largest_message() + Self::KERNEL_RESERVE + Self::UPCALL_RESERVE
    }
}

impl Default for DoorSettings {
    fn default() -> DoorSettings {
        DoorSettings {
            largest_message: Self::DEFAULT_LARGEST_MESSAGE,
            server_threads: Self::DEFAULT_SERVER_THREADS,
        }
    }
}

/// A setting of a door that is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DoorSettingsError {
    /// The largest message.
    #[error(
        "the largest message of a door cannot be {bytes} bytes; choose {min} to {max}",
        min = DoorSettings::MIN_LARGEST_MESSAGE,
        max = DoorSettings::MAX_LARGEST_MESSAGE
    )]
    LargestMessage {
        /// What was asked for, in bytes.
        bytes: u32,
    },
    /// The number of server threads.
    #[error(
        "a door cannot have {threads} server threads; choose 1 to {max}",
        max = DoorSettings::MAX_SERVER_THREADS
    )]
    ServerThreads {
        /// What was asked for.
        threads: u16,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_refused_just_outside_their_range() {
        let settings = DoorSettings::default();
        let (min, max) = (
            DoorSettings::MIN_LARGEST_MESSAGE,
            DoorSettings::MAX_LARGEST_MESSAGE,
        );
        for bytes in [min, max] {
            let set = settings.with_largest_message(bytes).unwrap();
            assert_eq!(set.largest_message(), bytes as usize);
            assert!(set.stack_size() > bytes as usize + DoorSettings::KERNEL_RESERVE);
        }
        for bytes in [0, min - 1, max + 1, u32::MAX] {
            let refused = settings.with_largest_message(bytes);
            assert_eq!(refused, Err(DoorSettingsError::LargestMessage { bytes }));
        }
        for threads in [1, DoorSettings::MAX_SERVER_THREADS] {
            assert_eq!(
                settings
                    .with_server_threads(threads)
                    .unwrap()
                    .server_threads(),
                threads
            );
        }
        for threads in [0, DoorSettings::MAX_SERVER_THREADS + 1] {
            let refused = settings.with_server_threads(threads).unwrap_err();
            assert_eq!(refused, DoorSettingsError::ServerThreads { threads });
            assert!(
                refused.to_string().contains("choose 1 to 1024"),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_message_reaches_the_server_up_to_the_agreed_length() {
        let server = |message: &[u8]| message.len() as u32 * 2;
        assert_eq!(answer(&server, 4, &[1, 2, 3, 4]), 8);
        assert_eq!(answer(&server, 4, &[1, 2, 3, 4, 5]), 97, "EMSGSIZE");
        assert_eq!(answer(&server, 4, &[]), 22, "EINVAL");
    }

    #[test]
    fn a_panicking_server_answers_eio_and_is_called_again() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("even dropping what was thrown panics");
            }
        }
        let server = |message: &[u8]| match message[0] {
            0 => std::panic::resume_unwind(Box::new("thrown")),
            1 => std::panic::resume_unwind(Box::new(Bomb)),
            _ => 0,
        };
        assert_eq!(answer(&server, 4, &[0]), 5, "EIO");
        assert_eq!(answer(&server, 4, &[1]), 5, "EIO");
        assert_eq!(answer(&server, 4, &[2]), 0);
    }
}
