// SPDX-License-Identifier: MPL-2.0
//! Making a door, answering its calls, revoking it.
//!
//! # Which server
//!
//! A door's cookie is a number, not an address: servers are found in a table of this module. A
//! call that arrives for a door which has just gone therefore finds nothing and is answered with
//! ENXIO, and a call in progress holds its server alive by itself.
//!
//! # door_return
//!
//! `door_return` delivers the result and does not come back: the thread starts its next call on
//! a fresh stack, and destructors of what was alive are never run. So [`serve`] does everything
//! and returns a plain number, and only [`server_procedure`], which holds nothing else, calls
//! `door_return`. Nor may a panic leave either of them.

use super::bindings::{
    DOOR_NO_CANCEL, DOOR_REFUSE_DESC, DOOR_UNREF, DOOR_UNREF_DATA, DoorArg, DoorDesc, DoorInfo,
    door_call, door_create, door_info, door_return, door_revoke,
};
use super::{last_errno, pool};
use crate::platform::door_server::{never_unwinding, result_of};
use crate::platform::{DoorServer, DoorSettings, answer};
use crate::status::Errno;
use nix::sys::mman::munmap;
use nix::unistd::close;
use std::collections::BTreeMap;
use std::ffi::{c_char, c_uint, c_void};
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::process;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::{Arc, PoisonError, RwLock};

/// The attributes of every door made here.
const ATTRIBUTES: c_uint = DOOR_UNREF | DOOR_REFUSE_DESC | DOOR_NO_CANCEL;

/// A server and the longest message that it is given.
#[derive(Clone)]
struct Served {
    server: Arc<dyn DoorServer>,
    largest_message: usize,
}

/// The servers of all doors of this process, by cookie. Cookies are never used again.
struct Servers {
    next: usize,
    by_cookie: BTreeMap<usize, Served>,
}

static SERVERS: RwLock<Servers> = RwLock::new(Servers {
    next: 1,
    by_cookie: BTreeMap::new(),
});

fn register(served: Served) -> usize {
    let mut servers = SERVERS.write().unwrap_or_else(PoisonError::into_inner);
    let cookie = servers.next;
    servers.next += 1;
    servers.by_cookie.insert(cookie, served);
    cookie
}

fn find(cookie: usize) -> Option<Served> {
    let servers = SERVERS.read().unwrap_or_else(PoisonError::into_inner);
    servers.by_cookie.get(&cookie).cloned()
}

fn unregister(cookie: usize) {
    let mut servers = SERVERS.write().unwrap_or_else(PoisonError::into_inner);
    let served = servers.by_cookie.remove(&cookie);
    // The server may be dropped with this, and what that does is not ours to know: not with
    // the lock held.
    drop(servers);
    drop(served);
}

/// A door of this process. Dropping it revokes it; its descriptor is close-on-exec.
#[derive(Debug)]
pub struct IllumosDoor {
    descriptor: RawFd,
    cookie: usize,
}

impl IllumosDoor {
    /// Makes a door, and the first of the threads that serve it.
    pub(super) fn create(
        settings: DoorSettings,
        server: Arc<dyn DoorServer>,
    ) -> Result<IllumosDoor, Errno> {
        pool::prepare(settings)?;
        let largest_message = settings.largest_message();
        let cookie = register(Served {
            server,
            largest_message,
        });
        // SAFETY: the procedure has the right type and lives as long as the process; the cookie
        // is a number that it never follows.
        let descriptor = unsafe {
            door_create(
                server_procedure,
                ptr::without_provenance_mut(cookie),
                ATTRIBUTES,
            )
        };
        if descriptor < 0 {
            let errno = last_errno();
            unregister(cookie);
            return Err(errno);
        }
        let door = IllumosDoor { descriptor, cookie };
        pool::ensure_thread()?;
        Ok(door)
    }

    pub(super) fn revoke(self) -> Result<(), Errno> {
        let result = self.end();
        mem::forget(self);
        result
    }

    /// Revokes the door. Called once, by `revoke` or by drop.
    fn end(&self) -> Result<(), Errno> {
        // SAFETY: the descriptor is ours and is not used after this. Revoking closes it.
        let result = match unsafe { door_revoke(self.descriptor) } {
            0 => Ok(()),
            _ => {
                let errno = last_errno();
                if errno != Errno::EBADF {
                    // It was not revoked, so it is still open.
                    let _ = close(self.descriptor);
                }
                Err(errno)
            }
        };
        unregister(self.cookie);
        result
    }
}

impl AsRawFd for IllumosDoor {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor
    }
}

impl Drop for IllumosDoor {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// What the kernel starts a server thread with, once for each call.
unsafe extern "C" fn server_procedure(
    cookie: *mut c_void,
    argp: *mut c_char,
    arg_size: usize,
    _: *mut DoorDesc,
    _: c_uint,
) {
    let mut result;
    // SAFETY: the arguments are those of a door call, or of the invocation that tells of the
    // last reference.
    let (data, size) = match unsafe { serve(cookie.addr(), argp, arg_size) } {
        Some(answer) => {
            result = answer;
            (ptr::from_mut(&mut result).cast(), size_of::<u32>())
        }
        None => (ptr::null_mut(), 0),
    };
    // SAFETY: the result is alive, and nothing in this frame has a destructor.
    unsafe { door_return(data, size, ptr::null_mut(), 0) };
    // Not documented, but harmless to allow for: the result was delivered and the wait for the
    // next call was interrupted.
    while last_errno() == Errno::EINTR {
        // SAFETY: as above.
        unsafe { door_return(ptr::null_mut(), 0, ptr::null_mut(), 0) };
    }
    // door_return fails for results and descriptors that are too many or not readable, and there
    // are four readable bytes at most: this is not reached. If it were, the caller would wait for
    // ever, with a lock of the kernel held. The end of the process is what frees it (EINTR).
    process::abort();
}

/// Answers one invocation: a result for a call, `None` where there is nobody to get one. Does
/// not unwind, and everything with a destructor is gone when it returns.
///
/// # Safety
///
/// `argp` and `arg_size` are as the kernel passed them to the server procedure.
#[inline(never)]
unsafe fn serve(cookie: usize, argp: *mut c_char, arg_size: usize) -> Option<u32> {
    if argp.addr() == DOOR_UNREF_DATA && arg_size == 0 {
        let _ = never_unwinding(|| {
            if let Some(served) = find(cookie) {
                served.server.unreferenced();
            }
        });
        return None;
    }
    let message: &[u8] = if argp.is_null() || arg_size == 0 {
        &[]
    } else {
        // SAFETY: the kernel has put `arg_size` bytes on this thread's stack at `argp`, above
        // our frames, and nobody else knows of them.
        unsafe { slice::from_raw_parts(argp.cast(), arg_size) }
    };
    let result = never_unwinding(|| match find(cookie) {
        Some(served) => answer(&*served.server, served.largest_message, message),
        None => result_of(Errno::ENXIO),
    });
    Some(result.unwrap_or(result_of(Errno::EIO)))
}

/// Calls a door with a message as the kernel's proxy service does, and gives the result. For
/// tests and for checking a set-up: the kernel itself needs no help.
///
/// # Errors
///
/// Those of door_call(3C); EPROTO if the result is not four bytes long.
pub fn call_door(door: RawFd, message: &[u8]) -> Result<u32, Errno> {
    let mut result = 0u32;
    let rbuf: *mut c_char = ptr::from_mut(&mut result).cast();
    let mut arg = DoorArg {
        data_ptr: message.as_ptr().cast_mut().cast(),
        data_size: message.len(),
        desc_ptr: ptr::null_mut(),
        desc_num: 0,
        rbuf,
        rsize: size_of::<u32>(),
    };
    // SAFETY: the message is readable for its length and only read; the result's four bytes are
    // writable; all are alive during the call.
    if unsafe { door_call(door, &raw mut arg) } != 0 {
        return Err(last_errno());
    }
    let answer = if arg.data_size == size_of::<u32>() {
        // SAFETY: the call has put `data_size` bytes at `data_ptr`; alignment is not promised.
        Ok(unsafe { arg.data_ptr.cast::<u32>().read_unaligned() })
    } else {
        Err(Errno::EPROTO)
    };
    if let Some(mapped) = NonNull::new(arg.rbuf.cast()).filter(|_| arg.rbuf != rbuf) {
        // SAFETY: the result did not fit, so the call mapped memory for it, which is ours now
        // and is not looked at any more.
        let _ = unsafe { munmap(mapped, arg.rsize) };
    }
    answer
}

/// The attributes of a door as door_info(3C) tells them: those it was made with, 0x04 if the
/// server is this process, 0x08 if it is revoked, 0x20 if nobody else refers to it.
///
/// # Errors
///
/// EBADF if the descriptor is not an open door.
pub fn door_attributes(door: RawFd) -> Result<u32, Errno> {
    let mut info = DoorInfo::default();
    // SAFETY: the structure is writable, and all its bit patterns are valid.
    match unsafe { door_info(door, &raw mut info) } {
        0 => Ok(info.attributes),
        _ => Err(last_errno()),
    }
}
