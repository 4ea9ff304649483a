// SPDX-License-Identifier: MPL-2.0
//! The five ioctls of the door API: each command with the structure that it takes.
//!
//! [`nix`] makes one function of each command, so that a command cannot be given the structure of
//! another. The one unsafe block calls them.

use super::errno_of;
use crate::platform::{
    AluaStateDescriptor, IOCTL_VERSION, PPPT_INSTALL_DOOR, PPPT_MESSAGE, PpptIoctlData, Request,
    SBD_IOCTL_SET_LU_STANDBY, STMF_IOCTL_GET_ALUA_STATE, STMF_IOCTL_SET_ALUA_STATE, SetLuStandby,
    StmfIoctlData,
};
use crate::status::Errno;
use std::ffi::c_int;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{from_mut, from_ref};

nix::ioctl_readwrite_bad!(install_door, PPPT_INSTALL_DOOR, PpptIoctlData);
nix::ioctl_readwrite_bad!(post_message, PPPT_MESSAGE, PpptIoctlData);
nix::ioctl_readwrite_bad!(set_alua_state, STMF_IOCTL_SET_ALUA_STATE, StmfIoctlData);
nix::ioctl_readwrite_bad!(get_alua_state, STMF_IOCTL_GET_ALUA_STATE, StmfIoctlData);
nix::ioctl_readwrite_bad!(set_lu_standby, SBD_IOCTL_SET_LU_STANDBY, StmfIoctlData);

/// Does the request, in this thread.
pub fn perform(device: &OwnedFd, request: Request<'_>) -> Result<(), Errno> {
    match request {
        Request::InstallDoor { door } => {
            let door_fd = u32::try_from(door).map_err(|_| Errno::EBADF)?;
            let data = PpptIoctlData {
                version: IOCTL_VERSION,
                door_fd,
                ..PpptIoctlData::default()
            };
            call(install_door, device, data)
        }
        Request::Message(message) => {
            let data = PpptIoctlData {
                version: IOCTL_VERSION,
                buf_size: u32::try_from(message.len()).map_err(|_| Errno::EINVAL)?,
                buf: message.as_ptr().expose_provenance() as u64,
                ..PpptIoctlData::default()
            };
            call(post_message, device, data)
        }
        Request::SetAluaState(state) => call(set_alua_state, device, input(&state)),
        Request::GetAluaState(state) => {
            let mut told = AluaStateDescriptor::default();
            let data = StmfIoctlData {
                version: IOCTL_VERSION,
                obuf_size: size_of::<AluaStateDescriptor>() as u32,
                obuf: from_mut(&mut told).expose_provenance() as u64,
                ..StmfIoctlData::default()
            };
            call(get_alua_state, device, data)?;
            *state = told;
            Ok(())
        }
        Request::SetLuStandby { guid } => {
            call(set_lu_standby, device, input(&SetLuStandby { guid }))
        }
    }
}

/// The argument of an ioctl whose input is `value`, which has to live until the ioctl is done.
fn input<T>(value: &T) -> StmfIoctlData {
    StmfIoctlData {
        version: IOCTL_VERSION,
        ibuf_size: size_of::<T>() as u32,
        ibuf: from_ref(value).expose_provenance() as u64,
        ..StmfIoctlData::default()
    }
}

/// A command, as nix makes it.
type Command<T> = unsafe fn(c_int, *mut T) -> nix::Result<c_int>;

fn call<T>(command: Command<T>, device: &OwnedFd, mut data: T) -> Result<(), Errno> {
    // SAFETY: the descriptor is open for as long as it is borrowed. `data` is the structure that
    // the command takes, laid out as the kernel lays it out (checked in `abi`), alive and
    // exclusively ours during the call. The buffers whose addresses it holds are borrowed by
    // `perform`, live in its frame, or are temporaries of the statement that made the call; their
    // lengths are in `data`, and the kernel keeps no address after the call.
    let done = unsafe { command(device.as_raw_fd(), &raw mut data) };
    done.map(drop).map_err(errno_of)
}
