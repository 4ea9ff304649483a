// SPDX-License-Identifier: MPL-2.0
//! Mistakes that kernels of the field had besides those of every kernel, and repairs of mistakes
//! that every kernel has: switches, all off unless a scenario wants one.
//!
//! Each stands for one failure of docs/field-failures.md. A switch that is off costs a look at a
//! flag where something rare happens anyway, and changes nothing.

use serde::{Deserialize, Serialize};

/// Mistakes that later kernels do not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Defects {
    /// stmf uses the structures of tasks that are over again, and does not clear the message id:
    /// a new task can be found by the id of the old one until it has an id of its own.
    #[serde(skip_serializing_if = "is_off")]
    pub keep_message_ids: bool,
    /// What copies a task management function to the peer reads the id of its LU even when the
    /// LU is gone, and goes down with it.
    #[serde(skip_serializing_if = "is_off")]
    pub read_id_of_gone_lu: bool,
    /// What copies a task management function to the peer asserts that it has no LU id, although
    /// every function for a LU that exists has one.
    #[serde(skip_serializing_if = "is_off")]
    pub assert_no_lu_id: bool,
    /// Setting the ALUA state, on or off, deletes every LU of the node that is not active.
    #[serde(skip_serializing_if = "is_off")]
    pub delete_standby_lus: bool,
    /// pppt takes no hold on a task for those who are still at work on it: one whose status has
    /// gone out is freed under the thread that aborts it, and one whose id is in use already is
    /// freed twice.
    #[serde(skip_serializing_if = "is_off")]
    pub unheld_tasks: bool,
    /// Closing a session because its proxy port goes offline takes the lock of the port, which
    /// the caller holds already.
    #[serde(skip_serializing_if = "is_off")]
    pub lock_port_twice: bool,
    /// Setting the ALUA state makes every node node 0, whatever number it is given.
    #[serde(skip_serializing_if = "is_off")]
    pub always_node_0: bool,
    /// pppt refuses every proxy port, as one does that cannot register it with its own stmf.
    #[serde(skip_serializing_if = "is_off")]
    pub refuse_proxy_ports: bool,
}

impl Defects {
    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        *self == Defects::default()
    }
}

/// Mistakes of every kernel of which this one is free. (The profile hardened repairs those that
/// bring a node down.)
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Repairs {
    /// A port whose registration with the peer could not be sent is registered again every
    /// second, until that succeeds.
    #[serde(skip_serializing_if = "is_off")]
    pub register_again: bool,
    /// The pieces of a message that is larger than a buffer of the port go to their place in the
    /// command, and not in the message.
    #[serde(skip_serializing_if = "is_off")]
    pub piece_offsets: bool,
}

impl Repairs {
    /// All of them. Every kernel makes these mistakes, and where they are not repaired hardly
    /// anything else is found.
    pub const ALL: Repairs = Repairs {
        register_again: true,
        piece_offsets: true,
    };

    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        *self == Repairs::default()
    }
}

fn is_off(switch: &bool) -> bool {
    !switch
}

#[cfg(test)]
mod tests {
    use super::super::KernelConfig;
    use super::*;

    #[test]
    fn files_hold_only_what_is_switched_on() {
        let plain = serde_json::to_string(&KernelConfig::default()).unwrap();
        assert!(
            !plain.contains("defects") && !plain.contains("repairs"),
            "{plain}"
        );
        assert!(!plain.contains("proxy-buffer"), "{plain}");
        let config = KernelConfig {
            defects: Defects {
                always_node_0: true,
                ..Defects::default()
            },
            proxy_buffer: 1 << 20,
            ..KernelConfig::default()
        };
        let text = serde_json::to_string(&config).unwrap();
        assert!(
            text.contains(r#""defects":{"always-node-0":true}"#),
            "{text}"
        );
        assert!(text.contains(r#""proxy-buffer":1048576"#), "{text}");
        let read: KernelConfig = serde_json::from_str(&text).unwrap();
        assert_eq!((read.defects, read.proxy_buffer), (config.defects, 1 << 20));
    }

    #[test]
    fn a_switch_of_another_version_is_refused() {
        let read = serde_json::from_str::<Defects>(r#"{"always-node-7":true}"#);
        assert!(read.is_err(), "a run with it would be another run");
    }
}
