// SPDX-License-Identifier: MPL-2.0
//! The administrative calls that a relay needs beside the proxy door: ALUA state, LU standby.
//!
//! Each opens its device, does one ioctl and closes the device again, whatever happened.

use super::Error;
use crate::platform::{
    AluaStateDescriptor, BlockingPlatform, DeviceNode, Platform, Request, run_blocking,
};
use crate::status::Step;

/// Whether asymmetric logical unit access (ALUA) is on, and which of the two nodes this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AluaState {
    /// On or off.
    pub enabled: bool,
    /// 0 or 1.
    pub node: u32,
}

impl AluaState {
    /// The highest node number.
    pub const MAX_NODE: u32 = 1;
}

/// The administration of STMF on this node, as far as ALUA is concerned.
#[derive(Clone, Debug)]
pub struct Stmf<P: Platform> {
    platform: P,
}

impl<P: Platform> Stmf<P> {
    /// The administration of the system that `platform` speaks to. Opens nothing yet.
    pub fn new(platform: P) -> Stmf<P> {
        Stmf { platform }
    }

    /// Switches ALUA on or off; `node` is 0 or 1, the other node's being the other number.
    ///
    /// On: the kernel sends registrations of every port and active unit to the peer through the
    /// proxy door before this returns, and does so again each time. Do it before the first
    /// message of the peer is posted: the kernel panics on some messages that come earlier.
    ///
    /// Off: the C library of illumos goes on to delete the logical units that are not active.
    /// This call only sets the state.
    ///
    /// # Errors
    ///
    /// [`Error::NodeOutOfRange`], [`Error::OpenStmf`], [`Error::SetAluaState`].
    pub async fn set_alua_state_async(&self, enabled: bool, node: u32) -> Result<(), Error> {
        if node > AluaState::MAX_NODE {
            return Err(Error::NodeOutOfRange { node });
        }
        let state = AluaStateDescriptor {
            alua_state: enabled.into(),
            alua_node: node as u16,
        };
        let request = Request::SetAluaState(state);
        self.administer(Step::OpenStmf, Step::SetAluaState, request)
            .await
    }

    /// The ALUA state.
    ///
    /// # Errors
    ///
    /// [`Error::OpenStmf`], [`Error::GetAluaState`], [`Error::UnknownAluaState`].
    pub async fn alua_state_async(&self) -> Result<AluaState, Error> {
        let mut told = AluaStateDescriptor::default();
        let request = Request::GetAluaState(&mut told);
        self.administer(Step::OpenStmf, Step::GetAluaState, request)
            .await?;
        let AluaStateDescriptor {
            alua_state,
            alua_node,
        } = told;
        let node = u32::from(alua_node);
        match alua_state {
            0 | 1 if node <= AluaState::MAX_NODE => Ok(AluaState {
                enabled: alua_state == 1,
                node,
            }),
            _ => Err(Error::UnknownAluaState {
                state: alua_state,
                node: alua_node,
            }),
        }
    }

    /// Makes the logical unit with this 16-byte identifier standby: its commands are aborted,
    /// and new ones are refused as "in transition" until the peer's unit has become active.
    ///
    /// # Errors
    ///
    /// [`Error::OpenSbd`], [`Error::SetLuStandby`].
    pub async fn set_lu_standby_async(&self, guid: [u8; 16]) -> Result<(), Error> {
        let request = Request::SetLuStandby { guid };
        self.administer(Step::OpenSbd, Step::SetLuStandby, request)
            .await
    }

    /// Opens the request's device, does the request, closes the device. How the close went says
    /// nothing about the request and is not reported.
    async fn administer(
        &self,
        open_step: Step,
        step: Step,
        request: Request<'_>,
    ) -> Result<(), Error> {
        let node: DeviceNode = request.device();
        let opened = self.platform.open(node).await;
        let device = opened.map_err(|errno| Error::new(open_step, errno))?;
        let done = self.platform.ioctl(&device, request).await;
        let _ = self.platform.close(device).await;
        done.map_err(|errno| Error::new(step, errno))
    }
}

impl<P: BlockingPlatform> Stmf<P> {
    /// [`set_alua_state_async`](Self::set_alua_state_async), blocking.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_alua_state(&self, enabled: bool, node: u32) -> Result<(), Error> {
        run_blocking(self.set_alua_state_async(enabled, node))
    }

    /// [`alua_state_async`](Self::alua_state_async), blocking.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn alua_state(&self) -> Result<AluaState, Error> {
        run_blocking(self.alua_state_async())
    }

    /// [`set_lu_standby_async`](Self::set_lu_standby_async), blocking.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_lu_standby(&self, guid: [u8; 16]) -> Result<(), Error> {
        run_blocking(self.set_lu_standby_async(guid))
    }
}
