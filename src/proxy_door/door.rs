// SPDX-License-Identifier: MPL-2.0
//! A door made by this process, for the kernel to call.

use super::Error;
use crate::platform::{BlockingPlatform, DoorServer, DoorSettings, Platform, run_blocking};
use crate::status::Step;
use std::fmt;
use std::sync::Arc;

/// A door and the server behind it.
///
/// Dropping it revokes it: later calls fail, calls in progress finish. A door that the kernel
/// calls should not go before the proxy handle is closed ([`ProxyDoor`](super::ProxyDoor) sees
/// to that), for a failed call can bring the node down.
pub struct Door<P: Platform> {
    pub(super) platform: P,
    pub(super) door: P::Door,
}

impl<P: Platform> Door<P> {
    /// Makes a door whose calls `server` answers.
    ///
    /// # Errors
    ///
    /// [`Error::CreateDoor`].
    pub async fn create_async(
        platform: &P,
        settings: DoorSettings,
        server: P::Server,
    ) -> Result<Door<P>, Error> {
        let made = platform.create_door(settings, server).await;
        let door = made.map_err(|errno| Error::new(Step::CreateDoor, errno))?;
        Ok(Door {
            platform: platform.clone(),
            door,
        })
    }

    /// Revokes the door and says how that went; dropping it does the same in silence.
    ///
    /// # Errors
    ///
    /// [`Error::RevokeDoor`]. The door is gone all the same.
    pub async fn revoke_async(self) -> Result<(), Error> {
        let Door { platform, door } = self;
        let revoked = platform.revoke(door).await;
        revoked.map_err(|errno| Error::new(Step::RevokeDoor, errno))
    }

    /// The number of the door's descriptor in this process. It stays the door's: do not close it.
    pub fn descriptor(&self) -> i32 {
        self.platform.door_descriptor(&self.door)
    }
}

impl<P: BlockingPlatform> Door<P> {
    /// [`create_async`](Self::create_async), blocking.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn create_with(
        platform: &P,
        settings: DoorSettings,
        server: P::Server,
    ) -> Result<Door<P>, Error> {
        run_blocking(Door::create_async(platform, settings, server))
    }

    /// [`revoke_async`](Self::revoke_async), blocking.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn revoke(self) -> Result<(), Error> {
        run_blocking(self.revoke_async())
    }
}

impl<P: BlockingPlatform<Server = Arc<dyn DoorServer>>> Door<P> {
    /// Makes a door with the default settings. A closure `Fn(&[u8]) -> u32` will do for a
    /// server; see [`DoorServer`] for what it must and must not do.
    ///
    /// # Errors
    ///
    /// [`Error::CreateDoor`].
    pub fn create(platform: &P, server: impl DoorServer) -> Result<Door<P>, Error> {
        Door::create_with(platform, DoorSettings::default(), Arc::new(server))
    }
}

impl<P: Platform> fmt::Debug for Door<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("descriptor", &self.descriptor())
            .finish_non_exhaustive()
    }
}
