// SPDX-License-Identifier: MPL-2.0
//! Recording on any platform: a [`Platform`] that wraps another and tells what passes.

use super::event::{Event, LuOperation, NodeId};
use super::recorder::Recorder;
use crate::platform::{BlockingPlatform, DeviceNode, DoorServer, DoorSettings, Platform, Request};
use crate::status::{Errno, Step};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// A platform that tells a [`Recorder`] of everything that passes between the door API and the
/// platform that it wraps: posts and upcalls with their bytes and results, the door's coming and
/// going, ALUA and standby calls, and how each ended. It changes nothing.
///
/// A call is told when it begins and when it has ended, so a recording shows what was in
/// progress when all stood still. What a real kernel does not let one see, such as
/// [`Event::Upcall`]'s `attempt` and `lock_held`, is 0 and false.
#[derive(Debug)]
pub struct RecordingPlatform<P, R> {
    inner: P,
    teller: Teller<R>,
}

impl<P: Clone, R> Clone for RecordingPlatform<P, R> {
    fn clone(&self) -> RecordingPlatform<P, R> {
        RecordingPlatform {
            inner: self.inner.clone(),
            teller: self.teller.clone(),
        }
    }
}

impl<P, R: Recorder> RecordingPlatform<P, R> {
    /// Tells `recorder` what passes to and from `inner`, which is the platform of that node.
    pub fn new(inner: P, node: NodeId, recorder: R) -> RecordingPlatform<P, R> {
        let teller = Teller {
            node,
            recorder: Arc::new(recorder),
            calls: Arc::default(),
            posts: Arc::default(),
            upcalls: Arc::default(),
        };
        RecordingPlatform { inner, teller }
    }

    /// The platform that is wrapped.
    pub fn inner(&self) -> &P {
        &self.inner
    }
}

/// Tells of one node, and counts what it tells of.
#[derive(Debug)]
struct Teller<R> {
    node: NodeId,
    recorder: Arc<R>,
    calls: Arc<AtomicU64>,
    posts: Arc<AtomicU64>,
    upcalls: Arc<AtomicU64>,
}

impl<R> Clone for Teller<R> {
    fn clone(&self) -> Teller<R> {
        Teller {
            node: self.node,
            recorder: self.recorder.clone(),
            calls: self.calls.clone(),
            posts: self.posts.clone(),
            upcalls: self.upcalls.clone(),
        }
    }
}

/// The next number, from 1.
fn next(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed) + 1
}

/// How a result reads in a trace.
fn outcome<T>(result: &Result<T, Errno>) -> Result<(), i32> {
    match result {
        Ok(_) => Ok(()),
        Err(errno) => Err(errno.number()),
    }
}

impl<R: Recorder> Teller<R> {
    fn tell(&self, event: Event<'_>) {
        self.recorder.tell(Some(self.node), event);
    }

    fn begin(&self, step: Step) -> u64 {
        let call = next(&self.calls);
        self.tell(Event::Call { call, step });
        call
    }

    fn end(&self, call: u64, step: Step, outcome: Result<(), i32>) {
        self.tell(Event::CallDone {
            call,
            step,
            outcome,
        });
    }

    /// Tells of a call around it.
    async fn call<T>(
        &self,
        step: Step,
        call: impl Future<Output = Result<T, Errno>>,
    ) -> Result<T, Errno> {
        let number = self.begin(step);
        let result = call.await;
        self.end(number, step, outcome(&result));
        result
    }
}

/// What a platform gives out: dropping it gives it back, which is told too.
#[derive(Debug)]
pub struct Recorded<T, R: Recorder> {
    inner: Option<T>,
    /// What giving it back is called, if that is told.
    step: Option<Step>,
    teller: Teller<R>,
}

impl<T, R: Recorder> Recorded<T, R> {
    fn new(inner: T, step: Option<Step>, teller: &Teller<R>) -> Recorded<T, R> {
        Recorded {
            inner: Some(inner),
            step,
            teller: teller.clone(),
        }
    }
}

impl<T, R: Recorder> Drop for Recorded<T, R> {
    fn drop(&mut self) {
        match (self.inner.take(), self.step) {
            (Some(inner), Some(step)) => {
                let call = self.teller.begin(step);
                drop(inner);
                self.teller.end(call, step, Ok(()));
            }
            (inner, _) => drop(inner),
        }
    }
}

/// Answers as the server that it wraps, and tells what came and what it said.
struct RecordingServer<R> {
    inner: Arc<dyn DoorServer>,
    teller: Teller<R>,
}

/// Tells how an upcall ended, though the server may panic.
struct Answering<'a, R: Recorder> {
    teller: &'a Teller<R>,
    call: u64,
    result: u32,
}

impl<R: Recorder> Drop for Answering<'_, R> {
    fn drop(&mut self) {
        let result = match thread::panicking() {
            true => Errno::EIO.number().unsigned_abs(),
            false => self.result,
        };
        self.teller.tell(Event::UpcallDone {
            call: self.call,
            outcome: Ok(result),
        });
    }
}

impl<R: Recorder + 'static> DoorServer for RecordingServer<R> {
    fn upcall(&self, message: &[u8]) -> u32 {
        let call = next(&self.teller.upcalls);
        self.teller.tell(Event::Upcall {
            call,
            attempt: 0,
            lock_held: false,
            message,
        });
        let mut answering = Answering {
            teller: &self.teller,
            call,
            result: 0,
        };
        answering.result = self.inner.upcall(message);
        answering.result
    }

    fn unreferenced(&self) {
        self.teller.tell(Event::Unreferenced);
        self.inner.unreferenced();
    }
}

impl<P, R> Platform for RecordingPlatform<P, R>
where
    P: Platform<Server = Arc<dyn DoorServer>>,
    R: Recorder + 'static,
{
    type Device = Recorded<P::Device, R>;
    type Door = Recorded<P::Door, R>;
    type Server = Arc<dyn DoorServer>;

    async fn open(&self, node: DeviceNode) -> Result<Self::Device, Errno> {
        let (step, close) = match node {
            DeviceNode::ProxyService => (Step::OpenProxyService, Some(Step::CloseProxyService)),
            DeviceNode::StmfAdmin => (Step::OpenStmf, None),
            DeviceNode::SbdAdmin => (Step::OpenSbd, None),
        };
        let opened = self.teller.call(step, self.inner.open(node)).await?;
        Ok(Recorded::new(opened, close, &self.teller))
    }

    async fn ioctl(&self, device: &Self::Device, request: Request<'_>) -> Result<(), Errno> {
        let Some(device) = &device.inner else {
            return Err(Errno::EBADF);
        };
        let teller = &self.teller;
        let inner = &self.inner;
        match request {
            Request::Message(message) => {
                let post = next(&teller.posts);
                teller.tell(Event::Post { post, message });
                let result = inner.ioctl(device, request).await;
                let outcome = outcome(&result);
                teller.tell(Event::PostDone { post, outcome });
                result
            }
            Request::InstallDoor { .. } => {
                let install = inner.ioctl(device, request);
                teller.call(Step::InstallDoor, install).await
            }
            Request::GetAluaState(_) => {
                let get = inner.ioctl(device, request);
                teller.call(Step::GetAluaState, get).await
            }
            Request::SetAluaState(state) => {
                let call = teller.begin(Step::SetAluaState);
                let result = inner.ioctl(device, request).await;
                let outcome = outcome(&result);
                teller.tell(Event::AluaState {
                    enabled: state.alua_state != 0,
                    number: state.alua_node.into(),
                    outcome,
                });
                teller.end(call, Step::SetAluaState, outcome);
                result
            }
            Request::SetLuStandby { guid } => {
                let call = teller.begin(Step::SetLuStandby);
                let result = inner.ioctl(device, request).await;
                let outcome = outcome(&result);
                teller.tell(Event::LuOperation {
                    lu: guid,
                    operation: LuOperation::MakeStandby,
                    outcome,
                });
                teller.end(call, Step::SetLuStandby, outcome);
                result
            }
        }
    }

    async fn close(&self, mut device: Self::Device) -> Result<(), Errno> {
        let Some(inner) = device.inner.take() else {
            return Err(Errno::EBADF);
        };
        match device.step {
            Some(step) => self.teller.call(step, self.inner.close(inner)).await,
            None => self.inner.close(inner).await,
        }
    }

    async fn create_door(
        &self,
        settings: DoorSettings,
        server: Self::Server,
    ) -> Result<Self::Door, Errno> {
        let server = Arc::new(RecordingServer {
            inner: server,
            teller: self.teller.clone(),
        });
        let create = self.inner.create_door(settings, server);
        let door = self.teller.call(Step::CreateDoor, create).await?;
        Ok(Recorded::new(door, Some(Step::RevokeDoor), &self.teller))
    }

    fn door_descriptor(&self, door: &Self::Door) -> i32 {
        let descriptor = |door| self.inner.door_descriptor(door);
        door.inner.as_ref().map_or(-1, descriptor)
    }

    async fn revoke(&self, mut door: Self::Door) -> Result<(), Errno> {
        let Some(inner) = door.inner.take() else {
            return Err(Errno::EBADF);
        };
        let revoke = self.inner.revoke(inner);
        self.teller.call(Step::RevokeDoor, revoke).await
    }
}

impl<P, R> BlockingPlatform for RecordingPlatform<P, R>
where
    P: BlockingPlatform<Server = Arc<dyn DoorServer>>,
    R: Recorder + 'static,
{
}

#[cfg(test)]
mod tests;
