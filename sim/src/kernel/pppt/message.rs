// SPDX-License-Identifier: MPL-2.0
//! Where a posted message goes.

use super::counters::count;
use super::{Pppt, ServiceState};
use crate::kernel::{Allocation, KernelEvent};
use stmf_proxy::message::{
    Body, DecodeError, DeviceId, Dialect, EchoReply, EchoRequest, Message, MessageType,
    RegisterProxyPort, ScsiDataTransferDone, SessionMessage, Status, status,
};

/// Fields of commands and session messages after which a refusal is harmless. All that a kernel
/// looks up before them it needs to clean up after a refusal: trap 4.
const FIELDS_AFTER_RPORT: [&str; 4] = [
    "icsc_lun_id",
    "icsc_task_lun_no",
    "icsc_task_cdb",
    "icsc_immed_data",
];

/// How the line of the log begins that names a proxy port which could not be made.
pub const PORT_REFUSED: &str = "pppt: TARGET_FAILURE: cannot make a proxy port for ";

/// How the line of the log begins that says why a posted message was dropped.
pub const MESSAGE_DROPPED: &str = "pppt: message from the peer dropped: ";

impl Pppt<'_> {
    /// Handles a posted message, in the calling thread.
    pub(super) async fn receive(&self, bytes: &[u8]) {
        let message = match Message::decode(bytes, self.0.config().dialect) {
            Ok(message) => message,
            Err(error) => return self.refuse(&error).await,
        };
        let msgid = message.msgid;
        let message_type = message.message_type();
        if self.0.counts_meetings() {
            self.0.tell(KernelEvent::Met {
                message: message_type,
                states: &self.states_met(&message),
            });
        }
        match message.body {
            Body::RegisterProxyPort(port) => {
                let status = self.register_port(&port).await;
                self.send_status_message(message_type, msgid, status).await;
            }
            Body::DeregisterProxyPort(port) => {
                let status = self.deregister_port(&port.port_id).await;
                self.send_status_message(message_type, msgid, status).await;
            }
            Body::SessionCreate(_) => {
                self.send_status_message(message_type, msgid, status::NOT_SUPPORTED)
                    .await;
            }
            Body::SessionDestroy(session) => self.destroy_session(&session).await,
            Body::ScsiCommand(command) => {
                if let Err(status) = self.start_command(command).await {
                    self.send_status_message(message_type, msgid, status).await;
                }
            }
            Body::ScsiDataTransferDone(done) => self.transfer_done(&done).await,
            Body::EchoRequest(EchoRequest { data }) => {
                let reply = Message {
                    msgid: 0,
                    body: Body::EchoReply(EchoReply { data }),
                };
                self.0.stmf().transmit(&reply).await;
            }
            Body::EchoReply(_) | Body::ReadyToTransfer(_) => {}
            Body::RegisterLun(_)
            | Body::DeregisterLun(_)
            | Body::LunActive(_)
            | Body::ScsiData(_)
            | Body::ScsiStatus(_)
            | Body::Status(_) => {
                self.0.tell(KernelEvent::ToStmf(&message));
                if !self.0.config().service_alone {
                    self.0.stmf().message_received(&message).await;
                }
            }
        }
    }

    /// A message that was not understood.
    async fn refuse(&self, error: &DecodeError) {
        self.0.warn(format!("{MESSAGE_DROPPED}{error}"));
        let Some(field) = error.field() else { return };
        // Kernels of 2009 know of no TransportIDs, and clean none up.
        if self.0.config().dialect == Dialect::Y2009 {
            return;
        }
        let cleans_up = matches!(
            field.message_type,
            Some(
                MessageType::ScsiCommand | MessageType::SessionCreate | MessageType::SessionDestroy
            )
        );
        // Their common head is looked up before it is known what kind of message it is.
        let in_head = field.field.starts_with("icm_");
        if cleans_up && !in_head && !FIELDS_AFTER_RPORT.contains(&field.field) && self.0.has_traps()
        {
            let reason =
                format!("a refused message is freed before it has a TransportID ({field})");
            self.0.panic(4, reason).await
        }
    }

    /// Answers a message with a status. Its 64 bits are cut to 8 on the wire, so that every
    /// failure arrives as success.
    async fn send_status_message(&self, answered: MessageType, msgid: u64, status: u64) {
        self.0.tell(KernelEvent::StatusBeforeWire(status));
        let body = Status {
            status_msg_type: answered.number(),
            status_msgid: msgid,
            status,
        };
        // Nobody can be told if it does not go out.
        self.0
            .stmf()
            .transmit(&Message {
                msgid,
                body: Body::Status(body),
            })
            .await;
    }

    async fn register_port(&self, message: &RegisterProxyPort) -> u64 {
        let state = self.state();
        let _lock = state.lock.lock().await;
        if state.service.get() != ServiceState::Enabled {
            count(&state.counters.tgt_reg_svc_disabled);
            return status::FAILURE;
        }
        if self.find_target(&message.port_id).is_some() {
            count(&state.counters.tgt_reg_duplicate);
            return status::ALREADY;
        }
        if let Some(delay) = self.0.slow_registration() {
            self.0.executor().sleep(delay).await;
        }
        let refused =
            self.0.defects().refuse_proxy_ports || self.0.allocation_fails(Allocation::ProxyPort);
        if !refused
            && self
                .create_target(&message.port_id, message.relative_port_id)
                .await
                .is_ok()
        {
            return status::SUCCESS;
        }
        count(&state.counters.tgt_reg_create_fail);
        self.0.warn(format!(
            "{PORT_REFUSED}{}",
            message.port_id.ident.escape_ascii()
        ));
        status::TARGET_FAILURE
    }

    async fn deregister_port(&self, port: &DeviceId) -> u64 {
        let state = self.state();
        let lock = state.lock.lock().await;
        if state.service.get() != ServiceState::Enabled {
            count(&state.counters.tgt_dereg_svc_disabled);
            return status::FAILURE;
        }
        let Some(target) = self.find_target(port) else {
            count(&state.counters.tgt_dereg_not_found);
            return status::NOT_FOUND;
        };
        self.remove_target(&target);
        self.begin_deletion(&target);
        drop(lock);
        self.wait_for_deletion(&target).await;
        status::SUCCESS
    }

    async fn destroy_session(&self, message: &SessionMessage) {
        let state = self.state();
        let _lock = state.lock.lock().await;
        let rport = super::session::rport_of(&message.rport, &message.ini_devid);
        match self.find_session(message.session_id, &message.tgt_devid, &rport) {
            Some(session) => {
                let target = session.target();
                session.release();
                let _target_lock = match &target {
                    Some(target) => Some(target.lock.lock().await),
                    None => None,
                };
                self.close_session(&session).await;
            }
            None => count(&state.counters.sess_destroy_no_session),
        }
    }

    async fn transfer_done(&self, message: &ScsiDataTransferDone) {
        let task = {
            let _lock = self.state().lock.lock().await;
            self.find_task(message.task_msgid)
        };
        if let Some(task) = task {
            self.read_transfer_done(&task, message.status).await;
        }
    }
}
