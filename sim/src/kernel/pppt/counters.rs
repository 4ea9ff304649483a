// SPDX-License-Identifier: MPL-2.0
//! Error counters of the proxy service. They outlive close and open of the device.

use std::cell::Cell;

macro_rules! counters {
    ($($name:ident, $meaning:literal;)*) => {
        /// What went wrong how often since the kernel was booted.
        #[derive(Default, Debug)]
        pub struct Counters {
            $(#[doc = $meaning] pub $name: Cell<u64>,)*
        }

        impl Counters {
            /// Name and value of every counter, zero or not, in a fixed order.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get())),*]
            }
        }
    };
}

counters! {
    tgt_reg_svc_disabled, "Registrations while the service was not enabled.";
    tgt_reg_duplicate, "Registrations of a port that was registered.";
    tgt_reg_create_fail, "Registrations of a port that stmf refused.";
    tgt_dereg_svc_disabled, "Deregistrations while the service was not enabled.";
    tgt_dereg_not_found, "Deregistrations of a port that was not registered.";
    sess_destroy_no_session, "Ends of sessions that were not found.";
    sess_lookup_no_session,
        "Session ids that were not known, among them that of every session about to be made.";
    sess_lookup_ident_mismatch, "Session ids that belong to another nexus.";
    sess_lookup_bad_tgt_state, "Session ids whose target port was not online.";
    scmd_ptask_alloc_fail, "Commands dropped for want of memory, before the task was made.";
    scmd_sess_create_fail, "Commands for which no session could be made.";
    scmd_stask_alloc_fail, "Commands dropped because stmf made no task.";
    scmd_dup_task_count, "Commands with the id of a task that is running in the session.";
}

/// Adds one.
pub(super) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}
