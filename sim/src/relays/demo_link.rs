// SPDX-License-Identifier: MPL-2.0
//! Relays over the link of the field's demonstration daemon, and both kinds of relay with a wrong
//! node number.
//!
//! The relay keeps its rules over that link too; but the link has no checksums, and nobody checks
//! on it who the peer is.

use super::altered::{Alteration, AlteredRelay, More};
use crate::world::StandardRelay;
use stmf_proxy::link::Node;
use stmf_proxy::link::demo::DemoConfig;
use stmf_proxy::relay::{Action, Config, LinkConfig};
use stmf_proxy::time::Time;

pub(super) const DEMO_LINK: &str = "demo-link";
pub(super) const DEMO_LINK_NODE_0: &str = "demo-link-node-0";
pub(super) const STANDARD_VERSION_2: &str = "standard-version-2";
pub(super) const VERSION_2_ONLY: &str = "version-2-only";
pub(super) const STANDARD_NODE_0: &str = "standard-node-0";

/// The node that listens, by the name that [`StandardRelay`] gives it.
const LISTENING_HOST: &str = "node1";

fn speak_demo_link(config: &mut Config) {
    if let LinkConfig::Default { host, .. } = &config.link {
        config.link = LinkConfig::Demo(DemoConfig {
            host: host.clone(),
            listening_host: LISTENING_HOST.into(),
            reconnect: true,
        });
    }
}

pub(super) fn demo_link() -> StandardRelay {
    StandardRelay::new()
        .adjusted(speak_demo_link)
        .named(DEMO_LINK)
}

pub(super) fn standard_node_0() -> StandardRelay {
    let as_node_0 = |config: &mut Config| {
        if let LinkConfig::Default { node, .. } = &mut config.link {
            *node = Node::Zero;
        }
    };
    StandardRelay::new()
        .adjusted(as_node_0)
        .named(STANDARD_NODE_0)
}

/// The relay as a later version may be, that speaks version 2 of the link besides.
pub(super) fn standard_version_2() -> StandardRelay {
    StandardRelay::new()
        .adjusted(|config| config.link_versions = (1, 2))
        .named(STANDARD_VERSION_2)
}

/// One that has forgotten version 1.
pub(super) fn version_2_only() -> StandardRelay {
    StandardRelay::new()
        .adjusted(|config| config.link_versions = (2, 2))
        .named(VERSION_2_ONLY)
}

/// Where the field's daemon takes its node number from the names of the hosts, this one has it
/// configured, and wrong.
pub(super) struct NodeZero;

impl Alteration for NodeZero {
    fn action(&mut self, _: Time, action: Action, _: &mut More) -> Option<Action> {
        Some(match action {
            Action::SetAlua { enabled, .. } => Action::SetAlua {
                enabled,
                node: Node::Zero,
            },
            other => other,
        })
    }
}

pub(super) fn demo_link_node_0() -> AlteredRelay<NodeZero> {
    AlteredRelay {
        name: DEMO_LINK_NODE_0,
        standard: demo_link(),
        alteration: |_| NodeZero,
    }
}
