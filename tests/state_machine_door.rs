// SPDX-License-Identifier: MPL-2.0
//! The promise: the door API does what docs/door-api.md says, whatever order it is used in. Steps
//! of two processes on one node are done to `ProxyDoor` over a simulated kernel and to a small
//! model of it: who has the proxy service, what its door answers, which codes calls return.
//!
//! `PROPTEST_CASES=5000 cargo test -p stmf-sim --test state_machine_door` looks further.

#[path = "common/properties.rs"]
mod properties;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::message::{Body, Dialect, EchoRequest, Message};
use stmf_proxy::platform::DoorSettings;
use stmf_proxy::proxy_door::{AluaState, Door, Error, ProxyDoor, Stmf};
use stmf_proxy::status::{Errno, Status};
use stmf_sim::kernel::doors::{DoorReply, DoorServer};
use stmf_sim::world::platform::SimPlatform;
use stmf_sim::world::trace::{Event, Record, Sink};
use stmf_sim::world::{Host, RelayProgram, World};

/// The longest message that a post takes here.
const POST_LIMIT: u32 = 2_000;

/// The longest message that a door takes here.
const LARGEST: usize = 64 << 10;

/// A process: 0 is the relay of the node, which can be killed and started; 1 is another one.
type Process = usize;

#[derive(Clone, Debug)]
enum Step {
    /// stmfInitProxyDoor with a new door, which goes with the handle or stays the caller's.
    Init { process: Process, keep_door: bool },
    /// The same with a descriptor that is no door.
    InitWithoutDoor { process: Process },
    /// Posts bytes that no kernel understands.
    Post { size: usize },
    /// Posts an echo_request with so many bytes: the kernel answers through the door.
    Echo { size: usize },
    /// The kernel calls the door.
    Upcall { size: usize },
    /// The server answers this from now on.
    Answer { result: u32 },
    /// The caller revokes the door that it has kept.
    Revoke,
    /// stmfDestroyProxyDoor.
    Destroy,
    /// Closes the handle and takes the door back.
    Close,
    /// The process that has the handle forgets it.
    Drop,
    /// The relay is killed.
    Kill,
    /// The relay is started.
    Start,
    /// stmfSetAluaState.
    SetAlua {
        process: Process,
        enabled: bool,
        node: u32,
    },
    /// stmfLuStandby for a LU that is not there.
    Standby { process: Process },
}

/// What a step has to come to.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Outcome {
    /// It succeeds, or there is nothing to be said.
    Done,
    /// This code of libstmf, for this error number if the system said one.
    Refused(Status, Option<Errno>),
    /// What the kernel sees of its call: a result, or the error number of a failed one.
    Called(Result<u32, Errno>),
}

/// What becomes of the door that is installed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Installed {
    /// It goes with the handle.
    Owned,
    /// The caller keeps it.
    Kept,
    /// The caller has revoked it.
    Revoked,
}

#[derive(Clone, Debug)]
struct Model {
    /// Who has the proxy service open.
    holder: Option<(Process, Installed)>,
    relay_runs: bool,
    answer: u32,
    alua: AluaState,
    /// Calls that reached a server.
    served: u64,
    /// Messages that reached the kernel.
    posted: u64,
    /// What the last step has to have come to.
    outcome: Outcome,
}

impl Model {
    fn may(&self, process: Process) -> bool {
        process == 1 || self.relay_runs
    }

    /// The kernel calls the door with so many bytes.
    fn called(&mut self, size: usize) -> Result<u32, Errno> {
        match self.holder {
            None => Err(Errno::ENXIO),
            Some((_, Installed::Revoked)) => Err(Errno::EBADF),
            // The stack of a server thread has room for LARGEST and half a MiB.
            _ if size > LARGEST + (512 << 10) => Err(Errno::E2BIG),
            _ if size == 0 => Ok(Errno::EINVAL.number() as u32),
            _ if size > LARGEST => Ok(Errno::EMSGSIZE.number() as u32),
            _ => {
                self.served += 1;
                Ok(self.answer)
            }
        }
    }

    fn do_step(&mut self, step: &Step) -> Outcome {
        let busy = Outcome::Refused(Status::DoorInstalled, Some(Errno::EBUSY));
        match *step {
            Step::Init { .. } | Step::InitWithoutDoor { .. } if self.holder.is_some() => busy,
            Step::Init { process, keep_door } => {
                let door = match keep_door {
                    true => Installed::Kept,
                    false => Installed::Owned,
                };
                self.holder = Some((process, door));
                Outcome::Done
            }
            Step::InitWithoutDoor { .. } => {
                Outcome::Refused(Status::InvalidArgument, Some(Errno::EINVAL))
            }
            Step::Post { size: 0 } => Outcome::Refused(Status::PostMessageFailed, None),
            Step::Post { size } if size > POST_LIMIT as usize => {
                Outcome::Refused(Status::InvalidArgument, None)
            }
            Step::Post { .. } => {
                self.posted += 1;
                Outcome::Done
            }
            Step::Echo { size } => {
                self.posted += 1;
                // The post succeeds whatever comes of the answer.
                let _ = self.called(size);
                Outcome::Done
            }
            Step::Upcall { size } => Outcome::Called(self.called(size)),
            Step::Answer { result } => {
                self.answer = result;
                Outcome::Done
            }
            Step::Revoke => {
                if let Some((_, door)) = &mut self.holder {
                    *door = Installed::Revoked;
                }
                Outcome::Done
            }
            Step::Destroy | Step::Close | Step::Drop => {
                self.holder = None;
                Outcome::Done
            }
            Step::Kill => {
                self.relay_runs = false;
                self.holder = self.holder.filter(|(process, _)| *process != 0);
                Outcome::Done
            }
            Step::Start => {
                self.relay_runs = true;
                Outcome::Done
            }
            Step::SetAlua { node: 2.., .. } => Outcome::Refused(Status::InvalidArgument, None),
            Step::SetAlua { enabled, node, .. } => {
                // The number counts only while ALUA is on, and is kept when it goes off.
                self.alua.enabled = enabled;
                if enabled {
                    self.alua.node = node;
                }
                Outcome::Done
            }
            Step::Standby { .. } => Outcome::Refused(Status::NotFound, Some(Errno::ENOENT)),
        }
    }
}

struct Reference;

impl ReferenceStateMachine for Reference {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model {
            holder: None,
            relay_runs: true,
            answer: 0,
            alua: AluaState {
                enabled: false,
                node: 0,
            },
            served: 0,
            posted: 0,
            outcome: Outcome::Done,
        })
        .boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Step> {
        let process = || 0..2usize;
        let posts = select(vec![1usize, 0, 100, 2_000, 2_001, 5_000]);
        let calls = select(vec![1usize, 0, 100, LARGEST, LARGEST + 1, 1 << 20]);
        let always = prop_oneof![
            3 => (process(), any::<bool>())
                .prop_map(|(process, keep_door)| Step::Init { process, keep_door }),
            1 => process().prop_map(|process| Step::InitWithoutDoor { process }),
            3 => calls.prop_map(|size| Step::Upcall { size }),
            1 => select(vec![0u32, 11, 134]).prop_map(|result| Step::Answer { result }),
            1 => (process(), any::<bool>(), 0..3u32)
                .prop_map(|(process, enabled, node)| Step::SetAlua { process, enabled, node }),
            1 => process().prop_map(|process| Step::Standby { process }),
            1 => Just(Step::Kill),
            1 => Just(Step::Start),
        ];
        if model.holder.is_none() {
            return always.boxed();
        }
        prop_oneof![
            2 => always,
            2 => posts.prop_map(|size| Step::Post { size }),
            2 => (1..200usize).prop_map(|size| Step::Echo { size }),
            1 => Just(Step::Revoke),
            1 => Just(Step::Destroy),
            1 => Just(Step::Close),
            1 => Just(Step::Drop),
        ]
        .boxed()
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        model.outcome = model.do_step(step);
        model
    }

    fn preconditions(model: &Model, step: &Step) -> bool {
        match *step {
            Step::Init { process, .. }
            | Step::InitWithoutDoor { process }
            | Step::SetAlua { process, .. }
            | Step::Standby { process } => model.may(process),
            Step::Post { .. } | Step::Echo { .. } | Step::Destroy | Step::Close | Step::Drop => {
                model.holder.is_some()
            }
            Step::Revoke => matches!(model.holder, Some((_, Installed::Kept))),
            Step::Kill => model.relay_runs,
            Step::Start => !model.relay_runs,
            Step::Upcall { .. } | Step::Answer { .. } => true,
        }
    }
}

/// The server of every door here.
#[derive(Default)]
struct Server {
    answer: Cell<u32>,
    served: Cell<u64>,
}

impl DoorServer for Server {
    fn call(&self, _: &Bytes, reply: DoorReply) {
        self.served.set(self.served.get() + 1);
        reply.answer(self.answer.get());
    }
}

/// Counts what enters the kernel.
#[derive(Default)]
struct Posts(u64);

impl Sink for Posts {
    fn record(&mut self, record: &Record<'_>) {
        if let Event::Post { .. } = record.event {
            self.0 += 1;
        }
    }
}

/// The relay of the node does nothing by itself: its process is used from outside.
struct Idle(Rc<RefCell<Option<Host>>>);

impl RelayProgram for Idle {
    fn start(&self, host: Host) {
        *self.0.borrow_mut() = Some(host);
    }
}

struct System {
    world: World,
    relay: Rc<RefCell<Option<Host>>>,
    other: SimPlatform,
    server: Rc<Server>,
    posts: Rc<RefCell<Posts>>,
    proxy: Rc<RefCell<Option<ProxyDoor<SimPlatform>>>>,
    kept: Rc<RefCell<Option<Door<SimPlatform>>>>,
    /// Whose the handle is.
    holder: Process,
}

impl System {
    fn new() -> System {
        let relay: Rc<RefCell<Option<Host>>> = Rc::default();
        let world = World::builder().nodes(1).relay(Idle(relay.clone())).build();
        let posts: Rc<RefCell<Posts>> = Rc::default();
        world.trace().add_sink(posts.clone());
        world.node(0).start_relay().unwrap();
        System {
            other: world.node(0).process().unwrap(),
            world,
            relay,
            server: Rc::default(),
            posts,
            proxy: Rc::default(),
            kept: Rc::default(),
            holder: 0,
        }
    }

    fn platform(&self, process: Process) -> SimPlatform {
        match process {
            0 => self.relay.borrow().as_ref().unwrap().platform(),
            _ => self.other.clone(),
        }
    }

    /// Runs a call of the API to its end, and what the kernel does about it.
    fn call<T: 'static>(&self, call: impl AsyncFnOnce() -> T + 'static) -> T {
        self.world
            .run(async move |world| {
                let result = call().await;
                world.sleep(Duration::from_millis(1)).await;
                result
            })
            .unwrap()
    }

    fn init(&mut self, process: Process, keep_door: bool) -> Outcome {
        let (platform, server) = (self.platform(process), self.server.clone());
        let opened = self.call(async move || {
            let settings = DoorSettings::default()
                .with_largest_message(LARGEST as u32)
                .unwrap();
            let door = Door::create_async(&platform, settings, server).await?;
            if !keep_door {
                return Ok((ProxyDoor::init_async(door).await?, None));
            }
            let descriptor = door.descriptor();
            let proxy = ProxyDoor::init_with_descriptor_async(&platform, descriptor).await?;
            Ok((proxy, Some(door)))
        });
        outcome(opened.map(|(proxy, door)| {
            *self.proxy.borrow_mut() = Some(proxy.with_post_limit(POST_LIMIT));
            *self.kept.borrow_mut() = door;
            self.holder = process;
        }))
    }

    fn post(&self, message: Vec<u8>) -> Outcome {
        let proxy = self.proxy.clone();
        let (posted, proxy) = self.call(async move || {
            let proxy = proxy.take().unwrap();
            (proxy.post_async(&message).await, proxy)
        });
        *self.proxy.borrow_mut() = Some(proxy);
        outcome(posted)
    }

    fn do_step(&mut self, step: Step) -> Outcome {
        match step {
            Step::Init { process, keep_door } => self.init(process, keep_door),
            Step::InitWithoutDoor { process } => {
                let platform = self.platform(process);
                outcome(self.call(async move || {
                    let opened = ProxyDoor::init_with_descriptor_async(&platform, -1).await;
                    opened.map(drop)
                }))
            }
            Step::Post { size } => self.post(vec![0xa5; size]),
            Step::Echo { size } => {
                let data = vec![1; size];
                let body = Body::EchoRequest(EchoRequest { data });
                let message = Message { msgid: 7, body };
                self.post(message.encode(Dialect::Current).unwrap())
            }
            Step::Upcall { size } => {
                let kernel = self.world.node(0).kernel().unwrap();
                let called = self
                    .call(async move || kernel.pppt().upcall(&Bytes::from(vec![0; size])).await);
                Outcome::Called(called.map_err(|error| error.errno()))
            }
            Step::Answer { result } => {
                self.server.answer.set(result);
                Outcome::Done
            }
            Step::Revoke => {
                let door = self.kept.take().unwrap();
                outcome(self.call(async move || door.revoke_async().await))
            }
            Step::Destroy => {
                let proxy = self.proxy.take().unwrap();
                let destroyed = self.call(async move || proxy.destroy_async().await);
                self.kept.take();
                outcome(destroyed)
            }
            Step::Close => {
                let proxy = self.proxy.take().unwrap();
                let owned = self.kept.take().is_none();
                let closed = self.call(async move || proxy.close_async().await);
                // A door that was kept or revoked does not come back.
                assert!(closed.as_ref().map_or(true, |door| owned || door.is_none()));
                outcome(closed.map(drop))
            }
            Step::Drop => {
                drop(self.proxy.take());
                self.call(async || ());
                self.kept.take();
                Outcome::Done
            }
            Step::Kill => {
                self.world.node(0).kill_relay();
                if self.holder == 0 {
                    // What a process had is gone with it.
                    drop(self.proxy.take());
                    self.kept.take();
                }
                self.call(async || ());
                Outcome::Done
            }
            Step::Start => {
                self.world.node(0).start_relay().unwrap();
                Outcome::Done
            }
            Step::SetAlua {
                process,
                enabled,
                node,
            } => {
                let stmf = Stmf::new(self.platform(process));
                outcome(self.call(async move || stmf.set_alua_state_async(enabled, node).await))
            }
            Step::Standby { process } => {
                let stmf = Stmf::new(self.platform(process));
                outcome(self.call(async move || stmf.set_lu_standby_async([9; 16]).await))
            }
        }
    }
}

fn outcome<T>(result: Result<T, Error>) -> Outcome {
    match result {
        Ok(_) => Outcome::Done,
        Err(error) => Outcome::Refused(error.status(), error.errno()),
    }
}

impl StateMachineTest for System {
    type SystemUnderTest = System;
    type Reference = Reference;

    fn init_test(_: &Model) -> System {
        System::new()
    }

    fn apply(mut system: System, model: &Model, step: Step) -> System {
        assert_eq!(system.do_step(step.clone()), model.outcome, "{step:?}");
        system
    }

    fn check_invariants(system: &System, model: &Model) {
        assert_eq!(system.server.served.get(), model.served, "calls served");
        assert_eq!(system.posts.borrow().0, model.posted, "messages posted");
        let stmf = Stmf::new(system.other.clone());
        let alua = system.call(async move || stmf.alua_state_async().await);
        assert_eq!(alua, Ok(model.alua));
        assert_eq!(system.world.node(0).panics(), []);
    }
}

prop_state_machine! {
    #![proptest_config(properties::config(256, "../tests/state_machine_door.regressions"))]

    #[test]
    fn every_call_returns_what_the_documentation_says(sequential 1..30 => System);
}
