// SPDX-License-Identifier: MPL-2.0
//! The seam to the operating system: the few calls that the door API needs, and no more.
//!
//! A [`Platform`] opens one of three device nodes, does one of five ioctls on it, closes it,
//! makes a door and revokes it. It decides nothing: which errors mean what, which sizes are
//! allowed, what is cleaned up when a step fails, all stands above, in
//! [`proxy_door`](crate::proxy_door), so that whatever stands below (illumos, a simulator, a
//! fake) tests that code.
//!
//! # Blocking and suspending
//!
//! A call into the kernel can take its time: a posted message is handled in the caller's thread
//! and may wait there for locks. On a real system the thread blocks. In a deterministic
//! simulator there are no threads, and the call must *suspend*. So the methods return futures:
//! a system whose calls block returns futures that are ready when first polled and says so with
//! [`BlockingPlatform`]; a simulator returns whatever it likes. The futures need not be `Send`.
//!
//! # Nothing leaks
//!
//! [`Platform::Device`] and [`Platform::Door`] own what they stand for. **Dropping one gives it
//! back the way the exit of a process does**: the device is closed, the door is revoked and
//! closed, whether anybody waits for it or not. A caller that is cancelled or unwound at any
//! point therefore leaks nothing. [`Platform::close`] and [`Platform::revoke`] do the same and
//! report how it went.

mod abi;
mod door_server;
#[cfg(target_os = "illumos")]
pub mod illumos;

pub use abi::{
    AluaStateDescriptor, IOCTL_VERSION, PPPT_INSTALL_DOOR, PPPT_MESSAGE, PpptIoctlData,
    SBD_IOCTL_SET_LU_STANDBY, STMF_IOCTL_GET_ALUA_STATE, STMF_IOCTL_SET_ALUA_STATE, SetLuStandby,
    StmfIoctlData,
};
pub use door_server::{DoorServer, DoorSettings, DoorSettingsError, answer};

use crate::status::Errno;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// A device node that the door API opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceNode {
    /// The STMF proxy service. Exclusive: while one descriptor is open, every further open
    /// fails with EBUSY, in any process. Closing it disables the service.
    ProxyService,
    /// STMF's administration.
    StmfAdmin,
    /// The administration of sbd, the provider of disk logical units.
    SbdAdmin,
}

impl DeviceNode {
    /// Where the node is.
    pub const fn path(self) -> &'static str {
        match self {
            DeviceNode::ProxyService => "/devices/pseudo/pppt@0:pppt",
            DeviceNode::StmfAdmin => "/devices/pseudo/stmf@0:admin",
            DeviceNode::SbdAdmin => "/devices/pseudo/stmf_sbd@0:admin",
        }
    }

    /// Whether it is opened with `O_NDELAY` beside `O_RDONLY`.
    pub const fn opens_without_delay(self) -> bool {
        !matches!(self, DeviceNode::ProxyService)
    }
}

/// An ioctl of the door API with its arguments. All of them carry structure version
/// [`IOCTL_VERSION`].
#[derive(Debug)]
pub enum Request<'a> {
    /// PPPT_INSTALL_DOOR: `door`, a descriptor of this process, is the door to call from now
    /// on. EINVAL if it is not a door, EBUSY if one is installed.
    InstallDoor {
        /// The descriptor's number; the kernel takes a reference of its own.
        door: i32,
    },
    /// PPPT_MESSAGE: handle this message, in this thread, before returning. A message that the
    /// kernel cannot understand is dropped and the call succeeds. Length 0 fails with ENOMEM.
    Message(&'a [u8]),
    /// STMF_IOCTL_SET_ALUA_STATE.
    SetAluaState(AluaStateDescriptor),
    /// STMF_IOCTL_GET_ALUA_STATE: the kernel writes the state here. Untouched on failure.
    GetAluaState(&'a mut AluaStateDescriptor),
    /// SBD_IOCTL_SET_LU_STANDBY: this logical unit (16-byte identifier) becomes standby.
    /// ENOENT if there is no such unit.
    SetLuStandby {
        /// The unit's GUID, as bytes.
        guid: [u8; 16],
    },
}

impl Request<'_> {
    /// The device node that understands this request.
    pub const fn device(&self) -> DeviceNode {
        match self {
            Request::InstallDoor { .. } | Request::Message(_) => DeviceNode::ProxyService,
            Request::SetAluaState(_) | Request::GetAluaState(_) => DeviceNode::StmfAdmin,
            Request::SetLuStandby { .. } => DeviceNode::SbdAdmin,
        }
    }

    /// The ioctl's number.
    pub const fn command(&self) -> u32 {
        match self {
            Request::InstallDoor { .. } => PPPT_INSTALL_DOOR,
            Request::Message(_) => PPPT_MESSAGE,
            Request::SetAluaState(_) => STMF_IOCTL_SET_ALUA_STATE,
            Request::GetAluaState(_) => STMF_IOCTL_GET_ALUA_STATE,
            Request::SetLuStandby { .. } => SBD_IOCTL_SET_LU_STANDBY,
        }
    }
}

/// The calls that the door API needs from an operating system. See the [module](self) for what
/// an implementation may and may not decide.
///
/// A clone speaks to the same system.
pub trait Platform: Clone {
    /// An open device node. Dropping it closes it (see "Nothing leaks" in the [module](self)).
    type Device;
    /// A door made by this process. Dropping it revokes and closes it.
    type Door;
    /// What answers the calls through a door. Systems that call it from threads of their own
    /// use `Arc<dyn DoorServer>` (see [`DoorServer`]); a simulator may use a type whose answer
    /// takes simulated time.
    type Server;

    /// Opens a device node for reading.
    fn open(&self, node: DeviceNode) -> impl Future<Output = Result<Self::Device, Errno>>;

    /// Does an ioctl. `device` is the node that [`Request::device`] names. Any number of calls
    /// may be in progress on one device at once.
    fn ioctl(
        &self,
        device: &Self::Device,
        request: Request<'_>,
    ) -> impl Future<Output = Result<(), Errno>>;

    /// Closes a device and waits until that is done. Whatever the outcome, the descriptor is
    /// gone; a caller never closes twice.
    fn close(&self, device: Self::Device) -> impl Future<Output = Result<(), Errno>>;

    /// Makes a door whose calls `server` answers, with the attributes that the proxy service's
    /// door wants: it refuses descriptors, calls are not cancelled in the server when the
    /// caller gives up, and the server is told when the last reference of others is gone.
    ///
    /// The settings have been checked ([`DoorSettings`]).
    fn create_door(
        &self,
        settings: DoorSettings,
        server: Self::Server,
    ) -> impl Future<Output = Result<Self::Door, Errno>>;

    /// The number of the door's descriptor in this process.
    fn door_descriptor(&self, door: &Self::Door) -> i32;

    /// Revokes a door and closes its descriptor: later calls fail with EBADF, calls in
    /// progress finish. Whatever the outcome, the descriptor is gone.
    fn revoke(&self, door: Self::Door) -> impl Future<Output = Result<(), Errno>>;
}

/// The promise that every future of this [`Platform`] is ready when it is first polled, because
/// its calls block the calling thread for as long as they take, and that it can be used from
/// many threads at once. It unlocks the plain (not async) methods of
/// [`ProxyDoor`](crate::proxy_door::ProxyDoor).
pub trait BlockingPlatform: Platform<Device: Send + Sync, Door: Send + Sync> + Send + Sync {}

/// Runs a future that only awaits calls of a [`BlockingPlatform`].
///
/// # Panics
///
/// If the future suspends: then the platform broke its promise, which is a bug in it.
pub(crate) fn run_blocking<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a platform that is marked as BlockingPlatform suspended a call"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_knows_its_device_and_number() {
        let mut state = AluaStateDescriptor::default();
        let requests = [
            Request::InstallDoor { door: 3 },
            Request::Message(&[1]),
            Request::SetAluaState(state),
            Request::GetAluaState(&mut state),
            Request::SetLuStandby { guid: [6; 16] },
        ];
        let table: Vec<_> = requests
            .iter()
            .map(|r| {
                (
                    r.device().path(),
                    r.device().opens_without_delay(),
                    r.command(),
                )
            })
            .collect();
        assert_eq!(
            table,
            [
                ("/devices/pseudo/pppt@0:pppt", false, 0x5050_5001),
                ("/devices/pseudo/pppt@0:pppt", false, 0x5050_5002),
                ("/devices/pseudo/stmf@0:admin", true, 0x5300_0024),
                ("/devices/pseudo/stmf@0:admin", true, 0x5300_0025),
                ("/devices/pseudo/stmf_sbd@0:admin", true, 0x005B_0007),
            ]
        );
    }

    #[test]
    fn a_ready_future_runs() {
        assert_eq!(run_blocking(async { 7 }), 7);
    }

    #[test]
    #[should_panic(expected = "marked as BlockingPlatform")]
    fn a_broken_promise_is_named() {
        run_blocking(std::future::pending::<()>());
    }
}
