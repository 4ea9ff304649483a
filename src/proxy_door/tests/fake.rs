// SPDX-License-Identifier: MPL-2.0
//! A platform for tests: it does nothing but keep a log, count what is open and fail by script.

use crate::platform::{
    AluaStateDescriptor, BlockingPlatform, DeviceNode, DoorServer, DoorSettings, Platform, Request,
    answer,
};
use crate::status::Errno;
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::sync::{Arc, Barrier, Mutex, MutexGuard};
use std::task::Poll;

/// Calls return at once.
pub type Blocking = Fake<false>;
/// Every call suspends before it takes effect and once more before it returns.
pub type Suspending = Fake<true>;

/// Longest message of a door, and its server.
type Served = (usize, Arc<dyn DoorServer>);

#[derive(Default)]
struct State {
    next: i32,
    /// Open descriptors; doors with their server.
    open: BTreeMap<i32, Option<Served>>,
    script: VecDeque<Option<Errno>>,
    log: Vec<String>,
    alua: AluaStateDescriptor,
    post_barrier: Option<Arc<Barrier>>,
    door_to_call_while_closing: Option<i32>,
    answer_while_closing: Option<Result<u32, Errno>>,
    /// Door of each handle of the proxy service that is open.
    installed: BTreeMap<i32, i32>,
    doors_gone_too_early: Vec<i32>,
}

/// See the module. A clone is the same system.
#[derive(Clone, Default)]
pub struct Fake<const SUSPENDS: bool> {
    state: Arc<Mutex<State>>,
}

/// An open descriptor.
pub struct Handle {
    number: i32,
    kind: &'static str,
    state: Arc<Mutex<State>>,
    closed: bool,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.closed {
            let line = format!("drop {} {}", self.kind, self.number);
            release(&self.state, self.number, line);
        }
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no test panics with the lock held")
}

fn release(state: &Mutex<State>, number: i32, line: String) {
    let mut guard = locked(state);
    // As the kernel may: call the door while the handle is being closed.
    if guard.installed.contains_key(&number)
        && let Some(door) = guard.door_to_call_while_closing.take()
    {
        drop(guard);
        let answer = call(state, door, &[1]);
        guard = locked(state);
        guard.answer_while_closing = Some(answer);
    }
    guard.log.push(line);
    guard.installed.remove(&number);
    if guard.installed.values().any(|door| *door == number) {
        guard.doors_gone_too_early.push(number);
    }
    let was = guard.open.remove(&number);
    assert!(was.is_some(), "descriptor {number} is closed twice");
    // The server is dropped without the lock.
    drop(guard);
    drop(was);
}

fn call(state: &Mutex<State>, door: i32, message: &[u8]) -> Result<u32, Errno> {
    let found = locked(state).open.get(&door).cloned().flatten();
    let (largest, server) = found.ok_or(Errno::EBADF)?;
    Ok(answer(&*server, largest, message))
}

impl<const SUSPENDS: bool> Fake<SUSPENDS> {
    /// Adds to what the next calls answer: an error, or `None` for success.
    pub fn script(&self, answers: impl IntoIterator<Item = Option<Errno>>) {
        locked(&self.state).script.extend(answers);
    }

    pub fn script_left(&self) -> usize {
        locked(&self.state).script.len()
    }

    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut locked(&self.state).log)
    }

    pub fn open_descriptors(&self) -> Vec<i32> {
        locked(&self.state).open.keys().copied().collect()
    }

    pub fn tell_alua(&self, state: AluaStateDescriptor) {
        locked(&self.state).alua = state;
    }

    pub fn meet_in_posts(&self, barrier: Arc<Barrier>) {
        locked(&self.state).post_barrier = Some(barrier);
    }

    pub fn call_door_while_closing(&self, door: i32) {
        locked(&self.state).door_to_call_while_closing = Some(door);
    }

    pub fn take_answer_while_closing(&self) -> Option<Result<u32, Errno>> {
        locked(&self.state).answer_while_closing.take()
    }

    /// Calls a door as the kernel would.
    pub fn call(&self, door: i32, message: &[u8]) -> Result<u32, Errno> {
        call(&self.state, door, message)
    }

    /// No door was revoked while a handle of the proxy service had it installed.
    pub fn assert_doors_outlived_handles(&self) {
        assert_eq!(locked(&self.state).doors_gone_too_early, Vec::<i32>::new());
    }

    fn next_answer(&self) -> Result<(), Errno> {
        locked(&self.state)
            .script
            .pop_front()
            .flatten()
            .map_or(Ok(()), Err)
    }

    fn new_handle(&self, kind: &'static str, what: String, server: Option<Served>) -> Handle {
        let mut state = locked(&self.state);
        state.next += 1;
        let number = state.next;
        state.log.push(format!("{what} -> {number}"));
        state.open.insert(number, server);
        Handle {
            number,
            kind,
            state: self.state.clone(),
            closed: false,
        }
    }

    fn close_handle(&self, mut handle: Handle, line: String) -> Result<(), Errno> {
        handle.closed = true;
        release(&self.state, handle.number, line);
        self.next_answer()
    }
}

/// Suspends once if `suspends`.
fn pause(suspends: bool) -> impl Future<Output = ()> {
    let mut left = usize::from(suspends);
    poll_fn(move |_| match left {
        0 => Poll::Ready(()),
        _ => {
            left -= 1;
            Poll::Pending
        }
    })
}

impl BlockingPlatform for Blocking {}

impl<const SUSPENDS: bool> Platform for Fake<SUSPENDS> {
    type Device = Handle;
    type Door = Handle;
    type Server = Arc<dyn DoorServer>;

    async fn open(&self, node: DeviceNode) -> Result<Handle, Errno> {
        pause(SUSPENDS).await;
        self.next_answer()?;
        let handle = self.new_handle("device", format!("open {}", node.path()), None);
        pause(SUSPENDS).await;
        Ok(handle)
    }

    async fn ioctl(&self, device: &Handle, request: Request<'_>) -> Result<(), Errno> {
        pause(SUSPENDS).await;
        let number = device.number;
        let barrier = {
            let mut state = locked(&self.state);
            let line = match &request {
                Request::InstallDoor { door } => format!("install door {door}"),
                Request::Message(message) => format!("message of {}", message.len()),
                Request::SetAluaState(s) => {
                    format!("set alua {} node {}", s.alua_state, s.alua_node)
                }
                Request::GetAluaState(_) => "get alua".to_owned(),
                Request::SetLuStandby { guid } => {
                    format!("standby {:032x}", u128::from_be_bytes(*guid))
                }
            };
            state.log.push(format!("ioctl {number} {line}"));
            state.post_barrier.clone()
        };
        self.next_answer()?;
        match request {
            Request::Message(_) => {
                if let Some(barrier) = barrier {
                    barrier.wait();
                }
            }
            Request::InstallDoor { door } => {
                locked(&self.state).installed.insert(number, door);
            }
            Request::GetAluaState(state) => *state = locked(&self.state).alua,
            Request::SetAluaState(_) | Request::SetLuStandby { .. } => {}
        }
        pause(SUSPENDS).await;
        Ok(())
    }

    async fn close(&self, device: Handle) -> Result<(), Errno> {
        pause(SUSPENDS).await;
        let line = format!("close {}", device.number);
        let result = self.close_handle(device, line);
        pause(SUSPENDS).await;
        result
    }

    async fn create_door(
        &self,
        settings: DoorSettings,
        server: Arc<dyn DoorServer>,
    ) -> Result<Handle, Errno> {
        pause(SUSPENDS).await;
        self.next_answer()?;
        let served = (settings.largest_message(), server);
        let handle = self.new_handle("door", "door_create".to_owned(), Some(served));
        pause(SUSPENDS).await;
        Ok(handle)
    }

    fn door_descriptor(&self, door: &Handle) -> i32 {
        door.number
    }

    async fn revoke(&self, door: Handle) -> Result<(), Errno> {
        pause(SUSPENDS).await;
        let line = format!("revoke {}", door.number);
        let result = self.close_handle(door, line);
        pause(SUSPENDS).await;
        result
    }
}
