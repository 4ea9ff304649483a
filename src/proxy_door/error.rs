// SPDX-License-Identifier: MPL-2.0
//! How calls of the door API fail: which step, which error number, which code of libstmf.

use crate::platform::DeviceNode;
use crate::status::{Errno, Status, Step};

/// A failed call of the door API.
///
/// Every error maps to the code that libstmf returns for it ([`status`](Self::status)); those
/// that come from the system keep the step and the error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The door could not be made. EMFILE: too many open files in this process.
    #[error("cannot make a door: {errno}{}", hint(Step::CreateDoor, *errno))]
    CreateDoor {
        /// What `door_create` said.
        errno: Errno,
    },
    /// The proxy service could not be opened. EBUSY: it is open already, here or in another
    /// process.
    #[error(
        "cannot open the proxy service {}: {errno}{}",
        DeviceNode::ProxyService.path(), hint(Step::OpenProxyService, *errno)
    )]
    OpenProxyService {
        /// What `open` said.
        errno: Errno,
    },
    /// The kernel did not take the door. EINVAL: the descriptor is not a door; EBUSY: another
    /// one is installed.
    #[error(
        "the proxy service refused the door (PPPT_INSTALL_DOOR): {errno}{}",
        hint(Step::InstallDoor, *errno)
    )]
    InstallDoor {
        /// What the ioctl said.
        errno: Errno,
    },
    /// A message without any bytes, which the kernel would refuse. Nothing was posted.
    #[error("an empty message cannot be posted: every message has at least a header")]
    EmptyMessage,
    /// A message over the limit. Nothing was posted; the kernel has no bound of its own and
    /// would allocate whatever it is asked to.
    #[error(
        "a message of {length} bytes is over the limit of {limit} bytes for a post; check where \
         it came from, or raise the limit (ProxyDoor::with_post_limit)"
    )]
    MessageTooLong {
        /// The message's length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: u32,
    },
    /// The kernel did not take the message. Whether it acted on it before it failed cannot be
    /// known, so it must not be posted again.
    #[error(
        "the proxy service did not take the message (PPPT_MESSAGE): {errno}{}",
        hint(Step::PostMessage, *errno)
    )]
    PostMessage {
        /// What the ioctl said.
        errno: Errno,
    },
    /// Closing the proxy service reported an error. It is closed all the same.
    #[error(
        "closing the proxy service {} reported {errno}; the handle is gone all the same",
        DeviceNode::ProxyService.path()
    )]
    CloseProxyService {
        /// What `close` said.
        errno: Errno,
    },
    /// Revoking the door reported an error. Its descriptor is gone all the same.
    #[error("revoking the door reported {errno}; its descriptor is gone all the same")]
    RevokeDoor {
        /// What `door_revoke` said.
        errno: Errno,
    },
    /// A node number that is neither 0 nor 1. Nothing was changed.
    #[error("there is no ALUA node {node}: a pair of nodes is 0 and 1")]
    NodeOutOfRange {
        /// The number that was asked for.
        node: u32,
    },
    /// STMF's administration could not be opened.
    #[error(
        "cannot open the administration of STMF {}: {errno}{}",
        DeviceNode::StmfAdmin.path(), hint(Step::OpenStmf, *errno)
    )]
    OpenStmf {
        /// What `open` said.
        errno: Errno,
    },
    /// The kernel did not set the ALUA state.
    #[error(
        "STMF did not set the ALUA state (STMF_IOCTL_SET_ALUA_STATE): {errno}{}",
        hint(Step::SetAluaState, *errno)
    )]
    SetAluaState {
        /// What the ioctl said.
        errno: Errno,
    },
    /// The kernel did not tell the ALUA state.
    #[error(
        "STMF did not tell the ALUA state (STMF_IOCTL_GET_ALUA_STATE): {errno}{}",
        hint(Step::GetAluaState, *errno)
    )]
    GetAluaState {
        /// What the ioctl said.
        errno: Errno,
    },
    /// The kernel told an ALUA state that is not one.
    #[error(
        "STMF told an ALUA state that this library does not know: state {state} (0 is off, 1 on), \
         node {node} (0 or 1)"
    )]
    UnknownAluaState {
        /// The state as told.
        state: u8,
        /// The node as told.
        node: u16,
    },
    /// sbd's administration could not be opened.
    #[error(
        "cannot open the administration of disk units {}: {errno}{}",
        DeviceNode::SbdAdmin.path(), hint(Step::OpenSbd, *errno)
    )]
    OpenSbd {
        /// What `open` said.
        errno: Errno,
    },
    /// The logical unit was not made standby. ENOENT: there is no such unit.
    #[error(
        "the logical unit was not made standby (SBD_IOCTL_SET_LU_STANDBY): {errno}{}",
        hint(Step::SetLuStandby, *errno)
    )]
    SetLuStandby {
        /// What the ioctl said.
        errno: Errno,
    },
}

impl Error {
    /// The error that `step` failing with `errno` makes.
    pub(super) fn new(step: Step, errno: Errno) -> Error {
        match step {
            Step::CreateDoor => Error::CreateDoor { errno },
            Step::OpenProxyService => Error::OpenProxyService { errno },
            Step::InstallDoor => Error::InstallDoor { errno },
            Step::PostMessage => Error::PostMessage { errno },
            Step::CloseProxyService => Error::CloseProxyService { errno },
            Step::RevokeDoor => Error::RevokeDoor { errno },
            Step::OpenStmf => Error::OpenStmf { errno },
            Step::SetAluaState => Error::SetAluaState { errno },
            Step::GetAluaState => Error::GetAluaState { errno },
            Step::OpenSbd => Error::OpenSbd { errno },
            Step::SetLuStandby => Error::SetLuStandby { errno },
        }
    }

    /// The step that failed and its error number; `None` for what this library itself refused.
    pub fn system(&self) -> Option<(Step, Errno)> {
        match *self {
            Error::CreateDoor { errno } => Some((Step::CreateDoor, errno)),
            Error::OpenProxyService { errno } => Some((Step::OpenProxyService, errno)),
            Error::InstallDoor { errno } => Some((Step::InstallDoor, errno)),
            Error::PostMessage { errno } => Some((Step::PostMessage, errno)),
            Error::CloseProxyService { errno } => Some((Step::CloseProxyService, errno)),
            Error::RevokeDoor { errno } => Some((Step::RevokeDoor, errno)),
            Error::OpenStmf { errno } => Some((Step::OpenStmf, errno)),
            Error::SetAluaState { errno } => Some((Step::SetAluaState, errno)),
            Error::GetAluaState { errno } => Some((Step::GetAluaState, errno)),
            Error::OpenSbd { errno } => Some((Step::OpenSbd, errno)),
            Error::SetLuStandby { errno } => Some((Step::SetLuStandby, errno)),
            Error::EmptyMessage
            | Error::MessageTooLong { .. }
            | Error::NodeOutOfRange { .. }
            | Error::UnknownAluaState { .. } => None,
        }
    }

    /// The step that failed; `None` for what this library itself refused.
    pub fn step(&self) -> Option<Step> {
        self.system().map(|(step, _)| step)
    }

    /// The system's error number; `None` for what this library itself refused.
    pub fn errno(&self) -> Option<Errno> {
        self.system().map(|(_, errno)| errno)
    }

    /// The code that libstmf returns for this failure.
    pub fn status(&self) -> Status {
        match *self {
            // As the kernel's own refusal (ENOMEM) would be.
            Error::EmptyMessage => Status::PostMessageFailed,
            Error::MessageTooLong { .. } | Error::NodeOutOfRange { .. } => Status::InvalidArgument,
            Error::UnknownAluaState { .. } => Status::Error,
            _ => self
                .system()
                .map_or(Status::Error, |(step, errno)| step.status(errno)),
        }
    }
}

/// What to do about it, where that can be said.
fn hint(step: Step, errno: Errno) -> &'static str {
    match (step, errno) {
        (_, Errno::EPERM | Errno::EACCES) => {
            "; run it with the privilege sys_devices and as a user who may open the device"
        }
        (Step::OpenProxyService, Errno::EBUSY) => {
            "; it is open already, here or in another process: only one can have it, end that one"
        }
        (Step::InstallDoor, Errno::EBUSY) => "; another door is installed: end its owner",
        (Step::InstallDoor, Errno::EINVAL) => "; the descriptor is not that of a door",
        (Step::OpenProxyService | Step::OpenStmf | Step::OpenSbd, e) if is_absent(e) => {
            "; is COMSTAR installed, and the service stmf online?"
        }
        (Step::OpenStmf | Step::SetAluaState | Step::GetAluaState, Errno::EBUSY) => {
            "; another administrator is at work, try again"
        }
        (Step::OpenSbd | Step::SetLuStandby, Errno::EBUSY) => {
            "; another administrator is at work, try again"
        }
        (Step::SetLuStandby, Errno::ENOENT) => "; there is no logical unit with this GUID here",
        (Step::CreateDoor | Step::OpenProxyService, Errno::EMFILE) => {
            "; this process has too many files open, raise its limit"
        }
        (Step::CreateDoor, Errno::ENOTSUP) => {
            "; the process has door server threads already whose stacks are too small for this \
             door's largest message: make the door with the largest one first"
        }
        (Step::CreateDoor, Errno::EAGAIN | Errno::ENOMEM) => {
            "; no server thread could be made: lower DoorSettings (largest message, threads) or \
             raise the process's limits"
        }
        _ => "",
    }
}

/// Whether the error number says that there is no such device.
fn is_absent(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ENXIO | Errno::ENODEV)
}
