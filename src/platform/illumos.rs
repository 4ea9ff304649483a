// SPDX-License-Identifier: MPL-2.0
//! The real platform: the system calls of a storage node that runs illumos.
//!
//! Opening, closing and ioctls go through the crate `nix`; an ioctl fills the structures of the
//! `abi` module. Doors are the part with rules of its own, told in the two modules below: `door`
//! (making one, answering its calls, revoking it) and `pool` (the threads that serve them).
//! Nobody but us binds what they need, so those bindings are our own, few and checked for layout
//! when compiled (`ARCHITECTURE.md` says why not the crate `doors`).
//!
//! All unsafe code of the door API is in here. Nothing here decides what an error means.

#![allow(unsafe_code)]

mod bindings;
mod door;
mod ioctl;
mod pool;

pub use door::{IllumosDoor, call_door, door_attributes};

use super::{BlockingPlatform, DeviceNode, DoorServer, DoorSettings, Platform, Request};
use crate::status::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::close;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

/// The system that this process runs on. Calls block the calling thread.
///
/// The server threads of doors are the process's: all doors share them. The first door's
/// [`DoorSettings`] decide the stacks, so a later door with a larger message is refused with
/// ENOTSUP; the number of threads is the largest that any door asked for.
///
/// ```no_run
/// use stmf_proxy::platform::illumos::Illumos;
/// use stmf_proxy::proxy_door::{Door, Error, ProxyDoor};
///
/// fn main() -> Result<(), Error> {
///     let door = Door::create(&Illumos, |message: &[u8]| -> u32 {
///         println!("{} bytes for the peer", message.len());
///         0
///     })?;
///     let proxy = ProxyDoor::init(door)?;
///     proxy.set_alua_state(true, 0)?;
///     proxy.destroy()
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Illumos;

impl BlockingPlatform for Illumos {}

impl Platform for Illumos {
    type Device = OwnedFd;
    type Door = IllumosDoor;
    type Server = Arc<dyn DoorServer>;

    async fn open(&self, node: DeviceNode) -> Result<OwnedFd, Errno> {
        let mut flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        flags.set(OFlag::O_NDELAY, node.opens_without_delay());
        loop {
            match open(node.path(), flags, Mode::empty()) {
                // A signal came first: nothing was opened.
                Err(nix::Error::EINTR) => {}
                opened => return opened.map_err(errno_of),
            }
        }
    }

    async fn ioctl(&self, device: &OwnedFd, request: Request<'_>) -> Result<(), Errno> {
        ioctl::perform(device, request)
    }

    async fn close(&self, device: OwnedFd) -> Result<(), Errno> {
        close(device).map_err(errno_of)
    }

    async fn create_door(
        &self,
        settings: DoorSettings,
        server: Arc<dyn DoorServer>,
    ) -> Result<IllumosDoor, Errno> {
        IllumosDoor::create(settings, server)
    }

    fn door_descriptor(&self, door: &IllumosDoor) -> i32 {
        door.as_raw_fd()
    }

    async fn revoke(&self, door: IllumosDoor) -> Result<(), Errno> {
        door.revoke()
    }
}

/// The error number that the last call of this thread left.
fn last_errno() -> Errno {
    Errno::from_number(nix::Error::last_raw())
}

/// The number of an error that a call of `nix` has just given.
fn errno_of(error: nix::Error) -> Errno {
    match error {
        // nix has no name for the number, but it is still where the call left it.
        nix::Error::UnknownErrno => last_errno(),
        named => Errno::from_number(named as i32),
    }
}
