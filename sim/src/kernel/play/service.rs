// SPDX-License-Identifier: MPL-2.0
//! Recordings of the active side: the proxy service, with one LU of the minimal provider.

use super::Player;
use super::input::{DoorAnswer, Input, InputError, door_answer, posted_bytes};
use super::machinery::{Machinery, OwnedCommand};
use super::output::Output;
use crate::kernel::KernelConfig;
use crate::kernel::minimal::MinimalLu;
use crate::kernel::stmf::types::LuId;
use std::rc::Rc;
use stmf_proxy::status::Errno;

/// The id of the LU of the recordings.
const LU_ID: LuId = [0x60, 0x01, 0x44, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// Its size.
const LU_BLOCKS: u64 = 2048;

/// The name of its provider, which no message names.
const LU_PROVIDER: &str = "minimal";

/// A node whose STMF service runs, with ALUA on and one LU at number 0.
pub struct ServicePlayer {
    machinery: Machinery,
    lu: Rc<MinimalLu>,
}

impl ServicePlayer {
    /// Boots the node.
    pub fn new(config: KernelConfig) -> ServicePlayer {
        let mut machinery = Machinery::boot(KernelConfig {
            service_alone: true,
            ..config
        });
        let lu = MinimalLu::new(LU_PROVIDER, LU_BLOCKS);
        let (kernel, registered) = (machinery.kernel().clone(), lu.clone());
        let alua = machinery.perform(async move {
            registered.register(&kernel, LU_ID).await;
            kernel.stmf().set_alua(true, 0).await
        });
        assert!(
            matches!(alua, Some(Ok(()))),
            "ALUA can be turned on without ports and door"
        );
        ServicePlayer { machinery, lu }
    }

    /// The node.
    pub fn machinery(&self) -> &Machinery {
        &self.machinery
    }
}

impl Player for ServicePlayer {
    type Output = Output;

    fn step(&mut self, line: &str) -> Result<Output, InputError> {
        let result = match Input::parse(line)? {
            Input::LuHold { on } => {
                self.lu.hold(on);
                let (kernel, lu) = (self.machinery.kernel().clone(), self.lu.clone());
                self.machinery
                    .perform(async move { lu.release(&kernel).await })
                    .map(Ok)
            }
            input => do_service_step(&mut self.machinery, input)?,
        };
        Ok(self.machinery.outcome(result))
    }

    fn has_ended(&self) -> bool {
        self.machinery.ending().is_some()
    }
}

/// Does a step about the device and the door, which is the same for all players.
pub(super) fn do_service_step(
    machinery: &mut Machinery,
    input: Input,
) -> Result<Option<Result<(), Errno>>, InputError> {
    Ok(match input {
        Input::Open => machinery.open(),
        Input::Close => machinery.close(),
        Input::Install { fd, ioctl } => {
            let command = match fd {
                None => OwnedCommand::InstallDoor,
                Some(_) => OwnedCommand::InstallOther,
            };
            machinery.ioctl(ioctl.version, ioctl.privileged, command)
        }
        Input::Ioctl { ioctl, .. } => {
            machinery.ioctl(ioctl.version, ioctl.privileged, OwnedCommand::Other)
        }
        Input::Post { msg, wire, ioctl } => {
            let bytes = posted_bytes(msg, wire, machinery.kernel().config().dialect)?;
            machinery.ioctl(
                ioctl.version,
                ioctl.privileged,
                OwnedCommand::Message(bytes),
            )
        }
        // LUs are the players' own.
        Input::LuHold { .. } => Some(Ok(())),
        Input::Door {
            result,
            errno,
            times,
        } => {
            match door_answer(result, errno, times)? {
                DoorAnswer::Result(result) => machinery.set_door_result(result),
                DoorAnswer::Errno(errno, times) => machinery.fail_door(errno, times),
            }
            Some(Ok(()))
        }
    })
}
