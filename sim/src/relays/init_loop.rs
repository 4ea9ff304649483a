// SPDX-License-Identifier: MPL-2.0
//! A program that tries to init the proxy door until it works, and then is an ordinary relay.
//!
//! Its first attempt is too early: what it hands over is no door yet, and the kernel refuses it.
//! What becomes of the handle that was opened for it is the library's affair: the C library of
//! illumos leaves it open, and as the device is exclusive, every later attempt finds it busy.

use crate::world::platform::{SimDevice, SimPlatform};
use crate::world::{Host, RelayProgram, StandardRelay};
use std::time::Duration;
use stmf_proxy::platform::{DeviceNode, Platform, Request};
use stmf_proxy::proxy_door::{Error, ProxyDoor};

/// How long it waits between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// A descriptor that is no door.
const NO_DOOR: i32 = -1;

/// See the module.
#[derive(Clone, Copy)]
pub struct InitLoop {
    leaks: bool,
}

impl InitLoop {
    /// What traces call the program over a library that leaves the handle open.
    pub const LEAKS: &'static str = "init-leaks";
    /// What traces call the program over a library that closes it.
    pub const CLOSES: &'static str = "init-closes";

    /// As over the C library of illumos.
    pub fn leaking() -> InitLoop {
        InitLoop { leaks: true }
    }

    /// As over the library of this project.
    pub fn closing() -> InitLoop {
        InitLoop { leaks: false }
    }

    /// stmfInitProxyDoor, as the C library does it.
    async fn leaking_init(
        platform: &SimPlatform,
        leaked: &mut Option<SimDevice>,
    ) -> Result<(), Error> {
        let opened = platform.open(DeviceNode::ProxyService).await;
        let device = opened.map_err(|errno| Error::OpenProxyService { errno })?;
        let install = Request::InstallDoor { door: NO_DOOR };
        let installed = platform.ioctl(&device, install).await;
        *leaked = Some(device);
        installed.map_err(|errno| Error::InstallDoor { errno })
    }

    async fn run(self, host: Host) {
        let platform = host.platform();
        // Nobody closes it before the process ends.
        let mut leaked = None;
        let first = match self.leaks {
            true => InitLoop::leaking_init(&platform, &mut leaked).await,
            false => ProxyDoor::init_with_descriptor_async(&platform, NO_DOOR)
                .await
                .map(drop),
        };
        if let Err(error) = first {
            host.log(&format!("warning: init failed: {error}"));
        }
        loop {
            host.sleep(PAUSE).await;
            match platform.open(DeviceNode::ProxyService).await {
                Ok(device) => {
                    // The door is made by now: the relay begins.
                    let _ = platform.close(device).await;
                    return StandardRelay::new().start(host);
                }
                Err(errno) => {
                    let error = Error::OpenProxyService { errno };
                    host.log(&format!("warning: init failed: {error}"));
                }
            }
        }
    }
}

impl RelayProgram for InitLoop {
    fn start(&self, host: Host) {
        let program = *self;
        let of_process = host.clone();
        host.spawn("relay main", async move { program.run(of_process).await });
    }

    fn name(&self) -> Option<String> {
        let name = match self.leaks {
            true => InitLoop::LEAKS,
            false => InitLoop::CLOSES,
        };
        Some(name.to_string())
    }
}
