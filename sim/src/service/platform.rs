// SPDX-License-Identifier: MPL-2.0
//! The platform of ordinary programs: every call goes to the thread of the kernel and waits.

use super::{Inside, Job};
use crate::kernel::doors::{DoorReply, DoorServer as SimulatedServer};
use crate::world::platform::SimPlatform;
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::thread;
use stmf_proxy::platform::{
    AluaStateDescriptor, BlockingPlatform, DeviceNode, DoorServer, DoorSettings, Platform, Request,
    answer,
};
use stmf_proxy::status::Errno;

/// What a program gets for a call when the node has panicked.
const NODE_IS_GONE: Errno = Errno::ENXIO;

/// The system under a program. Clones are of the same process.
#[derive(Clone)]
pub struct ServicePlatform {
    jobs: Sender<Job>,
}

impl ServicePlatform {
    pub(super) fn new(jobs: Sender<Job>) -> ServicePlatform {
        ServicePlatform { jobs }
    }

    /// Has something done in the thread of the kernel, which answers through the sender.
    fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Rc<Inside>, Sender<Result<T, Errno>>) + Send + 'static,
    ) -> Result<T, Errno> {
        let (tell, told) = unbounded();
        drop(self.jobs.send(Box::new(move |inside| job(inside, tell))));
        told.recv().unwrap_or(Err(NODE_IS_GONE))
    }
}

/// An open device. Dropping it closes it.
pub struct ServiceDevice {
    jobs: Sender<Job>,
    number: u64,
}

impl Drop for ServiceDevice {
    fn drop(&mut self) {
        let number = self.number;
        drop(self.jobs.send(Box::new(move |inside| {
            let device = inside.devices.borrow_mut().remove(&number);
            drop(device);
        })));
    }
}

/// A door of the program. Dropping it revokes it.
pub struct ServiceDoor {
    jobs: Sender<Job>,
    number: u64,
    descriptor: i32,
}

impl Drop for ServiceDoor {
    fn drop(&mut self) {
        let number = self.number;
        drop(self.jobs.send(Box::new(move |inside| {
            let door = inside.doors.borrow_mut().remove(&number);
            drop(door);
        })));
    }
}

/// A request that can go to another thread.
enum OwnedRequest {
    InstallDoor(i32),
    Message(Vec<u8>),
    SetAluaState(AluaStateDescriptor),
    GetAluaState,
    SetLuStandby([u8; 16]),
}

impl OwnedRequest {
    async fn perform(
        self,
        platform: &SimPlatform,
        device: &crate::world::platform::SimDevice,
    ) -> Result<AluaStateDescriptor, Errno> {
        let mut state = AluaStateDescriptor::default();
        let request = match &self {
            OwnedRequest::InstallDoor(door) => Request::InstallDoor { door: *door },
            OwnedRequest::Message(message) => Request::Message(message),
            OwnedRequest::SetAluaState(state) => Request::SetAluaState(*state),
            OwnedRequest::GetAluaState => Request::GetAluaState(&mut state),
            OwnedRequest::SetLuStandby(guid) => Request::SetLuStandby { guid: *guid },
        };
        platform.ioctl(device, request).await?;
        Ok(state)
    }
}

impl Platform for ServicePlatform {
    type Device = ServiceDevice;
    type Door = ServiceDoor;
    type Server = Arc<dyn DoorServer>;

    async fn open(&self, node: DeviceNode) -> Result<ServiceDevice, Errno> {
        let number = self.call(move |inside, tell| {
            let (this, platform) = (inside.clone(), inside.platform.clone());
            inside.answer(tell, async move {
                let device = platform.open(node).await?;
                let number = this.next();
                this.devices.borrow_mut().insert(number, Rc::new(device));
                Ok(number)
            });
        })?;
        Ok(ServiceDevice {
            jobs: self.jobs.clone(),
            number,
        })
    }

    async fn ioctl(&self, device: &ServiceDevice, request: Request<'_>) -> Result<(), Errno> {
        let mut told = None;
        let request = match request {
            Request::InstallDoor { door } => OwnedRequest::InstallDoor(door),
            Request::Message(message) => OwnedRequest::Message(message.to_vec()),
            Request::SetAluaState(state) => OwnedRequest::SetAluaState(state),
            Request::GetAluaState(state) => {
                told = Some(state);
                OwnedRequest::GetAluaState
            }
            Request::SetLuStandby { guid } => OwnedRequest::SetLuStandby(guid),
        };
        let number = device.number;
        let state = self.call(move |inside, tell| {
            let device = inside.devices.borrow().get(&number).cloned();
            let platform = inside.platform.clone();
            inside.answer(tell, async move {
                let device = device.ok_or(Errno::EBADF)?;
                request.perform(&platform, &device).await
            });
        })?;
        if let Some(told) = told {
            *told = state;
        }
        Ok(())
    }

    async fn close(&self, device: ServiceDevice) -> Result<(), Errno> {
        let number = device.number;
        self.call(move |inside, tell| {
            let device = inside.devices.borrow_mut().remove(&number);
            let platform = inside.platform.clone();
            inside.answer(tell, async move {
                let device = device.and_then(Rc::into_inner).ok_or(Errno::EBADF)?;
                platform.close(device).await
            });
        })
    }

    async fn create_door(
        &self,
        settings: DoorSettings,
        server: Arc<dyn DoorServer>,
    ) -> Result<ServiceDoor, Errno> {
        let jobs = self.jobs.clone();
        let (number, descriptor) = self.call(move |inside, tell| {
            let threads = ServerThreads::new(inside, jobs, settings, server);
            let (this, platform) = (inside.clone(), inside.platform.clone());
            inside.answer(tell, async move {
                let door = platform.create_door(settings, Rc::new(threads)).await?;
                let (number, descriptor) = (this.next(), platform.door_descriptor(&door));
                this.doors.borrow_mut().insert(number, door);
                Ok((number, descriptor))
            });
        })?;
        Ok(ServiceDoor {
            jobs: self.jobs.clone(),
            number,
            descriptor,
        })
    }

    fn door_descriptor(&self, door: &ServiceDoor) -> i32 {
        door.descriptor
    }

    async fn revoke(&self, door: ServiceDoor) -> Result<(), Errno> {
        let number = door.number;
        self.call(move |inside, tell| {
            let door = inside.doors.borrow_mut().remove(&number);
            let platform = inside.platform.clone();
            inside.answer(tell, async move {
                let door = door.ok_or(Errno::EBADF)?;
                platform.revoke(door).await
            });
        })
    }
}

impl BlockingPlatform for ServicePlatform {}

/// What a thread of the program is to do.
enum Task {
    Call { call: u64, message: Vec<u8> },
    Unreferenced,
}

/// The threads of the program that serve a door. They are made as they are needed; the kernel's
/// own bound on calls in progress bounds them. They end with the door.
struct ServerThreads {
    inside: Weak<Inside>,
    jobs: Sender<Job>,
    server: Arc<dyn DoorServer>,
    largest: usize,
    tasks: Sender<Task>,
    work: Receiver<Task>,
    made: Cell<usize>,
    busy: Rc<Cell<usize>>,
}

impl ServerThreads {
    fn new(
        inside: &Rc<Inside>,
        jobs: Sender<Job>,
        settings: DoorSettings,
        server: Arc<dyn DoorServer>,
    ) -> ServerThreads {
        let (tasks, work) = unbounded();
        ServerThreads {
            inside: Rc::downgrade(inside),
            jobs,
            server,
            largest: settings.largest_message(),
            tasks,
            work,
            made: Cell::new(0),
            busy: Rc::default(),
        }
    }

    /// Gives a thread something to do; makes one if all are busy.
    fn give(&self, task: Task) {
        if self.busy.get() >= self.made.get() {
            let (work, jobs) = (self.work.clone(), self.jobs.clone());
            let (server, largest) = (self.server.clone(), self.largest);
            let made = thread::Builder::new()
                .name("door server".into())
                .spawn(move || serve(&work, &jobs, &*server, largest));
            if made.is_ok() {
                self.made.set(self.made.get() + 1);
            }
        }
        // Without any thread the call waits, as it does in the kernel.
        drop(self.tasks.send(task));
    }
}

impl SimulatedServer for ServerThreads {
    fn call(&self, message: &Bytes, reply: DoorReply) {
        let Some(inside) = self.inside.upgrade() else {
            return;
        };
        let call = inside.next();
        self.give(Task::Call {
            call,
            message: message.to_vec(),
        });
        self.busy.set(self.busy.get() + 1);
        inside
            .calls
            .borrow_mut()
            .insert(call, (reply, self.busy.clone()));
    }

    fn unreferenced(&self) {
        self.give(Task::Unreferenced);
    }
}

/// A thread of the program that serves a door.
fn serve(work: &Receiver<Task>, jobs: &Sender<Job>, server: &dyn DoorServer, largest: usize) {
    for task in work {
        match task {
            Task::Call { call, message } => {
                let result = answer(server, largest, &message);
                drop(jobs.send(Box::new(move |inside| {
                    let call = inside.calls.borrow_mut().remove(&call);
                    if let Some((reply, busy)) = call {
                        busy.set(busy.get() - 1);
                        reply.answer(result);
                    }
                })));
            }
            Task::Unreferenced => server.unreferenced(),
        }
    }
}
