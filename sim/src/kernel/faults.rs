// SPDX-License-Identifier: MPL-2.0
//! Faults of a kernel that a scenario asks for: posts that fail, memory that is short, things that
//! take long. Each waits for what it can hit, and is told when it does ([`KernelEvent::Fault`]).
//! They are gone with the kernel.

use super::{Kernel, KernelEvent};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::time::Duration;
use stmf_proxy::status::Errno;

/// The name in traces of a post that fails.
pub const POST_FAILED: &str = "post-failed";
/// The name in traces of a registration that takes long.
pub const SLOW_REGISTRATION: &str = "slow-registration";

/// Something of the proxy service for which memory can be short.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allocation {
    /// The kernel's copy of a message that is posted: the ioctl fails with ENOMEM.
    IoctlBuffer,
    /// A proxy port: the registration is answered with TARGET_FAILURE (tgt_reg_create_fail).
    ProxyPort,
    /// A session of a proxy port: the command is answered with TARGET_FAILURE
    /// (scmd_sess_create_fail).
    Session,
    /// A task of the proxy service: the command is dropped silently (scmd_ptask_alloc_fail).
    ProxyTask,
    /// The task of stmf for it: the command is dropped silently (scmd_stask_alloc_fail).
    StmfTask,
}

impl Allocation {
    /// All of them.
    pub const ALL: [Allocation; 5] = [
        Allocation::IoctlBuffer,
        Allocation::ProxyPort,
        Allocation::Session,
        Allocation::ProxyTask,
        Allocation::StmfTask,
    ];

    /// The name in traces of one that fails.
    pub const fn fault_name(self) -> &'static str {
        match self {
            Allocation::IoctlBuffer => "memory-ioctl-buffer",
            Allocation::ProxyPort => "memory-proxy-port",
            Allocation::Session => "memory-session",
            Allocation::ProxyTask => "memory-proxy-task",
            Allocation::StmfTask => "memory-stmf-task",
        }
    }
}

/// Something that goes wrong in the proxy service of a kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KernelFault {
    /// The next posts fail, and their messages reach nobody.
    Post {
        /// How they fail.
        #[serde(with = "errno_number")]
        errno: Errno,
        /// How many of them.
        times: u64,
    },
    /// There is no memory for something.
    Allocation {
        /// For what.
        place: Allocation,
        /// How often.
        times: u64,
    },
    /// The next registrations of proxy ports take so long, with the pppt global lock held.
    SlowRegistration {
        /// How long.
        delay: Duration,
        /// How many of them.
        times: u64,
    },
}

impl KernelFault {
    /// How often it hits.
    pub fn times(&mut self) -> &mut u64 {
        match self {
            KernelFault::Post { times, .. }
            | KernelFault::Allocation { times, .. }
            | KernelFault::SlowRegistration { times, .. } => times,
        }
    }
}

/// An errno by its number.
pub(crate) mod errno_number {
    use serde::{Deserialize, Deserializer, Serializer};
    use stmf_proxy::status::Errno;

    pub(crate) fn serialize<S: Serializer>(errno: &Errno, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i32(errno.number())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Errno, D::Error> {
        i32::deserialize(from).map(Errno::from_number)
    }
}

/// Faults that wait for something to hit, oldest first.
#[derive(Default)]
pub(super) struct KernelFaults(RefCell<Vec<KernelFault>>);

impl KernelFaults {
    fn add(&self, mut fault: KernelFault) {
        if *fault.times() > 0 {
            self.0.borrow_mut().push(fault);
        }
    }

    /// Uses one up for which `wanted` has an answer.
    fn take<T>(&self, wanted: impl Fn(&KernelFault) -> Option<T>) -> Option<T> {
        let mut faults = self.0.borrow_mut();
        let found = faults.iter_mut().enumerate();
        let mut found = found.filter_map(|(place, fault)| Some((place, wanted(fault)?)));
        let (place, answer) = found.next()?;
        drop(found);
        let times = faults[place].times();
        *times -= 1;
        if *times == 0 {
            faults.remove(place);
        }
        Some(answer)
    }
}

impl Kernel {
    /// Has something go wrong; see [`KernelFault`].
    pub fn inject(&self, fault: KernelFault) {
        self.0.faults.add(fault);
    }

    /// Forgets injected faults that have not been used up, and says how often they would still
    /// have hit.
    pub fn clear_faults(&self) -> u64 {
        let faults = self.0.faults.0.take();
        faults.into_iter().map(|mut fault| *fault.times()).sum()
    }

    /// Says that a fault hits something now.
    pub(crate) fn tell_fault(&self, name: &'static str, what: &str) {
        self.tell(KernelEvent::Fault { name, what });
    }

    /// How the post that begins now fails, if it does.
    pub(super) fn post_fails(&self) -> Option<Errno> {
        let errno = self.0.faults.take(|fault| match fault {
            KernelFault::Post { errno, .. } => Some(*errno),
            _ => None,
        });
        if let Some(errno) = errno {
            self.tell_fault(POST_FAILED, &errno.to_string());
            return Some(errno);
        }
        let no_memory = self.allocation_fails(Allocation::IoctlBuffer);
        no_memory.then_some(Errno::ENOMEM)
    }

    /// Whether there is no memory for this now.
    pub(super) fn allocation_fails(&self, wanted: Allocation) -> bool {
        let fails = self.0.faults.take(|fault| match fault {
            KernelFault::Allocation { place, .. } => (*place == wanted).then_some(()),
            _ => None,
        });
        if fails.is_some() {
            self.tell_fault(wanted.fault_name(), "");
        }
        fails.is_some()
    }

    /// How long the registration that is carried out now takes, if it takes long.
    pub(super) fn slow_registration(&self) -> Option<Duration> {
        let delay = self.0.faults.take(|fault| match fault {
            KernelFault::SlowRegistration { delay, .. } => Some(*delay),
            _ => None,
        })?;
        let what = format!("{} ms", delay.as_millis());
        self.tell_fault(SLOW_REGISTRATION, &what);
        Some(delay)
    }
}
