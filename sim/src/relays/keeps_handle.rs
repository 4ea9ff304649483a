// SPDX-License-Identifier: MPL-2.0
//! A relay that keeps its proxy door handle whatever becomes of the peer: in the place of the
//! boot of the kernel its greeting tells the number of the node, so nobody finds out that a peer
//! has rebooted.
//!
//! Breaks the rule that the handle is closed and opened again before anything of a new boot of the
//! peer is posted.

use super::altered::{Alteration, AlteredRelay, More};
use crate::world::{Host, StandardRelay};
use stmf_proxy::link::BootIdentity;
use stmf_proxy::relay::{HandlePolicy, Input, OpenedDoor};
use stmf_proxy::time::Time;

pub(super) const NAME: &str = "keeps-handle";

pub(super) struct AlwaysTheSameBoot(BootIdentity);

impl Alteration for AlwaysTheSameBoot {
    fn input(&mut self, _: Time, input: Input, _: &mut More) -> Option<Input> {
        Some(match input {
            Input::ProxyDoorOpened(Ok(opened)) => Input::ProxyDoorOpened(Ok(OpenedDoor {
                boot: self.0,
                ..opened
            })),
            other => other,
        })
    }
}

pub(super) fn relay() -> AlteredRelay<AlwaysTheSameBoot> {
    AlteredRelay {
        name: NAME,
        standard: StandardRelay::new()
            .adjusted(|config| config.handle_without_link = HandlePolicy::Keep),
        // 0 is no boot.
        alteration: |host: &Host| AlwaysTheSameBoot(BootIdentity(u128::from(host.node()) + 1)),
    }
}
