// SPDX-License-Identifier: MPL-2.0
//! What tests of the logical unit share.
use super::*;

/// The nexus of session `session_id`: each its own initiator, all on one port.
pub(super) fn nexus(session_id: u64) -> Nexus {
    Nexus {
        session_id,
        id: NexusId {
            initiator: format!("iqn.1993-08.org.debian:01:i{session_id}")
                .into_bytes()
                .into(),
            target_port: b"iqn.2010-08.org.illumos:t1"[..].into(),
        },
        relative_port_id: 1,
        through_proxy: false,
    }
}
