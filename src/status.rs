// SPDX-License-Identifier: MPL-2.0
//! What the calls of the door API answer: libstmf's return codes, and how the error number of a
//! system call becomes one of them.
//!
//! Names and values are those of `libstmf.h` (interface stability Committed). Which code a
//! failure maps to depends on the [`Step`] that failed as well as on the number. Nothing here
//! makes a system call or knows of platforms.

mod errno;

pub use errno::{Errno, UnknownErrno};

use std::fmt;

/// A return code of libstmf(3LIB), as far as the door API can give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i32)]
pub enum Status {
    /// The call did what it was asked.
    Success = 0x0000,
    /// It failed for a reason that has no code of its own; the error number says more.
    Error = 0x8000,
    /// The device is in use by another caller; trying again later can help.
    Busy = 0x8001,
    /// The object named in the call (a logical unit) is not there.
    NotFound = 0x8002,
    /// The caller lacks the privilege (`sys_devices`) or the file permission.
    Permission = 0x8005,
    /// No memory.
    NoMemory = 0x8006,
    /// An argument is out of range or of the wrong kind.
    InvalidArgument = 0x8007,
    /// The service behind the call is not running.
    ServiceNotFound = 0x8009,
    /// The kernel did not take the message.
    PostMessageFailed = 0x8025,
    /// A proxy door has been established already, by this process or another.
    DoorInstalled = 0x8026,
}

impl Status {
    /// All codes, ascending.
    pub const ALL: [Status; 10] = [
        Status::Success,
        Status::Error,
        Status::Busy,
        Status::NotFound,
        Status::Permission,
        Status::NoMemory,
        Status::InvalidArgument,
        Status::ServiceNotFound,
        Status::PostMessageFailed,
        Status::DoorInstalled,
    ];

    /// The value that the C function returns.
    pub const fn value(self) -> i32 {
        self as i32
    }

    /// The name in `libstmf.h`.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Success => "STMF_STATUS_SUCCESS",
            Status::Error => "STMF_STATUS_ERROR",
            Status::Busy => "STMF_ERROR_BUSY",
            Status::NotFound => "STMF_ERROR_NOT_FOUND",
            Status::Permission => "STMF_ERROR_PERM",
            Status::NoMemory => "STMF_ERROR_NOMEM",
            Status::InvalidArgument => "STMF_ERROR_INVALID_ARG",
            Status::ServiceNotFound => "STMF_ERROR_SERVICE_NOT_FOUND",
            Status::PostMessageFailed => "STMF_ERROR_POST_MSG_FAILED",
            Status::DoorInstalled => "STMF_ERROR_DOOR_INSTALLED",
        }
    }

    /// The code with this value; `None` for one that the door API never gives.
    pub fn from_value(value: i32) -> Option<Status> {
        Status::ALL.into_iter().find(|code| code.value() == value)
    }
}

impl fmt::Display for Status {
    /// Name and value, as `STMF_ERROR_BUSY (0x8001)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#06x})", self.name(), self.value())
    }
}

/// A system call that the door API makes, by what it is for. When something fails this says
/// how far the call had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// `door_create`: making the door that the kernel is to call.
    CreateDoor,
    /// `open` of the proxy service (pppt).
    OpenProxyService,
    /// `ioctl` PPPT_INSTALL_DOOR: telling the kernel which door to call.
    InstallDoor,
    /// `ioctl` PPPT_MESSAGE: handing a message to the kernel.
    PostMessage,
    /// `close` of the proxy service.
    CloseProxyService,
    /// `door_revoke`.
    RevokeDoor,
    /// `open` of STMF's administration device.
    OpenStmf,
    /// `ioctl` STMF_IOCTL_SET_ALUA_STATE.
    SetAluaState,
    /// `ioctl` STMF_IOCTL_GET_ALUA_STATE.
    GetAluaState,
    /// `open` of the disk provider's (sbd's) administration device.
    OpenSbd,
    /// `ioctl` SBD_IOCTL_SET_LU_STANDBY.
    SetLuStandby,
}

impl Step {
    /// All steps, in the order of their declaration.
    pub const ALL: [Step; 11] = [
        Step::CreateDoor,
        Step::OpenProxyService,
        Step::InstallDoor,
        Step::PostMessage,
        Step::CloseProxyService,
        Step::RevokeDoor,
        Step::OpenStmf,
        Step::SetAluaState,
        Step::GetAluaState,
        Step::OpenSbd,
        Step::SetLuStandby,
    ];

    /// The code that libstmf gives when this step fails with `errno`.
    ///
    /// One code is deliberately another than in the C library of illumos: a proxy service that
    /// is already open (EBUSY from [`Step::OpenProxyService`]) is
    /// [`Status::DoorInstalled`], as stmfInitProxyDoor(3STMF) promises ("a previous door has
    /// already been established"), and not STMF_ERROR_BUSY. The two steps for doors have no
    /// counterpart in libstmf, whose callers make their own; closing cannot fail there.
    pub fn status(self, errno: Errno) -> Status {
        if matches!(errno, Errno::EPERM | Errno::EACCES) {
            return Status::Permission;
        }
        match (self, errno) {
            (Step::PostMessage, _) => Status::PostMessageFailed,
            (Step::OpenProxyService | Step::InstallDoor, Errno::EBUSY) => Status::DoorInstalled,
            (Step::InstallDoor, Errno::EINVAL) => Status::InvalidArgument,
            (
                Step::OpenStmf
                | Step::SetAluaState
                | Step::GetAluaState
                | Step::OpenSbd
                | Step::SetLuStandby,
                Errno::EBUSY,
            ) => Status::Busy,
            (Step::SetLuStandby, Errno::ENOENT) => Status::NotFound,
            (Step::CreateDoor, Errno::ENOMEM) => Status::NoMemory,
            (Step::CreateDoor, Errno::EINVAL | Errno::ENOTSUP) => Status::InvalidArgument,
            _ => Status::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_names_are_those_of_libstmf() {
        let table: Vec<String> = Status::ALL.iter().map(Status::to_string).collect();
        assert_eq!(
            table,
            [
                "STMF_STATUS_SUCCESS (0x0000)",
                "STMF_STATUS_ERROR (0x8000)",
                "STMF_ERROR_BUSY (0x8001)",
                "STMF_ERROR_NOT_FOUND (0x8002)",
                "STMF_ERROR_PERM (0x8005)",
                "STMF_ERROR_NOMEM (0x8006)",
                "STMF_ERROR_INVALID_ARG (0x8007)",
                "STMF_ERROR_SERVICE_NOT_FOUND (0x8009)",
                "STMF_ERROR_POST_MSG_FAILED (0x8025)",
                "STMF_ERROR_DOOR_INSTALLED (0x8026)",
            ]
        );
        for code in Status::ALL {
            assert_eq!(Status::from_value(code.value()), Some(code));
        }
        assert_eq!(Status::from_value(0x8003), None);
        assert_eq!(Status::from_value(1), None);
    }

    /// Every step with every named error number: what is not in the list of exceptions must be
    /// the step's common code, so that no mapping slips in unseen.
    #[test]
    fn each_step_maps_each_errno_as_documented() {
        use Status::*;
        let exceptions = [
            (Step::CreateDoor, Errno::ENOMEM, NoMemory),
            (Step::CreateDoor, Errno::EINVAL, InvalidArgument),
            (Step::CreateDoor, Errno::ENOTSUP, InvalidArgument),
            (Step::OpenProxyService, Errno::EBUSY, DoorInstalled),
            (Step::InstallDoor, Errno::EBUSY, DoorInstalled),
            (Step::InstallDoor, Errno::EINVAL, InvalidArgument),
            (Step::OpenStmf, Errno::EBUSY, Busy),
            (Step::SetAluaState, Errno::EBUSY, Busy),
            (Step::GetAluaState, Errno::EBUSY, Busy),
            (Step::OpenSbd, Errno::EBUSY, Busy),
            (Step::SetLuStandby, Errno::EBUSY, Busy),
            (Step::SetLuStandby, Errno::ENOENT, NotFound),
        ];
        for step in Step::ALL {
            for &errno in Errno::NAMED {
                let listed = exceptions
                    .iter()
                    .find(|(s, e, _)| (*s, *e) == (step, errno));
                let expected = match (listed, errno, step) {
                    (Some((_, _, code)), _, _) => *code,
                    (None, Errno::EPERM | Errno::EACCES, _) => Permission,
                    (None, _, Step::PostMessage) => PostMessageFailed,
                    (None, _, _) => Error,
                };
                assert_eq!(step.status(errno), expected, "{step:?} {errno}");
            }
        }
    }
}
