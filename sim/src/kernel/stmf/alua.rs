// SPDX-License-Identifier: MPL-2.0
//! The ALUA state, and the messages about ports, sessions and LUs that go with it.
//!
//! All of these messages are sent with the stmf lock held: every thread that needs it waits
//! until the relay has answered.

use super::types::*;
use super::{RETRY_AFTER, Stmf};
use std::rc::Rc;
use stmf_proxy::message::{
    Body, DeregisterProxyPort, LunMessage, Message, MessageType, RegisterProxyPort, SessionMessage,
    Status, status,
};

/// The first relative port id of node 1; node 0 counts from 1.
const FIRST_RELATIVE_PORT_ID_OF_NODE_1: u16 = 256;

/// Why the ALUA state was not set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AluaError {
    /// EINVAL.
    #[error("the node of an ALUA pair is 0 or 1, not {0}")]
    Node(u16),
}

impl Stmf<'_> {
    /// Whether ALUA is on, and which node this is.
    pub fn alua(&self) -> (bool, u16) {
        (
            self.state().alua_enabled.get(),
            self.state().alua_node.get(),
        )
    }

    /// Whether ALUA was ever on since the boot.
    pub(crate) fn alua_was_enabled(&self) -> bool {
        self.state().alua_was_enabled.get()
    }

    /// Sets the ALUA state. Switching it on registers every port that takes part in ALUA and
    /// every active LU with the peer, newest first, in one go with the stmf lock held; what
    /// cannot be registered is logged and skipped.
    pub async fn set_alua(&self, enabled: bool, node: u16) -> Result<(), AluaError> {
        if node > 1 {
            return Err(AluaError::Node(node));
        }
        let node = match self.0.defects().always_node_0 {
            true => 0,
            false => node,
        };
        self.change_alua(enabled, node).await;
        if self.0.defects().delete_standby_lus {
            self.delete_standby_lus().await;
        }
        Ok(())
    }

    async fn delete_standby_lus(&self) {
        for lu in self.lus() {
            if lu.access.get() == Access::Standby {
                lu.provider.peer_deregistered(self.0, lu.id, &[]).await;
            }
        }
    }

    async fn change_alua(&self, enabled: bool, node: u16) {
        let state = self.state();
        let _lock = state.lock.lock().await;
        if !enabled {
            // The node number counts only while ALUA is on.
            state.alua_enabled.set(false);
            return;
        }
        state.alua_enabled.set(true);
        state.alua_was_enabled.set(true);
        state.alua_node.set(node);
        if node == 1 {
            state
                .next_relative_port_id
                .set(FIRST_RELATIVE_PORT_ID_OF_NODE_1);
        }
        for port in self.ports() {
            if node == 1 && port.alua && !port.proxy {
                let id = state.next_relative_port_id.get();
                state.next_relative_port_id.set(id.wrapping_add(1));
                port.relative_port_id.set(id);
            }
            self.tell_peer_of_port(&port).await;
        }
        for lu in self.lus() {
            if lu.access.get() == Access::Active && lu.alua {
                self.tell_peer_of_lu(&lu, Body::RegisterLun).await;
            }
        }
    }

    /// Registers a port with the peer if it takes part in ALUA. The caller holds the stmf lock.
    pub(super) async fn tell_peer_of_port(&self, port: &Rc<LocalPort>) {
        if !port.alua || port.proxy || self.register_with_peer(port).await {
            return;
        }
        self.0.warn(format!(
            "port {} could not be registered with the peer",
            String::from_utf8_lossy(&port.id.ident)
        ));
        if self.0.config().repairs.register_again {
            self.register_again_later(port);
        }
    }

    /// Whether the message went out.
    async fn register_with_peer(&self, port: &Rc<LocalPort>) -> bool {
        let body = Body::RegisterProxyPort(RegisterProxyPort {
            port_id: port.id.clone(),
            relative_port_id: port.relative_port_id.get(),
            cb_arg: Vec::new(),
        });
        match self.send_numbered(body).await {
            Some(msgid) => {
                port.registration_msgid.set(msgid);
                true
            }
            None => false,
        }
    }

    /// What no real kernel does: tries until it has worked, or is of no use any more.
    fn register_again_later(&self, port: &Rc<LocalPort>) {
        let (kernel, port) = (self.0.clone(), port.clone());
        self.0.spawn("stmf registration", async move {
            loop {
                let next = kernel.executor().now() + RETRY_AFTER;
                kernel.executor().sleep_in_background(next).await;
                let stmf = kernel.stmf();
                let _lock = stmf.state().lock.lock().await;
                let known = stmf.ports().iter().any(|other| Rc::ptr_eq(other, &port));
                if !known || !stmf.state().alua_enabled.get() {
                    return;
                }
                if stmf.register_with_peer(&port).await {
                    return;
                }
            }
        });
    }

    pub(super) async fn tell_peer_of_port_removal(&self, port: &Rc<LocalPort>) {
        if port.alua && !port.proxy {
            let body = Body::DeregisterProxyPort(DeregisterProxyPort {
                port_id: port.id.clone(),
                cb_arg: Vec::new(),
            });
            self.send_numbered(body).await;
        }
    }

    pub(super) async fn tell_peer_of_session_end(
        &self,
        session: &Rc<Session>,
        port: &Rc<LocalPort>,
    ) {
        let body = Body::SessionDestroy(SessionMessage {
            ini_devid: session.initiator.clone(),
            tgt_devid: port.id.clone(),
            rport: Some(session.rport.clone()),
            session_id: session.id,
        });
        self.send_numbered(body).await;
    }

    /// Tells the peer of a LU that is active here. The caller holds the stmf lock.
    pub(super) async fn tell_peer_of_lu(&self, lu: &Rc<Lu>, body: fn(LunMessage) -> Body) {
        self.send_lun_message(lu, body, lu.callback_argument.clone())
            .await;
    }

    /// Tells the peer that a LU is gone: without the callback argument. The caller holds the
    /// stmf lock.
    pub(super) async fn tell_peer_of_lu_removal(&self, lu: &Rc<Lu>) {
        self.send_lun_message(lu, Body::DeregisterLun, Vec::new())
            .await;
    }

    async fn send_lun_message(&self, lu: &Rc<Lu>, body: fn(LunMessage) -> Body, cb_arg: Vec<u8>) {
        let lu_provider_name = lu.provider.name().as_bytes().to_vec();
        self.send_numbered(body(LunMessage {
            lun_id: lu.id,
            lu_provider_name,
            cb_arg,
        }))
        .await;
    }

    /// Sends a message under the next message id, which is used up only if the upcall succeeds.
    /// The caller holds the stmf lock.
    async fn send_numbered(&self, body: Body) -> Option<u64> {
        let msgid = self.state().next_msgid.get();
        if self.transmit(&Message { msgid, body }).await != status::SUCCESS {
            return None;
        }
        self.state().next_msgid.set(msgid.wrapping_add(1));
        Some(msgid)
    }

    /// A message from the peer that is for stmf.
    pub async fn message_received(&self, message: &Message) {
        let state = self.state();
        // Every message passes the stmf lock, if only for a look at the ALUA state.
        let lock = state.lock.lock().await;
        let enabled = state.alua_enabled.get();
        drop(lock);
        if !enabled {
            self.0
                .warn("a message from the peer while the ALUA state is disabled");
            if !state.alua_was_enabled.get() && self.0.has_traps() {
                let reason = format!(
                    "message {} from the peer before ALUA was enabled for the first time",
                    message.message_type().name()
                );
                return self.0.panic(8, reason).await;
            }
            return;
        }
        match &message.body {
            Body::RegisterLun(lun) | Body::LunActive(lun) => {
                if let Some(provider) = self.provider(&lun.lu_provider_name) {
                    provider
                        .peer_registered(self.0, lun.lun_id, &lun.cb_arg)
                        .await;
                }
            }
            Body::DeregisterLun(lun) => {
                if let Some(provider) = self.provider(&lun.lu_provider_name) {
                    provider
                        .peer_deregistered(self.0, lun.lun_id, &lun.cb_arg)
                        .await;
                }
            }
            Body::ScsiData(data) => self.proxied_data(data).await,
            Body::ScsiStatus(scsi_status) => self.proxied_status(scsi_status).await,
            Body::Status(reply) => self.registration_answered(reply).await,
            _ => {}
        }
    }

    /// A port whose registration the peer confirms is proxy-registered from now on. Refusals
    /// count too: they arrive as 0.
    async fn registration_answered(&self, reply: &Status) {
        if reply.status_msg_type != MessageType::RegisterProxyPort.number()
            || reply.status != status::SUCCESS
        {
            return;
        }
        if reply.status_msgid == 0 && !self.0.has_traps() {
            self.0
                .warn("a status for registration message 0, which was never sent: ignored");
            return;
        }
        let state = self.state();
        let _lock = state.lock.lock().await;
        let ports = state.ports.borrow();
        if let Some(port) = ports
            .iter()
            .find(|port| port.registration_msgid.get() == reply.status_msgid)
        {
            port.proxy_registered.set(true);
        }
    }

    /// The provider of a name.
    pub(crate) fn provider(&self, name: &[u8]) -> Option<Rc<dyn LuProvider>> {
        let providers = self.state().providers.borrow();
        providers
            .iter()
            .find(|provider| provider.name().as_bytes() == name)
            .cloned()
    }
}
