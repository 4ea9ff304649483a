// SPDX-License-Identifier: MPL-2.0
//! The door API: libstmf's stmfInitProxyDoor, stmfPostProxyMsg and stmfDestroyProxyDoor, over
//! any [`Platform`].
//!
//! A program on a storage node gives the kernel a door to call; through it the kernel hands out
//! messages for the other node of the pair. What the other node's kernel handed out is posted
//! here, byte for byte:
//!
//! ```
//! use stmf_proxy::platform::{BlockingPlatform, DoorServer};
//! use stmf_proxy::proxy_door::{Door, Error, ProxyDoor};
//! # use std::sync::Arc;
//! # use std::sync::mpsc::{Receiver, Sender};
//!
//! # fn program<P: BlockingPlatform<Server = Arc<dyn DoorServer>>>(
//! #     platform: P, to_peer: Sender<Vec<u8>>, from_peer: Receiver<Vec<u8>>,
//! # ) -> Result<(), Error> {
//! const ENOTCONN: u32 = 134;
//! let door = Door::create(&platform, move |message: &[u8]| -> u32 {
//!     to_peer.send(message.to_vec()).map_or(ENOTCONN, |()| 0)
//! })?;
//! let proxy = ProxyDoor::init(door)?;
//! proxy.set_alua_state(true, 0)?; // this is node 0; before the first post
//! for message in from_peer {
//!     proxy.post(&message)?;
//! }
//! proxy.destroy()
//! # }
//! ```
//!
//! On a storage node the platform is `Illumos`, in `platform::illumos`.
//!
//! # The end
//!
//! The kernel may be in the middle of calling the door when a program wants to stop, and a call
//! that *fails* can bring the node down. So the order is: stop posting and let posts in progress
//! finish, then close the proxy handle while the door still answers, then revoke the door. The
//! types leave no other order: [`ProxyDoor::destroy`] takes the handle by value, which the borrow
//! checker allows only when no post is in progress (`Arc::into_inner` gives it to the last owner
//! of a shared one), and it owns the door. Dropping a `ProxyDoor` does the same.
//!
//! For the same reason a handle is never closed while another thread still uses its descriptor,
//! whose number could by then belong to another file.
//!
//! # Which calls block
//!
//! Every call has a form with `_async` for any platform and one without for platforms that
//! block ([`BlockingPlatform`]); both are the same code.

mod door;
mod error;
mod stmf;
#[cfg(test)]
mod tests;

pub use door::Door;
pub use error::Error;
pub use stmf::{AluaState, Stmf};

use crate::platform::{BlockingPlatform, DeviceNode, Platform, Request, run_blocking};
use crate::status::Step;
use std::fmt;

/// The established connection between the kernel's proxy service and a door of this process.
///
/// There is at most one on a node. Posts may come from many threads at once.
pub struct ProxyDoor<P: Platform> {
    // Fields are dropped in this order, and the order matters: the handle is closed first, with
    // the door still answering what the kernel calls meanwhile.
    device: P::Device,
    door: Option<Door<P>>,
    platform: P,
    post_limit: u32,
}

impl<P: Platform> ProxyDoor<P> {
    /// The longest message that [`post`](Self::post) takes unless told otherwise: 64 MiB.
    pub const DEFAULT_POST_LIMIT: u32 = 64 << 20;

    /// Opens the proxy service and gives it the door: stmfInitProxyDoor(3STMF). From now on the
    /// kernel may call the door.
    ///
    /// # Errors
    ///
    /// [`Error::OpenProxyService`] and [`Error::InstallDoor`]. The door is revoked and nothing
    /// stays open, so a program may simply try again with a new door.
    pub async fn init_async(door: Door<P>) -> Result<ProxyDoor<P>, Error> {
        let platform = door.platform.clone();
        match install(&platform, door.descriptor()).await {
            Ok(device) => Ok(ProxyDoor::new(platform, device, Some(door))),
            Err(error) => {
                let _ = door.revoke_async().await;
                Err(error)
            }
        }
    }

    /// As [`init_async`](Self::init_async), for a door that stays the caller's, known by the
    /// number of its descriptor. The caller keeps it open and answering until the `ProxyDoor` is
    /// gone.
    ///
    /// # Errors
    ///
    /// As there; nothing stays open. [`Error::InstallDoor`] with EINVAL if it is not a door.
    pub async fn init_with_descriptor_async(
        platform: &P,
        door: i32,
    ) -> Result<ProxyDoor<P>, Error> {
        let device = install(platform, door).await?;
        Ok(ProxyDoor::new(platform.clone(), device, None))
    }

    fn new(platform: P, device: P::Device, door: Option<Door<P>>) -> ProxyDoor<P> {
        ProxyDoor {
            device,
            door,
            platform,
            post_limit: Self::DEFAULT_POST_LIMIT,
        }
    }

    /// Sets the longest message that [`post`](Self::post) takes, in bytes. Default
    /// [`DEFAULT_POST_LIMIT`](Self::DEFAULT_POST_LIMIT). The kernel copies a message into memory
    /// of its own whatever its length, so the limit is what protects the node from a length that
    /// a damaged or hostile peer made up. 0 refuses every message.
    pub fn with_post_limit(mut self, bytes: u32) -> ProxyDoor<P> {
        self.post_limit = bytes;
        self
    }

    /// The longest message that [`post`](Self::post) takes, in bytes.
    pub fn post_limit(&self) -> u32 {
        self.post_limit
    }

    /// Hands the kernel a message that the peer's kernel gave to its door:
    /// stmfPostProxyMsg(3STMF). The kernel handles it before this returns, which may take long
    /// (it waits for locks, and for targets that are being deleted) and may call the door.
    ///
    /// Success means that the kernel took the message, not that it liked it: one that it cannot
    /// understand is dropped with a line in its log.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyMessage`], [`Error::MessageTooLong`], [`Error::PostMessage`]. None of them
    /// is a reason to post the message again: the kernel may have acted on it.
    pub async fn post_async(&self, message: &[u8]) -> Result<(), Error> {
        if message.is_empty() {
            return Err(Error::EmptyMessage);
        }
        if u32::try_from(message.len()).map_or(true, |length| length > self.post_limit) {
            return Err(Error::MessageTooLong {
                length: message.len(),
                limit: self.post_limit,
            });
        }
        let posted = self
            .platform
            .ioctl(&self.device, Request::Message(message))
            .await;
        posted.map_err(|errno| Error::new(Step::PostMessage, errno))
    }

    /// Closes the proxy service, then revokes the door: stmfDestroyProxyDoor(3STMF). The kernel
    /// deletes every proxy port, closes its sessions and aborts their commands before this
    /// returns.
    ///
    /// # Errors
    ///
    /// [`Error::CloseProxyService`], [`Error::RevokeDoor`]: the first that was reported. Both
    /// steps were taken and nothing stays open; the C function has no result at all.
    pub async fn destroy_async(self) -> Result<(), Error> {
        let ProxyDoor {
            device,
            door,
            platform,
            ..
        } = self;
        let closed = platform.close(device).await;
        let revoked = match door {
            Some(door) => door.revoke_async().await,
            None => Ok(()),
        };
        closed
            .map_err(|errno| Error::new(Step::CloseProxyService, errno))
            .and(revoked)
    }

    /// Closes the proxy service as [`destroy_async`](Self::destroy_async) does, but gives the
    /// door back (if this has one), for another [`init_async`](Self::init_async). This is what
    /// makes the kernel forget a peer that has rebooted.
    ///
    /// The server's [`unreferenced`](crate::platform::DoorServer::unreferenced) is told once in
    /// the life of a door, so not again after the second time.
    ///
    /// # Errors
    ///
    /// [`Error::CloseProxyService`]; the door has been revoked then.
    pub async fn close_async(self) -> Result<Option<Door<P>>, Error> {
        let ProxyDoor {
            device,
            door,
            platform,
            ..
        } = self;
        match platform.close(device).await {
            Ok(()) => Ok(door),
            Err(errno) => {
                if let Some(door) = door {
                    let _ = door.revoke_async().await;
                }
                Err(Error::new(Step::CloseProxyService, errno))
            }
        }
    }

    /// The administration of STMF on the same node.
    pub fn stmf(&self) -> Stmf<P> {
        Stmf::new(self.platform.clone())
    }

    /// [`Stmf::set_alua_state_async`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn set_alua_state_async(&self, enabled: bool, node: u32) -> Result<(), Error> {
        self.stmf().set_alua_state_async(enabled, node).await
    }

    /// [`Stmf::alua_state_async`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn alua_state_async(&self) -> Result<AluaState, Error> {
        self.stmf().alua_state_async().await
    }

    /// [`Stmf::set_lu_standby_async`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn set_lu_standby_async(&self, guid: [u8; 16]) -> Result<(), Error> {
        self.stmf().set_lu_standby_async(guid).await
    }
}

impl<P: BlockingPlatform> ProxyDoor<P> {
    /// [`init_async`](Self::init_async), blocking.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn init(door: Door<P>) -> Result<ProxyDoor<P>, Error> {
        run_blocking(ProxyDoor::init_async(door))
    }

    /// [`init_with_descriptor_async`](Self::init_with_descriptor_async), blocking.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn init_with_descriptor(platform: &P, door: i32) -> Result<ProxyDoor<P>, Error> {
        run_blocking(ProxyDoor::init_with_descriptor_async(platform, door))
    }

    /// [`post_async`](Self::post_async), blocking.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn post(&self, message: &[u8]) -> Result<(), Error> {
        run_blocking(self.post_async(message))
    }

    /// [`destroy_async`](Self::destroy_async), blocking.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn destroy(self) -> Result<(), Error> {
        run_blocking(self.destroy_async())
    }

    /// [`close_async`](Self::close_async), blocking.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn close(self) -> Result<Option<Door<P>>, Error> {
        run_blocking(self.close_async())
    }

    /// [`Stmf::set_alua_state`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_alua_state(&self, enabled: bool, node: u32) -> Result<(), Error> {
        self.stmf().set_alua_state(enabled, node)
    }

    /// [`Stmf::alua_state`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn alua_state(&self) -> Result<AluaState, Error> {
        self.stmf().alua_state()
    }

    /// [`Stmf::set_lu_standby`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_lu_standby(&self, guid: [u8; 16]) -> Result<(), Error> {
        self.stmf().set_lu_standby(guid)
    }
}

impl<P: Platform> fmt::Debug for ProxyDoor<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyDoor")
            .field("door", &self.door)
            .field("post_limit", &self.post_limit)
            .finish_non_exhaustive()
    }
}

/// Opens the proxy service and installs the door; closes it again if the door is refused.
async fn install<P: Platform>(platform: &P, door: i32) -> Result<P::Device, Error> {
    let opened = platform.open(DeviceNode::ProxyService).await;
    let device = opened.map_err(|errno| Error::new(Step::OpenProxyService, errno))?;
    match platform.ioctl(&device, Request::InstallDoor { door }).await {
        Ok(()) => Ok(device),
        Err(errno) => {
            // What the caller should hear about is the refusal, however the close went.
            let _ = platform.close(device).await;
            Err(Error::new(Step::InstallDoor, errno))
        }
    }
}
