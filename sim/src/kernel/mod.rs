// SPDX-License-Identifier: MPL-2.0
//! The fake kernel: the parts of an illumos node around the STMF proxy door.
//!
//! A kernel is a set of simulated threads on an [`Executor`]; its parts stand in files of their
//! own: [`doors`], [`pppt`] (the STMF proxy service), [`stmf`] (the framework) and [`sbd`] (disk
//! LUs). It reproduces the real kernel with its warts: what the project does better it does in
//! its library and relay, never here. It knows nothing of relays and links, and learns of the
//! world only through the [`Observer`] that it tells what happens.

pub mod coverage;
pub mod defects;
pub mod doors;
pub mod faults;
mod in_order;
pub mod inspect;
pub mod minimal;
pub mod play;
pub mod port;
pub mod pppt;
pub mod sbd;
pub mod sbd_provider;
pub mod stmf;
pub mod transport_id;

use crate::executor::{Executor, GroupId};
pub use defects::{Defects, Repairs};
pub use faults::{Allocation, KernelFault};
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::rc::Rc;
use stmf_proxy::message::{Dialect, Message};
use stmf_proxy::time::Time;

/// Which mistakes the kernel makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// As the real one, traps and all.
    #[default]
    Illumos,
    /// Every trap repaired: the message is refused with a log line, holds are given back.
    Hardened,
}

/// What a kernel is started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct KernelConfig {
    /// The kernel's name in reports, as "node 0".
    #[serde(skip)]
    pub name: String,
    /// Which mistakes it makes.
    pub profile: Profile,
    /// The dialect of its messages.
    #[serde(with = "dialect")]
    pub dialect: Dialect,
    /// Whether READs on the standby path are proxied (the tunable of some kernels turns it off).
    pub proxy_reads: bool,
    /// The proxy service is all there is of the node: stmf takes every command to its LU, and
    /// what the peer says to it goes nowhere. So were the recordings of the active side made.
    pub service_alone: bool,
    /// Largest data buffer of proxy ports, in bytes. Default 131,072.
    #[serde(skip_serializing_if = "is_default_buffer")]
    pub proxy_buffer: u32,
    /// A thread that is about to call the door can be overtaken by others before it does. Off, it
    /// can only where it waits for something. Default off.
    #[serde(skip_serializing_if = "is_off")]
    pub overtaken_upcalls: bool,
    /// Mistakes that it makes besides.
    #[serde(skip_serializing_if = "Defects::is_none")]
    pub defects: Defects,
    /// Mistakes that it does not make.
    #[serde(skip_serializing_if = "Repairs::is_none")]
    pub repairs: Repairs,
}

fn is_off(switch: &bool) -> bool {
    !switch
}

fn is_default_buffer(size: &u32) -> bool {
    *size == pppt::DEFAULT_BUFFER_SIZE
}

/// A dialect by its name.
mod dialect {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use stmf_proxy::message::Dialect;

    pub(super) fn serialize<S: Serializer>(
        dialect: &Dialect,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(dialect.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Dialect, D::Error> {
        let name = std::borrow::Cow::<str>::deserialize(deserializer)?;
        [Dialect::Current, Dialect::Y2009]
            .into_iter()
            .find(|dialect| dialect.name() == name)
            .ok_or_else(|| D::Error::custom(format!("no dialect is called {name:?}")))
    }
}

impl Default for KernelConfig {
    fn default() -> KernelConfig {
        KernelConfig {
            name: "node 0".into(),
            profile: Profile::Illumos,
            dialect: Dialect::Current,
            proxy_reads: true,
            service_alone: false,
            proxy_buffer: pppt::DEFAULT_BUFFER_SIZE,
            overtaken_upcalls: false,
            defects: Defects::default(),
            repairs: Repairs::default(),
        }
    }
}

/// Why a kernel panicked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    /// What happened, as "duplicate session id 7 in the list of sessions".
    pub reason: String,
    /// The trap that was sprung (docs/kernel.md), if it is one of the known ones.
    pub trap: Option<u8>,
}

/// Something that happened in a kernel.
#[derive(Clone, Debug)]
pub enum KernelEvent<'a> {
    /// A line of the kernel's log.
    Log(&'a str),
    /// An upcall attempt begins; `lock_held` tells whether its thread holds the stmf lock.
    Upcall {
        /// The message, as the door argument carries it.
        bytes: &'a [u8],
        /// Whether the calling thread holds the stmf lock.
        lock_held: bool,
    },
    /// An upcall attempt ended: with the result of the door server, or an error.
    UpcallDone {
        /// The message.
        bytes: &'a [u8],
        /// The door server's result, or why there is none.
        outcome: Result<u32, doors::DoorError>,
    },
    /// A posted message enters the kernel.
    Post {
        /// The message, as posted.
        bytes: &'a [u8],
    },
    /// A posted message has been handled, or refused with an errno.
    PostDone {
        /// The message, as posted.
        bytes: &'a [u8],
        /// How the ioctl returns.
        outcome: Result<(), stmf_proxy::status::Errno>,
    },
    /// sbd made a LU, took one away, or moved one between its states.
    LuAccess {
        /// The LU's id.
        lu: stmf::types::LuId,
        /// What it is now; in transition counts as standby.
        access: stmf_proxy::trace::LuAccess,
    },
    /// A posted message meets these states. Told to those who count it
    /// ([`Observer::counts_meetings`]) and to nobody else.
    Met {
        /// The type of the message.
        message: stmf_proxy::message::MessageType,
        /// One for each thing that it is about.
        states: &'a [coverage::State],
    },
    /// A posted message was handed to stmf.
    ToStmf(&'a Message),
    /// A status message is sent; this is its status before it is cut to 8 bits.
    StatusBeforeWire(u64),
    /// An injected fault hits something.
    Fault {
        /// Its name in traces.
        name: &'static str,
        /// More about it; empty if there is nothing to say.
        what: &'a str,
    },
    /// The kernel panics: no thread of it runs any more.
    Panicked(&'a Panic),
}

/// Somebody who is told what happens in a kernel, as it happens.
pub trait Observer {
    /// `event` happened at `now`. Called in the middle of things: it may look, not act.
    fn kernel_event(&self, now: Time, event: &KernelEvent<'_>);

    /// Whether [`KernelEvent::Met`] is wanted: it costs a look at everything that a message is
    /// about.
    fn counts_meetings(&self) -> bool {
        false
    }
}

/// Looks away.
pub struct NoObserver;

impl Observer for NoObserver {
    fn kernel_event(&self, _: Time, _: &KernelEvent<'_>) {}
}

struct Inner {
    config: KernelConfig,
    executor: Executor,
    group: GroupId,
    observer: Rc<dyn Observer>,
    doors: doors::DoorState,
    faults: faults::KernelFaults,
    pppt: pppt::PpptState,
    stmf: stmf::StmfState,
    panic: RefCell<Option<Panic>>,
    next_number: Cell<u64>,
}

/// One boot of a node's kernel, and a handle on it.
#[derive(Clone)]
pub struct Kernel(Rc<Inner>);

impl Kernel {
    /// Boots a kernel: nothing is configured, ALUA was never on.
    pub fn boot(executor: &Executor, config: KernelConfig, observer: Rc<dyn Observer>) -> Kernel {
        let group = executor.new_group(config.name.clone());
        Kernel(Rc::new(Inner {
            doors: doors::DoorState::new(executor),
            faults: faults::KernelFaults::default(),
            pppt: pppt::PpptState::new(executor, group),
            stmf: stmf::StmfState::new(executor, group),
            config,
            executor: executor.clone(),
            group,
            observer,
            panic: RefCell::new(None),
            next_number: Cell::new(1),
        }))
    }

    /// The configuration that it was booted with.
    pub fn config(&self) -> &KernelConfig {
        &self.0.config
    }

    /// The executor that runs its threads.
    pub fn executor(&self) -> &Executor {
        &self.0.executor
    }

    /// The group of its threads.
    pub fn group(&self) -> GroupId {
        self.0.group
    }

    /// The framework.
    pub fn stmf(&self) -> stmf::Stmf<'_> {
        stmf::Stmf(self)
    }

    /// The proxy service.
    pub fn pppt(&self) -> pppt::Pppt<'_> {
        pppt::Pppt(self)
    }

    /// The doors that user processes of this node serve.
    pub fn doors(&self) -> doors::Doors<'_> {
        doors::Doors(self)
    }

    /// The mistakes that it makes besides those of every kernel.
    pub(crate) fn defects(&self) -> &Defects {
        &self.0.config.defects
    }

    /// Whether traps are sprung (false on the profile hardened).
    pub fn has_traps(&self) -> bool {
        self.0.config.profile == Profile::Illumos
    }

    /// Starts a kernel thread.
    pub fn spawn(&self, name: &'static str, body: impl Future<Output = ()> + 'static) {
        self.0.executor.spawn(self.0.group, name, body);
    }

    /// Writes a line to the kernel's log.
    pub fn warn(&self, line: impl AsRef<str>) {
        self.tell(KernelEvent::Log(line.as_ref()));
    }

    /// Why the kernel panicked, if it did.
    pub fn panicked(&self) -> Option<Panic> {
        self.0.panic.borrow().clone()
    }

    /// Panics: ends every thread of the kernel. The calling thread never returns from here.
    pub async fn panic<T>(&self, trap: impl Into<Option<u8>>, reason: impl Into<String>) -> T {
        let panic = Panic {
            reason: reason.into(),
            trap: trap.into(),
        };
        self.tell(KernelEvent::Panicked(&panic));
        *self.0.panic.borrow_mut() = Some(panic);
        self.0.executor.end_group(self.0.group);
        pending().await
    }

    /// Lets go of all that it keeps: the node is down, and nobody asks this kernel any more. Its
    /// parts refer to each other, so that one that is merely dropped would stay in memory for
    /// ever.
    pub(crate) fn take_apart(&self) {
        self.0.stmf.take_apart();
    }

    pub(crate) fn tell(&self, event: KernelEvent<'_>) {
        self.0.observer.kernel_event(self.0.executor.now(), &event);
    }

    pub(crate) fn counts_meetings(&self) -> bool {
        self.0.observer.counts_meetings()
    }

    /// The next number for something that reports tell apart (tasks).
    pub(crate) fn next_number(&self) -> u64 {
        let number = self.0.next_number.get();
        self.0.next_number.set(number + 1);
        number
    }

    pub(crate) fn pppt_state(&self) -> &pppt::PpptState {
        &self.0.pppt
    }

    pub(crate) fn stmf_state(&self) -> &stmf::StmfState {
        &self.0.stmf
    }

    pub(crate) fn door_state(&self) -> &doors::DoorState {
        &self.0.doors
    }
}
