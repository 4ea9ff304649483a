// SPDX-License-Identifier: MPL-2.0
//! The operating system as a process in the world sees it: [`Platform`] over a simulated kernel.
//!
//! [`ProxyDoor`](stmf_proxy::proxy_door::ProxyDoor) runs over it unchanged. It decides nothing
//! that the real system would not: it opens, does, closes and revokes, in simulated time.
//!
//! # System calls and processes that die
//!
//! A system call runs in a thread of the kernel while its caller waits, as on a real system,
//! where the caller's thread goes into the kernel and can be killed only when it comes back. So
//! when a process dies, its calls in progress go on to their end with nobody to hear of it, and
//! a device stays open until the last of them is over. Everything else that the process had is
//! closed at once.
//!
//! A thread that does nothing but one such call can be a thread of the kernel from the beginning
//! (`SimPlatform::enter`): the call then runs in it, and no second one is made.

use crate::executor::sync::Promise;
use crate::kernel::Kernel;
use crate::kernel::doors::{self, DoorReply, ProcessId, ServerThreads, attributes};
use crate::kernel::pppt::{Command, Handle, Ioctl};
use crate::kernel::sbd_provider::SbdProvider;
use crate::world::trace::{Event, NodeId, Trace};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use stmf_proxy::platform::{AluaStateDescriptor, DeviceNode, DoorSettings, Platform, Request};
use stmf_proxy::status::Errno;

/// The node that a [`SimPlatform`] speaks to.
struct System {
    node: NodeId,
    kernel: Kernel,
    sbd: Rc<SbdProvider>,
    trace: Trace,
    /// What the process of this platform serves doors with.
    servers: RefCell<Vec<ProcessId>>,
    /// How it makes the threads for that, if not as the library does.
    threads: Cell<Option<ServerThreads>>,
    ended: Cell<bool>,
}

/// The system under one process of a node. A clone belongs to the same process.
#[derive(Clone)]
pub struct SimPlatform(Rc<System>);

impl SimPlatform {
    /// The system for a new process.
    pub(super) fn new(node: NodeId, kernel: Kernel, sbd: Rc<SbdProvider>, trace: Trace) -> Self {
        SimPlatform(Rc::new(System {
            node,
            kernel,
            sbd,
            trace,
            servers: RefCell::default(),
            threads: Cell::new(None),
            ended: Cell::new(false),
        }))
    }

    /// Has the process make the server threads of its doors so from now on, and not with stacks
    /// that fit their settings.
    pub fn serve_with(&self, threads: ServerThreads) {
        self.0.threads.set(Some(threads));
    }

    /// The process dies: the calls that it serves fail, its doors are gone.
    pub(super) fn process_ended(&self) {
        self.0.ended.set(true);
        for process in self.0.servers.take() {
            self.0.kernel.doors().end_process(process);
        }
    }

    /// Starts a thread of the process that goes into the kernel at once, so that it lives on when
    /// the process dies; a process that is gone by then starts nothing. System calls of `body`
    /// run in this thread.
    pub(super) fn enter(&self, name: &'static str, body: impl Future<Output = ()> + 'static) {
        let system = self.0.clone();
        self.0.kernel.spawn(name, async move {
            if !system.ended.get() {
                body.await;
            }
        });
    }

    /// Whether the calling thread is one that went into the kernel at once.
    fn is_in_kernel(&self) -> bool {
        let kernel = &self.0.kernel;
        kernel.executor().current_group() == Some(kernel.group())
    }

    /// Runs a system call in the kernel and waits for its result.
    async fn call<T: 'static>(
        &self,
        name: &'static str,
        call: impl Future<Output = T> + 'static,
    ) -> T {
        let kernel = &self.0.kernel;
        let result = Promise::new(kernel.executor(), name);
        let told = result.clone();
        // A kernel that is gone starts nothing and never answers: its processes are gone too.
        kernel.spawn(name, async move { told.set(call.await) });
        result.take().await
    }
}

/// An open device. Dropping it closes it.
pub struct SimDevice(Rc<OpenDevice>);

struct OpenDevice {
    system: Rc<System>,
    node: DeviceNode,
    /// The descriptor of the proxy service.
    handle: Option<Handle>,
    closed: Cell<bool>,
}

impl Drop for OpenDevice {
    fn drop(&mut self) {
        let Some(handle) = self.handle.filter(|_| !self.closed.get()) else {
            return;
        };
        let kernel = self.system.kernel.clone();
        self.system
            .kernel
            .spawn("close of the proxy service", async move {
                // Nobody waits to hear how it went.
                let _ = kernel.pppt().close(handle).await;
            });
    }
}

/// A door of the process. Dropping it revokes it.
pub struct SimDoor {
    system: Rc<System>,
    descriptor: i32,
    process: ProcessId,
    revoked: Cell<bool>,
}

impl SimDoor {
    fn revoke(&self) -> Result<(), Errno> {
        if self.revoked.replace(true) {
            return Ok(());
        }
        self.system.kernel.doors().revoke(self.descriptor)
    }

    /// The process that serves the door, as the kernel knows it, for faults.
    pub fn process(&self) -> ProcessId {
        self.process
    }
}

impl Drop for SimDoor {
    fn drop(&mut self) {
        let _ = self.revoke();
    }
}

/// Answers for the server what it cannot be asked: messages of no length, and messages longer
/// than was agreed.
struct Checked {
    server: Rc<dyn doors::DoorServer>,
    largest: usize,
}

impl doors::DoorServer for Checked {
    fn call(&self, message: &Bytes, reply: DoorReply) {
        let refusal = match message.len() {
            0 => Errno::EINVAL,
            length if length > self.largest => Errno::EMSGSIZE,
            _ => return self.server.call(message, reply),
        };
        reply.answer(refusal.number() as u32);
    }

    fn unreferenced(&self) {
        self.server.unreferenced();
    }
}

impl Platform for SimPlatform {
    type Device = SimDevice;
    type Door = SimDoor;
    type Server = Rc<dyn doors::DoorServer>;

    async fn open(&self, node: DeviceNode) -> Result<SimDevice, Errno> {
        let opened = move |system: Rc<System>, handle| {
            SimDevice(Rc::new(OpenDevice {
                system,
                node,
                handle,
                closed: Cell::new(false),
            }))
        };
        let system = self.0.clone();
        match node {
            DeviceNode::ProxyService => {
                // The kernel knows of the device from here on, whether the process lives to hear
                // of it or not: one that dies meanwhile leaves it to be closed.
                let open = async move {
                    let handle = system.kernel.pppt().open().await?;
                    Ok(opened(system, Some(handle)))
                };
                self.call("open of the proxy service", open).await
            }
            DeviceNode::StmfAdmin | DeviceNode::SbdAdmin => Ok(opened(system, None)),
        }
    }

    async fn ioctl(&self, device: &SimDevice, request: Request<'_>) -> Result<(), Errno> {
        let kernel = self.0.kernel.clone();
        // Held by the call, so that the device is not closed under it.
        let device = device.0.clone();
        if request.device() != device.node {
            return Err(Errno::ENOTTY);
        }
        match request {
            Request::InstallDoor { door } => {
                let Some(handle) = device.handle else {
                    return Err(Errno::EBADF);
                };
                let install = async move {
                    let command = Ioctl::new(Command::InstallDoor(door));
                    let result = kernel.pppt().ioctl(handle, command).await;
                    drop(device);
                    result
                };
                self.call("installation of the door", install).await
            }
            Request::Message(message) => {
                let Some(handle) = device.handle else {
                    return Err(Errno::EBADF);
                };
                if self.is_in_kernel() {
                    let command = Ioctl::new(Command::Message(message));
                    return kernel.pppt().ioctl(handle, command).await;
                }
                // The kernel copies the message in.
                let message = message.to_vec();
                let post = async move {
                    let command = Ioctl::new(Command::Message(&message));
                    let result = kernel.pppt().ioctl(handle, command).await;
                    drop(device);
                    result
                };
                self.call("post", post).await
            }
            Request::SetAluaState(state) => {
                let (trace, node) = (self.0.trace.clone(), self.0.node);
                // Told by the thread that has done it: when the caller goes on, another one may
                // have set it again.
                let set = async move {
                    let enabled = state.alua_state != 0;
                    let result = kernel.stmf().set_alua(enabled, state.alua_node).await;
                    let result = result.map_err(|_| Errno::EINVAL);
                    let event = Event::AluaState {
                        enabled,
                        number: state.alua_node.into(),
                        outcome: result.map_err(Errno::number),
                    };
                    trace.record(kernel.executor().now(), Some(node), event);
                    result
                };
                self.call("set of the ALUA state", set).await
            }
            Request::GetAluaState(state) => {
                let (enabled, node) = kernel.stmf().alua();
                *state = AluaStateDescriptor {
                    alua_state: enabled.into(),
                    alua_node: node,
                };
                Ok(())
            }
            Request::SetLuStandby { guid } => {
                let sbd = self.0.sbd.clone();
                let standby = async move { sbd.make_standby(&kernel, guid).await };
                self.call("set of a LU to standby", standby)
                    .await
                    .map_err(|error| error.errno())
            }
        }
    }

    async fn close(&self, device: SimDevice) -> Result<(), Errno> {
        let device = device.0;
        let Some(handle) = device.handle else {
            return Ok(());
        };
        device.closed.set(true);
        let kernel = self.0.kernel.clone();
        let close = async move { kernel.pppt().close(handle).await };
        self.call("close of the proxy service", close).await
    }

    async fn create_door(
        &self,
        settings: DoorSettings,
        server: Rc<dyn doors::DoorServer>,
    ) -> Result<SimDoor, Errno> {
        let doors = self.0.kernel.doors();
        // The library makes server threads of its own for the door, with stacks that fit.
        let fitting = ServerThreads {
            most: Some(settings.server_threads().into()),
            stack_bytes: settings.stack_size(),
        };
        let process = doors.start_process(self.0.threads.get().unwrap_or(fitting));
        self.0.servers.borrow_mut().push(process);
        let wanted = attributes::UNREF
            | attributes::PRIVATE
            | attributes::REFUSE_DESC
            | attributes::NO_CANCEL;
        let server = Rc::new(Checked {
            server,
            largest: settings.largest_message(),
        });
        let descriptor = doors.create(process, wanted, server)?;
        let system = self.0.clone();
        Ok(SimDoor {
            system,
            descriptor,
            process,
            revoked: Cell::new(false),
        })
    }

    fn door_descriptor(&self, door: &SimDoor) -> i32 {
        door.descriptor
    }

    async fn revoke(&self, door: SimDoor) -> Result<(), Errno> {
        door.revoke()
    }
}
