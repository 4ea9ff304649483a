// SPDX-License-Identifier: MPL-2.0
//! The threads that serve the doors of this process.
//!
//! A call is served by a thread that waits in `door_return`, and the kernel copies the whole
//! message onto that thread's stack. The library's own threads have stacks of 2 MiB, too small
//! for the messages of large reads, so `door_server_create` makes it ask us instead. The pool is
//! the one that all doors of the process share: its threads outlive any door and serve the next
//! one, so there is no race between a door that goes and a thread that belongs to it. They end
//! with the process.
//!
//! A thread is made when the library asks for one, up to a limit; when it gets none, callers
//! wait until a thread comes free.
//!
//! Threads are made with pthread_create(3C) and not by std, because `door_return` starts each
//! call on a fresh stack: there must be nothing below it that anybody would return to.

use super::bindings::{CreateProcedure, DoorInfo, door_return, door_server_create};
use super::last_errno;
use crate::platform::DoorSettings;
use crate::platform::door_server::never_unwinding;
use crate::status::Errno;
use nix::sys::signal::SigSet;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is known of the threads. `stack_size` is 0 until the first door.
struct Pool {
    stack_size: usize,
    limit: u16,
    threads: u16,
    /// Makes the private threads of doors that are not ours.
    previous: Option<CreateProcedure>,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    stack_size: 0,
    limit: 0,
    threads: 0,
    previous: None,
});

fn pool() -> MutexGuard<'static, Pool> {
    // The numbers are right whenever the lock is free, even after a panic.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gets the pool ready for a door with these settings, before the door is made.
///
/// ENOTSUP if there are threads already whose stacks are too small for it.
pub fn prepare(settings: DoorSettings) -> Result<(), Errno> {
    let mut pool = pool();
    if pool.stack_size == 0 {
        // SAFETY: the procedure has the right type and lives as long as the process; it may be
        // called from any thread at any time. It takes the pool's lock, which the library does
        // not make it do within this call, for it only stores the address.
        pool.previous = unsafe { door_server_create(Some(create_server_thread)) };
    }
    if pool.threads == 0 {
        pool.stack_size = pool.stack_size.max(settings.stack_size());
    } else if settings.stack_size() > pool.stack_size {
        return Err(Errno::ENOTSUP);
    }
    pool.limit = pool.limit.max(settings.server_threads());
    Ok(())
}

/// Makes sure, once a door is there, that at least one thread serves it: the library asks for
/// the first one while the door is made, but what it asked may have failed.
pub fn ensure_thread() -> Result<(), Errno> {
    let mut pool = pool();
    if pool.threads == 0 {
        add_thread(&mut pool)
    } else {
        Ok(())
    }
}

/// Called by the library, from any thread, when all server threads are busy.
unsafe extern "C" fn create_server_thread(info: *mut DoorInfo) {
    let previous = never_unwinding(|| {
        let mut pool = pool();
        if !info.is_null() {
            return pool.previous;
        }
        if pool.threads < pool.limit {
            // Callers wait for a thread that is busy now, and the library asks again. Nobody is
            // here who could be told.
            let _ = add_thread(&mut pool);
        }
        None
    });
    if let Some(Some(previous)) = previous {
        // SAFETY: it is the procedure that this one replaced, called with what the library
        // passed, for a door with private threads, which are none of ours.
        unsafe { previous(info) };
    }
}

/// Makes one thread and counts it.
fn add_thread(pool: &mut Pool) -> Result<(), Errno> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    let attributes = attributes.as_mut_ptr();
    // SAFETY: the attributes are initialised first and destroyed last, and not used otherwise if
    // that fails. The start procedure has the right type and takes no argument. The thread is
    // detached, so its id is not needed.
    let failure = unsafe {
        let mut failure = libc::pthread_attr_init(attributes);
        if failure == 0 {
            failure = libc::pthread_attr_setstacksize(attributes, pool.stack_size);
            if failure == 0 {
                failure =
                    libc::pthread_attr_setdetachstate(attributes, libc::PTHREAD_CREATE_DETACHED);
            }
            if failure == 0 {
                let id = thread.as_mut_ptr();
                failure = libc::pthread_create(id, attributes, serve, ptr::null_mut());
            }
            libc::pthread_attr_destroy(attributes);
        }
        failure
    };
    if failure != 0 {
        return Err(Errno::from_number(failure));
    }
    pool.threads += 1;
    Ok(())
}

/// The life of a server thread. It goes into `door_return` with nothing alive and, if all is
/// well, is never seen here again.
extern "C" fn serve(_: *mut c_void) -> *mut c_void {
    // Signals are for the program's own threads: one that interrupts a call would make it fail.
    let _ = SigSet::all().thread_set_mask();
    loop {
        // SAFETY: no result and no descriptors are passed, as a thread does that offers itself.
        // Nothing in this frame has a destructor, and nothing points into it.
        unsafe { door_return(ptr::null_mut(), 0, ptr::null_mut(), 0) };
        if last_errno() != Errno::EINTR {
            break;
        }
    }
    // The offer was refused (no door, no resources): let the library ask again.
    let _ = never_unwinding(|| pool().threads -= 1);
    ptr::null_mut()
}
