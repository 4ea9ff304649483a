// SPDX-License-Identifier: MPL-2.0
//! The simulated kernel of a replay, and how things are done to it.
//!
//! Whatever is done is done in a thread that runs at once, up to where it has to wait. How it
//! ended stands in the [`Log`].

use super::choices::Directed;
use super::disk::{LearnedDisk, LearnedDisks};
use super::door::Door;
use super::happening::{Happening, Log};
use super::input::{Assumption, Input, RecordIndex, TaskName};
use super::port::Initiators;
use super::settings::NodeSettings;
use crate::executor::Executor;
use crate::kernel::doors::{ServerThreads, attributes};
use crate::kernel::port::{Request, TargetPort};
use crate::kernel::pppt::{Command, Handle, Ioctl};
use crate::kernel::sbd_provider::{AccessState, LuError, SbdProvider};
use crate::kernel::stmf::types::{LuId, Session};
use crate::kernel::{Kernel, KernelConfig};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use stmf_proxy::message::status::{self, task_flags};
use stmf_proxy::message::{Body, DeviceId, Message, RegisterProxyPort, ScsiCommand};
use stmf_proxy::status::Errno;
use stmf_proxy::time::Time;

/// The relative port id of a port of the peer whose registration is not in the recording.
const PEER_RELATIVE_ID: u16 = 0x7000;

type Ports = Rc<RefCell<BTreeMap<Vec<u8>, Rc<TargetPort>>>>;
type Sessions = Rc<RefCell<BTreeMap<u64, (Rc<TargetPort>, Rc<Session>)>>>;

/// One boot of the kernel, and what is around it.
struct Life {
    kernel: Kernel,
    sbd: Rc<SbdProvider>,
    disks: Rc<LearnedDisks>,
    initiators: Rc<Initiators>,
    door: Rc<Door>,
    descriptor: i32,
    handle: Rc<Cell<Option<Handle>>>,
    ports: Ports,
    sessions: Sessions,
    relative_ids: Vec<(Vec<u8>, u16)>,
}

/// What a script knows of the LUs of its node.
#[derive(Clone, Default)]
pub(super) struct LuFacts {
    /// Sizes in blocks.
    pub(super) blocks: BTreeMap<LuId, u64>,
    /// Logical unit numbers.
    pub(super) numbers: BTreeMap<LuId, u16>,
}

/// The executor and what runs on it.
pub(super) struct Machine {
    pub(super) executor: Executor,
    pub(super) log: Rc<Log>,
    directed: Directed,
    config: KernelConfig,
    revokes: bool,
    facts: LuFacts,
    life: Option<Life>,
}

/// What an input refers to is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Missing {
    Kernel,
    Port,
    Session,
}

fn errno(error: LuError) -> i32 {
    error.errno().number()
}

fn refusal(status: u64) -> i32 {
    match status {
        status::BUSY => Errno::EBUSY,
        status::NOT_FOUND => Errno::ENOENT,
        _ => Errno::EINVAL,
    }
    .number()
}

impl Machine {
    pub(super) fn new(settings: &NodeSettings, facts: LuFacts) -> Machine {
        let directed = Directed::default();
        let executor = Executor::new(Box::new(directed.clone()));
        Machine {
            log: Log::new(&executor),
            executor,
            directed,
            config: KernelConfig {
                name: format!("node {}", settings.node),
                profile: settings.profile,
                dialect: settings.dialect,
                ..settings.kernel.as_deref().cloned().unwrap_or_default()
            },
            // A simulated door call that finds the door revoked is recorded all the same.
            revokes: settings.recorded_by == super::RecordedBy::Node,
            facts,
            life: None,
        }
    }

    /// Boots the kernel, unless it runs.
    pub(super) fn boot(&mut self) {
        if self.life.is_some() {
            return;
        }
        let kernel = Kernel::boot(&self.executor, self.config.clone(), self.log.clone());
        let disks = Rc::new(LearnedDisks::new(self.facts.blocks.clone()));
        let sbd = SbdProvider::attach(&kernel, disks.clone());
        for (lu, number) in &self.facts.numbers {
            kernel.stmf().assign_number(*lu, *number);
        }
        kernel.stmf().hold_tasks(true);
        // Whatever the recording tells of has reached the server.
        let process = kernel.doors().start_process(ServerThreads {
            most: None,
            stack_bytes: usize::MAX,
        });
        let door = Door::new(self.log.clone());
        let descriptor = kernel
            .doors()
            .create(process, attributes::REFUSE_DESC, door.clone())
            .unwrap_or(-1);
        self.life = Some(Life {
            kernel,
            sbd,
            disks,
            initiators: Initiators::new(self.log.clone()),
            door,
            descriptor,
            handle: Rc::default(),
            ports: Ports::default(),
            sessions: Sessions::default(),
            relative_ids: Vec::new(),
        });
    }

    /// The kernel is gone, wherever its threads stand.
    pub(super) fn end(&mut self) {
        if let Some(life) = self.life.take() {
            self.executor.end_group(life.kernel.group());
            life.door.forget();
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.life.is_some()
    }

    pub(super) fn door(&self) -> Option<&Rc<Door>> {
        self.life.as_ref().map(|life| &life.door)
    }

    /// Lets the thread that became ready last run up to where it waits.
    pub(super) fn run_newest(&self) {
        self.directed.newest_first();
        self.executor.step();
        self.directed.clear();
    }

    fn start(
        &self,
        life: &Life,
        name: &'static str,
        number: usize,
        work: impl Future<Output = Result<(), i32>> + 'static,
    ) {
        let log = self.log.clone();
        life.kernel.spawn(name, async move {
            let outcome = work.await;
            log.tell(Happening::OperationDone { number, outcome });
        });
        self.run_newest();
    }

    /// Does what comes from outside. `number` names it in the log; `bytes` is what is posted or
    /// written.
    pub(super) fn apply(
        &mut self,
        number: usize,
        input: &Input,
        bytes: Vec<u8>,
        recorded: bool,
    ) -> Result<(), Missing> {
        match input {
            Input::Boot => {
                self.end();
                self.boot();
                return Ok(());
            }
            Input::PowerOff => {
                self.end();
                return Ok(());
            }
            _ => {}
        }
        let life = self.life.as_ref().ok_or(Missing::Kernel)?;
        let kernel = life.kernel.clone();
        let sbd = life.sbd.clone();
        match input {
            Input::Boot | Input::PowerOff | Input::Answer { .. } => {}
            Input::OpenDevice => {
                let slot = life.handle.clone();
                self.start(life, "open of the proxy service", number, async move {
                    let handle = kernel.pppt().open().await.map_err(Errno::number)?;
                    slot.set(Some(handle));
                    Ok(())
                });
            }
            Input::InstallDoor => {
                let (slot, descriptor) = (life.handle.clone(), life.descriptor);
                self.start(life, "installation of the door", number, async move {
                    let handle = slot.get().ok_or(Errno::EBADF.number())?;
                    let install = Ioctl::new(Command::InstallDoor(descriptor));
                    let done = kernel.pppt().ioctl(handle, install).await;
                    done.map_err(Errno::number)
                });
            }
            Input::RevokeDoor => {
                let revoke = self.revokes;
                let descriptor = life.descriptor;
                self.start(life, "revocation of the door", number, async move {
                    match revoke {
                        true => kernel.doors().revoke(descriptor).map_err(Errno::number),
                        false => Ok(()),
                    }
                });
            }
            Input::CloseDevice => {
                let slot = life.handle.clone();
                self.start(life, "close of the proxy service", number, async move {
                    let handle = slot.take().ok_or(Errno::EBADF.number())?;
                    kernel.pppt().close(handle).await.map_err(Errno::number)
                });
            }
            Input::Post { post } => self.post(life, *post, bytes),
            Input::SetAlua { enabled, node } => {
                let (enabled, node) = (*enabled, *node);
                self.start(life, "set of the ALUA state", number, async move {
                    let set = kernel.stmf().set_alua(enabled, node).await;
                    set.map_err(|_| Errno::EINVAL.number())
                });
            }
            Input::AddPort {
                id,
                alua,
                buffer_size,
                relative_id,
            } => self.add_port(life, number, (id, *alua, *buffer_size), *relative_id),
            Input::RemovePort { port } => {
                let known = life.ports.borrow().get(port).cloned();
                let (known, ports) = (known.ok_or(Missing::Port)?, life.ports.clone());
                let name = port.clone();
                self.start(life, "removal of a port", number, async move {
                    known.remove(&kernel).await.map_err(refusal)?;
                    ports.borrow_mut().remove(&name);
                    Ok(())
                });
            }
            Input::AddLu {
                lu,
                active,
                argument,
            } => {
                let (lu, active, argument) = (*lu, *active, argument.clone());
                let disk = life.disks.shared(lu);
                self.start(life, "addition of a LU", number, async move {
                    let added = sbd.add(&kernel, lu, argument, disk, active).await;
                    added.map_err(errno)
                });
            }
            Input::RemoveLu { lu } => {
                let lu = *lu;
                self.start(life, "removal of a LU", number, async move {
                    sbd.remove(&kernel, lu).await.map_err(errno)
                });
            }
            Input::ImportLu { lu } => {
                let lu = *lu;
                if sbd.access_state(lu) != Some(AccessState::Active) {
                    life.disks.get(lu).forget();
                }
                self.start(life, "import of a LU", number, async move {
                    sbd.make_active(&kernel, lu).await.map_err(errno)
                });
            }
            Input::MakeStandby { lu } => {
                let lu = *lu;
                self.start(life, "set of a LU to standby", number, async move {
                    sbd.make_standby(&kernel, lu).await.map_err(errno)
                });
            }
            Input::Login {
                session,
                port,
                initiator,
                transport_id,
            } => {
                let known = life.ports.borrow().get(port).cloned();
                let known = known.ok_or(Missing::Port)?;
                let (sessions, id) = (life.sessions.clone(), *session);
                let (initiator, transport_id) = (initiator.clone(), transport_id.clone());
                self.start(life, "login", number, async move {
                    let login = known.login(&kernel, id, initiator, transport_id).await;
                    let session = login.map_err(refusal)?;
                    sessions.borrow_mut().insert(id, (known, session));
                    Ok(())
                });
            }
            Input::Logout { session } => {
                // Who goes on sending in a session that is over is heard, as any port does.
                let known = life.sessions.borrow().get(session).cloned();
                let (port, session) = known.ok_or(Missing::Session)?;
                self.start(life, "logout", number, async move {
                    port.logout(&kernel, &session, true).await;
                    Ok(())
                });
            }
            Input::Command {
                command,
                session,
                lun,
                flags,
                expected,
                cdb,
            } => {
                let mut request = Request::new(*command, *lun, cdb.clone(), *expected);
                request.command.flags = *flags;
                request.immediate = *flags & task_flags::INITIAL_BURST != 0;
                request.data = bytes;
                self.submit(life, *session, request, recorded)?;
            }
            Input::Management {
                command,
                session,
                lun,
                flags,
                function,
            } => {
                let mut request = Request::management(*command, *lun, *function);
                request.command.flags = *flags;
                self.submit(life, *session, request, recorded)?;
            }
            Input::Forget { command } => life.initiators.forget(*command),
            Input::UseMessageId => {
                let next = kernel.stmf().next_msgid();
                kernel.stmf().set_next_msgid(next.wrapping_add(1));
            }
        }
        Ok(())
    }

    fn post(&self, life: &Life, post: RecordIndex, bytes: Vec<u8>) {
        let (kernel, handle, log) = (life.kernel.clone(), life.handle.get(), self.log.clone());
        life.kernel.spawn("post", async move {
            let outcome = match handle {
                None => Err(Errno::EBADF),
                Some(handle) => {
                    let message = Ioctl::new(Command::Message(&bytes));
                    kernel.pppt().ioctl(handle, message).await
                }
            };
            let outcome = outcome.map_err(Errno::number);
            log.tell(Happening::PostDone { post, outcome });
        });
        self.run_newest();
    }

    fn add_port(
        &self,
        life: &Life,
        number: usize,
        (id, alua, buffer_size): (&DeviceId, bool, u32),
        relative_id: Option<u16>,
    ) {
        let (kernel, ports) = (life.kernel.clone(), life.ports.clone());
        let (listener, id) = (life.initiators.clone(), id.clone());
        if let Some(relative_id) = relative_id {
            kernel.stmf().set_next_relative_port_id(relative_id);
        }
        self.start(life, "addition of a port", number, async move {
            let name = id.ident.clone();
            let added = TargetPort::add(&kernel, id, alua, buffer_size, listener).await;
            let port = added.map_err(refusal)?;
            ports.borrow_mut().insert(name, port);
            Ok(())
        });
    }

    fn submit(
        &self,
        life: &Life,
        session: u64,
        request: Request,
        recorded: bool,
    ) -> Result<(), Missing> {
        let known = life.sessions.borrow().get(&session).cloned();
        let (port, session) = known.ok_or(Missing::Session)?;
        if !recorded {
            // Somebody whose command the recording does not tell of was told of the change.
            session.inventory_changed.set(false);
        }
        life.initiators.expect(request.tag);
        port.submit(&life.kernel, &session, request);
        Ok(())
    }

    /// Makes something so that was so before. The kernel is at rest then.
    pub(super) fn assume(&mut self, assumption: &Assumption) -> Result<(), Missing> {
        /// Nobody hears how an assumption went.
        const NO_STEP: usize = usize::MAX;
        let life = self.life.as_mut().ok_or(Missing::Kernel)?;
        let kernel = life.kernel.clone();
        let set_relative = |name: &[u8], id: u16| {
            let ports = kernel.stmf().ports();
            if let Some(port) = ports.iter().find(|port| port.id.ident == name) {
                port.relative_port_id.set(id);
            }
        };
        match assumption {
            Assumption::Port {
                id,
                relative_id,
                buffer_size,
                alua,
            } => {
                if let Some(relative) = relative_id {
                    life.relative_ids.push((id.ident.clone(), *relative));
                }
                let life = self.life.as_ref().ok_or(Missing::Kernel)?;
                self.add_port(life, NO_STEP, (id, *alua, *buffer_size), *relative_id);
            }
            Assumption::Lu {
                lu,
                active,
                argument,
            } => {
                let add = Input::AddLu {
                    lu: *lu,
                    active: *active,
                    argument: argument.clone(),
                };
                self.apply(NO_STEP, &add, Vec::new(), false)?;
            }
            Assumption::AluaOn { node } => {
                let (enabled, node) = (true, *node);
                let relative_ids = life.relative_ids.clone();
                let set = Input::SetAlua { enabled, node };
                self.apply(NO_STEP, &set, Vec::new(), false)?;
                // Switching on numbers them anew.
                for (name, relative) in relative_ids {
                    set_relative(&name, relative);
                }
            }
            Assumption::Confirmed { port } => {
                let ports = kernel.stmf().ports();
                if let Some(known) = ports.iter().find(|known| known.id.ident == *port) {
                    known.proxy_registered.set(true);
                }
            }
            Assumption::DeviceOpen => {
                self.apply(NO_STEP, &Input::OpenDevice, Vec::new(), false)?;
            }
            Assumption::PeerPort { id } => {
                let body = Body::RegisterProxyPort(RegisterProxyPort {
                    port_id: id.clone(),
                    relative_port_id: PEER_RELATIVE_ID,
                    cb_arg: Vec::new(),
                });
                let message = Message { msgid: 0, body };
                if let Ok(bytes) = message.encode(self.config.dialect) {
                    let life = self.life.as_ref().ok_or(Missing::Kernel)?;
                    self.post(life, 0, bytes);
                }
            }
            Assumption::PeerSession {
                session,
                port,
                initiator,
                transport_id,
            } => {
                // Its LUs know it from a command that asks nothing.
                let lus = kernel.stmf().lus();
                kernel.stmf().hold_tasks(false);
                for (count, lu) in lus.iter().enumerate() {
                    let msgid = u64::MAX >> 1;
                    let body = Body::ScsiCommand(ScsiCommand {
                        task_msgid: msgid - count as u64,
                        ini_devid: initiator.clone(),
                        tgt_devid: port.clone(),
                        rport: transport_id.clone(),
                        lun_id: lu.id,
                        session_id: *session,
                        task_lun_no: lu.number,
                        task_expected_xfer_length: 0,
                        task_cdb: crate::scsi::cdb::test_unit_ready().to_vec(),
                        task_flags: 1,
                        task_priority: 0,
                        task_mgmt_function: 0,
                        immed_data: Vec::new(),
                    });
                    let message = Message { msgid, body };
                    if let Ok(bytes) = message.encode(self.config.dialect) {
                        let life = self.life.as_ref().ok_or(Missing::Kernel)?;
                        self.post(life, 0, bytes);
                        self.executor.run_ready();
                    }
                }
                kernel.stmf().hold_tasks(true);
            }
            Assumption::DoorInstalled => {
                self.apply(NO_STEP, &Input::InstallDoor, Vec::new(), false)?;
            }
            Assumption::Session {
                session,
                port,
                initiator,
                transport_id,
            } => {
                let login = Input::Login {
                    session: *session,
                    port: port.clone(),
                    initiator: initiator.clone(),
                    transport_id: transport_id.clone(),
                };
                self.apply(NO_STEP, &login, Vec::new(), false)?;
                self.hear_attentions(*session);
            }
            Assumption::MessageIds { next } => kernel.stmf().set_next_msgid(*next),
        }
        self.executor.run_ready();
        // Nothing of this is an event of the recording.
        while self.log.next().is_some() {}
        Ok(())
    }

    /// Has a session hear what its LUs have to say to a nexus that they do not know yet.
    fn hear_attentions(&self, session: u64) {
        /// More than a LU has in store.
        const OFTEN: u64 = 4;
        self.executor.run_ready();
        let Some(life) = &self.life else { return };
        let Some((port, session)) = life.sessions.borrow().get(&session).cloned() else {
            return;
        };
        life.kernel.stmf().hold_tasks(false);
        for lu in life.kernel.stmf().lus() {
            for count in 0..OFTEN {
                let cdb = crate::scsi::cdb::test_unit_ready().to_vec();
                let request = Request::new(u64::MAX - count, lu.number, cdb, 0);
                port.submit(&life.kernel, &session, request);
                self.executor.run_ready();
            }
        }
        life.kernel.stmf().hold_tasks(true);
    }

    /// Lets a task begin. False if there is none.
    pub(super) fn release(&self, task: TaskName) -> bool {
        let Some(life) = &self.life else { return false };
        let number = match task {
            TaskName::Peer(session, task) => life.kernel.pppt().task_number(session, task),
            TaskName::Local(command) => {
                let ports = life.ports.borrow();
                ports
                    .values()
                    .flat_map(|port| port.outstanding_tasks())
                    .find_map(|(number, tag)| (tag == command).then_some(number))
            }
        };
        let released = number.is_some_and(|number| life.kernel.stmf().release_task(number));
        if released {
            self.run_newest();
        }
        released
    }

    /// The disk behind a logical unit number, if it is served here.
    pub(super) fn active_disk(&self, lun: [u8; 8]) -> Option<Rc<LearnedDisk>> {
        let life = self.life.as_ref()?;
        let lus = life.kernel.stmf().lus();
        let lu = lus.iter().find(|lu| lu.number == lun)?;
        let active = life.sbd.access_state(lu.id) == Some(AccessState::Active);
        active.then(|| life.disks.get(lu.id))
    }

    /// Whether the peer has served the LU before this node did.
    pub(super) fn came_from_peer(&self, lu: LuId) -> bool {
        let life = self.life.as_ref();
        life.is_some_and(|life| life.disks.get(lu).was_with_peer.get())
    }

    /// Whether the peer has served any LU before this node did.
    pub(super) fn any_came_from_peer(&self) -> bool {
        let life = self.life.as_ref();
        life.is_some_and(|life| life.disks.any_was_with_peer())
    }

    /// Lets threads run and time pass up to, and not with, `end`, or until `steps` are used up.
    pub(super) fn run_before(&self, end: Time, steps: u64) {
        loop {
            while self.executor.steps() < steps && self.executor.step() {}
            match self.executor.next_timer(true) {
                Some(time) if time < end && self.executor.steps() < steps => {
                    self.executor.advance(time);
                }
                _ => return,
            }
        }
    }
}
