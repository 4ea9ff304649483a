// SPDX-License-Identifier: MPL-2.0
//! The real platform: the system calls of a storage node that runs illumos.
//!
//! Opening and closing are ordinary; an ioctl fills the structures of the `abi` module. Doors
//! are the part with rules of its own, told in the two modules below: `door` (making one,
//! answering its calls, revoking it) and `pool` (the threads that serve them). Bindings are our
//! own, few and checked for layout when compiled, because the crate `doors` declares
//! `door_return` as never returning and has no `door_server_create`.
//!
//! All unsafe code of the door API is in here. Nothing here decides what an error means.

#![allow(unsafe_code)]

mod bindings;
mod door;
mod pool;

pub use door::{IllumosDoor, call_door, door_attributes};

use super::{
    AluaStateDescriptor, BlockingPlatform, DeviceNode, DoorServer, DoorSettings, IOCTL_VERSION,
    Platform, PpptIoctlData, Request, SetLuStandby, StmfIoctlData,
};
use crate::status::Errno;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::ptr::{from_mut, from_ref};
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
        let mut options = OpenOptions::new();
        options.read(true);
        if node.opens_without_delay() {
            options.custom_flags(libc::O_NDELAY);
        }
        options
            .open(node.path())
            .map(OwnedFd::from)
            .map_err(errno_of)
    }

    async fn ioctl(&self, device: &OwnedFd, request: Request<'_>) -> Result<(), Errno> {
        let command = request.command();
        match request {
            Request::InstallDoor { door } => {
                let door_fd = u32::try_from(door).map_err(|_| Errno::EBADF)?;
                let data = PpptIoctlData {
                    door_fd,
                    ..PpptIoctlData::default()
                };
                pppt_ioctl(device, command, data)
            }
            Request::Message(message) => {
                let buf_size = u32::try_from(message.len()).map_err(|_| Errno::EINVAL)?;
                let buf = message.as_ptr().expose_provenance() as u64;
                pppt_ioctl(
                    device,
                    command,
                    PpptIoctlData {
                        buf_size,
                        buf,
                        ..PpptIoctlData::default()
                    },
                )
            }
            Request::SetAluaState(state) => stmf_ioctl(device, command, input(&state)),
            Request::GetAluaState(state) => {
                let mut told = AluaStateDescriptor::default();
                let data = StmfIoctlData {
                    obuf_size: size_of::<AluaStateDescriptor>() as u32,
                    obuf: from_mut(&mut told).expose_provenance() as u64,
                    ..StmfIoctlData::default()
                };
                stmf_ioctl(device, command, data)?;
                *state = told;
                Ok(())
            }
            Request::SetLuStandby { guid } => {
                stmf_ioctl(device, command, input(&SetLuStandby { guid }))
            }
        }
    }

    async fn close(&self, device: OwnedFd) -> Result<(), Errno> {
        // SAFETY: the descriptor was owned here and nobody else may use it, so closing it, once,
        // is ours to do. Whatever the outcome it is not used again.
        match unsafe { libc::close(device.into_raw_fd()) } {
            0 => Ok(()),
            _ => Err(last_errno()),
        }
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

/// The argument of an ioctl whose input is `value`, which has to live until the ioctl is done.
fn input<T>(value: &T) -> StmfIoctlData {
    StmfIoctlData {
        ibuf_size: size_of::<T>() as u32,
        ibuf: from_ref(value).expose_provenance() as u64,
        ..StmfIoctlData::default()
    }
}

fn pppt_ioctl(device: &OwnedFd, command: u32, data: PpptIoctlData) -> Result<(), Errno> {
    ioctl(
        device,
        command,
        PpptIoctlData {
            version: IOCTL_VERSION,
            ..data
        },
    )
}

fn stmf_ioctl(device: &OwnedFd, command: u32, data: StmfIoctlData) -> Result<(), Errno> {
    ioctl(
        device,
        command,
        StmfIoctlData {
            version: IOCTL_VERSION,
            ..data
        },
    )
}

fn ioctl<T>(device: &OwnedFd, command: u32, mut data: T) -> Result<(), Errno> {
    // SAFETY: the descriptor is open for as long as it is borrowed. `data` is the structure that
    // the command takes, laid out as the kernel lays it out (checked in `abi`), alive and
    // exclusively ours during the call. The buffers whose addresses it holds are borrowed by
    // `Platform::ioctl`, live in its frame, or are temporaries of the statement that made the
    // call; their lengths are in `data`, and the kernel keeps no address after the call.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), command as i32, from_mut(&mut data)) };
    match result {
        0.. => Ok(()),
        _ => Err(last_errno()),
    }
}

/// The error number that the last call of this thread left.
fn last_errno() -> Errno {
    errno_of(io::Error::last_os_error())
}

fn errno_of(error: io::Error) -> Errno {
    // std makes errors without a number only for arguments that are wrong before any call, such
    // as a path with a NUL in it.
    Errno::from_number(error.raw_os_error().unwrap_or(Errno::EINVAL.number()))
}
